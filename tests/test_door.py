"""Folds, rows and models that went round the guard: the door of the engine refuses them before anything is trained.

The forgeries take what Python lets anybody take: attributes set behind a frozen class, subclasses, altered pickles.
"""

import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import protocols
from benchmarks import transfer
from benchmarks.arenas import Arena, arena
from benchmarks.console import progress
from benchmarks.content import Content, Contents
from benchmarks.door import Door, LeakError
from benchmarks.engine import Engine
from benchmarks.handed import handed
from benchmarks.outcome import Outcome
from benchmarks.plan import row
from benchmarks.prepare import Store
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from benchmarks.training import training
from datasets.clips import Clip
from datasets.roll import Clips
from methods.base import Examples
from methods.parts.weights import WeightStore
from protocols.base import Fold, Judged, Protocol
from protocols.leave_one_subject_out import LeaveOneSubjectOut
from protocols.scores import Scores
from tests.test_transfer import SOURCES, crema_d
from tests.tinybench import HALVES, Bench, corpus, diary, make_bench, noise, ravdess, spoken, toy, wav  # noqa: F401

Forger = Callable[[Fold], Judged]


def of_test(fold: Judged, name: str = "") -> Clip:
    return next(clip for clip in fold._test if not name or name in clip.name)


def with_test_clip(fold: Fold) -> Judged:
    object.__setattr__(fold, "train", (*fold.train, of_test(fold)))
    return fold


def with_test_person(fold: Fold) -> Judged:
    """One clip of a tested person stands in training instead of in test."""
    moved = of_test(fold)
    vars(fold).update(
        train=(*fold.train, moved),
        test_media=tuple(media for media in fold.test_media if media != moved.media),
        _test=tuple(clip for clip in fold._test if clip is not moved),
    )
    return fold


def altered_pickle(fold: Fold) -> Judged:
    state = pickle.dumps({**vars(fold), "train": (*fold.train, *fold._test)})
    forged = object.__new__(Fold)
    vars(forged).update(pickle.loads(state))
    return forged


def descendant(fold: Fold) -> Judged:
    """A subclass whose training is everybody."""
    everybody = (*fold.train, *fold._test)
    kind = type("Descendant", (Fold,), {"train": property(lambda self: everybody)})
    forged: Judged = object.__new__(kind)
    vars(forged).update({name: value for name, value in vars(fold).items() if name != "train"})
    return forged


def renamed(fold: Fold) -> Judged:
    """The tested people under other names: the corpus knows who they are."""
    vars(fold).update(train=(*fold.train, *(replace(clip, subject="a stranger") for clip in fold._test[:1])))
    return fold


def run(bench: Bench, forge: Forger) -> Outcome:
    here = arena(corpus(bench.data), "emotion", HALVES, progress)
    first, *rest = here.folds
    assert isinstance(first, Fold)
    forged = replace(here, folds=(forge(first), *rest))
    planned = row("toy", Wish("quick"), forged, 1, WeightStore(Path("nowhere"), none=True))
    return Engine(Tracker(bench.uri), "cpu", progress).run(planned, forged)


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (with_test_clip, "clip .* of its test stands in training"),
        (with_test_person, "person .* of its test stands in training"),
        (altered_pickle, "clip .* of its test stands in training"),
        (descendant, "clip .* of its test stands in training"),
        (renamed, "clip .* of its test stands in training"),
    ],
)
def test_a_forged_fold_fails_before_anything_is_trained(bench: Bench, forge: Forger, message: str) -> None:
    outcome = run(bench, forge)
    ((cell, why),) = outcome.failures.items()
    assert cell.startswith("group 1")
    with pytest.raises(LeakError, match=message):
        raise LeakError(why)
    assert "\n" not in why
    assert len(diary("fit")) == 1  # the honest fold's
    assert not outcome.complete and sorted(bench.statuses()) == ["FAILED", "FINISHED"]


