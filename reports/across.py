"""What several corpora say together: meta-analysis, a Bayesian signed-rank test, ranks.

Corpora are few. Where their number cannot carry a claim of significance the result is `descriptive` and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

POOLABLE = 5  # corpora; with fewer, how much corpora differ can hardly be estimated
RANKABLE = 6  # corpora; 2 / 2^5 = 0.06, so that five which all agree are not yet significant
PRIOR = 0.5  # weight of the pseudo-corpus without a difference, as Benavoli and others choose
DRAWS = 50_000


@dataclass(frozen=True)
class Pooled:
    """A difference over corpora; `between` is the standard deviation of the true differences of corpora."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    between: float | None
    corpora: int
    descriptive: bool
    reason: str


@dataclass(frozen=True)
class Beliefs:
    """The probabilities that the difference is practically negative, practically none, practically positive."""

    negative: float
    rope: float
    positive: float
    corpora: int


@dataclass(frozen=True, eq=False)
class Ranks:
    """Mean ranks over corpora, 1 the best; two methods differ where their ranks do by `critical_difference`.

    `friedman` is the p of no method being better than another, `pairs` Nemenyi's p of each two methods.
    """

    mean: pd.Series
    friedman: float | None
    critical_difference: float | None
    pairs: pd.DataFrame | None
    corpora: int
    descriptive: bool
    reason: str


def pooled(differences: Sequence[float], variances: Sequence[float], level: float = 0.95) -> Pooled:
    """Random effects by Paule and Mandel, with Hartung and Knapp's t; never surer than the plain standard error."""
    effects, squares = np.asarray(differences, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if effects.shape != squares.shape or effects.ndim != 1 or not effects.size:
        raise ValueError(f"one variance a difference, but got {squares.size} for {effects.size}")
    if not (np.isfinite(squares).all() and (squares > 0).all()):
        raise ValueError(f"variances must be above 0, but got {squares.min():g}; leave out corpora without an interval")
    count = len(effects)
    if count == 1:
        return Pooled(float(effects[0]), None, None, None, None, 1, True, "a single corpus: nothing to pool")
    from statsmodels.stats.meta_analysis import combine_effects  # slow: most pages pool nothing

    with np.errstate(divide="ignore", invalid="ignore"):  # its share of heterogeneity, where corpora do not differ
        found = combine_effects(effects, squares, method_re="pm", use_t=True)
    error = max(float(found.sd_eff_w_re_hksj), float(found.sd_eff_w_re))
    mean = float(found.mean_effect_re)
    reach = float(stdtrit(count - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error))
    few = count < POOLABLE
    reason = f"{count} corpora; with fewer than {POOLABLE}, how much corpora differ is hardly known" if few else ""
    return Pooled(mean, mean - reach, mean + reach, p, float(np.sqrt(found.tau2)), count, few, reason)


def signed_rank(differences: Sequence[float], rope: float, seed: int = 0) -> Beliefs:
    """Benavoli and others' Bayesian signed-rank test: differences within ±rope count as none.

    Corpora and a pseudo-corpus without a difference get random Dirichlet weights; each draw goes to the region that
    holds most weight of the means of pairs.
    """
    if rope < 0:
        raise ValueError(f"rope is half the width of the region of no difference, 0 or more, but got {rope}")
    if not len(differences):
        raise ValueError("no differences: give one a corpus")
    values = np.array([0.0, *differences])
    weights = np.random.default_rng(seed).dirichlet([PRIOR, *np.ones(len(differences))], DRAWS)  # [draws, corpora + 1]
    means = (values[:, None] + values) / 2
    regions = (means < -rope, np.abs(means) <= rope, means > rope)
    mass = np.stack([np.sum(weights @ region * weights, axis=1) for region in regions])  # [regions, draws]
    negative, none, positive = np.bincount(mass.argmax(axis=0), minlength=3) / DRAWS
    return Beliefs(float(negative), float(none), float(positive), len(differences))


def ranks(scores: pd.DataFrame, level: float = 0.95) -> Ranks:
    """Friedman's test and Nemenyi's critical difference over [corpora, methods]; higher scores are better."""
    if scores.isna().any(axis=None) or scores.empty:
        raise ValueError(
            f"every method needs a score on every corpus, but {int(scores.isna().sum().sum())} are missing"
        )
    corpora, methods = scores.shape
    mean = scores.rank(axis=1, ascending=False).mean()
    if methods < 3 or corpora < 2:
        reason = f"{methods} methods on {corpora} corpora; Friedman's test needs 3 on 2: compare and pool them instead"
        return Ranks(mean, None, None, None, corpora, True, reason)
    from scikit_posthocs import posthoc_nemenyi_friedman  # slow, both: most pages rank no three methods
    from scipy.stats import friedmanchisquare

    constant = bool((scores.nunique(axis=1) == 1).all())
    friedman = 1.0 if constant else float(friedmanchisquare(*scores.to_numpy().T).pvalue)
    pairs = posthoc_nemenyi_friedman(scores)
    few = corpora < RANKABLE
    reason = (
        f"{corpora} corpora; two methods of which one wins on all have p = {2 * 0.5**corpora:.2g} by the sign test: "
        f"fewer than {RANKABLE} cannot reach 0.05"
        if few
        else ""
    )
    return Ranks(mean, friedman, _critical_difference(methods, corpora, level), pairs, corpora, few, reason)


def _critical_difference(methods: int, corpora: int, level: float) -> float:
    """Nemenyi's: the studentised range over the standard error of a mean rank."""
    from scipy.stats import studentized_range

    reach = float(studentized_range.ppf(level, methods, np.inf))
    return float(reach / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * corpora)))
