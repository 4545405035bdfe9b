"""Pictures of results, from tables alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(labels: Sequence[str], counts: npt.NDArray[np.int64], title: str) -> "Figure":
    """Rows are the truth; colour is the share of the row, figures are clips."""
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    grid, names = 0.75 * len(labels), 0.5 + 0.09 * max(map(len, labels))  # inches
    width, height = max(names + grid + 1.1, 0.09 * len(title)), names + grid + 0.4
    figure = Figure(figsize=(width, height))  # every place is said: to look for them takes as long as to draw
    axes = figure.add_axes((names / width, names / height, grid / width, grid / height))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.add_axes(
        ((names + grid + 0.2) / width, (names + 0.1 * grid) / height, 0.2 / width, 0.8 * grid / height)
    )
    figure.colorbar(picture, cax=bar, label="share of the true class")
    figure.suptitle(title, fontsize="medium", y=1 - 0.2 / height, va="center")
    axes.set(xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    for (true, answered), count in np.ndenumerate(counts):
        colour = "white" if shares[true, answered] > 0.6 else "black"
        axes.text(answered, true, str(count), ha="center", va="center", color=colour)
    return figure
