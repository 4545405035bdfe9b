"""One file over time: its face, its sound and what was answered, from arrays alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart, without the yellow that is lost on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
LINES = ("-", "--", ":")  # from one round of colours to the next
WIDTH = 10.0  # inches
LEFT, RIGHT = 0.08, 0.83  # of the width, where time begins and ends; labels stand to the right
GAP = 0.22  # inches between two panels
APART = 0.065  # of the panel's height between two labels
DOTTED = 40  # windows that are shown as points
FEWEST = 4  # pictures that would fill the width; fewer do not
MOST = 150  # points of a line


@dataclass(frozen=True)
class Look:
    """The picture at a moment."""

    picture: npt.NDArray[np.uint8]  # [size, size, 3]
    face: bool  # whether it is a face; else it is the whole picture's middle


@dataclass(frozen=True)
class Timeline:
    """What is drawn."""

    seconds: float
    looks: Sequence[Look]  # evenly spread over the time; none: no picture
    sound: npt.NDArray[np.float32]  # [bins] loudest sample of each even part; empty: no sound
    classes: Sequence[str]
    windows: Sequence[tuple[float, float]]
    probabilities: npt.NDArray[np.float64]  # [windows, classes]
    whole: npt.NDArray[np.float64]  # [classes] of the file; its best class is drawn bold


def draw(told: Timeline, title: str, below: str) -> "Figure":
    """The panels that there are, one above the other, on one axis of time."""
    from matplotlib.figure import Figure

    across = WIDTH * (RIGHT - LEFT)
    heights = {
        "looks": across / max(len(told.looks), FEWEST) if told.looks else 0.0,
        "sound": 0.8 * bool(told.sound.size),
    }
    panels = {name: height for name, height in heights.items() if height} | {"answers": 3.2}
    total = sum(panels.values()) + GAP * (len(panels) - 1) + 1.35
    figure = Figure(figsize=(WIDTH, total))
    figure.text(LEFT, 1 - 0.18 / total, title, va="top", fontsize=13, fontweight="bold", parse_math=False)
    figure.text(LEFT, 1 - 0.42 / total, below, va="top", fontsize=9, color="#555555", parse_math=False)
    top = total - 0.75
    for name, height in panels.items():
        axes = figure.add_axes((LEFT, (top - height) / total, RIGHT - LEFT, height / total))
        axes.set_xlim(0, max(told.seconds, 1e-3))
        {"looks": _looks, "sound": _sound, "answers": _answers}[name](axes, told)
        if name != "answers":
            axes.tick_params(labelbottom=False)
        top -= height + GAP
    return figure


def _looks(axes: "Axes", told: Timeline) -> None:
    """Squares side by side, each in the middle of its part of the time."""
    share = max(told.seconds, 1e-3) / len(told.looks)
    for number, look in enumerate(told.looks):
        width = share * min(1, len(told.looks) / FEWEST)
        axes.imshow(look.picture, extent=(number * share, number * share + width, 0, 1), aspect="auto")
        if not look.face:
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
            axes.text(number * share + width / 2, 0.07, "no face", ha="center", fontsize=7, bbox=box)
    axes.set(xlim=(0, max(told.seconds, 1e-3)), ylim=(0, 1), yticks=[], xticks=[], ylabel="face")
    axes.spines[:].set_visible(False)


def _sound(axes: "Axes", told: Timeline) -> None:
    """The sound's outline."""
    edges = np.linspace(0, told.seconds, len(told.sound) + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    loudest = max(float(told.sound.max(initial=0)), 1e-6)
    axes.fill_between(middles, -told.sound / loudest, told.sound / loudest, color="#555555", linewidth=0)
    axes.set(ylim=(-1.05, 1.05), yticks=[], ylabel="sound")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _answers(axes: "Axes", told: Timeline) -> None:
    """A line a class, its name at its end; one window is a level line."""
    best = int(told.whole.argmax())
    moments, rows, what = _points(told)
    places = _apart(rows[-1])
    for number, label in enumerate(told.classes):
        colour, style = COLOURS[number % len(COLOURS)], LINES[number // len(COLOURS) % len(LINES)]
        bold = number == best
        axes.plot(
            moments, rows[:, number], style, color=colour, linewidth=2.8 if bold else 1.4, zorder=2 + bold,
            marker="o" if 2 < len(rows) <= DOTTED else "", markersize=4,
        )  # fmt: skip
        axes.annotate(
            label, (moments[-1], rows[-1, number]), (1.025, places[number]),
            textcoords="axes fraction", va="center", color=colour, fontsize=10, annotation_clip=False,
            fontweight="bold" if bold else "normal",
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6, "relpos": (0, 0.5), "shrinkA": 3,
            },
        )  # fmt: skip
    axes.axhline(1 / len(told.classes), color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set(ylim=(0, 1), xlabel=f"seconds ({what})" if told.seconds else "one picture", ylabel="probability")
    if not told.seconds:
        axes.set_xticks([])
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)


def _points(told: Timeline) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]:
    """Moments, probabilities [moments, classes] and what they are: more windows than can be told apart are averaged."""
    start, end = told.windows[0]
    if len(told.windows) == 1:
        return (
            np.array([0.0, max(told.seconds, 1e-3)]),
            np.repeat(told.probabilities, 2, axis=0),
            "the whole file at once",
        )
    middles, length = np.array(told.windows).mean(axis=1), f"{end - start:g} seconds"
    if len(middles) <= MOST:
        return middles, told.probabilities, f"each point: the middle of {length}"
    many = -(-len(middles) // MOST)
    groups = [slice(first, first + many) for first in range(0, len(middles), many)]
    moments = np.array([middles[group].mean() for group in groups])
    rows = np.stack([told.probabilities[group].mean(axis=0) for group in groups])
    return moments, rows, f"each point: the mean of {many} windows of {length}"


def _apart(wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Places near those wanted, in their order, none too near to another and all between 0 and 1."""
    space = min(APART, 1 / max(len(wanted) - 1, 1))
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(len(wanted)) * space
    placed = np.maximum.accumulate(wanted[order] - steps) + steps  # pushed up where they are too near
    over = placed[-1] - 1
    if over > 0:  # and down from the top
        placed = np.minimum(placed, 1 - steps[::-1])
    result: npt.NDArray[np.float64] = np.empty_like(placed)
    result[order] = placed
    return result
