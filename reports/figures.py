"""Pictures of results, from tables alone; as SVG, for to load and to ask a drawing library takes seconds a run."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

SIDE, LETTER, MARGIN = 54, 7.5, 40  # pixels: of a square, of a letter in width, around
LIGHT, DARK = np.array([247, 251, 255]), np.array([8, 48, 107])  # red, green and blue: of none of a row, of all


def confusion(labels: Sequence[str], counts: npt.NDArray[np.int64], title: str) -> str:
    """Rows are the truth; colour is the share of the row, figures are clips."""
    grid, names = SIDE * len(labels), LETTER * max(map(len, labels))
    below = "answered (figures: clips; colour: their share of the true class)"
    left, bottom = MARGIN + names, MARGIN + grid
    width = max(left + grid + MARGIN, LETTER * max(len(title), len(below)) + MARGIN)
    height = bottom + 0.7 * names + 2 * MARGIN
    drawn = [
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        _text(width / 2, MARGIN / 2, title),
        _text(width / 2, height - MARGIN / 2, below),
        f'<g transform="translate({MARGIN / 2} {MARGIN + grid / 2}) rotate(-90)">{_text(0, 0, "true")}</g>',
        *_squares(counts, left),
    ]
    for number, label in enumerate(labels):
        middle = SIDE * (number + 0.5)
        drawn.append(_text(left - 8, MARGIN + middle, label, "end"))
        turned = _text(0, 0, label, "end")
        drawn.append(f'<g transform="translate({left + middle} {bottom + 12}) rotate(-40)">{turned}</g>')
    about = f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {about}>\n' + "\n".join(drawn) + "\n</svg>\n"


def _squares(counts: npt.NDArray[np.int64], left: float) -> Iterator[str]:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (true, answered), count in np.ndenumerate(counts):
        share, x, y = float(shares[true, answered]), left + SIDE * answered, MARGIN + SIDE * true
        colour = ",".join(f"{value:.0f}" for value in LIGHT + share * (DARK - LIGHT))
        yield f'<rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" fill="rgb({colour})"/>'
        yield _text(x + SIDE / 2, y + SIDE / 2, str(count), colour="white" if share > 0.5 else "black")


def _text(x: float, y: float, told: str, anchor: str = "middle", colour: str = "black") -> str:
    place = f'x="{x}" y="{y}" text-anchor="{anchor}" dominant-baseline="central"'
    return f'<text {place} fill="{colour}">{escape(told)}</text>'
