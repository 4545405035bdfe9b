"""From the answers of Cells to what is kept of their row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

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
    answers = [line for part in parts for line in _lines(part)]
    table = pd.DataFrame(answers).rename(columns={"answer": "predicted"})
    summary = summarise(
        table, parts[0].scores.labels, [part.metrics for part in parts], [part.curves for part in parts]
    )
    return Kept(answers, summary.told())


def _lines(part: Part) -> list[dict[str, Any]]:
    scores = part.scores
    return [
        {"fold": part.fold, "seed": part.seed, "clip": clip, "subject": subject, "truth": truth, "answer": answer}
        | {f"p_{label}": float(p) for label, p in zip(scores.labels, probabilities, strict=True)}
        for clip, subject, truth, answer, probabilities in zip(
            scores.names, scores.subjects, scores.truth, scores.predicted, scores.probabilities, strict=True
        )
    ]