EVIL = '''"""Makes its own folds, which the guard forbids: by a second ancestor."""

from dataclasses import dataclass

from protocols.base import Fold, Protocol


class Maker:
    def folds(self, clips):
        for name, held_out in self.held_out(clips):
            fold = Fold(clips, held_out, name)
            object.__setattr__(fold, "train", tuple(clips))
            yield fold


@dataclass(frozen=True)
class Evil(Maker, Protocol):
    def held_out(self, clips):
        yield "all", {"subject": [clips[0].subject]}
'''


def test_a_protocol_that_goes_round_the_guard_ends_with_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.plugins / "evil.py").write_text(EVIL)
    monkeypatch.setattr(protocols, "__path__", [str(bench.plugins), *protocols.__path__])
    try:
        code, _, err = bench.run(protocol="evil")
    finally:
        sys.modules.pop("protocols.evil", None)
    assert code == 1
    assert re.search(r"failed: all leaks: clip 01-0\d-01-01-01-0\d of its test stands in training", err)
    assert not diary("fit")


@pytest.fixture(name="here")
def make_here(bench: Bench) -> Arena:
    ravdess(bench.data, people=6)
    return arena(corpus(bench.data), "emotion", HALVES, progress)


def admitted(here: Arena, fold: Judged, learnt: Sequence[Clip]) -> None:
    store = Store(Path(), here.contents)
    inputs = handed(store, [clip.media for clip in learnt])
    Door(here).check(fold, [Examples(inputs, fold.labels), None], handed(store, fold.test_media))


def test_a_person_may_stand_on_both_sides_only_of_a_fold_that_says_so(here: Arena) -> None:
    random = arena(here.dataset, "emotion", "random-k-fold:k=3", progress)
    for fold in random.folds:
        admitted(random, fold, fold.train)
        for claim in ("verified", "unknown"):
            vars(fold)["independence"] = claim
            with pytest.raises(LeakError, match=r"person .* of its test stands in training"):
                admitted(random, fold, fold.train)


def test_a_recording_never_stands_on_both_sides_whatever_is_said(bench: Bench, here: Arena) -> None:
    """One sound in two files, under two names."""
    twin = spoken(bench.data, 1, "03", 2)
    wav(twin, noise(103, "03"))
    twin.write_bytes(twin.read_bytes() + b"LIST\x04\x00\x00\x00told")
    both = arena(here.dataset.__class__(here.dataset.root), "emotion", HALVES, progress)
    pair = [clip for clip in both.clips if clip.subject == pair_person(both)]
    one, other = (next(clip for clip in pair if clip.name.endswith(end)) for end in ("01-01-01", "02-01-01"))
    assert both.contents[one.media.clip_id].media != both.contents[other.media.clip_id].media
    fold = Fold(both.clips, {"clip": [one.name]}, "one clip")
    assert fold.independence == "violated"
    admitted(both, fold, fold.train)
    with pytest.raises(LeakError, match=f"clip {one.name} of its test stands in training, as {other.name}"):
        admitted(both, fold, (*fold.train, other))


def pair_person(here: Arena) -> str | None:
    return next(clip.subject for clip in here.clips if clip.name.endswith("-01-01"))


def test_nobody_verifies_whom_nobody_knows(here: Arena) -> None:
    nameless = replace(here, clips=Clips.of(replace(clip, subject=None) for clip in here.clips))
    with pytest.raises(LeakError, match="calls its subjects verified, but who is in clip"):
        admitted(nameless, here.folds[0], here.folds[0].train)


def test_what_is_no_clip_of_the_corpus_is_not_let_in(here: Arena) -> None:
    fold = here.folds[0]
    elsewhere = Store(Path(), Contents.of({"x": Content("f" * 64, "")}))
    stranger = handed(elsewhere, [replace(fold.test_media[0], clip_id="x")])
    with pytest.raises(LeakError, match="content ffffffffffff is of no clip of ravdess"):
        Door(here).check(fold, [Examples(stranger, fold.labels)], handed(Store(Path(), here.contents), fold.test_media))


