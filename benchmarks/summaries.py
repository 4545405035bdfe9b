"""From the answers of Cells to what is kept of their row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmarks.scored import answered
from benchmarks.track import Kept
from protocols.scores import Scores
from reports.summary import summarise


@dataclass(frozen=True)
class Part:
    """A finished Cell."""

    fold: str
    seed: int
    scores: Scores
    metrics: Mapping[str, float]
    curves: Sequence[tuple[str, float, int]]


def kept(parts: Sequence[Part]) -> Kept:
    """All answers, fold by fold, and the row in short."""
    answers = [{"fold": part.fold, "seed": part.seed} | line for part in parts for line in answered(part.scores)]
    table = pd.DataFrame(answers).rename(columns={"answer": "predicted"})
    summary = summarise(
        table, parts[0].scores.labels, [part.metrics for part in parts], [part.curves for part in parts]
    )
    return Kept(answers, summary.told())
