"""Every frame of a clip as a face, and the clip's spectrogram: the inputs of H. Zhou et al., ICMI 2019."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.clips import Media
from datasets.shots import Shot
from methods.base import Examples, MethodError, Prepared
from methods.parts.audio import Framing, LogMel, Mel, speech_spectrogram, with_deltas
from methods.parts.faces import Face, FaceTracker, crop_box
from methods.parts.training import sent

RATE = 16_000


@dataclass(frozen=True)
class Pictures:
    """The face's box, its sides 30 % longer, as a square; the whole frame where there is none, or where it is one."""

    per_second: float = 10.0
    size: int = 224
    margin: float = 0.3

    def __post_init__(self) -> None:
        if self.per_second <= 0 or self.size < 1:
            raise ValueError(f"per_second and size must be positive, but are {self.per_second, self.size}")

    def __call__(self, media: Media) -> dict[str, npt.NDArray[Any]]:
        """`faces` [T, size, size, 3] uint8, one of each frame, and whether a face was `found` in it [T]."""
        cut, found = [], []
        for shot, face in media.seen(_alone if media.framed else FaceTracker(), self.per_second):
            found.append(media.framed or face is not None)
            height, width = shot.picture.shape[:2]
            box, margin = (face.box, self.margin) if face else ((0.0, 0.0, float(width), float(height)), 0.0)
            cut.append(crop_box(shot.picture, box, self.size, margin))
        faces = np.stack(cut) if cut else np.zeros((0, self.size, self.size, 3), np.uint8)
        return {"faces": faces, "found": np.array(found, np.bool_)}


def _alone(shots: Iterator[Shot]) -> Iterator[tuple[Shot, Face | None]]:
    """Pictures in which no face is to be looked for."""
    return ((shot, None) for shot in shots)


@dataclass(frozen=True)
class Sound:
    """The lowest 200 bins of the spectrogram of windows of 40 ms, or 40 log mel bands with deltas and their deltas."""

    kind: Literal["spectrogram", "log-mel"] = "spectrogram"
    hop: float = 0.010

    @property
    def channels(self) -> int:
        """Of the picture that it is."""
        return 1 if self.kind == "spectrogram" else 3

    def __call__(self, media: Media) -> dict[str, npt.NDArray[Any]]:
        """`sound` [T, bins, channels]"""
        wave = media.audio(RATE)
        if self.kind == "spectrogram":
            return {"sound": speech_spectrogram(wave, RATE, hop=self.hop)[..., None]}
        mel = LogMel(RATE, Framing(hop=self.hop), Mel(bands=40, low=0.0))(wave)  # [40, T]
        return {"sound": with_deltas(mel).swapaxes(0, 1)}


@dataclass(frozen=True)
class FacesAndSound:
    """As far as the modality asks for them."""

    pictures: Pictures | None
    sound: Sound | None

    def __call__(self, media: Media) -> Prepared:
        return {**(self.pictures(media) if self.pictures else {}), **(self.sound(media) if self.sound else {})}


class Frames:
    """All frames of some clips, in a file, for there may be more than memory holds; and whose they are."""

    def __init__(self, clips: Iterable[Prepared], device: str) -> None:
        self.device, counts, side = device, [], 0
        with TemporaryFile() as file:
            for clip in clips:
                file.write(np.ascontiguousarray(clip["faces"]).tobytes())
                counts.append(len(clip["faces"]))
                side = clip["faces"].shape[1]
            if not sum(counts):
                raise MethodError(f"{len(counts)} clips have no frame at all; look at them with check")
            file.flush()
            self.pictures = np.memmap(file, np.uint8, "r", shape=(sum(counts), side, side, 3))
        self.owners = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))  # [frames]

    def __len__(self) -> int:
        return len(self.owners)

    def of(self, chosen: Tensor) -> Tensor:
        """By number: [B, 3, side, side] in 0..255."""
        return as_tensor(np.asarray(self.pictures[chosen.numpy()]), self.device)


def as_tensor(faces: npt.NDArray[np.uint8], device: str) -> Tensor:
    """[N, side, side, 3] uint8 -> [N, 3, side, side] float.

    Contiguous: PyTorch 2.11 writes past the gradients of strided 1 x 1 convolutions of permuted pictures on several
    cores.
    """
    return sent(torch.from_numpy(faces), torch.device(device)).permute(0, 3, 1, 2).contiguous().float()


def share_without_face(examples: Examples) -> float:
    """Of all frames."""
    found = np.concatenate([clip["found"] for clip in examples.inputs])
    return float(np.mean(~found)) if len(found) else 0.0
