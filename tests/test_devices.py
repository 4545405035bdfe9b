"""On a GPU, where one is there: every method learns, answers as on the CPU, repeats itself and goes on where it was
cut.

`BENCH_TEST_DEVICE=cpu` tries these tests themselves without one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.checkpoints import OnDisk
from benchmarks.cost import metered
from benchmarks.determinism import deterministic
from methods.base import Method, RunContext
from methods.parts.together import learn_together
from tests.test_checkpoints import SEED, Cut, Watched, always, fitted, make_quick, make_toys  # noqa: F401  two fixtures
from tests.toys import Bench

DEVICE = os.environ.get("BENCH_TEST_DEVICE", "cuda")
EPOCHS = 4
pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU is there")


@pytest.fixture
def _exact() -> Iterator[None]:
    with deterministic(True):
        yield


def there(bench: Bench, watched: Watched, kept: OnDisk | None = None) -> Method:
    return fitted(bench, watched, kept, DEVICE, EPOCHS)


def test_it_learns_and_answers_as_on_the_cpu(bench: Bench, tmp_path: Path) -> None:
    watched = Watched()
    with metered(DEVICE) as figures:
        method = there(bench, watched)
    losses: dict[str, list[float]] = {}
    for name, value, _ in watched.told:
        if name.endswith("loss"):
            losses.setdefault(name, []).append(value)
    assert losses and all(told[-1] < told[0] for told in losses.values())
    assert figures["peak_memory_mb"] > 0
    method.save(tmp_path)
    here = bench.method(epochs=EPOCHS, batch=4)
    here.load(tmp_path)
    tested = bench.examples(bench.toys.clips[-3:])
    np.testing.assert_allclose(here.predict_proba(tested), method.predict_proba(tested), atol=5e-3)


@pytest.mark.usefixtures("_exact")
def test_in_deterministic_mode_a_seed_has_one_end_also_when_it_is_cut_short(bench: Bench, tmp_path: Path) -> None:
    whole, again, resumed = Watched(), Watched(), Watched()
    tested = bench.examples(bench.toys.clips[-3:])
    answers = there(bench, whole).predict_proba(tested)
    assert there(bench, again).predict_proba(tested).tolist() == answers.tolist() and again.told == whole.told
    with pytest.raises(Cut):
        there(bench, Watched(len(whole.told) // 2), always(tmp_path))
    assert there(bench, resumed, always(tmp_path)).predict_proba(tested).tolist() == answers.tolist()
    assert resumed.told == whole.told


def test_folds_together_learn_what_each_learns_alone(bench: Bench) -> None:
    """Dropout's luck is another on a GPU, so all that is compared is that each gets as far."""
    if not bench.method().one_network:
        pytest.skip("it has several networks, each large enough by itself")
    parts = [bench.examples((*bench.toys.clips[:n], *bench.toys.clips[n + 3 :]), labelled=True) for n in (0, 3, 6)]
    apart = bench.examples(bench.toys.clips[:3], labelled=True)
    ends: dict[bool, list[float]] = {}
    for together in (False, True):
        watched = [Watched() for _ in parts]
        methods = [bench.method(epochs=3 * EPOCHS, batch=4) for _ in parts]
        asked = [
            method.lesson(part, apart if method.validates else None, RunContext(SEED, DEVICE, watch))
            for method, part, watch in zip(methods, parts, watched, strict=True)
        ]
        if together:
            assert learn_together(asked) == [None] * len(parts)
        else:
            assert [error for one in asked for error in learn_together([one])] == [None] * len(parts)
        ends[together] = [[value for name, value, _ in watch.told if name == "train_loss"][-1] for watch in watched]
    np.testing.assert_allclose(ends[True], ends[False], rtol=0.5, atol=0.1)
