"""Segments of sound and the faces seen meanwhile: Zhang et al. 2018 ("hybrid") III-A, Ma et al. 2019 (AVEF) 2.1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.base import Media
from methods.base import Prepared
from methods.parts.audio import LogMel, with_deltas
from methods.parts.faces import FaceTracker, crop_by_eyes, crop_by_parts
from methods.parts.landmarks import Picture, Points
from methods.parts.segments import HOP, HYBRID_SHIFT, LENGTH, WINDOW, cut, picture_frames, starts, time_range
from methods.parts.vad import Voiced, voiced


@dataclass(frozen=True)
class Cutting:
    """64 frames of 64 mel bands, static, delta and delta-delta; the next segment begins 30 frames later."""

    length: int = LENGTH
    shift: int = HYBRID_SHIFT
    mel: LogMel = LogMel()

    def segments(self, spectrogram: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[bands, T] -> [N, bands, length, 3]"""
        begun = starts(spectrogram.shape[1], self.length, self.shift)
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
        rate, length, shift = self.cutting.mel.rate, self.cutting.length, self.cutting.shift
        faces, numbers, count = np.zeros(0, np.uint8), np.zeros(0, np.intp), 0
        if self.modality != "audio":
            faces, numbers, count = self._faces(media)
        spoken = Voiced(())
        if self.modality != "video" or (self.silence_cut and "audio" in media.has):
            sound = media.audio(rate)
            spoken = voiced(sound, rate) if self.silence_cut else spoken
        if self.silence_cut:
            inputs["voice"] = np.rint(1000 * np.array(spoken.spans).reshape(-1, 2)).astype(np.int32)
        if self.modality == "video":  # segments as long as if there were sound
            seconds = spoken.seconds if spoken.spans else count / self.pictures.per_second
            frames = max(1 + int((seconds - WINDOW) / HOP + 1e-6), 1)
        else:
            spectrogram = self.cutting.mel(spoken.cut(sound, rate) if spoken.spans else sound)  # [bands, T]
            frames = spectrogram.shape[1]
            inputs["sound"] = self.cutting.segments(spectrogram)
        if self.modality != "audio":
            times = [time_range(start, frames, length) for start in starts(frames, length, shift)]
            inputs |= self._seen(times, self._shown(spoken, count), faces, numbers)
        return inputs

    def _shown(self, spoken: Voiced, count: int) -> npt.NDArray[np.intp]:
        """Which of the clip's pictures are left, in order, one for each 1/30 s."""
        if spoken.spans and count:
            return spoken.pictures(self.pictures.per_second, count)
        return np.arange(max(count, 1))

    def _seen(
        self,
        times: list[tuple[float, float]],
        shown: npt.NDArray[np.intp],
        faces: npt.NDArray[np.uint8],
        numbers: npt.NDArray[np.intp],
    ) -> dict[str, npt.NDArray[Any]]:
        """Each segment's faces, the nearest where a picture has none; faces of no segment are left out."""
        wanted = np.array([shown[picture_frames(*time, self.pictures.per_second, len(shown))] for time in times])
        if not len(numbers):
            return {"faces": faces, "pictures": np.zeros_like(wanted, np.int32)}
        nearest = np.abs(wanted[..., None] - numbers).argmin(axis=2)
        used, pictures = np.unique(nearest, return_inverse=True)
        return {"faces": faces[used], "pictures": pictures.reshape(nearest.shape).astype(np.int32)}

    def _faces(self, media: Media) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp], int]:
        """The faces, in which pictures they were found, and how many pictures there are."""
        cut_out, numbers, count = [], [], 0
        for shot, face in media.seen(FaceTracker(), self.pictures.per_second):
            if face:
                cut_out.append(self.pictures.crop(shot.picture, face.landmarks))
                numbers.append(count)
            count += 1
        faces = np.stack(cut_out) if cut_out else np.zeros((0, *self.pictures.shape, 3), np.uint8)
        return faces, np.array(numbers, np.intp), count
