"""Corpora of single pictures: what their tables say, and what is cut out of a picture."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks.content import contents
from benchmarks.plugins import build, load
from datasets.base import Dataset, Listing
from datasets.clips import Clip, DatasetError
from tests.tinybench import silent

Picture = npt.NDArray[np.uint8]
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
LISTED = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def grey(number: int) -> Picture:
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def fer(root: Path, rows: Iterable[tuple[str, int, str, str]], end: str = "\n") -> Dataset:
    """Rows of Usage, picture, image name and votes."""
    rows = list(rows)
    root.mkdir(exist_ok=True)
    levels = [" ".join(map(str, grey(picture).ravel())) for _, picture, _, _ in rows]
    pixels = [f"0,{level},{row[0]}" for level, row in zip(levels, rows, strict=True)]
    (root / "fer2013.csv").write_text(end.join(["emotion,pixels,Usage", *pixels, ""]), newline="")
    votes = [f"{usage},{name},{told}" for usage, _, name, told in rows]
    (root / "fer2013new.csv").write_text(end.join([VOTES, *votes, ""]), newline="")
    made: Dataset = load("datasets", "fer-plus")(root)
    return made


def photo(file: Path, picture: Picture) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file)
    return file


def places(height: int, width: int, number: int = 0) -> Picture:
    """Each pixel tells its row and its column, and the picture's number."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)


def labels(listing: Listing) -> dict[str, str]:
    return {clip.name: clip.label for clip in listing.clips}


def seen(clip: Clip) -> Picture:
    (picture,) = clip.media.frames(25)
    return picture


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fer_plus_votes(end: str, tmp_path: Path) -> None:
    rows = [
        ("Training", 1, "fer0000000.png", "4,0,0,1,3,2,0,0,0,0"),
        ("Training", 2, "fer0000001.png", "0,0,0,5,5,0,0,0,0,0"),  # a tie
        ("PublicTest", 3, "fer0000002.png", "0,0,0,0,0,0,0,5,5,0"),  # a tie with unknown
        ("Training", 4, "fer0000003.png", "3,0,0,0,0,0,0,0,7,0"),
        ("Training", 5, "fer0000004.png", "0,1,0,0,0,0,0,0,0,9"),
        ("Training", 6, "", "0,0,0,0,0,0,0,0,0,10"),
        ("PrivateTest", 7, "fer0000006.png", "0,0,9,0,0,0,1,0,0,0"),
    ]
    listing = fer(tmp_path, rows, end).scan()
    expected = {0: "neutral", 1: "sadness", 2: "contempt", 6: "surprise"}
    assert labels(listing) == {f"fer000000{row}": label for row, label in expected.items()}
    assert sorted(map(len, listing.left_out.values())) == [1, 1, 1]
    assert all(clip.media.framed for clip in listing.clips)
    assert {c.name: c.split for c in listing.clips}["fer0000002"] == "val"
    for clip, row in zip(listing.clips, expected, strict=True):  # the rows are found where they are, and only they
        assert (seen(clip) == grey(row + 1)[..., None]).all()
    assert any("2 pictures have another label with as many votes" in problem.what for problem in listing.problems)
    (fold,) = build("protocols", "official-split").folds(listing.clips)
    assert [media.clip_id for media in fold.test_media] == [listing.clips[-1].media.clip_id]
    assert {clip.split for clip in fold.train} == {"train", "val"}


def test_how_many_pictures_fer_plus_has_hangs_on_the_votes_alone(tmp_path: Path) -> None:
    """35,887 rows less those left out; what a copy lacks beyond that is missing."""
    some, nobody = "0,9,0,0,0,0,0,0,1,0", "0,0,0,0,0,0,0,0,2,8"
    rows = [("Training", row, f"fer000000{row}.png", nobody if row % 2 else some) for row in range(5)]
    corpus = fer(tmp_path, rows)
    report = corpus.check()
    assert corpus.expected.clips == report.expected == (35_887 - 2, 35_887 - 2)
    missing = {problem.what for problem in report.of("missing")}
    assert {"3 of 35885 clips are there", "5 rows of Training are there, 28709 are known"} <= missing


