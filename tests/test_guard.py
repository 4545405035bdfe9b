"""Attempts to get a test label, a test clip or a test person into training, through every public door."""

import dataclasses
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datasets.clips import Clip, Media
from protocols.base import Fold, HeldOut, Protocol, ProtocolError, Unit
from protocols.leave_one_subject_out import LeaveOneSubjectOut
from protocols.sentence_disjoint import SentenceDisjoint
from protocols.subject_holdout import SubjectHoldout
from protocols.subject_k_fold import SubjectKFold

# Requests that leave a side empty are refused, and drawn anew: that many are is no fault.
thorough = settings(max_examples=150, suppress_health_check=list(HealthCheck))
SUBJECTS = ("A", "a ", "B", "C", " c", "D")


def clip(number: int, subject: str | None, recording: str | None = None, media: int = -1, **facts: Any) -> Clip:
    digest = f"{0xBEEF ^ (number if media < 0 else media) * 7919:08x}"
    label = facts.pop("label", "joy")
    return Clip(Media(digest, frozenset({"audio"}), {}), f"clip{number}", subject, label, recording=recording, **facts)


@st.composite
def corpora(draw: st.DrawFn, subjects: Sequence[str | None] = SUBJECTS) -> list[Clip]:
    """A few clips of a few people, some under two ids, some with one sound under two names."""
    few = st.sampled_from
    return [
        clip(
            number, draw(few(subjects)), recording=draw(few((None, None, None, None, "r", "q"))),
            media=draw(few((-1,) * 6 + (100,))), label=draw(few(("anger", "joy"))), session=draw(few("123")),
            sentence=draw(few("xyz")), split=draw(few(("train", "val", "Val "))),
        )
        for number in range(draw(st.integers(3, 14)))
    ]  # fmt: skip


def plain(one: Clip, unit: Unit) -> str | None:
    told: str | None = one.name if unit == "clip" else getattr(one, unit)
    return told if told is None or unit == "clip" else told.strip().lower() or None


def same_sound(one: Clip, two: Clip) -> bool:
    return (one.recording or one.name) == (two.recording or two.name) or one.media.clip_id == two.media.clip_id


def spread(seeds: Iterable[Clip], clips: Sequence[Clip], unit: Unit | None) -> set[str]:
    """The oracle: names of all clips that a chain of shared sounds, or of shared values of the unit, leads to."""
    found = {one.name: one for one in seeds}
    while True:
        near = [
            two for two in clips if two.name not in found and any(
                same_sound(one, two) or (unit and plain(one, unit) and plain(one, unit) == plain(two, unit))
                for one in found.values()
            )
        ]  # fmt: skip
        if not near:
            return set(found)
        found |= {one.name: one for one in near}


UNITS: tuple[Unit, ...] = ("subject", "session", "sentence", "split", "clip")


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[Clip], dict[Unit, list[str]]]:
    """Clips, and some of their values of one or two units to hold out."""
    clips, held_out = draw(corpora()), dict[Unit, list[str]]()
    for unit in draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=2, unique=True)):
        there = sorted({str(one.name if unit == "clip" else getattr(one, unit)) for one in clips})
        held_out[unit] = draw(st.lists(st.sampled_from(there), min_size=1, unique=True))
    return clips, held_out


def made(clips: Sequence[Clip], held_out: HeldOut) -> Fold:
    try:
        return Fold(clips, held_out, "fold")
    except ProtocolError as error:
        assert "leaves no clip for" in str(error)
        assume(False)
        raise


@thorough
@given(requests())
def test_sides_are_what_brute_force_says(request: tuple[list[Clip], dict[Unit, list[str]]]) -> None:
    clips, held_out = request
    fold = made(clips, held_out)
    held = {unit: {text if unit == "clip" else text.strip().lower() for text in held_out[unit]} for unit in held_out}
    test = {one.name for one in clips if all(plain(one, unit) in held[unit] for unit in held)}
    out: set[str] = set()
    for unit, values in held.items():
        chained = None if unit in ("split", "clip") else unit
        out |= spread([one for one in clips if plain(one, unit) in values], clips, chained)
    assert {one.name for one in fold._test} == test
    assert {one.name for one in fold.train} == {one.name for one in clips} - out
    assert set(fold.dropped) == out - test


def test_a_recording_may_be_named_as_the_sound_of_another_clip() -> None:
    """Then it is that sound, and whose it is, is one person."""
    clips = [clip(1, "A"), clip(2, "B"), clip(3, "C")]
    clips[1] = dataclasses.replace(clips[1], recording=clips[0].media.clip_id)
    fold = Fold(clips, {"subject": ["A"]}, "fold")
    assert fold.dropped == ("clip2",) and [one.name for one in fold.train] == ["clip3"]


