"""The facts that real paths tell, with the quirks of copies in circulation; nothing is rendered."""

import io
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

from benchmarks.plugins import load
from datasets.clips import DatasetError


@pytest.mark.parametrize(
    ("name", "path", "facts"),
    [
        ("ravdess", "Video_Speech_Actor_01/Actor_01/01-01-06-01-02-01-01.mp4", ("01-06-01-02-01-01", "01", "fear")),
        ("ravdess", "Actor_12/03-01-02-02-01-02-12.flac", ("01-02-02-01-02-12", "12", "calm")),
        ("ravdess", "03-01-08-01-02-01-24", ("01-08-01-02-01-24", "24", "surprise")),
        ("enterface05", "enterface database/subject 1/anger/sentence 1/s1_an_1.avi", ("s1_an_1", "1", "anger")),
        ("enterface05", "enterface database/subject 6/fear/s6_fe_3.avi", ("s6_fe_3", "6", "fear")),
        ("enterface05", "enterface database/Subject 16/Anger/Sentence 1/S16_an_1.avi", ("s16_an_1", "16", "anger")),
        ("enterface05", "enterface database/subject 3/anger/sentence 1/s_3_an_1.avi", ("s3_an_1", "3", "anger")),
        ("enterface05", "enterface database/subject 02/Fear/Sentence 01/s2_fe_1.avi", ("s2_fe_1", "2", "fear")),
        ("enterface05", "s12_su_5", ("s12_su_5", "12", "surprise")),
        ("rml", "rml-1/s1/an1.avi", ("s1/an1", "s1", "anger")),
        ("rml", "rml-2/s8/Italian/su12.avi", ("s8/italian/su12", "s8", "surprise")),
        ("rml", "rml-2/Italian/s8/su12.avi", ("s8/italian/su12", "s8", "surprise")),
        ("baum1s", "BAUM1s_MP4 - All/s001/S001_015.mp4", ("S001_015", "S001", None)),
        ("baum1s", "BAUM1s_MP4_all/S014/s014_002.mp4", ("S014_002", "S014", None)),
        ("afew", "Train_AFEW/Angry/000046280.avi", ("train/000046280", None, "anger")),
        ("afew", "Val_AFEW/Happy/000046280.avi", ("val/000046280", None, "happiness")),
        ("crema-d", "AudioWAV/1001_DFA_ANG_XX.wav", ("1001_DFA_ANG_XX", "1001", "anger")),
        ("crema-d", "1040_ITH_SAD_X", ("1040_ITH_SAD_X", "1040", "sadness")),
        (
            "iemocap",
            "S1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav",
            ("Ses01F_impro01_M003", "Ses01_M", None),
        ),
        ("iemocap", "Ses05M_script01_1b_F012", ("Ses05M_script01_1b_F012", "Ses05_F", None)),
    ],
)
def test_facts(name: str, path: str, facts: tuple[str, str | None, str | None]) -> None:
    entry = load("datasets", name)(Path()).read(PurePosixPath(path))
    assert (entry.name, entry.subject, entry.label) == facts
    assert entry.contradiction == ""


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ravdess", "Actor_02/01-01-06-01-02-01-01.mp4"),
        ("ravdess", "01-01-01-02-01-01-01"),
        ("enterface05", "subject 2/fear/sentence 1/s1_fe_1.avi"),
        ("enterface05", "subject 1/fear/sentence 1/s1_an_1.avi"),
        ("baum1s", "BAUM1s_MP4 - All/s002/S001_015.mp4"),
    ],
)
def test_contradictions(name: str, path: str) -> None:
    assert load("datasets", name)(Path()).read(PurePosixPath(path)).contradiction


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ravdess", "Actor_25/01-01-06-01-02-01-25.mp4"),
        ("rml", "an1.avi"),
        ("afew", "Train_AFEW/Bored/0001.avi"),
        ("crema-d", "1001_DFA_BOR_XX.wav"),
        ("baum1s", "readme.mp4"),
    ],
)
def test_strangers_are_no_clips(name: str, path: str) -> None:
    assert load("datasets", name)(Path()).read(PurePosixPath(path)) is None


