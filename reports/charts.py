"""Which figures are made of a leaderboard, what their captions say, and which were drawn before."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import captions, files, painting
from reports.comparisons import Across, Inflation
from reports.formats import where
from reports.page import featured
from reports.painting import CURVES, Bar
from reports.ranking import Line, Table, marked
from reports.results import FIRST, Facts, Result
from reports.tuning import wanted

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from reports.leaderboard import Board

COLUMN, DPI = 3.5, 200  # inches
ARENAS, ROWS, DETAILS, ACROSS = 12, 16, 6, 3  # so many of each are drawn
ON_PAGE = 4  # arenas whose figures the page itself shows
INDEX, CAPTIONS = "index.json", "captions.md"
DRAWING = 4  # counted up where figures of the same facts come to look otherwise
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "leaderboard",
    "text.parse_math": False,  # a name is no formula
}


@dataclass(frozen=True)
class Figure:
    """What was drawn; `image` is the PNG in base64 where the page shows it."""

    name: str
    title: str
    caption: str
    alt: str
    image: str
    width: int
    height: int


@dataclass(frozen=True)
class Wanted:
    """A figure to be drawn from some facts; what was drawn from the same facts before is kept."""

    name: str
    title: str
    caption: str
    alt: str
    facts: object
    paint: Callable[["Canvas"], None]
    size: tuple[float, float]
    shown: bool = False


def draw(board: "Board", folder: Path) -> list[Figure]:
    """All figures into the folder, with a list of their captions; those of earlier results go."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _index(folder)
    wanted = list(_wanted(board))
    now = {one.name: _digest(one) for one in wanted}
    kinds = ("png", "svg")
    for name in before.keys() - now.keys():
        for kind in kinds:
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    stale = [
        one
        for one in wanted
        if before.get(one.name) != now[one.name] or not all((folder / f"{one.name}.{kind}").is_file() for kind in kinds)
    ]
    if stale:  # until they are drawn they are of no known facts
        told = now.keys() - {one.name for one in stale}
        files.text(folder / INDEX, json.dumps({name: now[name] for name in sorted(told)}, indent=1))
    for one in stale:
        _save(one, folder)
    files.text(folder / INDEX, json.dumps(now, indent=1))
    files.text(
        folder / CAPTIONS, captions.document(drawn(board), [(one.name, one.title, one.caption) for one in wanted])
    )
    return [_told(one, folder) for one in wanted]


def drawn(board: "Board") -> str:
    """What of all rows there are figures of; empty where it is all."""
    arenas = sum(bool(_drawable(table)) for table in board.tables)
    rows = len(featured(board.lines))
    parts = [
        (ARENAS, arenas, "tables of rows"),
        (DETAILS, rows, "rows, in detail"),
        (ACROSS, len(board.across), "means"),
    ]
    return "; ".join(f"{most} of {there} {what}" for most, there, what in parts if there > most)


def _index(folder: Path) -> dict[str, str]:
    """What was drawn earlier; nothing where that cannot be read. Names that are not ours are not touched."""
    try:
        told = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {name: str(digest) for name, digest in told.items() if re.fullmatch(r"[a-z0-9-]+", name)}
    except (OSError, ValueError, AttributeError):
        return {}


def _digest(one: Wanted) -> str:
    facts = json.dumps([DRAWING, one.title, one.alt, one.facts, one.size], default=str)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _content(result: Result) -> str:
    """A digest of what was answered: a row that is run afresh keeps its number."""
    told = result.summary.told() if result.summary else None
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _save(one: Wanted, folder: Path) -> None:
    import seaborn
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    with seaborn.axes_style("ticks"), rc_context(STYLE):
        canvas = Canvas(figsize=one.size)
        one.paint(canvas)
        files.whole(folder / f"{one.name}.png", partial(canvas.savefig, dpi=DPI))
        canvas.set_layout_engine("none")  # the places that were just found: to look for them takes as long as to draw
        files.whole(folder / f"{one.name}.svg", partial(canvas.savefig, metadata={"Date": None}))


def _told(one: Wanted, folder: Path) -> Figure:
    image = base64.b64encode((folder / f"{one.name}.png").read_bytes()).decode() if one.shown else ""
    width, height = (round(side * 130) for side in one.size)
    return Figure(one.name, one.title, one.caption, one.alt, image, width, height)


def _wanted(board: "Board") -> Iterator[Wanted]:
    for number, table in enumerate([table for table in board.tables if _drawable(table)][:ARENAS]):
        yield from _of_arena(table, number, board.facts)
    yield from _across(board)
    yield from _leakages(board)
    yield from wanted(board.tunings, board.facts)
    for number, line in enumerate(featured(board.lines)[:DETAILS]):
        yield from _details(line, number, board.facts)


