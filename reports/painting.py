"""Figures for papers, painted: one style, colours that colour-blind people tell apart, a column wide."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill, wrap
from typing import TYPE_CHECKING

import numpy as np

from reports import sketch
from reports.results import FIRST
from reports.statistics import Floats, measure
from reports.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

CURVES = sketch.CURVES
SMALL = 7  # points: the least that is legible in print
WIDE = 2.2  # points of UAR that a subject's dot covers
LEVELS = (0.0, 0.17, -0.17, 0.34, -0.34)  # of a row, where its dots may be
NAME = 29  # letters of a line of a row's name; longer ones leave no room for the figures


@dataclass(frozen=True)
class Bar:
    """A value with its interval; open where it is not ranked."""

    name: str
    value: float
    low: float | None
    high: float | None
    ranked: bool


def lines(name: str) -> list[str]:
    """A row's name as it stands beside an axis."""
    return [part for line in name.splitlines() for part in wrap(line, NAME, break_on_hyphens=False)]


def scores(bars: Sequence[Bar], chance: float | None, title: str, canvas: "Canvas") -> None:
    """The rows of an arena."""
    axes = canvas.subplots()
    for place, bar in enumerate(bars):
        _bar(axes, place, bar, _palette(1)[0] if bar.ranked else "dimgray")
    if chance:
        axes.axvline(100 * chance, color="gray", linestyle=":", linewidth=1)
    _named(axes, [bar.name for bar in bars])
    _titled(canvas, title, "UAR (%) with 95 % interval; dotted: chance")


def leakage(bars: Sequence[Bar], title: str, canvas: "Canvas") -> None:
    """What leaks are worth."""
    axes = canvas.subplots()
    for place, bar in enumerate(bars):
        _bar(axes, place, bar, _palette(4)[3])
    axes.axvline(0, color="gray", linewidth=1)
    _named(axes, [bar.name for bar in bars])
    _titled(canvas, title, "points of UAR with 95 % interval")


def _bar(axes: "Axes", place: int, bar: Bar, colour: object) -> None:
    if bar.low is not None and bar.high is not None:
        axes.plot([100 * bar.low, 100 * bar.high], [place, place], color=colour, linewidth=1.5)
    filling = colour if bar.ranked else "white"
    axes.plot(100 * bar.value, place, "o", color=colour, markersize=5, markerfacecolor=filling)


def subjects(rows: Sequence[tuple[str, Summary]], title: str, canvas: "Canvas") -> None:
    """A dot for each subject, moved up or down where it would hide another."""
    axes = canvas.subplots()
    for place, (_, summary) in enumerate(rows):
        values = 100 * measure(summary.counts, FIRST)
        axes.scatter(values, place + _apart(values), s=9, alpha=0.7, color=_palette(1)[0], linewidths=0)
        axes.plot(values.mean(), place, "|", color="black", markersize=10)
    _named(axes, [name for name, _ in rows])
    _titled(canvas, title, "UAR (%) of each subject; bar: their mean")


def _apart(values: Floats) -> Floats:
    """By how much of a row each dot is moved; where there are more than LEVELS beside one another, some touch."""
    last, moved = dict.fromkeys(LEVELS, -np.inf), np.zeros(len(values))
    for number in np.argsort(values, kind="stable"):
        free = (level for level in LEVELS if values[number] - last[level] >= WIDE)
        level = next(free, min(LEVELS, key=last.__getitem__))
        last[level], moved[number] = values[number], level
    return moved


def _palette(count: int) -> list[tuple[float, float, float]]:
    import seaborn

    colours: list[tuple[float, float, float]] = seaborn.color_palette("colorblind", count)
    return colours


def _named(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), ["\n".join(lines(name)) for name in names], fontsize=SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _titled(canvas: "Canvas", title: str, below: str) -> None:
    """Over and under the whole figure, where there is most room."""
    canvas.suptitle("\n".join(fill(line, 52, break_on_hyphens=False) for line in title.splitlines()), fontsize=8)
    if below:
        canvas.supxlabel(below, fontsize=8)


