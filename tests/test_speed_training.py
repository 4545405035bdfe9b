"""What is faster than a plain loop must learn the same."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from benchmarks.console import Tell
from benchmarks.determinism import deterministic
from benchmarks.settings import usual_preset
from benchmarks.speed import profiling, training
from benchmarks.speed.lessons import LESSONS, Lesson
from benchmarks.speed.measure import Failed, Measure
from benchmarks.speed.plain_loop import Stage, float_operations, plainly
from benchmarks.speed.training import CASES, Case, Folds, Where
from methods.base import Examples, Method, MethodError, RunContext
from methods.parts import networks
from methods.parts import training as plain_training
from methods.parts.compiled import Compiled
from methods.parts.training import Schedule, channels_last, fit
from tests.pretended import pretended
from tests.toys import one_thread

SMALL = [Case(case.name, case.modality, clips=5, epochs=2) for case in CASES["cpu"]]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@contextmanager
def silent(what: str) -> Iterator[Tell]:
    yield lambda done, total, now="": None


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.name}-{case.modality}")
def test_every_network_learns_as_in_a_plain_loop(case: Case) -> None:
    """The losses of all stages; the first epoch's closely, for what follows amplifies rounding."""
    make, train = training.prepared(case, "quick")
    ours = training._ours(make(), train, "cpu", {})
    stages = []
    for lesson in LESSONS[case.name](make(), train, RunContext()):
        plain = Stage()
        plain.add(plainly(lesson, "cpu"))
        stages.append(lesson.stage)
        assert len(plain.losses) == len(ours[lesson.stage].losses) == case.epochs
        assert len(plain.seconds) == len(ours[lesson.stage].seconds) == case.epochs - 1
        assert ours[lesson.stage].losses == pytest.approx(plain.losses, rel=0.02), lesson.stage
    assert stages == list(ours), "a network is not measured"


def test_what_learns_otherwise_is_told_beside_its_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was measured is lost; on a GPU rounding alone makes a per cent."""
    told = {"": Stage([1.0], [1.0, 0.5])}
    plain = {"": Stage([2.0], [1.05, 0.5])}

    def beside(device: str) -> list[Measure | Failed]:
        return list(training._beside("a", Where(device), told, plain, {"": 6.0}))

    one, failed = beside("cpu")
    assert isinstance(one, Measure) and one.faster == 2 and "apart in the first epoch 4.76%" in one.note
    assert isinstance(failed, Failed) and failed.what == "a" and "this is a defect" in failed.why
    assert [type(one) for one in beside("cuda")] == [Measure]
    plain[""].losses[0] = float("nan")
    assert [type(one) for one in beside("cuda")] == [Measure, Failed]


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize(("name", "modality"), [("vgg16-gru", "audio"), ("attention-fbp", "av"), ("avef", "av")])
def test_no_measure_on_a_gpu_mixes_devices(name: str, modality: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the fake one's losses are: of the plain loop each is told as 1."""
    monkeypatch.setattr(training, "gpu_peak", lambda device: 3e9)
    monkeypatch.setattr(training, "always_compiled", nullcontext)
    with pretended(monkeypatch):
        told = list(training._measured(Case(name, modality, 4, 2, static=name == "avef"), Where("cuda"), 1))
    measured = [one for one in told if isinstance(one, Measure)]
    assert measured and all(one.gpu_memory == 3e9 and one.rate > 0 for one in measured)
    assert all("this is a defect" in one.why for one in told if isinstance(one, Failed))
    assert any(training.COMPILED in one.what for one in measured) == (name == "avef")


CASE = Case("vgg16-gru", "audio", 8, 2)
OTHER = Case("cnn-lstm-dnn", "audio", 8, 2)


