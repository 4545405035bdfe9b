"""The label-permutation test of `run --sanity`: who is taught permuted labels must answer at chance.

What is taught is that the labels of training have changed places; all else is as in the true run. If the answers still
agree with the true labels of test more often than chance has it, they come from somewhere else: that is a leak.

Chance is reckoned from the answers themselves: in each fold, as many agreements as its answers would have with its
labels were either in any order, so that a method that knows but the frequent class stands where it must. The interval
is of the permutations' own spread: each gives one value, whatever its clips and people have in common.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from benchmarks import console
from benchmarks.arenas import Arena
from benchmarks.outcome import Outcome
from benchmarks.outcomes import percent
from benchmarks.plan import Row, digest
from benchmarks.reach import AwayError
from benchmarks.track import Tracker
from datasets.clips import UserError
from protocols.scores import Scores
from reports.statistics import Metric, measure

PERMUTATIONS, FEWEST = 10, 5
LEVEL = 0.99  # of each metric's interval: of a hundred methods without a leak one is called leaky by each of two ends
METRICS: tuple[Metric, ...] = ("accuracy", "uar")
TINY = 1e-9
DOCUMENT = "sanity.json"  # beside the true row's results

Floats = npt.NDArray[np.float64]


def times(asked: bool, permutations: int, tuned: int) -> int:
    """How many permutations; 0 where none are asked for."""
    if not asked:
        if permutations:
            raise UserError("--permutations is about --sanity; add it")
        return 0
    if tuned:
        raise UserError("--sanity is about settings as they stand; leave --tune out, or give --params what it found")
    if permutations and permutations < FEWEST:
        raise UserError(f"--permutations must be at least {FEWEST}, for their spread tells chance; got {permutations}")
    return permutations or PERMUTATIONS


def permuted(rows: Sequence[tuple[Row, Arena]], permutations: int) -> list[tuple[Row, Arena]]:
    """For each row in turn, the same with permuted labels, so many times; their Cells are their own."""
    arenas = {arena: replace(arena, permuted=True) for _, arena in rows}
    return [(_permuted(row, number), arenas[arena]) for row, arena in rows for number in range(1, permutations + 1)]


def _permuted(row: Row, number: int) -> Row:
    def other(key: str) -> str:
        return digest({"key": key, "labels permuted": number})

    cells = tuple(replace(cell, key=other(cell.key)) for cell in row.cells)
    return replace(row, permuted=number, cells=cells, key=other(row.key), setup=other(row.setup))


@dataclass(frozen=True)
class Chance:
    """A metric of the permuted runs, one value a permutation, beside what chance gives each of them."""

    values: tuple[float, ...]
    by_chance: tuple[float, ...]
    true: float | None  # of the row itself

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def chance(self) -> float:
        return float(np.mean(self.by_chance))

    @cached_property
    def half(self) -> float:
        """Half of the interval: Student's, of the mean of what the permutations have beyond chance."""
        beyond = np.subtract(self.values, self.by_chance)
        return float(stdtrit(len(beyond) - 1, (1 + LEVEL) / 2) * beyond.std(ddof=1) / np.sqrt(len(beyond)))

    @property
    def verdict(self) -> str:
        """Where the mean stands."""
        beyond = self.mean - self.chance
        return "within" if abs(beyond) <= self.half + TINY else "above" if beyond > 0 else "below"

    @property
    def p(self) -> float | None:
        """How often permuted labels, the true ones among them, did as well as the true ones."""
        if self.true is None:
            return None
        return (1 + sum(value >= self.true - TINY for value in self.values)) / (1 + len(self.values))

    def told(self) -> dict[str, Any]:
        return {
            "true": self.true,
            "permuted": list(self.values),
            "permuted_mean": self.mean,
            "chance": self.chance,
            "interval": [self.chance - self.half, self.chance + self.half],
            "verdict": self.verdict,
            "p_of_true": self.p,
        }


