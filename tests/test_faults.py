"""Faults that show without decoding: files are a few bytes of text, and every one of them must be accounted for."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.plugins import load
from datasets.base import Dataset, Listing
from datasets.clips import DatasetError, Media, Track


def corpus(name: str, root: Path, files: Mapping[str, str | None], exclude: str = "") -> Dataset:
    """A folder of small files; a file's content is its own path where none is given."""
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path if content is None else content)
    made: Dataset = load("datasets", name)(root, {exclude} - {""})
    return made


def told(listing: Listing) -> set[tuple[str, str]]:
    return {(problem.kind, problem.name) for problem in listing.problems}


DIALOG, SENTENCES = "Session1/dialog", "Session1/sentences"
RELEASE: dict[str, str | None] = {
    f"{DIALOG}/EmoEvaluation/Ses01F_impro01.txt": (
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[0.5 - 2.5]\tSes01F_impro01_F000\tang\t[2.5, 2.5, 2.5]\nC-E1:\tAnger;\t()\n\n"
        "[3 - 4.25]\tSes01F_impro01_M000\tneu\t[2.5, 2.5, 2.5]\n"
    ),
    f"{DIALOG}/avi/DivX/Ses01F_impro01.avi": None,
    f"{SENTENCES}/wav/Ses01F_impro01/Ses01F_impro01_F000.wav": None,
    f"{SENTENCES}/wav/Ses01F_impro01/Ses01F_impro01_M000.wav": None,
    f"{SENTENCES}/MOCAP_rotated/Ses01F_impro01/Ses01F_impro01_F000.txt": None,
    "README.txt": None,
    "Documentation/corpus.dic": None,
    f"{DIALOG}/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt": None,
    f"{DIALOG}/EmoEvaluation/Attribute/Ses01F_impro01_e2_atr.anvil": None,
    f"{DIALOG}/lab/Ses01_F/Ses01F_impro01.lab": None,
    f"{DIALOG}/wav/Ses01F_impro01.wav": None,
    f"{SENTENCES}/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg": None,
    f"{SENTENCES}/MOCAP_hand/Ses01F_impro01/Ses01F_impro01_F000.txt": None,
}


def row(name: str) -> str:
    return f"[1.0 - 2.0]\t{name}\tsad\t[2.5, 2.5, 2.5]\n"


@pytest.mark.parametrize(
    ("more", "less", "expected"),
    [
        ({}, "", set()),
        ({f"{DIALOG}/avi/DivX/Ses01F_impro02.avi": None}, "", {"unexpected"}),
        ({f"{SENTENCES}/MOCAP_rotated/Ses01F_impro01/Ses01F_impro01_F009.txt": None}, "", {"unexpected"}),
        ({f"{SENTENCES}/wav/Ses01F_impro01/Ses01F_impro01_F009.wav": None}, "", {"unexpected"}),
        ({"notes.docx": None}, "", {"unexpected"}),
        ({f"{DIALOG}/avi/DivX/Ses01F_impro01.mp4": None}, "", {"unexpected"}),
        ({f"{DIALOG}/transcriptions/cache.pkl": None}, "", {"unexpected"}),
        ({f"{DIALOG}/EmoEvaluation/Ses01F_impro03.txt": "nothing here\n"}, "", {"unexpected"}),
        ({}, f"{DIALOG}/avi/DivX/Ses01F_impro01.avi", set()),  # without any film: a copy of the sound alone
        ({}, f"{SENTENCES}/wav/Ses01F_impro01/Ses01F_impro01_M000.wav", {"missing"}),
        ({}, f"{SENTENCES}/MOCAP_rotated/Ses01F_impro01/Ses01F_impro01_F000.txt", set()),
    ],
)
def test_every_file_of_iemocap_is_accounted_for(
    more: dict[str, str | None], less: str, expected: set[str], tmp_path: Path
) -> None:
    files = {path: content for path, content in (RELEASE | more).items() if path != less}
    listing = corpus("iemocap", tmp_path, files).scan()
    assert told(listing) == {(kind, min(more, default=less)) for kind in expected}
    assert len(listing.clips) == 2 - ("missing" in expected)


@pytest.mark.parametrize(
    ("session", "text", "kind", "name"),
    [
        (1, "[1.0 - x]\tSes01F_script01_F000\n", "unexpected", "Session1/dialog/EmoEvaluation/Ses01F_script01.txt"),
        (1, row("Ses01F_script01_F000"), "missing", f"{SENTENCES}/wav/Ses01F_script01/Ses01F_script01_F000.wav"),
        (1, row("Ses01F_impro09_F000"), "contradictory", "Ses01F_impro09_F000"),
        (1, row("Ses01F_script011_F000"), "contradictory", "Ses01F_script011_F000"),
        (1, row("Ses01F_script01_X000"), "contradictory", "Ses01F_script01_X000"),
        (2, row("Ses01F_script01_F000"), "contradictory", "Ses01F_script01_F000"),
    ],
)
def test_every_row_of_iemocap_is_accounted_for(session: int, text: str, kind: str, name: str, tmp_path: Path) -> None:
    sound = {path: content for path, content in RELEASE.items() if not path.endswith(".avi")}
    evaluation = f"Session{session}/dialog/EmoEvaluation/Ses01F_script01.txt"
    listing = corpus("iemocap", tmp_path, sound | {evaluation: text}).scan()
    assert told(listing) == {(kind, name)}
    assert len(listing.clips) == 2


