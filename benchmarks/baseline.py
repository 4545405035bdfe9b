"""A frozen baseline: one small JSON file, written to be reviewed and read as if a stranger had written it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from benchmarks.arenas import Arena
from benchmarks.outcome import Outcome
from benchmarks.plan import Entrant
from datasets.clips import UserError
from datasets.roll import Clips
from reports.gate import METRICS
from reports.statistics import measure
from reports.tally import Tally, tally

FORMAT = 1
BYTES = 10_000_000  # a file of more is no baseline
LABELS = 100  # of which more are no emotions
CELLS = 10_000_000  # of all matrices together: 80 MB
MOST = 1_000_000  # answers in a single count
PLACES = 4  # of the scores, which are there for readers
UNITS = ("subject", "clip")
AGAIN = "freeze it again with --freeze"
MUST_MATCH = {
    "method": str, "dataset": str, "standin": bool, "corpus": str, "task": str, "labels": list, "folds": str,
    "modality": str, "variant": str, "preset": str,
}  # fmt: skip
MAY_DIFFER = {
    "version": int, "source": str, "config": dict, "weights": str, "initial": dict, "stamps": list, "protocol": str,
    "independence": str, "seeds": int, "key": str, "cells": list, "run_id": str, "date": str, "environment": dict,
}  # fmt: skip
TOP = {
    "format": int,
    "must_match": dict,
    "may_differ": dict,
    "scores": dict,
    "unit": str,
    "answers": int,
    "counts": dict,
}


class BaselineError(UserError):
    """A file is no baseline, or cannot become one."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """What was asked, how it was answered, and the answers; `answers` is how many of them make a count of one."""

    must_match: Mapping[str, Any]
    may_differ: Mapping[str, Any]
    tally: Tally
    answers: int

    def scores(self) -> dict[str, float]:
        """Pooled over all clips, as they are written."""
        return {name: round(float(measure(self.tally.counts.sum(0), name)), PLACES) for name in METRICS}

    def text(self) -> str:
        """The file: one line for a fact, one for a class of a subject; counts are whole numbers."""
        labels = self.must_match["labels"]
        whole = np.rint(self.tally.counts * self.answers).astype(int).tolist()
        counts = {unit: _named(table, labels) for unit, table in zip(self.tally.names, whole, strict=True)}
        document = {
            "format": FORMAT,
            "must_match": self.must_match,
            "may_differ": self.may_differ,
            "scores": self.scores(),
            "unit": self.tally.unit,
            "answers": self.answers,
            "counts": counts,
        }
        return _lines(document, 3) + "\n"


def question(row: Entrant, arena: Arena) -> dict[str, Any]:
    """What must be the same, else scores say nothing about each other."""
    return {
        "method": row.name,
        "dataset": arena.dataset.name,
        "standin": arena.dataset.standin,
        "corpus": arena.digest,
        "task": arena.task,
        "labels": list(arena.folds[0].labels),
        "folds": _who(arena),
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
    }


def frozen(outcome: Outcome, environment: Mapping[str, Any]) -> Baseline:
    """A complete row as a baseline."""
    row, arena = outcome.row, outcome.arena
    made = {
        "version": row.version,
        "source": row.source,
        "config": asdict(row.config),
        "weights": row.weights or "none needed",
        "initial": {part: list(initial.corpora) for part, initial in row.initials.items()},
        "stamps": list(row.stamps),
        "protocol": arena.protocol,
        "independence": row.independence(arena.independence),
        "seeds": len({cell.seed for cell in row.cells}),
        "key": row.key,
        "cells": [{"fold": cell.fold.name, "seed": cell.seed, "key": cell.key} for cell in row.cells],
        "run_id": outcome.run_id,
        "date": date.today().isoformat(),
        "environment": environment,
    }
    answers = _answers(outcome)
    return Baseline(
        question(row, arena),
        json.loads(json.dumps(made, default=str)),  # as it will be read
        tally(answers, arena.folds[0].labels),
        math.lcm(*answers["clip"].value_counts()),
    )


def _answers(outcome: Outcome) -> pd.DataFrame:
    """All answers of a row, one a line."""
    scores = [result.scores for result in outcome.finished if result.scores]
    rows = [line for part in scores for line in zip(part.names, part.subjects, part.truth, part.predicted, strict=True)]
    return pd.DataFrame(rows, columns=["clip", "subject", "truth", "predicted"])


def _who(arena: Arena) -> str:
    """Digest of who is trained on and tested in which fold, whatever the folds are called."""
    folds = sorted(
        [arena.contents.held(Clips.of(fold.train).media), arena.contents.held(fold.test_media)]
        for fold in arena.folds
    )  # fmt: skip
    return sha256(json.dumps(folds).encode()).hexdigest()


def _named(table: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Counts by true class and answer; what is 0 is left out."""
    rows = {
        label: {said: n for said, n in zip(labels, row, strict=True) if n}
        for label, row in zip(labels, table, strict=True)
    }
    return {label: row for label, row in rows.items() if row}


