"""On a GPU, where one is there: every method learns, answers as on the CPU, repeats itself and goes on where it was
cut.

Where `BENCH_TEST_DEVICE=cuda` asks for it: without that variable no test sees a GPU. `BENCH_TEST_DEVICE=cpu` tries
these tests themselves without one.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.checkpoints import OnDisk
from benchmarks.cost import metered, networks
from benchmarks.determinism import deterministic
from methods.base import Method, RunContext
from methods.parts import training
from methods.parts.together import learn_together
from tests.test_checkpoints import SEED, Cut, Watched, always, fitted, make_quick, make_toys  # noqa: F401  two fixtures
from tests.toys import Bench

DEVICE = os.environ.get("BENCH_TEST_DEVICE", "cuda")
EPOCHS = 4
STATIC = ("avef", "hybrid-dbn")  # whose steps are compiled
pytestmark = [
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(),
        reason="no GPU is there, or BENCH_TEST_DEVICE=cuda does not ask for it",
    ),
    pytest.mark.filterwarnings("default"),  # compilers and drivers warn of themselves
]


@pytest.fixture
def _exact() -> Iterator[None]:
    with deterministic(True):
        yield


def there(bench: Bench, watched: Watched, kept: OnDisk | None = None) -> Method:
    return fitted(bench, watched, kept, DEVICE, EPOCHS)


def losses(watched: Watched) -> dict[str, list[float]]:
    """Each one's course."""
    found: dict[str, list[float]] = {}
    for name, value, _ in watched.told:
        if name.endswith(("loss", "reconstruction_error")):
            found.setdefault(name, []).append(value)
    return found


def test_it_learns(bench: Bench) -> None:
    """In half precision and by another luck of dropout, so that it begins only about where it begins on the CPU."""
    watched, beside = Watched(), Watched()
    with metered(DEVICE) as figures:
        there(bench, watched)
    fitted(bench, beside, epochs=1)
    found, expected = losses(watched), losses(beside)
    assert figures["peak_memory_mb"] > 0 and found.keys() == expected.keys()
    for name, told in found.items():
        np.testing.assert_allclose(told[0], expected[name][0], rtol=0.5, atol=0.2)
        assert told[-1] < told[0] or name.endswith("error")  # a belief network's may rise at first


def test_one_model_answers_as_on_the_cpu(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever learnt it and wherever it lies, for answers are in single precision; cuDNN's shorter products are off."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    method = there(bench, Watched())
    method.save(tmp_path)
    tested = bench.examples(bench.toys.clips[-3:])
    for device in ("cpu", DEVICE):
        again = bench.method(epochs=EPOCHS, batch=4)
        again.load(tmp_path)
        for network in networks(again):
            network.to(device)
        np.testing.assert_allclose(again.predict_proba(tested), method.predict_proba(tested), atol=2e-4)


def test_compiled_steps_learn_what_plain_ones_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In full precision and without dropout, whose luck is another in what is compiled."""
    if bench.name not in STATIC:
        pytest.skip("its batches are not alike in shape")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(training, "mixed_precision", lambda device: nullcontext())
    courses, answers = [], []
    for steps in (10**9, 0):
        monkeypatch.setattr(training, "STEPS", steps)
        watched, method = Watched(), bench.method(epochs=EPOCHS, batch=4, dropout=0.0)
        method.fit(bench.examples(bench.toys.clips[:9], labelled=True), None, RunContext(SEED, DEVICE, watched))
        assert not any("not_compiled" in name for name, _, _ in watched.told)
        courses.append(losses(watched))
        answers.append(method.predict_proba(bench.examples(bench.toys.clips[-3:])))
    assert courses[0].keys() == courses[1].keys()
    for name, told in courses[0].items():
        np.testing.assert_allclose(courses[1][name], told, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(answers[1], answers[0], atol=0.1)


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
        assert not any(name == "networks_at_once" for watch in watched for name, _, _ in watch.told), "not at once"
        ends[together] = [[value for name, value, _ in watch.told if name == "train_loss"][-1] for watch in watched]
    np.testing.assert_allclose(ends[True], ends[False], rtol=0.5, atol=0.1)
