"""One contract for every corpus, on its rendered stand-in; and every fault that a copy can have, by name."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from benchmarks.plugins import build, load
from datasets.base import Dataset
from datasets.clips import DatasetError
from datasets.rendering.film import Studio, write
from datasets.standin import recorded_as
from tests.conftest import CORPORA, tiny

Corpus = Callable[[str], Dataset]
PICTURES = ("affectnet", "fer-plus", "raf-db")  # without sound and without person ids


@pytest.mark.parametrize("name", CORPORA)
def test_standin_is_complete_and_readable(name: str, rendered: Corpus) -> None:
    corpus = rendered(name)
    report = corpus.check(2)
    assert [str(fault) for fault in report.faults] == []
    assert report.standin
    assert len(report.listing.clips) == report.expected[0] > 0
    assert {clip.label for clip in report.listing.clips} == set(corpus.labels)


@pytest.mark.parametrize("name", CORPORA)
def test_index_agrees_with_the_plan(name: str, rendered: Corpus) -> None:
    corpus = rendered(name)
    planned = {s.entry.name: s.entry for plan in corpus.plan(False) for s in plan.scenes if not s.entry.left_out}
    clips = corpus.index()
    assert {clip.name for clip in clips} == {n for n, entry in planned.items() if entry.label in corpus.labels}
    for clip in clips:
        entry = planned[clip.name]
        told = (clip.label, clip.subject, clip.session, clip.sentence, clip.split)
        assert told == (entry.label, entry.subject, entry.session, entry.sentence, entry.split)


@pytest.mark.parametrize("name", CORPORA)
def test_media_plays_in_step(name: str, rendered: Corpus) -> None:
    clip = rendered(name).index()[0]
    if name in PICTURES:
        with pytest.raises(DatasetError, match="has no audio, only video"):
            clip.media.audio(16_000)
        for per_second in (None, 0.1, 10, 1000.0):
            (frame,) = clip.media.frames(per_second)
            assert frame.dtype == np.uint8 and frame.shape[2] == 3 and frame.std() > 10
        return
    sound = clip.media.audio(16_000)
    assert 1 < len(sound) / 16_000 < 4
    if "video" in clip.media.has:
        frames = list(clip.media.frames(10))
        assert abs(len(frames) / 10 - len(sound) / 16_000) < 0.25
        assert frames[0].shape[2] == 3


@pytest.mark.parametrize("name", CORPORA)
def test_nothing_visible_of_media_tells_label_subject_or_path(name: str, rendered: Corpus) -> None:
    for clip in rendered(name).index():
        seen = repr(clip.media) + str({key: getattr(clip.media, key) for key in ("clip_id", "has")})
        assert clip.name not in seen
        assert "/" not in seen
        assert clip.label not in seen


@pytest.mark.parametrize("name", CORPORA)
def test_whole_plan_has_the_real_counts(name: str) -> None:
    corpus = load("datasets", name)(Path())
    entries = {s.entry.name: s.entry for plan in corpus.plan(True) for s in plan.scenes}
    clips = [e for e in entries.values() if not e.left_out and e.label in corpus.labels]
    low, high = corpus.expected.clips
    if name != "iemocap":  # its stand-in has as many sessions and speakers, but fewer utterances
        assert low <= len(clips) <= high
        counts = Counter(e.label for e in clips)
        assert all(counts[label] == count for label, count in corpus.expected.labels.items())
    subjects = {e.subject for e in clips if e.subject}
    assert corpus.expected.subjects[0] <= len(subjects) <= corpus.expected.subjects[1]


@pytest.mark.parametrize("name", CORPORA)
def test_default_protocol_runs_and_is_never_violated(name: str, rendered: Corpus) -> None:
    corpus = rendered(name)
    clips = corpus.index()
    if name == "iemocap":  # a single dialogue cannot be split
        pytest.skip("the tiny stand-in has one session")
    folds = list(build("protocols", corpus.default_protocol, corpus.protocol_settings).folds(clips))
    assert {fold.independence for fold in folds} == {"unknown" if name in (*PICTURES, "afew") else "verified"}


@pytest.mark.parametrize("name", CORPORA)
def test_rendering_is_deterministic(name: str, tmp_path: Path) -> None:
    corpus = tiny(name, tmp_path)
    plan = min(corpus.plan(False), key=lambda plan: sum(scene.seconds for scene in plan.scenes))
    studio = Studio(corpus.name, 0, recorded_as(corpus, False))
    contents = []
    for folder in ("first", "second"):
        write(plan, tmp_path / folder, studio)
        contents.append((tmp_path / folder / plan.path).read_bytes())
    assert contents[0] == contents[1]
    write(plan, tmp_path / "other", Studio(corpus.name, 1, recorded_as(corpus, False)))
    assert (tmp_path / "other" / plan.path).read_bytes() != contents[0]


def media_file(corpus: Dataset, suffix: str = "") -> Path:
    clip = next(c for c in corpus.index() if "video" in c.media.has and c.media._tracks["video"].file.suffix != ".wav")
    file = clip.media._tracks["video"].file
    assert not suffix or file.suffix == suffix
    return file


def faults(corpus: Dataset) -> set[tuple[str, str]]:
    """Without what a tiny copy lacks of the whole corpus anyway."""
    return {(p.kind, p.name) for p in corpus.check().faults if not (p.kind == "missing" and p.name == corpus.name)}


@pytest.mark.xdist_group("baum1s")
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file_is_named(share: float, copied: Corpus) -> None:
    corpus = copied("baum1s")
    file = media_file(corpus, ".mp4")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert faults(corpus) == {("unreadable", file.stem)}


@pytest.mark.xdist_group("enterface05")
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_avi_is_named(share: float, copied: Corpus) -> None:
    corpus = copied("enterface05")
    file = media_file(corpus, ".avi")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert {kind for kind, _ in faults(corpus)} == {"unreadable"}


@pytest.mark.xdist_group("enterface05")
def test_text_called_avi_is_named(copied: Corpus) -> None:
    corpus = copied("enterface05")
    file = media_file(corpus, ".avi")
    file.write_text("no film")
    name = corpus.read(PurePosixPath(file.relative_to(corpus.root).as_posix()))
    assert name is not None
    assert faults(corpus) == {("unreadable", name.name)}


@pytest.mark.xdist_group("baum1s")
def test_row_without_file_and_file_without_row_are_named(copied: Corpus) -> None:
    corpus = copied("baum1s")
    first, second = (clip.media._tracks["video"].file for clip in corpus.index()[:2])
    shutil.copy(first, first.with_name("S001_999.mp4"))
    second.unlink()
    found = faults(tiny("baum1s", corpus.root))
    assert ("unexpected", "S001_999") in found
    assert ("missing", second.stem) in found


@pytest.mark.xdist_group("rml")
def test_same_clip_under_two_names_is_named_and_tied(copied: Corpus) -> None:
    corpus = copied("rml")
    file = corpus.root / "rml-1/s1/an1.avi"
    shutil.copy(file, file.with_name("an99.avi"))
    again = tiny("rml", corpus.root)
    assert ("duplicated", "s1/an99") in faults(again)
    recordings = {clip.name: clip.recording for clip in again.index()}
    assert recordings["s1/an1"] == recordings["s1/an99"]


@pytest.mark.xdist_group("rml")
def test_same_clip_under_another_label_or_person_is_contradictory(copied: Corpus) -> None:
    corpus = copied("rml")
    shutil.copy(corpus.root / "rml-1/s1/an1.avi", corpus.root / "rml-1/s2/ha98.avi")
    again = tiny("rml", corpus.root)
    assert ("contradictory", "s2/ha98") in faults(again)
    with pytest.raises(DatasetError, match=r"s2/ha98.*exclude"):
        again.index()
    kept = type(again)(corpus.root, {"s2/ha98"})
    assert kept.scan().excluded == ("s2/ha98",)
    assert "s2/ha98" not in {clip.name for clip in kept.index()}


@pytest.mark.xdist_group("enterface05")
def test_label_that_contradicts_its_file_name_is_named(copied: Corpus) -> None:
    corpus = copied("enterface05")
    file = corpus.root / "enterface database/subject 1/anger/sentence 1/s1_an_1.avi"
    file.rename(file.with_name("s1_ha_1.avi"))
    assert faults(tiny("enterface05", corpus.root)) == {("contradictory", "s1_an_1")}


@pytest.mark.xdist_group("ravdess")
def test_one_performance_is_one_clip_and_wrong_actor_is_named(copied: Corpus) -> None:
    corpus = copied("ravdess")
    names = [clip.name for clip in corpus.index()]
    assert len(names) == len(set(names))
    both = [path for path in corpus.files if path.suffix == ".wav"]
    assert both
    clips = {clip.name: clip for clip in corpus.index()}
    for path in both:
        assert clips[path.stem[3:]].media.has == {"audio", "video"}
    stray = corpus.root / "Video_Speech_Actor_01/Actor_01"
    file = next(stray.iterdir())
    file.rename(stray / re.sub(r"-01\.mp4$", "-02.mp4", file.name))
    assert "contradictory" in {p.kind for p in tiny("ravdess", corpus.root).scan().problems}


@pytest.mark.xdist_group("crema-d")
def test_clip_known_to_have_no_sound_is_noted(rendered: Corpus) -> None:
    plan = next(p for p in load("datasets", "crema-d")(Path()).plan(False) if p.silent)
    assert plan.scenes[0].entry.name == "1076_MTI_SAD_XX"


@pytest.mark.xdist_group("baum1s")
def test_text_that_disagrees_with_its_code_is_noted_and_the_code_trusted(rendered: Corpus) -> None:
    listing = rendered("baum1s").scan()
    assert [p.name for p in listing.problems if p.kind == "note"] == ["S001_001"]
    assert next(clip for clip in listing.clips if clip.name == "S001_001").label == "anger"


@pytest.mark.xdist_group("ravdess")
def test_arousal_and_valence_leave_out_by_name(rendered: Corpus) -> None:
    corpus = rendered("ravdess")
    emotions = Counter(clip.label for clip in corpus.index())
    for task, classes in (("arousal", {"low", "high"}), ("valence", {"negative", "positive"})):
        listing = corpus.scan(task)
        assert {clip.label for clip in listing.clips} == classes
        left = sum(map(len, listing.left_out.values()))
        assert left == emotions["neutral"] + emotions["calm"]
        assert len(listing.clips) + left == sum(emotions.values())


@pytest.mark.xdist_group("rml")
def test_unknown_exclusion_is_an_error(rendered: Corpus) -> None:
    corpus = rendered("rml")
    with pytest.raises(DatasetError, match="s9/an1"):
        type(corpus)(corpus.root, {"s9/an1"}).scan()


@pytest.mark.xdist_group("iemocap")
def test_markers_and_halves(rendered: Corpus) -> None:
    clips = rendered("iemocap").index()
    worn = [clip for clip in clips if "mocap" in clip.media.has]
    assert {clip.subject for clip in worn} == {"Ses01_F"}
    assert worn[0].media.mocap().shape[1] == 165
    sides = {clip.subject: clip.media._tracks["video"].side for clip in clips}
    assert sides == {"Ses01_F": "left", "Ses01_M": "right"}


def test_real_recordings(real_ravdess: Dataset) -> None:
    clips = real_ravdess.index()
    assert len(clips) == 1080
    assert sum("video" in clip.media.has for clip in clips) == 7
    problems = real_ravdess.check(2).problems
    assert {p.name for p in problems if p.kind == "missing"} == {f"subject {n}" for n in range(19, 25)}
    assert [p.name for p in problems if p.kind not in ("missing", "note")] == ["01-03-01-02-02-07"]
