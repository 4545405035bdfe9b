"""Small pictures of one row, as points for SVG: they follow the page's colours and cost few bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.results import Result
from reports.statistics import Floats, measure
from reports.summary import Step, Summary

WIDTH, HEIGHT, CURVES = 300, 120, 6
ROWS = 5  # of dots above one another
OF_A_CLASS: Mapping[str, str] = {"precision": "Precision", "recall": "Recall", "f1": "F-score"}


@dataclass(frozen=True)
class Dot:
    """A subject, or answers of about the same confidence."""

    x: float
    y: float
    told: str
    size: float = 4


@dataclass(frozen=True)
class Plot:
    """A curve with the band of all folds."""

    name: str
    line: str
    band: str
    first: int
    last: int
    low: str
    high: str
    end: str


@dataclass(frozen=True)
class Measure:
    """Of an emotion, ours beside the paper's; a difference only where the two may be compared."""

    value: float | None
    published: float | None
    difference: float | None


@dataclass(frozen=True)
class PerClass:
    """An emotion; `measures` are in the order of OF_A_CLASS."""

    label: str
    measures: tuple[Measure, ...]
    clips: float


def per_class(result: Result) -> list[PerClass]:
    """The mean over seeds; None where a class was never answered, or never true."""
    if result.summary is None:
        return []
    counts = result.summary.by_seed.sum(1)  # [seeds, true, answered]
    hits, true, said = counts.diagonal(axis1=1, axis2=2), counts.sum(2), counts.sum(1)  # [seeds, labels]
    ratios = {"precision": (hits, said), "recall": (hits, true), "f1": (2 * hits, true + said)}
    return [
        PerClass(
            label,
            tuple(_measure(result, label, name, *(side[:, i] for side in ratios[name])) for name in OF_A_CLASS),
            float(true[:, i].mean()),
        )
        for i, label in enumerate(result.summary.labels)
    ]


def _measure(result: Result, label: str, name: str, part: Floats, whole: Floats) -> Measure:
    there = whole > 0
    value = float((part[there] / whole[there]).mean()) if there.any() else None
    published = result.published.per_class.get((label, name)) if result.published else None
    if value is None or published is None or not result.comparable:
        return Measure(value, published, None)
    return Measure(value, published, value - published)


def told_of_classes(result: Result) -> list[bool]:
    """For each measure of OF_A_CLASS, whether the paper tells it of some emotion of ours."""
    labels = result.summary.labels if result.summary else ()
    there = result.published.per_class if result.published else {}
    return [any((label, name) in there for label in labels) for name in OF_A_CLASS]


def shares(summary: Summary) -> list[list[float]]:
    """The confusion matrix as shares of true classes."""
    counts = summary.counts.sum(0)
    found: list[list[float]] = (counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)).tolist()
    return found


def published_shares(labels: Sequence[str], found: Mapping[tuple[str, str], float]) -> list[list[float | None]]:
    """A paper's matrix in our order."""
    return [[found.get((true, answered)) for answered in labels] for true in labels]


def subjects(summary: Summary) -> list[Dot]:
    """A dot for each person, at the share of right answers; dots that would touch stand above one another."""
    if summary.unit != "subject":
        return []
    values = measure(summary.counts, "accuracy")
    clips = summary.counts.sum((1, 2))
    found, taken = [], dict[int, int]()
    for number in np.argsort(values, kind="stable"):
        x = 10 + float(values[number]) * (WIDTH - 20)
        place = int(x // 9)
        level = taken.get(place, 0)
        taken[place] = level + 1
        told = f"{summary.names[number]}: {100 * values[number]:.0f} % of {clips[number]:.0f} clips"
        found.append(Dot(round(x, 1), 60 - 10 * (level % ROWS), told))
    return found


def hardest(summary: Summary, some: int = 3) -> list[str]:
    """The people with whom it is wrong most often."""
    return [dot.told for dot in subjects(summary)[:some]]


def calibration(summary: Summary) -> list[Dot]:
    """Bins in a square of HEIGHT; larger where there are more answers."""
    total = sum(one.answers for one in summary.calibration)
    return [
        Dot(
            round(one.confidence * HEIGHT, 1),
            round((1 - one.accuracy) * HEIGHT, 1),
            f"{one.answers} answers: {100 * one.confidence:.0f} % sure, {100 * one.accuracy:.0f} % right",
            round(2 + 6 * (one.answers / total) ** 0.5, 1),
        )
        for one in summary.calibration
    ]


def plots(summary: Summary) -> list[Plot]:
    """The first few curves."""
    return [_plot(name, curve) for name, curve in list(summary.curves.items())[:CURVES] if len(curve) > 1]


def _plot(name: str, curve: Sequence[Step]) -> Plot:
    first, last = curve[0].step, curve[-1].step
    low, high = min(one.low for one in curve), max(one.high for one in curve)
    height = high - low or 1.0

    def point(one: Step, value: float) -> str:
        x = (one.step - first) / max(last - first, 1) * WIDTH
        return f"{x:.0f},{(high - value) / height * HEIGHT:.0f}"

    line = " ".join(point(one, one.mean) for one in curve)
    band = " ".join([*(point(one, one.high) for one in curve), *(point(one, one.low) for one in reversed(curve))])
    return Plot(name, line, band, first, last, f"{low:.2g}", f"{high:.2g}", f"{curve[-1].mean:.3g}")
