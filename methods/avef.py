"""Voice activity first, then AlexNet and C3D trained jointly with the deep belief network above them, and an SVM.

Y. Ma, Y. Hao, M. Chen, J. Chen, P. Lu, A. Kosir, "Audio-Visual Emotion Fusion (AVEF): A Deep Efficient Weighted
Approach", Information Fusion 46, 2019, doi:10.1016/j.inffus.2018.06.003.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import Tensor, nn

from methods.base import Examples, Method, Modality, Paper, Preparation, RunContext, Source, Variant, tuned
from methods.parts import alexnet, c3d, networks
from methods.parts.audio import Framing, LogMel, Mel
from methods.parts.dbn import Dbn
from methods.parts.fusion import fit_scale
from methods.parts.pooled import OneVersusOne, Segments, Watched, segmented
from methods.parts.segment_pairs import Cutting, SegmentPairs, Squares
from methods.parts.segments import AVEF_SHIFT
from methods.parts.towers import TUNED_TOWER, Look, Tower, Towers, joined, look
from methods.parts.training import Schedule, fit

LOG_MEL = LogMel(framing=Framing(emphasis=0.97, points=400), mel=Mel(low=0.0), offset=0.01)
ALONE = Schedule(epochs=500, batch=30, learning_rate=0.001, momentum=0.9)
OTHERS = "other corpora"
KEPT = (  # the shallow layers
    *("towers.audio.features.", "towers.audio.mean", "towers.audio.deviation"),
    *("towers.video.conv", "towers.video.mean", "towers.video.deviation"),
)


RATE = {"learning_rate": FloatDistribution(1e-4, 1e-1, log=True)}


@dataclass(frozen=True)
class Config:
    """The paper's values."""

    silence_cut: bool = True  # case 2; otherwise case 1
    cutting: Cutting = Cutting(shift=AVEF_SHIFT, mel=LOG_MEL)
    pictures: Squares = Squares()
    audio: Tower = tuned(Tower(227, alexnet.CHANNELS, ALONE, dropout=0.3), TUNED_TOWER)
    video: Tower = tuned(Tower(112, c3d.CHANNELS, ALONE, dropout=0.3), TUNED_TOWER)
    hidden: tuple[int, ...] = (4096, 2048)  # of the deep belief network
    pretraining: Schedule = tuned(Schedule(epochs=100, batch=30, learning_rate=0.001, momentum=0.9), RATE)  # of an RBM
    together: Schedule = tuned(Schedule(epochs=500, batch=10, learning_rate=0.001, momentum=0.9), RATE)
    complexity: float = tuned(1.0, FloatDistribution(1e-2, 1e3, log=True))  # C of the support vector machines
    degree: int = tuned(3, IntDistribution(1, 5))  # of their kernel
    pretrain_on: tuple[str, ...] = ("rml", "enterface05", "baum1s")  # but for the one that is run on


def _variants() -> Mapping[str, Variant]:
    """All rows of the tables that are the authors' own."""
    rows = {}
    tables: tuple[tuple[Modality, str], ...] = (
        ("audio", "Tables 4 and 5, audio"),
        ("video", "Tables 4 and 5, visual"),
        ("av", "Tables 6 and 7"),
    )
    for case in (1, 2):
        for modality, told in tables:
            also = "; Tables 8 to 10" if (case, modality) == (2, "av") else ""
            row = f"{told}, case {case}{also}"
            rows[f"case-{case}-{modality}"] = Variant(Config(silence_cut=case == 2), modality, row)
    return rows


class Network(Towers):
    """Fig. 1 without its last stage: the audio network, the visual network, and the DBN on both their fc7."""

    def __init__(self, config: Config, modality: str, classes: int) -> None:
        super().__init__(config.audio, config.video, modality, classes)
        visible = config.audio.units + config.video.units  # 8192
        self.dbn = Dbn(visible, config.hidden, classes) if modality == "av" else None
        self.mean, self.deviation = nn.Buffer(torch.zeros(visible)), nn.Buffer(torch.ones(visible))

    def scaled(self, features: Mapping[str, Tensor]) -> Tensor:
        """What the DBN sees [N, 8192]."""
        return (joined(features) - self.mean) / self.deviation


Watch = Callable[[], float] | None


