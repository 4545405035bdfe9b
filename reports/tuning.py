"""What tuning found for a row, fold by fold, and what it is worth beside the row as the paper has it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from reports.comparisons import compared
from reports.formats import where
from reports.ranking import Table
from reports.results import Facts, Result
from reports.statistics import Comparison
from reports.studies import Tuning

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from reports.charts import Wanted

SHOWN = 8  # settings whose importance is shown
FIGURES = 6  # rows that are drawn


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

    @property
    def history(self) -> list[Point]:
        return history(self.tuning)

    @property
    def importances(self) -> list[tuple[str, float]]:
        return importances(self.tuning)


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


def wanted(rows: Sequence[Tuned], facts: Facts) -> Iterator["Wanted"]:
    """A figure of each of the first tuned rows: how the search went, and what decided."""
    from reports.charts import COLUMN, Wanted

    for number, one in enumerate(rows[:FIGURES]):
        title = f"{one.title} ({one.result.asked.preset})\n{where(one.result.arena, facts)}"
        shares = one.importances
        alt = "; ".join(f"{name} {100 * share:.0f} %" for name, share in shares) or "no importances"
        size = (COLUMN, 2.2 + 0.3 * len(shares))
        told = [[vars(point) for point in one.history], shares, one.tuning.default]
        paint = partial(_paint, one, title)
        yield Wanted(f"tuning-{number}", title, _caption(one, facts), f"Tuning: {alt}", told, paint, size, number < 2)


def _caption(one: Tuned, facts: Facts) -> str:
    """What the figure shows, for a paper."""
    tuning = one.tuning
    return (
        f"Tuning of {one.title} (preset {one.result.asked.preset}), {where(one.result.arena, facts)}: the best UAR on "
        f"inner folds so far, the mean and the range over {len(tuning.studies)} studies, one for each fold and seed "
        f"({tuning.count('COMPLETE')} trials ended, {tuning.count('PRUNED')} pruned, {tuning.count('FAIL')} failed); "
        "dotted: the first trial, untuned. Below, where it could be told, the importance of each setting by fANOVA."
    )


def _paint(one: Tuned, title: str, canvas: "Canvas") -> None:
    """The best value so far, its mean and range over folds; below it the importance of each setting."""
    import seaborn

    colour, points, shares = seaborn.color_palette("colorblind", 1)[0], one.history, one.importances
    rows = canvas.subplots(2 if shares else 1, squeeze=False, height_ratios=[1.6, 0.3 * len(shares)] if shares else [1])
    axes, steps = rows[0, 0], [point.trial for point in points]
    axes.plot(steps, [100 * point.mean for point in points], color=colour, drawstyle="steps-post")
    low, high = [100 * point.low for point in points], [100 * point.high for point in points]
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0, step="post")
    if one.tuning.default is not None:
        axes.axhline(100 * one.tuning.default, color="gray", linestyle=":", linewidth=1)
    axes.set(xlabel="trial", ylabel="best UAR (%)")
    if shares:
        below = rows[1, 0]
        below.barh(range(len(shares)), [100 * share for _, share in shares], color=colour)
        below.set_yticks(range(len(shares)), [name for name, _ in shares])
        below.set_ylim(len(shares) - 0.5, -0.5)
        below.set_xlabel("importance (%)")
    lines = [fill(line, 52, break_on_hyphens=False) for line in title.splitlines()]
    canvas.suptitle("\n".join([*lines, "inner folds, mean and range; dotted: untuned"]), fontsize=8)
