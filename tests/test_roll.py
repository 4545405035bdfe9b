"""Clips on a roll against a plain list of the same clips."""

import gc
import pickle
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks
import datasets
import protocols
from benchmarks.arenas import arena
from benchmarks.console import progress
from benchmarks.content import Content, Contents
from datasets import records, roll
from datasets.clips import Clip, Media, Track
from datasets.records import Records
from datasets.roll import Clips
from protocols.leave_one_subject_out import LeaveOneSubjectOut
from tests import manyclips

texts = st.text(
    st.characters(exclude_characters="\0"), max_size=6
)  # file names may hold any other, lone surrogates too
maybe = st.none() | texts


@st.composite
def clips(draw: st.DrawFn, named: st.SearchStrategy[str] = texts) -> list[Clip]:
    """Any, of any facts; several may be of one name or of one sound."""
    return [
        Clip(
            Media(draw(st.sampled_from(["a1", "b2", "c3", f"{number:04x}"])), frozenset(tracks), tracks),
            draw(named), draw(maybe), draw(texts), draw(maybe), draw(maybe), draw(maybe), draw(maybe),
        )
        for number in range(draw(st.integers(0, 9)))
        for tracks in [draw(st.dictionaries(st.sampled_from(["audio", "video"]), whole, max_size=2))]
    ]  # fmt: skip


whole = st.builds(
    Track, place=texts, start=st.floats(0, 9), end=st.none() | st.floats(9, 99),
    side=st.sampled_from(["whole", "left"]), box=st.none() | st.tuples(*[st.integers(0, 99)] * 4),
    offset=st.none() | st.integers(0, 2**40), framed=st.booleans(),
)  # fmt: skip


def whole_of(some: Sequence[Clip]) -> list[tuple[Clip, dict[str, Track]]]:
    """Tracks do not count where clips are compared; here they do."""
    return [(clip, dict(clip.media._tracks)) for clip in some]


@given(clips(), st.randoms(use_true_random=False))
def test_a_roll_holds_what_a_list_holds(listed: list[Clip], random: Any) -> None:
    rolled = Clips.of(iter(listed))
    assert whole_of(rolled) == whole_of(listed) == whole_of(pickle.loads(pickle.dumps(rolled)))
    assert rolled == listed and Clips.of(rolled) is rolled
    assert whole_of([rolled[place] for place in range(len(listed))]) == whole_of(listed)
    assert [*rolled.media] == [clip.media for clip in listed]
    assert rolled.ids.tolist() == rolled.media.ids.tolist() == [clip.media.clip_id.encode() for clip in listed]
    assert rolled.labels == tuple(clip.label for clip in listed) and rolled.classes == {clip.label for clip in listed}
    some = random.sample(range(len(listed)), random.randint(0, len(listed)))
    taken = rolled.take(np.array(some, int))
    assert whole_of(taken) == whole_of([listed[place] for place in some])
    assert whole_of(taken[1:]) == whole_of(taken)[1:]
    assert whole_of(Clips.joined(taken, rolled, listed)) == whole_of([*taken, *listed, *listed])
    assert whole_of(Clips.joined(taken, rolled)) == whole_of([*taken, *listed])


@given(clips())
def test_it_is_put_in_order_as_a_list_is(listed: list[Clip]) -> None:
    rolled = Clips.of(listed)
    assert whole_of(rolled.in_order()) == whole_of(sorted(listed, key=lambda clip: (clip.media.clip_id, clip.name)))
    assert whole_of(rolled.by_name()) == whole_of(sorted(listed, key=lambda clip: clip.name))


@given(clips())
def test_two_have_one_key_if_they_state_the_same(listed: list[Clip]) -> None:
    for canonical in (str, str.casefold):
        told = [canonical(clip.subject or "") for clip in listed]
        keys = Clips.of(listed).keys("subject", canonical).tolist()
        assert [key == 0 for key in keys] == [text == "" for text in told]
        assert [[a == b for b in keys] for a in keys] == [[a == b for b in told] for a in told]


