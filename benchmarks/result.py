"""What became of a Cell: scores, or why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.cellrun import CURVES, POINTS, read_curves
from benchmarks.plan import Cell
from benchmarks.scored import read_scores
from benchmarks.spool import ARTIFACTS, Parcel
from benchmarks.track import Done, Tracker
from methods.base import Prepared
from protocols.scores import Scores

EMPTY = "clips_where_nothing_was_found"
FOUND = "found"  # an input, one for each frame: whether a face was found there


@dataclass(frozen=True)
class Result:
    """Of a Cell that was run, here or elsewhere, or was finished before."""

    cell: Cell
    scores: Scores | None
    error: str = ""
    run_id: str = ""
    empty: int = 0  # test clips in which preparation found nothing for an input
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[tuple[str, float, int]] | None = None  # None: they are in the store
    tuned: Mapping[str, Any] | None = None  # what tuning found; None where it is in the store, or nothing was tuned
    trained: bool = True  # else another process did
    notes: tuple[str, ...] = ()  # what the user should know


def read(cell: Cell, done: Done, tracker: Tracker) -> Result:
    """What became of a Cell that was finished before."""
    empty = int(done.metrics.get(EMPTY, 0))
    return Result(cell, tracker.scores(done.run_id), "", done.run_id, empty, done.metrics, trained=False)


def unsent(cell: Cell, parcel: Parcel) -> Result:
    """What became of a Cell that is finished, but not in the store yet."""
    facts, there = parcel.facts, parcel.folder / ARTIFACTS
    metrics = {name: value for name, value, *_ in facts["points"]}
    curves = read_curves((there / CURVES).read_text(encoding="utf-8")) if metrics[POINTS] else []
    scores, empty = read_scores(there / "predictions.csv"), int(metrics.get(EMPTY, 0))
    return Result(cell, scores, "", facts["run_id"], empty, metrics, curves, trained=False)


def nothing_found(test: Sequence[Prepared]) -> tuple[int, float | None]:
    """Clips in which nothing was found for an input, and the mean share of frames without a face where that is told."""
    empty, unseen = 0, list[float]()
    for clip in test:
        empty += any(not len(array) for array in clip.values())
        if len(frames := clip.get(FOUND, ())):
            unseen.append(1 - float(np.mean(frames)))
    return empty, float(np.mean(unseen)) if unseen else None