def test_the_same_pixels_in_training_and_test_never_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happy, sad = "0,9,0,0,0,0,0,0,1,0", "0,0,0,9,0,0,0,0,1,0"
    rows = [
        ("Training", 1, "fer0000000.png", happy),
        ("Training", 2, "fer0000001.png", sad),
        ("PublicTest", 2, "fer0000002.png", sad),
        ("PrivateTest", 1, "fer0000003.png", sad),
        ("PrivateTest", 3, "fer0000004.png", happy),
    ]
    listing = fer(tmp_path / "fer", rows).scan()
    recordings = {clip.name[-1]: clip.recording for clip in listing.clips}
    assert recordings["0"] == recordings["3"] and recordings["1"] == recordings["2"]
    assert len({*recordings.values()}) == 3
    (note,) = (problem for problem in listing.problems if problem.kind == "note")
    assert "2 pictures have the pixels of an earlier one" in note.what
    assert "1 on the other side of the official split, 1 under another label" in note.what
    (fold,) = build("protocols", "official-split").folds(listing.clips)
    assert fold.dropped == ("fer0000000",)
    assert {clip.name for clip in fold.train} == {"fer0000001", "fer0000002"}
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    known = contents(listing.clips, silent)
    assert len({known[clip.media.clip_id].media for clip in listing.clips}) == 3  # a digest follows the pixels alone


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("fer2013.csv", ",Training", ",Learning", r"fer2013\.csv row 2 has the Usage 'Learning'"),
        ("fer2013.csv", "0,", "0,7 ", r"fer2013\.csv row 2 holds 2305 grey levels"),
        ("fer2013.csv", "0,", "0,x", r"fer2013\.csv row 2 holds"),
        ("fer2013.csv", "pixels", "levels", r"fer2013\.csv lacks the columns pixels"),
        ("fer2013new.csv", ",9,", ",many,", r"fer2013new\.csv row 2 has the votes"),
        ("fer2013new.csv", ",9,", ",", r"fer2013new\.csv row 2 has the votes"),
        ("fer2013new.csv", "fer0000000.png", "first.png", r"fer2013new\.csv row 2 names 'first\.png'"),
        ("fer2013new.csv", "Training,", "PublicTest,", r"fer2013new\.csv row 2 says PublicTest, yet row 2"),
        ("fer2013new.csv", "contempt", "scorn", r"fer2013new\.csv lacks the column contempt"),
    ],
)
def test_malformed_rows_of_fer_plus_are_one_line(table: str, old: str, new: str, told: str, tmp_path: Path) -> None:
    rows = [
        ("Training", 1, "fer0000000.png", "0,9,0,0,0,0,0,0,1,0"),
        ("PrivateTest", 2, "fer0000001.png", "0,0,9,0,0,0,1,0,0,0"),
    ]
    corpus = fer(tmp_path, rows)
    text = (tmp_path / table).read_text()
    (tmp_path / table).write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=told) as caught:
        corpus.scan()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("short", "long"), [("fer2013new.csv", "fer2013.csv"), ("fer2013.csv", "fer2013new.csv")])
def test_tables_of_different_length_are_refused(short: str, long: str, tmp_path: Path) -> None:
    votes = "0,9,0,0,0,0,0,0,1,0"
    corpus = fer(tmp_path, [("Training", row, f"fer000000{row}.png", votes) for row in range(3)])
    lines = (tmp_path / short).read_text().splitlines()
    (tmp_path / short).write_text("\n".join(lines[:-1]))
    with pytest.raises(DatasetError, match=rf"{short} ends before row 4 of {long}"):
        corpus.scan()


def raf(root: Path, rows: str, pictures: Iterable[str]) -> Dataset:
    table = root / "basic/EmoLabel/list_patition_label.txt"
    table.parent.mkdir(parents=True)
    table.write_text(rows)
    for number, path in enumerate(pictures):
        photo(root / "basic/Image" / path, np.full((10, 10, 3), number, np.uint8))
    made: Dataset = load("datasets", "raf-db")(root)
    return made


def test_raf_db_list(tmp_path: Path) -> None:
    rows = "train_00001.jpg 5\ntrain_00002.jpg 1\n\ntest_0001.jpg 7\ntest_0002.jpg 3\n"
    pictures = ["aligned/train_00001_aligned.jpg", "original/train_00001.jpg", "original/train_00002.jpg"]
    listing = raf(tmp_path, rows, [*pictures, "aligned/test_0001_aligned.jpg", "aligned/test_0009_aligned.jpg"]).scan()
    assert labels(listing) == {"test_0001": "neutral", "train_00001": "sadness", "train_00002": "surprise"}
    assert [clip.split for clip in listing.clips] == ["test", "train", "train"]
    assert seen(listing.clips[1]).max() == 0  # the aligned one
    assert [clip.media.framed for clip in listing.clips] == [True, True, False]
    assert {(p.kind, p.name) for p in listing.problems} == {("missing", "test_0002"), ("unexpected", "test_0009")}


