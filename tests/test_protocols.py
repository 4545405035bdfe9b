"""One contract for every protocol, and what each promises beyond it."""

import dataclasses
import hashlib
import pickle
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.plugins import build, describe, load, names
from datasets.clips import Clip, Media
from protocols.base import Fold, ProtocolError
from protocols.leave_one_session_out import LeaveOneSessionOut
from protocols.leave_one_speaker_group_out import LeaveOneSpeakerGroupOut
from protocols.leave_one_subject_out import LeaveOneSubjectOut
from protocols.official_split import OfficialSplit
from protocols.random_holdout import RandomHoldout
from protocols.random_k_fold import RandomKFold
from protocols.sentence_disjoint import SentenceDisjoint
from protocols.subject_holdout import SubjectHoldout
from protocols.subject_k_fold import SubjectKFold

PROTOCOLS = names("protocols")
SINGLE = {"official-split", "random-holdout", "subject-holdout"}
RAVDESS = (
    ("2", "5", "14", "15", "16"), ("3", "6", "7", "13", "18"), ("10", "11", "12", "19", "20"),
    ("8", "17", "21", "23", "24"), ("1", "4", "9", "22"),
)  # fmt: skip


def clip(name: str, subject: str | None, **facts: str | None) -> Clip:
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    label = facts.pop("label", None) or "anger"
    return Clip(Media(digest, frozenset({"audio"}), {}), name, subject, label, **facts)


def corpus(sizes: Sequence[int]) -> list[Clip]:
    """As many clips of each subject; two subjects a session, three sentences, two splits."""
    return [
        clip(
            f"s{subject}-{number}", f"s{subject}", label="anger" if number % 2 else "joy", session=f"d{subject // 2}",
            sentence=f"t{number % 3}", split="val" if subject < 3 else "train",
        )
        for subject, size in enumerate(sizes) for number in range(size)
    ]  # fmt: skip


CLIPS = corpus([6, 9, 7, 12, 5, 8, 6, 10, 7, 9, 11, 6])


def scored(fold: Fold) -> tuple[str, ...]:
    uniform = np.full((len(fold.test_media), len(fold.labels)), 1 / len(fold.labels))
    return fold.score(uniform).names


def view(fold: Fold) -> tuple[object, ...]:
    return fold.name, fold.train, fold.test_media, fold.held_out, fold.dropped, fold.findings, scored(fold)


