"""Figures for papers, as PNG and SVG: one style, colours that colour-blind people tell apart, a column wide."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import files, sketch
from reports.comparisons import Across, Inflation
from reports.formats import where
from reports.page import featured
from reports.ranking import Line, Table, marked
from reports.results import FIRST, Facts, Result
from reports.statistics import measure
from reports.summary import Summary
from reports.tuning import wanted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from reports.leaderboard import Board

COLUMN, DPI = 3.5, 200  # inches
ARENAS, ROWS, DETAILS, ACROSS = 12, 16, 6, 3  # so many of each are drawn
INDEX = "index.json"
DRAWING = 2  # counted up where figures of the same facts come to look otherwise
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
    alt: str
    image: str
    width: int
    height: int


@dataclass(frozen=True)
class Wanted:
    """A figure to be drawn from some facts; what was drawn from the same facts before is kept."""

    name: str
    title: str
    alt: str
    facts: object
    paint: Callable[["Canvas"], None]
    size: tuple[float, float]
    shown: bool


def draw(board: "Board", folder: Path) -> list[Figure]:
    """All figures into the folder; those of earlier results go."""
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
    return [_told(one, folder) for one in wanted]


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
        files.whole(folder / f"{one.name}.svg", partial(canvas.savefig, metadata={"Date": None}))


def _told(one: Wanted, folder: Path) -> Figure:
    image = base64.b64encode((folder / f"{one.name}.png").read_bytes()).decode() if one.shown else ""
    width, height = (round(side * 130) for side in one.size)
    return Figure(one.name, one.title, one.alt, image, width, height)


def _wanted(board: "Board") -> Iterator[Wanted]:
    facts = board.facts
    for number, table in enumerate([table for table in board.tables if _drawable(table)][:ARENAS]):
        lines = _drawable(table)
        told = [(_name(line), line.rank, _uar(line), line.result.material.chance) for line in lines]
        title, height = where(table.arena, facts), 0.9 + (0.24 if table.ranked else 0.34) * len(lines)
        alt = "; ".join(f"{name} {100 * score:.1f} %" for name, _, (score, *_), _ in told)
        size = (COLUMN, height)
        yield Wanted(f"scores-{number}", title, f"UAR: {alt}", told, partial(_scores, table, title), size, number < 4)
        subjects = [line for line in lines if line.result.summary and line.result.summary.unit == "subject"]
        if subjects:
            counts = [(_name(line), _content(line.result)) for line in subjects]
            paint = partial(_subjects, subjects, title)
            alt = "UAR of each subject; the page tells them in each row's details"
            yield Wanted(f"subjects-{number}", f"Each subject: {title}", alt, counts, paint, size, False)
    yield from _across(board)
    yield from wanted(board.tunings, facts)
    for number, line in enumerate(featured(board.lines)[:DETAILS]):
        yield from _details(line, number, facts)


def _across(board: "Board") -> Iterator[Wanted]:
    for number, across in enumerate(board.across[:ACROSS]):
        if across.ranks.critical_difference is None:
            continue
        descriptive = " (descriptive)" if across.ranks.descriptive else ""
        title = f"Mean ranks over {len(across.scores)} corpora, {across.task}{descriptive}"
        told = [(str(name), float(rank)) for name, rank in across.ranks.mean.sort_values().items()]
        alt = f"critical difference {across.ranks.critical_difference:.2f}; " + "; ".join(
            f"{n} {r:.2f}" for n, r in told
        )
        size = (COLUMN, 1.2 + 0.26 * ((len(told) + 1) // 2))
        yield Wanted(f"ranks-{number}", title, alt, told, partial(_critical, across, title), size, True)
    for standin in (False, True):
        some = [one for one in board.inflations if one.leaking.arena.standin is standin][:ROWS]
        if some:
            title = f"{'STAND-INS: ' if standin else ''}UAR gained by a split that leaks people"
            gained = [(_pair(one, board.facts), one.found.difference, one.found.low, one.found.high) for one in some]
            alt = "; ".join(f"{name} {100 * difference:+.1f} points" for name, difference, *_ in gained)
            name = "leakage-standins" if standin else "leakage"
            size = (COLUMN, 0.9 + 0.34 * len(some))
            yield Wanted(name, title, alt, gained, partial(_leakage, gained, title), size, True)


def _details(line: Line, number: int, facts: Facts) -> Iterator[Wanted]:
    result = line.result
    if result.summary is None:
        return
    title, told = f"{_name(line)}\n{where(result.arena, facts)}", _content(result)
    size = (COLUMN, COLUMN * 0.85)
    paint = partial(_confusion, result.summary, title)
    yield Wanted(f"confusion-{number}", title, "confusion", told, paint, size, False)
    if result.summary.calibration:
        paint = partial(_calibration, result.summary, title)
        yield Wanted(f"calibration-{number}", title, "calibration", told, paint, size, False)
    if result.summary.curves:
        paint = partial(_curves, result.summary, title)
        yield Wanted(f"curves-{number}", title, "learning curves", told, paint, (COLUMN, 2.2), False)


def _drawable(table: Table) -> list[Line]:
    """The ranked, else the others that have answers."""
    some = table.ranked or tuple(line for line in table.others if line.result.scores)
    return list(some[:ROWS])


def _uar(line: Line) -> tuple[float, float | None, float | None]:
    found = line.result.scores[FIRST]
    return found.estimate, found.low, found.high


def _name(line: Line) -> str:
    """A row says in every figure what it is, and why it is not ranked."""
    return line.result.title + ("" if line.rank else "\n") + f" ({marked(line.result, line.reasons)})"


def _palette(count: int) -> list[tuple[float, float, float]]:
    import seaborn

    colours: list[tuple[float, float, float]] = seaborn.color_palette("colorblind", count)
    return colours


def _scores(table: Table, title: str, canvas: "Canvas") -> None:
    axes = canvas.subplots()
    lines = _drawable(table)
    for place, line in enumerate(lines):
        score, low, high = _uar(line)
        colour = _palette(1)[0] if line.rank else "dimgray"
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.5)
        axes.plot(100 * score, place, "o", color=colour, markersize=5, markerfacecolor=colour if line.rank else "white")
    chance = lines[0].result.material.chance
    if chance:
        axes.axvline(100 * chance, color="gray", linestyle=":", linewidth=1)
    _named(axes, [_name(line) for line in lines])
    _titled(canvas, title, "UAR (%) with 95 % interval; dotted: chance")


def _subjects(lines: Sequence[Line], title: str, canvas: "Canvas") -> None:
    import seaborn

    axes = canvas.subplots()
    for place, line in enumerate(lines):
        summary = line.result.summary
        if summary is not None:
            values = 100 * measure(summary.counts, FIRST)
            places = np.full(len(values), place)
            seaborn.stripplot(
                x=values, y=places, orient="h", ax=axes, size=3, alpha=0.7, color=_palette(1)[0], native_scale=True
            )
            axes.plot(values.mean(), place, "|", color="black", markersize=10)
    _named(axes, [_name(line) for line in lines])
    _titled(canvas, title, "UAR (%) of each subject; bar: their mean")


def _leakage(told: Sequence[tuple[str, float, float | None, float | None]], title: str, canvas: "Canvas") -> None:
    axes = canvas.subplots()
    for place, (_, difference, low, high) in enumerate(told):
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=_palette(4)[3], linewidth=1.5)
        axes.plot(100 * difference, place, "o", color=_palette(4)[3], markersize=5)
    axes.axvline(0, color="gray", linewidth=1)
    _named(axes, [name for name, *_ in told])
    _titled(canvas, title, "points of UAR with 95 % interval")


def _pair(one: Inflation, facts: Facts) -> str:
    arena = one.leaking.arena
    return f"{one.leaking.title} ({marked(one.leaking, one.marks)})\n{facts.title(arena.corpus)}, {arena.protocol}"


def _named(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _titled(canvas: "Canvas", title: str, below: str) -> None:
    """Over and under the whole figure, where there is most room."""
    canvas.suptitle("\n".join(fill(line, 52, break_on_hyphens=False) for line in title.splitlines()), fontsize=8)
    if below:
        canvas.supxlabel(below, fontsize=8)


def _critical(across: Across, title: str, canvas: "Canvas") -> None:
    """Demšar's diagram: bars join systems whose ranks differ by less than the critical difference."""
    axes = canvas.subplots()
    mean, reach = across.ranks.mean.sort_values(), across.ranks.critical_difference or 0.0
    count = len(mean)
    half, wide = (count + 1) // 2, 0.7 * (count - 1)  # room for names on either side
    groups = _cliques(mean.to_numpy(), reach)
    axes.hlines(0, 1, count, color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.vlines(tick, 0, 0.2, color="black", linewidth=1)
        axes.text(tick, 0.3, str(tick), ha="center", va="bottom")
    for number, (first, last) in enumerate(groups):
        axes.hlines(-0.35 - 0.3 * number, first, last, color="black", linewidth=2.5)
    for place, (name, rank) in enumerate(mean.items()):
        left = place < half
        level = -1 - 0.3 * len(groups) - (place if left else count - 1 - place)
        edge, side = (1 - 0.02 * wide, "right") if left else (count + 0.02 * wide, "left")
        axes.plot([rank, rank, edge], [0, level, level], color=_palette(1)[0], linewidth=1)
        axes.text(edge, level, f" {fill(str(name), 18, break_on_hyphens=False)} ", ha=side, va="center", fontsize=7)
    end = min(1 + reach, count + wide)
    axes.hlines(1.6, 1, end, color="dimgray", linewidth=1.5)
    axes.text(1, 1.75, f"critical difference {reach:.2f}", va="bottom", fontsize=7)
    axes.set(xlim=(1 - wide, count + wide), ylim=(-half - 0.7 - 0.3 * len(groups), 2.6))
    _titled(canvas, title, "")
    axes.set_axis_off()


def _cliques(ranks: np.ndarray, reach: float) -> list[tuple[float, float]]:
    """The widest groups of sorted ranks in which the first and the last differ by less than the critical difference."""
    found: list[tuple[float, float]] = []
    for first in ranks:
        last = max(float(rank) for rank in ranks if first <= rank < first + reach)
        if last > first and not any(last <= other for _, other in found):
            found.append((float(first), last))
    return found


def _confusion(summary: Summary, title: str, canvas: "Canvas") -> None:
    import seaborn

    axes = canvas.subplots()
    shares = 100 * np.asarray(sketch.shares(summary))
    seaborn.heatmap(
        shares, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, square=True, ax=axes, annot_kws={"size": 7},
        xticklabels=summary.labels, yticklabels=summary.labels, cbar_kws={"label": "% of the true class"},
    )  # fmt: skip
    axes.set_ylabel("true")
    _titled(canvas, title, "answered")
    axes.tick_params(axis="x", rotation=45)


def _calibration(summary: Summary, title: str, canvas: "Canvas") -> None:
    axes = canvas.subplots()
    bins = summary.calibration
    axes.plot([0, 100], [0, 100], color="gray", linestyle="--", linewidth=1)
    sizes = [10 + 150 * one.answers / sum(other.answers for other in bins) for one in bins]
    axes.plot([100 * one.confidence for one in bins], [100 * one.accuracy for one in bins], color=_palette(1)[0])
    axes.scatter(
        [100 * one.confidence for one in bins], [100 * one.accuracy for one in bins], s=sizes, color=_palette(1)[0]
    )
    axes.set(ylabel="right (%)", xlim=(0, 102), ylim=(0, 102), aspect="equal")
    _titled(canvas, title, "sure (%)")


def _curves(summary: Summary, title: str, canvas: "Canvas") -> None:
    axes = canvas.subplots()
    shown: Mapping[str, object] = dict(list(summary.curves.items())[: sketch.CURVES])
    for colour, name in zip(_palette(len(shown)), shown, strict=True):
        curve = summary.curves[name]
        steps = [one.step for one in curve]
        axes.plot(steps, [one.mean for one in curve], color=colour, label=name)
        axes.fill_between(steps, [one.low for one in curve], [one.high for one in curve], color=colour, alpha=0.2, lw=0)
    axes.legend(frameon=False, fontsize=7)
    axes.set_ylabel("mean and range of folds")
    _titled(canvas, title, "step")
