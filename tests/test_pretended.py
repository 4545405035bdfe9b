"""Every method on a GPU that is not there: it mixes no tensors of two devices, and no step of training waits for it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import plugins
from benchmarks.cost import networks
from benchmarks.model import rebuilt
from benchmarks.settings import assigned, flat
from benchmarks.speed.training import Case, prepared
from methods.base import Examples, Method, RunContext
from methods.parts.together import learn_together
from methods.parts.training import Step
from methods.parts.weights import WeightStore
from tests.pretended import pretended

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
NETWORKS = [name for name in plugins.names("methods") if name != "egemaps-svm"]
MODALITIES = ["audio", "video", "av"]
CLIPS = 6
FEW, MANY = 2, 1000  # examples of a batch: several steps in an epoch, or one


def asked(name: str, modality: str, batch: int) -> tuple[Callable[[], Method], Examples]:
    """A method with batches of that size, and clips for it."""
    make, train = prepared(Case(name, modality, CLIPS, epochs=2), "quick")
    method: Any = make()
    sizes = {setting: batch for setting in flat(method.config) if setting.rpartition(".")[2] == "batch"}
    config = assigned(name, method.config, sizes)
    return lambda: type(method)(config, modality), train


def waits(name: str, modality: str, batch: int) -> int:
    """How often a fit waits for the GPU."""
    make, train = asked(name, modality, batch)
    method = make()
    with pytest.MonkeyPatch.context() as patch, pretended(patch) as gpu:
        method.fit(train, train, RunContext(device="cuda"))
        learnt = gpu.waits
        assert method.predict_proba(train).shape == (CLIPS, len(train.classes))
        assert gpu.waits > learnt
    return learnt


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_waits_as_often_for_many_steps_as_for_one(name: str, modality: str) -> None:
    assert waits(name, modality, FEW) == waits(name, modality, MANY) > 0


@pytest.mark.parametrize(("name", "modality"), [("vgg16-gru", "audio"), ("vgg16-gru", "av"), ("cnn-lstm-dnn", "audio")])
def test_folds_that_learn_together_do_so_too(name: str, modality: str) -> None:
    """Of `cnn-lstm-dnn` with pictures, whose convolutions are not known of fake tensors under vmap, not."""
    told = []
    for batch in (FEW, MANY):
        make, train = asked(name, modality, batch)
        with pytest.MonkeyPatch.context() as patch, pretended(patch) as gpu:
            methods: list[Any] = [make() for _ in range(3)]
            lessons = [method.lesson(train, train, RunContext(seed, "cuda")) for seed, method in enumerate(methods)]
            assert learn_together(lessons) == [None, None, None]
            told.append(gpu.waits)
    assert told[0] == told[1] > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_made_again_answers_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, train = asked(name, "av", FEW)
    method: Any = make()
    method.fit(train, train if method.validates else None, RunContext())
    method.save(tmp_path)
    config = json.loads(json.dumps(asdict(method.config)))
    facts = {"method": name, "config": config, "modality": "av", "substituted": [""], "frozen": None}
    with pretended(monkeypatch) as gpu:
        made = rebuilt(facts, tmp_path, WeightStore(tmp_path, none=True), "cuda").method
        tensors = [tensor for network in networks(made) for tensor in (*network.parameters(), *network.buffers())]
        assert tensors and all(tensor.device.type == "cuda" for tensor in tensors)
        assert made.predict_proba(train).shape == (CLIPS, len(train.classes)) and gpu.waits


def test_a_step_that_waits_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step.__call__

    def waiting(own: Step, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        told = step(own, chosen)
        told[0].item()
        return told

    monkeypatch.setattr(Step, "__call__", waiting)
    assert waits("cnn-lstm-dnn", "audio", FEW) > waits("cnn-lstm-dnn", "audio", MANY)


def test_it_tells_a_mixture_and_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended(monkeypatch) as gpu:
        there, here = torch.zeros(3, device="cuda"), torch.zeros(3)
        assert (there + 1).device.type == "cuda"
        with pytest.raises(RuntimeError, match="mixes tensors"):
            there + here
        here.to("cuda", non_blocking=True)
        before = gpu.waits
        here.to("cuda"), there.cpu(), there.sum().item(), there[torch.tensor([1])]
        assert (before, gpu.waits) == (0, 4)
