"""A contact sheet of a corpus: faces of each emotion, and one voice of each as a spectrogram."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.base import Clip, DatasetError

MOMENTS = (0.25, 0.5, 0.75)  # of the clip
RATE = 16_000


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
