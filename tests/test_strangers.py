"""Protocols written by somebody else, careless or malicious: what they try, and what the guard makes of it."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest

from datasets.clips import Clip, Media
from protocols.base import Fold, HeldOut, Protocol, ProtocolError, Unit
from protocols.leave_one_session_out import LeaveOneSessionOut
from protocols.leave_one_subject_out import LeaveOneSubjectOut
from protocols.random_holdout import RandomHoldout
from protocols.random_k_fold import RandomKFold


def clip(number: int, subject: str | None, **facts: Any) -> Clip:
    return Clip(Media(f"{number:04}", frozenset({"audio"}), {}), f"clip{number}", subject, "joy", **facts)


class Stranger(Protocol):
    """Holds out whatever it is told to, and remembers the clips that it was shown."""

    def __init__(self, held_out: HeldOut) -> None:
        self.wanted = held_out
        self.shown: Sequence[Clip] = ()

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        self.shown = clips
        yield "mine", self.wanted


class TwoFaced(dict[Unit, Collection[str]]):
    """Names other people each time that it is asked."""

    def __init__(self) -> None:
        super().__init__([("subject", ["A"])])
        self.asked = 0

    def items(self) -> Any:
        self.asked += 1
        return {"subject": ["AB"[self.asked % 2]]}.items()


PEOPLE = [clip(number, "ABCD"[number % 4], session=f"d{number % 4 // 2}", sentence="x") for number in range(12)]


def test_a_stranger_who_parts_a_person_by_clips_is_called_violated() -> None:
    (fold,) = Stranger({"clip": ["clip0", "clip1"]}).folds(PEOPLE)
    assert fold.independence == "violated"
    leak = next(finding for finding in fold.findings if finding.severity == "leak")
    assert leak.who == ("A", "B") and leak.what == "person of test in training"


@pytest.mark.parametrize("spelling", ["A", "a", " a ", "A\t"])
def test_spelling_an_id_otherwise_lets_nobody_through(spelling: str) -> None:
    mixed = [dataclasses.replace(one, subject=" a") if one.name == "clip4" else one for one in PEOPLE]
    (fold,) = Stranger({"subject": [spelling]}).folds(mixed)
    assert {one.name for one in fold._test} == {"clip0", "clip4", "clip8"}
    assert {one.subject for one in fold.train} == {"B", "C", "D"}


def test_a_mapping_that_changes_its_mind_is_read_once() -> None:
    (fold,) = Stranger(TwoFaced()).folds(PEOPLE)
    assert {one.subject for one in fold._test}.isdisjoint(one.subject for one in fold.train)
    assert fold.held_out == {"subject": tuple(sorted({str(one.subject).lower() for one in fold._test}))}


def test_a_stranger_is_shown_the_training_clips_alone() -> None:
    fold = next(LeaveOneSubjectOut().folds(PEOPLE))
    spy = Stranger({"subject": ["B"]})
    list(fold.inner(spy))
    assert tuple(spy.shown) == fold.train
    with pytest.raises(ProtocolError, match="holds out subject 'a', which no clip has"):
        list(fold.inner(Stranger({"subject": ["A"]})))


def test_a_stranger_cannot_make_the_folds() -> None:
    with pytest.raises(ProtocolError, match="Forger makes its own folds; write held_out"):
        type("Forger", (Protocol,), {"folds": lambda self, clips: iter(())})


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({}, r"holds out \[\]; choose from subject, session"),
        ({"film": ["x"]}, r"holds out \['film'\]; choose from subject"),
        ({"subject": ["E"]}, "holds out subject 'e', which no clip has"),
        ({"subject": []}, "leaves no clip for test"),
        ({"subject": ["A"], "session": ["d1"]}, "leaves no clip for test"),
        ({"sentence": ["x"]}, "leaves no clip for training"),
        ({"split": ["val"]}, r"clip clip0 \(and 11 more\) has no split"),
    ],
)
def test_what_cannot_be_held_out(held_out: HeldOut, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        Fold(PEOPLE, held_out, "fold")


def test_a_clip_has_one_name() -> None:
    with pytest.raises(ProtocolError, match="clip clip0 is listed twice"):
        Fold([*PEOPLE, PEOPLE[0]], {"subject": ["A"]}, "fold")


def test_two_ids_of_one_person_are_known_even_from_a_dropped_clip() -> None:
    """A and B share a recording of a held-out sentence: inner folds never see it, and still cannot part them."""
    clips = [
        clip(number, "ABCD"[number % 4], sentence="xy"[number // 4 % 2], recording="r" if number in (0, 1) else None)
        for number in range(16)
    ]
    fold = Fold(clips, {"subject": ["D"], "sentence": ["x"]}, "fold")
    assert "clip0" in fold.dropped
    (inner,) = fold.inner(Stranger({"subject": ["A"]}))
    assert {one.subject for one in inner.train} == {"C"}


def test_inner_folds_have_the_classes_of_the_corpus() -> None:
    """Else the columns of a model tuned inside would not be those of the model scored outside."""
    rare = [dataclasses.replace(one, label="fear") if one.subject == "A" else one for one in PEOPLE]
    fold = next(LeaveOneSubjectOut().folds(rare))
    assert {inner.labels for inner in fold.inner(LeaveOneSubjectOut())} == {("fear", "joy")} == {fold.labels}


def test_a_recording_in_two_splits_costs_that_recording_only() -> None:
    clips = [clip(n, None, split="val" if n < 4 else "train", recording="r" if n in (3, 4) else None) for n in range(9)]
    fold = Fold(clips, {"split": ["val"]}, "fold")
    assert len(fold._test) == 4 and len(fold.train) == 4 and fold.dropped == ("clip4",)
    assert fold.independence == "unknown"


def test_iemocap_shares_dialogues_between_speakers() -> None:
    clips = [clip(n, f"Ses0{n % 5}{'FM'[n // 5 % 2]}", session=f"Ses0{n % 5}") for n in range(40)]
    for fold in LeaveOneSubjectOut().folds(clips):
        assert fold.independence == "unknown"
        assert [(finding.what, finding.who) for finding in fold.findings] == [
            ("dialogue shared: the held-out speaker may be heard in training", (fold.name[:-1],))
        ]
    assert {fold.independence for fold in LeaveOneSessionOut().folds(clips)} == {"verified"}


@pytest.mark.parametrize("protocol", [RandomKFold(k=3), RandomHoldout()])
def test_a_random_split_says_so(protocol: Protocol) -> None:
    assert {fold.independence for fold in protocol.folds(PEOPLE)} == {"violated"}
