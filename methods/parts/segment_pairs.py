"""Segments of sound and the faces seen meanwhile: the inputs of Zhang et al. 2018, section III-A."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.base import Media
from methods.base import Prepared
from methods.parts.audio import LogMel, with_deltas
from methods.parts.faces import FaceTracker, crop_by_eyes
from methods.parts.segments import HOP, HYBRID_SHIFT, LENGTH, WINDOW, cut, picture_frames, starts, time_range


@dataclass(frozen=True)
class Cutting:
    """64 frames of 64 mel bands, static, delta and delta-delta; the next segment begins 30 frames later."""

    length: int = LENGTH
    shift: int = HYBRID_SHIFT
    mel: LogMel = LogMel()


@dataclass(frozen=True)
class Pictures:
    """Faces with the eyes so many pixels apart."""

    per_second: float = 30.0
    height: int = 150
    width: int = 110
    eyes: float = 55.0


@dataclass(frozen=True)
class SegmentPairs:
    """Media to `sound` [N, bands, frames, 3], `faces` [F, height, width, 3] uint8, and `pictures` [N, 16] of them."""

    modality: str
    cutting: Cutting
    pictures: Pictures

    def __call__(self, media: Media) -> Prepared:
        inputs: dict[str, npt.NDArray[Any]] = {}
        length, faces, numbers, count = self.cutting.length, np.zeros(0, np.uint8), np.zeros(0, np.intp), 0
        if self.modality != "audio":
            faces, numbers, count = self._faces(media)
        if self.modality == "video":  # segments as long as if there were sound
            frames = max(1 + int((count / self.pictures.per_second - WINDOW) / HOP), 1)
        else:
            spectrogram = self.cutting.mel(media.audio(self.cutting.mel.rate))  # [bands, T]
            frames = spectrogram.shape[1]
            begun = starts(frames, length, self.cutting.shift)
            inputs["sound"] = np.stack([with_deltas(cut(spectrogram, start, length)) for start in begun])
        if self.modality != "audio":
            times = [time_range(start, frames, length) for start in starts(frames, length, self.cutting.shift)]
            wanted = np.array([picture_frames(*time, self.pictures.per_second, max(count, 1)) for time in times])
            nearest = np.abs(wanted[..., None] - numbers).argmin(axis=2) if len(numbers) else np.zeros_like(wanted)
            inputs |= {"faces": faces, "pictures": nearest.astype(np.int32)}
        return inputs

    def _faces(self, media: Media) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp], int]:
        """The faces, in which pictures they were found, and how many pictures there are."""
        size, eyes = (self.pictures.height, self.pictures.width), self.pictures.eyes
        cut_out, numbers, count = [], [], 0
        for picture, face in FaceTracker().follow(media.frames(self.pictures.per_second)):
            if face:
                cut_out.append(crop_by_eyes(picture, face.landmarks, *size, distance=eyes))
                numbers.append(count)
            count += 1
        faces = np.stack(cut_out) if cut_out else np.zeros((0, *size, 3), np.uint8)
        return faces, np.array(numbers, np.intp), count
