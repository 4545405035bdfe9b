"""Attention over the features of faces and of a spectrogram, fused by factorized bilinear pooling.

H. Zhou, D. Meng, Y. Zhang, X. Peng, J. Du, K. Wang, Y. Qiao, "Exploring Emotion Features and Fusion Strategies for
Audio-Video Emotion Recognition", ICMI 2019, doi:10.1145/3340555.3355713. [32] is Y. Zhang, Z. Wang, J. Du, "Deep
Fusion: An Attention Guided Factorized Bilinear Pooling for Audio-video Emotion Recognition", arXiv 1901.04889.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch import nn

from methods.base import Examples, Method, MethodError, Paper, Preparation, RunContext, Source, Variant, Weights, tuned
from methods.parts import alexnet, enhancements, networks
from methods.parts.attention_network import Attentions, ClipNetwork, Fusing, Hearing
from methods.parts.face_networks import IR50, RESNET18, VGGFACE, published_file
from methods.parts.face_teaching import FaceModel, Faces, member_seed, taught
from methods.parts.frames import FacesAndSound, Pictures, Sound, share_without_face
from methods.parts.ragged import Ragged
from methods.parts.resident import once
from methods.parts.reweighing import Kind as Reweighing
from methods.parts.reweighing import class_weights, reweighed
from methods.parts.training import Schedule
from methods.parts.weights import ALEXNET

AR = ("affectnet", "raf-db")  # the two networks of F-AR-Mean
ALONE = "faces"  # the name of the network of that stage
STAMP = "reweighed by the paper's vector, the class shares of AFEW's test set"
FEATURES = (*get_args(enhancements.Kind), "ar-mean")


@dataclass(frozen=True)
class Config:
    """The paper's values."""

    stage: Literal["clips", "faces"] = "clips"  # faces: the face network alone, of Table 1
    pictures: Pictures = Pictures()
    faces: Faces = tuned(Faces(), {"schedule.learning_rate": FloatDistribution(1e-3, 1e-1, log=True)})
    sound: Sound = Sound()
    hearing: Hearing = Hearing()
    attentions: Attentions = tuned(Attentions(), {"reduced": IntDistribution(16, 256, log=True)})
    fusing: Fusing = tuned(Fusing(), {"rank": IntDistribution(2, 8), "dropout": FloatDistribution(0.0, 0.5)})
    schedule: Schedule = tuned(
        Schedule(epochs=50, batch=32, learning_rate=1e-4),
        {"epochs": IntDistribution(10, 100), "learning_rate": FloatDistribution(1e-5, 1e-2, log=True)},
    )
    members: tuple[str, ...] = ("basic",)  # the features of each; of several, scores are averaged
    reweigh: Reweighing = "none"

    def __post_init__(self) -> None:
        if not self.members or not set(self.members) <= set(FEATURES):
            raise ValueError(f"members are one or more of {', '.join(FEATURES)}, but got {self.members}")


def _table_1() -> Iterator[tuple[str, Variant]]:
    for row, shape in {"VGGFace": VGGFACE, "ResNet18": RESNET18, "IR50": IR50}.items():
        yield f"face-{shape.kind}", Variant(Config("faces", faces=Faces(shape)), "video", f"Table 1, {row}")


def _text() -> Iterator[tuple[str, Variant]]:
    for corpus in ("fer-plus", "raf-db", "affectnet"):
        config = Config(faces=Faces(taught_by=(corpus,)), attentions=Attentions(video="mean"))
        yield f"softmax-{corpus}", Variant(config, "video", f"section 3, softmax on features of IR50 ({corpus})")
    mel = Config(sound=Sound("log-mel"))
    yield "audio", Variant(Config(), "audio", "section 3, audio CNN on its own")
    yield "audio-log-mel", Variant(mel, "audio", "section 3, the same with log mel: 'a little better'")
    yield "log-mel", Variant(mel, "av", "section 3, FBP with log mel: 'very similar'")
    yield "concatenation", Variant(Config(fusing=Fusing("concatenation")), "av", "section 3, concatenation")


