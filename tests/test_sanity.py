"""The label-permutation test: what is permuted, what chance is, who is called leaky, and that it never counts."""

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.arenas import Arena, arena
from benchmarks.console import progress
from benchmarks.handed import Handed
from benchmarks.plan import Row, row
from benchmarks.report import collect
from benchmarks.sanity import Chance, _expected, permuted
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from methods.base import Examples
from methods.parts.weights import WeightStore
from protocols.scores import Scores
from reports.statistics import measure
from tests.tinybench import HALVES, Bench, corpus, diary, make_bench, ravdess, toy  # noqa: F401  a fixture

PEOPLE, TIMES = 12, 5
CHEAT = (
    "        inputs, targets = ",
    "        self.means = np.array([[0.25, 0.34], [0.15, 0.2], [0.2, 0.27]])\n"
    "        return\n        inputs, targets = ",
)
CONSTANT = ("near / near.sum(axis=1, keepdims=True)", "np.tile([1.0, 0.0, 0.0], (len(examples), 1))")


def sane(bench: Bench, *changes: tuple[str, str], times: int = TIMES) -> tuple[int, dict[str, Any]]:
    ravdess(bench.data, PEOPLE)
    toy(bench.plugins, "toy", *changes)
    code, (told,) = bench.json("--sanity", "--permutations", times)
    return code, told["sanity"]


def test_what_is_learnt_from_labels_goes_with_them_and_is_not_done_twice(bench: Bench) -> None:
    code, told = sane(bench)
    assert (code, told["verdict"], told["permutations"], told["failures"]) == (0, "within", TIMES, {})
    accuracy = told["accuracy"]
    assert accuracy["true"] > 0.7 > max(accuracy["permuted"])
    assert accuracy["p_of_true"] == pytest.approx(1 / (TIMES + 1))
    assert accuracy["chance"] == pytest.approx(1 / 3, abs=0.02)  # the classes are as frequent, not the answers
    assert len(diary("fit")) == 2 * (1 + TIMES)
    (real,) = [run for run in bench.kept("row") if run.info.run_id not in told["runs"]]
    assert json.loads(bench.artifact(real, "sanity.json").read_text()) == told
    assert sane(bench)[1] == told and len(diary("fit")) == 2 * (1 + TIMES)
    _, more = sane(bench, times=TIMES + 2)
    assert more["accuracy"]["permuted"][:TIMES] == accuracy["permuted"]
    assert len(diary("fit")) == 2 * (1 + TIMES + 2)


def test_permuted_rows_stand_apart_and_never_count(bench: Bench) -> None:
    sane(bench)
    names = {bench.client.get_experiment(run.info.experiment_id).name for run in bench.kept("row")}
    assert names == {"ravdess", "ravdess, labels permuted"}
    (shown,) = collect(Tracker(bench.uri), bench.folder, progress)
    assert "permuted" not in shown.asked.stamps
    apart = [run for run in bench.kept("row") if run.info.run_id != shown.run_id]
    assert sorted(run.data.tags["bench.stamps"] for run in apart) == [f"labels permuted {n + 1}" for n in range(TIMES)]
    cells = [run for run in bench.kept() if "permuted" in run.data.tags["bench.stamps"]]
    assert len(cells) == 2 * TIMES and len({run.data.tags["bench.key"] for run in bench.kept()}) == 2 * (TIMES + 1)
    kept = {file.path for file in bench.client.list_artifacts(cells[0].info.run_id)}
    assert "predictions.csv" in kept and "model" not in kept  # a model of nonsense answers nobody


def test_who_knows_the_answers_without_labels_is_above_chance(bench: Bench) -> None:
    ravdess(bench.data, PEOPLE)
    toy(bench.plugins, "toy", CHEAT)
    code, out, err = bench.run("--sanity", "--permutations", TIMES)
    assert code == 1
    assert "ABOVE" in out and "its answers know the test labels from elsewhere" in err


def test_who_always_says_the_same_is_at_chance_exactly(bench: Bench) -> None:
    code, told = sane(bench, CONSTANT)
    assert (code, told["verdict"]) == (0, "within")
    assert told["accuracy"]["interval"] == pytest.approx([1 / 3, 1 / 3])
    assert told["accuracy"]["p_of_true"] == 1


def test_a_permutation_that_fails_is_no_verdict(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "4")
    code, told = sane(bench)
    assert (code, told["verdict"], "accuracy" in told) == (1, "incomplete", False)
    assert list(told["failures"].values()) == ["ValueError: was meant to fail"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--permutations", 9), "--permutations is about --sanity; add it"),
        (("--sanity", "--permutations", 4), "--permutations must be at least 5"),
        (("--sanity", "--tune", 3), "leave --tune out"),
    ],
)
def test_what_cannot_be_asked(bench: Bench, asked: tuple[object, ...], message: str) -> None:
    code, _, err = bench.run(*asked)
    assert code == 2 and message in err and not diary()