@dataclass(frozen=True, eq=False)
class Tested:
    """A row, and what became of it under permuted labels."""

    outcome: Outcome
    runs: Sequence[Outcome]

    @property
    def complete(self) -> bool:
        return all(run.complete for run in self.runs)

    @cached_property
    def found(self) -> dict[Metric, Chance]:
        """By metric; empty unless all permutations were run."""
        if not self.complete:
            return {}
        true, counted = self.outcome.measured(), [_counted(run) for run in self.runs]
        return {
            metric: Chance(
                tuple(float(measure(real, metric).mean()) for real, _ in counted),
                tuple(float(measure(expected, metric).mean()) for _, expected in counted),
                true.get(metric),
            )
            for metric in METRICS
        }

    @property
    def verdict(self) -> str:
        """Above chance, if one metric is."""
        verdicts = [chance.verdict for chance in self.found.values()]
        return next((word for word in ("above", "below", "within") if word in verdicts), "incomplete")

    @property
    def failed(self) -> bool:
        return self.verdict in ("above", "incomplete")

    def told(self) -> dict[str, Any]:
        return {
            "permutations": len(self.runs),
            "level": LEVEL,
            "verdict": self.verdict,
            **{metric: chance.told() for metric, chance in self.found.items()},
            "failures": {f"{run.row.title}, {cell}": why for run in self.runs for cell, why in run.failures.items()},
            "runs": [run.run_id for run in self.runs],
        }


def tested(outcomes: Sequence[Outcome], runs: Sequence[Outcome], tracker: Tracker) -> list[Tested]:
    """Each row with its permutations, in the order of `permuted`; the verdict is kept beside the row."""
    each = len(runs) // len(outcomes)
    found = [Tested(one, runs[number * each : (number + 1) * each]) for number, one in enumerate(outcomes)]
    for one in found:
        with suppress(AwayError):  # the same command keeps it when the server is back
            tracker.note(one.outcome.run_id, DOCUMENT, one.told())
    return found


def _counted(run: Outcome) -> tuple[Floats, Floats]:
    """Confusion matrices [seeds, true, answered]: as they are, and as chance would have them on average."""
    by_seed: dict[int, list[Scores]] = {}
    for result in run.finished:
        if result.scores:
            by_seed.setdefault(result.cell.seed, []).append(result.scores)
    real = [np.sum([fold.confusion for fold in folds], axis=0, dtype=np.float64) for folds in by_seed.values()]
    return np.stack(real), np.stack([np.sum([_expected(fold) for fold in folds], axis=0) for folds in by_seed.values()])


def _expected(fold: Scores) -> Floats:
    """The mean confusion matrix over all orders of the labels."""
    counts = fold.confusion.astype(np.float64)
    matrix: Floats = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    return matrix


def show(found: Sequence[Tested], table: bool) -> None:
    """One line a row, if a table is wanted; then what is wrong."""
    if found and table:
        title = f"Training labels permuted, {len(found[0].runs)} times"
        console.out.print(title, style="bold", markup=False)
        console.table([_line(one) for one in found])
        console.out.print(
            f"permuted: the mean; chance: what its answers would reach in any order, and the {LEVEL:.0%} interval in "
            "which the mean must lie; p: of the true accuracy among the permuted; see docs/sanity.md",
            style="dim", markup=False,
        )  # fmt: skip
    for one in found:
        name = one.outcome.row.title
        if one.verdict == "above":
            console.fail(f"{name} is above chance on permuted labels: its answers know the test labels from elsewhere")
        if one.verdict == "incomplete":
            console.fail(f"{name} has not run all permutations, so nothing is known; the same command goes on")


def _line(one: Tested) -> dict[str, object]:
    row = one.outcome.row
    line: dict[str, object] = {"method": row.name, "modality": row.modality}
    for metric in METRICS:
        chance, name = one.found.get(metric), metric if metric == "accuracy" else "UAR"
        line |= {
            f"{name}": percent(one.outcome.measured(), metric).partition(" ")[0],
            f"{name} permuted": f"{100 * chance.mean:.1f}" if chance else "-",
            f"{name} chance": _span(chance) if chance else "-",
        }
    decisive = one.found.get("accuracy")
    p = f"{decisive.p:.2f}" if decisive and decisive.p is not None else "-"
    return line | {"p": p, "verdict": {"within": "within chance"}.get(one.verdict, one.verdict.upper())}


def _span(chance: Chance) -> str:
    middle, half = 100 * chance.chance, 100 * chance.half
    return f"{middle:.1f} ({middle - half:.1f} to {middle + half:.1f})"
