"""What corpora say together, against closed forms and other libraries."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq

from reports.across import _critical_difference, pooled, ranks, signed_rank

METHODS = ["first", "second", "third", "fourth"]


def test_pooling_follows_paule_and_mandel() -> None:
    effects, variances = np.array([0.10, -0.02, 0.20, 0.05, 0.31]), np.array([1, 2, 0.5, 4, 1]) / 1000

    def mean(between: float) -> float:
        return float(np.average(effects, weights=1 / (variances + between)))

    def excess(between: float) -> float:
        return float(((effects - mean(between)) ** 2 / (variances + between)).sum() - 4)

    between = brentq(excess, 0, 1)
    found = pooled(effects.tolist(), variances.tolist())
    assert found.between == pytest.approx(np.sqrt(between), rel=1e-4)
    assert found.difference == pytest.approx(mean(between), rel=1e-4)
    error = np.sqrt(1 / (1 / (variances + between)).sum())
    assert found.high == pytest.approx(mean(between) + stats.t.ppf(0.975, 4) * error, rel=1e-4)
    assert found.p == pytest.approx(2 * stats.t.sf(mean(between) / error, 4), rel=1e-3)
    assert (found.corpora, found.descriptive) == (5, False)


def test_equally_sure_corpora_are_pooled_as_by_the_t_test() -> None:
    effects = [0.1, -0.05, 0.2, 0.02, 0.12, 0.3]
    known = stats.ttest_1samp(effects, 0)
    found = pooled(effects, [0.001] * 6)
    limits = known.confidence_interval()
    assert (found.low, found.high, found.p) == pytest.approx((limits.low, limits.high, known.pvalue), rel=1e-4)
    assert found.between == pytest.approx(np.sqrt(np.var(effects, ddof=1) - 0.001), rel=1e-4)


def test_corpora_that_agree_by_chance_do_not_narrow_the_interval() -> None:
    found = pooled([0.1] * 4, [0.01] * 4)
    assert found.between == 0
    assert found.high == pytest.approx(0.1 + stats.t.ppf(0.975, 3) * 0.05)
    assert found.descriptive
    assert "4 corpora" in found.reason


def test_pooling_needs_corpora_with_intervals() -> None:
    alone = pooled([0.1], [0.01])
    assert (alone.low, alone.p, alone.descriptive) == (None, None, True)
    with pytest.raises(ValueError, match="variances must be above 0, but got 0"):
        pooled([0.1, 0.2], [0.0, 0.1])
    with pytest.raises(ValueError, match="got 1 for 2"):
        pooled([0.1, 0.2], [0.1])


def test_pooled_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(0)
    variances = np.array([0.5, 1, 2, 4, 1]) / 1000
    held = 0
    for _ in range(500):
        found = pooled(random.normal(0.03, np.sqrt(0.02**2 + variances)).tolist(), variances.tolist())
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.03 <= found.high
    assert held / 500 > 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / 500)


@pytest.mark.parametrize("corpora", [1, 2, 5])
def test_beliefs_of_equal_differences_are_a_beta_distribution(corpora: int) -> None:
    """The weight of the pseudo-corpus is Beta(1/2, corpora); its square is what the region of no difference holds."""
    slack = 4 * np.sqrt(0.25 / 50_000)
    wide = signed_rank([1.0] * corpora, rope=0.3)
    narrow = signed_rank([1.0] * corpora, rope=0.6)
    weight = stats.beta(0.5, corpora)
    assert wide.positive == pytest.approx(weight.cdf(np.sqrt(0.5)), abs=slack)
    assert narrow.positive == pytest.approx(weight.cdf(1 - np.sqrt(0.5)), abs=slack), "halves count as none"
    assert wide.negative == narrow.negative == 0
    assert wide.rope == pytest.approx(1 - wide.positive)


def test_beliefs_are_those_of_a_plain_count_over_pairs() -> None:
    differences, rope = [0.04, -0.01, 0.02, -0.03, 0.005], 0.01
    random = np.random.default_rng(5)
    won = np.zeros(3)
    for _ in range(1500):
        weights = random.gamma([0.5, 1, 1, 1, 1, 1])
        mass = [0.0, 0.0, 0.0]
        for one, left in enumerate([0.0, *differences]):
            for two, right in enumerate([0.0, *differences]):
                place = 0 if left + right < -2 * rope else 2 if left + right > 2 * rope else 1
                mass[place] += weights[one] * weights[two]
        won[int(np.argmax(mass))] += 1
    found = signed_rank(differences, rope)
    np.testing.assert_allclose([found.negative, found.rope, found.positive], won / 1500, atol=0.05)
    mirrored = signed_rank([-difference for difference in differences], rope)
    assert (mirrored.negative, mirrored.rope) == pytest.approx((found.positive, found.rope), abs=0.01)
    assert found == signed_rank(differences, rope)
    with pytest.raises(ValueError, match=r"0 or more, but got -0\.1"):
        signed_rank(differences, -0.1)
    with pytest.raises(ValueError, match="no differences"):
        signed_rank([], 0.1)


def test_the_critical_difference_is_that_of_demsar() -> None:
    """Demsar (2006) gives q = 2.569 for four methods, 2.728 for five and 3.164 for ten."""
    for methods, reach in ((4, 2.569), (5, 2.728), (10, 3.164)):
        known = reach * np.sqrt(methods * (methods + 1) / (6 * 14))
        assert _critical_difference(methods, 14, 0.95) == pytest.approx(known, abs=0.001)


def test_ranks_agree_with_friedman_and_nemenyi() -> None:
    random = np.random.default_rng(0)
    scores = pd.DataFrame(random.normal([0.6, 0.55, 0.5, 0.4], 0.05, (8, 4)), columns=METHODS)
    found = ranks(scores)
    placed = np.array([stats.rankdata(-row) for row in scores.to_numpy()]).mean(0)
    np.testing.assert_allclose(found.mean[METHODS], placed)
    square = 12 * 8 / (4 * 5) * ((placed - 2.5) ** 2).sum()
    assert found.friedman == pytest.approx(stats.chi2.sf(square, 3))
    assert found.pairs is not None
    assert found.critical_difference is not None
    apart = np.abs(placed[:, None] - placed) > found.critical_difference
    assert apart.any()
    np.testing.assert_array_equal(found.pairs.to_numpy() < 0.05, apart)
    assert not found.descriptive


def test_few_corpora_or_methods_are_only_described() -> None:
    scores = pd.DataFrame(np.arange(20.0).reshape(5, 4) % 7, columns=METHODS)
    few = ranks(scores)
    assert few.descriptive
    assert "5 corpora" in few.reason
    assert "p = 0.062" in few.reason
    assert stats.binomtest(5, 5).pvalue > 0.05 > stats.binomtest(6, 6).pvalue, "the reason for six"
    two = ranks(scores[METHODS[:2]])
    assert (two.friedman, two.critical_difference, two.descriptive) == (None, None, True)
    level = ranks(pd.DataFrame(np.ones((6, 3)), columns=METHODS[:3]))
    assert level.friedman == 1
    assert (level.mean == 2).all()
    with pytest.raises(ValueError, match="1 are missing"):
        ranks(scores.mask(scores.index.to_numpy()[:, None] + np.arange(4) == 0))
