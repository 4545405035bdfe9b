"""The auditor finds whoever stands on both sides of a split, and names them."""

import dataclasses
from typing import Any

import pytest

from datasets.clips import Clip, Media
from protocols.audit import Finding, Split, audit, independence, judge


def clip(name: str, subject: str | None, **facts: Any) -> Clip:
    return Clip(Media(name, frozenset(), {}), name, subject, "joy", **facts)


def people(first: int, last: int, each: int = 10, **facts: Any) -> tuple[Clip, ...]:
    return tuple(clip(f"s{s:03}-{n}", f"S{s:03}", **facts) for s in range(first, last) for n in range(each))


def told(split: Split, severity: str = "leak") -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.what, finding.who) for finding in judge(split) if finding.severity == severity]


def stray(split: Split, side: str, *strays: Clip) -> Split:
    """The split with more clips on one side."""
    sides: dict[str, Any] = {side: (*getattr(split, side), *strays)}
    return dataclasses.replace(split, **sides)


def shown(side: str) -> str:
    return "training" if side == "train" else side


def test_an_honest_split_passes_without_a_word() -> None:
    verdict = audit([Split("fold", people(0, 70), people(70, 80), people(80, 100))])
    assert verdict.findings == () and verdict.independence == "verified" and verdict.honest


@pytest.mark.parametrize("side", ["train", "validation"])
def test_one_clip_among_a_thousand_is_found_and_its_person_named(side: str) -> None:
    split = stray(Split("fold", people(0, 70), people(70, 80), people(80, 100)), side, clip("stray", "s083 "))
    assert told(split) == [(f"person of test in {shown(side)}", ("S083",))]
    assert not audit([split]).honest and independence(judge(split)) == "violated"


def test_the_two_releases_of_one_performance_are_one_recording() -> None:
    """RAVDESS ships sound with picture as 01- and the same sound alone as 03-."""
    both, sound = (clip(f"{kind}-01-05-01-01-01-12", "12", recording="01-05-01-01-01-12") for kind in ("01", "03"))
    assert told(Split("fold", (*people(0, 3), sound), (), (both,))) == [
        ("person of test in training", ("12",)),
        ("recording of test in training", ("01-01-05-01-01-01-12 and 03-01-05-01-01-01-12",)),
    ]


def test_one_person_under_two_ids_is_known_by_a_shared_recording() -> None:
    test, shared = (clip("a0", "A", recording="r"), clip("a1", "A")), clip("b0", "B", recording="r")
    person = ("person of test in training", ("A (also B)",))
    assert told(Split("fold", (clip("b1", "B"),), (), test)) == []
    assert told(Split("fold", (clip("b1", "B"),), (), test, others=(shared,))) == [person]
    assert told(Split("fold", (shared,), (), test)) == [person, ("recording of test in training", ("a0 and b0",))]


def test_a_chain_of_recordings_ties_people_through_a_clip_without_a_subject() -> None:
    chain = (clip("m", None, recording="r"), dataclasses.replace(clip("b", "B"), media=Media("m", frozenset(), {})))
    split = Split("fold", (clip("b1", "B"),), (), (clip("a", "A", recording="r"),), chain)
    assert told(split) == [("person of test in training", ("A (also B)",))]


def test_clips_without_a_subject_do_not_tie_those_whom_they_meet() -> None:
    test, train = (clip("a", "A", recording="r"), clip("a1", "A")), (clip("b", "B", recording="q"), clip("b1", "B"))
    others = (clip("x", None, recording="r"), clip("y", None, recording="q"))
    assert judge(Split("fold", train, (), test, others)) == ()


def test_a_person_who_meets_only_himself_leaves_no_doubt_beyond_the_leak() -> None:
    findings = judge(Split("fold", people(0, 1, 1, session="d"), (), (clip("again", "S000", session="d"),)))
    assert [finding.severity for finding in findings] == ["leak"]


