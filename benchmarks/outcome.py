"""What became of a row: its Cells' results as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.arenas import Arena
from benchmarks.plan import Entrant
from benchmarks.result import EMPTY, Result
from protocols.scores import METRICS, Scores


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    row: Entrant
    arena: Arena
    results: Sequence[Result]
    trained: int  # Cells that were run, or imported, now; the others were finished before
    run_id: str
    stale: int = 0  # Cells, and models they begin with, that other code than today's made
    told: Mapping[str, float] | None = None  # what was measured, of a row that was finished before
    waiting: int = 0  # Cells that are finished, but not in the store

    @property
    def finished(self) -> Sequence[Result]:
        return [result for result in self.results if result.scores]

    @property
    def done(self) -> int:
        """Finished Cells."""
        return len(self.finished) if self.told is None else len(self.results)

    @property
    def failures(self) -> Mapping[str, str]:
        """By Cell, why."""
        return (
            {}
            if self.told is not None
            else {result.cell.title: result.error for result in self.results if not result.scores}
        )

    @property
    def complete(self) -> bool:
        return not self.failures

    def pooled(self) -> list[Scores]:
        """Of each seed, its finished Cells as one."""
        by_seed: dict[int, list[Scores]] = {}
        for result in self.finished:
            if result.scores:
                by_seed.setdefault(result.cell.seed, []).append(result.scores)
        return [joined(scores) for scores in by_seed.values()]

    def measured(self) -> dict[str, float]:
        """Pooled over all test clips (the mean over seeds), and the spread over folds."""
        if self.told is not None:
            return dict(self.told)
        pooled, folds = self.pooled(), [result.scores for result in self.finished if result.scores]
        if not pooled:
            return {}
        values = {name: float(np.mean([getattr(scores, name) for scores in pooled])) for name in METRICS}
        if len(folds) > 1:
            values |= {f"{name}_fold_sd": float(np.std([getattr(s, name) for s in folds], ddof=1)) for name in METRICS}
        values[EMPTY] = sum(result.empty for result in self.finished) / len(pooled)
        return values if self.complete else {f"incomplete_{name}": value for name, value in values.items()}


def joined(parts: Sequence[Scores]) -> Scores:
    """The clips of several folds as one."""
    return Scores(
        labels=parts[0].labels,
        names=tuple(name for part in parts for name in part.names),
        subjects=tuple(subject for part in parts for subject in part.subjects),
        truth=tuple(label for part in parts for label in part.truth),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )
