"""What every method must do, on each modality that it declares, at the quick preset: one suite over every file in
methods/, and over the file that `benchmarks new method` writes.

A method that trains by epochs is known by a setting of that name anywhere in its Config, and likewise `batch` and
`learning_rate`; it then must survive a last batch of one and stop at a loss that is no number.
"""

import dataclasses
import json
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
import optuna
import pytest
import torch

from benchmarks import plugins
from benchmarks.settings import PRESETS, Wish, assigned, configured, flat, space
from datasets.clips import Media, UserError
from methods.base import Examples, Method, MethodError, Modality, Prepared, RunContext
from methods.parts.weights import WeightStore
from tests.bombs import bombs
from tests.toys import CLASSES, STARTED, Bench, Toy, ToySet, cases, digest, one_thread, stored, toy_set

ROOT = Path(__file__).parents[1]
CASES = [pytest.param(case, id="-".join(case), marks=pytest.mark.xdist_group("-".join(case))) for case in cases()]
ODD = ("shorter than a segment", "one picture long", "without voice", "without face", "without anything")
FEW = 2  # epochs, where nothing has to be learned


def with_setting(leaf: str) -> list[Any]:
    """The cases whose Config has a field of that name."""
    found = []
    for param in CASES:
        name, modality = cast(tuple[str, str], param.values[0])
        if name == STARTED:
            continue
        config, _ = configured(name, plugins.load("methods", name), Wish("quick", modality))
        if any(dotted.rpartition(".")[2] == leaf for dotted in flat(config)):
            found.append(param)
    return found


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    return toy_set(tmp_path_factory)


@pytest.fixture(scope="session")
def started_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("started")


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session", params=CASES)
def bench(request: pytest.FixtureRequest, toys: ToySet, started_folder: Path) -> Bench:
    name, modality = request.param
    return Bench(name, modality, toys, started_folder)


def asked(method: Method, examples: Examples) -> npt.NDArray[np.float64]:
    """Its probabilities, which they must be."""
    answers = method.predict_proba(examples)
    assert answers.shape == (len(examples), len(CLASSES))
    assert answers.dtype == np.float64
    assert np.isfinite(answers).all()
    assert answers.min() >= 0
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-6)
    return answers


def share_right(method: Method, bench: Bench, toys: tuple[Toy, ...]) -> float:
    answers = asked(method, bench.examples(toys)).argmax(axis=1)
    return float(np.mean([CLASSES[column] == toy.label for column, toy in zip(answers, toys, strict=True)]))


def test_answers_are_in_full_precision(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a fit in mixed precision too, and what its later stages learn from; the host's stands for a GPU's.

    Without oneDNN: on hosts that lack bf16 its gradients of convolutions over time are no numbers.
    """
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    own, method = bench.examples(bench.toys.clips[:6], labelled=True), bench.method(epochs=FEW)
    before = bench.fitted.predict_proba(own)
    with monkeypatch.context() as mixed:
        for module in [module for name, module in sys.modules.items() if name.startswith("methods.")]:
            if hasattr(module, "mixed_precision"):
                mixed.setattr(module, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
        assert np.array_equal(bench.fitted.predict_proba(own), before)
        method.fit(own, own if method.validates else None, RunContext())
        halved = asked(method, own)
    assert np.array_equal(asked(method, own), halved)


def test_facts(bench: Bench) -> None:
    kind, paper = bench.kind, bench.kind.paper
    assert paper.title and paper.authors
    assert 1900 < paper.year < 2100
    assert not paper.doi or re.fullmatch(r"10\.\d{4,}/\S+", paper.doi)  # a method may be unpublished: then it is empty
    assert all(text and answer for text, answer in {**paper.left_unsaid, **paper.departures}.items())
    assert kind.version >= 1
    assert kind.modalities and kind.modalities <= set(get_args(Modality))
    assert dataclasses.is_dataclass(kind.Config) and kind.Config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hash(kind.Config()) == hash(kind.Config())
    assert kind().modality in kind.modalities
    for preset in PRESETS:
        config, modality = configured(bench.name, kind, Wish(preset, bench.modality))
        method = kind(config, modality)
        assert (method.config, method.modality) == (config, bench.modality)


def test_every_variant_can_be_built(bench: Bench) -> None:
    for name, variant in bench.kind.variants.items():
        assert isinstance(variant.config, bench.kind.Config)
        assert variant.modality in bench.kind.modalities
        assert variant.row
        for preset in PRESETS:
            config, modality = configured(bench.name, bench.kind, Wish(preset, variant=name))
            assert modality == variant.modality
            hash(bench.kind(config, modality).preparation())


def test_tuned_settings_hold_their_defaults(bench: Bench) -> None:
    """At both presets and in every variant; the beginner's method shows how it is done."""
    found = set()
    for preset in PRESETS:
        for variant in ("", *bench.kind.variants):
            config, modality = configured(
                bench.name, bench.kind, Wish(preset, "" if variant else bench.modality, variant)
            )
            values = flat(config)
            for name, where in space(bench.kind(config, modality)).items():
                found.add(name)
                assert where._contains(where.to_internal_repr(values[name])), (preset, variant, name, values[name])
    assert len(found) >= 2


def samples(bench: Bench, count: int) -> list[Any]:
    """Configs as tuning may choose them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [study.ask(space(bench.method())).params for _ in range(count)]  # type: ignore[arg-type]
    return [assigned(bench.name, bench.config, params) for params in drawn]


def test_tuning_changes_nothing_that_is_prepared(bench: Bench) -> None:
    """For trials share what was prepared once."""
    weights, asked_for = WeightStore(bench.folder, none=True), bench.method()
    for config in samples(bench, 5):
        method = bench.kind(config, bench.modality)
        frozen, known = method.frozen(weights), asked_for.frozen(weights)
        assert repr(method.preparation()) == repr(asked_for.preparation())
        assert (frozen and frozen.key) == (known and known.key)
        assert method.pretrained(weights) == asked_for.pretrained(weights)
        assert set(method.sources()) == set(asked_for.sources())


def test_whatever_tuning_draws_can_be_fitted(bench: Bench) -> None:
    for config in samples(bench, 2):
        short = {name: 1 for name in flat(config) if name.rpartition(".")[2] == "epochs"}
        method = bench.kind(assigned(bench.name, config, short), bench.modality)
        asked(bench.fit(method, bench.train[:6]), bench.examples(bench.test[:2]))


def test_watching_changes_nothing_and_tells_of_each_epoch(bench: Bench) -> None:
    """What is watched in a trial is not learnt from, and no epoch is chosen by it."""
    if bench.kind.validates:
        pytest.skip("it chooses an epoch")
    seen: list[tuple[str, float, int]] = []
    run = RunContext(prune=lambda name, value, epoch: seen.append((name, value, epoch)))
    alone, watching = bench.method(epochs=FEW), bench.method(epochs=FEW)
    train, apart = bench.examples(bench.train[:8], labelled=True), bench.examples(bench.test[:4], labelled=True)
    alone.fit(train, None, run)
    assert not seen
    watching.fit(train, apart, run)
    assert np.array_equal(asked(alone, apart), asked(watching, apart))
    if bench.settings(epochs=FEW):
        assert {epoch for _, _, epoch in seen} == set(range(1, FEW + 1))
        assert all(0 <= value <= 1 for _, value, _ in seen)
        assert len(seen) == len({(name, epoch) for name, _, epoch in seen})


@pytest.mark.parametrize("bench", with_setting("epochs"), indirect=True)
def test_a_pruned_trial_ends_at_once(bench: Bench) -> None:
    class PrunedError(Exception):
        pass

    def prune(name: str, value: float, epoch: int) -> None:
        raise PrunedError(f"{name} {epoch}")

    train, apart = bench.examples(bench.train[:8], labelled=True), bench.examples(bench.test[:4], labelled=True)
    with pytest.raises(PrunedError, match=r"validation_score 1$"):
        bench.method(epochs=FEW).fit(train, apart, RunContext(prune=prune))


def test_learns_what_can_be_told_apart(bench: Bench) -> None:
    """By two of three seeds: with so few clips one may be out of luck, and rounding decides which."""

    def learns(method: Method) -> bool:
        return share_right(method, bench, bench.train) >= 0.9 and share_right(method, bench, bench.test) >= 0.8

    assert learns(bench.fitted) or all(learns(bench.fit(bench.method(), bench.train, seed)) for seed in (1, 2))


def test_seed_alone_decides(bench: Bench) -> None:
    """Whatever was drawn before from generators that all share."""
    examples, answers = bench.examples(bench.test), []
    for number in range(2):
        for draw in (torch.manual_seed, np.random.seed, random.seed):
            draw(number)
        answers.append(asked(bench.fit(bench.method(epochs=FEW), bench.train, seed=7), examples))
    assert np.array_equal(answers[0], answers[1])


def test_save_and_load_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    examples = bench.examples((*bench.test, *bench.toys.odd.values()))
    answers = asked(bench.fitted, examples)
    bench.fitted.save(tmp_path)
    torch.manual_seed(99)
    again = bench.method()
    again.load(tmp_path)
    assert np.array_equal(asked(again, examples), answers)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for file in files:
        _no_pickle(file)


def test_a_saved_model_that_is_a_pickle_is_not_opened(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    bench.fitted.save(tmp_path / "saved")
    for file in [file for file in (tmp_path / "saved").rglob("*") if file.suffix != ".json"]:
        content = file.read_bytes()
        for bomb in bombs(tmp_path / "exploded"):
            file.write_bytes(bomb)
            with pytest.raises(Exception, match=r"\S"):
                bench.method().load(tmp_path / "saved")
        file.write_bytes(content)
    assert not (tmp_path / "exploded").exists()


def _no_pickle(file: Path) -> None:
    assert file.suffix in {".safetensors", ".json", ".skops", ".npz"}, file
    if file.suffix == ".json":
        json.loads(file.read_text())
    elif file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays)
    elif file.suffix == ".skops":
        from skops.io import get_untrusted_types

        assert get_untrusted_types(file=file) == []


def test_a_clip_gets_the_same_answer_in_any_company(bench: Bench) -> None:
    """But for rounding, which depends on how many are computed at once."""
    company = (*bench.test, *bench.toys.odd.values())
    answers = asked(bench.fitted, bench.examples(company))
    alone = [asked(bench.fitted, bench.examples((toy,)))[0] for toy in company]
    assert answers == pytest.approx(np.array(alone), abs=1e-5)
    order = np.random.default_rng(0).permutation(len(company))
    shuffled = asked(bench.fitted, bench.examples(tuple(company[number] for number in order)))
    assert answers[order] == pytest.approx(shuffled, abs=1e-5)
    beside = asked(bench.fitted, bench.examples(bench.test))
    assert answers[: len(bench.test)] == pytest.approx(beside, abs=1e-5)


class Blind(Examples):
    """Fails whoever looks at labels."""

    def __getattribute__(self, name: str) -> Any:
        assert name not in {"labels", "targets"}, "predict_proba looked at the labels of the test"
        return super().__getattribute__(name)


def test_never_asks_for_test_labels(bench: Bench) -> None:
    plain = bench.examples(bench.test)
    blind = Blind(plain.inputs, CLASSES)
    assert np.array_equal(bench.fitted.predict_proba(blind), bench.fitted.predict_proba(plain))


def test_preparation_knows_nothing_but_sound_and_picture(bench: Bench) -> None:
    """Neither the file, whose name tells person and emotion, nor the id."""
    media = bench.toys.clips[-1].media(bench.modality)
    seen = {name: getattr(media, name) for name in ("has", "framed", "audio", "frames", "seen", "mocap")}
    sealed = SimpleNamespace(clip_id="0" * 16, **seen)
    method = bench.method()
    assert digest(method.preparation()(cast(Media, sealed))) == digest(method.preparation()(media))


def test_preparation_is_the_same_whatever_came_before(bench: Bench) -> None:
    preparation = bench.method().preparation()
    first, *others = (toy.media(bench.modality) for toy in (bench.toys.clips[-1], *bench.toys.odd.values()))
    alone = digest(preparation(first))
    for other in others:
        preparation(other)
    assert digest(preparation(first)) == alone


def test_preparation_can_be_sent_and_compared(bench: Bench) -> None:
    preparation = bench.method().preparation()
    again = pickle.loads(pickle.dumps(preparation))
    assert again == preparation == bench.method().preparation()
    assert hash(again) == hash(preparation)
    assert repr(again) == repr(preparation)


def test_an_input_has_rows(bench: Bench) -> None:
    """That nothing was found is told by having none."""
    for toy in (bench.toys.clips[0], *bench.toys.odd.values()):
        assert bench.prepared(toy)
        assert all(array.ndim >= 1 for array in bench.prepared(toy).values())


def variations(config: Any) -> Iterator[tuple[str, Any]]:
    """Copies of a Config with one setting changed each; where no other value can be guessed, none."""
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inner = [(f"{field.name}.{name}", part) for name, part in variations(value)]
        else:
            inner = [(field.name, other) for other in _others(value, hints[field.name])]
        for name, other in inner:
            try:
                yield name, dataclasses.replace(config, **{field.name: other})
            except (ValueError, UserError):
                continue


def _others(value: Any, hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return [other for other in get_args(hint) if other != value]
    match value:
        case bool():
            return [not value]
        case int():
            return [value * 2, value + 1]
        case float():
            return [value * 1.25 + 0.1, value * 0.75]
        case tuple():
            return [value[:-1]] if len(value) > 1 else []
    return []


def test_whatever_changes_the_inputs_is_in_the_key_of_the_cache(bench: Bench) -> None:
    """That key is the preparation's repr, and a frozen network's key."""
    toy = bench.toys.clips[-1]
    key, content = _told(bench, bench.config, bench.modality)
    unkeyed = []
    others = [(name, config, bench.modality) for name, config in variations(bench.config)]
    others += [("modality", bench.config, other) for other in bench.kind.modalities - {bench.modality}]
    assert others
    for name, config, modality in others:
        other_key, other_content = _told(bench, config, modality)
        if other_key == key and other_content != content:  # the same state prepares the same
            preparation = bench.kind(config, modality).preparation()
            if digest(stored(preparation(toy.media(modality)))) != digest(bench.prepared(toy)):
                unkeyed.append(name)
    assert not unkeyed


def _told(bench: Bench, config: Any, modality: str) -> tuple[str, bytes]:
    method = bench.kind(config, modality)
    frozen, preparation = method.frozen(WeightStore(bench.folder, none=True)), method.preparation()
    return f"{preparation!r} {frozen.key if frozen else ''}", pickle.dumps(preparation)


@pytest.mark.parametrize("odd", ODD)
def test_a_clip_in_which_something_is_missing(bench: Bench, odd: str) -> None:
    asked(bench.fitted, bench.examples((bench.toys.odd[odd],)))


def test_training_on_clips_in_which_something_is_missing(bench: Bench) -> None:
    train = (*bench.toys.odd.values(), *bench.train)
    asked(bench.fit(bench.method(epochs=FEW), train), bench.examples(bench.test))


def test_a_class_that_was_never_trained(bench: Bench) -> None:
    """The columns of the others stay theirs; by two of three seeds, as above."""
    train, test = (tuple(toy for toy in toys if toy.label != CLASSES[1]) for toys in (bench.train, bench.test))

    def learns(seed: int) -> bool:
        return share_right(bench.fit(bench.method(), train, seed), bench, test) >= 0.7

    assert learns(0) or all(map(learns, (1, 2)))


@pytest.mark.parametrize("bench", with_setting("batch"), indirect=True)
@pytest.mark.parametrize("batch", [2, 3, 4])
def test_a_last_batch_of_one(bench: Bench, batch: int) -> None:
    """Of clips, or of what they are cut into: of some number of clips, one is left over."""
    for clips in (5, 6, 7):
        method, train = bench.method(epochs=1, batch=batch), bench.examples(bench.train[:clips], labelled=True)
        method.fit(train, train if bench.kind.validates else None, RunContext())
        asked(method, bench.examples(bench.test[:1]))


@pytest.mark.parametrize("bench", with_setting("learning_rate"), indirect=True)
def test_an_exploding_loss_stops_with_a_clear_error(bench: Bench) -> None:
    with pytest.raises(MethodError, match=r"epoch \d+, batch \d+"):
        bench.fit(bench.method(learning_rate=1e30), bench.train)


@pytest.mark.parametrize("bench", with_setting("epochs"), indirect=True)
def test_inputs_that_are_no_numbers_stop_with_a_clear_error(bench: Bench) -> None:
    clips = [dict(bench.prepared(toy)) for toy in bench.train]
    if not any(array.dtype.kind == "f" for array in clips[0].values()):
        pytest.skip("its inputs are whole numbers, and always numbers")
    clips[3] = {name: _spoiled(array) for name, array in clips[3].items()}
    train = Examples(clips, CLASSES, tuple(toy.label for toy in bench.train))
    with pytest.raises(MethodError, match=r"epoch \d+, batch \d+"):
        bench.method().fit(train, train if bench.kind.validates else None, RunContext())


def _spoiled(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.full_like(array, np.nan) if array.dtype.kind == "f" else array


@pytest.fixture(scope="session")
def elsewhere(toys: ToySet, started_folder: Path) -> dict[str, list[str]]:
    """All cases in one other process: its strings hash otherwise, and it has prepared nothing before."""
    lines = []
    for name, modality in cases():
        preparation = Bench(name, modality, toys, started_folder).method().preparation()
        lines.append(json.dumps([name, modality, pickle.dumps(preparation).hex()]))
    done = subprocess.run(
        [sys.executable, "-c", "from tests.toys import answer; answer()", started_folder, toys.folder],
        cwd=ROOT,
        input="\n".join(lines),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("case", cases(), ids="-".join)
@pytest.mark.xdist_group("elsewhere")
def test_preparation_is_the_same_in_another_process(
    case: tuple[str, str], toys: ToySet, started_folder: Path, elsewhere: dict[str, list[str]]
) -> None:
    name, modality = case
    preparation = Bench(name, modality, toys, started_folder).method().preparation()
    own: Prepared = preparation(toys.clips[-1].media(modality))
    assert elsewhere[f"{name} {modality}"] == [repr(preparation), repr(preparation), digest(own)]
