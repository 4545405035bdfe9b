"""The attention-FBP method: the paper's sizes, its inputs, what goes with what, and that stages stay apart."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.settings import Wish, configured
from datasets.afew import LABELS, TRAIN, VALIDATION
from methods.attention_fbp import AttentionFbp, Config
from methods.base import Examples, MethodError, RunContext, WeightsFile
from methods.parts import alexnet, ragged
from methods.parts.attention_network import Attentions, ClipNetwork, Fusing, Hearing
from methods.parts.ragged import Ragged
from methods.parts.reweighing import PAPER, class_weights, reweighed
from methods.parts.training import Schedule, fit

CLASSES = ("anger", "joy", "fear")
SEVEN = tuple(PAPER)
PUBLISHED_ROWS = Path(__file__).parents[1] / "methods" / "published" / "attention_fbp.csv"
TINY = {
    "pictures.size": 32, "faces.shape.size": 32, "faces.shape.features": 6, "faces.schedule.epochs": 1,
    "hearing.height": 63, "hearing.channels": (2, 2, 2, 2, 4), "attentions.reduced": 3, "fusing.width": 5,
    "schedule.epochs": 1,
}  # fmt: skip


def tiny(variant: str = "", modality: str = "", **settings: Any) -> AttentionFbp:
    wish = Wish("quick", modality, variant, {**TINY, **{name.replace("__", "."): v for name, v in settings.items()}})
    config, chosen = configured("attention-fbp", AttentionFbp, wish)
    return AttentionFbp(config, chosen)


def toy(method: AttentionFbp, clips: int = 9, classes: tuple[str, ...] = CLASSES) -> Examples:
    """Inputs of chance, a little different for each class; in the first clip there is no face."""
    inputs = []
    for number in range(clips):
        chance, column = np.random.default_rng(number), number % len(classes)
        one: dict[str, npt.NDArray[Any]] = {}
        if method.modality != "audio":
            one["faces"] = chance.integers(0, 100, (2 + number % 3, 32, 32, 3), np.uint8) + np.uint8(20 * column)
            one["found"] = np.full(len(one["faces"]), number > 0)
        if method.modality != "video" and method.config.stage == "clips":
            size = (50 + 10 * number, 20, method.config.sound.channels)
            one["sound"] = (chance.normal(size=size) + column).astype(np.float32)
        inputs.append(one)
    return Examples(inputs, classes, tuple(classes[number % len(classes)] for number in range(clips)))


def fitted(method: AttentionFbp, run: RunContext | None = None, classes: tuple[str, ...] = CLASSES) -> AttentionFbp:
    method.fit(toy(method, classes=classes), None, run or RunContext())
    return method


@pytest.mark.parametrize("variant", AttentionFbp.variants)
def test_variants_run(variant: str, tmp_path: Path) -> None:
    method = fitted(tiny(variant), classes=SEVEN)
    examples = toy(method, classes=SEVEN)
    answers = method.predict_proba(Examples(examples.inputs, SEVEN))
    assert answers.shape == (9, 7)
    assert answers.sum(axis=1) == pytest.approx(1)
    assert len(method.network.members) == (0 if method.alone else len(method.config.members))
    method.save(tmp_path)
    again = tiny(variant)
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(examples), answers)


def test_one_step_of_the_papers_size() -> None:
    """AlexNet, attentions, FBP and softmax on clips of different lengths: every layer moves."""
    config = Config()
    torch.manual_seed(0)
    network = ClipNetwork({"audio": 1, "video": 512}, config.hearing, config.attentions, config.fusing, 7)
    rng = np.random.default_rng(0)
    sounds, faces = ([rng.standard_normal((n, *size), np.float32) for n in lengths] for lengths, size in (
        ((237, 100), (200, 1)), ((10, 24), (512,))
    ))  # fmt: skip
    batch = {"audio": Ragged(sounds, "cpu"), "video": Ragged(faces, "cpu")}
    with FlopCounterMode(display=False) as counter:
        network({name: part.alike(torch.arange(2)) for name, part in batch.items()})
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    print(f"{sum(sizes.values()):,} parameters {sizes}, {counter.get_total_flops() / 2e9:.2f} GFLOP a clip")  # noqa: T201
    attentions = sum(width * 128 + 128 + 128 for width in (256, 512))
    assert sizes == {
        "ear": 2_469_696,  # torchvision's 61,100,840, less its fully connected layers' 58,631,144
        "attend": attentions,
        "fuse": (256 + 512) * 5000,
        "classify": 1000 * 7 + 7,
    }
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    targets = torch.arange(2)
    fit(network, lambda rows: network({n: part.alike(rows) for n, part in batch.items()}), targets,
        Schedule(1, 2, 1e-4), RunContext())  # fmt: skip
    assert not [name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])]


def test_lengths_that_are_rounded_up_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are on a GPU, which knows the kernels of fewer shapes then."""
    network = ClipNetwork(
        {"audio": 1, "video": 5}, Hearing(64, (4, 5, 6, 7, 8)), Attentions(), Fusing(width=6, rank=2), 3
    ).eval()
    rng = np.random.default_rng(0)
    lengths = {"audio": (70, 97, 64, 128), "video": (3, 33, 1, 32)}
    sizes = {"audio": (40, 1), "video": (5,)}
    sequences = {
        name: Ragged([rng.standard_normal((n, *sizes[name]), np.float32) for n in told], "cpu")
        for name, told in lengths.items()
    }
    expected = network.answer(sequences)
    monkeypatch.setattr(ragged, "accelerated", lambda device: True)
    shapes = [rows.shape[1] for part in sequences.values() for rows, _ in part.alike(torch.arange(4), 1).parts]
    assert shapes == [128, 128, 96, 64, 64, 32, 32, 32]
    assert network.answer(sequences) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("member", "width"),
    [("basic", 512), ("mean", 512), ("mean-std", 1024), ("mean-std-2", 1024), ("norm-fft", 1024), ("ar-mean", 1024)],
)
def test_attention_is_as_wide_as_the_enhanced_features(member: str, width: int) -> None:
    """IR50's have 512 numbers (section 2); deviations, coefficients or a second network double them (section 3)."""
    method = AttentionFbp(Config(members=(member,)), "video")
    method._build(SEVEN, {}, RunContext())
    assert [p.width for p in method.network.members[0].attend.children()] == [width]  # type: ignore[union-attr]


