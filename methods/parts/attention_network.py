"""From frames' features and a spectrogram to a class: Fig. 1 of H. Zhou et al., ICMI 2019, behind the face networks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from methods.base import RunContext
from methods.parts import alexnet, states
from methods.parts.attention import Kind, attention
from methods.parts.bilinear import FactorizedBilinearPooling
from methods.parts.networks import he_initialised, seeded
from methods.parts.ragged import Alike, Ragged
from methods.parts.training import Schedule, fit, in_parts, probabilities, recognised

Sequences = Mapping[str, Ragged]  # of clips: frames' features (video), spectrograms (audio)
Batch = Mapping[str, Alike]  # of sequences [B, n, ...]


@dataclass(frozen=True)
class Attentions:
    """Intra-modal fusion."""

    video: Kind = "transformer"
    audio: Kind = "transformer"
    reduced: int = 128  # m of the transformer-attention


@dataclass(frozen=True)
class Fusing:
    """Cross-modal fusion."""

    by: Literal["fbp", "concatenation"] = "fbp"
    width: int = 1000  # o
    rank: int = 5  # k
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.width, self.rank) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"width, rank >= 1 and 0 <= dropout < 1 must hold, but got {self}")


@dataclass(frozen=True)
class Hearing:
    """The AlexNet whose last pooling's map is split into vectors."""

    height: int = 200  # to which the bins of a spectrogram are stretched
    channels: tuple[int, ...] = alexnet.CHANNELS

    def __post_init__(self) -> None:
        if self.height < alexnet.SMALLEST or len(self.channels) != 5:
            raise ValueError(
                f"height >= {alexnet.SMALLEST} and five channels must be, but got {self.height}, {self.channels}"
            )


class SoundVectors(nn.Module):
    """A spectrogram of any length as n = H x W vectors of C numbers."""

    def __init__(self, hearing: Hearing, channels: int) -> None:
        super().__init__()
        self.height, self.width = hearing.height, hearing.channels[-1]
        self.features = alexnet.convolutions(hearing.channels)
        self.mean, self.deviation = nn.Buffer(torch.zeros(channels)), nn.Buffer(torch.ones(channels))
        he_initialised(self)

    def load_published(self, file: Path) -> None:
        """torchvision's AlexNet without its fully connected layers."""
        found = states.read(file)
        ours = {name.removeprefix("features."): t for name, t in found.items() if name.startswith("features.")}
        states.fill(self.features, ours, file)

    def forward(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, bins, channels] and lengths -> vectors [B, n, C], and which are real [B, n]"""
        real = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
        x = (rows - self.mean).div_(self.deviation).mul_(real[:, :, None, None])
        x = x.permute(0, 3, 1, 2)  # [B, 1 or 3, T, bins]
        if x.shape[3] != self.height:
            x = interpolate(x, (x.shape[2], self.height), mode="bilinear", antialias=True)
        x = pad(x, (0, 0, 0, max(0, alexnet.SMALLEST - x.shape[2])))  # of a sound too short for the poolings
        maps, lengths = alexnet.feature_maps(self.features, x, lengths.clamp_min(alexnet.SMALLEST))  # [B, C, H, W]
        real = torch.arange(maps.shape[2], device=rows.device) < lengths[:, None]
        return maps.flatten(2).transpose(1, 2), real.repeat_interleave(maps.shape[3], dim=1)


class ClipNetwork(nn.Module):
    """Attention on each side, what fuses the two, and the softmax's layer; one side alone goes straight to that."""

    def __init__(
        self, widths: Mapping[str, int], hearing: Hearing, attentions: Attentions, fusing: Fusing, classes: int
    ) -> None:
        """`widths`: of a frame's features (video), channels of the spectrogram (audio)."""
        super().__init__()
        self.ear = SoundVectors(hearing, widths["audio"]) if "audio" in widths else None
        wide = {name: self.ear.width if self.ear and name == "audio" else width for name, width in widths.items()}
        kinds: Mapping[str, Kind] = {"audio": attentions.audio, "video": attentions.video}
        found = {name: attention(kinds[name], width, attentions.reduced) for name, width in wide.items()}
        self.attend = nn.ModuleDict(found)
        each = {name: module.width for name, module in found.items()}
        joint = len(each) == 2 and fusing.by == "fbp"
        self.fuse = (
            FactorizedBilinearPooling(each["audio"], each["video"], fusing.width, fusing.rank, fusing.dropout)
            if joint
            else None
        )
        self.classify = nn.Linear(fusing.width if joint else sum(each.values()), classes)

    def forward(self, batch: Batch) -> Tensor:
        """[B, classes]"""
        told = {name: batch[name].each(partial(self._attended, name)) for name in sorted(batch)}  # [B, width] each
        whole = self.fuse(told["audio"], told["video"]) if self.fuse else torch.cat(list(told.values()), dim=1)
        logits: Tensor = self.classify(whole)
        return logits

    def _attended(self, name: str, rows: Tensor, lengths: Tensor) -> Tensor:
        if self.ear and name == "audio":
            rows, real = self.ear(rows, lengths)
        else:
            real = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
        attended: Tensor = self.attend[name](rows, real)
        return attended

    def learn(
        self,
        sequences: Sequences,
        targets: Tensor,
        schedule: Schedule,
        run: RunContext,
        watch: Callable[[], float] | None = None,
    ) -> None:
        """All of it at once; the last epoch is kept."""
        if self.ear:
            sound = sequences["audio"].flat  # [frames, bins, channels]
            self.ear.mean.copy_(sound.mean(dim=(0, 1)))
            self.ear.deviation.copy_(sound.std(dim=(0, 1), correction=0).clamp_min(1e-6))
        with seeded(run.seed):
            fit(self, lambda rows: self(_batch(sequences, rows)), targets, schedule, run, watch, keep="last")

    def watch(self, sequences: Sequences, targets: npt.NDArray[np.int64]) -> Callable[[], float]:
        """The share of those clips that are recognised."""
        return lambda: recognised(self.answer(sequences), targets)

    def answer(self, sequences: Sequences) -> npt.NDArray[np.float64]:
        """[clips, classes]"""
        clips = len(next(iter(sequences.values())))
        return probabilities(self, (_batch(sequences, rows) for rows in in_parts(clips)))


def _batch(sequences: Sequences, rows: Tensor) -> Batch:
    return {name: ragged.alike(rows) for name, ragged in sequences.items()}