def baum(root: Path, table: str, clips: list[str]) -> Path:
    for clip in clips:
        file = root / "BAUM1s_MP4_all" / clip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(clip)
    (root / "Annotations_BAUM1s.csv").write_text(table, encoding="utf-8-sig")
    return root


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_annotation_export(delimiter: str, tmp_path: Path) -> None:
    rows = [
        "No,Subject,Gender,Clip name,Emotion,Emotion code,Onset",
        "1,1,F,S001_001,Anger,1,0",
        "2,1,F,S001_002,Boredom,2,0",
    ]
    clips = ["s001/S001_001.mp4", "s001/s001_002.mp4", ".DS_Store", "s001/._S001_001.mp4", "Thumbs.db"]
    root = baum(tmp_path, "\n".join(rows).replace(",", delimiter), clips)
    listing = load("datasets", "baum1s")(root).scan()
    assert [(clip.name, clip.label) for clip in listing.clips] == [("S001_001", "anger")]
    assert [clip.name for some in listing.left_out.values() for clip in some] == ["S001_002"]
    assert listing.problems == ()


def test_annotation_faults(tmp_path: Path) -> None:
    rows = "no,clip name,emotion,code\n1,S001_001,Happy,10\n2,S001_002,Anger,77\n3,S001_003,Fear,7\n4,S001_003,Fear,8\n"
    root = baum(tmp_path, rows, [f"s001/S001_00{n}.mp4" for n in (1, 2, 3)])
    listing = load("datasets", "baum1s")(root).scan()
    told = {(problem.kind, problem.name) for problem in listing.problems}
    assert told == {("note", "S001_001"), ("contradictory", "S001_002"), ("contradictory", "S001_003")}
    assert {clip.name: clip.label for clip in listing.clips}["S001_001"] == "sadness"


def test_blank_rows_of_an_export_are_no_clips(tmp_path: Path) -> None:
    root = baum(tmp_path, ",,,\nno,clip name,emotion,code\n\n1,S001_001,Fear,7\n,,,\n  , ,,\n", ["s001/S001_001.mp4"])
    listing = load("datasets", "baum1s")(root).scan()
    assert [(clip.name, clip.label) for clip in listing.clips] == [("S001_001", "fear")]
    assert listing.problems == ()


def workbook() -> bytes:
    """One row, for S001_001, that says anger."""
    corpus = load("datasets", "baum1s")(Path())
    ((_, content),) = corpus.annotations([corpus.planned("s001/S001_001.mp4", False, label="anger")])
    return bytes(content)


def test_of_two_annotations_the_workbook_is_used_and_the_other_noted(tmp_path: Path) -> None:
    root = baum(tmp_path, "no,clip name,emotion,code\n1,S001_001,Fear,7\n", ["s001/S001_001.mp4"])
    (root / "Annotations_BAUM1s.xlsx").write_bytes(workbook())
    listing = load("datasets", "baum1s")(root).scan()
    assert [clip.label for clip in listing.clips] == ["anger"]
    (note,) = (problem for problem in listing.problems if problem.name != "S001_001")
    assert (note.kind, note.name) == ("note", "Annotations_BAUM1s.csv")
    assert "Annotations_BAUM1s.xlsx" in note.what


def without(part: str, content: bytes) -> bytes:
    """The workbook with one of its parts cut short."""
    damaged = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as old, ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 99 if name.endswith(part) else None])
    return damaged.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"no workbook", workbook()[:900], without("sheet1.xml", workbook()), without("workbook.xml", workbook())],
    ids=["empty", "text", "cut short", "damaged sheet", "damaged book"],
)
def test_a_damaged_workbook_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "Annotations_BAUM1s.xlsx").write_bytes(content)
    with pytest.raises(DatasetError, match=r"Annotations_BAUM1s\.xlsx is no Excel workbook") as caught:
        load("datasets", "baum1s")(tmp_path).scan()
    assert len(str(caught.value).splitlines()) == 1


def test_corpus_without_its_annotation_says_what_to_get(tmp_path: Path) -> None:
    (tmp_path / "s001").mkdir()
    (tmp_path / "s001/S001_001.mp4").touch()
    with pytest.raises(DatasetError, match="Annotations_BAUM1s"):
        load("datasets", "baum1s")(tmp_path).scan()
    with pytest.raises(DatasetError, match="EmoEvaluation"):
        load("datasets", "iemocap")(tmp_path).scan()
