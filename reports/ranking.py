"""Which rows are ranked, and why the others are not. Rows are ranked within an arena and nowhere else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

from reports.results import FIRST, Arena, Result


@dataclass(frozen=True)
class Reason:
    """Why a row is not ranked; `kind` chooses the badge, `text` is what it says."""

    kind: str
    text: str

    @property
    def short(self) -> str:
        """A word or two, for a figure; of a change what it was, for it tells rows apart."""
        changed = f"changed: {shorten(self.text, 40, placeholder='...')}" if self.kind == "changed" else self.kind
        return _SHORT.get(self.kind, changed)


@dataclass(frozen=True, eq=False)
class Line:
    """A row with its place, or why it has none."""

    result: Result
    reasons: tuple[Reason, ...]
    rank: int | None = None

    @property
    def marks(self) -> tuple[Reason, ...]:
        """The reasons, and what must be seen though it keeps nothing from being ranked."""
        told = ", ".join(self.result.asked.noted)
        return (*self.reasons, *([Reason("note", told)] if told else []))


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of an arena: the ranked in their order, then the others."""

    arena: Arena
    ranked: tuple[Line, ...]
    others: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return (*self.ranked, *self.others)


def reasons(result: Result) -> list[Reason]:
    """All that keeps a row from being ranked, but for others that stand for it."""
    asked, material, found = result.asked, result.material, list[Reason]()
    if result.arena.standin:
        found.append(Reason("standin", "STAND-IN: rendered, not recorded"))
    if result.independence != "verified":
        found.append(Reason(result.independence, f"independence of subjects {result.independence}"))
    if result.fault:
        found.append(Reason("incomplete", result.fault))
    elif not result.complete:
        found.append(Reason("incomplete", f"incomplete: {result.done} of {result.planned or 'unknown'} folds"))
    if material.partial:
        found.append(Reason("partial", f"partial corpus: {material.clips} of {material.whole} clips"))
    if material.excluded:
        found.append(Reason("excluded", f"{material.excluded} clips excluded by name"))
    if asked.preset != "paper":
        found.append(Reason(asked.preset, _PRESETS.get(asked.preset, f"preset {asked.preset or 'unknown'}")))
    found += [_STAMPS.get(stamp, Reason("changed", stamp)) for stamp in _stamps(asked.changed)]
    return found


_STAMPS = {
    "weights none": Reason("scratch", "from scratch: weights none"),
    "tuned_on_test_subjects": Reason(
        "tuned_on_test_subjects", "tuned_on_test_subjects: its settings were found on people who are tested"
    ),
}
_SHORT = {
    "standin": "STAND-IN",
    "violated": "people on both sides",
    "unknown": "people unknown",
    "partial": "partial corpus",
    "scratch": "from scratch",
    "excluded": "clips excluded",
    "copy": "another copy",
    "tuned_on_test_subjects": "tuned on test",
}
_PRESETS = {
    "quick": "quick: small networks, trained from scratch",
    "imported": "imported: answers that were made elsewhere",
}


def marked(result: Result, found: Sequence[Reason]) -> str:
    """A row's preset and its reasons, short."""
    return ", ".join(
        dict.fromkeys((result.asked.preset or "preset unknown", *(one.short for one in found if one.kind)))
    )


def _stamps(told: str) -> list[str]:
    """Those that have a meaning of their own apart from the rest."""
    parts = told.split(", ")
    rest = ", ".join(part for part in parts if part not in _STAMPS)
    return [*(part for part in parts if part in _STAMPS), *([rest] if rest else [])]


def tables(results: Sequence[Result]) -> list[Table]:
    """A table for each arena, real corpora first."""
    arenas: dict[Arena, list[Result]] = {}
    for result in results:
        arenas.setdefault(result.arena, []).append(result)
    order = sorted(arenas, key=lambda arena: (arena.standin, arena.corpus, arena.task, arena.protocol))
    return [_table(arena, arenas[arena]) for arena in order]


def _table(arena: Arena, results: Sequence[Result]) -> Table:
    fit = {result.run_id: tuple(reasons(result)) for result in results}
    fitting = [result for result in results if not fit[result.run_id]]
    copy = _copy(fitting)
    standing = _standing([result for result in fitting if result.material.digest == copy])
    best = sorted(standing.values(), key=lambda result: (-_score(result), result.title))
    ranked = [Line(result, (), 1 + sum(_score(other) > _score(result) for other in best)) for result in best]
    kept = {result.run_id for result in best}
    others = [
        Line(result, fit[result.run_id] or (_beside(result, copy, standing),))
        for result in sorted(results, key=lambda result: (result.title, -_score(result), result.begun))
        if result.run_id not in kept
    ]
    return Table(arena, tuple(ranked), tuple(others))


def _copy(results: Sequence[Result]) -> str:
    """The digest of the fullest copy of the corpus, of equals the newest: other clips are another contest."""
    newest = max(results, key=lambda result: (result.material.clips, result.begun), default=None)
    return newest.material.digest if newest else ""


def _standing(results: Sequence[Result]) -> Mapping[tuple[str, str, str], Result]:
    """Of rows of the same system the newest version's, with the most Cells, the newest: none counts twice."""
    found: dict[tuple[str, str, str], Result] = {}
    for result in sorted(results, key=lambda result: (_version(result), result.planned, result.begun)):
        found[system(result)] = result
    return found


def _version(result: Result) -> list[int]:
    """A method's version as numbers; one that is not told is the oldest."""
    return [int(part) for part in re.findall(r"\d+", result.version)]


def _beside(result: Result, copy: str, standing: Mapping[tuple[str, str, str], Result]) -> Reason:
    """Why a row without a fault of its own is not ranked."""
    if result.material.digest != copy:
        return Reason("copy", "another copy of the corpus")
    if _version(result) < _version(standing[system(result)]):
        return Reason("superseded", "older version")
    return Reason("superseded", "a fuller or newer row stands for it")


def system(result: Result) -> tuple[str, str, str]:
    """What is compared: a method in a variant, tuned or not, on some tracks; its defaults are one, however called."""
    variant = "" if result.default else result.asked.variant
    return result.asked.method, " ".join(filter(None, (variant, result.asked.tuned))), result.asked.modality


def _score(result: Result) -> float:
    return result.scores[FIRST].estimate if result.scores else -1.0
