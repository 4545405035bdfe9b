"""The methods whose batches are alike in shape, compiled as on a GPU: the same results, and nothing stays."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.settings import assigned, flat
from benchmarks.speed.training import Case, prepared
from methods.base import Examples, Method, RunContext
from methods.parts import compiled, training
from tests.toys import one_thread

STATIC = [("avef", "audio"), ("avef", "av"), ("hybrid-dbn", "video"), ("hybrid-dbn", "av")]
CLIPS, BATCH = 9, 4
FOLDS = 6  # of two sizes of batches each: more than PyTorch compiles of one function


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Size]]:
    """Of each graph that is compiled, the shapes of all that is no weight; the rest is a GPU's way without one."""
    found = list[list[torch.Size]]()

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
        given = dict(zip(names, inputs, strict=True))
        found.append([one.shape for name, one in given.items() if "parameters" not in name and "buffers" not in name])
        return graph

    class Watched(compiled.Compiled):
        def __init__(self, forward: Callable[[Any], Tensor]) -> None:
            super().__init__(forward, backend=backend)

    monkeypatch.setattr(training, "accelerated", lambda device: True)
    monkeypatch.setattr(Tensor, "pin_memory", lambda one: one)
    monkeypatch.setattr(training, "mixed_precision", lambda device: nullcontext())
    monkeypatch.setattr(training, "Compiled", Watched)
    return found


def fold(name: str, modality: str) -> tuple[Callable[[], Method], Examples]:
    """A small method, and clips for it."""
    make, train = prepared(Case(name, modality, CLIPS, epochs=1), "quick")
    method: Any = make()
    small = {setting: BATCH for setting in flat(method.config) if setting.rpartition(".")[2] == "batch"}
    config = assigned(name, method.config, small)
    return lambda: type(method)(config, modality), train


def fitted(make: Callable[[], Method], train: Examples, count: int) -> tuple[Method, list[str]]:
    some, told = Examples(train.inputs[:count], train.classes, train.labels[:count]), list[str]()
    method = make()
    method.fit(some, None, RunContext(3, log=lambda name, *_: told.append(name)))
    return method, told


@pytest.mark.parametrize(("name", "modality"), STATIC)
def test_it_learns_the_same_and_gets_batches_alone(
    name: str, modality: str, graphs: list[list[torch.Size]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, train = fold(name, modality)
    plain, _ = fitted(make, train, CLIPS)
    assert not graphs, "a few steps are not worth compiling"
    monkeypatch.setattr(training, "STEPS", 0)
    method, told = fitted(make, train, CLIPS)
    np.testing.assert_allclose(method.predict_proba(train), plain.predict_proba(train), atol=1e-5)
    assert graphs and not any("not_compiled" in line for line in told)
    assert all(shapes and shape[0] <= BATCH + 1 for shapes in graphs for shape in shapes)


def test_folds_of_other_sizes_are_compiled_alike(
    graphs: list[list[torch.Size]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last of many; each of the sizes of batches once, of each network."""
    monkeypatch.setattr(training, "STEPS", 0)
    make, train = fold("hybrid-dbn", "audio")
    told = []
    for number in range(FOLDS):
        graphs.clear()
        fitted(make, train, CLIPS - number % 2)
        sizes = [shapes[0][0] for shapes in graphs]
        assert len(sizes) == len(set(sizes))
        told.append(len(sizes))
    assert told == told[:2] * (FOLDS // 2) and min(told) > 0