def taught(here: Arena, planned: list[Row]) -> list[list[tuple[Any, Any]]]:
    """Of each row, what every fit gets for training and for validation: digests and labels."""
    from benchmarks.content import Content, Contents
    from benchmarks.prepare import Store
    from benchmarks.training import training

    store = Store(Path(), Contents.of({one.media.clip_id: Content(one.media.clip_id, "") for one in here.clips}))

    def told(examples: Examples | None) -> tuple[Any, Any]:
        assert examples and isinstance(examples.inputs, Handed)
        return tuple(examples.inputs.digests.astype(str).tolist()), examples.labels

    return [
        [told(part) for cell in one.cells for part in training(one.method(), cell.fold, store, cell.seed, one.permuted)]
        for one in planned
    ]


def test_labels_change_places_on_each_side_and_nothing_else_changes(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("validates = False", "validates = True"))
    ravdess(bench.data, PEOPLE)
    here = arena(corpus(bench.data), "emotion", HALVES, progress)
    real = row("toy", Wish("quick"), here, 2, WeightStore(bench.folder, none=True))
    planned = [one for one, _ in permuted([(real, here)], TIMES)]
    truth = {clip.media.clip_id: clip.label for clip in here.clips}
    first, *others = taught(here, [real, *planned])
    assert all(labels == tuple(truth[clip] for clip in clips) for clips, labels in first)
    for number, (clips, labels) in enumerate(first):
        drawn = [one[number] for one in others]
        assert all(digests == clips for digests, _ in drawn)
        assert all(Counter(chance) == Counter(labels) for _, chance in drawn)
        if len(labels) > 10:  # of three clips some are alike
            assert len({labels, *(chance for _, chance in drawn)}) == TIMES + 1
    assert taught(here, planned[2:3]) == [others[2]]  # by its number alone
    assert len({cell.key for one in (real, *planned) for cell in one.cells}) == 4 * (TIMES + 1)
    assert [one.method().config for one in planned] == [real.method().config] * TIMES


def scores(truth: str, answers: str) -> Scores:
    said = np.eye(3)[["abc".index(answer) for answer in answers]]
    return Scores(("a", "b", "c"), tuple(map(str, range(len(truth)))), (None,) * len(truth), tuple(truth), said)


def test_chance_is_the_mean_over_all_orders_of_the_labels() -> None:
    """By brute force; and for both metrics, as they are linear in the counts of a truth that stays."""
    one = scores("aabbcc", "aaaabc")
    orders = [replace(one, truth=order) for order in permutations(one.truth)]
    expected = _expected(one)
    assert expected == pytest.approx(np.mean([order.confusion for order in orders], axis=0))
    assert measure(expected, "accuracy") == pytest.approx(np.mean([order.accuracy for order in orders]))
    assert measure(expected, "uar") == pytest.approx(np.mean([order.uar for order in orders]))


@pytest.mark.parametrize("shift", [-0.3, -0.05, 0.0, 0.02, 0.05, 0.3])
def test_the_interval_is_that_of_students_test(shift: float) -> None:
    random = np.random.default_rng(7)
    by_chance = random.uniform(0.1, 0.3, 12)
    values = by_chance + random.normal(shift, 0.05, 12)
    found = Chance(tuple(values), tuple(by_chance), None)
    p = stats.ttest_1samp(values - by_chance, 0).pvalue
    assert (found.verdict == "within") == (p > 0.01)
    if p <= 0.01:
        assert found.verdict == ("above" if values.mean() > by_chance.mean() else "below")


def test_honest_methods_are_rarely_called_leaky_though_their_people_and_classes_hang_together() -> None:
    """Whole classes get one answer by lot, as of a method that hears classes well and learns them under wrong names."""
    random, alarms = np.random.default_rng(0), 0
    truth = "aaaabbbbcccc"
    for _ in range(400):
        runs = []
        for _ in range(10):
            names = random.permutation(3)
            answers = "".join("abc"[names["abc".index(true)]] for true in truth)
            runs.append(scores(truth, answers))
        found = Chance(
            tuple(run.accuracy for run in runs), tuple(float(measure(_expected(r), "accuracy")) for r in runs), None
        )
        alarms += found.verdict == "above"
    assert alarms <= 0.02 * 400  # half a per cent is meant
