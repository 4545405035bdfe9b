"""AlexNet on spectrograms beside C3D on faces: what Zhang et al. 2018 ("hybrid") and Ma et al. 2019 (AVEF) share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from methods.parts.alexnet import AlexNet
from methods.parts.c3d import C3d
from methods.parts.pooled import Segments
from methods.parts.training import Schedule


@dataclass(frozen=True)
class Tower:
    """A network on segments of one modality, and its training."""

    size: int  # of its pictures
    channels: tuple[int, ...]
    schedule: Schedule
    units: int = 4096  # of fc6 and of fc7
    dropout: float = 0.5


TUNED_TOWER = {
    "schedule.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.7),
}


class Towers(nn.Module):
    """The audio network, the visual network, or both."""

    def __init__(self, audio: Tower, video: Tower, modality: str, classes: int) -> None:
        super().__init__()
        self.towers = nn.ModuleDict()
        if modality != "video":
            self.towers["audio"] = AlexNet(classes, audio.size, audio.channels, audio.units, audio.dropout)
        if modality != "audio":
            self.towers["video"] = C3d(classes, video.size, video.channels, video.units, video.dropout)

    def parts(self) -> Mapping[str, AlexNet | C3d]:
        """The towers by modality."""
        return {name: tower for name, tower in self.towers.items() if isinstance(tower, AlexNet | C3d)}

    def fc7(self, segments: Segments) -> dict[str, Tensor]:
        """Features [N, units] by modality."""
        return {name: segments.described(name, tower.embed) for name, tower in self.parts().items()}


@dataclass(frozen=True)
class Look:
    """How a tower comes from numbers of segments to its fc7."""

    gather: Callable[[Tensor], Tensor]  # what it is given of them
    embed: Callable[[Tensor], Tensor]


def look(name: str, tower: AlexNet | C3d, segments: Segments, kept: bool) -> Look:
    """What convolutions that stay as they are make of the segments is computed once."""
    if not kept:
        return Look(partial(segments.of, name), tower.embed)
    convolved = segments.described(name, tower.convolve)
    return Look(lambda rows: convolved[rows], tower.connect)


def joined(features: Mapping[str, Tensor]) -> Tensor:
    """[N, 8192]"""
    return torch.cat([features["audio"], features["video"]], dim=1)