# what is trained when, and what it begins with


def test_face_networks_stay_as_they_are_while_the_rest_is_trained() -> None:
    one, other = (fitted(tiny(schedule__epochs=epochs)).network.state_dict() for epochs in (1, 3))
    same = {name.partition(".")[0] for name in one if torch.equal(one[name], other[name]) and "num_batches" not in name}
    moved = {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert "faces" in same
    assert moved == {"members"}


CURVES = ("train_loss", "train_accuracy")


def face_curves(method: AttentionFbp, initial: dict[str, Path]) -> set[str]:
    """Those of the face networks that a fit trains itself."""
    told: set[str] = set()
    fitted(method, RunContext(log=lambda name, value, step: told.add(name), initial=initial))
    return {name for name in told if name.startswith("faces")}


@pytest.mark.parametrize(
    ("variant", "names", "alone", "left"),
    [
        ("ar-mean", ["affectnet", "raf-db"], ["faces_0", "faces_1"], ["faces"]),
        ("softmax-raf-db", ["raf-db"], ["faces"], []),
    ],
)
def test_a_face_network_of_other_corpora_is_taken_as_it_is(
    variant: str, names: list[str], alone: list[str], left: list[str], tmp_path: Path
) -> None:
    """Whatever its classes were; a network that nobody hands over is taught by the clips themselves."""
    method = tiny(variant)
    sources = method.sources()
    assert list(sources) == names
    source = sources["raf-db"]
    assert (source.corpora, source.modality) == ((), "video")
    donor = fitted(AttentionFbp(source.config, source.modality), RunContext(9), classes=SEVEN)
    donor.save(tmp_path)
    assert face_curves(tiny(variant), {}) == {f"{name}_{of}" for name in alone for of in CURVES}
    assert face_curves(method, {"raf-db": tmp_path}) == {f"{name}_{of}" for name in left for of in CURVES}
    for name, tensor in donor.network.face("faces").state_dict().items():
        assert torch.equal(method.network.face("raf-db").state_dict()[name], tensor)
    method.save(tmp_path)
    again = tiny(variant)
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(toy(method)), method.predict_proba(toy(method)))


