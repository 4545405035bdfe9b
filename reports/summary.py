"""What is kept of a row of results, so that a page of thousands can be made: counts, calibration, costs, curves.

Answers have the columns fold, seed, clip, subject, truth, predicted and p_<label>, one row for each answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.tally import tally

VERSION = 1
BINS = 10  # of confidence
POINTS = 60  # of a curve that is kept
COSTS: Mapping[str, Callable[[list[float]], float]] = {  # of all Cells: what one of them cost, or all together
    "parameters": max,
    "flops_per_clip": fmean,
    "fit_seconds": sum,
    "predict_seconds_per_clip": fmean,
    "peak_memory_mb": max,
    "energy_joules": sum,
}
Curve = Sequence[tuple[str, float, int]]  # name, value, step


@dataclass(frozen=True, eq=False)
class Bin:
    """Answers of about the same confidence."""

    answers: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Step:
    """Where the folds' curves were at a step."""

    step: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Summary:
    """A row in short. `counts` [units, true, answered] are a clip's answers averaged; clips as units have no names."""

    labels: tuple[str, ...]
    unit: str
    names: tuple[str, ...]
    counts: npt.NDArray[np.float64]
    clips: int
    cells: int
    calibration: tuple[Bin, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """As a document; equal units without names stand together."""
        return {
            "version": VERSION,
            "labels": list(self.labels),
            "unit": self.unit,
            "units": list(_packed(self)),
            "clips": self.clips,
            "cells": self.cells,
            "calibration": [[one.answers, one.confidence, one.accuracy] for one in self.calibration],
            "costs": dict(self.costs),
            "curves": {
                name: [[one.step, one.mean, one.low, one.high] for one in curve] for name, curve in self.curves.items()
            },
        }


def summarise(
    answers: pd.DataFrame, labels: Sequence[str], cells: Sequence[Mapping[str, float]], curves: Sequence[Curve]
) -> Summary:
    """`cells` are the metrics of each Cell, `curves` its curves."""
    if answers["subject"].isna().any():  # with some people unknown, no clip may count as another person's
        answers = answers.assign(subject=None)
    counted = tally(answers, labels)
    return Summary(
        tuple(labels),
        counted.unit,
        counted.names if counted.unit == "subject" else (),
        counted.counts,
        int(answers["clip"].nunique()),
        len(cells),
        _calibration(answers, labels),
        _costs(cells),
        _curves(curves),
    )


def read(told: Mapping[str, Any]) -> Summary:
    """What `Summary.told` told."""
    labels = tuple(map(str, told["labels"]))
    counts = np.zeros((sum(times for _, times, _ in told["units"]), len(labels), len(labels)))
    first, names = 0, list[str]()
    for name, times, cells in told["units"]:
        for true, answered, count in cells:
            counts[first : first + times, true, answered] = count
        first += times
        names.append(str(name))
    unit = str(told["unit"])
    return Summary(
        labels,
        unit,
        tuple(names) if unit == "subject" else (),
        counts,
        int(told["clips"]),
        int(told["cells"]),
        tuple(Bin(int(answers), *map(float, rest)) for answers, *rest in told["calibration"]),
        {str(name): float(value) for name, value in told["costs"].items()},
        {
            str(name): tuple(Step(int(step), *map(float, rest)) for step, *rest in curve)
            for name, curve in told["curves"].items()
        },
    )


def _packed(summary: Summary) -> Iterator[list[Any]]:
    """Name, how often, and the counts that are not 0."""
    if summary.unit == "subject":
        kinds, times, names = summary.counts, [1] * len(summary.counts), summary.names
    else:
        kinds, found = np.unique(summary.counts, axis=0, return_counts=True)
        times, names = found.tolist(), ("",) * len(found)
    for name, often, matrix in zip(names, times, kinds, strict=True):
        where = zip(*np.nonzero(matrix), strict=True)
        yield [name, often, [[int(t), int(a), round(float(matrix[t, a]), 9)] for t, a in where]]


def _calibration(answers: pd.DataFrame, labels: Sequence[str]) -> tuple[Bin, ...]:
    """How often answers of some confidence are right."""
    confidence = answers[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64).max(axis=1)
    if not np.isfinite(confidence).all():
        return ()
    right = (answers["truth"] == answers["predicted"]).to_numpy()
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(int(here.sum()), float(confidence[here].mean()), float(right[here].mean()))
        for number in range(BINS)
        if (here := place == number).any()
    )


def _costs(cells: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Only what every Cell has measured."""
    found = {}
    for name, together in COSTS.items():
        values = [value for cell in cells if (value := _cost(cell, name)) is not None]
        if values and len(values) == len(cells):
            found[name] = float(together(values))
    return found


def _cost(cell: Mapping[str, float], name: str) -> float | None:
    if name == "predict_seconds_per_clip" and name not in cell and cell.get("test_clips"):
        return cell["predict_seconds"] / cell["test_clips"] if "predict_seconds" in cell else None
    return cell.get(name)


def _curves(curves: Sequence[Curve]) -> dict[str, tuple[Step, ...]]:
    """By name: the mean, the least and the largest over Cells at each of some steps."""
    points = pd.DataFrame([point for curve in curves for point in curve], columns=["name", "value", "step"])
    points = points[np.isfinite(points["value"].astype(float))]
    found = {}
    for name, curve in points.groupby("name", sort=True):
        table = curve.groupby("step")["value"].agg(["mean", "min", "max"])
        kept = np.unique(np.linspace(0, len(table) - 1, min(POINTS, len(table))).round().astype(int))
        found[str(name)] = tuple(Step(int(step), *map(float, row)) for step, *row in table.iloc[kept].itertuples())
    return found


def answers(text: str) -> pd.DataFrame:
    """The table of answers as it is kept, with the names that statistics use; subjects all or none."""
    names = {"fold": str, "clip": str, "subject": str, "truth": str, "answer": str}
    table = pd.read_csv(StringIO(text), dtype=names, keep_default_na=False)
    table["subject"] = table["subject"].replace("", None) if (table["subject"] != "").all() else None
    return table.rename(columns={"answer": "predicted"})
