"""Several seeds: the console, the page and its intervals tell the same mean over seeds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.console import progress
from benchmarks.report import collect
from benchmarks.track import Tracker
from reports.results import METRICS
from reports.sketch import per_class
from reports.statistics import Interval, interval, measure
from reports.summary import read, summarise
from tests.manyrows import LABELS, Made
from tests.test_leaderboard import GOOD
from tests.tinybench import Bench, make_bench, toy  # noqa: F401  a fixture

BY_SEED = ("near = np.exp(-50 * far)", "near = np.exp(-50 * far) + 3 * self.seed * (np.arange(far.shape[1]) == 0)")
SEEDED = (("for epoch in range(3):", "self.seed = run.seed\n        for epoch in range(3):"), BY_SEED)
POOLED = ("macro_f1", "weighted_f1")  # what answers of all seeds together tell otherwise


def test_the_page_tells_the_mean_over_seeds_as_the_console_does(bench: Bench) -> None:
    """Of a toy whose second seed answers nothing but one class: there F1 of all answers is another number."""
    toy(bench.plugins, "toy", *SEEDED)
    code, (told,) = bench.json("--seeds", 2)
    (run,) = bench.kept("row")
    assert code == 0 and run.data.tags["bench.seeds"] == "2"
    (found,) = collect(Tracker(bench.uri), bench.folder, progress)
    assert found.seeds == 2 and found.summary is not None and len(found.summary.by_seed) == 2
    for metric in METRICS:
        assert found.scores[metric].estimate == pytest.approx(told["metrics"][metric]), metric
        pooled = float(measure(found.summary.counts.sum(0), metric))
        assert (found.scores[metric].estimate == pytest.approx(pooled)) == (metric not in POOLED), metric


def test_a_row_that_says_no_number_of_seeds_has_those_that_answered(bench: Bench) -> None:
    assert bench.run("--seeds", 2)[0] == 0
    (row,) = bench.kept("row")
    bench.client.delete_tag(row.info.run_id, "bench.seeds")
    (found,) = collect(Tracker(bench.uri), bench.folder, progress)
    assert found.seeds == 2


def seeds(count: int, people: bool = True) -> pd.DataFrame:
    """The answers of seeds that differ, to the same clips."""
    some = [Made(skill=0.3 + 0.2 * seed, seed=7).answers().assign(seed=seed) for seed in range(count)]
    table = pd.concat(some).rename(columns={"answer": "predicted"})
    return table if people else table.assign(subject=None)


@pytest.mark.parametrize("people", [True, False])
def test_seeds_come_back_from_a_summary(people: bool) -> None:
    table = seeds(3, people)
    kept = summarise(table, LABELS, [{}] * 12, [])
    again = read(kept.told())
    assert again.by_seed.shape == (3, 12 if people else 216, 6, 6)
    for seed, counts in enumerate(again.by_seed):
        own = table[table["seed"] == seed]
        expected = pd.crosstab(own["truth"], own["predicted"]).reindex(index=LABELS, columns=LABELS, fill_value=0)
        assert counts.sum(0).tolist() == expected.to_numpy().tolist()
    scores = {metric: interval(kept.by_seed, metric, kept.unit) for metric in METRICS}
    assert {metric: interval(again.by_seed, metric, again.unit) for metric in METRICS} == pytest.approx(scores)


def test_a_seed_that_has_not_answered_all_weighs_as_the_console_weighs_it() -> None:
    """Each seed's own score over what it answered, then their mean."""
    table = seeds(2)
    table = table[(table["seed"] == 0) | (table["fold"] == "group 1")]
    kept = summarise(table, LABELS, [{}] * 5, [])
    each = [(own["truth"] == own["predicted"]).mean() for _, own in table.groupby("seed")]
    assert interval(kept.by_seed, "accuracy").estimate == pytest.approx(np.mean(each))


def limits(found: Interval) -> list[float]:
    """Without bounds they are the score."""
    bounds = (found.estimate, found.low, found.high)
    return [found.estimate if value is None else value for value in bounds]


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 8), st.integers(1, 4))
def test_the_interval_of_seeds_belongs_to_their_mean(number: int, units: int, count: int) -> None:
    """It holds the mean; of seeds that are alike it is one seed's; of linear scores that of averaged answers."""
    random = np.random.default_rng(number)
    truth = random.integers(1, 9, (units, 3))
    by_seed = np.array(
        [[[random.multinomial(n, (0.5, 0.3, 0.2)) for n in unit] for unit in truth] for _ in range(count)]
    )  # [seeds, units, true, answered]
    for metric in METRICS:
        found, one = interval(by_seed, metric), interval(by_seed[0], metric)
        assert found.estimate == pytest.approx(np.mean([measure(seed.sum(0), metric) for seed in by_seed]))
        assert found.low is None or found.high is None or found.low <= found.estimate <= found.high
        assert limits(interval(np.repeat(by_seed[:1], count, axis=0), metric)) == pytest.approx(limits(one))
    assert limits(interval(by_seed.mean(0), "uar")) == pytest.approx(limits(interval(by_seed, "uar")))


def test_emotions_are_told_as_the_mean_over_seeds() -> None:
    """Their F-scores' mean is macro F1, as for one seed."""
    table = seeds(3)
    row = replace(GOOD, summary=summarise(table, LABELS, [{}] * 12, []))
    told = per_class(row)
    f1 = [one.measures[2].value for one in told]
    assert np.mean([value for value in f1 if value is not None]) == pytest.approx(row.scores["macro_f1"].estimate)
    recall = [one.measures[1].value for one in told]
    assert np.mean([value for value in recall if value is not None]) == pytest.approx(row.scores["uar"].estimate)
    assert [one.clips for one in told] == pytest.approx([36] * 6)