def test_at_the_papers_size_other_corpora_are_needed() -> None:
    source = AttentionFbp(Config()).sources()["affectnet"]
    assert source.corpora == ("affectnet",)
    assert (source.config.stage, source.config.faces) == ("faces", Config().faces)
    both = AttentionFbp(Config(members=("ar-mean", "basic"))).sources()
    assert {name: told.corpora for name, told in both.items()} == {"affectnet": ("affectnet",), "raf-db": ("raf-db",)}
    assert both["affectnet"].config == both["raf-db"].config == source.config  # no corpus is told by a network's name
    assert AttentionFbp(Config(), "audio").sources() == AttentionFbp(source.config, "video").sources() == {}
    fusions = [AttentionFbp(AttentionFbp.variants[name].config).sources() for name in ("self-self", "mean-std", "five")]
    assert {told["affectnet"] for told in fusions} == {source}  # one fit serves them all


@pytest.mark.parametrize("variant", AttentionFbp.variants)
def test_only_ar_mean_needs_two_face_networks(variant: str) -> None:
    told = AttentionFbp.variants[variant]
    counted = len(AttentionFbp(told.config, told.modality).sources())
    without = told.config.stage == "faces" or told.modality == "audio"
    assert counted == (0 if without else 2 if "ar-mean" in told.config.members else 1)


class Shelf:
    """Has every file."""

    def find(self, file: WeightsFile) -> Path | None:
        return Path(file.name)


def test_published_weights_fit_published_sizes_only() -> None:
    files = {part: str(file) for part, file in AttentionFbp(Config()).pretrained(Shelf()).items()}
    assert files == {"video": "backbone_ir50_ms1m_epoch120.pth", "audio": "alexnet-owt-7be5be79.pth"}
    assert set(AttentionFbp(Config(), "audio").pretrained(Shelf())) == {"audio"}
    assert set(AttentionFbp(Config("faces"), "video").pretrained(Shelf())) == {"video"}
    assert tiny().pretrained(Shelf()) == {}


def test_published_weights_are_what_a_fit_begins_with(tmp_path: Path) -> None:
    donor = alexnet.AlexNet(10, 63, TINY["hearing.channels"], 8)  # type: ignore[arg-type]
    torch.save(donor.state_dict(), tmp_path / "alexnet.pth")
    method = tiny(modality="audio", schedule__learning_rate=1e-12)
    fitted(method, RunContext(pretrained={"audio": tmp_path / "alexnet.pth"}))
    (_, member), *_ = method._members()
    assert member.ear is not None
    for name, tensor in member.ear.features.state_dict().items():
        assert torch.allclose(tensor, donor.features.state_dict()[name], atol=1e-9)
    sound = np.concatenate([clip["sound"] for clip in toy(method).inputs])
    assert member.ear.mean.item() == pytest.approx(sound.mean(), rel=1e-4)


def test_the_share_of_frames_without_a_face_is_told() -> None:
    told = []
    method = tiny(modality="video")
    fitted(method, RunContext(log=lambda name, value, step: told.append((name, value, step))))
    counts = [len(clip["faces"]) for clip in toy(method).inputs]
    assert told[0] == ("frames_without_face", counts[0] / sum(counts), 0)