def test_measures_are_whole() -> None:
    told = list(training.measures(silent, Where(ceiling=1e9), (CASE,), Folds(2, CASE), 1))
    assert [measure.what for measure in told] == [
        "vgg16-gru, audio",
        "vgg16-gru, audio, 2 folds together",
        "egemaps-svm, audio",
    ]
    for measure in told:
        assert isinstance(measure, Measure) and measure.part == "train" and measure.seconds > 0
        assert not measure.gpu_memory
    first, second = told[0], told[1]
    assert isinstance(first, Measure) and isinstance(second, Measure)
    assert first.plain_seconds > 0 and first.rate > 0 and first.ceiling == 1e9 and "at quick" in first.note
    assert second.plain_seconds > 0 and re.search(r"; \d+\.\d\d times as long as one fold alone", second.note)


def test_a_case_that_fails_costs_only_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*asked: object) -> Iterator[Lesson]:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(training, "LESSONS", {**LESSONS, CASE.name: failing})
    first, second, *others = training.measures(silent, Where(), (CASE, OTHER), Folds(2, CASE), 1)
    assert isinstance(first, Failed) and (first.what, first.why) == (CASE.title, "OutOfMemoryError: no room")
    assert isinstance(second, Measure) and second.what == OTHER.title and len(others) == 2


def test_a_preset_is_that_of_a_run_and_reaches_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's sizes on a GPU, with full batches of them."""
    chosen = {device: [usual_preset(asked, device) for asked in ("", "quick")] for device in CASES}
    assert chosen == {"cpu": ["quick", "quick"], "cuda": ["paper", "quick"]}
    method: Any = training.prepared(Case("avef", "audio", 2), usual_preset("", "cuda"))[0]()
    assert (method.config.audio.schedule.batch, method.config.audio.schedule.epochs) == (30, 3)
    assert [(case.name, case.modality) for case in CASES["cuda"]] == [(one.name, one.modality) for one in CASES["cpu"]]
    batches = {case.name: case.clips * 8 // 30 for case in CASES["cuda"] if case.static}
    assert set(batches) == {"avef", "hybrid-dbn"} and min(batches.values()) >= 5


def test_two_steps_of_each_network_are_profiled(tmp_path: Path) -> None:
    """Added to the file, network by network; nothing of training stays changed."""
    file, step = tmp_path / "profile.txt", plain_training.Step.__call__
    told = list(training._looked_into(Case("hybrid-dbn", "av", 3), Where(profile=file), "a case"))
    assert not told and plain_training.Step.__call__ is step
    headings = re.findall(r"^a case: (\w+), steps of \d+ and \d+ examples", file.read_text(), re.MULTILINE)
    assert headings[:2] == ["AlexNet", "C3d"] and len(headings) == 3
    assert file.read_text().count("Self CPU time total") == 3 and "aten::convolution" in file.read_text()
    assert profiling.NEEDED > 2


def test_a_profile_that_fails_costs_no_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling._Look, "after", lambda look: 1 / 0)
    first, failed = training._measured(CASE, Where(profile=tmp_path / "profile.txt"), 1)
    assert isinstance(first, Measure) and isinstance(failed, Failed) and failed.what == f"{CASE.title}, profile"


def test_steps_are_compiled_as_in_a_long_run() -> None:
    before = plain_training.STEPS
    with pytest.raises(ZeroDivisionError), training.always_compiled():
        assert plain_training.STEPS == 0
        raise ZeroDivisionError
    assert before == plain_training.STEPS


def lesson_of(network: nn.Module, forward: Callable[[Tensor], Tensor], row: Tensor, count: int) -> Lesson:
    """Examples alike."""
    lesson = next(LESSONS["vgg16-gru"](*_made("audio")))
    return dataclasses.replace(
        lesson,
        network=network,
        examples=[{"x": row} for _ in range(count)],
        targets=torch.zeros(count, dtype=torch.int64),
        forward=lambda batch: forward(batch["x"][0]),
    )


