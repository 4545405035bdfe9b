"""Costs: counted operations and parameters against closed forms; memory that is asked for is seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

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
    examples = Examples([], ("a",))
    assert operations(method, None, {}, examples, "cpu") == {"flops_per_clip": 2 * 3 * 5 * 7}
    assert operations(method, method, {}, examples, "cpu") == {"flops_per_clip": 2 * 3 * 5 * 7 + 2 * 2 * 5 * 2}


def test_parameters_are_the_numbers_in_all_saved_networks(tmp_path: Path) -> None:
    assert parameters(tmp_path) == {}
    (tmp_path / "deeper").mkdir()
    save_file({"w": np.zeros((3, 4)), "b": np.zeros(4)}, tmp_path / "model.safetensors")
    save_file({"scalar": np.zeros(())}, tmp_path / "deeper" / "other.safetensors")
    assert parameters(tmp_path) == {"parameters": 17.0}


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
