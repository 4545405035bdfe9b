"""Clips of people: what one may know of them, and what one may not. All that protocols and methods see of a corpus."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from datasets.shots import Item, Shot, Through

AVEF_TABLE_2: Mapping[str, Mapping[str, str]] = {
    "arousal": {
        "disgust": "low", "sadness": "low",
        "anger": "high", "happiness": "high", "fear": "high", "surprise": "high",
    },
    "valence": {
        "anger": "negative", "fear": "negative", "disgust": "negative", "sadness": "negative",
        "happiness": "positive", "surprise": "positive",
    },
}  # fmt: skip
TASKS = ("emotion", *AVEF_TABLE_2)
SOUND_ONLY = frozenset({".wav", ".flac", ".mp3"})
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
SIX_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
Side = Literal["whole", "left", "right"]
Name = TypeVar("Name", int, str)
Advance = Callable[[int, int], None]  # told how many of how many are done


class UserError(Exception):
    """One line for the user: what, the value, the remedy; what it quotes of a file may have had more."""

    def __init__(self, told: str = "") -> None:
        super().__init__(" ".join(told.splitlines()))


class DatasetError(UserError):
    """A corpus is not as it must be."""


class MediaError(DatasetError):
    """What is wrong with a media file."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"{file} {what}")
        self.what = what


@dataclass(frozen=True, slots=True)  # there may be a million
class Track:
    """The sound or the picture of a clip: a file, or a part of one."""

    place: str  # of the file; as a path it would take six times the memory
    start: float = 0.0
    end: float | None = None
    side: Side = "whole"
    box: tuple[int, int, int, int] | None = None  # of a single picture, what is cut out: left, top, right, bottom
    offset: int | None = None  # of a table of pictures, the byte at which the picture's row begins
    framed: bool = False  # the corpus cut it out around the face, so that there is none to look for

    @property
    def file(self) -> Path:
        return Path(self.place)

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return os.stat(self.place).st_size  # noqa: PTH116  a path costs several times that

    @property
    def still(self) -> bool:
        """Whether it is one picture; it plays as a film of one frame."""
        return self.offset is not None or self.file.suffix.lower() in PICTURES


@dataclass(frozen=True, slots=True)
class Media:
    """All that a method may see of a clip. File names name emotions: the id is a digest and the files are private."""

    clip_id: str
    has: frozenset[str]
    _tracks: Mapping[str, Track] = field(repr=False, compare=False)

    @property
    def framed(self) -> bool:
        """Whether its pictures are faces already, cut out by the corpus."""
        return "video" in self._tracks and self._tracks["video"].framed

    def audio(self, rate: int) -> "npt.NDArray[np.float32]":
        """Mono sound at `rate` samples a second; sample 0 is the first instant of the clip."""
        from datasets.media import read_audio

        with self._anonymous():
            return read_audio(self._track("audio"), rate)

    def frames(self, per_second: float | None = None) -> "Iterator[npt.NDArray[np.uint8]]":
        """RGB pictures [height, width, 3], decoded one at a time; as stored, or `per_second`; of a still, one."""
        for shot in self.seen(iter, per_second):
            yield shot.picture.copy()

    def seen(self, through: "Through[Item]", per_second: float | None = None) -> "Iterator[Item]":
        """What `through` makes of all pictures as stored (an iterator of `datasets.shots.Shot`), one of each, in order.

        As stored, or `per_second`. It is made once for all methods of a run that ask for an equal one, so it must be
        hashable and its items must not be changed.
        """
        from datasets.media import read_through

        with self._anonymous():
            yield from read_through(self._track("video"), per_second, through, self._shots)

    def mocap(self) -> "npt.NDArray[np.float32]":
        """Motion capture [frames, values]; gaps are NaN."""
        from datasets.media import read_mocap

        with self._anonymous():
            return read_mocap(self._track("mocap"))

    def _shots(self, track: Track) -> "Iterator[Shot]":
        """What its pictures are read by."""
        from datasets.media import read_shots

        return read_shots(track)

    @contextmanager
    def _anonymous(self) -> Iterator[None]:
        """Errors name the clip by its digest; the path would tell its emotion. `check` names the file."""
        try:
            yield
        except MediaError as error:
            raise DatasetError(f"clip {self.clip_id} {error.what}") from None

    def _track(self, kind: str) -> Track:
        if kind not in self._tracks:
            raise DatasetError(f"clip {self.clip_id} has no {kind}, only {', '.join(sorted(self.has)) or 'its name'}")
        return self._tracks[kind]


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip. Clips of one `recording` share their sound or picture and never stand on two sides."""

    media: Media
    name: str
    subject: str | None
    label: str
    session: str | None = None
    sentence: str | None = None
    split: str | None = None
    recording: str | None = None


def file_digest(file: Path) -> str:
    """SHA-256 of the content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tie(pairs: Iterable[tuple[Name, Name]]) -> dict[Name, Name]:
    """Each name's representative, where names tied by a pair, or by a chain of pairs, share the smallest one."""
    parent: dict[Name, Name] = {}

    def root(name: Name) -> Name:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    return {name: root(name) for name in parent}
