"""Intervals and tests against closed forms, other libraries and simulations whose truth is known."""

import itertools
import time
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as sklearn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logit
from statsmodels.stats.multitest import multipletests

from protocols.scores import Scores
from reports import coverage, statistics
from reports.statistics import Metric, compare, holm, interval, measure, repeated_cv_t, worse

METRICS: tuple[Metric, ...] = get_args(Metric)
LABELS = ("anger", "fear", "joy")
Counts = npt.NDArray[np.int64]


def corpora(subjects: int, runs: int, seed: int = 0) -> Counts:
    """[runs, subjects, true, answered]"""
    random = np.random.default_rng(seed)
    answers, clips = coverage.Corpus(subjects, 30, uneven=True).draw(runs, random)
    return random.multinomial(clips, answers)


def two_methods(subjects: int, seed: int = 0, clips: int = 12) -> tuple[Counts, Counts]:
    """Both on the same, evenly spread clips, three classes."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(3), (2, subjects, 3)) + 2 * np.eye(3) * random.random((subjects, 1, 1))
    first, second = random.multinomial(clips // 3, chances / chances.sum(-1, keepdims=True))
    return first, second


def shares(counts: Counts) -> npt.NDArray[np.float64]:
    return np.asarray(counts.trace(axis1=1, axis2=2) / counts.sum((1, 2)), dtype=np.float64)


def as_clips(counts: Counts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The truth and the answer of each clip of one matrix."""
    true, said = np.indices(counts.shape)
    return np.repeat(true.ravel(), counts.ravel()), np.repeat(said.ravel(), counts.ravel())


def by_sklearn(counts: Counts, metric: Metric) -> float:
    true, said = as_clips(counts)
    present = np.unique(true)
    oracles = {
        "accuracy": lambda: sklearn.accuracy_score(true, said),
        "uar": lambda: sklearn.recall_score(true, said, labels=present, average="macro", zero_division=0),
        "macro_f1": lambda: sklearn.f1_score(true, said, average="macro", zero_division=0),
        "weighted_f1": lambda: sklearn.f1_score(true, said, average="weighted", zero_division=0),
    }
    return float(oracles[metric]())


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=9, max_size=9).filter(any))
def test_metrics_are_those_of_the_scores_and_of_scikit_learn(cells: list[int]) -> None:
    counts = np.array(cells).reshape(3, 3)
    true, said = as_clips(counts)
    names = tuple(str(number) for number in range(len(true)))
    scores = Scores(LABELS, names, names, tuple(LABELS[number] for number in true), np.eye(3)[said])
    for metric in METRICS:
        assert measure(counts, metric) == pytest.approx(by_sklearn(counts, metric))
        assert measure(counts, metric) == pytest.approx(getattr(scores, metric))
        assert measure(counts / 3, metric) == pytest.approx(getattr(scores, metric)), "fractions change no ratio"


def test_a_metric_of_many_matrices_is_that_of_each() -> None:
    counts = corpora(5, 4)
    for metric in METRICS:
        each = [[measure(matrix, metric) for matrix in row] for row in counts]
        np.testing.assert_allclose(measure(counts, metric), each)
    with pytest.raises(ValueError, match="no metric 'f2'; choose from accuracy"):
        measure(counts, "f2")  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_is_a_jackknife_over_subjects(metric: Metric) -> None:
    counts = corpora(9, 1)[0]
    clips = counts.sum((1, 2))
    without = [by_sklearn(np.delete(counts, subject, axis=0).sum(0), metric) for subject in range(9)]
    smoothed = logit((np.array(without) * clips.sum() + 0.5) / (clips.sum() + 1))
    error = np.sqrt(8 * np.var(smoothed))
    worth = clips.sum() ** 2 / (clips**2).sum()
    assert worth < 9
    found = interval(counts, metric)
    assert found.low is not None
    assert found.high is not None
    reach = stats.t.ppf(0.975, worth - 1) * error
    assert (logit(found.low), logit(found.high)) == pytest.approx(
        (logit(found.estimate) - reach, logit(found.estimate) + reach)
    )
    assert found.estimate == pytest.approx(by_sklearn(counts.sum(0), metric))
    assert (found.units, found.unit) == (9, "subject")


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 10_000), st.sampled_from(METRICS))
@example(2, 125, "uar")  # two who are alike
def test_an_interval_holds_its_score_within_0_and_1_whatever_the_order(
    subjects: int, seed: int, metric: Metric
) -> None:
    counts = corpora(subjects, 1, seed)[0]
    found = interval(counts, metric)
    if found.low is None:
        assert found.how == "no interval: no subject differs from another"
        return
    assert found.high is not None
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    shuffled = np.random.default_rng(seed).permutation(subjects)
    again = interval(np.concatenate([counts[shuffled], np.zeros((2, 6, 6))]), metric)
    assert (again.low, again.high, again.units) == pytest.approx((found.low, found.high, found.units))
    wider = interval(counts, metric, level=0.99)
    assert wider.low is not None
    assert wider.low <= found.low


