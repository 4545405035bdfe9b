"""Pictures as a method gets them, and faces that are where a test puts them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.shots import Shot
from methods.parts.faces import Face
from methods.parts.landmarks import Box, Picture, Points


def shown(pictures: Sequence[Picture]) -> Callable[..., Iterator[Any]]:
    """For `Media.seen`: these, at any rate."""
    return lambda through, per_second=None: through(Shot(picture, 0.0) for picture in pictures)


def face(box: Box, landmarks: Points, shot: Shot) -> Face:
    """One whose landmarks are known."""
    placed = Face(box, shot)
    vars(placed)["landmarks"] = landmarks
    return placed


@dataclass(frozen=True)
class Everywhere:
    """Instead of a tracker: the same face, eyes so far apart, in each picture but some."""

    box: Box
    eyes: int
    missing: Callable[[int], bool] = lambda number: False

    def __call__(self, shots: Iterator[Shot]) -> Iterator[tuple[Shot, Face | None]]:
        landmarks = np.full((68, 2), 50.0, np.float32)
        landmarks[36:42, 0], landmarks[42:48, 0] = 50 - self.eyes / 2, 50 + self.eyes / 2
        for number, shot in enumerate(shots):
            yield shot, None if self.missing(number) else face(self.box, landmarks, shot)
