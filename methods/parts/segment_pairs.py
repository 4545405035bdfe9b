"""Segments of sound and the faces seen meanwhile: Zhang et al. 2018 ("hybrid") III-A, Ma et al. 2019 (AVEF) 2.1."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.clips import Media
from datasets.shots import Shot
from methods.base import Prepared
from methods.parts.audio import LogMel, with_deltas
from methods.parts.faces import Face, FaceTracker, crop_by_eyes, crop_by_parts
from methods.parts.landmarks import Picture, Points
from methods.parts.segments import HOP, HYBRID_SHIFT, LENGTH, WINDOW, Indices, cut, picture_frames, starts, time_range
from methods.parts.vad import Voiced, voiced

ENDLESS = 10**9  # pictures
WAITING = 8  # faces whose landmarks are found at once


@dataclass(frozen=True)
class Cutting:
    """64 frames of 64 mel bands, static, delta and delta-delta; the next segment begins 30 frames later."""

    length: int = LENGTH
    shift: int = HYBRID_SHIFT
    mel: LogMel = LogMel()

    def starts(self, frames: int) -> list[int]:
        """First frames of the segments."""
        return starts(frames, self.length, self.shift)

    def segments(self, spectrogram: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[bands, T] -> [N, bands, length, 3]"""
        begun = self.starts(spectrogram.shape[1])
        return with_deltas(np.stack([cut(spectrogram, start, self.length) for start in begun]))


@dataclass(frozen=True)
class Pictures:
    """Faces with the eyes so many pixels apart."""

    per_second: float = 30.0
    height: int = 150
    width: int = 110
    eyes: float = 55.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def crop(self, picture: Picture, landmarks: Points) -> Picture:
        return crop_by_eyes(picture, landmarks, *self.shape, distance=self.eyes)


@dataclass(frozen=True)
class Squares:
    """Faces as squares, wider than eyes, nose and mouth spread by so large a share of that."""

    per_second: float = 30.0
    size: int = 173
    margin: float = 1.4

    @property
    def shape(self) -> tuple[int, int]:
        return self.size, self.size

    def crop(self, picture: Picture, landmarks: Points) -> Picture:
        return crop_by_parts(picture, landmarks, self.size, self.margin)


@dataclass(frozen=True)
class SegmentPairs:
    """Media to `sound` [N, bands, frames, 3], `faces` [F, height, width, 3] uint8, and `pictures` [N, 16] of them.

    With `silence_cut`, sound and picture are cut down to where somebody speaks, `voice` [spans, 2] in milliseconds;
    where it has no rows, nothing is cut.
    """

    modality: str
    cutting: Cutting
    pictures: Pictures | Squares
    silence_cut: bool = False

    def __call__(self, media: Media) -> Prepared:
        inputs: dict[str, npt.NDArray[Any]] = {}
        rate, spoken = self.cutting.mel.rate, Voiced(())
        if self.modality != "video" or (self.silence_cut and "audio" in media.has):
            sound = media.audio(rate)
            spoken = voiced(sound, rate) if self.silence_cut else spoken
        frames = _frames(spoken.seconds) if spoken.spans else None
        if self.silence_cut:
            inputs["voice"] = np.rint(1000 * np.array(spoken.spans).reshape(-1, 2)).astype(np.int32)
        if self.modality != "video":
            spectrogram = self.cutting.mel(spoken.cut(sound, rate) if spoken.spans else sound)  # [bands, T]
            frames = spectrogram.shape[1]
            inputs["sound"] = self.cutting.segments(spectrogram)
        if self.modality != "audio":
            inputs |= self._seen(media, spoken, frames)
        return inputs

    def _seen(self, media: Media, spoken: Voiced, frames: int | None) -> dict[str, npt.NDArray[Any]]:
        """Each segment's faces, the nearest where a picture has none; faces of no segment are left out.

        Without sound, of which there would be so many frames, segments are as if it lasted as long as the picture.
        """
        wanted = self._wanted(spoken, frames) if frames else None
        cuts = self._cuts(media, wanted)
        if wanted is None:
            wanted = self._wanted(spoken, _frames(cuts.seen / self.pictures.per_second))
        wanted = wanted.clip(max=max(cuts.seen - 1, 0))
        if not cuts.numbers:
            empty = np.zeros((0, *self.pictures.shape, 3), np.uint8)
            return {"faces": empty, "pictures": np.zeros_like(wanted, np.int32)}
        nearest = np.abs(wanted[..., None] - np.array(cuts.numbers)).argmin(axis=2)
        used, pictures = np.unique(nearest, return_inverse=True)
        faces = np.stack([cuts.faces[number] for number in used])
        return {"faces": faces, "pictures": pictures.reshape(nearest.shape).astype(np.int32)}

    def _wanted(self, spoken: Voiced, frames: int) -> Indices:
        """Each segment's pictures [N, 16], of the clip's one for each 1/30 s, as if these never ended."""
        times = [time_range(start, frames, self.cutting.length) for start in self.cutting.starts(frames)]
        rate = self.pictures.per_second
        if not spoken.spans:
            return np.array([picture_frames(*time, rate, ENDLESS) for time in times])
        shown = spoken.pictures(rate, ENDLESS)
        wanted: Indices = shown[np.array([picture_frames(*time, rate, len(shown)) for time in times])]
        return wanted

    def _cuts(self, media: Media, wanted: Indices | None) -> "_Cuts":
        """The faces in all pictures, or in those that are wanted; where one has none, the nearest on either side."""
        asked = None if wanted is None else frozenset(wanted.ravel().tolist())
        cuts, last, lacking = _Cuts(self.pictures), None, False
        for shot, face in media.seen(FaceTracker(), self.pictures.per_second):
            lacking = lacking or asked is None or cuts.seen in asked
            if face:
                last = cuts.seen, shot, face
            if lacking and last:
                cuts.add(*last)
            lacking = lacking and face is None
            cuts.seen += 1
        if last and asked and max(asked) >= cuts.seen:
            cuts.add(*last)
        cuts.cut()
        return cuts


@dataclass
class _Cuts:
    """Faces cut out of a clip, and in which of the pictures that were seen they were found."""

    pictures: Pictures | Squares
    seen: int = 0
    numbers: list[int] = field(default_factory=list)
    faces: list[Picture] = field(default_factory=list)
    waiting: list[tuple[Shot, Face]] = field(default_factory=list)

    def add(self, number: int, shot: Shot, face: Face) -> None:
        """In order; what was added last may come again."""
        if self.numbers[-1:] != [number]:
            self.numbers.append(number)
            self.waiting.append((shot, face))
        if len(self.waiting) == WAITING:
            self.cut()

    def cut(self) -> None:
        """All landmarks one after the other: so their model stays in the processor's cache, and they are faster."""
        points = [face.landmarks for _, face in self.waiting]
        for (shot, _), here in zip(self.waiting, points, strict=True):
            self.faces.append(self.pictures.crop(shot.picture, here))
        self.waiting.clear()


def _frames(seconds: float) -> int:
    """Of a spectrogram of so much sound."""
    return max(1 + int((seconds - WINDOW) / HOP + 1e-6), 1)
