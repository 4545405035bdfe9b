"""How long a run will take, as `speed --method` estimates it; by a clock that a toy moves."""

import json
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import pool
from benchmarks.speed.short import LONG, Costs, fit_costs
from tests.test_transfer import SOURCES, crema_d
from tests.tinybench import HALVES, Bench, at_home, make_bench, toy  # noqa: F401  a fixture

positive = st.floats(1e-6, 1e3)


@given(positive, st.lists(positive, min_size=0, max_size=4), st.integers(1, 100), st.integers(1, 10_000))
def test_a_fit_is_scaled_by_epochs_and_clips(once: float, each: list[float], part: int, whole: int) -> None:
    """Whatever a fit and its stages cost, as long as it is so much a clip and an epoch."""
    costs, names = dict(zip("abcd", each, strict=False)), "abcd"[: len(each)]
    epochs = {name: 10 * number + 1 for number, name in enumerate(names)}
    fits = list[Mapping[str, int]]()

    def fitted(asked: Mapping[str, int]) -> tuple[float, int, Any]:
        fits.append(dict(asked))
        first = 1e6 if len(fits) == 1 else 0.0  # what is loaded with the first
        return first + part * (once + sum(costs[name] * asked[name] for name in names)), sum(asked.values()), None

    found, _ = fit_costs(fitted, names, part)
    truth = whole * (once + sum(costs[name] * epochs[name] for name in names))
    assert found.of(epochs, whole) == pytest.approx(truth, rel=1e-3, abs=1e-6 * whole * (1 + sum(epochs.values())))
    assert max((max(asked.values()) for asked in fits if asked), default=LONG) == LONG


def test_a_stage_that_is_not_in_use_costs_nothing() -> None:
    """A method for sound alone has settings of pictures, too; whatever the clock says of those."""
    noise = iter((9.0, 1.0, 3.0, 2.0))

    def fitted(asked: Mapping[str, int]) -> tuple[float, int, Any]:
        return next(noise), asked["used"], None

    found, _ = fit_costs(fitted, ["used", "unused"], 1)
    assert found.epoch == {"used": 1.0, "unused": 0.0} and found.of({"used": 5, "unused": 500}, 2) == 10.0
    assert Costs().of({}, 7) == 0.0


EPOCHS = (
    ("    depth: int = 2", "    epochs: int = 2"),
    ("for epoch in range(3):", "for epoch in range(self.config.inner.epochs):"),
    ("inner=Inner(9)", "inner=Inner(9)"),
)


IMPORTED = "import os\n", "import os\nfrom tests.test_speed_estimate import CLOCK\n"


