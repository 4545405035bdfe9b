"""A method, a corpus and a store of results that are small enough to run a benchmark in a second."""

import atexit
import json
import os
import shutil
import sys
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import methods
from benchmarks import console, pool
from benchmarks.plugins import load
from datasets.base import Dataset
from datasets.roll import Clips
from tests.conftest import Run

METHOD = '''"""A toy: the nearest mean of two numbers; it writes down what it is asked to do."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.clips import DatasetError
from methods.base import Method, MethodError, Paper, Variant


def note(line):
    with Path(os.environ["TOY_DIARY"]).open("a") as stream:
        stream.write(line + "\\n")


def noted(word):
    return sum(line.startswith(word) for line in Path(os.environ["TOY_DIARY"]).read_text().splitlines())


@dataclass(frozen=True)
class Level:
    rate: int

    def __call__(self, media):
        note(f"prepare {media!r} {sorted(name for name in media.__slots__ if not name.startswith('_'))}")
        fault = os.environ.get("TOY_PREPARE")
        if fault == "method":
            raise RuntimeError("the toy's own fault")
        if fault == "package":
            raise MethodError("a package is missing; pip install it")
        if fault == "clip":
            raise DatasetError(f"clip {media.clip_id} is broken")
        sound = media.audio(self.rate)
        return {"level": np.array([np.abs(sound).mean(), np.abs(np.diff(sound)).mean()])}


@dataclass(frozen=True)
class Frozen:
    key: str

    def __call__(self, inputs, device):
        note(f"frozen {self.key} {device}")
        if os.environ.get("TOY_FROZEN") == "breaks":
            raise RuntimeError("out of memory")
        return {"level": 2 * inputs["level"]}


@dataclass(frozen=True)
class Inner:
    depth: int = 2


@dataclass(frozen=True)
class Config:
    rate: int = 8_000
    network: str = ""
    scale: float = 1.0
    inner: Inner = field(default_factory=Inner)


class Toy(Method):
    version = 1
    paper = Paper(title="Toy", authors="nobody", year=2026, doi="")
    Config = Config
    variants = {"deep": Variant(Config(inner=Inner(9)), "audio", "Table 1")}
    quick = {"scale": 2.0}
    modalities = frozenset({"audio"})
    validates = False

    def preparation(self):
        return Level(self.config.rate)

    def frozen(self, weights):
        return Frozen(self.config.network) if self.config.network else None

    def fit(self, train, validation, run):
        note(f"fit {run.seed} {run.device} {len(train)} {len(validation) if validation else '-'}")
        if noted("fit") == int(os.environ.get("TOY_FAILS_AT", 0)):
            raise ValueError("this fit\\nwas meant to fail")
        if noted("fit") >= int(os.environ.get("TOY_SLEEPS_FROM", 1000)):
            note("asleep")
            time.sleep(600)
        for epoch in range(3):
            run.log("loss", 1 / (1 + epoch), epoch)
        inputs, targets = np.stack([clip["level"] for clip in train.inputs]), train.targets()
        here = range(len(train.classes))
        self.means = np.stack([inputs[targets == c].mean(axis=0) if c in targets else [9.0, 9.0] for c in here])

    def predict_proba(self, examples):
        note(f"predict {len(examples)} labels={examples.labels!r}")
        inputs = np.stack([clip["level"] for clip in examples.inputs])
        far = np.abs(inputs[:, None] - self.means).sum(axis=2)
        near = np.exp(-50 * far)
        return near / near.sum(axis=1, keepdims=True)

    def save(self, folder):
        np.save(folder / "means.npy", self.means)

    def load(self, folder):
        self.means = np.load(folder / "means.npy")
'''
EMOTIONS = ("03", "04", "05")  # happiness, sadness, anger
HALVES = "leave-one-speaker-group-out:groups=2"  # two folds of two people


def toy(folder: Path, name: str = "toy", *changes: tuple[str, str]) -> None:
    """The toy as a plugin file; `changes` replace text in it."""
    text = METHOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(f"methods.{name}", None)


