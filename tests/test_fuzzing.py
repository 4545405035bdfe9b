"""What fuzzing found stays mended, every target knows the files that our own writers make, and a finding is one."""

import importlib.util
import io
import sys
from pathlib import Path

import pytest
from openpyxl import Workbook

from benchmarks.scored import ScoresError, read_answers, read_scores, table
from datasets.clips import DatasetError, UserError
from tests import fuzzing, readers
from tests.readers import TARGETS, Target

RAVDESS = "01-01-01-01-01-01-01"


def npy(header: str, body: bytes = b"3\0\0\0") -> bytes:
    """A .npy file with a header of 118 bytes, whatever it claims."""
    return b"\x93NUMPY\x01\x00v\x00" + header.ljust(117).encode() + b"\n" + body


def sheet(*rows: str) -> bytes:
    """Of a workbook, for the target that puts it into one."""
    return f'<worksheet xmlns="{readers.SHEETS}">{"".join(rows)}</worksheet>'.encode()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_reads_what_our_own_writers_make(name: str) -> None:
    target = TARGETS[name]()
    seeds = target.seeds()
    assert seeds and all(len(seed) <= target.longest for seed in seeds)
    target.read(seeds[0])


FOUND: list[tuple[str, bytes]] = [
    ("affectnet-code", npy("{'descr': '<U1', 'fortran_order': False, 'shape': (), }", b"\xff\xff\xff\xff")),
    ("affectnet-code", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }")),
    ("folds", b'clip,fold,role\n"' + RAVDESS.encode() + b'\nand more",1,nothing\n'),
    ("answers", b"fold,seed,clip,subject,answer,p_anger\n1,0,a,01,anger,1.0\n"),
    ("answers", b"fold,seed,clip,subject,truth,answer,p_anger\n1,0,a,01,fear,anger,1.0\n"),
    ("answers", b"fold,seed,clip,subject,truth,answer,p_anger\n1,0,a,01,anger,anger,nan\n"),
    ("answers", b"fold,seed,clip,subject,truth,answer,p_anger\n1,0\n"),
    ("answers", b"fold,seed,clip,subject,truth\n1,0,a,01,anger\n"),
    ("answers", b"\xff\xfe"),
    ("answers", b""),
    ("settings", b'{"per_second": 1.0, "size": 2, "m\\rgin": 3}'),
    ("iemocap", b"[5.0 - 2.0]\tSes01F_impro01_F000\tang\t[2.5, 2.5, 2.5]\n"),
    ("iemocap", b"[0 - " + b"9" * 400 + b"]\tSes01F_impro01_F000\tang\t[2.5, 2.5, 2.5]\n"),
]


@pytest.mark.parametrize(("name", "content"), FOUND, ids=range(len(FOUND)))
def test_what_was_found_stays_mended(name: str, content: bytes) -> None:
    TARGETS[name]()(content)


@pytest.mark.parametrize(
    "content",
    [
        b"w",
        b"wPK\x05\x06" + bytes(18),
        b"s" + sheet('<sheetPr><outlinePr strange="1"/></sheetPr>', "<sheetData/>"),
        b"s" + sheet('<sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'),
    ],
    ids=["nothing", "empty zip", "a part that no workbook has", "a cell in the last place"],
)
def test_a_damaged_workbook_is_named(content: bytes) -> None:
    with pytest.raises(DatasetError, match=r"Annotations_BAUM1s\.xlsx (is no Excel workbook|has no rows)"):
        TARGETS["baum1s-workbook"]().read(content)


def test_a_workbook_is_read_as_before(tmp_path: Path) -> None:
    from datasets.baum1s import _rows

    book = Workbook()
    assert book.active is not None
    for row in (
        ("a title",),
        ("Clip Name", "Emotion", "Emotion Code"),
        ("S001_001", "Anger", 1),
        ("S001_002", None, "7.0"),
    ):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    (tmp_path / "table.xlsx").write_bytes(content.getvalue())
    assert _rows(tmp_path / "table.xlsx") == {"S001_001": [("anger", "1")], "S001_002": [("", "7")]}


def test_damaged_answers_are_told_in_one_line(tmp_path: Path) -> None:
    whole = {"fold": 1, "seed": 0, "clip": "a", "subject": "", "truth": "anger", "answer": "anger", "p_anger": 1.0}
    file = tmp_path / "predictions.csv"
    file.write_text(table([whole]))
    assert read_scores(file).truth == ("anger",) and read_answers(file.read_text())["1", "0"].subjects == (None,)
    file.write_text(table([{**whole, "p_anger": "much"}]))
    for read in (lambda: read_scores(file), lambda: read_answers(file.read_text())):
        with pytest.raises(ScoresError, match=r"damaged \(ValueError: .*much.*--fresh"):
            read()


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("clip 'a\r\nb\u2028c' is none")) == "clip 'a b c' is none"


@pytest.mark.parametrize("error", [UserError("one line"), ZeroDivisionError("two")])
def test_only_errors_for_users_are_no_finding(error: Exception) -> None:
    def read(content: bytes) -> None:
        raise error

    target = Target(read, list)
    if isinstance(error, UserError):
        target(b"")
    else:
        with pytest.raises(ZeroDivisionError):
            target(b"")


def test_without_the_fuzzer_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nowhere(name: str) -> None:
        return None

    monkeypatch.setattr(fuzzing, "find_spec", nowhere)
    assert fuzzing.main(["1"]) == 0
    assert "atheris is not installed" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: it has wheels for Linux alone"
)
def test_a_finding_ends_with_1_and_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    planted = (
        "import sys; from tests import fuzzing, readers\n"
        "def read(content):\n"
        "    if content[:1] == b'b': raise KeyError('planted')\n"
        "readers.TARGETS['planted'] = lambda: readers.Target(read, lambda: [b'a'])\n"
        "fuzzing.FOUND.mkdir()\n"
        f"fuzzing.fuzz('planted', 300, fuzzing.Path({str(tmp_path)!r}))\n"
    )
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", planted], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0 and "KeyError: 'planted'" in done.stdout + done.stderr
    (kept,) = (tmp_path / "fuzzing").iterdir()
    assert kept.read_bytes()[:1] == b"b" and kept.name.startswith("planted-")
