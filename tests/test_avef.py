"""AVEF: silence cut from sound and picture alike, the paper's sizes, joint training, and layers kept from elsewhere."""

import csv
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.settings import Wish, assigned, configured
from datasets.clips import Media
from methods.avef import OTHERS, Avef, Config, Network
from methods.base import Examples, RunContext
from methods.parts import segment_pairs
from methods.parts.audio import LogMel
from methods.parts.segment_pairs import SegmentPairs, Squares
from methods.parts.training import Schedule
from methods.parts.vad import Voiced
from tests.sights import Everywhere, shown

CLASSES = ("anger", "joy", "fear")
PUBLISHED = Path(__file__).parents[1] / "methods" / "published" / "avef.csv"
TINY = {
    "audio.channels": (4, 4, 4, 4, 4), "audio.units": 8, "audio.schedule.epochs": 1,
    "video.size": 16, "video.channels": (2, 2, 4, 4, 4, 4, 4, 4), "video.units": 8, "video.schedule.epochs": 1,
    "hidden": (8, 4), "pretraining.epochs": 1, "together.epochs": 1,
}  # fmt: skip
SPOKEN = Voiced(((0.5, 1.5), (2.5, 4.0)))  # of five seconds


def clip(number: int, faces: int = 20, classes: int = 3) -> dict[str, npt.NDArray[Any]]:
    """Prepared inputs of chance, a little different for each class."""
    chance, column = np.random.default_rng(number), number % classes
    return {
        "sound": (chance.normal(size=(2, 64, 64, 3)) + column).astype(np.float32),
        "faces": chance.integers(0, 100, (faces, 20, 20, 3), np.uint8) + np.uint8(50 * column),
        "pictures": chance.integers(0, max(faces, 1), (2, 16)).astype(np.int32),
        "voice": np.zeros((number % 2, 2), np.int32),
    }


def toy(modality: str = "av", classes: tuple[str, ...] = CLASSES, clips: int = 9) -> Examples:
    """One clip of them without a face."""
    unneeded = {"audio": {"faces", "pictures"}, "video": {"sound"}, "av": set()}[modality]
    prepared = [clip(number, 20 if number else 0, len(classes)) for number in range(clips)]
    inputs = [{name: array for name, array in one.items() if name not in unneeded} for one in prepared]
    return Examples(inputs, classes, tuple(classes[number % len(classes)] for number in range(clips)))


def tiny(variant: str = "", modality: str = "", **settings: Any) -> Avef:
    config, chosen = configured("avef", Avef, Wish("quick", modality, variant, TINY | settings))
    return Avef(config, chosen)


