"""Short simulations of strong subject effects; `python -m reports.coverage` runs the long ones."""

from typing import get_args

import numpy as np
import pytest

from reports import coverage
from reports.statistics import Metric, measure


@pytest.mark.parametrize(("subjects", "clips"), coverage.CORPORA)
@pytest.mark.parametrize("uneven", [False, True])
def test_intervals_hold_the_truth_where_naive_ones_fail(subjects: int, clips: int, uneven: bool) -> None:
    corpus = coverage.Corpus(subjects, clips, uneven=uneven)
    runs = 600
    slack = 3.5 * np.sqrt(0.95 * 0.05 / runs)
    assert abs(coverage.coverage(corpus, "uar", runs) - 0.95) < slack
    assert coverage.coverage(corpus, "uar", 60, unit="clip") < 0.85


@pytest.mark.parametrize(("subjects", "clips"), coverage.CORPORA)
def test_worse_raises_few_false_alarms_and_sees_five_points(subjects: int, clips: int) -> None:
    corpus = coverage.Corpus(subjects, clips)
    most = 0.05 + 3.5 * np.sqrt(0.95 * 0.05 / 400)
    assert coverage.alarms(corpus, "uar", 400, loss=0.0, tolerance=0.0) < most
    assert coverage.alarms(corpus, "uar", 400, loss=0.05, tolerance=0.05) < most
    assert coverage.alarms(corpus, "uar", 400, loss=0.05, tolerance=0.0) > 0.6


def test_simulated_corpora_have_the_truth_that_is_told() -> None:
    corpus = coverage.Corpus(40_000, 30, uneven=True)
    random = np.random.default_rng(1)
    answers, clips = coverage.probabilities(corpus, 1, random)
    drawn = random.multinomial(clips, answers).sum((0, 1))
    for metric in get_args(Metric):
        assert measure(drawn, metric) == pytest.approx(measure(coverage.expected(corpus, random), metric), abs=0.01)