def test_a_dialogue_without_its_film_is_named_where_others_have_theirs(tmp_path: Path) -> None:
    wav = f"{SENTENCES}/wav/Ses01F_script01/Ses01F_script01_F000.wav"
    files = RELEASE | {f"{DIALOG}/EmoEvaluation/Ses01F_script01.txt": row("Ses01F_script01_F000"), wav: None}
    listing = corpus("iemocap", tmp_path, files).scan()
    assert told(listing) == {("missing", f"{DIALOG}/avi/DivX/Ses01F_script01.avi")}
    assert sorted(len(clip.media.has) for clip in listing.clips) == [1, 2, 3]


ENTERFACE = "enterface database/subject {}/{}/sentence {}/s{}_{}_{}.avi"


def enterface(subject: int, emotion: str, sentence: int) -> str:
    return ENTERFACE.format(subject, emotion, sentence, subject, emotion[:2], sentence)


@pytest.mark.parametrize(
    ("other", "name", "kind"),
    [
        (enterface(1, "fear", 1), "s1_fe_1", "contradictory"),
        (enterface(2, "anger", 1), "s2_an_1", "contradictory"),
        (enterface(1, "anger", 2), "s1_an_2", "duplicated"),
    ],
)
def test_same_content_is_one_recording_and_must_have_one_label_and_person(
    other: str, name: str, kind: str, tmp_path: Path
) -> None:
    listing = corpus("enterface05", tmp_path, {enterface(1, "anger", 1): "same", other: "same"}).scan()
    assert told(listing) == {(kind, name)}
    assert {clip.recording for clip in listing.clips} == {"s1_an_1"}


@pytest.mark.parametrize("name", ["s3_an_1", "enterface database/subject 3/anger/s_3_an_1.avi", "s_3_an_1"])
def test_a_clip_is_excluded_by_its_name_its_path_or_its_stem(name: str, tmp_path: Path) -> None:
    files = {"enterface database/subject 3/anger/s_3_an_1.avi": None, enterface(1, "fear", 1): None}
    listing = corpus("enterface05", tmp_path, files, name).scan()
    assert [clip.name for clip in listing.clips] == ["s1_fe_1"]
    assert listing.excluded == (name,)


def test_a_link_to_nowhere_is_named_and_can_be_excluded(tmp_path: Path) -> None:
    files = {enterface(1, "anger", 1): None}
    gone = enterface(1, "fear", 1)
    made = corpus("enterface05", tmp_path, files)
    (tmp_path / gone).parent.mkdir(parents=True)
    (tmp_path / gone).symlink_to(tmp_path / "moved away.avi")
    assert told(made.scan()) == {("unreadable", gone)}
    assert told(corpus("enterface05", tmp_path, {}, gone).scan()) == set()


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    corpus("enterface05", tmp_path / "disk", {"1/anger/sentence 1/s1_an_1.avi": None})
    (tmp_path / "enterface05").mkdir()
    (tmp_path / "enterface05/subject 1").symlink_to(tmp_path / "disk/1", target_is_directory=True)
    assert [clip.name for clip in corpus("enterface05", tmp_path / "enterface05", {}).index()] == ["s1_an_1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    made = corpus("enterface05", tmp_path, {enterface(1, "anger", 1): None, enterface(2, "fear", 1): None})
    closed = tmp_path / "enterface database/subject 2"
    closed.chmod(0)
    try:
        with pytest.raises(DatasetError, match="subject 2 cannot be read"):
            made.scan()
    finally:
        closed.chmod(0o700)


def test_the_id_of_a_clip_cannot_be_had_from_its_name_alone(tmp_path: Path) -> None:
    ids = [
        corpus("enterface05", tmp_path / folder, {enterface(1, "anger", 1): content}).index()[0].media.clip_id
        for folder, content in (("a", "12"), ("b", "123"), ("c", "12"))
    ]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


def test_clips_outside_the_benchmark_are_decoded_too(tmp_path: Path) -> None:
    report = corpus("afew", tmp_path, {"Test_vid/000046280.avi": "no film"}).check()
    assert {problem.name for problem in report.of("unreadable")} == {"test/000046280"}


def test_a_number_in_two_splits_of_afew_is_noted_once(tmp_path: Path) -> None:
    films = ("Train_AFEW/Angry/01.avi", "Train_AFEW/Angry/02.avi", "Val_AFEW/Sad/01.avi", "Test_vid/02.avi")
    listing = corpus("afew", tmp_path, dict.fromkeys(films)).scan()
    assert [(p.kind, p.what.split()[0]) for p in listing.problems] == [("note", "1")]
    assert len({clip.recording for clip in listing.clips}) == 3


@pytest.mark.parametrize(
    ("sounds", "notes"), [([], 0), (["01-01-01-01-01-01"], 1), (["01-01-01-01-01-01", "01-01-01-02-01-01"], 0)]
)
def test_sound_from_files_of_several_kinds_is_noted_once(sounds: list[str], notes: int, tmp_path: Path) -> None:
    films = [f"Actor_01/01-01-01-01-0{statement}-01-01.mp4" for statement in (1, 2)]
    files = dict.fromkeys([*films, *(f"Actor_01/03-{name}.wav" for name in sounds)])
    report = corpus("ravdess", tmp_path, files).check()
    assert [problem.name for problem in report.of("note")] == ["ravdess"] * notes


@pytest.mark.parametrize("content", [None, "no media"])
@pytest.mark.parametrize("kind", ["audio", "video", "mocap"])
def test_errors_of_media_do_not_tell_the_path(kind: str, content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "s1_anger.avi"
    if content:
        file.write_text(content)
    media = Media("ab12", frozenset({kind}), {kind: Track(str(file))})
    read = {"audio": lambda: media.audio(16_000), "video": lambda: list(media.frames()), "mocap": media.mocap}
    with pytest.raises(DatasetError, match="clip ab12") as caught:
        read[kind]()
    assert "anger" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
