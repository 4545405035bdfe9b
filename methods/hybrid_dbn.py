"""AlexNet on spectrograms beside C3D on faces, fused by a deep belief network, averaged, and a linear SVM.

S. Zhang, S. Zhang, T. Huang, W. Gao, Q. Tian, "Learning Affective Features With a Hybrid Deep Model for Audio-Visual
Emotion Recognition", IEEE Transactions on Circuits and Systems for Video Technology 28(10), 2018,
doi:10.1109/TCSVT.2017.2719043.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import FloatDistribution
from scipy.special import softmax
from torch import Tensor, nn

from methods.base import Examples, Method, Paper, Preparation, RunContext, Variant, Weights, tuned
from methods.parts import alexnet, c3d, networks
from methods.parts.fusion import Fusing, FusionNetwork, fit_scale
from methods.parts.pooled import OneVersusOne, Segments, Watched, ensemble, segmented
from methods.parts.segment_pairs import Cutting, Pictures, SegmentPairs
from methods.parts.towers import TUNED_TOWER, Tower, Towers, joined
from methods.parts.training import Schedule, fit
from methods.parts.weights import ALEXNET, C3D


@dataclass(frozen=True)
class Config:
    """The paper's values."""

    cutting: Cutting = Cutting()
    pictures: Pictures = Pictures()
    audio: Tower = tuned(
        Tower(227, alexnet.CHANNELS, Schedule(epochs=300, batch=30, learning_rate=0.001, momentum=0.9)), TUNED_TOWER
    )
    video: Tower = tuned(
        Tower(112, c3d.CHANNELS, Schedule(epochs=400, batch=30, learning_rate=0.001, momentum=0.9)), TUNED_TOWER
    )
    fine_tuned: bool = True
    fusing: Fusing = tuned(
        Fusing(),
        {
            "dropout": FloatDistribution(0.0, 0.7),
            "pretraining.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
            "schedule.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        },
    )
    complexity: float = tuned(1.0, FloatDistribution(1e-4, 1e2, log=True))  # C of the support vector machines


def _fused(**changes: Any) -> Config:
    return Config(fusing=replace(Fusing(), **changes))


def _variants() -> Mapping[str, Variant]:
    """All rows of the tables that are the authors' own."""
    original = Config(fine_tuned=False)
    short = Config(Cutting(length=15, shift=7))
    rows = {
        "audio-original": Variant(original, "audio", "Table I, AlexAudio"),
        "audio": Variant(Config(), "audio", "Tables I and II, Anet; Table IV, 64 x 64 x 3"),
        "video-original": Variant(original, "video", "Table I, C3DVisual"),
        "video": Variant(Config(), "video", "Tables I and III, Vnet"),
        "audio-15-frames": Variant(short, "audio", "Table IV, 64 x 15 x 3"),
    }
    rules: Mapping[Any, str] = {"majority": "Majority vote", "max": "Max", "sum": "Sum", "min": "Min"}
    rules = {**rules, "average": "Average", "product": "Product"}
    rows |= {rule: Variant(_fused(by=rule), "av", f"Table V, {title}") for rule, title in rules.items()}
    rows |= {
        "feature": Variant(_fused(by="feature"), "av", "Table VI, Feature-level"),
        "score": Variant(_fused(by="score"), "av", "Table VI, Score-level"),
    }
    for number in (1, 2, 3):
        told = {"fc": "; Table VI, FC" if number == 1 else "", "dbn": "; Tables VI and XI, DBN" if number == 2 else ""}
        for kind, also in told.items():
            config = _fused(by=kind, layers=number)
            rows[f"{kind}-{number}"] = Variant(config, "av", f"Table X, {kind.upper()}-{number}{also}")
    rows["input-227"] = Variant(
        Config(video=replace(Config().video, size=227)), "av", "section III-A, faces resized to 227 x 227"
    )
    return rows


class Hybrid(Towers):
    """Fig. 1: the audio network, the visual network, and what fuses their fc7."""

    def __init__(self, config: Config, modality: str, classes: int) -> None:
        super().__init__(config.audio, config.video, modality, classes)
        joint = modality == "av" and config.fusing.network
        visible = config.audio.units + config.video.units  # 8192
        self.fusion = FusionNetwork(visible, config.fusing, classes) if joint else None


class HybridDbn(Method):
    """Each network is trained when those below it are ready and stay as they are."""

    version = 2  # faces are cut out in whole pixels, by landmarks found in grey
    paper = Paper(
        title="Learning Affective Features With a Hybrid Deep Model for Audio-Visual Emotion Recognition",
        authors="Zhang, Zhang, Huang, Gao, Tian",
        year=2018,
        doi="10.1109/TCSVT.2017.2719043",
        left_unsaid={
            "shift of segments of 15 frames": "7, as large a part of them as 30 of 64",
            "segments where only the picture is used": "those that sound of the same length would have",
            "a frame without a face": "filled by the nearest frame with one; a clip without any: black pictures",
            "where the eyes are in a crop": "a third of the way down, in the middle",
            "mel scale, window's Fourier transform, floor of the logarithm": "HTK's, 512 points, 1e-6",
            "scaling of the spectrograms": "each channel by mean and deviation of the training segments",
            "scaling of the faces": "0..255 less the mean colour of Sports-1M; (x - 127.5) / 64 without its weights",
            "which fc7": "after its ReLU, without dropout",
            "dropout of fc6 and fc7": "0.5, as in the networks that are fine-tuned",
            "learning rates by layer, their decay, weight decay": "0.001 for all layers and epochs, none",
            "maximum number of epochs": "the number of epochs; the last one is kept",
            "initial fc8": "He's; so are all layers without published weights",
            "scaling of the fusion network's inputs": "by mean and deviation of the training segments' fc7",
            "contrastive divergence": "CD-1; reconstructions are means; 0.01 N(0, 1) initially",
            "learning rate, momentum, epochs of each RBM": "those of the fine-tuning: 0.001, 0.9, 100",
            "which networks have the dropout of Table X": "FC alone, as section IV-B says",
            "C of the SVM, scaling of its inputs": "1; by mean and deviation of the training clips",
            "probabilities": "softmax of the votes, equal ones by margins; LIBSVM's own need folds of the data",
            "what the six rules combine": "these probabilities; a tie of the majority vote goes to the first class",
            "scores of the score-level fusion": "of each class, the sum of its margins",
        },
        departures={
            "windows with '10 ms overlapping'": "10 ms apart: only so do 64 frames last 655 ms",
            "shift of 30 frames and overlap of 30 frames": "a shift of 30: its numbers of segments fit no other",
            "Viola-Jones": "dlib's detector, followed between detections, and the eyes from its landmarks",
            "MatConvNet's AlexNet": "torchvision's, whose channels are 64, 192, 384, 256, 256 and not normalised",
            "faces of 227 x 227 into C3D-Sports-1M": "112 x 112, which fits fc6; in variant input-227 fc6 is fresh",
            "C3D-Sports-1M of Caffe, less a mean clip": "OpenMMLab's conversion, less a mean colour",
            "cross-entropy as reconstruction error of all units": "of Bernoulli units; of Gaussian ones, squares",
            "MatConvNet, Caffe, DeeBNet": "PyTorch",
        },
    )
    Config = Config
    variants = _variants()
    quick = {
        "pictures.height": 27,
        "pictures.width": 20,
        "pictures.eyes": 10.0,
        "audio.size": 64,
        "audio.channels": (16, 24, 32, 32, 32),
        "audio.units": 48,
        "audio.dropout": 0.0,
        "audio.schedule.epochs": 20,
        "audio.schedule.learning_rate": 0.005,
        "audio.schedule.clip_norm": 1.0,
        "video.size": 20,
        "video.channels": (8, 16, 24, 24, 32, 32, 32, 32),
        "video.units": 48,
        "video.dropout": 0.0,
        "video.schedule.epochs": 7,
        "video.schedule.batch": 16,
        "video.schedule.learning_rate": 0.01,
        "video.schedule.clip_norm": 1.0,
        "fusing.units": 64,
        "fusing.pretraining.epochs": 10,
        "fusing.pretraining.learning_rate": 0.01,
        "fusing.schedule.epochs": 20,
        "fusing.schedule.learning_rate": 0.05,
    }
    modalities = frozenset({"audio", "video", "av"})

    def preparation(self) -> Preparation:
        return SegmentPairs(self.modality, self.config.cutting, self.config.pictures)

    def pretrained(self, weights: Weights) -> Mapping[str, Path | None]:
        """Of a tower with the published channels; a small one starts from nothing."""
        published = {"audio": (alexnet.CHANNELS, ALEXNET), "video": (c3d.CHANNELS, C3D)}
        used = {name: told for name, told in published.items() if self.modality in (name, "av")}
        return {
            name: weights.find(file)
            for name, (channels, file) in used.items()
            if getattr(self.config, name).channels == channels
        }

    def matters(self, setting: str) -> bool:
        """Towers that are trained, and the parts of the fusion that is chosen."""
        part, _, rest = setting.partition(".")
        if part == "fusing":
            unused = {"dbn": "dropout", "fc": "pretraining"}.get(self.config.fusing.by, "")
            return self.modality == "av" and self.config.fusing.network and not rest.startswith(unused)
        return part == "complexity" or (bool(self.config.fine_tuned) and self.modality in (part, "av"))

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        segments = segmented(train, run.device)
        watched = Watched(segmented(validation, run.device), validation.targets()) if validation else None
        clips = torch.from_numpy(train.targets()).to(run.device)
        targets = clips[segments.owners]
        self._build(len(train.classes), run)
        for name, tower in self.network.parts().items():
            if name == "audio":
                fit_scale(tower, segments.sound().flatten(0, 2))
            if self.config.fine_tuned:
                self._fine_tune(name, tower, segments, targets, run, watched)
        if self.network.fusion is not None:  # the towers stay as they are, so what they say is computed once
            features = joined(self.network.fc7(segments))
            watch = None
            if watched:
                watch = partial(watched.judged, self.network.fusion, joined(self.network.fc7(watched.segments)))
            self.network.fusion.train_on(features, targets, self.config.fusing, run.named("fusion"), watch)
        self.machines = {
            name: OneVersusOne(self.config.complexity).fit(features, train.targets(), len(train.classes))
            for name, features in self._pooled(segments).items()
        }

    def _build(self, classes: int, run: RunContext) -> None:
        self.classes = classes
        with networks.seeded(run.seed):
            self.network = Hybrid(self.config, self.modality, classes)
        for name, tower in self.network.parts().items():
            if file := run.pretrained.get(name):
                tower.load_published(file)
        self.network.to(run.device).eval()

    def _fine_tune(
        self,
        name: str,
        tower: nn.Module,
        segments: Segments,
        targets: Tensor,
        run: RunContext,
        watched: Watched | None,
    ) -> None:
        schedule = getattr(self.config, name).schedule
        watch = partial(watched.recognised_by, tower, name) if watched else None
        with networks.seeded(run.seed):
            fit(
                tower,
                tower,
                targets,
                schedule,
                run.named(name),
                watch,
                keep="last",
                gather=partial(segments.of, name),
            )

    def _pooled(self, segments: Segments) -> dict[str, npt.NDArray[np.float64]]:
        """What the machines see of each clip."""
        features = self.network.fc7(segments)
        if self.network.fusion is not None:
            with torch.no_grad():
                features = {"av": self.network.fusion.embed(joined(features))}
        elif self.modality == "av" and self.config.fusing.by == "feature":
            features = {"av": joined(features)}
        return {name: segments.average(found) for name, found in features.items()}

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        pooled = self._pooled(segmented(examples, str(next(self.network.parameters()).device)))
        if self.config.fusing.by == "score" and len(self.machines) == 2:
            scores = [machine.scores(pooled[name]) for name, machine in self.machines.items()]
            return np.asarray(softmax(0.5 * scores[0] + 0.5 * scores[1], axis=1))
        told = [machine.probabilities(pooled[name]) for name, machine in self.machines.items()]
        return told[0] if len(told) == 1 else ensemble(self.config.fusing.by, told)

    def save(self, folder: Path) -> None:
        networks.save(folder, self.network, {"classes": self.classes})
        for name, machine in self.machines.items():
            machine.save(folder / f"{name}.skops")

    def load(self, folder: Path) -> None:
        self._build(networks.shape(folder)["classes"], RunContext())
        networks.restore(folder, self.network)
        self.machines = {
            file.stem: OneVersusOne(self.config.complexity).load(file, self.classes)
            for file in sorted(folder.glob("*.skops"))
        }