def critical(ranked: Sequence[tuple[str, float]], reach: float, title: str, canvas: "Canvas") -> None:
    """Demšar's diagram: bars join systems whose ranks differ by less than the critical difference."""
    axes = canvas.subplots()
    count = len(ranked)
    half, wide = (count + 1) // 2, 0.7 * (count - 1)  # room for names on either side
    groups = _cliques(np.array([rank for _, rank in ranked]), reach)
    axes.hlines(0, 1, count, color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.vlines(tick, 0, 0.2, color="black", linewidth=1)
        axes.text(tick, 0.3, str(tick), ha="center", va="bottom")
    for number, (first, last) in enumerate(groups):
        axes.hlines(-0.35 - 0.3 * number, first, last, color="black", linewidth=2.5)
    for place, (name, rank) in enumerate(ranked):
        left = place < half
        level = -1 - 0.3 * len(groups) - (place if left else count - 1 - place)
        edge, side = (1 - 0.02 * wide, "right") if left else (count + 0.02 * wide, "left")
        axes.plot([rank, rank, edge], [0, level, level], color=_palette(1)[0], linewidth=1)
        axes.text(edge, level, f" {fill(name, 18, break_on_hyphens=False)} ", ha=side, va="center", fontsize=SMALL)
    end = min(1 + reach, count + wide)
    axes.hlines(1.6, 1, end, color="dimgray", linewidth=1.5)
    axes.text(1, 1.75, f"critical difference {reach:.2f}", va="bottom", fontsize=SMALL)
    axes.set(xlim=(1 - wide, count + wide), ylim=(-half - 0.7 - 0.3 * len(groups), 2.6))
    _titled(canvas, title, "")
    axes.set_axis_off()


def _cliques(ranks: np.ndarray, reach: float) -> list[tuple[float, float]]:
    """The widest groups of sorted ranks in which the first and the last differ by less than the critical difference."""
    found: list[tuple[float, float]] = []
    for first in ranks:
        last = max(float(rank) for rank in ranks if first <= rank < first + reach)
        if last > first and not any(last <= other for _, other in found):
            found.append((float(first), last))
    return found


def confusion(summary: Summary, title: str, canvas: "Canvas") -> None:
    """Rows are the truth."""
    import seaborn

    axes = canvas.subplots()
    shares = 100 * np.asarray(sketch.shares(summary))
    seaborn.heatmap(
        shares, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, square=True, ax=axes, annot_kws={"size": SMALL},
        xticklabels=summary.labels, yticklabels=summary.labels, cbar_kws={"label": "% of the true class"},
    )  # fmt: skip
    axes.set_ylabel("true")
    _titled(canvas, title, "answered")
    axes.tick_params(axis="x", rotation=45)


def calibration(summary: Summary, title: str, canvas: "Canvas") -> None:
    """How often answers are right by how sure they are."""
    axes = canvas.subplots()
    bins = summary.calibration
    axes.plot([0, 100], [0, 100], color="gray", linestyle="--", linewidth=1)
    sizes = [10 + 150 * one.answers / sum(other.answers for other in bins) for one in bins]
    axes.plot([100 * one.confidence for one in bins], [100 * one.accuracy for one in bins], color=_palette(1)[0])
    axes.scatter(
        [100 * one.confidence for one in bins], [100 * one.accuracy for one in bins], s=sizes, color=_palette(1)[0]
    )
    axes.set(ylabel="right (%)", xlim=(0, 102), ylim=(0, 102), aspect="equal")
    _titled(canvas, title, "sure (%)")


def curves(summary: Summary, title: str, canvas: "Canvas") -> None:
    """What was logged while it was trained."""
    axes = canvas.subplots()
    shown = list(summary.curves.items())[:CURVES]
    for colour, dashes, (name, curve) in zip(_palette(len(shown)), _DASHES, shown, strict=False):
        steps = [one.step for one in curve]
        axes.plot(steps, [one.mean for one in curve], dashes, color=colour, label=name)
        axes.fill_between(steps, [one.low for one in curve], [one.high for one in curve], color=colour, alpha=0.2, lw=0)
    canvas.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL)  # it hides no curve
    axes.set(xlabel="step", ylabel="mean and range of folds")
    _titled(canvas, title, "")


_DASHES = ("-", "--", "-.", ":", "-", "--")  # told apart without colour, too