def test_a_clip_is_the_mean_of_its_pictures_for_a_face_network_alone() -> None:
    method = fitted(tiny("face-ir50"))
    clip = toy(method).inputs[2]
    singles = [{**clip, "faces": clip["faces"][[number]]} for number in range(len(clip["faces"]))]
    expected = method.predict_proba(Examples(singles, CLASSES)).mean(axis=0)
    assert method.predict_proba(Examples([clip], CLASSES))[0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(MethodError, match="take video"):
        fitted(AttentionFbp(method.config, "av"))


def test_equal_members_of_an_ensemble_differ_by_seed_and_are_averaged() -> None:
    method = fitted(tiny(members=["basic", "basic"]))
    (_, first), (_, second) = method._members()
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    examples = toy(method)
    sequences = method._sequences(examples, "cpu")["basic"]
    expected = (first.answer(sequences) + second.answer(sequences)) / 2
    assert method.predict_proba(examples) == pytest.approx(expected)
    alone = fitted(tiny())
    assert alone.predict_proba(examples) == pytest.approx(first.answer(sequences))  # the first seed is the run's


# reweighing


def test_reweighing() -> None:
    train = Examples([{}] * 6, CLASSES, ("anger", "joy", "joy", "joy", "joy", "anger"))
    assert class_weights("none", train).tolist() == [1, 1, 1]
    assert class_weights("training", train) == pytest.approx([2**0.5, 2, 0])
    found = reweighed(np.array([[0.5, 0.25, 0.25]]), np.array([1.0, 4.0, 0.0]))
    assert found[0] == pytest.approx([1 / 3, 2 / 3, 0])
    with pytest.raises(MethodError, match="set reweigh=training"):
        class_weights("paper", train)


def test_reweighed_answers() -> None:
    plain, weighed = fitted(tiny()), fitted(tiny(reweigh="training"))
    examples = Examples(toy(plain).inputs[:4], CLASSES)
    weights = np.sqrt([3, 3, 3])  # all alike
    assert weighed.predict_proba(examples) == pytest.approx(reweighed(plain.predict_proba(examples), weights))
    assert weighed.predict_proba(examples) == pytest.approx(plain.predict_proba(examples))
    paper, seven = fitted(tiny(reweigh="paper"), classes=SEVEN), fitted(tiny(), classes=SEVEN)
    expected = seven.predict_proba(examples) * list(PAPER.values())
    assert paper.predict_proba(examples) == pytest.approx(expected / expected.sum(axis=1, keepdims=True))


def test_the_papers_vector_is_the_test_sets() -> None:
    """Counts of EmotiW's test set of 653 clips; the distances are those that the method tells."""

    def distance(counts: Sequence[int]) -> float:
        roots = np.sqrt(counts)
        return float(np.abs(roots / roots.sum() - list(PAPER.values())).max())

    def told(counts: Mapping[str, int]) -> list[float]:
        """In the order of the vector, and in the order that comes nearest to it."""
        own = [counts[{of: name for name, of in LABELS.items()}[label].title()] for label in PAPER]
        return [round(distance(own), 3), round(min(map(distance, permutations(own))), 3)]

    test = {"Angry": 98, "Disgust": 40, "Fear": 70, "Happy": 144, "Neutral": 193, "Sad": 80, "Surprise": 28}
    assert sum(test.values()) == 653
    assert told(test) == [0.003, 0.003] < told(TRAIN) == [0.05, 0.047] < told(VALIDATION) == [0.061, 0.06]
    text = AttentionFbp.paper.left_unsaid["the order of the reweighting vector"]
    assert re.findall(r"0\.0\d\d", text) == ["0.003", "0.050", "0.047", "0.061", "0.060"]


def test_what_the_papers_vector_reweighs_is_stamped() -> None:
    stamped = {name for name, told in AttentionFbp.variants.items() if told.stamp}
    assert stamped == {name for name, told in AttentionFbp.variants.items() if told.config.reweigh == "paper"}
    assert len(stamped) == 2


# the paper's numbers


def published() -> list[dict[str, str]]:
    return list(csv.DictReader(PUBLISHED_ROWS.read_text().splitlines()))


def test_published_rows_name_variants_of_their_modality() -> None:
    for row in published():
        assert 0 < float(row["value"]) < 1
        if row["variant"]:
            assert AttentionFbp.variants[row["variant"]].modality == row["modality"]
    quoted = {row["variant"] for row in published()}
    assert set(AttentionFbp.variants) - quoted == {"audio-log-mel", "log-mel", "four", "five"}
    cannot = [(row["table"], row["column"]) for row in published() if not row["variant"]]
    assert cannot == [("3", "AFEW Val acc"), *[("4", "Test")] * 5]


def test_variants_are_what_their_rows_say() -> None:
    for row in published():
        if not row["variant"]:
            continue
        config, told = AttentionFbp.variants[row["variant"]].config, row["column"].lower().replace("+", "-plus")
        if row["table"] == "1":
            assert config.stage == "faces"
            assert config.faces.shape.kind == row["row"].lower()
        if row["table"] == "2":
            sides = f"visual {config.attentions.video}", f"audio {config.attentions.audio}"
            assert sides == (row["row"].lower(), told)
        if row["row"].startswith("softmax"):
            assert config.faces.taught_by == (told,)
        if row["table"] == "4":
            assert config.reweigh == "paper"
            honest = AttentionFbp.variants[row["variant"].removesuffix("-paper-weights")].config
            assert honest == replace(config, reweigh="training")


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="but got"):
        Config(members=("median",))
    with pytest.raises(ValueError, match="taught_by"):
        replace(Config().faces, taught_by=())
