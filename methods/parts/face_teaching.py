"""Teaching a face network emotions, picture by picture, end to end with a softmax."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from methods.base import Examples, RunContext
from methods.parts.enhancements import Kind, enhanced, width
from methods.parts.face_networks import IR50, FaceShape, build
from methods.parts.frames import Frames, as_tensor
from methods.parts.networks import seeded
from methods.parts.training import AT_ONCE, Schedule, fit, in_parts, probabilities, recognised


@dataclass(frozen=True)
class Faces:
    """The network that describes faces, and which corpora teach it emotions."""

    shape: FaceShape = IR50
    schedule: Schedule = Schedule(epochs=20, batch=64, learning_rate=0.01, momentum=0.9)
    taught_by: tuple[str, ...] = ("affectnet",)
    elsewhere: bool = True  # whether those corpora are needed; else the training clips' own frames teach it

    def __post_init__(self) -> None:
        if not self.taught_by:
            raise ValueError("taught_by must name a corpus; to go without it set faces.elsewhere=false")


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

    def learn(
        self,
        frames: Frames,
        targets: npt.NDArray[np.int64],
        schedule: Schedule,
        run: RunContext,
        watch: Callable[[], float] | None = None,
    ) -> None:
        """Each frame with its clip's label; the last epoch is kept."""
        wanted = torch.from_numpy(targets)[frames.owners].to(run.device)
        with seeded(run.seed):
            fit(self, lambda rows: self(frames.of(rows)), wanted, schedule, run, watch, keep="last")

    @torch.no_grad()
    def recognises(self, frames: Frames, targets: npt.NDArray[np.int64]) -> float:
        """The share of frames that are given their clip's label."""
        answers = torch.cat([self(frames.of(rows)).cpu() for rows in in_parts(len(frames))])
        return recognised(answers, targets[frames.owners.numpy()])

    def _device(self) -> str:
        return str(self.classify.weight.device)

    @torch.no_grad()
    def describe(self, kind: Kind, faces: npt.NDArray[np.uint8]) -> Tensor:
        """Faces [T, side, side, 3] -> features [T, `width(kind, features)`]."""
        described = [enhanced(kind, self.network, part) for part in self._parts(faces)]
        nothing = torch.zeros(0, width(kind, self.network.shape.features), device=self._device())
        return torch.cat([nothing, *described])

    def answer(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """[classes], the mean over the pictures of their probabilities."""
        return np.asarray(probabilities(self, self._parts(faces)).mean(axis=0))

    def _parts(self, faces: npt.NDArray[np.uint8]) -> Iterator[Tensor]:
        """Some pictures at a time, on its device."""
        for start in range(0, len(faces), AT_ONCE):
            yield as_tensor(faces[start : start + AT_ONCE], self._device())


def taught(
    names: Sequence[str], faces: Faces, train: Examples, watched: Examples | None, run: RunContext
) -> dict[str, FaceModel]:
    """A model for each name, begun with published weights if there are, taught by the clips' own frames."""
    models: dict[str, FaceModel] = {}
    if not names:
        return models
    frames = Frames(train.inputs, run.device)
    others = Frames(watched.inputs, run.device) if watched else None
    for number, name in enumerate(names):
        told = replace(run.named("faces" if len(names) == 1 else f"faces_{number}"), seed=member_seed(run, number))
        with seeded(told.seed):
            models[name] = FaceModel(faces.shape, len(train.classes))
        if file := run.pretrained.get("video"):
            models[name].network.load_published(file)
        model = models[name].to(run.device)
        watch = partial(model.recognises, others, watched.targets()) if watched and others else None
        model.learn(frames, train.targets(), faces.schedule, told, watch)
    return models


def member_seed(run: RunContext, number: int) -> int:
    """Of one of several equal networks; the first one's is the run's."""
    return run.seed + 1000 * number
