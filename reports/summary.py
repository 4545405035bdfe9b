"""What is kept of a row of results, so that a page of thousands can be made: counts, calibration, costs, curves.

Answers have the columns fold, seed, clip, subject, truth, predicted and p_<label>, one row for each answer.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.tally import tally

VERSION = 2
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
MOST = 10**12  # of clips, steps and the like
MOST_LABELS = 100
MOST_COUNTS = 50_000_000  # of seeds x units x labels x labels: 400 MB
BYTES = 50_000_000  # of a row's summary
Curve = Sequence[tuple[str, float, int]]  # name, value, step


class SummaryError(ValueError):
    """What is kept of a row is damaged."""


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
    """A row in short. `by_seed` are counts [seeds, units, true, answered]; clips as units have no names."""

    labels: tuple[str, ...]
    unit: str
    names: tuple[str, ...]
    by_seed: npt.NDArray[np.float64]
    clips: int
    cells: int
    calibration: tuple[Bin, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)

    @cached_property
    def counts(self) -> npt.NDArray[np.float64]:
        """[units, true, answered], the mean over seeds."""
        found: npt.NDArray[np.float64] = self.by_seed.mean(axis=0)
        return found

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
        _by_seed(answers, labels, counted.names),
        int(answers["clip"].nunique()),
        len(cells),
        _calibration(answers, labels),
        _costs(cells),
        _curves(curves),
    )


def _by_seed(answers: pd.DataFrame, labels: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.float64]:
    """The counts of each seed, on the same units; a seed that has not answered some of them counts nothing there."""
    place = {name: number for number, name in enumerate(names)}
    seeds = [tally(some, labels) for _, some in answers.groupby("seed", sort=True)]
    found = np.zeros((len(seeds), len(names), len(labels), len(labels)))
    for number, one in enumerate(seeds):
        found[number, [place[name] for name in one.names]] = one.counts
    return found


def read(told: Mapping[str, Any]) -> Summary:
    """What `Summary.told` told; one error, whatever is wrong with it."""
    try:
        return _read(told)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        why = str(error) if isinstance(error, SummaryError) else f"it is not built as one ({type(error).__name__})"
        raise SummaryError(f"no summary of a row: {why}") from None


def _read(told: Mapping[str, Any]) -> Summary:
    labels, clips, packed = tuple(map(str, told["labels"])), _whole(told["clips"]), list(told["units"])
    units = sum(_whole(times) for _, times, *_ in packed)
    seeds = len(packed[0]) - 2 if packed else 1
    if not 0 < len(labels) <= MOST_LABELS or len(set(labels)) < len(labels):
        raise SummaryError(f"it has {len(labels)} labels; 1 to {MOST_LABELS}, each once, can be")
    if seeds < 1 or seeds * units * len(labels) ** 2 > MOST_COUNTS:
        raise SummaryError(f"it has {units} units of {len(labels)} labels by {seeds} seeds, which cannot be")
    counts = np.zeros((seeds, units, len(labels), len(labels)))
    first, names = 0, list[str]()
    for name, times, *by_seed in packed:
        for seed, cells in zip(range(seeds), by_seed, strict=True):
            for true, answered, count in cells:
                places = _whole(true, len(labels) - 1), _whole(answered, len(labels) - 1)
                counts[seed, first : first + times, *places] = _finite(count, 0)
        first += times
        names.append(str(name))
    if (most := float(counts.sum((1, 2, 3)).max())) > clips * (1 + 1e-6) + 1e-6:
        raise SummaryError(f"its counts come to {most:g}, more than its {clips} clips")
    if told["unit"] not in ("subject", "clip") or (told["unit"] == "subject" and len(names) != units):
        raise SummaryError("its units are neither subjects, each once, nor clips")
    return Summary(
        labels,
        told["unit"],
        tuple(names) if told["unit"] == "subject" else (),
        counts,
        clips,
        _whole(told["cells"]),
        tuple(Bin(_whole(answers), *(_finite(one, 0) for one in rest)) for answers, *rest in told["calibration"]),
        {str(name): _finite(value, 0) for name, value in told["costs"].items()},
        {
            str(name): tuple(Step(_whole(step), *map(_finite, rest)) for step, *rest in curve)
            for name, curve in told["curves"].items()
        },
    )


def _whole(value: Any, most: int = MOST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise SummaryError(f"{str(value)[:20]!r} is no whole number from 0 to {most}")
    return value


def _finite(value: Any, least: float = -math.inf) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < least:
        raise SummaryError(f"{str(value)[:20]!r} is no number that can be here")
    return float(value)


def _packed(summary: Summary) -> Iterator[list[Any]]:
    """Name, how often, and of each seed the counts that are not 0."""
    kinds = summary.by_seed.swapaxes(0, 1)  # [units, seeds, true, answered]
    times, names = [1] * len(kinds), summary.names
    if summary.unit != "subject":
        kinds, found = np.unique(kinds, axis=0, return_counts=True)
        times, names = found.tolist(), ("",) * len(found)
    for name, often, seeds in zip(names, times, kinds, strict=True):
        yield [name, often, *(_cells(matrix) for matrix in seeds)]


def _cells(matrix: npt.NDArray[np.float64]) -> list[list[float]]:
    return [[int(t), int(a), round(float(matrix[t, a]), 9)] for t, a in zip(*np.nonzero(matrix), strict=True)]


def _calibration(answers: pd.DataFrame, labels: Sequence[str]) -> tuple[Bin, ...]:
    """How often answers of some confidence are right; nothing of labels alone, which are written as 0 and 1."""
    confidence = answers[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64).max(axis=1)
    if not np.isfinite(confidence).all() or (confidence == 1).all():
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
