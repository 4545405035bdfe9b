"""VGG16-GRU on faces beside MFCC-GRU on sound, fused by concatenation.

Y. Song, Y. Cai, L. Tan, "Video-Audio Emotion Recognition Based on Feature Fusion Deep Learning Method", 64th IEEE
International Midwest Symposium on Circuits and Systems (MWSCAS), 2021, doi:10.1109/MWSCAS47672.2021.9531812.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from datasets.clips import Media
from methods.base import (
    Examples,
    Frozen,
    Method,
    Modality,
    Paper,
    Preparation,
    Prepared,
    RunContext,
    Variant,
    Weights,
    tuned,
)
from methods.parts import networks
from methods.parts.audio import Mfcc
from methods.parts.faces import FaceTracker, crop_box
from methods.parts.gru import Gru
from methods.parts.ragged import Packed, Ragged
from methods.parts.resident import once
from methods.parts.small_vgg import SmallVgg
from methods.parts.training import Lesson, Schedule, in_parts, learn, probabilities, recognised
from methods.parts.vgg16 import ImagenetVgg16
from methods.parts.weights import VGG16


@dataclass(frozen=True)
class Branch:
    """A row of Table I or II: the GRU, the fully connected layer behind it, and batch normalisation behind that."""

    layers: int
    units: int
    normalised: bool = True
    dense: int = 256

    def __post_init__(self) -> None:
        if min(self.layers, self.units, self.dense) < 1:
            raise ValueError(f"layers, units and dense must be positive, but are {self.layers, self.units, self.dense}")


@dataclass(frozen=True)
class Pictures:
    """A quarter of 30 frames a second; each cut to its face and resized."""

    per_second: float = 7.5
    size: int = 48

    def __post_init__(self) -> None:
        if self.per_second <= 0 or self.size < 1:
            raise ValueError(f"per_second and size must be positive, but are {self.per_second, self.size}")


SIZES = {"units": IntDistribution(32, 1024, log=True), "dense": IntDistribution(32, 512, log=True)}


@dataclass(frozen=True)
class Config:
    """The paper's values."""

    video: Branch = tuned(Branch(layers=1, units=512), SIZES)
    audio: Branch = tuned(Branch(layers=3, units=256), SIZES)
    pictures: Pictures = Pictures()
    mfcc: Mfcc = Mfcc()
    channels: tuple[int, ...] = ()  # of a small VGG that is trained along; none: VGG16 with ImageNet's frozen weights
    schedule: Schedule = tuned(
        Schedule(epochs=50, batch=32, learning_rate=1e-3),
        {"epochs": IntDistribution(10, 100), "learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
    )


def _rows(
    modality: Modality, table: str, accuracies: Mapping[tuple[int, int, bool], int]
) -> Iterator[tuple[str, Variant]]:
    for (layers, units, normalised), accuracy in accuracies.items():
        name = f"{modality}-{layers}x{units}" + ("" if normalised else "-plain")
        branch = Branch(layers, units, normalised)
        config = Config(video=branch) if modality == "video" else Config(audio=branch)
        told = f"{layers} layer GRU ({units} units) {'with' if normalised else 'without'} batch normalization"
        yield name, Variant(config, modality, f"Table {table}, {told}: {accuracy} %")


TABLE_I = {
    (1, 256, True): 78, (3, 256, True): 74, (1, 512, False): 76, (1, 512, True): 79,
    (3, 512, False): 74, (3, 512, True): 76, (1, 1024, False): 77, (1, 1024, True): 78,
}  # fmt: skip
TABLE_II = {
    (1, 256, False): 69, (1, 256, True): 75, (3, 256, False): 75, (3, 256, True): 80,
    (1, 512, True): 75, (3, 512, True): 79,
}  # fmt: skip


@dataclass(frozen=True)
class FacesAndMfcc:
    """Media to faces [T, size, size, 3] uint8 and MFCC [T, 13], as far as the modality asks for them."""

    modality: str
    pictures: Pictures
    mfcc: Mfcc

    def __call__(self, media: Media) -> Prepared:
        inputs: dict[str, npt.NDArray[Any]] = {}
        if self.modality != "video":
            inputs["mfcc"] = self.mfcc(media.audio(self.mfcc.rate))
        if self.modality != "audio":
            inputs["faces"] = self._faces(media)
        return inputs

    def _faces(self, media: Media) -> npt.NDArray[np.uint8]:
        size, seen = self.pictures.size, media.seen(FaceTracker(), self.pictures.per_second)
        cut = [crop_box(shot.picture, face.box, size) for shot, face in seen if face]
        return np.stack(cut) if cut else np.zeros((0, size, size, 3), np.uint8)


class Subsystem(nn.Module):
    """Fig. 2 and Fig. 5: GRU, a fully connected layer on its last state, batch normalisation."""

    def __init__(self, width: int, branch: Branch) -> None:
        super().__init__()
        self.gru = Gru(width, branch.units, branch.layers, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(branch.units, branch.dense), nn.ReLU())
        self.normalise = nn.BatchNorm1d(branch.dense) if branch.normalised else nn.Identity()

    def forward(self, rows: Packed) -> Tensor:
        normalised: Tensor = self.normalise(self.dense(self.gru.last(rows)))
        return normalised


class Fusion(nn.Module):
    """Fig. 1. One modality alone is one branch and the softmax."""

    def __init__(self, config: Config, widths: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.eyes = SmallVgg(config.channels) if "faces" in widths else None
        branches = {name: config.audio if name == "mfcc" else config.video for name in sorted(widths)}
        seen = {name: _flattened(config) if name == "faces" else widths[name] for name in branches}
        self.subsystems = nn.ModuleDict({name: Subsystem(seen[name], branch) for name, branch in branches.items()})
        self.classify = nn.Linear(sum(branch.dense for branch in branches.values()), classes)
        self.mean = nn.Buffer(torch.zeros(widths.get("mfcc", 0)))
        self.deviation = nn.Buffer(torch.ones(widths.get("mfcc", 0)))

    def forward(self, batch: Mapping[str, Packed]) -> Tensor:
        told = [self.subsystems[name](self._seen(name, batch[name])) for name in sorted(batch)]
        logits: Tensor = self.classify(torch.cat(told, dim=1))
        return logits

    def _seen(self, name: str, rows: Packed) -> Packed:
        if name == "mfcc":
            return replace(rows, rows=(rows.rows - self.mean) / self.deviation)
        if self.eyes is None:
            return rows
        return replace(rows, rows=self.eyes(rows.rows.permute(0, 3, 1, 2) / 127.5 - 1, rows.real))  # [frames, values]


def _flattened(config: Config) -> int:
    side = config.pictures.size >> len(config.channels)
    return side * side * config.channels[-1]


class Vgg16Gru(Method):
    """Faces through VGG16 and a GRU, MFCC through a GRU of three layers, both concatenated."""

    version = 2  # faces are cut out in whole pixels
    paper = Paper(
        title="Video-Audio Emotion Recognition Based on Feature Fusion Deep Learning Method",
        authors="Song, Cai, Tan",
        year=2021,
        doi="10.1109/MWSCAS47672.2021.9531812",
        left_unsaid={
            "optimiser, epochs, batch size": "Adam at 0.001, 50 epochs, batches of 32; the last epoch is kept",
            "hop of the MFCC frames": "half a frame",
            "scaling of the inputs": "MFCC by mean and deviation of the training frames; pictures as ImageNet's",
            "which state of the GRU goes on": "the last",
            "activation of the fully connected layers": "ReLU",
            "mel bands, and a floor under the logarithm": "librosa's: 128 up to half the rate, 80 dB below the loudest",
            "a clip without a face": "one row of zeros (quick: one black picture)",
            "a frame without a face": "up to five: the box between the frames around them; more: left out",
            "place of batch normalisation": "behind each fully connected layer (section II-E), not behind both (II-A)",
            "which MFCC": "the thirteen of the experiments, without the delta energy and spectrum of section II",
            "convolutions in a block": "VGG16's 2, 2, 3, 3, 3, though the text says two",
            "training of the fusion": "both branches and the softmax at once, from the start",
        },
        departures={
            "an unnamed face detector": "dlib's, followed between detections",
            "ImageNet weights of Keras": "torchvision's, trained anew on the same pictures",
        },
    )
    Config = Config
    variants = {
        **dict(_rows("video", "I", TABLE_I)),
        **dict(_rows("audio", "II", TABLE_II)),
        "fusion": Variant(
            Config(), "av", "Table III, Ours (AV): 90 %; Ours (AO) and (VO) are the best rows of II and I"
        ),
    }
    quick = {
        "mfcc.rate": 16_000,
        "pictures.size": 32,
        "channels": (8, 16, 24, 32),
        "video.units": lambda units: units // 8,
        "video.dense": 64,
        "audio.units": lambda units: units // 8,
        "audio.dense": 64,
        "schedule.epochs": 25,
        "schedule.batch": 16,
        "schedule.learning_rate": 3e-3,
    }
    modalities = frozenset({"audio", "video", "av"})
    one_network = True

    def preparation(self) -> Preparation:
        return FacesAndMfcc(self.modality, self.config.pictures, self.config.mfcc)

    def frozen(self, weights: Weights) -> Frozen | None:
        if self.modality == "audio" or self.config.channels:
            return None
        return ImagenetVgg16(weights.find(VGG16))

    def matters(self, setting: str) -> bool:
        """A branch that is there."""
        part = setting.partition(".")[0]
        return part not in ("audio", "video") or self.modality in (part, "av")

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        learn(self.lesson(train, validation, run))

    def lesson(self, train: Examples, validation: Examples | None, run: RunContext) -> Lesson:
        sequences = _sequences(train, run.device)
        self._build({name: ragged.flat.shape[-1] for name, ragged in sequences.items()}, len(train.classes), run)
        if "mfcc" in sequences:
            frames = sequences["mfcc"].flat
            self.network.mean.copy_(frames.mean(dim=0))
            self.network.deviation.copy_(frames.std(dim=0, correction=0).clamp_min(1e-6))
        targets = torch.from_numpy(train.targets()).to(run.device)
        return Lesson(
            self.network,
            partial(_batch, sequences),
            targets,
            self.config.schedule,
            run,
            self._watch(validation, run.device),
            "last",
        )

    def _watch(self, validation: Examples | None, device: str) -> Callable[[], float] | None:
        """The share of those clips that are recognised."""
        if not validation:
            return None
        sequences, targets = _sequences(validation, device), validation.targets()
        return lambda: recognised(self._answers(sequences), targets)

    def _build(self, widths: Mapping[str, int], classes: int, run: RunContext) -> None:
        self.shape = {"widths": dict(widths), "classes": classes}
        with networks.seeded(run.seed):
            self.network = Fusion(self.config, widths, classes).to(run.device)

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        return self._answers(_sequences(examples, str(next(self.network.parameters()).device)))

    def _answers(self, sequences: Mapping[str, Ragged]) -> npt.NDArray[np.float64]:
        clips = len(next(iter(sequences.values())))
        return probabilities(self.network, (_batch(sequences, rows) for rows in in_parts(clips)))

    def save(self, folder: Path) -> None:
        networks.save(folder, self.network, self.shape)

    def load(self, folder: Path) -> None:
        shape = networks.shape(folder)
        self._build(shape["widths"], shape["classes"], RunContext())
        networks.restore(folder, self.network)


def _sequences(examples: Examples, device: str) -> dict[str, Ragged]:
    def made() -> dict[str, Ragged]:
        clips = list(examples.inputs)
        return {name: Ragged([clip[name] for clip in clips], device) for name in sorted(clips[0])}

    return once(examples, "sequences", device, made)


def _batch(sequences: Mapping[str, Ragged], rows: Tensor) -> dict[str, Packed]:
    return {name: ragged.packed(rows) for name, ragged in sequences.items()}