class Avef(Method):
    """Each network alone, then the DBN's machines, then all of them together; of a model of other corpora, if there is
    one, the shallow layers are kept and only the deep ones are trained, from scratch."""

    version = 2  # faces are cut out in whole pixels, by landmarks found in grey
    paper = Paper(
        title="Audio-visual emotion fusion (AVEF): A deep efficient weighted approach",
        authors="Ma, Hao, Chen, Chen, Lu, Košir",
        year=2019,
        doi="10.1016/j.inffus.2018.06.003",
        left_unsaid={
            "a clip in which no voice is found": "kept whole, as in case 1, and counted",
            "end of a clip": "an incomplete last segment is dropped; a clip shorter than 655 ms is one segment",
            "shift of the segments": "34 frames, 64 less the overlap of 30",
            "segments of the visual data in case 2": "from the voice in the clip's sound; without a sound track, whole",
            "segments of the visual data in case 1": "those that sound of the same length would have",
            "how far the face extends beyond eyes, nose and mouth": "a square 2.4 times as wide as their centres",
            "a frame without a face": "filled by the nearest frame with one; a clip without any: black pictures",
            "mel scale, window's Fourier transform": "HTK's, 400 points, which is the window",
            "scale of the samples, to whose energies 0.01 is added": "-1 to 1, as recorded",
            "spectrograms of 64 x 64 into AlexNet": "stretched to 227 x 227, each channel by the training segments' "
            "mean and deviation",
            "scaling of the faces": "(x - 127.5) / 64",
            "layers that are shallow": "all convolutions with their inputs' scaling: kept and not trained; fc6, fc7, "
            "fc8 and the DBN, whose inputs are the new fc7, are trained from scratch",
            "the networks on the other corpora": "random beginnings, for 'we do transfer learning just among' the "
            "corpora of emotion, which rules out ImageNet and Sports-1M; all of those corpora together",
            "'pre-trained Alexnet'": "pre-trained on the other corpora",
            "where the dropout of 0.3 is": "before fc6 and fc7 of AlexNet, after fc6 and, alone, fc7 of C3D; none in "
            "the DBN",
            "learning rates by layer, their decay, weight decay": "0.001 for all layers and epochs, none",
            "which epoch is kept": "the last",
            "initial weights": "He's, the RBMs' 0.01 N(0, 1)",
            "training as a whole": "500 epochs with each network's own softmax, then the RBMs on their fc7, then 500 "
            "with the DBN's softmax, whose error reaches both networks",
            "scaling of the DBN's inputs": "by mean and deviation of the training segments' fc7 before joint training",
            "contrastive divergence": "CD-1; reconstructions are means",
            "learning rate, momentum, batch, epochs of each RBM": "0.001, 0.9 and 30 as the networks', 100",
            "one modality alone": "as both: its fc7 averaged over the clip, and the same SVM",
            "degree, gamma, constant, C of the polynomial SVM": "LIBSVM's defaults: 3, 1 / features, 0, 1",
            "scaling of the SVM's inputs": "by mean and deviation of the training clips",
            "probabilities": "softmax of the votes, equal ones by margins; LIBSVM's own need folds of the data",
            "pairs in Tables 5 and 7": "(arousal, valence), the order of Table 2 and of section 2.2.1",
            "'a ratio about 7:3'": "on RML the same section's leave one speaker out, though that is 7:1; else three "
            "groups of speakers, each with about 30 % of the clips, each held out once; the paper lists none",
        },
        departures={
            "voice activity from MRCG features and a DNN": "Silero VAD 6.2, whose weights are at hand; the sound is "
            "levelled to a peak of 0.05 and speech begins at 0.3, else it misses 13 of 1080 recordings of RAVDESS",
            "weights 0 for silence and 1 for voice 'respectively', once swapped": "silence gets 0 and is discarded",
            "pre-emphasis before voice activity detection": "after it, with the spectrogram; a sample at each joint "
            "differs",
            "int(0.655 * 30) = 20 pictures": "rounded: the integer part is 19",
            "Viola-Jones-like search for four parts of the face": "dlib's detector and landmarks, followed through "
            "the clip",
            "AlexNet of 2012": "torchvision's, whose channels are 64, 192, 384, 256, 256 and not normalised",
            "TensorFlow, MATLAB": "PyTorch",
        },
    )
    Config = Config
    variants = _variants()
    quick = {
        "pictures.size": 20,
        "audio.size": 64,
        "audio.channels": (16, 24, 32, 32, 32),
        "audio.units": 48,
        "audio.schedule.epochs": 20,
        "audio.schedule.batch": 16,
        "audio.schedule.learning_rate": 0.01,
        "audio.schedule.clip_norm": 1.0,
        "video.size": 20,
        "video.channels": (8, 12, 16, 16, 24, 24, 32, 32),
        "video.units": 48,
        "video.dropout": 0.0,
        "video.schedule.epochs": 12,
        "video.schedule.batch": 16,
        "video.schedule.learning_rate": 0.01,
        "video.schedule.clip_norm": 5.0,
        "hidden": (512, 256),
        "pretraining.epochs": 10,
        "pretraining.learning_rate": 0.01,
        "together.epochs": 6,
        "together.learning_rate": 0.002,
        "together.clip_norm": 3.0,
        "complexity": 10.0,
        "pretrain_on": (),
    }
    modalities = frozenset({"audio", "video", "av"})

    def preparation(self) -> Preparation:
        return SegmentPairs(self.modality, self.config.cutting, self.config.pictures, self.config.silence_cut)

    def sources(self) -> Mapping[str, Source]:
        """This method itself, from scratch; of what comes after its networks nothing is taken."""
        there = replace(self.config, pretrain_on=(), complexity=Config.complexity, degree=Config.degree)
        return {OTHERS: Source(self.config.pretrain_on, there, cast(Modality, self.modality))}

    def matters(self, setting: str) -> bool:
        """What there is of one modality alone."""
        part = setting.partition(".")[0]
        return part in ("complexity", "degree", self.modality) or self.modality == "av"

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        segments = segmented(train, run.device)
        watched = Watched(segmented(validation, run.device), validation.targets()) if validation else None
        targets = torch.from_numpy(train.targets()).to(run.device)[segments.owners]
        self._build(len(train.classes), run)
        shallow = run.initial.get(OTHERS)
        if shallow:
            networks.keep(shallow, self.network, KEPT)
        elif self.modality != "video":
            fit_scale(self.network.parts()["audio"], segments.sound().flatten(0, 2))
        looks = {name: look(name, tower, segments, bool(shallow)) for name, tower in self.network.parts().items()}
        for name, tower in self.network.parts().items():
            watch = partial(watched.recognised_by, tower, name) if watched else None
            self._train_alone(name, tower, looks[name], targets, run, watch)
        if self.network.dbn is not None:
            watch = partial(self._recognised, watched) if watched else None
            self._train_together(self.network.dbn, segments, looks, targets, run, watch)
        self.machine.fit(self._pooled(segments), train.targets(), len(train.classes))

    def _build(self, classes: int, run: RunContext) -> None:
        self.classes = classes
        with networks.seeded(run.seed):
            self.network = Network(self.config, self.modality, classes)
        self.network.to(run.device).eval()
        self.machine = OneVersusOne(self.config.complexity, self.config.degree)

    def _train_alone(
        self,
        name: str,
        tower: alexnet.AlexNet | c3d.C3d,
        seen: Look,
        targets: Tensor,
        run: RunContext,
        watch: Watch,
    ) -> None:
        schedule = getattr(self.config, name).schedule
        with networks.seeded(run.seed):
            told = run.named(name)
            fit(
                tower,
                lambda batch: tower.classify(seen.embed(batch)),
                targets,
                schedule,
                told,
                watch,
                keep="last",
                gather=seen.gather,
            )

    def _recognised(self, watched: Watched) -> float:
        """By all networks."""
        assert self.network.dbn is not None
        with torch.no_grad():
            return watched.told(self.network.dbn(self.network.scaled(self.network.fc7(watched.segments))))

    def _train_together(
        self,
        dbn: Dbn,
        segments: Segments,
        looks: Mapping[str, Look],
        targets: Tensor,
        run: RunContext,
        watch: Watch,
    ) -> None:
        """The DBN without labels, layer by layer; then all networks with them."""
        network, features = self.network, self.network.fc7(segments)
        fit_scale(network, joined(features))
        dbn.pretrain(network.scaled(features), self.config.pretraining, run.named("dbn"))

        def gather(rows: Tensor) -> dict[str, Tensor]:
            return {name: seen.gather(rows) for name, seen in looks.items()}

        def forward(batch: Mapping[str, Tensor]) -> Tensor:
            logits: Tensor = dbn(network.scaled({name: looks[name].embed(part) for name, part in batch.items()}))
            return logits

        with networks.seeded(run.seed):
            fit(network, forward, targets, self.config.together, run.named("together"), watch, "last", gather)

    def _pooled(self, segments: Segments) -> npt.NDArray[np.float64]:
        """What the machines see of each clip: the DBN's second hidden layer, or the only network's fc7."""
        features = self.network.fc7(segments)
        if self.network.dbn is None:
            return segments.average(features[self.modality])
        with torch.no_grad():
            return segments.average(self.network.dbn.embed(self.network.scaled(features)))

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        segments = segmented(examples, str(next(self.network.parameters()).device))
        return self.machine.probabilities(self._pooled(segments))

    def save(self, folder: Path) -> None:
        networks.save(folder, self.network, {"classes": self.classes})
        self.machine.save(folder / "machine.skops")

    def load(self, folder: Path) -> None:
        self._build(networks.shape(folder)["classes"], RunContext())
        networks.restore(folder, self.network)
        self.machine.load(folder / "machine.skops", self.classes)
