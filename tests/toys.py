"""A toy corpus that every method must learn: two people, three emotions told plainly, no chance in it; and clips in
which something is missing. Real files, so that what reads, finds faces and hears voices is tried as well."""

import hashlib
import json
import os
import pickle
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load as unpacked
from safetensors.numpy import save as packed

import methods
from benchmarks import new, plugins
from benchmarks.plan import needed
from benchmarks.settings import Wish, assigned, configured, flat
from datasets.base import Entry, Planned, Recorded, Scene
from datasets.clips import Media, Track
from datasets.rendering.face import Expression
from datasets.rendering.factors import Factors
from datasets.rendering.film import Studio, write
from datasets.rendering.voice import Voice
from methods.base import Examples, Method, Prepared, RunContext
from methods.parts.weights import WeightStore
from tests.test_media import film, sound_file

LOOKS = {  # not in the order of the alphabet: columns are the classes' order
    "sadness": Factors(Voice(-0.8, -0.9, -1.2, -1.0, -1.0), Expression(-1.0, -0.3, 0.3, 1.0, -0.8)),
    "happiness": Factors(Voice(0.9, 1.0, 0.2, 0.4, 0.0), Expression(1.2, 0.5, 0.2, 0.0, -0.3)),
    "anger": Factors(Voice(0.1, 0.2, 1.3, 0.5, 1.2), Expression(-0.5, -0.3, -1.2, -1.0, 0.4)),
}
CLASSES = tuple(LOOKS)
PEOPLE = ("Ann", "Ben")
SECONDS = (0.7, 1.0, 0.8, 0.9, 0.85, 0.75)  # of the takes of each person and emotion
TAKES, TEST_TAKES = len(SECONDS), 2  # the last ones are for the test
RECORDED = Recorded(rate=16_000, width=200, height=200, frames_per_second=15)
STARTED = "new-method"  # what `benchmarks new method` writes, under a name that nobody takes


@dataclass(frozen=True)
class PlainStudio(Studio):
    """People show an emotion alike and always the same way."""

    def factors(self, scene: Scene) -> Factors:
        return LOOKS[scene.entry.label or ""]


@dataclass(frozen=True)
class Toy:
    """A labelled clip."""

    name: str
    label: str
    take: int
    sound: Track
    picture: Track

    def media(self, modality: str) -> Media:
        """What the modality needs and nothing else."""
        tracks = {kind: {"audio": self.sound, "video": self.picture}[kind] for kind in sorted(needed(modality))}
        digest = hashlib.sha256(repr(tracks).encode()).hexdigest()[:16]
        return Media(digest, frozenset(tracks), tracks)


@dataclass(frozen=True)
class ToySet:
    """All toys in a folder."""

    folder: Path

    @property
    def clips(self) -> tuple[Toy, ...]:
        found = []
        for scene in scenes():
            track = Track(str(self.folder / f"{scene.entry.name}.avi"))
            found.append(Toy(scene.entry.name, str(scene.entry.label), int(scene.entry.name[-1]), track, track))
        return tuple(found)

    @property
    def odd(self) -> dict[str, Toy]:
        """Clips in which something is missing; labels as if nothing was."""
        whole = self.clips[-1]
        file = whole.sound.file
        voiceless, faceless = Track(str(self.folder / "silence.wav")), Track(str(self.folder / "wall.mp4"))
        tracks = {
            "shorter than a segment": (Track(str(file), 0.2, 0.4), Track(str(file), 0.2, 0.4)),
            "one picture long": (Track(str(file), 0.2, 0.26), Track(str(file), 0.2, 0.26)),
            "without voice": (voiceless, whole.picture),
            "without face": (whole.sound, faceless),
            "without anything": (voiceless, faceless),
        }
        return {name: Toy(name, whole.label, 0, *both) for name, both in tracks.items()}


def scenes() -> list[Scene]:
    """What there is to see and hear."""
    return [
        Scene(Entry(f"{person}-{label}-{take}", person, label, sentence="the same"), person, SECONDS[take])
        for take in range(TAKES)
        for label in CLASSES
        for person in PEOPLE
    ]


