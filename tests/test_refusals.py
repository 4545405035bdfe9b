"""What the command line makes of damaged corpora, of names that cannot be, and of corpora that are half there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import datasets
import methods
import protocols
from benchmarks import plugins
from benchmarks.audits import read_folds
from datasets.base import Dataset
from datasets.standin import VERSION
from tests.conftest import Run

CLIP = "enterface database/subject {0}/anger/sentence {1}/s{0}_an_{1}.avi"


def enterface(root: Path, **contents: str) -> Path:
    """A data root that holds a few files, told by subject and sentence."""
    for clip, content in contents.items():
        file = root / "enterface05" / CLIP.format(*clip.removeprefix("s").split("_"))
        file.parent.mkdir(parents=True)
        file.write_text(content)
    return root


@pytest.mark.xdist_group("rml")
def test_a_sheet_leaves_broken_clips_out(run: Run, rendered: Callable[[str], Dataset], tmp_path: Path) -> None:
    folder = tmp_path / "root/rml/rml-1/s1"
    folder.mkdir(parents=True)
    shutil.copy(rendered("rml").root / "rml-1/s1/an1.avi", folder)
    (folder / "ha1.avi").write_text("no film")
    code, out, err = run("check", "--dataset", "rml", "--data-root", tmp_path / "root", "--sheet", "sheet.png")
    assert (code, err.strip()) == (1, "")
    assert "unreadable: s1/ha1" in out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("files", [[], ["rml-1/s1/an1.avi"]], ids=["empty", "all broken"])
def test_a_sheet_of_nothing_is_refused_in_one_line(files: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "root/rml").mkdir(parents=True)
    for path in files:
        (tmp_path / "root/rml" / path).parent.mkdir(parents=True)
        (tmp_path / "root/rml" / path).write_text("no film")
    code, _, err = run("check", "--dataset", "rml", "--data-root", tmp_path / "root", "--sheet", "sheet.png")
    assert code == 2
    assert [line.partition(":")[0] for line in err.strip().splitlines()] == ["error"]
    assert "nothing to draw" in err
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ((VERSION, 1, False), "another stand-in (version 1, seed 1)"),
        ((VERSION, 0, True), "seed 0, full"),
        ((VERSION + 1, 0, False), f"version {VERSION + 1}"),
        (None, "something else"),
    ],
)
def test_a_folder_with_another_standin_is_refused(
    made: tuple[int, int, bool] | None, told: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "out/rml").mkdir(parents=True)
    if made:
        told_inside = dict(zip(("version", "seed", "full"), made, strict=True))
        (tmp_path / "out/rml/standin.json").write_text(json.dumps(told_inside))
    code, out, err = run("standin", "--dataset", "rml", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert told in err
    assert "--out" in err


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("method", "class"),
        ("protocol", "none"),
        ("dataset", "clip set"),
        ("dataset", "entry"),
        ("protocol", "clip"),
        ("method", "loudness"),
        ("method", "Run-Context"),
    ],
)
def test_a_plugin_cannot_be_called_what_would_not_work(
    kind: str, name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = {"method": methods, "protocol": protocols, "dataset": datasets}[kind]
    (tmp_path / "plugins").mkdir()
    monkeypatch.setattr(package, "__path__", [str(tmp_path / "plugins"), *package.__path__])
    code, out, err = run("new", kind, name)
    assert (code, out) == (2, "")
    assert name in err
    assert list((tmp_path / "plugins").iterdir()) == []


def test_a_plugin_that_is_no_python_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("class Broken(Protocol:\n")
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    with pytest.raises(plugins.PluginError, match=r"broken\.py is no Python"):
        plugins.names("protocols")
    code, out, err = run("list", "protocols")
    assert (code, out) == (2, "")
    assert "broken.py" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "header", ["clip,fold,role", "Clip, Fold ,ROLE", "\ufeffCLIP,fold,role", "note, clip,Fold, role"]
)
def test_the_header_of_a_fold_file_may_be_spelled_freely(header: str, tmp_path: Path) -> None:
    extra = "x," if "note" in header else ""
    (tmp_path / "folds.csv").write_text(f"{header}\n{extra}a1, 1 ,Train\n", encoding="utf-8")
    assert read_folds(tmp_path / "folds.csv") == [(2, "a1", "1", "train")]


FOLDS = "clip,fold,role\ns1_an_1,1,train\ns2_an_1,1,test\ns3_an_1,1,test\n"


@pytest.mark.parametrize("standin", [False, True])
def test_an_audit_says_what_it_knows_by_content(standin: bool, run: Run, tmp_path: Path) -> None:
    root = enterface(tmp_path / "root", s1_1="one", s2_1="two")
    if standin:
        (root / "enterface05/standin.json").touch()
    (tmp_path / "folds.csv").write_text(FOLDS)
    code, out, _ = run("audit", "folds.csv", "--data-root", root)
    assert code == 0
    assert "2 clips known by content, 1 by name alone" in out
    assert ("STAND-IN" in out) is standin
    _, out, _ = run("audit", "folds.csv", "--data-root", root, "--json")
    told = json.loads(out)
    assert (told["clips_known_by_content"], told["clips_known_by_name_alone"], told["standin"]) == (2, 1, standin)


def test_an_audit_without_the_corpus_knows_names_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text(FOLDS)
    code, out, _ = run("audit", "folds.csv")
    assert code == 0
    assert "0 clips known by content, 3 by name alone" in out


def test_an_audit_finds_equal_files_under_two_names(run: Run, tmp_path: Path) -> None:
    root = enterface(tmp_path / "root", s1_1="same", s2_1="same", s3_1="other")
    (tmp_path / "folds.csv").write_text(FOLDS)
    code, out, _ = run("audit", "folds.csv", "--data-root", root)
    assert code == 1
    assert "recording of test in training: s2_an_1 and s1_an_1" in out