def _tables_2_to_4() -> Iterator[tuple[str, Variant]]:
    for video in ("self", "relation", "transformer"):
        for audio in ("self", "relation", "transformer"):
            config = Config(attentions=Attentions(video=video, audio=audio))
            also = "; Table 3, Basic Feature" if video == audio == "transformer" else ""
            yield f"{video}-{audio}", Variant(config, "av", f"Table 2, visual {video}, audio {audio}{also}")
    yield "basic-raf-db", Variant(Config(faces=Faces(taught_by=("raf-db",))), "av", "Table 3, Basic Feature_RAF-DB")
    names = ("F-Mean", "F-MeanStd", "F-MeanStd-2", "F-NormFFT", "F-AR-Mean")
    kinds = ("mean", "mean-std", "mean-std-2", "norm-fft", "ar-mean")
    for name, kind in zip(names, kinds, strict=True):
        yield kind, Variant(Config(members=(kind,)), "av", f"Table 3, {name}")
    for number, name, members in ((4, "four", 4 * ("mean-std",)), (5, "five", kinds)):
        config = Config(members=members, reweigh="training")
        yield name, Variant(config, "av", f"Table 4, ({number}), reweighed by the training labels")
        config = replace(config, reweigh="paper")
        yield f"{name}-paper-weights", Variant(config, "av", f"Table 4, ({number}), by the paper's vector", STAMP)


class Whole(nn.Module):
    """Networks of faces, which stay as they are once they know emotions, and the members behind them."""

    def __init__(self, faces: Mapping[str, FaceModel], members: Sequence[ClipNetwork], classes: int) -> None:
        super().__init__()
        self.faces = nn.ModuleDict(faces)
        self.members = nn.ModuleList(members)
        self.weights = nn.Buffer(torch.ones(classes, dtype=torch.float64))  # by which the scores are multiplied

    def face(self, name: str) -> FaceModel:
        """By the name of its source."""
        model = self.faces[name]
        assert isinstance(model, FaceModel)
        return model