def asked(bench: Bench, *more: object) -> dict[str, Any]:
    words = ("--method", "toy", "--dataset", "ravdess", "--protocol", "leave-one-speaker-group-out:groups=2")
    code, out, err = bench.call("speed", *words, "--data-root", bench.data, "--json", *more)
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def test_an_estimate_scales_short_fits_of_the_method_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the toy moves: a second to prepare a clip, an epoch a tenth of one for each."""
    clock = SimpleNamespace(now=0.0)
    toy(
        bench.plugins, "toy", *EPOCHS,
        ("        sound = media.audio(self.rate)", "        CLOCK.now += 1.0\n        sound = media.audio(self.rate)"),
        ("            run.log(", "            CLOCK.now += 0.1 * len(train)\n            run.log("),
        ("        inputs = np.stack([clip[\"level\"] for clip in examples.inputs])\n        far",
         "        CLOCK.now += 0.01 * len(examples)\n        inputs = np.stack([clip[\"level\"] for clip in "
         "examples.inputs])\n        far"),
        IMPORTED,
    )  # fmt: skip

    def begun(*work: Any) -> Iterator[Any]:
        clock.now += 100.0  # to start a process, each time
        yield from at_home(*work)

    monkeypatch.setitem(globals(), "CLOCK", clock)
    monkeypatch.setattr(pool, "in_processes", begun)
    monkeypatch.setattr("benchmarks.speed.estimate.estimates.__defaults__", (lambda: clock.now,))
    told = asked(bench, "--set", "inner.epochs=50", "--seeds", 3)
    (row,) = told["rows"]
    assert (row["clips"], row["cells"], row["to_run"]) == (12, 6, 6)
    assert row["fitting"] == pytest.approx(3 * 2 * 50 * 6 * 0.1) and row["predicting"] == pytest.approx(3 * 12 * 0.01)
    assert row["one_fit"] == pytest.approx((row["fitting"] + row["predicting"]) / 6) and not row["transfer"]
    assert told["transfer_seconds"] == 0
    assert 0 < row["preparing"] < 12 and told["seconds"] == row["preparing"] + row["fitting"] + row["predicting"]
    assert not bench.kept() and not bench.kept("row") and not bench.kept("speed")
    assert bench.run("--set", "inner.epochs=50", "--seeds", 2)[0] == 0
    (row,) = asked(bench, "--set", "inner.epochs=50", "--seeds", 3)["rows"]
    assert (row["to_run"], row["preparing"]) == (2, 0) and row["fitting"] == pytest.approx(2 * 50 * 6 * 0.1)
    (row,) = asked(bench, "--set", "inner.epochs=50", "--seeds", 2)["rows"]
    assert (row["to_run"], row["preparing"], row["fitting"], row["predicting"]) == (0, 0, 0, 0)


CLOCK: Any = None


SLOWER = "            CLOCK.now += (0.02 if run.initial else 0.1) * len(train)\n            run.log("


def test_a_model_of_other_corpora_is_apart_and_fits_begin_with_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch that begins with a model takes a fifth of one that does not; of the model it is as of any."""
    clock = SimpleNamespace(now=0.0)
    toy(bench.plugins, "toy", *SOURCES, *EPOCHS, ("            run.log(", SLOWER), IMPORTED)
    crema_d(bench.data)
    monkeypatch.setitem(globals(), "CLOCK", clock)
    monkeypatch.setattr("benchmarks.speed.estimate.estimates.__defaults__", (lambda: clock.now,))
    words = ("--set", "inner.epochs=50", "--pretrain-on", "crema-d")
    told = asked(bench, *words)
    lesson, row = told["rows"]
    assert (lesson["transfer"], row["transfer"], lesson["corpus"]) == (True, False, "crema-d")
    assert lesson["fitting"] == pytest.approx(2 * 6 * 0.1) and told["transfer_seconds"] == lesson["seconds"]
    assert row["fitting"] == pytest.approx(2 * 50 * 6 * 0.02) and row["one_fit"] == pytest.approx(50 * 6 * 0.02)
    assert not bench.kept("initial")
    named = ("--dataset", "ravdess", "--protocol", HALVES, "--data-root", bench.data)
    code, out, err = bench.call("speed", "--method", "toy", *named, *words)
    assert code == 0 and "1.2 s of it for models of other corpora" in out and "one fit" in out, err
    assert bench.run("--pretrain-on", "crema-d")[0] == 0  # which makes the model
    (row,) = asked(bench, *words)["rows"]
    assert row["one_fit"] == pytest.approx(50 * 6 * 0.02) and not row["transfer"]


def test_an_estimate_says_that_it_is_one(bench: Bench) -> None:
    code, out, err = bench.call("speed", "--method", "toy", "--dataset", "ravdess", "--data-root", bench.data)
    assert code == 0 and "an estimate" in out and re.search(r" (\d+) of \1 ", out), err
    code, _, err = bench.call("speed", "--method", "toy", "--dataset", "ravdess", "--part", "predict")
    assert code == 2 and "leave one of them out" in err
    code, _, err = bench.call("speed", "--dataset", "ravdess", "--seeds", 2)
    assert code == 2 and "without --method" in err
