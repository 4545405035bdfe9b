"""How fast methods are trained: their own `fit`, beside a plain PyTorch loop of the same networks and batches.

Both begin alike, take the same steps and must reach the same losses. The first epoch, which warms up, is not counted.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.console import Progress
from benchmarks.plugins import load
from benchmarks.settings import Wish, assigned, configured, flat
from benchmarks.speed.lessons import LESSONS, Lesson, collated
from benchmarks.speed.made_up import examples
from benchmarks.speed.measure import Measure
from methods.base import Examples, Method, RunContext
from methods.parts import networks
from methods.parts.together import learn_together
from methods.parts.training import batches

PLAIN = "a plain loop of the same network: padded batches from a loader, float32, an unfused optimiser"
TOLERANCE = 0.01  # of the loss
CURVE = "train_loss"


@dataclass(frozen=True)
class Case:
    """A method as it is trained here."""

    name: str
    modality: str
    clips: int
    epochs: int = 3


CASES = (
    Case("vgg16-gru", "audio", 64),
    Case("vgg16-gru", "video", 32),
    Case("vgg16-gru", "av", 32),
    Case("cnn-lstm-dnn", "av", 48),
    Case("attention-fbp", "audio", 64),
    Case("attention-fbp", "av", 16),
    Case("hybrid-dbn", "av", 8),
    Case("avef", "av", 8),
)


@dataclass(frozen=True)
class Folds:
    """As many as a corpus has people, of as many clips."""

    count: int
    case: Case


FOLDS = {
    "cpu": Folds(4, Case("vgg16-gru", "audio", 32, epochs=1)),
    "cuda": Folds(18, Case("vgg16-gru", "audio", 1020, epochs=2)),
}


@dataclass
class Stage:
    """One network's training, as often as it was repeated."""

    seconds: list[float] = field(default_factory=list)  # of an epoch
    losses: list[float] = field(default_factory=list)  # of each epoch of the last repetition


def measures(
    progress: Progress,
    device: str = "cpu",
    preset: str = "quick",
    repetitions: int = 3,
    cases: tuple[Case, ...] = CASES,
    folds: Folds | None = None,
) -> Iterator[Measure]:
    """Of each network of each method, an epoch of its training; and of a small one, fits of several folds."""
    most = product_rate(device)
    with progress("training") as tell:
        for number, case in enumerate(cases):
            tell(number, len(cases), f"{case.name}, {case.modality}")
            yield from _measured(case, device, preset, repetitions, most)
        yield _folds(folds or FOLDS[device], device, preset)
        yield _machine()


def _measured(case: Case, device: str, preset: str, repetitions: int, most: float) -> Iterator[Measure]:
    make, train = prepared(case, preset)
    ours, plain = dict[str, Stage](), dict[str, Stage]()
    operations: dict[str, float] = {}
    for repetition in range(repetitions):
        for stage, watch in _ours(make(), train, device).items():
            _add(ours, stage, watch)
        for lesson in LESSONS[case.name](make(), train, RunContext(device=device)):
            if not repetition:
                operations[lesson.stage] = float_operations(lesson, device)
            _add(plain, lesson.stage, plainly(lesson, device))
    for stage, told in plain.items():
        same(case.name, stage, ours[stage].losses, told.losses)
        seconds = min(ours[stage].seconds)
        yield Measure(
            "train",
            f"{case.name}, {case.modality}{f', {stage}' if stage else ''}",
            seconds,
            PLAIN,
            min(told.seconds),
            rate=operations[stage] / seconds,
            ceiling=most,
            note=f"an epoch; loss {ours[stage].losses[-1]:.4f}, plain {told.losses[-1]:.4f}",
        )


def _folds(folds: Folds, device: str, preset: str) -> Measure:
    """Trained together, beside one after the other, and beside one of them."""
    make, train = prepared(folds.case, preset)

    def alone(count: int) -> None:
        for seed in range(count):
            make().fit(train, None, RunContext(seed, device))

    def together(count: int) -> None:
        failed = learn_together([make().lesson(train, None, RunContext(seed, device)) for seed in range(count)])
        if any(failed):
            raise RuntimeError(f"folds trained together failed: {failed}; this is a defect")

    for work in (alone, together):
        work(2)  # what is done once in a process
    one, apart = (_seconds(partial(alone, count)) for count in (1, folds.count))
    at_once = _seconds(partial(together, folds.count))
    what = f"{folds.case.name}, {folds.case.modality}, {folds.count} folds together"
    note = f"fits to {folds.case.clips} clips; {at_once / one:.2f} times as long as one fold alone"
    return Measure("train", what, at_once, "the same folds one after the other", apart, note=note)


