"""Training, ragged batches, networks as files, and published weights."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from methods.base import MethodError, RunContext, WeightsFile
from methods.parts import networks, weights
from methods.parts.ragged import Ragged
from methods.parts.training import Schedule, batches, fit
from methods.parts.weights import WeightStore
from tests.toys import one_thread

URL = "https://example.org/net.pth"


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@given(count=st.integers(1, 200), size=st.integers(2, 50))
def test_batches_hold_all_once_and_none_holds_one(count: int, size: int) -> None:
    order = torch.randperm(count)
    parts = list(batches(order, size))
    assert torch.equal(torch.cat(parts), order)
    assert min(map(len, parts)) > 1 or count == 1
    assert all(len(part) == size for part in parts[:-1])
    assert len(parts[-1]) <= size + 1


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8), data=st.data())
def test_ragged_sequences_come_back(lengths: list[int], data: st.DataObject) -> None:
    """In any choice, any order, and more than once."""
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 2, 3)).astype(np.float32) for length in lengths]
    ragged = Ragged(sequences, "cpu")
    assert len(ragged) == len(lengths)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=12))
    padded, found = ragged.padded(torch.tensor(chosen))
    assert padded.shape == (len(chosen), max(max(lengths[number], 1) for number in chosen), 2, 3)
    for number, row, length in zip(chosen, padded.numpy(), found.tolist(), strict=True):
        expected = sequences[number] if lengths[number] else np.zeros((1, 2, 3), np.float32)
        assert length == len(expected)
        assert np.array_equal(row[:length], expected)
        assert np.array_equal(row[length:], np.repeat(expected[-1:], len(row) - length, axis=0))


def problem(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    with networks.seeded(seed):
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3))
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(33, 4)).astype(np.float32))
    return network, inputs, inputs[:, :3].argmax(dim=1)


def trained(schedule: Schedule, run: RunContext, seed: int = 0) -> nn.Module:
    network, inputs, targets = problem(seed)
    fit(network, lambda rows: network(inputs[rows]), targets, schedule, run)
    return network


def test_a_seed_decides_everything() -> None:
    schedule = Schedule(epochs=3, batch=8, learning_rate=0.01)
    states = []
    for number in range(2):
        torch.manual_seed(number)
        states.append(trained(schedule, RunContext(seed=5)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = trained(schedule, RunContext(seed=6)).state_dict()
    assert not torch.equal(states[0]["0.weight"], other["0.weight"])


def test_curves_tell_loss_and_accuracy_of_every_epoch() -> None:
    told: list[tuple[str, float, int]] = []
    network = trained(Schedule(40, 8, 0.03), RunContext(log=lambda *line: told.append(line)))
    assert not network.training
    curves = {name: [value for other, value, _ in told if other == name] for name, _, _ in told}
    assert set(curves) == {"train_loss", "train_accuracy"}
    assert [epoch for name, _, epoch in told if name == "train_loss"] == list(range(1, 41))
    assert curves["train_loss"][0] == pytest.approx(math.log(3), abs=0.5)
    assert curves["train_loss"][-1] < curves["train_loss"][0] / 3
    assert curves["train_accuracy"][-1] > 0.9
    assert all(0 <= value <= 1 for value in curves["train_accuracy"])


def test_one_step_is_adam_on_the_mean_cross_entropy() -> None:
    network, inputs, targets = problem()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    nn.functional.cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    found = trained(Schedule(epochs=1, batch=33, learning_rate=0.01), RunContext())
    for name, tensor in found.state_dict().items():
        assert tensor.numpy() == pytest.approx(network.state_dict()[name].numpy(), abs=1e-4), name


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_epoch_and_batch(bad: float) -> None:
    """In the third epoch, the second of four batches."""
    network, inputs, targets = problem()
    calls = []

    def forward(rows: Tensor) -> Tensor:
        calls.append(len(rows))
        logits: Tensor = network(inputs[rows])
        return logits * bad if len(calls) == 4 + 4 + 2 else logits

    with pytest.raises(MethodError, match=r"loss is nan in epoch 3, batch 2; lower learning_rate"):
        fit(network, forward, targets, Schedule(5, 8, 0.01), RunContext())
    assert calls[:4] == [8, 8, 8, 9]


def test_what_memory_does_not_hold_is_learnt_from_in_parts_and_told() -> None:
    """Without layers that look at a batch as a whole the network becomes what it would have become."""
    told: list[tuple[str, float, int]] = []
    states = []
    for room in (33, 3):
        network = nn.Linear(4, 3)
        _, inputs, targets = problem()
        nn.init.eye_(network.weight)
        nn.init.zeros_(network.bias)

        def forward(rows: Tensor, network: nn.Module = network, inputs: Tensor = inputs, room: int = room) -> Tensor:
            if len(rows) > room:
                raise torch.OutOfMemoryError(f"{len(rows)} rows")
            found: Tensor = network(inputs[rows])
            return found

        schedule = Schedule(3, 10, 0.01, clip_norm=0.5)
        fit(network, forward, targets, schedule, RunContext(log=lambda *line: told.append(line)))
        states.append(network.state_dict())
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])
    assert [line for line in told if line[0] == "parts_of_a_batch"] == [("parts_of_a_batch", 4, n) for n in (1, 2, 3)]
    curves = [[value for name, value, _ in told if name == "train_loss"][which] for which in (slice(3), slice(3, 6))]
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_what_memory_never_holds_is_one_line(error: Exception) -> None:
    def forward(rows: Tensor) -> Tensor:
        raise error

    network, _, targets = problem()
    with pytest.raises(MethodError, match=r"the memory of cpu does not hold 2 of a batch of 10 examples; take"):
        fit(network, forward, targets, Schedule(1, 10, 0.01), RunContext())


def test_another_fault_is_not_taken_for_a_lack_of_memory() -> None:
    def forward(rows: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    network, _, targets = problem()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        fit(network, forward, targets, Schedule(1, 10, 0.01), RunContext())


def test_gradients_are_clipped_where_asked() -> None:
    """Adam hardly minds the scale, so its memory of the gradient is looked at through a tiny norm."""
    moved = []
    for norm in (0.0, 1e-12):
        network = trained(Schedule(1, 33, 0.01, clip_norm=norm), RunContext())
        moved.append(max(float((a - b).abs().max()) for a, b in _pairs(network, problem()[0])))
    assert moved[0] > 0.009
    assert moved[1] < 0.001


def _pairs(network: nn.Module, before: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(a.detach(), b.detach()) for a, b in zip(network.parameters(), before.parameters(), strict=True)]


def test_networks_as_files(tmp_path: Path) -> None:
    network = trained(Schedule(1, 8, 0.01), RunContext())
    networks.save(tmp_path, network, {"widths": {"mfcc": 13}, "classes": 3})
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors", ".json"}
    assert networks.shape(tmp_path) == {"widths": {"mfcc": 13}, "classes": 3}
    again = problem(seed=1)[0]
    networks.restore(tmp_path, again)
    assert not again.training
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in network.state_dict().items())


def test_seeding_disturbs_nobody() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with networks.seeded(8):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    torch.manual_seed(8)
    assert torch.equal(torch.rand(4), inside)


def test_seeding_leaves_a_gpu_alone_that_nobody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """For to look at its chance takes hold of it, and of its memory."""

    def held(*_: object) -> None:
        raise AssertionError("it was taken hold of")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", held)
    with networks.seeded(8):
        torch.rand(4)


def refuse(url: str, target: str, progress: bool) -> None:
    raise URLError("no network")


def test_weights_that_cannot_be_had_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(MethodError) as caught:
        WeightStore(tmp_path / "new").find(WeightsFile("net.pth", URL, "abc"))
    told = str(caught.value)
    assert "\n" not in told
    for part in (str(tmp_path / "new" / "net.pth"), URL, "no network", "--weights DIR", "--weights none"):
        assert part in told


def test_weights_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, target: str, progress: bool) -> None:
        assert url == URL
        Path(target).write_bytes(b"weights")

    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert WeightStore(tmp_path).find(WeightsFile("net.pth", URL, digest)) == tmp_path / "net.pth"
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    assert WeightStore(tmp_path).find(WeightsFile("net.pth", URL, digest)) == tmp_path / "net.pth"


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(MethodError) as caught:
        WeightStore(tmp_path).find(WeightsFile("net.pth", URL, "0" * 8))
    told = str(caught.value)
    assert "\n" not in told
    assert str(tmp_path / "net.pth") in told and URL in told


def test_none_asks_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    assert WeightStore(tmp_path / "nowhere", none=True).find(WeightsFile("net.pth", URL, "abc")) is None
    assert not (tmp_path / "nowhere").exists()


def test_where_weights_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BENCH_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert weights.folder() == Path("~/.cache/torch/hub/checkpoints").expanduser()
    assert weights.folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert weights.folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "mine"))
    assert weights.folder() == tmp_path / "mine"