def copied(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def tone(second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Its pitch tells the time: 500 Hz at first, 1500 Hz after five seconds; the phase is the pitch's integral."""
    moment = np.asarray(second, float)
    return np.asarray(0.5 * np.sin(2 * np.pi * (500 * moment + 100 * moment**2)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Media:
    """Five seconds in which both sound and picture tell the time; who speaks when is settled."""
    monkeypatch.setattr(segment_pairs, "FaceTracker", lambda: Everywhere((20.0, 20.0, 80.0, 80.0), 10))
    monkeypatch.setattr(segment_pairs, "voiced", lambda sound, rate: SPOKEN if sound.any() else Voiced(()))
    sound = tone(np.arange(5 * 16_000) / 16_000).astype(np.float32)
    pictures = [np.full((100, 100, 3), number, np.uint8) for number in range(150)]
    return media(sound, pictures)


def media(sound: npt.NDArray[np.float32], pictures: list[npt.NDArray[np.uint8]], has: str = "audio video") -> Media:
    told = SimpleNamespace(has=frozenset(has.split()), audio=lambda rate: sound, seen=shown(pictures))
    return cast(Media, told)


def preparation(modality: str = "av", case: int = 2) -> SegmentPairs:
    return cast(SegmentPairs, Avef(Config(silence_cut=case == 2), modality).preparation())


def heard(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """When each frame of a segment [64, 64, 3] sounded, by its loudest band."""
    reference = Config().cutting.mel(tone(np.arange(5 * 16_000) / 16_000))  # [64, 498]
    alike = ((sound[:, :, 0].T[:, :, None] - reference[None]) ** 2).sum(axis=1)  # [64, 498]
    return np.asarray(alike.argmin(axis=1) * 0.010 + 0.0125)


def seen(inputs: Any) -> npt.NDArray[np.float64]:
    """When each picture of each segment was taken [N, 16]."""
    return np.asarray((inputs["faces"][inputs["pictures"]][:, :, 80, 80, 0] + 0.5) / 30)


def test_sound_and_picture_stay_together_where_silence_is_cut(clock: Media) -> None:
    inputs = preparation()(clock)
    count = (1 + int((2.5 - 0.025) / 0.010) - 64) // 34 + 1  # of two and a half seconds that are left
    assert inputs["sound"].shape == (count, 64, 64, 3)
    assert inputs["faces"].shape[1:] == (173, 173, 3)
    for number, (sound, times) in enumerate(zip(inputs["sound"], seen(inputs), strict=True)):
        begin = number * 0.340
        instants = heard(sound)
        inside = (begin + 0.655 < 1.0) or begin > 1.0
        if inside:  # no joint in it
            expected = SPOKEN.original(begin + 0.0125 + np.arange(64) * 0.010)
            assert instants == pytest.approx(expected, abs=0.031)
            assert times.mean() == pytest.approx(instants.mean(), abs=0.035)
        assert all(any(a - 0.02 <= t <= b + 0.035 for a, b in SPOKEN.spans) for t in times)
        assert (np.diff(times) > 0).all()
        assert abs(np.median(times) - np.median(instants)) < 0.06 or not inside
    assert inputs["voice"].tolist() == [[500, 1500], [2500, 4000]]


def test_case_1_keeps_everything(clock: Media) -> None:
    inputs = preparation(case=1)(clock)
    assert "voice" not in inputs
    assert len(inputs["sound"]) == (498 - 64) // 34 + 1
    middles = np.arange(len(inputs["sound"])) * 0.340 + 0.3275
    assert seen(inputs).mean(axis=1) == pytest.approx(middles, abs=0.035)
    assert [heard(sound).mean() for sound in inputs["sound"]] == pytest.approx(middles, abs=0.03)


@pytest.mark.parametrize("modality", ["audio", "video", "av"])
def test_a_clip_without_voice_is_that_of_case_1_and_counted(clock: Media, modality: str) -> None:
    """Neither where it is silent, nor where the corpus has no sound and the method needs none."""
    pictures = [shot.picture for shot in clock.seen(iter)]
    quiet = [media(np.zeros(80_000, np.float32), pictures)]
    quiet += [media(np.zeros(0, np.float32), pictures, has="video")] if modality == "video" else []
    for told in quiet:
        whole, cut = preparation(modality, 1)(told), dict(preparation(modality)(told))
        assert cut.pop("voice").shape == (0, 2)  # the engine counts clips with an input without rows
        assert set(cut) == set(whole)
        assert all(np.array_equal(cut[name], whole[name]) for name in whole)


def test_picture_alone_is_cut_by_the_sound(clock: Media) -> None:
    alone, both = (preparation(modality)(clock) for modality in ("video", "av"))
    assert set(alone) == {"faces", "pictures", "voice"}
    assert all(np.array_equal(alone[name], both[name]) for name in alone)


def test_faces_of_silence_are_not_kept(clock: Media) -> None:
    inputs = preparation()(clock)
    assert sorted(np.unique(inputs["pictures"])) == list(range(len(inputs["faces"])))
    assert len(inputs["faces"]) <= 2.5 * 30


def test_spectrogram_is_equation_2_1() -> None:
    """Pre-emphasis once, a Hamming window, the power spectrum of its 400 samples, 64 triangles on 0-8000 Hz, +0.01."""
    chance = np.random.default_rng(0).normal(scale=0.1, size=400)
    wave = np.append(chance[0], chance[1:] - 0.97 * chance[:-1]) * np.hamming(401)[:-1]
    power = np.abs(np.fft.rfft(wave)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    bins = np.arange(201) * 40.0
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    expected = np.log(np.minimum(up, down).clip(0) @ power + 0.01)
    mel: LogMel = preparation().cutting.mel
    assert mel(chance)[:, 0] == pytest.approx(expected, abs=2e-3)


TABLE_3 = """
Training setup                Audio-network  Visual-network  the whole model
Batch Size                    30             30              10
Number of Epochs              500            500             500
Dropout                       0.3
Parameter Stochastic Momentum 0.9
Learning Rate                 0.001
"""  # as printed in section 4.2; its last three rows have one number for all


def test_every_training_is_that_of_table_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the trainings, in the order of section 4.2: the networks apart, then all as a whole."""
    sizes = {key: value for key, value in TINY.items() if not key.endswith(".epochs")}
    config = assigned("avef", Config(), {**sizes, "pretraining.epochs": 1, "audio.size": 64})
    told: list[tuple[str, Schedule]] = []
    dropouts: set[float] = set()

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
        told.append((type(network).__name__, schedule))
        dropouts.update(layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout))

    monkeypatch.setattr("methods.avef.fit", watched)
    Avef(config, "av").fit(toy(), None, RunContext())
    rows = [re.split(" {2,}|(?<=Momentum) ", line) for line in TABLE_3.strip().splitlines()]
    table = {name: [float(cell) for cell in (cells * 3)[:3]] for name, *cells in rows[1:]}
    assert [name for name, _ in told] == ["AlexNet", "C3d", "Network"]
    assert [schedule.batch for _, schedule in told] == table["Batch Size"]
    assert [schedule.epochs for _, schedule in told] == table["Number of Epochs"]
    assert [schedule.momentum for _, schedule in told] == table["Parameter Stochastic Momentum"]
    assert [schedule.learning_rate for _, schedule in told] == table["Learning Rate"]
    assert dropouts == set(table["Dropout"])


@pytest.mark.xdist_group("large")
def test_a_joint_step_at_the_papers_size() -> None:
    """Its widths, its cost beside a count by hand, and that the DBN's error reaches all layers but both fc8."""
    network = Network(Config(), "av", 6)
    towers, dbn = network.parts(), network.dbn
    assert dbn is not None
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in (*towers.items(), ("dbn", dbn))}
    assert sizes["video"] == pytest.approx(78.0e6, rel=1e-3)
    assert [tuple(rbm.weight.shape) for rbm in dbn.layers()] == [(8192, 4096), (4096, 2048)]
    assert tuple(dbn.classify.weight.shape) == (6, 2048)
    sound, faces = torch.randn(1, 64, 64, 3), torch.randint(0, 256, (1, 16, 173, 173, 3), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        features = {"audio": towers["audio"].embed(sound), "video": towers["video"].embed(faces)}
        assert {tuple(f.shape) for f in features.values()} == {(1, 4096)}
        loss = torch.nn.functional.cross_entropy(dbn(network.scaled(features)), torch.tensor([2]))
    sys.stdout.write(f"parameters {sizes}, {counter.get_total_flops() / 1e9:.1f} GFLOP a segment\n")
    assert counter.get_total_flops() == 2 * by_hand()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.001)
    probes = {name: parameter.detach().flatten()[:1000].clone() for name, parameter in network.named_parameters()}
    optimiser.step()
    still = {n for n, parameter in network.named_parameters() if torch.equal(parameter.flatten()[:1000], probes[n])}
    unused = {f"towers.{part}.{kind}" for part in ("audio.classifier.6", "video.fc8") for kind in ("weight", "bias")}
    unused |= {f"dbn.rbms.{number}.visible_bias" for number in (0, 1)}
    assert still >= unused
    assert {n for n, parameter in network.named_parameters() if parameter.grad is None} == unused


def by_hand() -> int:
    """Multiplications of one segment: kernel x channels in x channels out x places, and the connected layers."""
    alexnet = [(11**2, 3, 64, 56**2), (5**2, 64, 192, 27**2), (9, 192, 384, 13**2), (9, 384, 256, 13**2)]
    alexnet += [(9, 256, 256, 13**2)]
    c3d = [(27, 3, 64, 16 * 112**2), (27, 64, 128, 16 * 56**2), (27, 128, 256, 8 * 28**2), (27, 256, 256, 8 * 28**2)]
    c3d += [(27, 256, 512, 4 * 14**2), (27, 512, 512, 4 * 14**2)] + [(27, 512, 512, 2 * 7**2)] * 2
    connected = 256 * 36 * 4096 + 512 * 16 * 4096 + 2 * 4096**2 + 8192 * 4096 + 4096 * 2048 + 2048 * 6
    return sum(kernel * ins * outs * places for kernel, ins, outs, places in alexnet + c3d) + connected


def test_joint_training_moves_both_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the very state in which the stages before leave them."""
    faster: dict[str, Any] = {"together.learning_rate": 0.1}  # or steps are lost in rounding
    method, states = tiny(**faster), []
    train = method._train_together

    def watched(*told: Any) -> None:
        states.append(copied(method.network))
        train(*told)

    monkeypatch.setattr(method, "_train_together", watched)
    method.fit(toy(), None, RunContext())
    [before] = states
    after = method.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    networks = {name for name, _ in method.network.named_parameters() if name.startswith("towers.")}
    own = {name for name in networks if ".classifier.6." in name or ".fc8." in name}
    assert networks & moved == networks - own
    assert {name for name in before if name.startswith("dbn.")} <= moved


@pytest.mark.parametrize("modality", ["audio", "video", "av"])
def test_shallow_layers_are_those_of_the_other_corpora(modality: str, tmp_path: Path) -> None:
    """A source of two classes, a target of three: the deep layers are new."""
    method = tiny(modality=modality)
    [(name, source)] = method.sources().items()
    assert (name, source.modality, source.config.pretrain_on) == (OTHERS, modality, ())
    elsewhere = Avef(source.config, source.modality)
    elsewhere.fit(toy(modality, ("low", "high")), None, RunContext(seed=5))
    elsewhere.save(tmp_path)
    method.fit(toy(modality), None, RunContext(initial={OTHERS: tmp_path}))
    theirs, ours = elsewhere.network.state_dict(), method.network.state_dict()
    same = {name for name in ours if ours[name].shape == theirs[name].shape and torch.equal(ours[name], theirs[name])}
    deep = ("classifier", "fc6", "fc7", "fc8", "dbn.")
    scale = {"mean", "deviation"} if modality == "av" else set()  # of the target's own fc7
    assert same == {name for name in ours if not any(part in name for part in deep)} - scale
    assert len(same) >= {"audio": 12, "video": 18, "av": 30}[modality]
    assert method.predict_proba(toy(modality)).shape == (9, 3)


def test_a_kept_convolution_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many epochs there are; and what the networks say is what they would say of the segments themselves."""
    elsewhere = tiny()
    elsewhere.fit(toy(), None, RunContext())
    elsewhere.save(tmp_path)
    counts = []
    for epochs in (1, 5):
        settings: dict[str, Any] = {"video.schedule.epochs": epochs, "together.epochs": epochs}
        method = tiny(**settings)
        calls: list[int] = []
        convolve = type(elsewhere.network.parts()["video"]).convolve
        monkeypatch.setattr(
            "methods.parts.c3d.C3d.convolve", lambda tower, clips, c=convolve, k=calls: k.append(1) or c(tower, clips)
        )
        method.fit(toy(), None, RunContext(initial={OTHERS: tmp_path}))
        monkeypatch.undo()
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_the_other_corpora_are_those_of_the_tables() -> None:
    """'If we want to train a model in RML data set, we first initialize via Enterface05 and BAUM-1s' (section 2.2)."""
    assert set(Avef().sources()[OTHERS].corpora) == {row["dataset"] for row in published()}


@pytest.mark.parametrize("variant", Avef.variants)
def test_variants_run(variant: str, tmp_path: Path) -> None:
    method = tiny(variant)
    examples = toy(method.modality)
    curves: list[str] = []
    method.fit(examples, None, RunContext(log=lambda name, value, step: curves.append(name)))
    answers = method.predict_proba(Examples(examples.inputs, CLASSES))
    assert answers.sum(axis=1) == pytest.approx(np.ones(9))
    method.save(tmp_path)
    again = tiny(variant)
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(examples), answers)
    assert len(curves) == len(set(curves)) == {"audio": 2, "video": 2, "av": 8}[method.modality]


def test_quick_faces_are_squares() -> None:
    assert Squares(size=173).shape == (173, 173)
    config, _ = configured("avef", Avef, Wish("quick"))
    assert config.pictures.shape[0] >= config.video.size


def published(**wanted: str) -> list[dict[str, str]]:
    rows = csv.DictReader(PUBLISHED.read_text().splitlines())
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_published_rows_name_variants() -> None:
    for row in published():
        variant = Avef.variants[row["variant"]]
        assert variant.modality == row["modality"]
        assert row["metric"] == "confusion" or row["row"].removeprefix("case") == row["variant"].split("-")[1]
    assert set(Avef.variants) == {row["variant"] for row in published()}
    assert len(published()) == 12 + 24 + 6 + 12 + 3 * 36


@pytest.mark.parametrize("corpus", ["rml", "enterface05", "baum1s"])
def test_published_confusions_are_of_the_accuracies(corpus: str) -> None:
    """Rows sum to one, and classes of about one size have about that accuracy."""
    rows = published(dataset=corpus, metric="confusion")
    for emotion in {row["row"] for row in rows}:
        assert sum(float(row["value"]) for row in rows if row["row"] == emotion) == pytest.approx(1, abs=1e-6)
    recall = np.mean([float(row["value"]) for row in rows if row["row"] == row["column"]])
    [told] = published(dataset=corpus, table="6", variant="case-2-av")
    assert recall == pytest.approx(float(told["value"]), abs=0.012)


def test_voice_helps_but_for_one_figure() -> None:
    """As section 4.3 claims; of 27 pairs of published figures, the valence of RML's faces alone falls."""
    falls = []
    for row in published(metric="accuracy", row="case1"):
        same = {key: row[key] for key in ("table", "column", "task")}
        [other] = published(**same, row="case2")
        if float(other["value"]) <= float(row["value"]):
            falls.append((row["column"], row["task"]))
    assert falls == [("RML_visual", "valence")]