@pytest.fixture(params=PROTOCOLS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_protocol_is_here() -> None:
    assert set(PROTOCOLS) == {
        "leave-one-session-out", "leave-one-speaker-group-out", "leave-one-subject-out", "official-split",
        "random-holdout", "random-k-fold", "sentence-disjoint", "subject-holdout", "subject-k-fold",
    }  # fmt: skip


def test_a_plugin_is_a_frozen_dataclass_that_says_what_it_does(name: str) -> None:
    protocol = build("protocols", name)
    assert describe("protocols", name).endswith(".") and load("protocols", name).__doc__
    for setting in dataclasses.fields(protocol):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(protocol, setting.name, None)


def test_sides_are_disjoint_and_nothing_vanishes(name: str) -> None:
    for fold in build("protocols", name).folds(CLIPS):
        train = [clip.name for clip in fold.train]
        assert sorted([*train, *scored(fold), *fold.dropped]) == sorted(clip.name for clip in CLIPS)
        assert train and fold.test_media


def test_no_held_out_value_trains(name: str) -> None:
    for fold in build("protocols", name).folds(CLIPS):
        for unit, values in fold.held_out.items():
            there = {c.media.clip_id if unit == "clip" else getattr(c, unit) for c in fold.train}
            assert values and there.isdisjoint(values)


def test_each_clip_is_tested_once(name: str) -> None:
    times = Counter(clip for fold in build("protocols", name).folds(CLIPS) for clip in scored(fold))
    assert set(times.values()) == {1}
    assert name in SINGLE or set(times) == {clip.name for clip in CLIPS}


def test_folds_depend_neither_on_the_order_of_clips_nor_on_the_run(name: str) -> None:
    shuffled = random.Random(7).sample(CLIPS, len(CLIPS))
    orders = [CLIPS, CLIPS, shuffled]
    first, again, other = ([view(fold) for fold in build("protocols", name).folds(clips)] for clips in orders)
    assert first == again == other


def test_clips_are_ordered_by_digest_because_names_tell_emotions(name: str) -> None:
    for fold in build("protocols", name).folds(CLIPS):
        for media in (fold.test_media, [clip.media for clip in fold.train]):
            assert [one.clip_id for one in media] == sorted(one.clip_id for one in media)


def test_folds_travel_to_other_processes(name: str) -> None:
    for fold in build("protocols", name).folds(CLIPS):
        assert view(pickle.loads(pickle.dumps(fold))) == view(fold)


def test_inner_folds_are_made_of_the_training_clips(name: str) -> None:
    outer = next(iter(build("protocols", "subject-holdout").folds(corpus([9] * 24))))
    protocol = OfficialSplit("train") if name == "official-split" else build("protocols", name)
    if name == "official-split":
        outer = Fold([*outer.train, *corpus([2])], {"subject": ["s0"]}, "outer")
    training = {clip.name for clip in outer.train}
    for fold in outer.inner(protocol):
        assert {*scored(fold), *fold.dropped, *(clip.name for clip in fold.train)} == training
        assert fold.labels == outer.labels


@pytest.mark.parametrize("name", [n for n in PROTOCOLS if hasattr(load("protocols", n), "seed")])
def test_another_seed_is_another_draw(name: str) -> None:
    draws = {scored(next(iter(build("protocols", f"{name}:seed={seed}").folds(CLIPS)))) for seed in range(5)}
    assert len(draws) > 1


def test_independence_is_measured() -> None:
    expected = {name: {"violated" if name.startswith("random") else "verified"} for name in PROTOCOLS}
    solo = [dataclasses.replace(clip, session=clip.subject) for clip in CLIPS]
    measured = {n: {fold.independence for fold in build("protocols", n).folds(solo)} for n in PROTOCOLS}
    assert measured == expected


def test_published_folds_of_ravdess() -> None:
    clips = corpus([4] * 25)[4:]
    clips = [dataclasses.replace(clip, subject=str(clip.subject).removeprefix("s")) for clip in clips]
    folds = list(SubjectKFold(published=RAVDESS).folds(clips))
    assert [set(fold.held_out["subject"]) for fold in folds] == [set(subjects) for subjects in RAVDESS]
    assert {fold.independence for fold in folds} == {"unknown"}  # two actors a session, one of them may be in training
    partial = [clip for clip in clips if clip.subject in {"1", "4", "2", "3"}]
    assert [(fold.name, fold.held_out["subject"]) for fold in SubjectKFold(published=RAVDESS).folds(partial)] == [
        ("fold 1", ("2",)), ("fold 2", ("3",)), ("fold 5", ("1", "4")),
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", [LeaveOneSpeakerGroupOut(), LeaveOneSpeakerGroupOut(3), SubjectKFold(seed=3)])
def test_groups_are_balanced_by_clips(protocol: LeaveOneSpeakerGroupOut | SubjectKFold) -> None:
    sizes = [len(fold.test_media) for fold in protocol.folds(CLIPS)]
    assert max(sizes) - min(sizes) <= 12  # the largest subject
    if isinstance(protocol, LeaveOneSpeakerGroupOut):
        assert max(sizes) / min(sizes) < 1.3


def test_equal_subjects_make_equal_groups() -> None:
    for protocol in (LeaveOneSpeakerGroupOut(4), SubjectKFold(4), SubjectKFold(6, seed=1)):
        assert len({len(fold.test_media) for fold in protocol.folds(corpus([5] * 12))}) == 1


def test_about_7_to_3_makes_three_groups_of_whole_subjects() -> None:
    folds = list(LeaveOneSpeakerGroupOut(share=0.3).folds(corpus([90] * 8)))
    assert sorted(len(fold.held_out["subject"]) for fold in folds) == [2, 3, 3]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_a_subject_holdout_comes_close_to_its_share(share: float, seed: int) -> None:
    (fold,) = SubjectHoldout(share, seed).folds(CLIPS)
    assert abs(len(fold.test_media) - share * len(CLIPS)) <= 12 / 2  # half of the largest subject


def test_a_holdout_of_two_subjects_has_both_sides() -> None:
    for share in (0.01, 0.3, 0.99):
        (fold,) = SubjectHoldout(share).folds(corpus([1, 9]))
        assert len(fold.test_media) == (9 if share > 0.9 else 1)


def test_the_official_split_prefers_test_to_val() -> None:
    labelled = [*CLIPS, clip("last", "s99", label="joy", sentence="t0", session="d9", split=" Test")]
    assert [fold.name for fold in OfficialSplit().folds(CLIPS)] == ["val"]
    assert [(fold.name, len(fold.test_media)) for fold in OfficialSplit().folds(labelled)] == [("test", 1)]
    assert [fold.name for fold in OfficialSplit("VAL").folds(labelled)] == ["val"]


def test_sentence_disjoint_trains_on_neither_the_person_nor_the_text() -> None:
    folds = list(SentenceDisjoint(groups=4, sentences=3).folds(CLIPS))
    assert len(folds) == 12 and all(fold.dropped for fold in folds)
    assert not any(finding.what.endswith("spoken in training too") for fold in folds for finding in fold.findings)
    silent = [one for one in CLIPS if one.subject not in {"s3", "s10"} or one.sentence == "t0"]
    pairs = SentenceDisjoint(groups=12, sentences=3).folds(silent)
    assert sum(len(fold.test_media) for fold in pairs) == len(silent)


def test_one_person_under_two_ids_is_held_out_whole() -> None:
    same = [dataclasses.replace(one, recording="r") if one.name in {"s0-0", "s1-0"} else one for one in CLIPS]
    folds = list(LeaveOneSubjectOut().folds(same))
    assert len(folds) == 11 and folds[0].held_out == {"subject": ("s0", "s1")} and not folds[0].dropped


def test_random_folds_keep_recordings_whole() -> None:
    pairs = [dataclasses.replace(one, recording=f"{one.subject}-{int(one.name.split('-')[1]) // 2}") for one in CLIPS]
    for protocol in (RandomKFold(), RandomHoldout()):
        for fold in protocol.folds(pairs):
            assert not fold.dropped


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (LeaveOneSpeakerGroupOut(13), "12 subjects cannot form 13 groups"),
        (LeaveOneSpeakerGroupOut(1), "cannot form 1 groups"),
        (LeaveOneSpeakerGroupOut(share=0.7), "share must be 0, or at most 0.5, but is 0.7"),
        (SubjectKFold(2.5), "cannot form 2.5 groups"),  # type: ignore[arg-type]
        (RandomHoldout(seed=None), "seed must be a whole number, but is None"),  # type: ignore[arg-type]
        (SubjectKFold(published=(("s0",), ("s0", "s1"))), "subject s0 stands in 2 of the published folds"),
        (SubjectKFold(published=(("s0",), ("s1",))), "subject s10 stands in 0 of the published folds"),
        (SubjectHoldout(0), "share must lie between 0 and 1, but is 0"),
        (RandomHoldout(1.0), "share must lie between 0 and 1, but is 1.0"),
        (RandomKFold(97), "96 clips cannot form 97 groups"),
        (SentenceDisjoint(sentences=4), "3 sentences cannot form 4 groups"),
        (OfficialSplit("dev"), "no clip is of split dev; choose from test=train, val"),
    ],
)
def test_settings_that_cannot_be_met(protocol: SubjectHoldout, message: str) -> None:
    with pytest.raises(ProtocolError, match=message.replace("?", r"\?")) as raised:
        list(protocol.folds(sorted(CLIPS, key=lambda one: one.name)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("protocol", [LeaveOneSubjectOut(), LeaveOneSessionOut(), SentenceDisjoint(), OfficialSplit()])
def test_a_corpus_that_does_not_say_cannot_be_parted(protocol: LeaveOneSubjectOut) -> None:
    silent = [*CLIPS, clip("x", " ")]
    with pytest.raises(ProtocolError, match=r"clip x has no (subject|session|sentence|split).*choose .*random-holdout"):
        list(protocol.folds(silent))


@pytest.mark.parametrize("protocol", [LeaveOneSubjectOut(), SubjectHoldout(), SubjectKFold(), RandomHoldout()])
def test_one_clip_cannot_be_parted(protocol: LeaveOneSubjectOut) -> None:
    with pytest.raises(ProtocolError):
        list(protocol.folds(CLIPS[:1]))


def test_the_guard_needs_nothing_heavy() -> None:
    program = "import sys, protocols.subject_k_fold; print(*{'sklearn', 'torch', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"
