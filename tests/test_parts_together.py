"""Folds trained together must be what each is alone."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.settings import Wish, configured
from benchmarks.speed.made_up import CLASSES, examples
from methods.base import Examples, MethodError, RunContext
from methods.parts import networks
from methods.parts.ragged import Ragged
from methods.parts.together import Learner, fit_together, steps
from methods.parts.training import Schedule
from methods.vgg16_gru import Fusion, Vgg16Gru
from tests.toys import one_thread

COUNTS = (9, 11, 10, 9)  # clips: two or three batches of 4 an epoch, for a last one of one joins the one before


@pytest.fixture(autouse=True)
def _exactly() -> Iterator[None]:
    """In double precision, for Adam makes whole steps of gradients that are nothing but single precision's rounding."""
    torch.set_default_dtype(torch.float64)
    with one_thread():
        yield
    torch.set_default_dtype(torch.float32)


def method(momentum: float | None = None, clip_norm: float = 0.0) -> Vgg16Gru:
    config, modality = configured("vgg16-gru", Vgg16Gru, Wish("quick", "audio"))
    schedule = Schedule(3, 4, 3e-3 if momentum is None else 0.02, clip_norm, momentum)
    return Vgg16Gru(replace(config, schedule=schedule), modality)


def learner(train: Examples, one: Vgg16Gru, run: RunContext) -> Learner:
    """As the method begins."""
    ragged = Ragged([clip["mfcc"] for clip in train.inputs], "cpu")
    with networks.seeded(run.seed):
        network = Fusion(one.config, {"mfcc": 13}, len(CLASSES))
    network.mean.copy_(ragged.flat.mean(dim=0))
    network.deviation.copy_(ragged.flat.std(dim=0, correction=0))
    return Learner(network, {"mfcc": ragged}, torch.from_numpy(train.targets()), run)


@pytest.mark.parametrize(("momentum", "clip_norm"), [(0.9, 0.0), (0.9, 0.5), (None, 0.0)])
def test_each_fold_is_as_if_it_were_alone(momentum: float | None, clip_norm: float) -> None:
    """Folds of different sizes and seeds, clips of different lengths; curves, weights and running statistics."""
    one = method(momentum, clip_norm)
    whole = examples("vgg16-gru", one, max(COUNTS) + len(COUNTS))
    learners, alone = [], []
    told: dict[tuple[str, int], dict[tuple[str, int], float]] = {}
    for number, count in enumerate(COUNTS):
        train = Examples(whole.inputs[number : number + count], CLASSES, whole.labels[number : number + count])
        method_alone = method(momentum, clip_norm)
        method_alone.fit(train, None, RunContext(number, log=partial(note, told.setdefault(("alone", number), {}))))
        alone.append(method_alone.network)
        run = RunContext(number, log=partial(note, told.setdefault(("together", number), {})))
        learners.append(learner(train, one, run))
    groups: dict[int, list[Learner]] = {}
    for part in learners:
        groups.setdefault(steps(part, one.config.schedule), []).append(part)
    assert sorted(len({len(part.targets) for part in group}) for group in groups.values()) == [1, 2]
    for group in groups.values():
        fit_together(group, one.config.schedule)
    for number, part in enumerate(learners):
        assert len(told["together", number]) == 2 * one.config.schedule.epochs
        assert told["together", number] == pytest.approx(told["alone", number], rel=1e-6)
        assert not part.network.training
        expected = alone[number].state_dict()
        for name, tensor in part.network.state_dict().items():
            assert torch.allclose(tensor, expected[name], rtol=1e-6, atol=1e-8), (number, name)


def note(curve: dict[tuple[str, int], float], name: str, value: float, step: int) -> None:
    curve[name, step] = value


def test_folds_of_unlike_numbers_of_batches_are_refused() -> None:
    one = method()
    whole = examples("vgg16-gru", one, 12)
    parts = [Examples(whole.inputs[:count], CLASSES, whole.labels[:count]) for count in (8, 12)]
    with pytest.raises(MethodError, match=r"as many batches an epoch, but they have \[2, 3\]; group them"):
        fit_together([learner(part, one, RunContext()) for part in parts], one.config.schedule)


def test_networks_do_not_hear_of_each_other() -> None:
    """What one learns does not hang on its company."""
    one = method()
    whole = examples("vgg16-gru", one, 24)
    parts = [Examples(whole.inputs[n : n + 8], CLASSES, whole.labels[n : n + 8]) for n in (0, 8, 16)]
    told = []
    for company in ((0, 1), (0, 2)):
        learners = [learner(parts[number], one, RunContext(number)) for number in company]
        fit_together(learners, Schedule(2, 4, 1e-3))
        told.append(learners[0].network.state_dict())
    assert all(np.allclose(told[0][name], told[1][name], atol=1e-10) for name in told[0])
