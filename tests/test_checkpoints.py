"""A training that is cut short goes on at its last checkpoint, and ends as if nothing had happened, to the last bit."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks import checkpoints
from benchmarks.checkpoints import OnDisk
from methods.base import Checkpoint, Method, NoCheckpoints, RunContext
from methods.parts.course import Course
from methods.parts.dbn import Dbn
from methods.parts.training import Schedule, channels_last, fit, optimiser_of
from tests.toys import Bench, ToySet, cases, one_thread, toy_set

GRADIENT = [case for case in cases() if case[0] not in ("egemaps-svm", "new-method")]
EPOCHS, SEED = 3, 7


class Cut(Exception):  # noqa: N818  no error
    """The process ends here."""


@dataclass
class Watched:
    """Writes down what a fit tells, and cuts it short when it has told so much."""

    most: int = 10**9
    told: list[tuple[str, float, int]] = field(default_factory=list)

    def __call__(self, name: str, value: float, epoch: int) -> None:
        if len(self.told) == self.most:
            raise Cut
        self.told.append((name, value, epoch))


def always(folder: Path, tell: Callable[[str], None] = lambda line: None) -> OnDisk:
    """At the end of every epoch."""
    return OnDisk(folder, tell, 0, math.inf)


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_what_an_optimiser_keeps_lies_as_its_weights_do(momentum: float | None, tmp_path: Path) -> None:
    """Of convolutions on a GPU channels last: fused optimisers take nothing else there."""

    def begun() -> tuple[torch.optim.Optimizer, Iterator[int], nn.Module]:
        network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Conv2d(4, 5, 2), nn.Flatten(), nn.Linear(5, 2))
        channels_last(network)
        optimiser = optimiser_of(network.parameters(), Schedule(2, 4, 0.01, momentum=momentum))
        course = Course(RunContext(checkpoints=always(tmp_path)), network, (), optimiser)
        return optimiser, course.epochs(2), network

    def kept(optimiser: torch.optim.Optimizer) -> list[tuple[tuple[int, ...], Tensor]]:
        return [
            (weight.stride(), part)
            for weight in optimiser.param_groups[0]["params"]
            for part in optimiser.state[weight].values()
            if part.shape == weight.shape
        ]

    first, epochs, network = begun()
    next(epochs)
    network(torch.rand(2, 3, 3, 3)).sum().backward()
    first.step()
    next(epochs)  # the first is kept
    again, epochs, _ = begun()
    assert next(epochs) == 2 and len(kept(again)) == (6 if momentum else 12)
    for (strides, expected), (own, found) in zip(kept(first), kept(again), strict=True):
        assert found.stride() == own == strides and torch.equal(found, expected)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module", name="toys")
def make_toys(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    return toy_set(tmp_path_factory)


@pytest.fixture(scope="module", params=GRADIENT, ids="-".join, name="bench")
def make_quick(request: pytest.FixtureRequest, toys: ToySet) -> Bench:
    name, modality = request.param
    return Bench(name, modality, toys, toys.folder)


def fitted(
    bench: Bench, watched: Watched, kept: OnDisk | None = None, device: str = "cpu", epochs: int = EPOCHS
) -> Method:
    own = bench.toys.clips[:9]
    train, apart = bench.examples(own, labelled=True), bench.examples(bench.toys.clips[9:12], labelled=True)
    method = bench.method(epochs=epochs, batch=4)
    run = RunContext(SEED, device, watched, checkpoints=kept or NoCheckpoints())
    method.fit(train, apart if method.validates else None, run)
    return method


def files(method: Method, folder: Path) -> dict[str, Any]:
    """What it has learnt, byte by byte; machines' files hold the time, so they are told by their answers."""
    folder.mkdir()
    method.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".skops"}