def toy_set(factory: pytest.TempPathFactory) -> ToySet:
    """Rendered once a session; of several workers the first to be done settles it, for all render alike."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toys"
    if not folder.is_dir():
        unfinished = folder.with_name(f".toys-{os.getpid()}")
        unfinished.mkdir()
        studio = PlainStudio("toys", 0, RECORDED)
        for scene in scenes():
            write(Planned(f"{scene.entry.name}.avi", (scene,)), unfinished, studio)
        sound_file(unfinished / "silence.wav", np.zeros((1, 16_000)), 16_000)
        film(unfinished / "wall.mp4", [90] * 10, [number / 10 for number in range(10)], (200, 200))
        try:
            unfinished.rename(folder)
        except OSError:
            shutil.rmtree(unfinished)
    return ToySet(folder)


def started(folder: Path) -> type[Method]:
    """The method that `benchmarks new method` writes, in a folder of its own."""
    paths = methods.__path__
    methods.__path__ = [str(folder), *paths]
    try:
        if not (folder / f"{STARTED.replace('-', '_')}.py").exists():
            new.write("method", STARTED)
        kind: type[Method] = plugins.load("methods", STARTED)
        return kind
    finally:
        methods.__path__ = paths


def cases() -> list[tuple[str, str]]:
    """Every method found and each modality that it declares."""
    found = [(name, modality) for name in plugins.names("methods") for modality in sorted(_kind(name).modalities)]
    return [*found, (STARTED, "audio")]


def _kind(name: str) -> type[Method]:
    kind: type[Method] = plugins.load("methods", name)
    return kind


class Lazy(Sequence[Prepared]):
    """Inputs as the engine hands them out: read anew whenever they are asked for, one at a time."""

    def __init__(self, clips: Sequence[Prepared]) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, number: int) -> Prepared:  # type: ignore[override]
        return {name: array.copy() for name, array in self._clips[number].items()}


class Bench:
    """A method at the quick preset and the toy set, prepared as the engine does."""

    def __init__(self, name: str, modality: str, toys: ToySet, folder: Path) -> None:
        self.name, self.toys, self.folder = name, toys, folder
        self.kind = started(folder) if name == STARTED else _kind(name)
        self.config, self.modality = configured(name, self.kind, Wish("quick", modality))
        self._inputs: dict[str, Prepared] = {}
        self._fitted: Method | None = None

    def method(self, **settings: Any) -> Method:
        """Unfitted; a setting changes wherever the Config has a field of that name: epochs, batch, learning_rate."""
        return self.kind(assigned(self.name, self.config, self.settings(**settings)), self.modality)

    def settings(self, **leaves: Any) -> dict[str, Any]:
        there = [(dotted, dotted.rpartition(".")[2]) for dotted in flat(self.config)]
        return {dotted: leaves[leaf] for dotted, leaf in there if leaf in leaves}

    def prepared(self, toy: Toy) -> Prepared:
        """Once for each clip; through the format of the cache."""
        if toy.name not in self._inputs:
            method = self.method()
            frozen = method.frozen(WeightStore(self.folder, none=True))
            inputs = stored(method.preparation()(toy.media(self.modality)))
            self._inputs[toy.name] = stored(frozen(inputs, "cpu")) if frozen else inputs
        return self._inputs[toy.name]

    def examples(self, toys: tuple[Toy, ...], labelled: bool = False) -> Examples:
        labels = tuple(toy.label for toy in toys) if labelled else ()
        return Examples(Lazy([self.prepared(toy) for toy in toys]), CLASSES, labels)

    @property
    def train(self) -> tuple[Toy, ...]:
        return tuple(toy for toy in self.toys.clips if toy.take < TAKES - TEST_TAKES)

    @property
    def test(self) -> tuple[Toy, ...]:
        return tuple(toy for toy in self.toys.clips if toy.take >= TAKES - TEST_TAKES)

    def fit(self, method: Method, train: tuple[Toy, ...], seed: int = 0) -> Method:
        """A method that validates gets some of the clips apart, never a test clip."""
        inner, apart = train, None
        if self.kind.validates:
            inner = tuple(toy for toy in train if toy.take) or train
            apart = self.examples(tuple(toy for toy in train if not toy.take) or train, labelled=True)
        method.fit(self.examples(inner, labelled=True), apart, RunContext(seed))
        return method

    @property
    def fitted(self) -> Method:
        """At the quick preset as it is; for asking only."""
        if self._fitted is None:
            self._fitted = self.fit(self.method(), self.train)
        return self._fitted


@contextmanager
def one_thread() -> Iterator[None]:
    """The networks are small and the workers many: threads that wait for each other cost a hundredfold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stored(inputs: Prepared) -> Prepared:
    """Written and read."""
    read: Prepared = unpacked(packed({name: np.ascontiguousarray(array) for name, array in inputs.items()}))
    return read


def digest(inputs: Prepared) -> str:
    """Tells inputs apart bit for bit."""
    told = hashlib.sha256()
    for name, array in sorted(inputs.items()):
        told.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return told.hexdigest()


def answer() -> None:
    """In another process: each case's preparation as it is told here, and what it makes of one clip alone."""
    folder, toys = Path(sys.argv[1]), ToySet(Path(sys.argv[2]))
    told = {}
    for line in sys.stdin:
        name, modality, content = json.loads(line)
        own = Bench(name, modality, toys, folder).method().preparation()
        sent = pickle.loads(bytes.fromhex(content))
        told[f"{name} {modality}"] = [repr(own), repr(sent), digest(sent(toys.clips[-1].media(modality)))]
    sys.stdout.write(json.dumps(told))