def test_operations_of_a_layer_are_counted() -> None:
    """Forwards 2 n m, backwards as many again for the weights; the inputs need no gradient."""
    layer = nn.Linear(13, 6)
    lesson = lesson_of(layer, lambda rows: layer(rows[:, 0]), torch.zeros(1, 13), 16)
    assert float_operations(lesson, "cpu") == 16 * 2 * 2 * 13 * 6


def test_operations_of_a_recurrent_layer_are_counted() -> None:
    """At each step 2 n 3h and 2 h 3h; backwards both for the weights, and for the state but that of the first step."""
    steps, n, h = 7, 5, 4
    gru = nn.GRU(n, h, batch_first=True)
    lesson = lesson_of(gru, lambda rows: gru(rows)[0][:, -1], torch.zeros(steps, n), 6)
    weights, state = 2 * steps * 3 * h * (n + h), 2 * (steps - 1) * 3 * h * h
    before = torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled
    assert float_operations(lesson, "cpu") == 6 * (2 * weights + state)
    assert (torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled) == before


def _made(modality: str) -> tuple[Method, Examples, RunContext]:
    make, train = training.prepared(Case("vgg16-gru", modality, 4, 2), "quick")
    return make(), train, RunContext()


def learnt(gathers: bool, backend: object = None, log: Any = None) -> dict[str, Tensor]:
    """A network's weights after some steps."""
    with networks.seeded(0):
        network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        inputs = torch.randn(10, 4)
    targets = torch.arange(10) % 3

    forward = Compiled(network, backend=backend) if backend else network
    run = RunContext(log=log) if log else RunContext()
    if gathers:
        fit(network, forward, targets, Schedule(3, 4, 0.01), run, gather=lambda rows: inputs[rows])
    else:
        fit(network, lambda rows: network(inputs[rows]), targets, Schedule(3, 4, 0.01), run)
    return network.state_dict()


def test_a_compiled_step_learns_the_same() -> None:
    plain, gathered, compiled = learnt(False), learnt(True), learnt(True, "aot_eager")
    assert all(torch.equal(gathered[name], tensor) for name, tensor in plain.items())
    assert all(torch.allclose(compiled[name], tensor, atol=1e-6) for name, tensor in plain.items())


def test_the_way_of_a_gpu_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the hardware: the order of weights, the compiled step, the numbers sent there."""

    def weights() -> dict[str, Tensor]:
        with networks.seeded(0):
            network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
            pictures = torch.randn(9, 3, 6, 6)
        targets = torch.arange(9) % 3
        fit(network, network, targets, Schedule(2, 4, 0.01), RunContext(), gather=lambda rows: pictures[rows])
        return network.state_dict()

    expected, made = weights(), []

    class Noted(Compiled):
        def __init__(self, forward: Callable[[Any], Tensor]) -> None:
            made.append(forward)
            super().__init__(forward, backend="aot_eager")

    monkeypatch.setattr(plain_training, "accelerated", lambda device: True)
    monkeypatch.setattr(plain_training, "sent", lambda tensor, device: tensor.to(device))
    monkeypatch.setattr(plain_training, "mixed_precision", lambda device: nullcontext())
    monkeypatch.setattr(plain_training, "Compiled", Noted)
    assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights().items())
    assert not made, "a few steps are not worth compiling"
    monkeypatch.setattr(plain_training, "STEPS", 4)
    assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights().items())
    assert len(made) == 1


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is no compiler, or nothing can be captured, there or back: that is told of each epoch.

    What a GPU draws chance from, which a capture that failed leaves behind as if it went on, is taken anew.
    """
    anew = list[object]()
    chance = SimpleNamespace(clone_state=lambda: "a copy", graphsafe_set_state=anew.append)
    monkeypatch.setattr(torch.cuda, "default_generators", (chance,))
    learnt(True, "aot_eager")
    assert not anew

    def compiling(graph: object, inputs: object) -> Any:
        calls.append("there")
        raise TorchDynamoException("no compiler")

    def there(*_: object) -> Any:
        calls.append("there")
        raise RuntimeError("operation not permitted when stream is capturing")

    def back(graph: Any, inputs: object) -> Any:
        def run(*inputs: Tensor) -> list[Tensor]:
            told: list[Tensor] = graph(*inputs)
            told[0].register_hook(there)  # type: ignore[no-untyped-call]
            return told

        return run

    for backend in (compiling, lambda graph, inputs: there, back):
        calls, told = list[str](), list[tuple[str, float, int]]()
        with pytest.warns(RuntimeWarning, match="not compiled any more, .*(compiler|capturing)"):
            found = learnt(True, backend, lambda *line, told=told: told.append(line))
        assert calls == ["there"] and anew.pop() == "a copy" and not anew
        assert all(torch.equal(found[name], tensor) for name, tensor in learnt(False).items())
        lines = [line for line in told if line[0] == "steps_not_compiled"]
        assert lines == [("steps_not_compiled", 1, epoch) for epoch in (1, 2, 3)]


