"""What is faster than a plain loop must learn the same."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from benchmarks.console import Tell
from benchmarks.speed import training
from benchmarks.speed.lessons import LESSONS
from benchmarks.speed.training import CASES, Case
from methods.base import Examples, Method, RunContext
from methods.parts import networks
from methods.parts import training as plain_training
from methods.parts.training import Compiled, Schedule, channels_last, fit
from tests.toys import one_thread

SMALL = [Case(case.name, case.modality, clips=5, epochs=2) for case in CASES]


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
    ours = training._ours(make(), train, "cpu")
    stages = []
    for lesson in LESSONS[case.name](make(), train, RunContext()):
        plain = training.plainly(lesson, "cpu")
        stages.append(lesson.stage)
        assert len(plain.losses) == len(ours[lesson.stage].losses) == case.epochs
        assert ours[lesson.stage].losses == pytest.approx(plain.losses, rel=0.02), lesson.stage
    assert stages == list(ours), "a network is not measured"


def test_what_learns_otherwise_is_not_compared() -> None:
    training.same("a", "", [1.0, 0.5], [1.001, 0.4])
    with pytest.raises(RuntimeError, match="a audio: the losses are"):
        training.same("a", "audio", [1.0, 0.5], [1.1, 0.5])


def test_measures_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "product_rate", lambda device: 1e9)
    case = Case("vgg16-gru", "audio", 8, 2)
    told = list(training.measures(silent, repetitions=1, cases=(case,), folds=training.Folds(2, case)))
    assert [measure.what for measure in told] == [
        "vgg16-gru, audio",
        "vgg16-gru, audio, 2 folds together",
        "egemaps-svm, audio",
    ]
    assert all(measure.part == "train" and measure.seconds > 0 for measure in told)
    assert told[0].plain_seconds > 0 and told[0].rate > 0 and told[0].ceiling == 1e9
    assert told[1].plain_seconds > 0 and re.search(r"; \d+\.\d\d times as long as one fold alone", told[1].note)


def test_operations_of_a_layer_are_counted() -> None:
    """Forwards 2 n m, backwards as many again for the weights; the inputs need no gradient."""
    lesson = next(LESSONS["vgg16-gru"](*_made("audio")))
    layer = nn.Linear(13, 6)
    rows = [{"x": torch.zeros(1, 13)} for _ in range(16)]
    lesson = dataclasses.replace(
        lesson,
        network=layer,
        examples=rows,
        targets=torch.zeros(16, dtype=torch.int64),
        forward=lambda batch: layer(batch["x"][0][:, 0]),
    )
    assert training.float_operations(lesson, "cpu") == 16 * 2 * 2 * 13 * 6


def _made(modality: str) -> tuple[Method, Examples, RunContext]:
    make, train = training.prepared(Case("vgg16-gru", modality, 4, 2), "quick")
    return make(), train, RunContext()


def learnt(static: bool, compiled: bool) -> dict[str, Tensor]:
    """A network's weights after some steps."""
    with networks.seeded(0):
        network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        inputs = torch.randn(10, 4)
    targets = torch.arange(10) % 3

    def forward(rows: Tensor) -> Tensor:
        logits: Tensor = network(inputs[rows.to(inputs.device)])
        return logits

    step = Compiled(forward, backend="aot_eager") if compiled else forward
    fit(network, step, targets, Schedule(3, 4, 0.01), RunContext(), static=static)
    return network.state_dict()


def test_a_compiled_step_learns_the_same() -> None:
    plain, compiled = learnt(False, False), learnt(True, True)
    assert all(torch.allclose(compiled[name], tensor, atol=1e-6) for name, tensor in plain.items())


def test_the_way_of_a_gpu_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the hardware: the order of weights, the compiled step, the numbers sent there."""

    def weights() -> dict[str, Tensor]:
        with networks.seeded(0):
            network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
            pictures = torch.randn(9, 3, 6, 6)
        targets = torch.arange(9) % 3
        fit(network, lambda rows: network(pictures[rows]), targets, Schedule(2, 4, 0.01), RunContext(), static=True)
        return network.state_dict()

    expected, made = weights(), []

    def compiled(forward: Callable[[Tensor], Tensor]) -> Compiled:
        made.append(forward)
        return Compiled(forward, backend="aot_eager")

    monkeypatch.setattr(plain_training, "accelerated", lambda device: True)
    monkeypatch.setattr(plain_training, "sent", lambda tensor, device: tensor.to(device))
    monkeypatch.setattr(plain_training, "mixed_precision", lambda device: nullcontext())
    monkeypatch.setattr(plain_training, "Compiled", compiled)
    assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights().items())
    assert not made, "a few steps are not worth compiling"
    monkeypatch.setattr(plain_training, "STEPS", 4)
    assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights().items())
    assert len(made) == 1


def test_what_cannot_be_compiled_runs_as_it_is() -> None:
    calls = []

    def forward(rows: Tensor) -> Tensor:
        return rows + 1

    def backend(graph: object, inputs: object) -> object:
        calls.append(graph)
        raise TorchDynamoException("no compiler")

    step = Compiled(forward, backend=backend)
    assert [step(torch.zeros(2)).sum().item() for _ in range(3)] == [2, 2, 2]
    assert len(calls) == 1


def test_weights_in_another_order_are_the_same() -> None:
    flat, deep = nn.Conv2d(3, 4, 3), nn.Conv3d(2, 2, 2)
    network = nn.Sequential(flat, nn.ReLU(), nn.Unflatten(1, (2, 2)), deep)
    pictures = torch.randn(2, 3, 8, 8)
    before = network(pictures)
    channels_last(network)
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.allclose(network(pictures), before, atol=1e-5)
