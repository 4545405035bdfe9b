"""What tuning found for a row, fold by fold, and what it is worth beside the row as the paper has it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.comparisons import compared
from reports.ranking import Table
from reports.results import Result
from reports.statistics import Comparison
from reports.studies import Tuning

SHOWN = 8  # settings whose importance is shown


@dataclass(frozen=True)
class Point:
    """The best so far after a trial: the mean and the range over folds."""

    trial: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned row beside the same one untuned, if that is there and answered the same clips."""

    result: Result
    tuning: Tuning
    untuned: Result | None
    found: Comparison | None

    @property
    def title(self) -> str:
        return self.result.title


def tunings(tables: Sequence[Table]) -> list[Tuned]:
    """All tuned rows with answers, in the order of the tables."""
    found = []
    for table in tables:
        rows = [line.result for line in table.lines]
        found += [_beside(one, one.tuning, rows) for one in rows if one.tuning and one.scores]
    return found


def _beside(result: Result, tuning: Tuning, rows: Sequence[Result]) -> Tuned:
    """The newest complete row that differs in nothing but the tuning."""
    wanted = replace(result.asked, stamps=result.asked.untuned)
    alike = [one for one in rows if one.asked == wanted and one.version == result.version and one.complete]
    for other in sorted(alike, key=lambda one: -one.begun):
        if made := compared(result, other):
            return Tuned(result, tuning, other, made)
    return Tuned(result, tuning, None, None)


def history(tuning: Tuning) -> list[Point]:
    """After each trial, over all folds in which one has ended by then."""
    longest = max((len(study.trials) for study in tuning.studies), default=0)
    points = []
    for number in range(longest):
        so_far = [
            max(ended)
            for study in tuning.studies
            if (ended := [t.value for t in study.trials[: number + 1] if t.state == "COMPLETE" and t.value is not None])
        ]
        if so_far:
            points.append(Point(number, float(np.mean(so_far)), min(so_far), max(so_far)))
    return points


def importances(tuning: Tuning) -> list[tuple[str, float]]:
    """The mean share of each setting over the folds where it could be told, the largest first."""
    told: dict[str, list[float]] = {}
    for study in tuning.studies:
        for name, share in study.importances.items():
            told.setdefault(name, []).append(share)
    return sorted(((name, float(np.mean(shares))) for name, shares in told.items()), key=lambda one: -one[1])[:SHOWN]
