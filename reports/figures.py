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
    side = 1.8 + 0.75 * len(labels)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, label="share of the true class", shrink=0.8)
    axes.set(title=title, xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    for (true, answered), count in np.ndenumerate(counts):
        colour = "white" if shares[true, answered] > 0.6 else "black"
        axes.text(answered, true, str(count), ha="center", va="center", color=colour)
    return figure