def test_an_interval_of_clips_is_about_wilsons() -> None:
    """Independent clips are a binomial; the naive interval of one is known."""
    right = np.array([1] * 140 + [0] * 60)
    counts = np.zeros((200, 2, 2))
    counts[np.arange(200), 0, 1 - right] = 1
    found = interval(counts, "accuracy", "clip")
    known = stats.binomtest(140, 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.003)
    assert (found.units, found.unit) == (200, "clip")


def test_intervals_that_cannot_be_are_said() -> None:
    counts = two_methods(4)[0]
    alone = interval(counts[:1], "uar")
    assert (alone.low, alone.high) == (None, None)
    assert alone.how == "no interval from a single subject"
    alike = interval(np.repeat(counts[:1], 4, axis=0), "uar")
    assert (alike.low, alike.high) == (None, None) and 0 < alike.estimate < 1
    assert alike.how == "no interval: no subject differs from another"
    with pytest.raises(ValueError, match="no clips to score"):
        interval(np.zeros((3, 2, 2)), "uar")
    with pytest.raises(ValueError, match="counts must be finite and 0 or more"):
        interval(-np.ones((3, 2, 2)), "uar")
    with pytest.raises(ValueError, match=r"\[units, classes, classes\]"):
        interval(np.ones((3, 2)), "uar")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("subjects", [2, 8, 43])
def test_all_right_and_all_wrong_have_the_exact_bound(metric: Metric, subjects: int) -> None:
    right = np.repeat(5 * np.eye(3)[None], subjects, axis=0)
    known = stats.binomtest(subjects, subjects).proportion_ci(method="exact")
    found = interval(right, metric)
    assert (found.estimate, found.low, found.high) == pytest.approx((1, known.low, known.high))
    mirrored = interval(np.roll(right, 1, axis=2), metric)
    assert (mirrored.estimate, mirrored.low, mirrored.high) == pytest.approx((0, 0, 1 - known.low))
    assert "exact bound" in found.how


def test_an_interval_takes_less_than_a_twentieth_of_a_second() -> None:
    counts = np.random.default_rng(0).poisson(1.0, (43, 8, 8))
    interval(counts, "macro_f1")
    taken = list[float]()
    for _ in range(10):
        start = time.process_time()
        interval(counts, "macro_f1")
        taken.append(time.process_time() - start)
    assert min(taken) < 0.05  # whatever else the machine does


@pytest.mark.parametrize("seed", range(4))
def test_with_even_subjects_accuracy_is_compared_as_by_the_paired_t(seed: int) -> None:
    a, b = two_methods(9, seed)
    found, known = compare(a, b, "accuracy"), stats.ttest_rel(shares(a), shares(b))
    limits = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    within = shares(a) - shares(b)
    assert found.effect == pytest.approx(known.statistic / 3), "Cohen's d of pairs is t over the root of the units"
    assert found.error == pytest.approx(stats.sem(within))
    assert found.better == pytest.approx((np.sign(within).mean() + 1) / 2)
    for tolerance in (0.0, 0.1):
        change = worse(b, a, "accuracy", tolerance)
        fallen = stats.ttest_1samp(within, -tolerance, alternative="less")
        assert change.p == pytest.approx(fallen.pvalue)
        assert change.high == pytest.approx(fallen.confidence_interval().high)
        assert change.p is not None
        assert change.high is not None
        assert (change.p < 0.05) == (change.high < -tolerance)


@pytest.mark.parametrize("seed", range(3))
def test_swaps_of_accuracies_are_scipys_permutations(seed: int) -> None:
    a, b = two_methods(8, seed)
    known = stats.permutation_test(
        (shares(a), shares(b)), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=1000
    )
    found = compare(a, b, "accuracy")
    assert found.exact
    assert found.p == pytest.approx(known.pvalue)


@pytest.mark.parametrize("metric", METRICS)
def test_all_swaps_are_tried_where_units_are_few(metric: Metric) -> None:
    a, b = two_methods(6, 5)
    observed = by_sklearn(a.sum(0), metric) - by_sklearn(b.sum(0), metric)
    extreme = 0
    for swapped in itertools.product([False, True], repeat=6):
        swap = np.array(swapped)[:, None, None]
        left, right = np.where(swap, b, a).sum(0), np.where(swap, a, b).sum(0)
        extreme += abs(by_sklearn(left, metric) - by_sklearn(right, metric)) >= abs(observed) - 1e-9
    found = compare(a, b, metric)
    assert found.p == pytest.approx(extreme / 64)
    assert found.difference == pytest.approx(observed)
    back = compare(b, a, metric)
    assert (back.difference, back.p) == pytest.approx((-found.difference, found.p))
    assert (back.low, back.high, back.better) == pytest.approx(
        (-(found.high or 0), -(found.low or 0), 1 - found.better)
    )


