"""The attention-FBP method: the paper's sizes, its inputs, what goes with what, and that stages stay apart."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.settings import Wish, configured
from datasets.afew import TRAIN, VALIDATION
from datasets.base import Media
from methods.attention_fbp import AttentionFbp, Config
from methods.base import Examples, MethodError, RunContext, WeightsFile
from methods.parts import alexnet, frames
from methods.parts.attention_network import ClipNetwork
from methods.parts.faces import Face, crop_box
from methods.parts.frames import FacesAndSound, Frames, Pictures, Sound, share_without_face
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
            one["found"] = np.arange(len(one["faces"]) if number else 0, dtype=np.int32)
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
    batch = {
        "audio": (torch.randn(2, 237, 200, 1), torch.tensor([237, 100])),
        "video": (torch.randn(2, 24, 512), torch.tensor([10, 24])),
    }
    with FlopCounterMode(display=False) as counter:
        network(batch)
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
    fit(network, lambda rows: network({n: (x[rows], k[rows]) for n, (x, k) in batch.items()}), targets,
        Schedule(1, 2, 1e-4), RunContext())  # fmt: skip
    assert not [name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])]


@pytest.mark.parametrize(
    ("member", "width"),
    [("basic", 512), ("mean", 512), ("mean-std", 1024), ("mean-std-2", 1024), ("norm-fft", 1024), ("ar-mean", 1024)],
)
def test_attention_is_as_wide_as_the_enhanced_features(member: str, width: int) -> None:
    """IR50's have 512 numbers (section 2); deviations, coefficients or a second network double them (section 3)."""
    method = AttentionFbp(Config(members=(member,)), "video")
    method._build(SEVEN, {}, RunContext())
    assert [p.width for p in method.network.members[0].attend.children()] == [width]  # type: ignore[union-attr]


# what the networks see


class Sometimes:
    """A face in the middle of each picture but every third."""

    def __init__(self, every: int, gap: int) -> None:
        pass

    def follow(self, pictures: Iterable[npt.NDArray[np.uint8]]) -> Iterator[tuple[npt.NDArray[np.uint8], Face | None]]:
        for number, picture in enumerate(pictures):
            yield picture, None if number % 3 == 2 else Face((40.0, 30.0, 60.0, 50.0), np.zeros((68, 2), np.float32))


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch) -> Media:
    monkeypatch.setattr(frames, "FaceTracker", Sometimes)
    pictures = [np.random.default_rng(n).integers(0, 256, (80, 120, 3), np.uint8) for n in range(7)]
    sound = np.random.default_rng(0).normal(size=16_000).astype(np.float32) / 10
    return cast(Media, SimpleNamespace(audio=lambda rate: sound, frames=lambda per_second: iter(pictures)))


def test_a_frame_without_a_face_goes_in_whole(media: Media) -> None:
    inputs = FacesAndSound(Pictures(size=32), None)(media)
    pictures = list(media.frames(10))
    assert inputs["found"].tolist() == [0, 1, 3, 4, 6]
    for number, face in enumerate(inputs["faces"]):
        whole = crop_box(pictures[number], (0, 0, 120, 80), 32)
        widened = crop_box(pictures[number], (37, 27, 63, 53), 32)  # sides of 26 instead of 20
        assert np.array_equal(face, whole if number % 3 == 2 else widened)
    assert share_without_face(Examples([inputs, inputs], CLASSES)) == pytest.approx(2 / 7)


def test_faces_are_as_large_as_section_2_says(media: Media) -> None:
    assert AttentionFbp(modality="video").preparation()(media)["faces"].shape[1:] == (224, 224, 3)


def test_pictures_that_are_faces_already_are_not_searched(media: Media) -> None:
    inputs = Pictures(size=32, detect=False)(media)
    assert len(inputs["found"]) == 7
    assert np.array_equal(inputs["faces"][1], crop_box(list(media.frames(10))[1], (0, 0, 120, 80), 32))


def test_spectrograms(media: Media) -> None:
    inputs = FacesAndSound(None, Sound())(media)
    assert {name: array.shape for name, array in inputs.items()} == {"sound": (97, 200, 1)}  # (1000 - 40) / 10 + 1
    mel = Sound("log-mel")(media)["sound"]
    assert mel.shape == (98, 40, 3)
    assert mel[10, :, 1] == pytest.approx(
        sum(k * (mel[10 + k, :, 0] - mel[10 - k, :, 0]) for k in (1, 2)) / 10, abs=1e-5
    )