def test_what_memory_does_not_hold_compiled_is_tried_as_it_is() -> None:
    """And only then in parts."""

    def full(*_: object) -> Any:
        raise torch.OutOfMemoryError

    told = list[str]()
    with pytest.warns(RuntimeWarning, match="not compiled"):
        found = learnt(True, lambda graph, inputs: full, lambda name, *_: told.append(name))
    assert all(torch.equal(found[name], tensor) for name, tensor in learnt(False).items())
    assert "steps_not_compiled" in told and "parts_of_a_batch" not in told


def test_a_network_that_was_trained_otherwise_than_asked_is_told() -> None:
    """By itself: another of the same fit was trained as asked."""

    class Fitted:
        def fit(self, train: object, validation: object, run: RunContext) -> None:
            for part in ("face", "clip"):
                own = run.named(part)
                for epoch in (1, 2):
                    if part == "face":
                        own.log("parts_of_a_batch", 2, epoch)
                    own.log("train_loss", 1 / epoch, epoch)

    ours = training._ours(cast(Any, Fitted()), cast(Any, None), "cpu", {})
    plain = {name: Stage(seconds=[1.0], losses=[1.0, 0.5]) for name in ours}
    told = list(training._beside("toy", Where(), ours, plain, dict.fromkeys(ours, 1.0)))
    assert [(type(one), one.what) for one in told] == [
        (Measure, "toy, face"), (Failed, "toy, face"), (Measure, "toy, clip"),
    ]  # fmt: skip
    assert isinstance(told[1], Failed) and "parts_of_a_batch" in told[1].why


@pytest.mark.parametrize("exact", [False, True])
def test_kernels_are_tried_while_batches_are_alike(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """But in deterministic mode; afterwards it is as it was, also behind an error."""
    monkeypatch.setattr(plain_training, "accelerated", lambda device: True)
    monkeypatch.setattr(plain_training, "sent", lambda tensor, device: tensor.to(device))
    monkeypatch.setattr(plain_training, "mixed_precision", lambda device: nullcontext())
    network, seen = nn.Linear(4, 3), list[bool]()

    def forward(batch: Tensor) -> Tensor:
        seen.append(torch.backends.cudnn.benchmark)
        if len(seen) == 2:
            raise MethodError("an end")
        logits: Tensor = network(batch)
        return logits

    with deterministic(exact), pytest.raises(MethodError):
        fit(network, forward, torch.tensor([0, 1]), Schedule(3, 4, 0.01), RunContext(), gather=torch.eye(4).__getitem__)
    assert seen == [not exact] * 2 and not torch.backends.cudnn.benchmark


def test_weights_in_another_order_are_the_same() -> None:
    flat, deep = nn.Conv2d(3, 4, 3), nn.Conv3d(2, 2, 2)
    network = nn.Sequential(flat, nn.ReLU(), nn.Unflatten(1, (2, 2)), deep)
    pictures = torch.randn(2, 3, 8, 8)
    before = network(pictures)
    channels_last(network)
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.allclose(network(pictures), before, atol=1e-5)