class Bribed(Fold):  # type: ignore[misc]
    """Scores what it likes."""

    def score(self, probabilities: Any) -> Scores:
        real = super().score(probabilities)
        right = np.array([[label == true for label in real.labels] for true in real.truth], dtype=float)
        return replace(real, probabilities=right) if self.name == "answers" else replace(real, truth=real.predicted)


@pytest.mark.parametrize("name", ["answers", "truth"])
def test_scores_are_of_the_answers_and_the_corpus_own_labels(bench: Bench, name: str) -> None:
    def forge(fold: Fold) -> Judged:
        forged = object.__new__(Bribed)
        vars(forged).update({**vars(fold), "name": name})
        return forged

    toy(bench.plugins, "toy", ("near / near.sum(axis=1, keepdims=True)", "near * 0 + 1 / 3"))  # it knows nothing
    (why,) = run(bench, forge).failures.values()
    assert why == f"{name} scores other answers or labels than its test has; use the guard's Fold"


class Peeping(Fold):  # type: ignore[misc]
    """Its inner folds hold out the test of the outer one."""

    def inner(self, protocol: Protocol) -> Iterator[Fold]:
        yield from protocol.folds((*self.train, *self._test))


def test_tuning_is_refused_inner_folds_that_hold_the_outer_test(here: Arena) -> None:
    method = row("toy", Wish("quick"), here, 1, WeightStore(Path("nowhere"), none=True)).method()
    store, fold = Store(Path(), here.contents), here.folds[0]
    door, inner = Door(here), LeaveOneSubjectOut()
    door.tuned(fold, list(fold.inner(inner)), method, store, 0)
    peeping = object.__new__(Peeping)
    vars(peeping).update(vars(fold))
    with pytest.raises(LeakError, match=r"group 1 leaks: clip .* of its test stands in training"):
        door.tuned(fold, list(peeping.inner(inner)), method, store, 0)
    assert training(method, fold, store, 0)[0].labels  # the honest one learns


def test_a_model_that_was_taught_by_what_is_tested_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recording in another corpus and another file, with the check of plans put away."""
    toy(bench.plugins, "toy", *SOURCES)
    crema_d(bench.data)
    name = bench.data / "crema-d/AudioWAV/1002_IEO_SAD_HI.wav"
    wav(name, noise(304, "04"))
    name.write_bytes(name.read_bytes() + b"LIST\x04\x00\x00\x00told")
    monkeypatch.setattr(transfer, "_apart", lambda source, target: None)
    code, told = bench.json("--pretrain-on", "crema-d")
    assert code == 1
    ((_, why),) = told[0]["failures"].items()
    assert "clip 01-04-01-01-01-03 of its test stands in the model of crema-d it begins with" in why
    assert len(diary("fit")) == 2  # the model's, and the fold's that does not test this recording


@pytest.mark.parametrize(("tied", "same"), [(True, False), (False, True), (False, False)])
def test_people_of_a_corpus_in_disguise_are_known_by_their_ids(here: Arena, tied: bool, same: bool) -> None:
    """Ids are one person's only where two corpora share a recording, or the name: S01 may be anybody elsewhere."""
    fold = here.folds[0]
    test = handed(Store(Path(), here.contents), fold.test_media)
    trained = here.contents[fold.train[0].media.clip_id]
    source = {
        "name": "ravdess" if same else "other",
        "media": [trained.media] if tied else [],
        "sounds": [],
        "subjects": [f" {of_test(fold).subject} "],
    }
    model = json.loads(json.dumps({"corpora": [source]}))
    if tied or same:
        with pytest.raises(LeakError, match=f"person {of_test(fold).subject} of its test stands in the model of"):
            Door(here).begun(fold, model, test)
    else:
        Door(here).begun(fold, model, test)
