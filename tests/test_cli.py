"""The command line as a user meets it: output, exit codes, one-line errors."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
import methods
import protocols
from benchmarks import plugins
from benchmarks.new import write
from datasets.base import Dataset
from datasets.clips import Clip, Media, Track
from datasets.standin import render
from methods.base import Examples, Paper, RunContext
from tests.conftest import REAL, Run
from tests.test_media import sound_file

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "arguments", [["--help"], *(["list", kind] for kind in (*plugins.BASES, "published", "weights"))]
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['benchmarks', *sys.argv[1:]]\n"
        "from benchmarks.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'librosa', 'sklearn', 'scipy', 'av', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_planning_and_reading_results_import_nothing_that_only_work_needs() -> None:
    code = (
        "import sys, benchmarks.engine, benchmarks.run, benchmarks.sanity, benchmarks.report, benchmarks.registry\n"
        "from benchmarks import plugins\n"
        "for name in plugins.names('methods'): plugins.load('methods', name)\n"
        "needless = {'sklearn', 'scipy.stats', 'scipy.signal', 'torchvision', 'torch._dynamo', 'librosa', 'numba',"
        " 'opensmile', 'matplotlib', 'seaborn', 'statsmodels'} & set(sys.modules)\n"
        "assert not needless, needless"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_ends_with_its_answer_and_in_order(tmp_path: Path) -> None:
    """What stands in a circle is not looked for, and still is told that it ends."""
    code = (
        "import atexit, sys, tempfile\n"
        "from benchmarks.litter import process\n"
        "class Ring: pass\n"
        "def command():\n"
        "    ring = Ring()\n"
        "    ring.itself, ring.folder = ring, tempfile.TemporaryDirectory(dir=sys.argv[1])\n"
        "    atexit.register(print, 'goodbye')\n"
        "    return 3\n"
        "process(command)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (3, "goodbye\n", [])


@pytest.mark.parametrize("kind", ["datasets", "protocols", "methods"])
def test_list_as_json(kind: str, run: Run) -> None:
    code, out, _ = run("list", kind, "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(plugins.names(kind))  # type: ignore[arg-type]


def test_methods_as_json_tell_their_papers(run: Run) -> None:
    for row in json.loads(run("list", "methods", "--json")[1]):
        kind = plugins.load("methods", row["name"])
        told = {**row["paper"], "left_unsaid": row["left_unsaid"], "departures": row["departures"]}
        assert Paper(**told) == kind.paper
        assert set(row["modalities"]) == kind.modalities


def test_published_numbers_as_json(run: Run) -> None:
    rows = json.loads(run("list", "published", "--json")[1])
    (best,) = (row for row in rows if (row["table"], row["row"], row["column"]) == ("XI", "Ours", "RML"))
    assert (best.pop("reason"), best.pop("doubt"), best.pop("over")) == ("", "", "folds")
    assert best == {
        "method": "hybrid-dbn", "table": "XI", "row": "Ours", "column": "RML", "dataset": "rml",
        "protocol": "leave-one-subject-out", "modality": "av", "task": "emotion", "metric": "accuracy",
        "value": 0.8036, "variant": "dbn-2",
    }  # fmt: skip


@pytest.mark.xdist_group("rml")
def test_check_says_standin_and_fails_on_a_fault(run: Run, rendered: Callable[[str], Dataset], tmp_path: Path) -> None:
    root = rendered("rml").root.parent
    code, out, _ = run("check", "--dataset", "rml", "--data-root", root, "--json", "--sheet", tmp_path / "sheet.png")
    told = json.loads(out)
    assert code == 0
    assert told["standin"] is True
    assert told["complete_and_readable"] is True
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run("check", "--dataset", "rml", "--data-root", root)
    assert "STAND-IN" in out
    names = tmp_path / "exclude.txt"
    names.write_text("s1/an1  # noisy\n")
    _, out, _ = run("check", "--dataset", "rml", "--data-root", root, "--exclude", names, "--json")
    assert json.loads(out)["excluded"] == ["s1/an1"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "--dataset", "nothing"], "baum1s"),
        (["check", "--dataset", "rml", "--data-root", "nowhere"], "RML"),
        (["check", "--dataset", "rml", "--exclude", "nothing.txt"], "nothing.txt"),
        (["list", "everything"], "datasets"),
        (["list"], "methods, datasets"),
        (["audit", "nothing.csv"], "there is no file nothing.csv"),
        (["check", "--dataset", "rml", "--sheet", "nowhere/x.png"], "nowhere/x.png cannot be written"),
        (["check", "--dataset", "rml", "--sheet", "x.doc"], "a figure is one of .png"),
        (["prepare", "--method", "all", "--dataset", "rml", "--sheet", "nowhere/x.png"], "nowhere/x.png cannot be"),
        (["standin", "--dataset", "rml", "--out", __file__], "a file where a folder should be"),
        (["new", "dataset", "rml"], "already"),
        (["new", "dataset", "1 b"], "letters"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[str], told: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert told in err
    assert len(err.strip().splitlines()) == 1


def actors(leak: str = "") -> Iterator[tuple[str, str, str]]:
    """One fold over 24 actors, a thousand clips; `leak` says what is wrong with it."""
    corpus = plugins.load("datasets", "ravdess")(Path())
    names = [plan.scenes[0].entry.name for plan in corpus.plan(True)]
    for name in names[:1000]:
        role = "test" if name.endswith(("-01", "-02")) else "validation" if name.endswith("-03") else "train"
        if leak == "one clip" and name == "01-05-01-01-01-01":
            role = "train"
        if leak == "validation" and role == "test":
            yield "03-" + name, "1", "validation"
        if leak == "releases" and name == "01-05-01-01-01-02":
            yield "01-" + name, "1", "train"
        if not (leak == "validation" and role == "validation"):
            yield "03-" + name, "1", role


@pytest.mark.parametrize(
    ("leak", "told"),
    [
        ("", None),
        ("one clip", "person of test in training: 01"),
        ("releases", "03-01-05-01-01-01-02 and 01-01-05-01-01-01-02"),
        ("validation", "validation equals test"),
    ],
)
def test_audit_names_who_leaks(leak: str, told: str | None, run: Run, tmp_path: Path) -> None:
    with (tmp_path / "folds.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("clip", "fold", "role"), *actors(leak)])
    code, out, _ = run("audit", "folds.csv")
    assert code == (1 if leak else 0)
    assert (told or "honest") in out
    code, out, _ = run("audit", "folds.csv", "--dataset", "ravdess", "--json")
    assert json.loads(out)["honest"] is (not leak)


@pytest.mark.skipif(not REAL, reason="BENCH_REAL_RAVDESS names no folder with real recordings of RAVDESS")
def test_audit_finds_identical_files_where_the_corpus_is_on_disk(run: Run, tmp_path: Path) -> None:
    rows = "clip,fold,role\n03-01-03-01-02-01-07,1,train\n03-01-03-01-02-02-07,1,test\n03-01-03-01-02-02-08,1,train\n"
    (tmp_path / "folds.csv").write_text(rows)
    code, out, _ = run("audit", "folds.csv", "--data-root", REAL, "--json")
    assert code == 1
    assert any("recording" in finding["what"] for finding in json.loads(out)["findings"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clip,fold\na,1\n", "role"),
        ("clip,fold,role\n03-01-05-01-01-01-01,1,exam\n", "line 2"),
        ("clip,fold,role\nwhatever,1,test\n", "whatever"),
        ("clip,fold,role\n", "no rows"),
    ],
)
def test_broken_fold_files_are_one_line(text: str, told: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text(text)
    code, _, err = run("audit", "folds.csv")
    assert code == 2
    assert told in err
    assert len(err.strip().splitlines()) == 1


def test_foreign_datasets_package_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "datasets"
    foreign.mkdir()
    (foreign / "__init__.py").touch()
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "list", "datasets"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(foreign) in done.stderr


@pytest.mark.parametrize(("kind", "package"), [("dataset", datasets), ("protocol", protocols), ("method", methods)])
def test_new_plugin_works(kind: str, package: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = package.__path__  # type: ignore[attr-defined]
    monkeypatch.setattr(package, "__path__", [str(tmp_path), *paths])
    file = write(kind, f"started-{kind}")
    assert file.parent == tmp_path
    plugin = plugins.load(f"{kind}s", f"started-{kind}")  # type: ignore[arg-type]
    assert plugin.__name__ == f"Started{kind.title()}"
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", file], capture_output=True
    )
    assert checked.returncode == 0, checked.stdout.decode()
    WORKS[kind](plugin, tmp_path)


def dataset_works(plugin: Any, folder: Path) -> None:
    corpus = plugin(folder / "corpus")
    render(corpus, processes=1)
    assert corpus.check().faults == ()
    assert len(corpus.index()) == 48


def protocol_works(plugin: Any, folder: Path) -> None:
    clips = [
        Clip(Media(f"{n:x}", frozenset(), {}), f"clip {n}", f"person {n % 6}", "anger" if n % 2 else "fear")
        for n in range(24)
    ]
    folds = list(plugin().folds(clips))
    assert len(folds) == 3
    assert {fold.independence for fold in folds} == {"verified"}


def method_works(plugin: Any, folder: Path) -> None:
    """A loud tone and quiet noise are told apart, alike before and after saving."""
    generator = np.random.default_rng(0)
    media = []
    for number in range(12):
        noise, tone = generator.uniform(-0.05, 0.05, (1, 16_000)), 0.9 * np.sin(np.arange(16_000) / 20)[None]
        file = sound_file(folder / f"{number}.wav", tone + noise if number % 2 else noise, 16_000)
        media.append(Media(str(number), frozenset({"audio"}), {"audio": Track(str(file))}))
    method = plugin(modality="audio")
    inputs = [method.preparation()(one) for one in media]
    labels = tuple("anger" if number % 2 else "sadness" for number in range(12))
    classes = ("anger", "sadness", "surprise")
    method.fit(Examples(inputs[:8], classes, labels[:8]), None, RunContext())
    answers = method.predict_proba(Examples(inputs[8:], classes))
    assert [classes[column] for column in answers.argmax(axis=1)] == list(labels[8:])
    assert answers.sum(axis=1) == pytest.approx(1)
    method.save(folder)
    again = plugin(modality="audio")
    again.load(folder)
    assert np.array_equal(again.predict_proba(Examples(inputs[8:], classes)), answers)


WORKS: dict[str, Callable[[Any, Path], None]] = {
    "dataset": dataset_works,
    "protocol": protocol_works,
    "method": method_works,
}