def test_sampled_swaps_come_close_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two_methods(16, 2)
    sampled = compare(a, b, "uar", seed=3)
    assert not sampled.exact
    assert sampled == compare(a, b, "uar", seed=3)
    monkeypatch.setattr(statistics, "EXACT", 16)
    whole = compare(a, b, "uar")
    assert whole.exact
    assert 0 < whole.p < 1
    assert sampled.p == pytest.approx(whole.p, abs=4 * np.sqrt(whole.p * (1 - whole.p) / 20_000) + 1e-4)


def test_equal_answers_are_left_out_of_the_swaps() -> None:
    """Forty subjects, of whom three differ, all to one side: 2 of 8 swaps are as extreme."""
    a = np.repeat(np.array([[[8, 2], [3, 7]]]), 40, axis=0)
    b = a.copy()
    b[:3] = [[6, 4], [3, 7]]
    found = compare(a, b, "accuracy")
    assert (found.p, found.exact) == (0.25, True)
    assert found.better == (3 + 37 / 2) / 40
    same = compare(a, a, "uar")
    assert (same.difference, same.low, same.high, same.p, same.effect, same.better) == (0, None, None, 1, None, 0.5)


def test_equal_methods_seldom_differ_significantly() -> None:
    random = np.random.default_rng(0)
    chances, clips = coverage.Corpus(8, 30, uneven=True).draw(400, random)
    a, b = random.multinomial(clips, chances), random.multinomial(clips, chances)
    found = np.mean([compare(one, two, "macro_f1").p <= 0.05 for one, two in zip(a, b, strict=True)])
    assert found < 0.05 + 3.5 * np.sqrt(0.95 * 0.05 / 400)


def test_a_loss_that_all_subjects_share_is_certain_by_their_number() -> None:
    old = np.repeat(np.array([[[10, 0], [0, 10]]]), 8, axis=0)
    new = np.repeat(np.array([[[8, 2], [2, 8]]]), 8, axis=0)
    assert worse(old, new, "uar").p == 0.5**8
    assert worse(old, new, "uar", tolerance=0.2).p == 1
    assert worse(old, old, "uar").p == 1
    assert (worse(old, new, "uar").low, worse(old, new, "uar").high) == (None, None)
    assert worse(old[:1], new[:1], "uar").p is None
    with pytest.raises(ValueError, match=r"0 or more, but got -0\.1"):
        worse(old, new, "uar", tolerance=-0.1)


def test_other_clips_are_not_compared() -> None:
    a, b = two_methods(5)
    with pytest.raises(ValueError, match="must have answered the same clips"):
        compare(a, b[:4], "uar")
    b[0, 0, 0] += 1
    with pytest.raises(ValueError, match="must have answered the same clips"):
        worse(a, b, "uar")


@pytest.mark.parametrize("count", [0, 1, 15])
def test_holms_correction_is_that_of_statsmodels(count: int) -> None:
    """Ties and what is cut at 1 included; few cases, for statsmodels collects garbage in each."""
    p_values = np.round(np.random.default_rng(count).uniform(0, 0.3, count), 2).tolist()
    expected = multipletests(p_values, method="holm")[1].tolist() if count else []
    assert holm(p_values) == pytest.approx(expected)
    assert count < 2 or (len(set(p_values)) < count and max(expected) == 1 and min(expected) < 1)


def test_repeated_cross_validation_is_corrected_for_shared_training_clips() -> None:
    differences = np.random.default_rng(0).normal(0.02, 0.05, (10, 5))
    plain = stats.ttest_1samp(differences.ravel(), 0)
    found = repeated_cv_t(differences, 0.2)
    assert found.t == pytest.approx(plain.statistic / np.sqrt(1 + 50 * 0.25)), "(1/50 + 0.2/0.8) in place of 1/50"
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.t), 49))
    assert found.p > plain.pvalue
    almost = repeated_cv_t(differences, 1e-12)
    limits = plain.confidence_interval()
    assert (almost.p, almost.low, almost.high) == pytest.approx((plain.pvalue, limits.low, limits.high), rel=1e-6)
    for shape in ((10,), (1, 5), (10, 1)):
        with pytest.raises(ValueError, match="is for repeated cross-validation"):
            repeated_cv_t(np.ones(shape), 0.2)
    with pytest.raises(ValueError, match="0 < test_share < 1"):
        repeated_cv_t(differences, 1.0)
    with pytest.raises(ValueError, match="without variation"):
        repeated_cv_t(np.zeros((3, 3)), 0.2)
