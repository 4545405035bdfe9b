"""Deterministic mode is on wherever a fit is run, is told beside its results, and every method runs in it."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks import determinism
from benchmarks.determinism import CUBLAS, SPACES, deterministic, in_force
from methods.parts.c3d import MaxPool
from tests.test_tune import TUNED
from tests.tinybench import HALVES, Bench, diary, make_bench, toy  # noqa: F401  a fixture
from tests.toys import Bench as Quick
from tests.toys import ToySet, cases, one_thread, toy_set

EPOCHS = "\n        for epoch in range(3):"
ASKED = """
        import torch
        note(f"exact {torch.are_deterministic_algorithms_enabled()} {torch.backends.cudnn.deterministic} "
             f"{torch.backends.cudnn.benchmark} {os.environ.get('CUBLAS_WORKSPACE_CONFIG')} by {os.getpid()}")
        for epoch in range(3):"""
WITHOUT = """
        import torch
        torch.zeros(5).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))
        for epoch in range(3):"""
ON = f"exact True True False {SPACES[0]}"


def told() -> set[str]:
    """By all fits so far."""
    return {line.rpartition(" by ")[0] for line in diary("exact")}


def test_it_is_on_inside_a_fit_alone_and_told_beside_the_result(bench: Bench) -> None:
    toy(bench.plugins, "toy", (EPOCHS, ASKED))
    code, (plain,) = bench.json()
    assert code == 0 and told() == {"exact False False False None"}
    code, (exact,) = bench.json("--deterministic", "--fresh")
    assert code == 0 and told() == {"exact False False False None", ON}
    assert not in_force() and CUBLAS not in os.environ
    assert exact["metrics"] == plain["metrics"] and exact["run_id"] == plain["run_id"], "it is no part of the key"
    tags = {run.data.tags["bench.deterministic"] for run in bench.kept() if "bench.superseded" not in run.data.tags}
    assert tags == {"True"}
    (row,) = bench.kept("row")
    assert row.data.tags["bench.deterministic"] == "True"
    assert '"deterministic": true' in bench.artifact(row, "environment.json").read_text()


def test_an_operation_without_such_a_form_ends_the_cell_in_a_line(bench: Bench) -> None:
    toy(bench.plugins, "toy", (EPOCHS, WITHOUT))
    code, _, err = bench.run("--deterministic")
    assert code == 1 and bench.statuses() == ["FAILED"] * 2
    lines = [line for line in err.splitlines() if "failed: PyTorch has no deterministic form of put_; leave" in line]
    assert len(lines) == 2
    assert bench.run()[0] == 0


def test_it_is_on_in_trials_too_and_tells_why_they_fail(bench: Bench) -> None:
    study = ("--storage", f"sqlite:///{bench.folder / 'optuna.db'}")
    words = ("--method", "toy", "--dataset", "ravdess", "--protocol", HALVES, "--data-root", bench.data)
    toy(bench.plugins, "toy", (EPOCHS, ASKED), *TUNED)
    assert bench.call("tune", *words, "--trials", 2, *study, "--deterministic")[0] == 0
    assert told() == {ON} and not in_force()
    toy(bench.plugins, "toy", (EPOCHS, WITHOUT), *TUNED)
    code, _, err = bench.run("--tune", 2, *study, "--deterministic")
    assert code == 1 and "the first: PyTorch has no deterministic form of put_; leave" in err


@pytest.mark.xdist_group("ray")
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install -e .[ray]")
def test_it_is_on_in_the_processes_of_a_cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import cluster

    monkeypatch.setattr(cluster, "HANDED", (*cluster.HANDED, "TOY_"))
    toy(bench.plugins, "toy", (EPOCHS, ASKED))
    with one_thread():
        assert bench.run("--deterministic", "--executor", "ray", "--jobs", 1)[0] == 0
    assert told() == {ON}
    assert str(os.getpid()) not in {line.rpartition(" ")[2] for line in diary("exact")}
    assert {run.data.tags["bench.deterministic"] for run in bench.kept()} == {"True"}


def test_what_is_on_already_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS, SPACES[1])
    with deterministic(True), deterministic(False):
        with deterministic(True):
            assert os.environ[CUBLAS] == SPACES[1]
        assert in_force()
    assert not in_force() and os.environ[CUBLAS] == SPACES[1]
    monkeypatch.setenv(CUBLAS, ":0:0")
    with deterministic(True):
        assert os.environ[CUBLAS] == SPACES[0]
    assert os.environ[CUBLAS] == ":0:0"


def test_other_errors_are_told_as_they_are() -> None:
    assert determinism.refused(RuntimeError("CUDA out of memory")) == ""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToySet]:
    with one_thread():
        yield toy_set(tmp_path_factory)


@pytest.mark.parametrize("case", [case for case in cases() if case[0] != "new-method"], ids="-".join)
def test_every_method_runs_in_it_twice_with_the_same_answers(
    case: tuple[str, str], toys: ToySet, tmp_path: Path
) -> None:
    quick, answers = Quick(*case, toys, tmp_path), list[npt.NDArray[np.float64]]()
    some = quick.examples(toys.clips[-4:])
    for on in (True, True, False):
        method = quick.method(epochs=2, batch=4)
        with deterministic(on), one_thread():
            answers.append(quick.fit(method, toys.clips[:12]).predict_proba(some))
    assert answers[0].tobytes() == answers[1].tobytes()
    assert answers[2] == pytest.approx(answers[0], abs=1e-3)


@pytest.mark.parametrize(("size", "padding"), [((1, 2, 2), 0), (2, 0), (2, (0, 1, 1))])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("shape", [(2, 3, 16, 8, 8), (1, 2, 2, 7, 7), (2, 2, 5, 9, 6)])
def test_pooling_by_axes_is_pooling_at_once(
    size: Any, padding: Any, shape: tuple[int, ...], order: torch.memory_format
) -> None:
    """PyTorch has no deterministic gradient of the one on a GPU; of the other it has."""
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=order)
    pool, results = MaxPool(size, padding=padding), []
    for way in (pool, pool.by_axes):
        inputs = given.clone().requires_grad_()
        pooled = way(inputs.relu())  # of numbers that are equal all are 0, as behind a convolution's
        pooled.backward(torch.arange(pooled.numel(), dtype=torch.float32).view_as(pooled))
        assert inputs.grad is not None
        results.append((pooled.detach(), inputs.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
