"""Cells' keys hash all that a result depends on, and nothing else; wishes become Configs or errors with the choices."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from benchmarks import plan
from benchmarks.arenas import arena
from benchmarks.console import progress
from benchmarks.plan import Row, row
from benchmarks.plugins import PluginError, build, canonical, load
from benchmarks.settings import Wish, assigned, changing, configured
from datasets.base import Dataset
from datasets.clips import DatasetError
from methods.base import MethodError, Variant
from methods.parts.weights import IR50, VGG16, WeightStore
from tests.tinybench import Bench, corpus, diary, make_bench, noise, spoken, toy, wav  # noqa: F401  a fixture

QUICK = Wish("quick")
LOSO = "leave-one-subject-out"


def planned(
    dataset: Dataset, wish: Wish = QUICK, protocol: str = LOSO, task: str = "emotion", seeds: int = 1, name: str = "toy"
) -> Row:
    return row(name, wish, arena(dataset, task, protocol, progress), seeds, WeightStore(Path("nowhere"), none=True))


def keys(found: Row) -> set[str]:
    told = {cell.key for cell in found.cells}
    assert len(told) == len(found.cells)
    return told


CHANGES = {
    "version": ("version = 1", "version = 2"),
    "preparation": ("Level(self.config.rate)", "Level(self.config.rate + 1)"),
    "frozen": ("Frozen(self.config.network) if self.config.network else None", "Frozen('vgg')"),
    "frozen weights": ("Frozen(self.config.network) if self.config.network else None", "Frozen('other')"),
    "default": ("scale: float = 1.0", "scale: float = 1.0\n    more: int = 1"),
    "validates": ("validates = False", "validates = True"),
}


def test_whatever_changes_a_method_changes_every_key(bench: Bench) -> None:
    found = {"as it is": keys(planned(corpus(bench.data)))}
    for what, change in CHANGES.items():
        toy(bench.plugins, "toy", change)
        found[what] = keys(planned(corpus(bench.data)))
    toy(bench.plugins, "toy")
    assert keys(planned(corpus(bench.data))) == found["as it is"]
    toy(bench.plugins, "other")
    found["name"] = keys(planned(corpus(bench.data), name="other"))
    assert {len(some) for some in found.values()} == {4}
    assert len(set[str]().union(*found.values())) == 4 * (len(CHANGES) + 2)


def test_whatever_is_asked_otherwise_changes_every_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "available", lambda arena, modality: None)
    toy(bench.plugins, "toy", ('modalities = frozenset({"audio"})', 'modalities = frozenset({"audio", "video"})'))
    here = corpus(bench.data)
    found = [
        planned(here),
        planned(here, Wish("paper")),
        planned(here, Wish("paper", settings={"scale": 2.0})),  # the very Config that quick has
        planned(here, Wish("quick", "video")),
        planned(here, Wish("quick", settings={"scale": 3.0})),
        planned(here, Wish("quick", settings={"inner.depth": 3})),
        planned(here, task="arousal"),
        planned(here, protocol="leave-one-speaker-group-out:groups=2"),
    ]
    every = [key for one in found for key in keys(one)]
    assert len(every) == len(set(every)) == 4 * 7 + 2
    assert len({one.key for one in found}) == len(found)


STARTS = (
    "    def fit(self, train, validation, run):",
    """    def pretrained(self, weights):
        from methods.base import WeightsFile

        return {"ears": weights.find(WeightsFile("ears.pth", "https://nowhere.invalid/ears.pth", ""))}

    def fit(self, train, validation, run):
        note(f"starts from {run.pretrained}")""",
)
BY_HAND = STARTS[0], STARTS[1].replace('/ears.pth", ""', '/ears.pth", "", by_hand=True')


def test_the_weights_that_a_fit_begins_with_are_in_its_key_and_told(bench: Bench) -> None:
    """By name, wherever they lie; what is random in their place is stamped."""
    here = arena(corpus(bench.data), "emotion", LOSO, progress)
    plain = row("toy", Wish("quick", weightless=True), here, 1, WeightStore(bench.folder, none=True))
    toy(bench.plugins, "toy", STARTS)
    none = row("toy", Wish("quick", weightless=True), here, 1, WeightStore(bench.folder, none=True))
    folders = [bench.folder / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "ears.pth").write_bytes(b"ears")
    found, again = (row("toy", QUICK, here, 1, WeightStore(folder)) for folder in folders)
    assert keys(found) == keys(again)
    assert not keys(found) & keys(none) and not keys(none) & keys(plain)
    assert (plain.weights, none.weights, found.weights) == (
        None,
        "ears random",
        f"ears ears.pth {sha256(b'ears').hexdigest()[:16]}",
    )
    assert (plain.stamps, none.stamps, found.stamps) == ((), ("weights none",), ("weights unconfirmed",))
    frozen = SimpleNamespace(key=f"network of {IR50.name} 0123456789abcdef")
    assert replace(found, pretrained={}, frozen=frozen).stamps == ("weights unconfirmed",)
    assert replace(found, pretrained={}, frozen=SimpleNamespace(key=f"network of {VGG16.name}")).stamps == ()
    assert found.pretrained == {"ears": folders[0] / "ears.pth"}


def test_a_fit_gets_the_weights_that_it_begins_with(bench: Bench) -> None:
    toy(bench.plugins, "toy", STARTS)
    folder = bench.folder / "weights"
    folder.mkdir()
    (folder / "ears.pth").write_bytes(b"ears")
    assert bench.run("--weights", folder)[0] == 0
    assert bench.run("--weights", "none")[0] == 0
    told = [f"starts from {{'ears': {folder / 'ears.pth'!r}}}", "starts from {'ears': None}"]
    assert diary("starts") == [told[0]] * 2 + [told[1]] * 2


def test_seeds_are_cells_of_their_own(bench: Bench) -> None:
    one, three = (planned(corpus(bench.data), seeds=seeds) for seeds in (1, 3))
    assert len(keys(three)) == 12
    assert {cell.key for cell in three.cells if cell.seed == 0} == keys(one)
    assert one.key != three.key


def change_a_sound(root: Path) -> None:
    wav(spoken(root, 2, "04"), noise(99))


def take_a_clip_away(root: Path) -> None:
    spoken(root, 2, "04").unlink()


def relabel_a_clip(root: Path) -> None:
    spoken(root, 2, "04").rename(spoken(root, 2, "06"))


def rename_a_person(root: Path) -> None:
    for emotion in ("03", "04", "05"):
        spoken(root, 5, emotion).parent.mkdir(exist_ok=True)
        spoken(root, 4, emotion).rename(spoken(root, 5, emotion))


@pytest.mark.parametrize("change", [change_a_sound, take_a_clip_away, relabel_a_clip, rename_a_person])
def test_another_corpus_has_other_keys(change: Callable[[Path], None], bench: Bench) -> None:
    before = keys(planned(corpus(bench.data)))
    change(bench.data)
    assert keys(planned(corpus(bench.data))).isdisjoint(before)


def test_where_a_corpus_lies_and_in_which_order_is_in_no_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned(corpus(bench.data))
    shutil.copytree(bench.data, bench.folder / "elsewhere")
    assert planned(corpus(bench.folder / "elsewhere")).key == before.key
    here = corpus(bench.data)
    backwards = here.index()[::-1]
    monkeypatch.setattr(here, "index", lambda task: backwards)
    after = planned(here)
    assert keys(after) == keys(before)
    assert {cell.key: cell.fold.name for cell in after.cells} == {cell.key: cell.fold.name for cell in before.cells}


def test_equal_folds_are_one_cell_whatever_the_protocol(bench: Bench) -> None:
    """Four folds of four subjects are leave-one-subject-out: what is finished there need not be run here."""
    one, other = planned(corpus(bench.data)), planned(corpus(bench.data), protocol="subject-k-fold:k=4")
    assert keys(one) == keys(other)
    assert one.key != other.key


@pytest.mark.parametrize(
    "spellings",
    [
        (LOSO, " Leave_One_Subject_Out"),
        ("leave-one-speaker-group-out:groups=2", "leave-one-speaker-group-out: groups = 2, share=0"),
        ("leave-one-speaker-group-out:share=0.5", "leave-one-speaker-group-out:groups=5,share=0.50"),
        ("subject-k-fold:k=3", "subject-k-fold:seed=0,k=3"),
    ],
)
def test_a_protocol_may_be_spelled_freely(spellings: tuple[str, str], bench: Bench) -> None:
    one, other = (planned(corpus(bench.data), protocol=name) for name in spellings)
    assert one.key == other.key


def test_a_corpus_own_folds_are_not_those_of_the_defaults() -> None:
    """RAVDESS lists five folds for it; whoever sets anything asks for others."""
    own = load("datasets", "ravdess").protocol_settings
    for spelled, folds in (("", own["subject-k-fold"]), (":seed=0", {}), (":k=5", {}), (":k=3", {"k": 3})):
        told = canonical(f"subject-k-fold{spelled}", own)
        assert build("protocols", told, own) == load("protocols", "subject-k-fold")(**folds)
        assert canonical(told, own) == told
    assert canonical("subject-k-fold:seed=0", own) == canonical("subject-k-fold:k=5", own) != "subject-k-fold"
    with pytest.raises(PluginError, match="no 'published'; choose from k, seed"):
        canonical("subject-k-fold:published=1")


def test_what_is_so_anyway_is_no_stamp(bench: Bench) -> None:
    """Who names a default asks for the same row; while tuning it means to hold the value fast."""
    here = corpus(bench.data)
    usual, named, other = (planned(here, Wish("paper", settings=told)) for told in ({}, {"scale": 1}, {"scale": 3.0}))
    assert (named.key, named.stamps) == (usual.key, usual.stamps) == (usual.key, ())
    assert other.stamps == ("scale=3.0",)
    assert planned(here, Wish("quick", settings={"scale": 1.0})).stamps == ("scale=1.0",)  # quick has another
    tuned = Wish("paper", settings={"scale": 1.0}, trials=3)
    assert changing("toy", load("methods", "toy"), tuned) == tuned


def test_a_preparation_without_a_lasting_name_is_refused(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("return Level(self.config.rate)", "return lambda media: {}"))
    with pytest.raises(MethodError, match="toy's preparation must be a frozen dataclass"):
        planned(corpus(bench.data))


def test_a_modality_that_clips_lack_is_refused(bench: Bench) -> None:
    toy(bench.plugins, "toy", ('modalities = frozenset({"audio"})', 'modalities = frozenset({"audio", "av"})'))
    with pytest.raises(DatasetError, match=r"12 of 12 clips of ravdess lack .*choose --modality audio"):
        planned(corpus(bench.data))


def test_a_task_of_fewer_classes_does_not_make_a_copy_partial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken(bench.data, 1, "03").rename(spoken(bench.data, 1, "01"))  # neutral, which has no arousal
    here = corpus(bench.data)
    monkeypatch.setattr(type(here), "expected", type(here.expected)(clips=(12, 12)))
    feelings, arousal = (arena(here, task, LOSO, progress) for task in ("emotion", "arousal"))
    assert (len(feelings.clips), len(arousal.clips)) == (12, 11)
    assert not feelings.partial and not arousal.partial and arousal.copied == 12
    take_a_clip_away(bench.data)
    assert arena(corpus(bench.data), "emotion", LOSO, progress).partial


@dataclass(frozen=True)
class Part:
    depth: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in 0..1, but is {self.share}")


@dataclass(frozen=True)
class Whole:
    part: Part = field(default_factory=Part)
    sizes: tuple[int, ...] = (1, 2)
    mode: Literal["soft", "hard"] = "soft"
    flag: bool = False
    name: str = "a"
    maybe: int | None = None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, Whole()),
        ({"part.depth": 5}, Whole(part=Part(5))),
        ({"part.depth": 5, "part.share": 1}, Whole(part=Part(5, 1.0))),
        ({"sizes": [3]}, Whole(sizes=(3,))),
        ({"sizes": ()}, Whole(sizes=())),
        ({"mode": "hard", "flag": True, "name": "1"}, Whole(mode="hard", flag=True, name="1")),
        ({"maybe": 7}, Whole(maybe=7)),
    ],
)
def test_settings_change_single_values(settings: dict[str, Any], told: Whole) -> None:
    original = Whole()
    changed = assigned("it", original, settings)
    assert changed == told and original == Whole()
    assert type(changed.part.share) is float and type(changed.sizes) is tuple


@pytest.mark.parametrize(
    ("dotted", "value", "told"),
    [
        ("deep", 1, "it has no setting 'deep'; choose from part, sizes, mode, flag, name, maybe"),
        ("", 1, "choose from part"),
        ("part.width", 1, "it's part has no setting 'width'; choose from depth, share"),
        ("part", 1, r"part has parts; set part\.depth, part\.share"),
        ("name.first", 1, "it's name has no parts"),
        ("part.depth", 2.5, "depth is int, like 2, but got 2.5"),
        ("part.depth", True, "depth is int, like 2, but got True"),
        ("part.depth", "two", "but got 'two'"),
        ("part.share", "much", "share is float, like 0.5, but got 'much'"),
        ("part.share", True, "but got True"),
        ("part.share", 2.0, "share must lie in 0..1, but is 2.0"),
        ("flag", 1, "flag is bool"),
        ("name", 1, "name is str"),
        ("sizes", 3, "sizes is tuple"),
        ("mode", "loud", "mode 'loud'; choose from soft, hard"),
    ],
)
def test_settings_that_cannot_be_say_what_can(dotted: str, value: object, told: str) -> None:
    with pytest.raises(PluginError, match=told) as raised:
        assigned("it", Whole(), {dotted: value})
    assert len(str(raised.value).splitlines()) == 1


def test_variant_preset_and_settings_come_in_this_order(bench: Bench) -> None:
    kind = load("methods", "toy")

    def got(*wish: Any) -> tuple[int, float]:
        config, modality = configured("toy", kind, Wish(*wish))
        assert modality == "audio"
        return config.inner.depth, config.scale

    assert got("paper") == (2, 1.0)
    assert got("quick") == (2, 2.0)
    assert got("paper", "", "deep") == (9, 1.0)
    assert got("quick", "audio", "deep") == (9, 2.0)
    assert got("quick", "", "deep", {"inner.depth": 4, "scale": 5}) == (4, 5.0)


def test_wishes_that_contradict_each_other_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = load("methods", "toy")
    monkeypatch.setattr(kind, "modalities", frozenset({"audio", "video", "av"}))
    assert configured("toy", kind, QUICK)[1] == "av"  # the richest
    assert configured("toy", kind, Wish("quick", variant="deep"))[1] == "audio"
    for wish, told in (
        (Wish("quick", "video", "deep"), "deep is a row for audio; leave --modality video out"),
        (Wish("quick", variant="wide"), "no variant 'wide'; choose from deep"),
        (Wish("quick", "smell"), "no modality 'smell'; choose from audio, av, video"),
        (Wish("quick", settings={"inner.width": 1}), "no setting 'width'"),
    ):
        with pytest.raises(PluginError, match=told):
            configured("toy", kind, wish)
    monkeypatch.setattr(kind, "variants", {})
    with pytest.raises(PluginError, match="it has no variants"):
        configured("toy", kind, Wish("quick", variant="deep"))
    monkeypatch.setattr(kind, "variants", {"seen": Variant(kind.Config(), "video", "Table 2")})
    monkeypatch.setattr(kind, "modalities", frozenset({"audio"}))
    with pytest.raises(PluginError, match="no modality 'video'"):
        configured("toy", kind, Wish("quick", variant="seen"))
