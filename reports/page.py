"""The page: one file without a network, made from templates that escape all that they are given."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from reports import formats, sketch
from reports.ranking import Line, Table
from reports.results import METRICS, MethodFacts
from reports.summary import COSTS

if TYPE_CHECKING:
    from reports.charts import Figure
    from reports.leaderboard import Board

TEMPLATES = Path(__file__).parent / "templates"
DETAILED = 100  # rows with pictures: more would make the page too large to open


@dataclass(frozen=True, eq=False)
class Shown:
    """A method, and the rows that are shown in detail."""

    name: str
    facts: MethodFacts | None
    lines: Sequence[Line]
    others: int  # rows in the tables without a picture


def page(board: "Board", figures: Sequence["Figure"]) -> str:
    """The whole page as text."""
    script, style = (Markup(_flush((TEMPLATES / name).read_text("utf-8"))) for name in ("page.js", "page.css"))  # noqa: S704
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    detailed = featured(board.lines)[:DETAILED]
    real = [line for line in detailed if not line.result.arena.standin]
    text = (
        _environment()
        .get_template("page.html")
        .render(
            board=board,
            facts=board.facts,
            real=[table for table in board.tables if not table.arena.standin],
            standins=[table for table in board.tables if table.arena.standin],
            inflations=[one for one in board.inflations if not one.leaking.arena.standin],
            standin_inflations=[one for one in board.inflations if one.leaking.arena.standin],
            methods=_methods(board, real),
            detailed_standins=[line for line in detailed if line.result.arena.standin],
            anchors={line.result.run_id: f"d{number}" for number, line in enumerate(detailed)},
            figures=figures,
            metrics=METRICS,
            costs=COSTS,
            script=script,
            style=style,
            script_digest=digest,
            choices=_choices(board.tables),
        )
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


def _methods(board: "Board", detailed: Sequence[Line]) -> list[Shown]:
    """In the order of their names, those without rows too."""
    facts = {one.name: one for one in board.facts.methods}
    names = sorted({*facts, *(line.result.asked.method for line in board.lines)})
    rows: dict[str, int] = {}
    for line in board.lines:
        if not line.result.arena.standin:
            rows[line.result.asked.method] = rows.get(line.result.asked.method, 0) + 1
    found = []
    for name in names:
        own = [line for line in detailed if line.result.asked.method == name]
        found.append(Shown(name, facts.get(name), own, rows.get(name, 0) - len(own)))
    return found


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
        "narrow": formats.NARROW,
        "cost": formats.cost,
        "shown_cost": formats.shown_cost,
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