def _lines(value: Any, depth: int) -> str:
    """JSON that is broken into lines down to a depth, where there is more than one thing to tell."""
    if not depth or not isinstance(value, Mapping | list) or len(value) < 2:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        inside = [_lines(item, depth - 1) for item in value]
    else:
        inside = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(item, depth - 1)}" for key, item in value.items()]
    start, end = "[]" if isinstance(value, list) else "{}"
    body = ",\n".join(inside).replace("\n", "\n ")
    return f"{start}\n {body}\n{end}"


def read(file: Path) -> Baseline:
    """A baseline, or an error that says what is wrong with the file."""
    try:
        if file.stat().st_size > BYTES:
            raise BaselineError(f"{file} has {file.stat().st_size} bytes and is no baseline; {AGAIN}")
        document = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except FileNotFoundError:
        raise BaselineError(f"there is no baseline {file}; --freeze makes one") from None
    except (OSError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, numbers of a million digits
        raise BaselineError(f"{file} cannot be read as JSON ({str(error)[:200]}); {AGAIN}") from None
    try:
        return _checked(document)
    except BaselineError as error:
        raise BaselineError(f"{file}: {error}; {AGAIN}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _checked(document: Any) -> Baseline:
    if not isinstance(document, dict) or "format" not in document:
        raise BaselineError("this is no baseline, it names no format")
    if document["format"] != FORMAT or isinstance(document["format"], bool):
        raise BaselineError(f"its format is {str(document['format'])[:20]}, but this program reads {FORMAT}")
    _fields(document, TOP, "the file")
    _fields(document["must_match"], MUST_MATCH, "must_match")
    _fields(document["may_differ"], MAY_DIFFER, "may_differ")
    labels = document["must_match"]["labels"]
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < max(2, len(labels)):
        raise BaselineError(f"labels must be two different names or more, but are {str(labels)[:80]}")
    if len(labels) > LABELS or len(document["counts"]) * len(labels) ** 2 > CELLS:
        raise BaselineError(f"{len(labels)} labels of {len(document['counts'])} units are too many")
    if document["unit"] not in UNITS:
        raise BaselineError(f"unit must be {' or '.join(UNITS)}, but is {document['unit'][:20]!r}")
    _number(document["answers"], 1, "answers")
    if not document["counts"]:
        raise BaselineError("counts are empty")
    counts = np.array([_table(unit, told, labels) for unit, told in document["counts"].items()], dtype=np.float64)
    found = Tally(counts / document["answers"], tuple(document["counts"]), document["unit"])
    _fits(document["scores"], found)
    return Baseline(document["must_match"], document["may_differ"], found, document["answers"])


def _fields(given: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    """All of them, no other, each of its kind."""
    if missing := [name for name in kinds if name not in given]:
        raise BaselineError(f"{where} lacks {missing[0]!r}")
    if strange := [name for name in given if name not in kinds]:
        raise BaselineError(f"{where} has {strange[0][:40]!r}, which no baseline has")
    for name, kind in kinds.items():
        if type(given[name]) is not kind:
            raise BaselineError(f"{name} in {where} must be {kind.__name__}, but is {str(given[name])[:40]!r}")


def _table(unit: str, told: Any, labels: Sequence[str]) -> list[list[int]]:
    """The matrix of a unit from its named counts."""
    table = [[0] * len(labels) for _ in labels]
    if not isinstance(told, dict) or not told:
        raise BaselineError(f"{unit!r} has no counts")
    for true, row in told.items():
        if not isinstance(row, dict):
            raise BaselineError(f"counts of {unit!r}, {true!r} must be by answer, but are {str(row)[:40]!r}")
        for said, count in row.items():
            if unknown := {true, said} - set(labels):
                raise BaselineError(f"{min(unknown)[:40]!r} of {unit!r} is none of the labels")
            table[labels.index(true)][labels.index(said)] = _number(count, 0, f"{unit!r}, {true} answered {said},")
    if not any(map(any, table)):
        raise BaselineError(f"{unit!r} has no clips")
    return table


def _number(value: Any, least: int, what: str) -> int:
    if type(value) is not int or not least <= value <= MOST:
        raise BaselineError(f"{what} must be a whole number from {least} to {MOST}, but is {str(value)[:40]!r}")
    return value


def _fits(scores: Mapping[str, Any], found: Tally) -> None:
    """Scores are told for readers; they must be those of the counts."""
    _fields(scores, dict.fromkeys(METRICS, float), "scores")
    for name in METRICS:
        value = float(measure(found.counts.sum(0), name))
        if not abs(scores[name] - value) < 10**-PLACES:
            raise BaselineError(f"{name} is {scores[name]}, but the counts come to {value:.{PLACES}f}")