class AttentionFbp(Method):
    """Faces are described by a network that other corpora taught; sound, attention and fusion are trained at once."""

    version = 2  # faces are cut out in whole pixels, by landmarks found in grey
    paper = Paper(
        title="Exploring Emotion Features and Fusion Strategies for Audio-Video Emotion Recognition",
        authors="Zhou, Meng, Zhang, Peng, Du, Wang, Qiao",
        year=2019,
        doi="10.1145/3340555.3355713",
        left_unsaid={
            "frames a second": "10",
            "FER+'s label of ten votes": "that with most; of equals the first column, emotions before unknown and no "
            "face. Microsoft's code strikes out single votes and wants more than half of the rest: fewer, clearer "
            "pictures, also in the test set, so Table 1's FER+ column hangs on this",
            "which axis of Table 2 is which (its header reads 'Visual Audio')": "rows visual, columns audio",
            "FG-Net, and Table 4's test scores": "never defined, and their labels are hidden: quoted, not run",
            "the order of the reweighting vector": "anger, disgust, fear, happiness, sadness, surprise, neutral: so "
            "it is the normalised square root of 98, 40, 70, 144, 80, 28, 193, the class counts of AFEW's TEST set, "
            "at most 0.003 off; train's is 0.050 off (0.047 in its best order), validation's 0.061 (0.060). Stamped",
            "where it is used": "Table 4 alone; there by training labels, the vector in variants of its own",
            "whether audio's AlexNet is trained": "with attention and fusion, as in [32]; begun with ImageNet's",
            "mel bands": "40, as in its reference [3], up to 8 kHz; stretched to 200 rows, as tall as the spectrogram",
            "which 200 bins": "20 Hz apart, 0-4 kHz; ln(magnitude + 0.001)",
            "channels of AlexNet's input": "the spectrogram thrice; log mel, its deltas and theirs",
            "scaling of the spectrograms": "by mean and deviation of the training clips",
            "a sound too short for AlexNet's poolings": "padded with the mean to 63 frames",
            "m, o, k and dropout": "128; 1000, 5 and 0.1, of the products, as in MFB (Yu et al., ICCV 2017)",
            "biases": "none but equation (5)'s",
            "power normalisation": "none: [32] has it, this paper's Fig. 2 has l2 alone",
            "slips in equations (4) and (6)": "its sums run from 1, not 0; u has m numbers, not d, for W2 f_i has",
            "training of the fusion": "Adam at 0.0001, batches of 32, 50 epochs",
            "training of the face networks": "SGD at 0.01, momentum 0.9, batches of 64, 20 epochs, all layers",
            "which epoch": "the last: the paper chose on AFEW's validation set, which is what is scored here",
            "scaling of the features of faces": "none; VGGFace's is fc7 after its ReLU",
            "softmax on features (section 3)": "of the mean over the frames",
            "a clip's class from a face network alone": "the mean of its frames' probabilities",
            "normalisation of F-normFFT": "the whole spectrum has length 1",
            "standard deviation of 18 views": "of all 18, not of a sample; beyond a frame's edge the edge goes on",
            "features of F-AR-Mean": "means of 18 views by both networks, concatenated",
            "how an ensemble fuses": "the mean of probabilities; equal members differ by seed",
            "SHA-256 of the face networks' files": "published for none of them; names and places are recorded, and the "
            "digest of one file of another name that may be VGGFace's",
        },
        departures={
            "alignment by dlib": "the face's box without rotation; its sides 1.3 times as long",
            "dlib on FER+ and RAF-DB too (only AffectNet is exempt)": "FER+'s 48 x 48 and RAF-DB's aligned 100 x 100 "
            "are faces already: they go in whole, as AffectNet's boxes do; RAF-DB's originals, where no aligned one "
            "is, are searched. Three of the authors took the aligned ones later (Self-Cure Network, CVPR 2020)",
            "faces of 224 x 224 into IR50": "112 x 112, the only size that its published layers fit",
            "without AffectNet, RAF-DB or FER+": "the training clips' own frames teach the face network, each with its "
            "clip's label; then it stays as it is",
            "MatConvNet's VGGFace": "its conversion to PyTorch",
        },
    )
    Config = Config
    variants = dict((*_table_1(), *_text(), *_tables_2_to_4()))
    quick = {
        "pictures.per_second": 4.0,
        "pictures.size": 40,
        "faces.shape.size": 40,
        "faces.shape.widths": lambda widths: tuple(width // 8 for width in widths),
        "faces.shape.units": (1, 1, 1, 1, 1),
        "faces.shape.features": 48,
        "faces.schedule.epochs": 8,
        "faces.schedule.batch": 16,
        "faces.elsewhere": False,
        "sound.hop": 0.020,
        "hearing.height": 96,
        "hearing.channels": (16, 24, 32, 32, 32),
        "attentions.reduced": 16,
        "fusing.width": 64,
        "fusing.rank": 3,
        "schedule.epochs": 20,
        "schedule.batch": 16,
        "schedule.learning_rate": 3e-3,
    }
    modalities = frozenset({"audio", "video", "av"})

    @property
    def alone(self) -> bool:
        """Whether it is about faces in single pictures."""
        return bool(self.config.stage == ALONE)

    def preparation(self) -> Preparation:
        heard = self.modality != "video" and not self.alone
        pictures = self.config.pictures if self.modality != "audio" else None
        return FacesAndSound(pictures, self.config.sound if heard else None)

    def pretrained(self, weights: Weights) -> Mapping[str, Path | None]:
        """Of networks of the published sizes; small ones start from nothing."""
        found = {}
        if self.modality != "audio" and (published := published_file(self.config.faces.shape)):
            found["video"] = weights.find(published.file)
        if self.modality != "video" and not self.alone and self.config.hearing.channels == alexnet.CHANNELS:
            found["audio"] = weights.find(ALEXNET)
        return found

    def sources(self) -> Mapping[str, Source]:
        """A face network for each name; at the quick preset only where the user names corpora."""
        if self.alone or self.modality == "audio":
            return {}
        faces = self.config.faces
        config = Config("faces", self.config.pictures, Faces(faces.shape, faces.schedule))
        return {name: Source((name,) if faces.elsewhere else (), config, "video") for name in self._taught()}

    def _taught(self, member: str = "") -> tuple[str, ...]:
        """The names of the face networks of one member, or of all."""
        if not member:
            return tuple(dict.fromkeys(name for one in self.config.members for name in self._taught(one)))
        return AR if member == "ar-mean" else self.config.faces.taught_by

    def matters(self, setting: str) -> bool:
        """The face network's training where it is taught here; of the rest, what there is."""
        part = setting.partition(".")[0]
        if part == "faces":
            return self.modality != "audio" and (self.alone or not self.config.faces.elsewhere)
        return not self.alone and (part != "fusing" or (self.modality == "av" and self.config.fusing.by == "fbp"))

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        if self.alone and self.modality != "video":
            raise MethodError(f"stage=faces looks at pictures alone, but the modality is {self.modality}; take video")
        weights = torch.from_numpy(class_weights(self.config.reweigh, train))  # refuses before anything is trained
        if self.modality != "audio":
            run.log("frames_without_face", share_without_face(train), 0)
        models = {name: self._from_elsewhere(name, run) for name in self._names() if name in run.initial}
        absent = [name for name in self._names() if name not in models]
        models |= taught(absent, self.config.faces, train, validation, run)
        self._build(train.classes, models, run)
        self.network.weights.copy_(weights)
        targets = torch.from_numpy(train.targets()).to(run.device)
        sequences = {} if self.alone else self._sequences(train, run.device)
        watched = self._sequences(validation, run.device) if validation and not self.alone else {}
        for number, (kind, member) in enumerate(self._members()):
            told = run.named(f"member_{number}") if len(self.config.members) > 1 else run
            watch = member.watch(watched[kind], validation.targets()) if validation else None
            told = replace(told, seed=member_seed(run, number))
            member.learn(sequences[kind], targets, self.config.schedule, told, watch)

    def _names(self) -> tuple[str, ...]:
        """Of the face networks."""
        return () if self.modality == "audio" else (ALONE,) if self.alone else self._taught()

    def _from_elsewhere(self, name: str, run: RunContext) -> FaceModel:
        """As other corpora taught it."""
        other = AttentionFbp(self.sources()[name].config, "video")
        other.load(run.initial[name])
        return other.network.face(ALONE).to(run.device)

    def _build(self, classes: tuple[str, ...], models: Mapping[str, FaceModel], run: RunContext) -> None:
        """The members untrained, but as published where there is a file."""
        self.classes, config, members = tuple(classes), self.config, []
        for number, kind in enumerate(() if self.alone else config.members):
            widths = {} if self.modality == "video" else {"audio": config.sound.channels}
            if self.modality != "audio":
                each = enhancements.width(_kind(kind), config.faces.shape.features)
                widths["video"] = each * len(self._taught(kind))
            with networks.seeded(member_seed(run, number)):
                member = ClipNetwork(widths, config.hearing, config.attentions, config.fusing, len(classes))
            if member.ear and (file := run.pretrained.get("audio")):
                member.ear.load_published(file)
            members.append(member)
        self.network = Whole(models, members, len(classes)).to(run.device).eval()

    def _members(self) -> Iterator[tuple[str, ClipNetwork]]:
        """Each with the kind of its features."""
        for kind, member in zip(self.config.members, self.network.members, strict=not self.alone):
            assert isinstance(member, ClipNetwork)
            yield kind, member

    def _sequences(self, examples: Examples, device: str) -> dict[str, dict[str, Ragged]]:
        """For each kind of features: a clip's frames' features (video) and its spectrogram (audio)."""
        kinds = tuple(dict.fromkeys(self.config.members))
        frames: dict[str, list[npt.NDArray[np.float32]]] = {kind: [] for kind in kinds}
        for clip in examples.inputs:
            for kind in kinds if self.modality != "audio" else ():
                models = [self.network.face(name) for name in self._taught(kind)]
                described = torch.cat([model.describe(_kind(kind), clip["faces"]) for model in models], dim=1)
                frames[kind].append(described.cpu().numpy())
        sound = {} if self.modality == "video" else {"audio": _sounds(examples, device)}
        return {kind: {**sound, **({"video": Ragged(rows, device)} if rows else {})} for kind, rows in frames.items()}

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        if self.alone:
            scores = np.stack([self.network.face(ALONE).answer(clip["faces"]) for clip in examples.inputs])
        else:
            sequences = self._sequences(examples, str(self.network.weights.device))
            scores = np.mean([member.answer(sequences[kind]) for kind, member in self._members()], axis=0)
        return reweighed(scores, self.network.weights.cpu().numpy())

    def save(self, folder: Path) -> None:
        told = {name: self.network.face(name).classify.out_features for name in self.network.faces}
        networks.save(folder, self.network, {"classes": self.classes, "faces": told})

    def load(self, folder: Path) -> None:
        shape = networks.shape(folder)
        models = {name: FaceModel(self.config.faces.shape, count) for name, count in shape["faces"].items()}
        self._build(tuple(shape["classes"]), models, RunContext())
        networks.restore(folder, self.network)


def _sounds(examples: Examples, device: str) -> Ragged:
    return once(examples, "sound", device, lambda: Ragged([clip["sound"] for clip in examples.inputs], device))


def _kind(member: str) -> enhancements.Kind:
    """Of the features of each of its face networks."""
    return "mean" if member == "ar-mean" else member  # type: ignore[return-value]
