"""Costs: counted operations and parameters against closed forms; memory that is asked for is seen."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.cost import FORGET, metered, operations, parameters
from methods.base import Examples
from tests.tinybench import Bench, make_bench, toy  # noqa: F401  a fixture


class Product:
    """One product of [3, 5] and [5, 7] for a clip, after another in a frozen network."""

    def predict_proba(self, examples: Examples) -> Any:
        with torch.inference_mode():
            return torch.ones(3, 5) @ torch.ones(5, 7)

    def __call__(self, inputs: Any, device: str) -> Any:
        return {"x": torch.ones(2, 5) @ torch.ones(5, 2)}


def test_operations_are_two_for_each_multiplication_also_of_the_frozen_network() -> None:
    method: Any = Product()
    examples = Examples([{}], ("a",))
    assert operations(method, None, [{}], examples, "cpu") == {"flops_per_clip": 2 * 3 * 5 * 7}
    assert operations(method, method, [{}], examples, "cpu") == {"flops_per_clip": 2 * 3 * 5 * 7 + 2 * 2 * 5 * 2}
    two = Examples([{}, {}], ("a",))  # it makes one product whatever it is asked
    assert operations(method, method, [{}, {}], two, "cpu") == {"flops_per_clip": 3 * 5 * 7 + 2 * 2 * 5 * 2}


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("ways", [1, 2])
def test_recurrent_layers_are_counted(kind: Any, gates: int, ways: int) -> None:
    class Recurrent:
        def __init__(self) -> None:
            self.network = kind(6, 10, batch_first=True, bidirectional=ways == 2)

        def predict_proba(self, examples: Examples) -> Any:
            with torch.inference_mode():
                return self.network(torch.ones(1, 9, 6))

    method: Any = Recurrent()
    steps = 9 * ways * gates * 2 * (6 * 10 + 10 * 10)  # what comes in, and what was there
    assert operations(method, None, [{}], Examples([{}], ("a",)), "cpu") == {"flops_per_clip": steps}
    assert parameters(method) == {"parameters": ways * gates * (6 * 10 + 10 * 10 + 2 * 10)}


def test_buffers_are_no_parameters_and_a_machine_has_none() -> None:
    method: Any = Product()
    assert parameters(method) == {}
    method.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert parameters(method) == {"parameters": 3 * 4 + 4 + 2 * 4}


@pytest.mark.skipif(not FORGET.exists(), reason="the peak of memory is told by Linux alone")
def test_the_peak_of_memory_is_that_of_the_time_between() -> None:
    def peak(megabytes: int) -> float:
        with metered("cpu") as found:
            block = np.ones(megabytes * 1_000_000, np.uint8)
            assert block[-1]
            del block
        return found["peak_memory_mb"]

    little, much, again = peak(1), peak(300), peak(1)
    assert 250 < much - little < 350
    assert again < much - 250


def test_every_cell_tells_its_costs(bench: Bench) -> None:
    assert bench.run()[0] == 0
    for run in bench.kept():
        assert run.data.metrics["predict_seconds_per_clip"] * run.data.metrics["test_clips"] == pytest.approx(
            run.data.metrics["predict_seconds"]
        )
        assert "parameters" not in run.data.metrics  # the toy has no network