def measured(fold: Fold, clips: Sequence[Clip]) -> str:
    """The oracle of independence."""
    test, train = fold._test, fold.train
    people = {one.name: spread([one], clips, "subject") for one in test}
    named = [one for one in test if plain(one, "subject")]
    if any(plain(two, "subject") and two.name in people[one.name] for one in named for two in train):
        return "violated"
    if len(named) < len(test) or not all(plain(two, "subject") for two in train):
        return "unknown"
    heard = {one.session for one in test} & {one.session for one in train} - {None}
    return "unknown" if heard else "verified"


@thorough
@given(corpora((*SUBJECTS, None, " ")), st.data())
def test_independence_is_what_brute_force_says(clips: list[Clip], data: st.DataObject) -> None:
    quiet = data.draw(st.booleans())
    clips = [dataclasses.replace(one, session=None) for one in clips] if quiet else clips
    fold = made(clips, {"clip": data.draw(st.lists(st.sampled_from([one.name for one in clips]), min_size=1))})
    assert fold.independence == measured(fold, clips)


@thorough
@given(corpora(), st.data())
def test_no_person_and_no_sound_of_test_reaches_an_inner_fold(clips: list[Clip], data: st.DataObject) -> None:
    protocols = st.sampled_from([LeaveOneSubjectOut(), SubjectHoldout(0.4), SubjectKFold(2), SentenceDisjoint(2, 2)])
    fold = next(folds(data.draw(protocols).folds(clips)), None)
    outer = list[Fold]()
    while fold:
        outer.append(fold)
        fold = next(folds(fold.inner(data.draw(protocols))), None)
    assume(outer)
    for depth, fold in enumerate(outer):
        assert fold.independence != "violated"
        persons = spread(fold._test, clips, "subject")
        for within in outer[depth:]:
            assert persons.isdisjoint(one.name for one in within.train)
        for within in outer[depth + 1 :]:
            assert persons.isdisjoint(one.name for one in within._test)
            assert {*within.train, *within._test} <= set(fold.train)


def folds(source: Iterator[Fold]) -> Iterator[Fold]:
    """The folds that there are clips for."""
    try:
        yield from source
    except ProtocolError:
        return


def public(thing: Any) -> Any:
    """All that public attributes lead to, as plain nested tuples."""
    if isinstance(thing, str | bytes | int | float | None):
        return thing
    if isinstance(thing, Mapping):
        return tuple(sorted((public(key), public(one)) for key, one in thing.items()))
    if isinstance(thing, set | frozenset):
        return tuple(sorted(map(public, thing)))
    if isinstance(thing, tuple | list | np.ndarray):
        return tuple(map(public, thing))
    items = tuple(map(public, thing)) if isinstance(thing, Sequence) else ()
    doors = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    return (type(thing).__name__, repr(thing) if not isinstance(thing, Fold) else "", items, *(
        (name, public(one)) for name, one in doors.items() if not callable(one)
    ))  # fmt: skip


def inner_view(fold: Fold, protocol: Protocol) -> Any:
    """The public view of a fold, of its inner folds and of theirs."""
    inner = list(folds(fold.inner(protocol)))
    return public(fold), [(public(one), [public(two) for two in folds(one.inner(protocol))]) for one in inner]


def leaves(view: Any) -> Iterator[Any]:
    if isinstance(view, tuple | list):
        for part in view:
            yield from leaves(part)
    else:
        yield view


@thorough
@given(requests(), st.randoms(use_true_random=False))
def test_nothing_public_depends_on_a_test_label_or_a_test_name(request: Any, random: Any) -> None:
    clips, held_out = request
    clips = [dataclasses.replace(one, recording=one.recording or f"of {one.name}") for one in clips]
    fold = made(clips, held_out)
    test = list(fold._test)
    swapped = [one.label for one in test]
    random.shuffle(swapped)
    renamed = {one.name: f"other{number}" for number, one in enumerate(random.sample(test, len(test)))}
    changed = {
        one.name: dataclasses.replace(one, label=label, name=renamed[one.name])
        for one, label in zip(test, swapped, strict=True)
    }
    world = [changed.get(one.name, one) for one in clips]
    asked = {unit: [renamed.get(text, text) for text in texts] for unit, texts in held_out.items()}
    other = made(world, asked)
    view = inner_view(fold, SubjectHoldout(0.4))
    if len({one.media.clip_id for one in clips}) == len(clips):  # else the order among equals may change
        assert view == inner_view(other, SubjectHoldout(0.4))
    assert set(leaves(view)).isdisjoint(renamed)


def test_a_fold_cannot_be_changed_nor_forged() -> None:
    clips = [clip(number, "AB"[number % 2]) for number in range(6)]
    fold = Fold(clips, {"subject": ["A"]}, "fold")
    with pytest.raises(dataclasses.FrozenInstanceError):
        fold.train = tuple(clips)  # type: ignore[misc]
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(fold, train=tuple(clips))
    assert "clip0" not in repr(fold) and "clip0" not in str(vars(type(fold)))
    assert pickle.loads(pickle.dumps(fold)).train == fold.train
