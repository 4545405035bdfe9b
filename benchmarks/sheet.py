"""Contact sheets: of a corpus, faces and a voice of each emotion; of a method, what its preparation makes of clips."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, DatasetError
from methods.base import Prepared

MOMENTS = (0.25, 0.5, 0.75)  # of the clip
RATE = 16_000
ROWS = 7  # clips of which a method's inputs are drawn
COLUMNS = 4  # parts of an input that are drawn


def draw(clips: Sequence[Clip], file: Path, title: str, standin: bool) -> None:
    """One row an emotion; where there are several people, each row shows another. Of films, three moments."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    if not clips:
        raise DatasetError(f"{title} has no readable clip here, so there is nothing to draw")
    labels = sorted({clip.label for clip in clips})
    columns = 4 if any("audio" in clip.media.has for clip in clips) else 3
    figure, grid = pyplot.subplots(len(labels), columns, figsize=(2.75 * columns, 1.9 * len(labels)), squeeze=False)
    figure.suptitle(f"{title}{' (STAND-IN: rendered, not recorded)' if standin else ''}")
    for row, label in enumerate(labels):
        examples = _examples([clip for clip in clips if clip.label == label], row)
        clip = examples[0]
        for cell in grid[row]:
            cell.set_xticks([])
            cell.set_yticks([])
        grid[row][0].set_ylabel(label)
        for cell, picture in zip(grid[row], _pictures(examples), strict=False):
            cell.imshow(picture)
        if "audio" in clip.media.has:
            sound = clip.media.audio(RATE)
            grid[row][3].specgram(sound + 1e-6, NFFT=512, noverlap=352, Fs=RATE, vmin=-130)
            grid[row][3].set_title(f"{clip.name}: 0 to 8 kHz, {len(sound) / RATE:.1f} s", fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def spread(clips: Sequence[Clip]) -> Sequence[Clip]:
    """Some clips, of as many people and emotions as there are."""
    ordered = sorted(clips, key=lambda clip: clip.name)
    return [ordered[number] for number in np.unique(np.linspace(0, len(ordered) - 1, ROWS).round().astype(int))]


def beside(sheet: Path, *titles: str) -> Path:
    """A file for each row that is drawn, whose name has letters, digits, dots and hyphens of the titles."""
    return sheet.with_stem("-".join([sheet.stem, *(re.sub(r"[^\w.]+", "-", title).strip("-") for title in titles)]))


def _examples(clips: Sequence[Clip], row: int) -> list[Clip]:
    """Clips with picture if there are any, each of another person, and of others from row to row."""
    seen = [clip for clip in clips if "video" in clip.media.has] or list(clips)
    first = {str(clip.subject or clip.name): clip for clip in reversed(seen)}
    people = sorted(first)
    return [first[people[(row + further) % len(people)]] for further in range(len(MOMENTS))]


def _pictures(examples: Sequence[Clip]) -> list[npt.NDArray[np.uint8]]:
    """Three moments of the first; where each is one picture, all of them."""
    clip = examples[0]
    if "video" not in clip.media.has:
        return []
    if clip.media._tracks["video"].still:
        return [picture for example in examples for picture in example.media.frames()]
    frames = list(clip.media.frames(10))
    return [frames[int(moment * len(frames))] for moment in MOMENTS]


def draw_inputs(shown: Sequence[tuple[str, Prepared]], file: Path, title: str) -> None:
    """What a method gets of some clips: pictures as they are, everything else as heat maps over time, a row a clip."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    parts = {(clip, name): _parts(array) for clip, inputs in shown for name, array in inputs.items()}
    columns = {name: max(len(parts.get((clip, name), ())) for clip, _ in shown) for _, name in sorted(parts)}
    total = sum(columns.values())
    figure, grid = pyplot.subplots(
        len(shown), total, figsize=(max(1.9 * total, 6), 1.8 * len(shown)), squeeze=False, layout="constrained"
    )
    figure.suptitle(title)
    for cell in grid.flat:
        cell.set_axis_off()
    for (clip, inputs), row in zip(shown, grid, strict=True):
        first = 0
        for name, width in columns.items():
            shape = f"{name} {list(inputs[name].shape)}" if name in inputs else f"no {name}"
            row[first].set_title(f"{clip}: {shape}", fontsize=6, loc="left")
            for cell, part in zip(row[first : first + width], parts.get((clip, name), ()), strict=False):
                cell.imshow(
                    part, aspect="equal" if part.ndim == 3 else "auto", origin="upper" if part.ndim == 3 else "lower"
                )
            first += width
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _parts(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Up to COLUMNS pictures [height, width, 3] or maps [values, time] spread over a clip; of a series one map."""
    if not array.size:
        return []
    if array.ndim < 4:  # [time, values] or, with the first of its channels, [time, values, channels]
        series = np.atleast_2d(array if array.ndim < 3 else array[..., 0]).T.astype(float)
        if array.ndim == 3:
            return [series]
        # each value between its own extremes
        low, high = series.min(axis=1, keepdims=True), series.max(axis=1, keepdims=True)
        return [(series - low) / np.maximum(high - low, 1e-9)]
    chosen = array[np.unique(np.linspace(0, len(array) - 1, COLUMNS).round().astype(int))]
    if array.dtype == np.uint8 and array.shape[-1] == 3:
        return list(chosen)
    return [part.reshape(*part.shape[:2], -1)[..., 0].astype(float) for part in chosen]
