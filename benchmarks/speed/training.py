"""How fast methods are trained: their own `fit`, beside a plain PyTorch loop of the same networks and batches.

Both begin alike, take the same steps and must reach the same losses. The first epoch, which warms up, is not counted;
of the others the fastest is.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.console import Progress
from benchmarks.plugins import load
from benchmarks.settings import Wish, assigned, configured, flat
from benchmarks.speed.lessons import LESSONS
from benchmarks.speed.made_up import examples
from benchmarks.speed.measure import Failed, Measure, Told, attempted, taken
from benchmarks.speed.memory import gpu_peak
from benchmarks.speed.plain_loop import PLAIN, Stage, float_operations, plainly
from benchmarks.speed.profiling import NEEDED, profiled
from methods.base import Examples, Method, RunContext
from methods.parts import training as steps
from methods.parts.together import learn_together

TOLERANCE = {"cpu": 0.01, "cuda": 0.1}  # of the first loss; on a GPU ours is bfloat16, the plain one float32
REPETITIONS = {"cpu": 5, "cuda": 2}
CURVE = "train_loss"
COMPILED = "compiled"
OTHERWISE = ("parts_of_a_batch", "steps_not_compiled", "networks_at_once")  # curves of a fit that tell so


@dataclass(frozen=True)
class Case:
    """A method as it is trained here."""

    name: str
    modality: str
    clips: int
    epochs: int = 3
    static: bool = False  # whether a run on a GPU compiles steps of it, for there are many

    @property
    def title(self) -> str:
        return f"{self.name}, {self.modality}"


CASES = {
    "cpu": (
        Case("vgg16-gru", "audio", 64),
        Case("vgg16-gru", "video", 32),
        Case("vgg16-gru", "av", 32),
        Case("cnn-lstm-dnn", "av", 48),
        Case("attention-fbp", "audio", 64),
        Case("attention-fbp", "av", 16),
        Case("hybrid-dbn", "av", 8),
        Case("avef", "av", 8),
    ),
    "cuda": (  # several full batches of the papers' sizes; a clip is some 12 segments, or 30 faces
        Case("vgg16-gru", "audio", 512, 4),
        Case("vgg16-gru", "video", 512, 4),
        Case("vgg16-gru", "av", 512, 4),
        Case("cnn-lstm-dnn", "av", 512, 4),
        Case("attention-fbp", "audio", 256, 4),
        Case("attention-fbp", "av", 64, 4),
        Case("hybrid-dbn", "av", 24, 4, static=True),
        Case("avef", "av", 24, 4, static=True),
    ),
}


@dataclass(frozen=True)
class Folds:
    """As many as a corpus has people, of as many clips."""

    count: int
    case: Case


FOLDS = {
    "cpu": Folds(4, Case("vgg16-gru", "audio", 32, epochs=1)),
    "cuda": Folds(18, Case("vgg16-gru", "audio", 1020, epochs=2)),
}


@dataclass(frozen=True)
class Where:
    """On what, at which sizes, and beside what."""

    device: str = "cpu"
    preset: str = "quick"
    ceiling: float = 0.0  # operations a second that the machine was measured to reach; 0: not measured
    profile: Path | None = None  # where two steps of each network are told of


def measures(
    progress: Progress,
    where: Where,
    cases: tuple[Case, ...] = (),
    folds: Folds | None = None,
    repetitions: int = 0,
) -> Iterator[Told]:
    """Of each network of each method, an epoch of its training; and of a small one, fits of several folds."""
    cases, folds = cases or CASES[where.device], folds or FOLDS[where.device]
    repetitions = repetitions or REPETITIONS[where.device]
    with progress("training") as tell:
        for number, case in enumerate(cases):
            tell(number, len(cases), case.title)
            yield from attempted("train", case.title, partial(_measured, case, where, repetitions))
        tell(len(cases), len(cases), "folds together")
        yield from attempted("train", _together(folds), lambda: [_folds(folds, where)])
        yield from attempted("train", "egemaps-svm", lambda: [_machine()])


def _measured(case: Case, where: Where, repetitions: int) -> Iterator[Told]:
    """As it is, and compiled where a run is; then two steps of either are looked into."""
    make, train = prepared(case, where.preset)
    ours, plain, operations = dict[str, Stage](), dict[str, Stage](), dict[str, float]()
    for repetition in range(repetitions):
        _ours(make(), train, where.device, ours)
        for lesson in LESSONS[case.name](make(), train, RunContext(device=where.device)):
            if not repetition:
                operations[lesson.stage] = float_operations(lesson, where.device)
            plain.setdefault(lesson.stage, Stage()).add(plainly(lesson, where.device))
        del lesson  # the last network, which would count as memory of ours
    yield from _beside(case.title, where, ours, plain, operations)
    yield from _looked_into(case, where, case.title)
    if case.static and where.device == "cuda":
        title = f"{case.title}, {COMPILED}"

        def compiled() -> Iterator[Told]:
            with always_compiled():
                told = _ours(make(), train, where.device, {})
                yield from _beside(title, where, told, plain, operations)
                yield from _looked_into(case, where, title)

        yield from attempted("train", title, compiled)


def _beside(
    title: str, where: Where, ours: Mapping[str, Stage], plain: Mapping[str, Stage], operations: Mapping[str, float]
) -> Iterator[Told]:
    """Each network; one that learns otherwise than the plain loop is told, and that this is a defect."""
    for stage, told in plain.items():
        what = f"{title}{f', {stage}' if stage else ''}"
        seconds, apart = min(ours[stage].seconds), difference(ours[stage].losses, told.losses)
        yield Measure(
            "train",
            what,
            seconds,
            PLAIN,
            min(told.seconds),
            rate=operations[stage] / seconds,
            ceiling=where.ceiling,
            note=f"an epoch at {where.preset}; loss {ours[stage].losses[-1]:.4f}, plain {told.losses[-1]:.4f}, "
            f"apart in the first epoch {apart:.2%}",
            gpu_memory=ours[stage].memory,
        )
        if ours[stage].otherwise:
            why = f"it was trained otherwise than asked for ({', '.join(sorted(ours[stage].otherwise))})"
            yield Failed("train", what, why)
        if not apart <= TOLERANCE[where.device]:
            why = f"the losses are {ours[stage].losses}, but {told.losses} in the plain loop; this is a defect"
            yield Failed("train", what, why)


def difference(ours: list[float], plain: list[float]) -> float:
    """Between two trainings, as a share; of the first epoch, for later ones amplify rounding."""
    return abs(ours[0] - plain[0]) / plain[0] if len(ours) == len(plain) else float("inf")


def _looked_into(case: Case, where: Where, title: str) -> Iterator[Told]:
    """Nothing is measured by it, so only a failure is told."""
    if where.profile:
        make, train = prepared(case, where.preset, NEEDED)
        file = where.profile

        def work() -> Iterator[Told]:
            with profiled(file, title, where.device):
                make().fit(train, None, RunContext(device=where.device))
            yield from ()

        yield from attempted("train", f"{title}, profile", work)


@contextmanager
def always_compiled() -> Iterator[None]:
    """As in a whole run, which has so many steps that it pays."""
    before, steps.STEPS = steps.STEPS, 0
    try:
        yield
    finally:
        steps.STEPS = before


def _together(folds: Folds) -> str:
    return f"{folds.case.title}, {folds.count} folds together"


def _folds(folds: Folds, where: Where) -> Measure:
    """Trained together, beside one after the other, and beside one of them."""
    (make, train), told = prepared(folds.case, where.preset), set[str]()

    def alone(count: int) -> None:
        for seed in range(count):
            make().fit(train, None, RunContext(seed, where.device))

    def together(count: int) -> None:
        runs = [RunContext(seed, where.device, lambda name, *_: told.add(name)) for seed in range(count)]
        failed = learn_together([make().lesson(train, None, run) for run in runs])
        if any(failed) or (odd := told.intersection(OTHERWISE)):
            raise RuntimeError(f"folds trained together failed: {failed if any(failed) else ', '.join(sorted(odd))}")

    for work in (alone, together):
        work(2)  # what is done once in a process
    one, apart = (taken(partial(alone, count)) for count in (1, folds.count))
    gpu_peak(where.device)
    at_once = taken(partial(together, folds.count))
    note = (
        f"fits to {folds.case.clips} clips at {where.preset}; {at_once / one:.2f} times as long as one fold alone, "
        f"which took {one:.3g} s"
    )
    plain, memory = "the same folds one after the other", gpu_peak(where.device)
    return Measure("train", _together(folds), at_once, plain, apart, note=note, gpu_memory=memory)


def prepared(case: Case, preset: str, epochs: int = 0) -> tuple[Callable[[], Method], Examples]:
    """What makes the method, trained for so few epochs, and made-up clips to train it on."""
    kind = load("methods", case.name)
    config, modality = configured(case.name, kind, Wish(preset, case.modality))
    few = {name: epochs or case.epochs for name in flat(config) if name.rpartition(".")[2] == "epochs"}
    few |= {"faces.elsewhere": False} if "faces.elsewhere" in flat(config) else {}  # taught here, by the same clips
    config = assigned(case.name, config, few)
    return lambda: kind(config, modality), examples(case.name, kind(config, modality), case.clips)


def _ours(method: Method, train: Examples, device: str, stages: dict[str, Stage]) -> dict[str, Stage]:
    """Each network's epochs, as its curves tell of them."""
    told: dict[str, list[tuple[float, float]]] = {}
    most: dict[str, float] = {}
    otherwise: dict[str, set[str]] = {}

    def log(name: str, value: float, step: int) -> None:  # noqa: ARG001
        for curve in filter(name.endswith, OTHERWISE):
            otherwise.setdefault(name.removesuffix(curve).rstrip("_"), set()).add(curve)
        if name.endswith(CURVE):
            stage = name.removesuffix(CURVE).rstrip("_")
            told.setdefault(stage, []).append((time.perf_counter(), value))
            most[stage] = max(most.get(stage, 0.0), gpu_peak(device))

    gpu_peak(device)
    method.fit(train, None, RunContext(device=device, log=log))
    for stage, points in told.items():
        stages.setdefault(stage, Stage()).add(points, most[stage], otherwise.get(stage, ()))
    return stages


def _machine() -> Measure:
    """A support vector machine is scikit-learn's own."""
    make, train = prepared(Case("egemaps-svm", "audio", 512), "quick")
    seconds = min(taken(lambda: make().fit(train, None, RunContext())) for _ in range(3))
    return Measure("train", "egemaps-svm, audio", seconds, note="a fit to 512 clips by scikit-learn")