@given(clips())
def test_of_a_blank_clip_nothing_is_told_but_who_is_in_it(listed: list[Clip]) -> None:
    blank = Clips.of(listed).blank()
    assert not blank.classes and set(blank.labels) <= {""}
    assert not any(clip.label or clip.media._tracks for clip in (*blank, *Clips.joined(blank, [])))
    assert [(clip.name, clip.subject) for clip in blank] == [(clip.name, clip.subject) for clip in listed]


@given(st.lists(st.binary(max_size=5)))
def test_records_are_what_was_written(listed: list[bytes]) -> None:
    kept = Records(iter(listed))
    assert [*kept] == [kept[place] for place in range(len(listed))] == [*pickle.loads(pickle.dumps(kept))] == listed
    assert kept[1:3] == listed[1:3]
    with pytest.raises(IndexError):
        kept[len(listed)]


def test_what_fails_while_records_are_made_fails_as_it_is() -> None:
    def torn() -> Iterator[bytes]:
        yield b"one"
        raise OSError("cannot identify image file 'a.jpg'")

    with pytest.raises(OSError, match="cannot identify image file"):
        Records(torn())


def test_a_roll_ends_with_the_last_of_its_clips() -> None:
    """Without the garbage collector, which may come late: each holds a file open."""
    gc.disable()
    try:
        some = Clips.of([Clip(Media("a", frozenset(), {}), "one", "A", "joy")])
        assert some[0].name == "one" and some.media[0] and len(some.in_order()) == 1
        rest = weakref.ref(some._roll)
        del some
        assert rest() is None
    finally:
        gc.enable()


def test_an_inner_fold_is_sent_without_label_sound_and_picture_of_the_outer_test() -> None:
    def clip(number: int, person: str) -> Clip:
        track = Track(f"/films/of-{person}-{number}.avi")
        return Clip(
            Media(f"{number:02}", frozenset({"video"}), {"video": track}), f"{number}", person, f"felt-{person}"
        )

    outer = next(LeaveOneSubjectOut().folds([clip(number, "ABC"[number % 3]) for number in range(9)]))
    (sent, _) = (pickle.dumps(inner) for inner in outer.inner(LeaveOneSubjectOut()))
    assert {one.subject for one in outer._test} == {"A"}
    assert b"/films/of-A" not in sent and b"felt-A" not in pickle.dumps(pickle.loads(sent)._test)
    assert b"/films/of-B" in sent and b"felt-B" in sent


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "TemporaryFile", lambda: Path("/dev/full").open("w+b"))  # noqa: SIM115  the code closes it
    with pytest.raises(OSError, match="No space left on device: '/") as raised:
        Records([b"something"])
    assert raised.value.filename == gettempdir()


@given(st.dictionaries(st.text("abc123", min_size=1, max_size=4), st.tuples(*[st.text("ef0", max_size=3)] * 2)))
def test_contents_are_found_by_the_clip(told: dict[str, tuple[str, str]]) -> None:
    plain = {clip_id: Content(*digests) for clip_id, digests in told.items()}
    kept = Contents.of(plain)
    assert kept == plain == pickle.loads(pickle.dumps(kept)) and "x" not in kept
    some = [Media(clip_id, frozenset(), {}) for clip_id in reversed([*plain])]
    assert kept.media(some).tolist() == [plain[one.clip_id].media.encode() for one in some]
    assert kept.held(some) == sorted(one.media for one in plain.values())
    assert kept.heard(some) == sorted({one.sound for one in plain.values()} - {""})
    assert Contents.joined([kept, Contents.of({"x": Content("m", "s")})]) == {**plain, "x": Content("m", "s")}


def test_a_large_corpus_costs_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its folds; a list of as many clips took 1,700 bytes a clip. What other libraries keep does not count."""
    monkeypatch.setattr(roll, "KEPT", 100)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    packages = (Path(package.__path__[0]) for package in (benchmarks, datasets, protocols))
    ours = [tracemalloc.Filter(True, f"{package}/*") for package in packages]

    def kept(count: int) -> int:
        tracemalloc.start()
        with manyclips.made_up(tmp_path / f"{count}", count) as dataset:
            planned = arena(dataset, "emotion", "", progress)
            assert len(planned.members) == 5
            found = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
        tracemalloc.stop()
        return sum(one.size for one in found)

    assert (kept(4000) - kept(1000)) / 3000 < 250
