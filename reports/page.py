"""The page: one file without a network, made from templates that escape all that they are given."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from reports import compared, formats, sketch
from reports.ranking import Line, Table
from reports.results import METRICS, MethodFacts
from reports.summary import COSTS

if TYPE_CHECKING:
    from reports.charts import Figure
    from reports.leaderboard import Board

TEMPLATES = Path(__file__).parent / "templates"
DETAILED = 100  # rows with pictures at most
LONG = 300  # rows; of more, a table is laid out when it is seen, which moves what stands below it
LARGEST = 4_800_000  # bytes of the page that rows with pictures may fill: a larger one is slow to open


@dataclass(frozen=True, eq=False)
class Shown:
    """A method, and the rows that are shown in detail."""

    name: str
    facts: MethodFacts | None
    details: Sequence["Detail"]
    others: int  # rows with answers that are in the tables alone


def page(board: "Board", figures: Sequence["Figure"], drawn: str = "") -> str:
    """The whole page as text: the tables, and as many rows in detail as there is room for.

    `drawn` says what of all there are figures of.
    """
    environment = _environment()
    shown = Pictures(figures, drawn)
    room = LARGEST - len(_rendered(environment, board, shown, []).encode())
    return _rendered(environment, board, shown, _details(environment, board, room))


@dataclass(frozen=True)
class Pictures:
    """Figures, and what of all there are figures of; empty where it is all."""

    figures: Sequence["Figure"]
    drawn: str


@dataclass(frozen=True, eq=False)
class Detail:
    """A row with its pictures, as it stands in the page."""

    line: Line
    anchor: str
    text: Markup


def _details(environment: Environment, board: "Board", room: int) -> list[Detail]:
    """Until the room is filled."""
    macros: Any = environment.get_template("parts.html").make_module({"facts": board.facts})
    found = []
    for number, line in enumerate(featured(board.lines)[:DETAILED]):
        one = Detail(line, f"d{number}", Markup(_flush(macros.detail(line, f"d{number}"))))  # noqa: S704
        room -= len(one.text.encode()) + 50  # and the row's link to it
        if room < 0:
            break
        found.append(one)
    return found


def _rendered(environment: Environment, board: "Board", pictures: Pictures, details: Sequence[Detail]) -> str:
    script, style = (Markup(_flush((TEMPLATES / name).read_text("utf-8"))) for name in ("page.js", "page.css"))  # noqa: S704
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    standins = [one for one in details if one.line.result.arena.standin]
    text = environment.get_template("page.html").render(
        board=board,
        facts=board.facts,
        real=[table for table in board.tables if not table.arena.standin],
        standins=[table for table in board.tables if table.arena.standin],
        paired=compared.by_arena(board.pairs),
        inflations=[one for one in board.inflations if not one.leaking.arena.standin],
        standin_inflations=[one for one in board.inflations if one.leaking.arena.standin],
        methods=list(_methods(board, details)),
        detailed_standins=standins,
        more_standins=sum(_answered(line, standin=True) for line in board.lines) - len(standins),
        anchors={one.line.result.run_id: one.anchor for one in details},
        figures=pictures.figures,
        drawn=pictures.drawn,
        metrics=METRICS,
        costs=COSTS,
        long=LONG,
        script=script,
        style=style,
        script_digest=digest,
        choices=_choices(board.tables),
    )
    return _flush(text)


def _flush(text: str) -> str:
    """Without indentation, which is a tenth of a long page."""
    return re.sub(r"\n\s*", "\n", text)


def featured(lines: Sequence[Line]) -> list[Line]:
    """Rows with answers: the ranked first, then what is nearest to it, each system once before any twice."""
    some = [line for line in lines if line.result.scores]
    seen: dict[object, int] = {}
    turns: list[tuple[bool, bool, int, int, Line]] = []
    for line in sorted(some, key=lambda line: (line.rank is None, line.rank or 0, -line.result.begun)):
        key = line.result.asked.method, line.result.arena
        seen[key] = seen.get(key, 0) + 1
        turns.append((line.rank is None, line.result.arena.standin, seen[key], len(turns), line))
    return [line for *_, line in sorted(turns, key=lambda turn: turn[:-1])]


def _methods(board: "Board", details: Sequence[Detail]) -> Iterator[Shown]:
    """In the order of their names, those without rows too."""
    facts = {one.name: one for one in board.facts.methods}
    rows = Counter(line.result.asked.method for line in board.lines if _answered(line, standin=False))
    for name in sorted({*facts, *(line.result.asked.method for line in board.lines)}):
        own = [one for one in details if one.line.result.asked.method == name and not one.line.result.arena.standin]
        yield Shown(name, facts.get(name), own, rows[name] - len(own))


def _answered(line: Line, standin: bool) -> bool:
    return bool(line.result.scores) and line.result.arena.standin is standin


def _choices(tables: Sequence[Table]) -> Mapping[str, list[str]]:
    """What can be filtered for."""
    results = [line.result for table in tables for line in table.lines]
    return {
        "corpus": sorted({result.arena.corpus for result in results}),
        "protocol": sorted({result.arena.protocol for result in results}),
        "task": sorted({result.arena.task for result in results}),
        "method": sorted({result.asked.method for result in results}),
        "modality": sorted({result.asked.modality for result in results}),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": formats.percent,
        "signed": formats.signed,
        "link": link,
        "key": _key,
        "doi": lambda doi: f"https://doi.org/{quote(doi, safe='/().-_:;')}",
    }
    environment.globals |= {
        "bounds": formats.bounds,
        "cost": formats.cost,
        "shown_cost": formats.shown_cost,
        "limits": compared.limits,
        "effect": compared.effect,
        "titles": formats.TITLES,
        "where": formats.where,
        "sketch": sketch,
    }
    return environment


def link(address: str) -> str:
    """An address that may be followed: of the web, or a place beside the page; else nowhere."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        return ""
    if scheme in ("http", "https"):
        return address
    return quote(address, safe="/.-_~") if not scheme and not address.startswith("//") else ""


def _key(value: float | None) -> str:
    """What a column is sorted by."""
    return "" if value is None else f"{value:.5g}"
