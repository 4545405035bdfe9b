"""Convolutions and bidirectional LSTM on speech, small-kernel convolutions on facial markers, fused by a DNN.

L. Cai, J. Dong, M. Wei, "Multi-Modal Emotion Recognition From Speech and Facial Expression Based on Deep Learning",
Chinese Automation Congress (CAC), 2020, doi:10.1109/CAC51589.2020.9327178.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from datasets.clips import Media
from methods.base import Examples, Method, Paper, Preparation, Prepared, RunContext, Variant, tuned
from methods.parts import networks
from methods.parts.motion import MARKERS, Motion
from methods.parts.recurrent import BiLstm
from methods.parts.scaling import Standardise
from methods.parts.short_term import NAMES, ShortTerm
from methods.parts.training import Lesson, Schedule, in_parts, learn, probabilities, recognised, sent

FEATURES = len(NAMES)  # 34
FACES = {"mocap": MARKERS, "landmarks": MARKERS}  # a clip has one of them; landmarks fill 136 columns


@dataclass(frozen=True)
class Speech:
    """Two Bi-LSTM layers (SER_1), with convolutions beside them (SER_2)."""

    units: int = 256
    convolved: bool = True
    channels: tuple[int, ...] = (64, 64, 128, 128)
    dense: int = 256


@dataclass(frozen=True)
class Face:
    """Convolutional blocks: in each one kernel of 5 (FER_1), or two of 3 (FER_2)."""

    kernels: tuple[int, ...] = (3, 3)
    channels: tuple[int, ...] = (32, 64, 64, 128, 128)
    dense: int = 256

    def __post_init__(self) -> None:
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels must be odd, but got {self.kernels}")


@dataclass(frozen=True)
class Dropout:
    """Shares that are hidden in training: behind layers, and inside the LSTM from step to step."""

    layers: float = 0.2
    recurrent: float = 0.2


UNITS, SHARE = IntDistribution(16, 512, log=True), FloatDistribution(0.0, 0.6)


@dataclass(frozen=True)
class Config:
    """The paper's values, MER_2."""

    sound: ShortTerm = field(default_factory=ShortTerm)
    motion: Motion = field(default_factory=Motion)
    speech: Speech = tuned(Speech(), {"units": UNITS, "dense": UNITS})
    face: Face = tuned(Face(), {"dense": UNITS})
    fusion: int = tuned(256, UNITS)
    dropout: Dropout = tuned(Dropout(), {"layers": SHARE, "recurrent": SHARE})
    schedule: Schedule = tuned(
        Schedule(epochs=30, batch=64, learning_rate=1e-3),
        {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
    )


@dataclass(frozen=True)
class SoundAndMotion:
    """Media to `sound` [T, 34], and `mocap` [200, 165] or `landmarks` [200, 136]."""

    modality: str
    sound: ShortTerm
    motion: Motion

    def __call__(self, media: Media) -> Prepared:
        sound = {} if self.modality == "video" else {"sound": self.sound(media)}
        return sound if self.modality == "audio" else sound | self.motion(media)


class ContextFeatures(nn.Module):
    """SER_1: two Bi-LSTM layers, two dropout layers, a dense layer."""

    def __init__(self, speech: Speech, dropout: Dropout) -> None:
        super().__init__()
        self.first = BiLstm(FEATURES, speech.units, dropout.recurrent)
        self.second = BiLstm(2 * speech.units, speech.units, dropout.recurrent)
        self.dropout = nn.Dropout(dropout.layers)
        self.dense = nn.Sequential(nn.Linear(2 * speech.units, speech.dense), nn.ReLU())

    def forward(self, sound: Tensor) -> Tensor:
        states = self.second(self.dropout(self.first(sound)))  # [B, 100, 2 * units]
        forwards, backwards = states.chunk(2, dim=-1)
        last = torch.cat([forwards[:, -1], backwards[:, 0]], dim=-1)  # where each direction ends
        features: Tensor = self.dense(self.dropout(last))
        return features


class GlobalFeatures(nn.Sequential):
    """What SER_2 adds: 1-D convolutions with kernels of 3, pooling by 2, dropout, a dense layer."""

    def __init__(self, speech: Speech, frames: int, dropout: float) -> None:
        layers = [nn.Conv1d(*widths, 3, padding=1) for widths in pairwise((FEATURES, *speech.channels))]
        convolutions = [nn.Sequential(layer, nn.ReLU()) for layer in layers]
        flat = frames // 2 * speech.channels[-1]
        dense = nn.Sequential(nn.Flatten(), nn.Linear(flat, speech.dense), nn.ReLU())
        super().__init__(*convolutions, nn.MaxPool1d(2), nn.Dropout(dropout), dense)


class FaceFeatures(nn.Sequential):
    """FER_1 and FER_2: five blocks, each of which halves both sides, and a dense layer."""

    def __init__(self, face: Face, steps: int, dropout: float) -> None:
        blocks = [self._block(*widths, face.kernels, dropout) for widths in pairwise((1, *face.channels))]
        height, width = steps, MARKERS
        for _ in blocks:
            height, width = (height + 1) // 2, (width + 1) // 2
        flat = height * width * face.channels[-1]
        super().__init__(*blocks, nn.Flatten(), nn.Linear(flat, face.dense), nn.ReLU())

    @staticmethod
    def _block(ins: int, outs: int, kernels: Sequence[int], dropout: float) -> nn.Module:
        layers: list[nn.Module] = []
        for number, kernel in enumerate(kernels, start=1):
            stride = 2 if number == len(kernels) else 1
            layers += [nn.Conv2d(ins, outs, kernel, stride, padding=kernel // 2), nn.ReLU()]
            ins = outs
        normalise = nn.BatchNorm2d(outs, momentum=0.3)  # few steps: at 0.1 the statistics lag behind the weights
        return nn.Sequential(*layers, normalise, nn.Dropout(dropout))


class Recogniser(nn.Module):
    """Fig. 1. One modality alone is its features and the softmax."""

    def __init__(self, config: Config, modality: str, classes: int) -> None:
        super().__init__()
        speech, face, dropout = config.speech, config.face, config.dropout
        self.scales = nn.ModuleDict({name: Standardise(width) for name, width in _widths(modality).items()})
        heard, seen = modality != "video", modality != "audio"
        self.context = ContextFeatures(speech, dropout) if heard else None
        convolved = heard and speech.convolved
        self.whole = GlobalFeatures(speech, config.sound.frames, dropout.layers) if convolved else None
        self.face = FaceFeatures(face, config.motion.steps, dropout.layers) if seen else None
        width = heard * speech.dense + convolved * speech.dense + seen * face.dense
        fused = nn.Sequential(nn.Linear(width, config.fusion), nn.ReLU(), nn.Linear(config.fusion, classes))
        self.classify = fused if heard and seen else nn.Linear(width, classes)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        told = []
        if self.context:
            told.append(self.context(batch["sound"]))
        if self.whole:
            told.append(self.whole(batch["sound"].mT))
        if self.face:
            motion = [batch[name] for name in FACES if name in batch]
            told.append(self.face(torch.stack(motion).sum(dim=0)[:, None]))  # of the two, what a clip lacks is zero
        logits: Tensor = self.classify(torch.cat(told, dim=1))
        return logits


def _widths(modality: str) -> dict[str, int]:
    """Columns of the network's inputs."""
    sound = {"sound": FEATURES}
    return {"audio": sound, "video": FACES, "av": sound | FACES}[modality]


class CnnLstmDnn(Method):
    """Short-term features of speech beside the markers of the face."""

    version = 2  # landmarks are found in grey
    paper = Paper(
        title="Multi-Modal Emotion Recognition From Speech and Facial Expression Based on Deep Learning",
        authors="Cai, Dong, Wei",
        year=2020,
        doi="10.1109/CAC51589.2020.9327178",
        left_unsaid={
            "window and hop": "0.2 s and 0.1 s, as in public code with the same inputs (S. Tripathi's for IEMOCAP)",
            "which end is clipped or padded": "the last; padding stands at the mean of the training frames, unmasked",
            "scaling of the inputs": "by mean and deviation of the training frames, padding left out",
            "which columns": "all 55 markers of MOCAP_rotated: the 46 that are named are 138 values, 165 is the file",
            "length of the marker series": "200 means over equal parts of the utterance, as in that code",
            "gaps in the markers": "closed in a straight line; a marker never seen in a clip is 0, as in that code",
            "channels and steps of the facial blocks": "32, 64, 64, 128, 128, each block's last convolution halves; "
            "that code's. FER_2 then has 113,760 parameters less than FER_1, the paper says 134,752: no sequence of "
            "powers of two from 8 to 512 that never falls gives its number",
            "channels of the 1-D convolutions": "64, 64, 128, 128; one pooling behind all four",
            "dense layers": "256 units and ReLU, that code's; in the fusion one hidden layer of 256",
            "what of the second Bi-LSTM goes on": "the last state of each direction",
            "whether SER_1 is bidirectional": "yes, as in section II; section III says LSTM",
            "dropout behind layers": "0.2, like the recurrent dropout that is stated",
            "order within a block": "ReLU behind each convolution, then normalisation and dropout",
            "optimiser, epochs, batch size": "Adam at 0.001, 30 epochs, batches of 64, that code's",
            "use of the validation set": "the first epoch of the highest accuracy on held-out subjects is kept",
            "training of the fusion": "both branches and the fusion at once, from the start",
            "the split": "sizes, and whether by speaker; WA is taken to be accuracy",
            "a clip without a face": "the training mean throughout",
            "gains of the fusion": "10.05 over face and 11.27 over speech, as in Table II; the abstract exchanges them",
        },
        departures={
            "markers of IEMOCAP": "where a clip has none, dlib's 68 points in the picture, about the eyes and 15 a "
            "second, as `landmarks`: made 200 steps likewise, scaled by themselves, in the first 136 columns; "
            "in IEMOCAP so is every utterance of whoever does not wear the markers",
            "LSTM of Keras": "PyTorch's: a second bias, which changes nothing but the count, and its initial weights",
        },
    )
    Config = Config
    variants = {
        "ser-1": Variant(Config(speech=Speech(convolved=False)), "audio", "Table II, SER_1: 56.01 %"),
        "ser-2": Variant(Config(), "audio", "Table II, SER_2: 58.97 %"),
        "fer-1": Variant(Config(face=Face(kernels=(5,))), "video", "Table II, FER_1: 58.16 %"),
        "fer-2": Variant(Config(), "video", "Table II, FER_2: 60.19 %"),
        "mer-1": Variant(Config(speech=Speech(convolved=False)), "av", "Table II, MER_1: 67.21 %"),
        "mer-2": Variant(Config(), "av", "Table II, MER_2: 70.24 %"),
    }
    quick = {
        "sound.frames": 32,
        "motion.steps": 40,
        "motion.per_second": 7.5,
        "speech.units": 24,
        "speech.channels": (16, 16, 32, 32),
        "speech.dense": 48,
        "face.channels": (8, 8, 16, 16, 32),
        "face.dense": 48,
        "fusion": 48,
        "schedule.epochs": 20,
        "schedule.batch": 16,
        "schedule.learning_rate": 3e-3,
    }
    modalities = frozenset({"audio", "video", "av"})
    validates = True
    one_network = True

    def preparation(self) -> Preparation:
        return SoundAndMotion(self.modality, self.config.sound, self.config.motion)

    def substitutes(self) -> Mapping[str, str]:
        return {"mocap": "tracked landmarks for mocap"} if self.modality != "audio" else {}

    def matters(self, setting: str) -> bool:
        """What is in the network of that modality."""
        unheard, unseen = ("speech.", "dropout.recurrent"), ("face.",)
        absent = {"audio": (*unseen, "fusion"), "video": (*unheard, "fusion"), "av": ()}[self.modality]
        return not setting.startswith(absent)

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        learn(self.lesson(train, validation, run))

    def lesson(self, train: Examples, validation: Examples | None, run: RunContext) -> Lesson:
        clips = list(train.inputs)
        self._build(len(train.classes), run)
        for name, scale in self._scales():
            if found := [clip[name] for clip in clips if name in clip]:
                scale.learn(found)
        tables = self._tables(clips)
        targets = torch.from_numpy(train.targets()).to(run.device)

        def inputs(chosen: Tensor) -> dict[str, Tensor]:
            where = sent(chosen, targets.device)
            return {name: rows[where] for name, rows in tables.items()}

        return Lesson(self.network, inputs, targets, self.config.schedule, run, self._judge(validation))

    def _build(self, classes: int, run: RunContext) -> None:
        self.shape = {"classes": classes, "modality": self.modality}
        with networks.seeded(run.seed):
            self.network = Recogniser(self.config, self.modality, classes).to(run.device)

    def _scales(self) -> Iterator[tuple[str, Standardise]]:
        for name, scale in self.network.scales.items():
            yield name, cast(Standardise, scale)

    def _tables(self, clips: Sequence[Prepared]) -> dict[str, Tensor]:
        """What the clips have, scaled and of one length [clips, rows, columns]."""
        lengths = {"sound": self.config.sound.frames} | dict.fromkeys(FACES, self.config.motion.steps)
        nothing = np.zeros((0, 0), np.float32)
        return {
            name: scale.table([clip.get(name, nothing) for clip in clips], lengths[name]).to(scale.mean.device)
            for name, scale in self._scales()
            if any(name in clip for clip in clips)
        }

    def _parts(self, clips: Sequence[Prepared]) -> Iterator[dict[str, Tensor]]:
        """The tables of some clips at a time."""
        for numbers in in_parts(len(clips)):
            yield self._tables([clips[number] for number in numbers.tolist()])

    def _judge(self, validation: Examples | None) -> Callable[[], float] | None:
        """The share of validation clips that are recognised."""
        if not validation:
            return None
        parts, targets = list(self._parts(validation.inputs)), validation.targets()
        return lambda: recognised(probabilities(self.network, parts), targets)

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        return probabilities(self.network, self._parts(examples.inputs))

    def save(self, folder: Path) -> None:
        networks.save(folder, self.network, self.shape)

    def load(self, folder: Path) -> None:
        shape = networks.shape(folder)
        self.modality = shape["modality"]
        self._build(shape["classes"], RunContext())
        networks.restore(folder, self.network)