@pytest.mark.parametrize("row", ["train_00001.jpg 8", "train_00001.jpg", "face.jpg 3", "train_00001.jpg 1 2"])
def test_malformed_rows_of_raf_db_are_one_line(row: str, tmp_path: Path) -> None:
    corpus = raf(tmp_path, f"train_00002.jpg 1\n{row}\n", ["aligned/train_00002_aligned.jpg"])
    with pytest.raises(DatasetError, match=r"list_patition_label\.txt row 2 reads") as caught:
        corpus.index()
    assert len(str(caught.value).splitlines()) == 1


def test_the_same_file_twice_is_one_recording_and_no_contradiction(tmp_path: Path) -> None:
    corpus = raf(tmp_path, "train_00001.jpg 5\ntest_0001.jpg 1\ntest_0002.jpg 1\ntrain_00002.jpg 2\n", [])
    for number, name in enumerate(["train_00001", "test_0001", "test_0002", "train_00002"]):
        photo(tmp_path / f"basic/Image/aligned/{name}_aligned.jpg", np.full((10, 10, 3), number // 2, np.uint8))
    listing = corpus.scan()
    assert {p.kind for p in listing.problems} == {"note"}
    recordings = {clip.name: clip.recording for clip in listing.clips}
    assert recordings["train_00001"] == recordings["test_0001"] != recordings["test_0002"] == recordings["train_00002"]
    corpus.index()


NAMES = [f"{number}/{number:056x}" for number in range(6)]


def affectnet(root: Path, rows: Iterable[str], header: str = LISTED + "\n") -> Dataset:
    """training.csv with these rows, validation.csv with one; a picture of 60 rows and 80 columns for each name."""
    (root / "validation.csv").write_text(f"{LISTED}\n{listed(NAMES[5], '0,0,80,60', '1')}\n")
    (root / "training.csv").write_text(header + "".join(f"{row}\n" for row in rows))
    for number, name in enumerate(NAMES):
        photo(root / f"Manually_Annotated_Images/{name}.png", places(60, 80, number))
    made: Dataset = load("datasets", "affectnet")(root)
    return made


def listed(name: str, box: str, code: str) -> str:
    return f"{name}.png,{box},1;2;3,{code},-0.5,0.5"


@pytest.mark.parametrize("header", [LISTED + "\n", ""])
def test_boxes_are_cut_out(header: str, tmp_path: Path) -> None:
    boxes = ["10,20,30,25", "-5,-7,20,20", "70,50,40,40", "80,0,10,10"]
    rows = [listed(name, box, "6") for name, box in zip(NAMES, boxes, strict=False)]
    corpus = affectnet(tmp_path, [*rows, listed(NAMES[4], "NULL,NULL,NULL,NULL", "10")], header)
    listing = corpus.scan()
    assert listing.problems == ()
    assert [clip.split for clip in listing.clips] == ["train"] * 4 + ["test"]
    assert {label: len(some) for label, some in listing.left_out.items()} == {"labelled no face": 1}
    clips = listing.clips
    assert all(clip.media.framed for clip in clips)
    assert (seen(clips[0]) == places(60, 80, 0)[20:45, 10:40]).all()
    assert (seen(clips[1]) == places(60, 80, 1)[:13, :15]).all()  # what of the box lies in the picture
    assert (seen(clips[2]) == places(60, 80, 2)[50:, 70:]).all()
    assert (seen(clips[4]) == places(60, 80, 5)).all()
    with pytest.raises(DatasetError, match=r"80 x 60 pixels, but its box is \(80, 0, 90, 10\)") as caught:
        seen(clips[3])
    assert NAMES[3] not in str(caught.value)


def test_lists_and_pictures_that_disagree_are_named(tmp_path: Path) -> None:
    gone = f"9/{9:056x}"
    listing = affectnet(tmp_path, [listed(NAMES[0], "0,0,5,5", "0"), listed(gone, "0,0,5,5", "0")]).scan()
    kinds = {(p.kind, PurePosixPath(p.name).stem) for p in listing.problems}
    assert ("missing", PurePosixPath(gone).name) in kinds
    assert ("unexpected", PurePosixPath(NAMES[1]).name) in kinds
    (tmp_path / "validation.csv").unlink()
    again = load("datasets", "affectnet")(tmp_path).scan()
    assert ("missing", "validation.csv") in {(p.kind, p.name) for p in again.problems}


@pytest.mark.parametrize("again", [listed(NAMES[0].upper(), "0,0,5,5", "0"), listed(NAMES[0], "1,1,5,5", "9")])
def test_a_picture_listed_twice_is_told_as_that(again: str, tmp_path: Path) -> None:
    first = [listed(name, "0,0,5,5", "3") for name in NAMES[:5]]
    corpus = affectnet(tmp_path, [*first, again, listed(NAMES[5], "0,0,5,5", "2")])
    (training, validation) = corpus.scan().problems
    assert {training.kind, validation.kind} == {"duplicated"}
    assert (training.name.lower(), validation.name) == (NAMES[0], NAMES[5])
    assert training.what == "listed twice: again in training.csv row 7; its first row is used"
    assert validation.what == "listed twice: again in validation.csv row 2; its first row is used"
    assert labels(corpus.scan()) == {**dict.fromkeys(NAMES[:5], "surprise"), NAMES[5]: "sadness"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (listed(NAMES[1], "0,0,5,5", "11"), "the expression '11'; 0 to 10"),
        (listed(NAMES[1], "0,0,5,5", "joy"), "the expression 'joy'"),
        (f"{NAMES[1]}.png,0,0", "the expression ''"),
        (listed(NAMES[1], "0,0,NULL,5", "3"), "the box 0,0,NULL,5"),
        (listed(NAMES[1], "0,0,inf,5", "3"), "the box 0,0,inf,5"),
    ],
)
def test_malformed_rows_of_affectnet_are_one_line(row: str, told: str, tmp_path: Path) -> None:
    corpus = affectnet(tmp_path, [listed(NAMES[0], "0,0,5,5", "0"), row])
    with pytest.raises(DatasetError, match=r"training\.csv row 3 gives") as caught:
        corpus.index()
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_faces_already_cut_out(tmp_path: Path) -> None:
    codes = [np.array("3"), np.array(7), np.array(0.0), np.array(9), np.array({"joy": 1}, dtype=object), np.zeros(2)]
    for part in ("train", "val"):
        for number, code in enumerate(codes[: 6 if part == "train" else 2]):
            photo(tmp_path / f"{part}_set/images/{number}.jpg", np.full((9, 9, 3), 10 * number + len(part), np.uint8))
            file = tmp_path / f"{part}_set/annotations/{number}_exp.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, code)
            np.save(file.with_name(f"{number}_val.npy"), np.array("0.1"))
    corpus = load("datasets", "affectnet")(tmp_path)
    listing = corpus.scan()
    told = {name: label for name, label in labels(listing).items() if name[-1] not in "45"}
    both = {"surprise": "0", "contempt": "1"}
    expected = {f"{part}_set/{number}": label for part in ("train", "val") for label, number in both.items()}
    assert told == expected | {"train_set/2": "neutral"}
    assert {clip.name: clip.split for clip in listing.clips}["val_set/0"] == "test"
    assert all(clip.media.framed for clip in listing.clips)
    assert [clip.name for some in listing.left_out.values() for clip in some] == ["train_set/3"]
    faults = {p.name: p.what for p in listing.problems}
    assert {p.kind for p in listing.problems} == {"contradictory"}
    assert "4_exp.npy is no plain .npy file" in faults["train_set/4"] and "allow_pickle" in faults["train_set/4"]
    assert "5_exp.npy holds" in faults["train_set/5"]
    with pytest.raises(DatasetError, match="exclude"):
        corpus.index()
    kept = type(corpus)(tmp_path, {"train_set/4", "train_set/5"}).index()
    assert len(kept) == 5


@pytest.mark.parametrize(
    ("name", "file", "told"),
    [
        ("fer-plus", "fer2013new.csv", r"holds no fer2013\.csv; get .*Kaggle"),
        ("fer-plus", "fer2013.csv", r"holds no fer2013new\.csv; get .*github\.com/microsoft/FERPlus"),
        ("raf-db", "Image/aligned/train_00001_aligned.jpg", r"holds no EmoLabel/list_patition_label\.txt; ask"),
        ("affectnet", "Manually_Annotated_Images/1/face.jpg", r"holds neither training\.csv and validation\.csv"),
    ],
)
def test_corpus_without_its_table_says_what_to_get(name: str, file: str, told: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(DatasetError, match=told) as caught:
        load("datasets", name)(tmp_path).scan()
    assert "layout: " in str(caught.value) and len(str(caught.value).splitlines()) == 1