def _of_arena(table: Table, number: int, facts: Facts) -> Iterator[Wanted]:
    lines, title = _drawable(table), where(table.arena, facts)
    bars = [Bar(_name(line), *_uar(line), line.rank is not None) for line in lines]
    chance = lines[0].result.material.chance
    alt = "; ".join(f"{bar.name} {100 * bar.value:.1f} %" for bar in bars)
    paint = partial(painting.scores, bars, chance, title)
    yield Wanted(
        f"scores-{number}", title, captions.scores(table, lines, facts), f"UAR: {alt}", [bars, chance], paint,
        _size([bar.name for bar in bars]), number < ON_PAGE,
    )  # fmt: skip
    subjects = [line for line in lines if line.result.summary and line.result.summary.unit == "subject"]
    if subjects:
        told = [(_name(line), _content(line.result)) for line in subjects]
        some = [(_name(line), line.result.summary) for line in subjects if line.result.summary]
        alt = "UAR of each subject; the page tells them in each row's details"
        yield Wanted(
            f"subjects-{number}", f"Each subject: {title}", captions.subjects(table, subjects, facts), alt, told,
            partial(painting.subjects, some, title), _size([name for name, _ in told]),
        )  # fmt: skip


def _size(names: Sequence[str]) -> tuple[float, float]:
    """As high as the names need."""
    return COLUMN, 0.9 + sum(0.12 + 0.12 * len(painting.lines(name)) for name in names)


def _across(board: "Board") -> Iterator[Wanted]:
    for number, across in enumerate(board.across[:ACROSS]):
        if across.ranks.critical_difference is None:
            continue
        descriptive = " (descriptive)" if across.ranks.descriptive else ""
        title = f"Mean ranks over {len(across.scores)} corpora, {across.task}, {across.protocol}{descriptive}"
        told = _ranked(across)
        reach = across.ranks.critical_difference
        alt = f"critical difference {reach:.2f}; " + "; ".join(f"{name} {rank:.2f}" for name, rank in told)
        size = (COLUMN, 1.2 + 0.26 * ((len(told) + 1) // 2))
        paint = partial(painting.critical, told, reach, title)
        yield Wanted(f"ranks-{number}", title, captions.ranks(across), alt, told, paint, size, True)


def _ranked(across: Across) -> list[tuple[str, float]]:
    return [(str(name), float(rank)) for name, rank in across.ranks.mean.sort_values().items()]


def _leakages(board: "Board") -> Iterator[Wanted]:
    for standin in (False, True):
        there = [one for one in board.inflations if one.leaking.arena.standin is standin]
        some = there[:ROWS]
        if some:
            title = f"{'STAND-INS: ' if standin else ''}UAR gained by a split that leaks people"
            bars = [
                Bar(_pair(one, board.facts), one.found.difference, one.found.low, one.found.high, True) for one in some
            ]
            alt = "; ".join(f"{bar.name} {100 * bar.value:+.1f} points" for bar in bars)
            name = "leakage-standins" if standin else "leakage"
            caption = captions.leakage(some, len(there) + board.uncompared(standin))
            paint = partial(painting.leakage, bars, title)
            yield Wanted(name, title, caption, alt, bars, paint, _size([bar.name for bar in bars]), True)


def _details(line: Line, number: int, facts: Facts) -> Iterator[Wanted]:
    result, summary = line.result, line.result.summary
    if summary is None:
        return
    title, told = f"{_name(line)}\n{where(result.arena, facts)}", _content(result)
    long = (COLUMN, 2.1 + 0.08 * min(len(summary.curves), CURVES))
    square = (COLUMN, COLUMN * 0.85)
    parts = [
        ("confusion", True, captions.confusion(line, facts), painting.confusion, square),
        ("calibration", bool(summary.calibration), captions.calibration(line, facts), painting.calibration, square),
        ("curves", bool(summary.curves), captions.curves(line, facts, CURVES), painting.curves, long),
    ]
    for kind, there, caption, paint, size in parts:
        if there:
            yield Wanted(f"{kind}-{number}", title, caption, kind, told, partial(paint, summary, title), size)


def _drawable(table: Table) -> list[Line]:
    """The best of the ranked, else of the others that have answers each system once before any twice."""
    return list((table.ranked or featured(table.others))[:ROWS])


def _uar(line: Line) -> tuple[float, float | None, float | None]:
    found = line.result.scores[FIRST]
    return found.estimate, found.low, found.high


def _name(line: Line) -> str:
    """A row says in every figure what it is, and why it is not ranked."""
    return line.result.title + ("" if line.rank else "\n") + f" ({marked(line.result, line.reasons)})"


def _pair(one: Inflation, facts: Facts) -> str:
    arena = one.leaking.arena
    return f"{one.leaking.title} ({marked(one.leaking, one.marks)})\n{facts.title(arena.corpus)}, {arena.protocol}"