def test_a_fit_of_each_method_goes_on_to_the_same_end(bench: Bench, tmp_path: Path) -> None:
    """Cut short after a third and after two thirds of what it tells: in the midst of an epoch, of any of its stages."""
    whole = Watched()
    undisturbed = fitted(bench, whole, None)
    length = len(whole.told)
    said = list[str]()
    for most in (length // 3, 2 * length // 3, length - 1):
        with pytest.raises(Cut):
            fitted(bench, Watched(most), always(tmp_path / "kept", said.append))
        torch.randn(5)  # what others draw meanwhile changes nothing
    resumed = Watched()
    method = fitted(bench, resumed, always(tmp_path / "kept", said.append))
    assert any("goes on after epoch" in line for line in said)
    assert resumed.told == whole.told
    assert files(method, tmp_path / "b") == files(undisturbed, tmp_path / "a")
    examples = bench.examples(bench.toys.clips[-3:])
    assert method.predict_proba(examples).tolist() == undisturbed.predict_proba(examples).tolist()


def trained(kept: OnDisk | None, watched: Watched, epochs: int = 4, momentum: float | None = None) -> nn.Module:
    """A network with dropout and running statistics, the best epoch kept; what it draws is its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        inputs, targets = torch.randn(20, 6), torch.arange(20) % 3
        judged = {1: 0.5, 2: 0.9, 3: 0.2, 4: 0.1}

        def validate() -> float:
            return judged[max(epoch for name, _, epoch in watched.told if name == "train_loss")]

        run = RunContext(3, log=watched) if kept is None else RunContext(3, log=watched, checkpoints=kept)
        fit(network, lambda rows: network(inputs[rows]), targets, Schedule(epochs, 6, 0.01, momentum=momentum), run,
            validate)  # fmt: skip
    return network


@pytest.mark.parametrize("momentum", [None, 0.0, 0.9])
@pytest.mark.parametrize("most", range(1, 12))
def test_wherever_it_is_cut_the_best_epoch_and_every_state_are_the_same(
    most: int, momentum: float | None, tmp_path: Path
) -> None:
    whole, resumed = Watched(), Watched()
    expected = trained(None, whole, momentum=momentum).state_dict()
    with pytest.raises(Cut):
        trained(always(tmp_path), Watched(most), momentum=momentum)
    found = trained(always(tmp_path), resumed, momentum=momentum).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert resumed.told == whole.told


def test_finished_layers_of_a_belief_network_are_not_trained_again(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data, one, two = torch.randn(12, 5), Dbn(5, (4, 3), 2), Dbn(5, (4, 3), 2)
        two.load_state_dict(one.state_dict())
        expected = Watched()
        schedule = Schedule(3, 4, 0.1, momentum=0.5)
        one.pretrain(data, schedule, RunContext(log=expected))
        untouched = {name: tensor.clone() for name, tensor in two.state_dict().items()}
        with pytest.raises(Cut):
            two.pretrain(data, schedule, RunContext(log=Watched(4), checkpoints=always(tmp_path)))
        two.load_state_dict(untouched)
        resumed = Watched()
        two.pretrain(data, schedule, RunContext(log=resumed, checkpoints=always(tmp_path)))
    assert all(torch.equal(two.state_dict()[name], tensor) for name, tensor in one.state_dict().items())
    assert resumed.told == expected.told and load_file(tmp_path / "rbm_1.safetensors")


def test_what_was_spent_before_a_training_was_cut_short_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several stages the latest knows all that was spent until then; each process adds what it spends itself."""
    now = [100.0]
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    some = Checkpoint({"x": torch.zeros(1)}, {"epoch": 1})
    for stages, earlier in ((("a",), 0.0), (("a", "b"), 7.0), (("a", "b"), 21.0)):
        kept = OnDisk(tmp_path, lambda line: None)
        assert all(found is None or found.facts == {"epoch": 1} for found in map(kept.load, "ab"))
        assert kept.earlier == earlier
        for stage in stages:
            now[0] += 7.0
            kept.save(stage, some)
        now[0] += 100.0  # another process, later


def test_fast_epochs_are_not_slowed_by_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: one every ten seconds, fewer where writing one takes long, and the end of a training."""
    now = [100.0]
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    kept = OnDisk(tmp_path, lambda line: None)
    assert not kept.due("a", last=False) and not kept.due("a", last=True)
    now[0] += 9.9
    assert not kept.due("a", last=False)
    now[0] += 0.1
    assert kept.due("a", last=False)
    kept.save("a", Checkpoint({"x": torch.zeros(1)}, {"epoch": 1}))
    assert not kept.due("a", last=False) and kept.due("a", last=True) and not kept.due("b", last=True)
    kept.took = 2.0  # then it may be written every 40 seconds
    now[0] += 39
    assert not kept.due("b", last=False)
    now[0] += 1
    assert kept.due("b", last=False)


@pytest.mark.parametrize("spoil", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: b"x" * 99])
def test_a_damaged_checkpoint_is_said_and_the_training_begins_anew(spoil: Any, tmp_path: Path) -> None:
    said = list[str]()
    with pytest.raises(Cut):
        trained(always(tmp_path, said.append), Watched(7))
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    expected, found = trained(None, Watched()), trained(always(tmp_path, said.append), Watched())
    (line,) = said
    assert str(file) in line and "damaged" in line and "anew" in line
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_a_disk_that_is_full_costs_the_checkpoint_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, file: Path, facts: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr("benchmarks.checkpoints.save_file", full)
    said = list[str]()
    trained(always(tmp_path, said.append), Watched())
    assert len(said) == 4 and all("disk is full" in line and str(tmp_path) in line for line in said)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_tensors_and_json(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        trained(always(tmp_path), Watched(7))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    facts = json.loads(header["__metadata__"]["facts"])
    assert facts["epoch"] == 2 and len(facts["told"]) == 8  # loss, accuracy, score and what may end a trial, of each
