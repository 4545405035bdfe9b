"""Digests of what media hold: they follow the content alone, are remembered by file, and tie equal sounds."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import content, pool
from benchmarks.content import Content, Contents, contents, corpus_digest, located, tied
from benchmarks.plugins import build, names
from datasets.clips import Clip, DatasetError, Media, Track
from datasets.probe import Probe, probe
from datasets.roll import Clips
from protocols.base import ProtocolError
from tests.test_media import sound_file
from tests.tinybench import at_home, clips, noise, ravdess, silent, spoken, wav


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[str]:
    """How often each file was decoded."""
    counted: Counter[str] = Counter()

    def count(track: Track, kind: str) -> Probe:
        counted[track.file.name] += 1
        return probe(track, kind)

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "in_processes", at_home)  # other processes do not count
    monkeypatch.setattr(content, "probe", count)
    return counted


def known(root: Path) -> dict[str, Content]:
    """By the clip's name."""
    found = clips(root)
    told = contents(found, silent)
    return {clip.name: told[clip.media.clip_id] for clip in found}


def test_digests_follow_the_content_and_not_the_place(decoded: Counter[str], tmp_path: Path) -> None:
    here = known(ravdess(tmp_path / "here"))
    assert len({one.media for one in here.values()}) == len({one.sound for one in here.values()}) == 12
    assert known(ravdess(tmp_path / "elsewhere")) == here
    changed = noise(101)
    changed[1_000] += 0.01
    wav(spoken(tmp_path / "elsewhere", 1, "03"), changed)
    there = known(tmp_path / "elsewhere")
    (name,) = (name for name in here if there[name] != here[name])
    assert name == "01-03-01-01-01-01"
    assert there[name].media != here[name].media and there[name].sound != here[name].sound


def test_a_part_of_a_film_has_its_own_digest(decoded: Counter[str], tmp_path: Path) -> None:
    file = wav(tmp_path / "film.wav", noise(0))
    copy = shutil.copy(file, tmp_path / "copy.wav")
    parts = {
        "whole": Track(str(file)),
        "first": Track(str(file), 0.0, 0.1),
        "second": Track(str(file), 0.1, 0.2),
        "left": Track(str(file), 0.1, 0.2, "left"),
        "copied": Track(str(Path(copy)), 0.1, 0.2),
    }
    told = contents(
        [Clip(Media(name, frozenset({"audio"}), {"audio": track}), name, "1", "joy") for name, track in parts.items()],
        silent,
    )
    assert told["second"] == told["copied"]
    assert len({one.media for one in told.values()}) == 4
    assert len({told[name].sound for name in ("whole", "first", "second")}) == 3


def test_what_was_read_is_not_read_again_unless_it_changed(decoded: Counter[str], tmp_path: Path) -> None:
    first = known(ravdess(tmp_path))
    assert set(decoded.values()) == {1} and len(decoded) == 12
    assert known(tmp_path) == first
    assert decoded.total() == 12
    file = spoken(tmp_path, 2, "04")
    before = file.stat()
    wav(file, noise(9))  # of the same size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    second = known(tmp_path)
    assert decoded.total() == 13 and decoded[file.name] == 2
    assert {name for name in first if first[name] != second[name]} == {"01-04-01-01-01-02"}
    assert first["01-04-01-01-01-02"].media != second["01-04-01-01-01-02"].media