def wav(file: Path, sound: npt.NDArray[np.float64], rate: int = 8_000) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes((sound * 32_767).round().astype("<i2").tobytes())
    return file


def spoken(root: Path, person: int, emotion: str, statement: int = 1, suffix: str = "wav") -> Path:
    return root / f"ravdess/Actor_{person:02}/03-01-{emotion}-01-{statement:02}-01-{person:02}.{suffix}"


def noise(seed: int, emotion: str = "03") -> npt.NDArray[np.float64]:
    """A quarter of a second, the louder the angrier; not so much that none is mistaken."""
    generator = np.random.default_rng(seed)
    loudness = 0.1 * int(emotion) * generator.uniform(0.7, 1.3)
    return loudness * generator.uniform(-1, 1, 2_000)


def ravdess(root: Path, people: int = 4) -> Path:
    """A data root with a copy of RAVDESS: one sentence of some people in three emotions."""
    for person in range(1, people + 1):
        for emotion in EMOTIONS:
            wav(spoken(root, person, emotion), noise(100 * person + int(emotion), emotion))
    return root


def corpus(root: Path) -> Dataset:
    """The copy of RAVDESS in a data root."""
    found: Dataset = load("datasets", "ravdess")(root / "ravdess")
    return found


def clips(root: Path) -> Clips:
    return corpus(root).index()


def at_home(work: Callable[[Any], Any], items: Sequence[Any], processes: int, begin: object) -> Iterator[Any]:
    """In the place of other processes, which would not know what a test has changed in this one."""
    yield from map(work, items)


def silent(done: int, total: int) -> None:
    """Nobody watches the progress."""


def diary(word: str = "") -> list[str]:
    """What the toy wrote down, line by line."""
    file = Path(os.environ["TOY_DIARY"])
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in lines if line.startswith(word)]


@cache
def _empty() -> Path:
    """A store of results without results: to make one takes longer than to run a toy."""
    from benchmarks.track import Tracker

    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / "empty.db"
    Tracker(f"sqlite:///{file}").client.search_experiments()
    return file


def store(file: Path) -> str:
    """The address of a new store of results."""
    shutil.copy(_empty(), file)
    return f"sqlite:///{file}"


@dataclass(frozen=True)
class Bench:
    """The command line in a folder of its own, with a copy of RAVDESS, a toy, a cache and a store of results."""

    folder: Path
    call: Run

    @property
    def plugins(self) -> Path:
        return self.folder / "plugins"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'results.db'}"

    def run(self, *more: object, method: str = "toy", protocol: str = HALVES) -> tuple[int, str, str]:
        rest = [*(() if "--data-root" in more else ("--data-root", self.data)), *more]
        return self.call("run", "--method", method, "--dataset", "ravdess", "--protocol", protocol, *rest)

    def json(self, *more: object, method: str = "toy", protocol: str = HALVES) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self.run("--json", *more, method=method, protocol=protocol)
        told: list[dict[str, Any]] = json.loads(out)
        return code, told

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def kept(self, kind: str = "cell", query: str = "") -> list[Any]:
        """Runs in the store, the latest first, as any client of MLflow finds them."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, f"tags.`bench.kind` = '{kind}'{query}"))

    def statuses(self, kind: str = "cell") -> list[str]:
        return sorted(run.info.status for run in self.kept(kind))

    def artifact(self, run: Any, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))


@pytest.fixture(name="bench")
def make_bench(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path, run)
    bench.plugins.mkdir()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a toy may change twice a second
    monkeypatch.setattr(methods, "__path__", [str(bench.plugins), *methods.__path__])
    monkeypatch.setattr(pool, "in_processes", at_home)  # others would not know where the toy is
    monkeypatch.setattr(console.out, "_width", 400)  # no cell of a table is folded, wherever the tests run
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY_DIARY", str(tmp_path / "diary.txt"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store(tmp_path / "results.db"))
    ravdess(bench.data)
    toy(bench.plugins)
    yield bench
    for file in bench.plugins.glob("*.py"):
        sys.modules.pop(f"methods.{file.stem}", None)
