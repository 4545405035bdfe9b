"""Pictures of a film, each with the time that it is on the screen; converted when somebody asks, and once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture. Several may look at it, so that nobody may write in it."""

    decoded: Any  # here RGB [height, width, 3]
    until: float  # when the next one takes its place, in seconds of the clip

    @cached_property
    def picture(self) -> Picture:
        """RGB [height, width, 3]"""
        return sealed(self.decoded.view())

    @cached_property
    def grey(self) -> Picture:
        """[height, width]"""
        return sealed(np.array(Image.fromarray(self.picture).convert("L")))


def sealed(picture: Picture) -> Picture:
    """For looking at."""
    picture.flags.writeable = False
    return picture


Through = Callable[[Iterator[Shot]], Iterator[Item]]  # one item for each shot, in order; hashable; repr tells all of it


def timed(shots: Iterable[Shot], through: Through[Item]) -> Iterator[tuple[float, Item]]:
    """What is made of each shot, and until when the shot is on the screen."""
    ends: deque[float] = deque()

    def noted() -> Iterator[Shot]:
        for shot in shots:
            ends.append(shot.until)
            yield shot
            del shot

    for item in through(noted()):
        yield ends.popleft(), item
        del item


def sampled(items: Iterable[tuple[float, Item]], per_second: float | None) -> Iterator[Item]:
    """Each once, or at each instant the one that is on the screen then."""
    count = 0
    for until, item in items:
        if per_second is None:
            yield item
        while per_second is not None and count / per_second < until - 1e-6:
            yield item
            count += 1
        del item