def test_an_interrupted_reading_goes_on_where_it_was(
    decoded: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting: Callable[[Track, str], Probe] = vars(content)["probe"]

    def interrupted(track: Track, kind: str) -> Probe:
        if decoded.total() == 7:
            raise KeyboardInterrupt
        return counting(track, kind)

    monkeypatch.setattr(content, "probe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        known(ravdess(tmp_path))
    monkeypatch.setattr(content, "probe", counting)
    assert len(known(tmp_path)) == 12
    assert decoded.total() == 12


@pytest.mark.parametrize("broken", [1, 3])
def test_unreadable_files_are_named_in_one_line(broken: int, decoded: Counter[str], tmp_path: Path) -> None:
    ravdess(tmp_path)
    for person in range(1, broken + 1):
        spoken(tmp_path, person, "03").write_bytes(f"no sound {person}".encode())
    with pytest.raises(DatasetError) as raised:
        known(tmp_path)
    assert "01-03-01-01-01-01" in str(raised.value) and "--exclude" in str(raised.value)
    assert ("unreadable too: 01-03-01-01-01-02, 01-03-01-01-01-03" in str(raised.value)) is (broken == 3)
    assert len(str(raised.value).splitlines()) == 1
    for person in range(1, broken + 1):
        spoken(tmp_path, person, "03").unlink()
    assert len(known(tmp_path)) == 12 - broken
    assert decoded.total() == 12  # those that could be read were kept


def twin(root: Path, emotion: str) -> Clips:
    """Two people's clips of two sentences; one file is the lossless copy of another, under another name."""
    for person in (1, 2, 3, 4):
        for statement in (1, 2):
            seed = 10 * person + statement
            wav(spoken(root, person, "03", statement), noise(seed))
            wav(spoken(root, person, "05", statement), noise(seed + 100))
    spoken(root, 1, "03", 2).unlink()
    flac = spoken(root, 1, emotion, 2, "flac")
    spoken(root, 1, emotion, 2).unlink(missing_ok=True)
    sound_file(flac, noise(11)[None], 8_000)
    return clips(root)


def test_the_same_sound_in_two_containers_is_never_parted(decoded: Counter[str], tmp_path: Path) -> None:
    found = twin(tmp_path, "03")
    told = contents(found, silent)
    one, other = (next(c for c in found if c.name == f"01-03-01-{n}-01-01") for n in ("01", "02"))
    assert told[one.media.clip_id].media != told[other.media.clip_id].media
    assert told[one.media.clip_id].sound == told[other.media.clip_id].sound
    joined = tied(found, told)
    assert Counter(Counter(clip.recording for clip in joined).values()) == {1: 14, 2: 1}
    pair = {one.name, other.name}
    tried = 0
    for name in [*names("protocols"), *(f"random-holdout:share=0.5,seed={seed}" for seed in range(20))]:
        try:
            folds = list(build("protocols", name).folds(joined))
        except ProtocolError:  # this copy has no sessions or official splits
            continue
        tried += 1
        for fold in folds:
            tested = pair & {clip.name for clip in fold._test}
            assert not (tested and pair & {clip.name for clip in fold.train}), name
    assert tried >= 23


def test_the_same_sound_under_two_labels_is_an_error(decoded: Counter[str], tmp_path: Path) -> None:
    found = twin(tmp_path, "05")
    with pytest.raises(DatasetError) as raised:
        tied(found, contents(found, silent))
    told = str(raised.value)
    assert "01-03-01-01-01-01" in told and "01-05-01-02-01-01" in told and "--exclude" in told
    assert "happiness" in told and "anger" in told
    assert len(told.splitlines()) == 1


def test_silence_ties_nothing(decoded: Counter[str], tmp_path: Path) -> None:
    ravdess(tmp_path)
    wav(spoken(tmp_path, 1, "03"), np.zeros(2_000))
    wav(spoken(tmp_path, 2, "05"), np.zeros(2_001))
    found = clips(tmp_path)
    assert len({clip.recording for clip in tied(found, contents(found, silent))}) == 12


def test_the_corpus_digest_is_of_people_labels_and_content_in_any_order(decoded: Counter[str], tmp_path: Path) -> None:
    found = clips(ravdess(tmp_path))
    told = contents(found, silent)
    first = corpus_digest(found, told)
    assert corpus_digest(found[::-1], told) == first
    assert corpus_digest(found[1:], told) != first
    for changed in ({"label": "calm"}, {"subject": "24"}):
        other = [replace(clip, **changed) if clip is found[5] else clip for clip in found]  # type: ignore[arg-type]
        assert corpus_digest(other, told) != first


@given(
    st.lists(st.tuples(*[st.sampled_from(["a", "b", "é", ""])] * 2, st.sampled_from(["00", "11", "22"])), max_size=8)
)
def test_the_digest_of_a_corpus_is_that_of_its_facts_as_json(facts: list[tuple[str, str, str]]) -> None:
    some = [
        Clip(Media(f"{n:02}", frozenset(), {}), f"{n}", person or None, label)
        for n, (person, label, _) in enumerate(facts)
    ]
    told = Contents.of({f"{n:02}": Content(digest, "") for n, (_, _, digest) in enumerate(facts)})
    plain = json.dumps(sorted((digest, person, label) for person, label, digest in facts))
    assert corpus_digest(some, told) == hashlib.sha256(plain.encode()).hexdigest()


def test_a_file_that_vanishes_before_it_is_read_is_named(
    decoded: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravdess(tmp_path)
    found = clips(tmp_path)

    def late(work: Callable[[Clip], object], items: Sequence[Clip]) -> Iterator[object]:
        Path(items[0].media._tracks["audio"].place).unlink()
        return map(work, items)

    monkeypatch.setattr("benchmarks.content.each", late)
    with pytest.raises(DatasetError, match=rf"unreadable: {found[0].name}: .*No such file"):
        contents(found, silent)


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.randoms(use_true_random=False))
def test_each_place_is_found_or_an_error_tells_what_is_not(known: list[str], random: Any) -> None:
    asked = random.choices([*known, "z"], k=5)
    order = np.argsort(np.array(known, "S1"), kind="stable")
    if "z" in asked:
        with pytest.raises(KeyError, match="z"):
            located(np.array(asked, "S1"), np.array(known, "S1"), order)
    else:
        told = located(np.array(asked, "S1"), np.array(known, "S1"), order).tolist()
        assert told == [known.index(one) for one in asked]
