"""The hybrid DBN: the paper's sizes, what goes with what, and that stages stay apart."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from benchmarks.settings import Wish, assigned, configured
from datasets.clips import Media
from methods.base import Examples, RunContext
from methods.hybrid_dbn import Config, Hybrid, HybridDbn
from methods.parts import alexnet, c3d, segment_pairs
from methods.parts.dbn import Dbn
from methods.parts.pooled import Segments
from methods.parts.segment_pairs import Cutting, Pictures, SegmentPairs
from methods.parts.segments import picture_frames, starts, time_range
from methods.parts.training import Schedule, fit
from methods.parts.weights import WeightStore
from tests.sights import Everywhere, shown

CLASSES = ("anger", "joy", "fear")
PUBLISHED = Path(__file__).parents[1] / "methods" / "published" / "hybrid_dbn.csv"
TINY = {
    "audio.channels": (4, 4, 4, 4, 4), "audio.units": 8, "audio.schedule.epochs": 1,
    "video.size": 16, "video.channels": (2, 2, 4, 4, 4, 4, 4, 4), "video.units": 8, "video.schedule.epochs": 1,
    "fusing.units": 8, "fusing.pretraining.epochs": 1, "fusing.schedule.epochs": 1,
}  # fmt: skip


def clip(number: int, segments: int = 2, faces: int = 20) -> dict[str, npt.NDArray[Any]]:
    """Prepared inputs of chance, a little different for each class."""
    chance, column = np.random.default_rng(number), number % len(CLASSES)
    pictures = chance.integers(0, 100, (faces, 27, 20, 3), np.uint8) + np.uint8(60 * column)
    return {
        "sound": (chance.normal(size=(segments, 64, 64, 3)) + column).astype(np.float32),
        "faces": pictures,
        "pictures": chance.integers(0, max(faces, 1), (segments, 16)).astype(np.int32),
    }


def toy(modality: str = "av", clips: int = 9) -> Examples:
    """One clip of them without a face."""
    needed = {"audio": {"sound"}, "video": {"faces", "pictures"}, "av": {"sound", "faces", "pictures"}}[modality]
    prepared = [clip(number, faces=20 if number else 0) for number in range(clips)]
    inputs = [{name: array for name, array in one.items() if name in needed} for one in prepared]
    return Examples(inputs, CLASSES, tuple(CLASSES[number % len(CLASSES)] for number in range(clips)))


def tiny(variant: str = "", modality: str = "") -> HybridDbn:
    config, chosen = configured("hybrid-dbn", HybridDbn, Wish("quick", modality, variant, TINY))
    return HybridDbn(config, chosen)


def test_sizes_are_the_papers() -> None:
    with torch.device("meta"):
        network = Hybrid(Config(), "av", 6)
        towers = network.parts()
        sound, faces = torch.zeros(2, 64, 64, 3), torch.zeros(2, 16, 150, 110, 3, dtype=torch.uint8)
        assert towers["audio"].embed(sound).shape == towers["video"].embed(faces).shape == (2, 4096)
        assert network.fusion is not None
        assert network.fusion.embed(torch.zeros(2, 8192)).shape == (2, 2048)
    dbn = network.fusion.layers
    assert isinstance(dbn, Dbn)
    assert [tuple(rbm.weight.shape) for rbm in dbn.layers()] == [(8192, 4096), (4096, 2048)]
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in (*towers.items(), ("dbn", dbn))}
    hidden = 8192 * 4096 + 8192 + 4096 + 4096 * 2048 + 4096 + 2048  # an RBM has two biases
    assert sizes == {"audio": 57_028_422, "video": 77_995_776 + 6 * 4097, "dbn": hidden + 6 * 2049}


@pytest.mark.parametrize(
    ("variant", "hidden"),
    [("dbn-1", (4096,)), ("dbn-3", (4096, 2048, 1024)), ("fc-1", (4096,)), ("fc-2", (4096, 2048))],
)
def test_table_x(variant: str, hidden: tuple[int, ...]) -> None:
    config = HybridDbn.variants[variant].config
    with torch.device("meta"):
        network = Hybrid(config, "av", 6)
        assert network.fusion is not None
        assert network.fusion.embed(torch.zeros(1, 8192)).shape == (1, hidden[-1])
    widths = [shape[0] if len(shape := tuple(p.shape)) == 2 else 0 for p in network.fusion.parameters()]
    assert config.fusing.hidden == hidden
    assert max(widths) == 8192 if "dbn" in variant else max(widths) == 4096


def test_every_training_is_as_the_setup_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the trainings, as in section IV-B: epochs of the CNN, the 3D-CNN and the DBN; what all share."""
    sizes = {key: value for key, value in TINY.items() if not key.endswith("schedule.epochs")}
    config, told = assigned("hybrid-dbn", Config(), sizes | {"audio.size": 64}), []

    def watched(
        network: torch.nn.Module,
        forward: Any,
        targets: Tensor,
        schedule: Schedule,
        run: Any,
        watch: None,
        keep: str,
        gather: Any,
    ) -> None:
        assert (watch, keep) == (None, "last")
        told.append((type(network).__name__, schedule.epochs))
        assert (schedule.batch, schedule.momentum, schedule.learning_rate) == (30, 0.9, 0.001)

    for module in ("methods.hybrid_dbn", "methods.parts.fusion"):
        monkeypatch.setattr(f"{module}.fit", watched)
    HybridDbn(config, "av").fit(toy(), None, RunContext())
    assert told == [("AlexNet", 300), ("C3d", 400), ("Dbn", 100)]


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_step_of_the_published_shape(kind: str) -> None:
    """All layers of the paper's nets, in an eighth of their widths; every one of them moves."""
    torch.manual_seed(0)
    tower: torch.nn.Module
    if kind == "audio":
        tower, one = alexnet.AlexNet(6, 227, [c // 8 for c in alexnet.CHANNELS], 512), torch.randn(4, 64, 64, 3)
    else:
        tower = c3d.C3d(6, 112, [c // 8 for c in c3d.CHANNELS], 512)
        one = torch.randint(0, 256, (2, 16, 150, 110, 3), dtype=torch.uint8)
    before = {name: parameter.detach().clone() for name, parameter in tower.named_parameters()}
    targets = torch.arange(len(one))
    fit(tower, lambda rows: tower(one[rows]), targets, Schedule(1, 30, 0.001, momentum=0.9), RunContext())
    assert all((parameter != before[name]).any() for name, parameter in tower.named_parameters())


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> Media:
    """Three seconds, dark and silent but from 1.5 s to 1.6 s, in both."""
    everywhere = Everywhere((20.0, 20.0, 80.0, 80.0), 20, lambda number: number % 7 == 3)
    monkeypatch.setattr(segment_pairs, "FaceTracker", lambda: everywhere)
    times = np.arange(3 * 16_000) / 16_000
    sound = np.where((times >= 1.5) & (times < 1.6), np.sin(2 * np.pi * 500 * times), 0).astype(np.float32)
    pictures = [np.full((100, 100, 3), 255 if 1.5 <= n / 30 < 1.6 else n, np.uint8) for n in range(90)]
    return cast(Media, SimpleNamespace(audio=lambda rate: sound, seen=shown(pictures)))


@pytest.mark.parametrize(("length", "shift"), [(64, 30), (15, 7)])
def test_sound_and_picture_are_of_one_moment(flash: Media, length: int, shift: int) -> None:
    inputs = SegmentPairs("av", Cutting(length, shift), Pictures())(flash)
    count = (298 - length) // shift + 1
    assert inputs["sound"].shape == (count, 64, length, 3)
    assert inputs["pictures"].shape == (count, 16)
    assert inputs["faces"].shape[1:] == (150, 110, 3)
    seen = inputs["faces"][inputs["pictures"], 75, 55, 0]  # [N, 16]
    for number in range(count):
        begin, end = number * shift * 0.010, number * shift * 0.010 + (length - 1) * 0.010 + 0.025
        loud = inputs["sound"][number, :, :, 0].max(axis=0) > 0
        assert loud.any() == (begin < 1.6 and end > 1.5)
        dark = seen[number][seen[number] < 255].astype(float)  # their own numbers
        assert (np.diff(dark) >= 0).all()
        middle = (np.median(seen[number]) + 0.5) / 30
        if not (seen[number] == 255).any():
            assert middle == pytest.approx((begin + end) / 2, abs=0.06)
        if begin + 0.1 < 1.5 and end - 0.1 > 1.6:
            assert (seen[number] == 255).any()


def test_a_missing_face_is_the_nearest_one(flash: Media) -> None:
    inputs = SegmentPairs("video", Cutting(), Pictures())(flash)
    first = inputs["faces"][inputs["pictures"][0], 75, 55, 0].tolist()
    assert first == [2, 2, 4, 5, 6, 7, 8, 9, 9, 11, 12, 13, 14, 15, 16, 16]  # 2..17, without 3, 10, 17


def test_picture_alone_is_cut_as_with_sound(flash: Media) -> None:
    alone, both = (SegmentPairs(modality, Cutting(), Pictures())(flash) for modality in ("video", "av"))
    assert all(np.array_equal(alone[name], both[name]) for name in ("faces", "pictures"))
    assert set(SegmentPairs("audio", Cutting(), Pictures())(flash)) == {"sound"}


@pytest.mark.parametrize("count", [20, 60, 90])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.97])
def test_no_face_is_cut_out_that_no_segment_asks_for(monkeypatch: pytest.MonkeyPatch, count: int, share: float) -> None:
    """Two seconds of sound, more or less of pictures, a share of them without a face; the nearest, by looking at all.

    Pictures are as bright as their number; about 60 are asked for, and a face beside each that has none.
    """
    missing = np.random.default_rng(count).random(count) < share
    monkeypatch.setattr(segment_pairs, "FaceTracker", lambda: Everywhere((20.0, 20.0, 80.0, 80.0), 20, missing.item))
    cut: list[int] = []

    class Counted(Pictures):
        def crop(self, picture: Any, landmarks: Any) -> Any:
            cut.append(int(picture[0, 0, 0]))
            return super().crop(picture, landmarks)

    pictures = [np.full((100, 100, 3), number, np.uint8) for number in range(count)]
    media = SimpleNamespace(audio=lambda rate: np.zeros(2 * rate, np.float32), seen=shown(pictures))
    inputs = SegmentPairs("av", Cutting(), Counted())(cast(Media, media))
    there = np.flatnonzero(~missing)
    asked = [picture_frames(*time_range(start, 198), 30, count) for start in starts(198)]
    nearest = there[np.abs(np.array(asked)[..., None] - there).argmin(axis=2)]
    assert np.array_equal(inputs["faces"][inputs["pictures"], 75, 55, 0], nearest)
    assert cut == sorted(set(cut)) and set(nearest.ravel()) <= set(cut)
    assert max(cut) <= there[min(int(np.searchsorted(there, np.max(asked))), len(there) - 1)]


@pytest.mark.parametrize("variant", HybridDbn.variants)
def test_variants_run(variant: str, tmp_path: Path) -> None:
    method = tiny(variant)
    examples = toy(method.modality)
    method.fit(examples, None, RunContext())
    answers = method.predict_proba(Examples(examples.inputs, CLASSES))
    assert answers.shape == (9, 3)
    assert answers.sum(axis=1) == pytest.approx(1)
    assert answers.min() >= 0
    method.save(tmp_path)
    again = tiny(variant)
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(examples), answers)


def changed(before: Mapping[str, Tensor], network: torch.nn.Module) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("variant", ["dbn-2", "fc-1"])
def test_the_towers_stay_as_they_are_while_the_fusion_is_trained(variant: str) -> None:
    method, examples = tiny(variant), toy()
    method.fit(examples, None, RunContext())
    network = method.network
    assert network.fusion is not None
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    segments = Segments(examples, "cpu")
    features = torch.cat([tensor * 2 for tensor in network.fc7(segments).values()], dim=1)
    targets = torch.from_numpy(examples.targets())[segments.owners]
    network.fusion.train_on(features, targets, method.config.fusing, RunContext(1))
    assert {name.partition(".")[0] for name in changed(before, network)} == {"fusion"}


def test_without_fine_tuning_nothing_but_the_scale_is_fitted() -> None:
    method = tiny("audio-original")
    method.fit(toy("audio"), None, RunContext(3))
    fitted = {name: tensor.clone() for name, tensor in method.network.state_dict().items()}
    method._build(len(CLASSES), RunContext(3))
    assert changed(fitted, method.network) == {"towers.audio.mean", "towers.audio.deviation"}


def test_published_weights_are_what_a_fit_begins_with(tmp_path: Path) -> None:
    config = dataclasses.replace(tiny("audio-original").config)
    donor = alexnet.AlexNet(1000, config.audio.size, config.audio.channels, config.audio.units)
    state = {name: tensor for name, tensor in donor.state_dict().items() if name not in ("mean", "deviation")}
    torch.save(state, tmp_path / "alexnet.pth")
    method = HybridDbn(config, "audio")
    method.fit(toy("audio"), None, RunContext(pretrained={"audio": tmp_path / "alexnet.pth"}))
    fitted = method.network.state_dict()
    assert torch.equal(fitted["towers.audio.features.0.weight"], state["features.0.weight"])
    assert not torch.equal(fitted["towers.audio.classifier.6.weight"][0], state["classifier.6.weight"][0])


@pytest.mark.parametrize(
    ("modality", "needed"), [("audio", {"audio"}), ("video", {"video"}), ("av", {"audio", "video"})]
)
def test_which_weights_are_needed(modality: str, needed: set[str], tmp_path: Path) -> None:
    none = WeightStore(tmp_path, none=True)
    assert HybridDbn(Config(), modality).pretrained(none) == dict.fromkeys(needed)
    assert tiny(modality=modality).pretrained(none) == {}


def test_every_stage_has_its_own_curves() -> None:
    names: list[str] = []
    tiny().fit(toy(), None, RunContext(log=lambda name, value, step: names.append(name)))
    stages = ("audio", "video", "fusion")
    losses = {f"{stage}_train_{kind}" for stage in stages for kind in ("loss", "accuracy")}
    assert set(names) == losses | {f"fusion_rbm_{number}_reconstruction_error" for number in (1, 2)}
    assert len(names) == len(set(names))  # one epoch each


def published() -> list[dict[str, str]]:
    return list(csv.DictReader(PUBLISHED.read_text().splitlines()))


def test_published_rows_name_variants_of_their_modality() -> None:
    for row in published():
        assert HybridDbn.variants[row["variant"]].modality == row["modality"]
    quoted = {row["variant"] for row in published()}
    assert set(HybridDbn.variants) - quoted == {"input-227"}


def test_published_tables_agree_with_each_other() -> None:
    """Recall is the diagonal of the confusion matrix, F of precision and recall, and a matrix' rows sum to one."""
    rows = published()
    for row in rows:
        if row["metric"] != "f1":
            continue
        same = [r for r in rows if (r["dataset"], r["row"].lower()) == (row["dataset"], row["row"].lower())]
        told = {r["metric"]: float(r["value"]) for r in same if r["table"] == row["table"]}
        matrix = {r["column"]: float(r["value"]) for r in same if r["metric"] == "confusion"}
        assert matrix[row["row"].lower()] == told["recall"]
        assert sum(matrix.values()) == pytest.approx(1, abs=3e-4)
        f1 = 2 * told["precision"] * told["recall"] / (told["precision"] + told["recall"])
        assert f1 == pytest.approx(told["f1"], abs=2e-4)
