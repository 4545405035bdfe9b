"""Stand-ins for all tests: every person and emotion of the layout once, rendered once a session; and no chance."""

import atexit
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from benchmarks.__main__ import main
from benchmarks.plugins import load, names
from benchmarks.pool import cores
from datasets.base import Dataset, Planned
from datasets.standin import render

CORPORA = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names("datasets")]
Run = Callable[..., tuple[int, str, str]]  # the command line in an empty folder: exit code, output, errors
os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp()  # librosa's; workers that share one have crashed
atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)
REAL = os.environ.get("BENCH_REAL_RAVDESS", "")
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: xdist's own count knows nothing of the cores that this process may use."""
    return min(4, cores())


def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Whichever test of a module asks for it first."""
    _seeded()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Whatever was run before, in whichever worker."""
    _seeded()


def tiny(name: str, root: Path) -> Dataset:
    """The corpus, with a plan that keeps one clip of each person and emotion (of IEMOCAP, one dialogue).

    Of the corpora of pictures, in which everybody has a number, the first five people of each side are kept.
    """
    kind = load("datasets", name)

    def plan(self: Any, full: bool) -> Iterator[Planned]:
        kept: dict[tuple[str, str | None], str] = {}
        for planned in kind.plan(self, full):
            scene = planned.scenes[0]
            first = kept.setdefault((scene.person, scene.entry.label), scene.entry.name)
            if re.search(r" person ([5-9]|\d{2})$", scene.person):
                continue
            if "Ses01F" in planned.path if name == "iemocap" else first == scene.entry.name:
                yield planned

    corpus: Dataset = type(kind.__name__, (kind,), {"__module__": kind.__module__, "plan": plan})(root)
    return corpus


def shared(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder for the whole session, of all workers."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Dataset]:
    """A tiny stand-in of a corpus, for reading only; of several workers one renders it and the others wait."""
    folder = shared(tmp_path_factory, "standins")

    def get(name: str) -> Dataset:
        corpus = tiny(name, folder / name)
        with FileLock(folder / f"{name}.lock"):
            if not corpus.standin:
                render(corpus, processes=2)
        return corpus

    return get


@pytest.fixture
def copied(rendered: Callable[[str], Dataset], tmp_path: Path) -> Callable[[str], Dataset]:
    """A copy to damage, without the manifest: only what would tell the fault in a real corpus may tell it."""

    def get(name: str) -> Dataset:
        shutil.copytree(rendered(name).root, tmp_path / name)
        (tmp_path / name / "standin.json").unlink()
        return tiny(name, tmp_path / name)

    return get


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Calls the command line in an empty folder; exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("BENCH_LEADERBOARD", "none")  # a page after each run would take longer than the runs

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
        code = main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def real_ravdess() -> Dataset:
    """Real recordings of 18 of the 24 actors."""
    if not REAL:
        pytest.skip("BENCH_REAL_RAVDESS names no folder with real recordings of RAVDESS")
    corpus: Dataset = load("datasets", "ravdess")(Path(REAL) / "ravdess")
    return corpus