def test_frames_are_kept_in_order_with_their_owners() -> None:
    examples = toy(tiny(modality="video"))
    kept = Frames(examples.inputs, "cpu")
    everything = np.concatenate([clip["faces"] for clip in examples.inputs])
    assert len(kept) == len(everything)
    assert np.bincount(kept.owners).tolist() == [len(clip["faces"]) for clip in examples.inputs]
    chosen = torch.tensor([5, 0, len(kept) - 1])
    assert np.array_equal(kept.of(chosen).permute(0, 2, 3, 1).numpy(), everything[chosen.numpy()])
    with pytest.raises(MethodError, match="2 clips have no frame"):
        Frames([{"faces": np.zeros((0, 32, 32, 3), np.uint8)}] * 2, "cpu")


# what is trained when, and what it begins with


def test_face_networks_stay_as_they_are_while_the_rest_is_trained() -> None:
    one, other = (fitted(tiny(schedule__epochs=epochs)).network.state_dict() for epochs in (1, 3))
    same = {name.partition(".")[0] for name in one if torch.equal(one[name], other[name]) and "num_batches" not in name}
    moved = {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}
    assert "faces" in same
    assert moved == {"members"}


@pytest.mark.parametrize("variant", ["ar-mean", "softmax-raf-db"])
def test_a_face_network_of_other_corpora_is_taken_as_it_is(variant: str, tmp_path: Path) -> None:
    """Whatever its classes were; a network that nobody hands over is taught by the clips themselves."""
    method = tiny(variant)
    sources = method.sources()
    taught = {"ar-mean": ["affectnet", "raf-db"], "softmax-raf-db": ["raf-db"]}[variant]
    assert list(sources) == taught
    source = sources["raf-db"]
    assert (source.corpora, source.modality) == ((), "video")
    donor = fitted(AttentionFbp(source.config, source.modality), RunContext(9), classes=SEVEN)
    donor.save(tmp_path)
    curves: list[str] = []
    run = RunContext(log=lambda name, value, step: curves.append(name), initial={"raf-db": tmp_path})
    fitted(method, run)
    for name, tensor in donor.network.face("faces").state_dict().items():
        assert torch.equal(method.network.face("raf-db").state_dict()[name], tensor)
    assert {name for name in curves if name.startswith("face_")} == {
        f"face_{name}_train_{what}" for name in taught if name != "raf-db" for what in ("loss", "accuracy")
    }
    method.save(tmp_path)
    again = tiny(variant)
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(toy(method)), method.predict_proba(toy(method)))


def test_at_the_papers_size_other_corpora_are_needed() -> None:
    source = AttentionFbp(Config()).sources()["affectnet"]
    assert source.corpora == ("affectnet",)
    assert (source.config.stage, source.config.faces, source.config.pictures.detect) == ("faces", Config().faces, False)
    both = AttentionFbp(Config(members=("ar-mean", "basic"))).sources()
    assert {name: told.config.pictures.detect for name, told in both.items()} == {"affectnet": False, "raf-db": True}
    assert AttentionFbp(Config(), "audio").sources() == AttentionFbp(source.config, "video").sources() == {}
    fusions = [AttentionFbp(AttentionFbp.variants[name].config).sources() for name in ("self-self", "mean-std", "five")]
    assert {told["affectnet"] for told in fusions} == {source}  # one fit serves them all


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
    """Counts of EmotiW's test set of 653 clips; in this order, and of no other set in any order."""

    def shares(*counts: int) -> npt.NDArray[np.float64]:
        roots = np.sqrt(counts)
        return np.asarray(roots / roots.sum())

    counts = {"anger": 98, "disgust": 40, "fear": 70, "happiness": 144, "neutral": 193, "sadness": 80, "surprise": 28}
    assert sum(counts.values()) == 653
    assert list(PAPER.values()) == pytest.approx(shares(*(counts[name] for name in PAPER)), abs=0.003)
    both = {name: count + VALIDATION[name] for name, count in TRAIN.items()}
    for others in (TRAIN, VALIDATION, both):
        nearest = min(np.abs(shares(*order) - list(PAPER.values())).max() for order in permutations(others.values()))
        assert nearest > 0.04


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
            assert config.pictures.detect == (row["dataset"] == "raf-db")
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