def prepared(case: Case, preset: str) -> tuple[Callable[[], Method], Examples]:
    """What makes the method, trained for so few epochs, and made-up clips to train it on."""
    kind = load("methods", case.name)
    config, modality = configured(case.name, kind, Wish(preset, case.modality))
    few = {name: case.epochs for name in flat(config) if name.rpartition(".")[2] == "epochs"}
    few |= {"faces.elsewhere": False} if "faces.elsewhere" in flat(config) else {}  # taught here, by the same clips
    config = assigned(case.name, config, few)
    return lambda: kind(config, modality), examples(case.name, kind(config, modality), case.clips)


def same(name: str, stage: str, ours: list[float], plain: list[float]) -> None:
    """Only what learns alike is compared; of the first epoch, for later ones amplify rounding."""
    if len(ours) != len(plain) or abs(ours[0] - plain[0]) > TOLERANCE * plain[0]:
        raise RuntimeError(f"{name} {stage}: the losses are {ours}, but {plain} in the plain loop; this is a defect")


def _ours(method: Method, train: Examples, device: str) -> dict[str, Stage]:
    """Each network's epochs, as its curves tell of them."""
    told: dict[str, list[tuple[float, float]]] = {}

    def log(name: str, value: float, step: int) -> None:  # noqa: ARG001
        if name.endswith(CURVE):
            stage = name.removesuffix(CURVE).rstrip("_")
            told.setdefault(stage, []).append((time.perf_counter(), value))

    method.fit(train, None, RunContext(device=device, log=log))
    return {stage: _stage(points) for stage, points in told.items()}


def plainly(lesson: Lesson, device: str, seed: int = 0) -> Stage:
    """As tutorials have it."""
    schedule, network = lesson.schedule, lesson.network
    shuffler = torch.Generator().manual_seed(seed)
    pairs = list(zip(lesson.examples, lesson.targets, strict=True))
    optimiser: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), schedule.learning_rate)
    if schedule.momentum is not None:
        optimiser = torch.optim.SGD(network.parameters(), schedule.learning_rate, schedule.momentum)
    points = []
    with networks.seeded(seed):
        for _ in range(schedule.epochs):
            order = batches(torch.randperm(len(pairs), generator=shuffler), schedule.batch)
            loader: Any = DataLoader(
                pairs,  # type: ignore[arg-type]
                batch_sampler=[part.tolist() for part in order],
                collate_fn=collated,
                generator=torch.Generator(),
            )
            network.train()
            total = 0.0
            for batch, targets in loader:
                there = {name: (rows.to(device), lengths.to(device)) for name, (rows, lengths) in batch.items()}
                loss = nn.functional.cross_entropy(lesson.forward(there), targets.to(device))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if schedule.clip_norm:
                    nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
                optimiser.step()
                total += loss.item() * len(targets)
            points.append((time.perf_counter(), total / len(pairs)))
    network.eval()
    return _stage(points)


def float_operations(lesson: Lesson, device: str) -> float:
    """Of an epoch, forwards and backwards without padding: of some examples, and of all in proportion."""
    kept = deepcopy(lesson.network.state_dict())
    every = max(1, len(lesson.examples) // 2)  # counting is slow
    some = range(0, len(lesson.examples), every)
    lesson.network.train()
    with networks.seeded(0), FlopCounterMode(display=False) as counter:
        for number in some:
            batch, targets = collated(
                2 * [(lesson.examples[number], lesson.targets[number])]
            )  # alike: nothing is padded
            there = {name: (rows.to(device), lengths.to(device)) for name, (rows, lengths) in batch.items()}
            nn.functional.cross_entropy(lesson.forward(there), targets.to(device)).backward()  # type: ignore[no-untyped-call]
    lesson.network.load_state_dict(kept)
    lesson.network.zero_grad()
    return float(counter.get_total_flops()) / 2 / len(some) * len(lesson.examples)


def product_rate(device: str, size: int = 1024) -> float:
    """Operations a second of a matrix product."""
    one = torch.rand(size, size, device=device)
    best = min(_seconds(lambda: (one @ one).sum().item()) for _ in range(5))
    return 2 * size**3 / best


def _machine() -> Measure:
    """A support vector machine is scikit-learn's own."""
    make, train = prepared(Case("egemaps-svm", "audio", 512), "quick")
    seconds = min(_seconds(lambda: make().fit(train, None, RunContext())) for _ in range(3))
    return Measure("train", "egemaps-svm, audio", seconds, note="a fit to 512 clips by scikit-learn")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _stage(points: list[tuple[float, float]]) -> Stage:
    times, losses = zip(*points, strict=True)
    return Stage([(times[-1] - times[0]) / (len(times) - 1)], list(losses))


def _add(stages: dict[str, Stage], name: str, told: Stage) -> None:
    stage = stages.setdefault(name, Stage())
    stage.seconds += told.seconds
    stage.losses = told.losses