def test_validation_equal_to_test_is_said() -> None:
    test = people(80, 82, each=1)
    assert told(Split("fold", people(0, 9), tuple(reversed(test)), test)) == [
        ("validation equals test", ("s080-0", "s081-0")),
        ("person of test in validation", ("S080", "S081")),
    ]
    assert told(Split("fold", people(0, 9), people(80, 83, 1), test))[0][0] == "clip of test in validation"


def test_a_clip_on_both_sides_is_named() -> None:
    test = people(80, 82, each=2)
    assert ("clip of test in training", ("s081-1",)) in told(Split("fold", (*people(0, 9), test[-1]), (), test))


def test_of_many_five_are_named_and_the_rest_counted() -> None:
    (leak,) = told(Split("fold", people(0, 9, each=1), (), tuple(clip(f"t{n}", f"S{n:03}") for n in range(9))))
    assert leak[1] == ("S000", "S001", "S002", "S003", "S004", "S005", "S006", "S007", "S008")
    assert str(Finding("fold", "leak", *leak)).endswith(": S000, S001, S002, S003, S004 and 4 more")


def test_sentences_in_common_are_counted_and_named() -> None:
    test = people(5, 6, sentence="dogs") + people(6, 7, sentence="kids")
    split = Split("fold", people(0, 3, sentence="Dogs"), (), test)
    assert told(split, "note") == [("1 of the sentences of test are spoken in training too", ("dogs",))]
    assert independence(judge(split)) == "verified"


def test_subjects_shared_by_training_and_validation_are_noted() -> None:
    split = Split("fold", people(0, 3), (clip("v", "s001"),), people(5, 6))
    assert told(split, "note") == [("person of validation in training", ("s001",))]
    assert independence(judge(split)) == "verified"


@pytest.mark.parametrize("side", ["train", "validation", "test"])
def test_without_subjects_nobody_can_tell(side: str) -> None:
    split = stray(Split("fold", people(0, 3), people(3, 4), people(5, 6)), side, clip("x", None), clip("y", " "))
    assert told(split, "doubt") == [("clips without a subject", (f"2 in {shown(side)}",))]
    assert audit([split]).independence == "unknown" and audit([split]).honest


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_dialogue_with_somebody_in_training_leaves_doubt(side: str) -> None:
    split = Split("fold", people(0, 1, session="d0"), people(1, 2, session="d1"), people(2, 3, session="d2"))
    assert judge(split) == ()
    split = stray(split, side, clip("heard", "S009", session="D2 "))
    assert told(split, "doubt") == [("dialogue shared: the held-out speaker may be heard in training", ("d2",))]
    assert independence(judge(split)) == "unknown"


def test_the_worst_fold_decides() -> None:
    honest, unknown = Split("1", people(0, 3), (), people(3, 4)), Split("2", people(0, 3), (), (clip("x", None),))
    leaky = Split("3", people(0, 3), (), people(2, 3))
    requests = ([honest], [honest, unknown], [honest, leaky, unknown])
    assert [audit(splits).independence for splits in requests] == ["verified", "unknown", "violated"]


def test_a_clip_tested_twice_or_never_is_noted() -> None:
    splits = [Split("1", people(1, 4, 1), (), people(0, 1, 1)), Split("2", people(2, 4, 1), (), people(0, 2, 1))]
    assert audit(splits).findings == (
        Finding("all folds", "note", "clip tested in several folds", ("s000-0",)),
        Finding("all folds", "note", "clip never tested", ("s002-0", "s003-0")),
    )


def test_nothing_cannot_be_verified() -> None:
    assert audit([]).independence == "unknown"
    assert audit([Split("fold", people(0, 3), (), ())]).independence == "unknown"
    assert told(Split("fold", (), (), people(0, 1)), "doubt") == [("nothing to judge", ("no clip in training",))]


def test_a_finding_reads_as_one_line() -> None:
    (finding,) = judge(Split("fold 1", people(0, 3), (), (clip("x", "S002"),)))
    assert str(finding) == "fold 1: leak: person of test in training: S002"
