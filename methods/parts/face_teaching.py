"""Teaching a face network emotions, picture by picture, end to end with a softmax."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from methods.base import RunContext
from methods.parts.enhancements import Kind, enhanced, width
from methods.parts.face_networks import FaceShape, build
from methods.parts.frames import Frames, as_tensor
from methods.parts.networks import seeded
from methods.parts.training import Schedule, fit

PART = 64  # pictures that a network describes at once


class FaceModel(nn.Module):
    """A network of faces, and the softmax's layer."""

    def __init__(self, shape: FaceShape, classes: int) -> None:
        super().__init__()
        self.network = build(shape)
        self.classify = nn.Linear(shape.features, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, side, side] in 0..255 -> [N, classes]"""
        logits: Tensor = self.classify(self.network(pictures))
        return logits

    def learn(self, frames: Frames, targets: npt.NDArray[np.int64], schedule: Schedule, run: RunContext) -> None:
        """Each frame with its clip's label."""
        wanted = torch.from_numpy(targets)[frames.owners].to(run.device)
        with seeded(run.seed):
            fit(self, lambda rows: self(frames.of(rows)), wanted, schedule, run)

    def _device(self) -> str:
        return str(self.classify.weight.device)

    @torch.no_grad()
    def describe(self, kind: Kind, faces: npt.NDArray[np.uint8]) -> Tensor:
        """Faces [T, side, side, 3] -> features [T, `width(kind, features)`]."""
        parts = [faces[start : start + PART] for start in range(0, len(faces), PART)]
        described = [enhanced(kind, self.network, as_tensor(part, self._device())) for part in parts]
        nothing = torch.zeros(0, width(kind, self.network.shape.features), device=self._device())
        return torch.cat([nothing, *described])

    @torch.no_grad()
    def answer(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """[classes], the mean over the pictures of their probabilities."""
        parts = [faces[start : start + PART] for start in range(0, len(faces), PART)]
        told = [self(as_tensor(part, self._device())).double().softmax(dim=1) for part in parts]
        return torch.cat(told).mean(dim=0).cpu().numpy()
