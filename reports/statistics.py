"""How sure a result is: intervals, paired comparisons, the test of a loss.

A row of results is a stack of confusion counts, one matrix for each unit: [units, true, answered]. The unit is the
subject, whose clips are not independent of one another; the clip only where a corpus has no person ids. The score of
several seeds is the mean of theirs; where they are compared, their answers are averaged, so counts may be fractions,
which for accuracy and UAR is the same. Intervals speak of new subjects under the models that were
trained; they do not contain the luck of the training set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, stdtr, stdtrit

Metric = Literal["accuracy", "uar", "macro_f1", "weighted_f1"]
Floats = npt.NDArray[np.float64]

TINY = 1e-9  # what the sums of fractions may leave where there is nothing
EXACT = 14  # units; all 2^14 swaps are tried
DRAWS = 20_000


@dataclass(frozen=True)
class Interval:
    """A score; low and high are None where the units say nothing of their spread. `how` is for the reader."""

    estimate: float
    low: float | None
    high: float | None
    units: int
    unit: str
    how: str


@dataclass(frozen=True)
class Comparison:
    """The score of a minus the score of b, on the same clips.

    `effect` is the mean of the differences within units over their standard deviation, None where they do not vary;
    `better` is the share of units that a answers better than b, ties counting half.
    `exact` tells whether every swap was tried or a sample of them. low and high are None where the differences of
    units do not vary.
    """

    difference: float
    error: float | None
    low: float | None
    high: float | None
    p: float
    effect: float | None
    better: float
    units: int
    unit: str
    exact: bool


@dataclass(frozen=True)
class Change:
    """A new score minus an old one; p is of "not worse by more than the tolerance", None for a single unit.

    `high` is the one-sided bound: the new run is worse at this level exactly where high < -tolerance. There
    is none where all units changed alike.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    tolerance: float
    units: int
    unit: str


@dataclass(frozen=True)
class CorrectedT:
    """Nadeau and Bengio's test of repeated cross-validation."""

    difference: float
    t: float
    p: float
    low: float
    high: float


def measure(counts: npt.ArrayLike, metric: Metric) -> Floats:
    """The metric of each matrix in [..., true, answered]; the definitions are those of protocols/scores.py."""
    counts = np.asarray(counts, dtype=np.float64)
    hits, true, said = counts.diagonal(axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    if metric == "accuracy":
        return _ratio(hits.sum(-1), true.sum(-1))
    if metric == "uar":
        return _ratio(_ratio(hits, true).sum(-1), (true > TINY).sum(-1))
    f1 = _ratio(2 * hits, true + said)
    if metric == "macro_f1":
        return _ratio(f1.sum(-1), (true + said > TINY).sum(-1))
    if metric == "weighted_f1":
        return _ratio((f1 * true).sum(-1), true.sum(-1))
    raise ValueError(f"no metric {metric!r}; choose from {', '.join(get_args(Metric))}")


def interval(counts: npt.ArrayLike, metric: Metric, unit: str = "subject", level: float = 0.95) -> Interval:
    """A score with its interval, clustered by unit: a jackknife on the logit scale, with Student's t.

    Counts of several seeds, [seeds, units, true, answered], give the mean of the seeds' scores, and its interval.
    Kish's effective number of units sets the degrees of freedom, since units of uneven size are worth fewer.
    """
    seeds = _by_seed(counts)
    units, worth = seeds.shape[1], _effective(seeds.mean(0))
    estimate = float(measure(seeds.sum(1), metric).mean())
    if units == 1:
        return Interval(estimate, None, None, 1, unit, f"no interval from a single {unit}")
    if not TINY < estimate < 1 - TINY:
        # Clopper and Pearson's bound for the share of units without an error, or without a hit
        bound = float(((1 - level) / 2) ** (1 / worth))
        low, high = (bound, 1.0) if estimate > 0.5 else (0.0, 1 - bound)
        return Interval(estimate, low, high, units, unit, f"exact bound: every {unit} is {round(estimate):.0%} right")
    left_out = measure(seeds.sum(1, keepdims=True) - seeds, metric).mean(0)  # [units]
    clips = seeds.mean(0).sum()
    spread = _jackknife(logit((left_out * clips + 0.5) / (clips + 1)))  # off 0 and 1, where the logit is infinite
    if spread < TINY:
        return Interval(estimate, None, None, units, unit, f"no interval: no {unit} differs from another")
    freedom = worth - 1
    reach = stdtrit(freedom, (1 + level) / 2) * spread
    low, high = expit(logit(estimate) - reach), expit(logit(estimate) + reach)
    how = f"jackknife over {unit}s on the logit scale, t with {freedom:.1f} degrees of freedom"
    return Interval(estimate, float(low), float(high), units, unit, how)


def compare(
    a: npt.ArrayLike, b: npt.ArrayLike, metric: Metric, unit: str = "subject", level: float = 0.95, seed: int = 0
) -> Comparison:
    """a against b by swapping their answers, unit by unit; the interval is a jackknife over units, as in `worse`."""
    a, b = _paired(a, b)
    difference, error, freedom = _difference(a, b, metric)
    low, high = _limits(difference, error, freedom, level)
    within = measure(a, metric) - measure(b, metric)  # [units]
    spread = float(within.std(ddof=1)) if len(a) > 1 else 0.0
    effect = float(within.mean()) / spread if spread > TINY else None
    better = float((within > TINY).mean() + (np.abs(within) <= TINY).mean() / 2)
    p, exact = _swap_test(a, b, metric, seed)
    return Comparison(difference, error, low, high, p, effect, better, len(a), unit, exact)


def worse(
    old: npt.ArrayLike,
    new: npt.ArrayLike,
    metric: Metric,
    tolerance: float = 0.0,
    unit: str = "subject",
    level: float = 0.95,
) -> Change:
    """Has the score fallen by more than the tolerance? One-sided, paired by unit: a jackknife with Student's t."""
    if tolerance < 0:
        raise ValueError(f"tolerance is a loss that is allowed, 0 or more, but got {tolerance}")
    old, new = _paired(old, new)
    difference, error, freedom = _difference(new, old, metric)
    low, high = _limits(difference, error, freedom, 2 * level - 1)
    if error is None:
        p = None
    elif error > TINY:
        p = float(stdtr(freedom, (difference + tolerance) / error))
    else:  # every unit changed alike: the sign test
        p = 1.0 if difference >= -tolerance - TINY else 0.5 ** len(old)
    return Change(difference, low, high, p, tolerance, len(old), unit)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's correction: p values that keep the chance of any false finding among them all.

    Not statsmodels', which collects garbage at each call: half a second where there are thousands of rows.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return tuple(corrected.tolist())


def repeated_cv_t(differences: npt.ArrayLike, test_share: float, level: float = 0.95) -> CorrectedT:
    """Nadeau and Bengio's t over [repeats, folds] of a repeated cross-validation, and over nothing else."""
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 2 or min(differences.shape) < 2:
        raise ValueError(
            f"the corrected t is for repeated cross-validation, [repeats, folds] with 2 of each or more, but got the "
            f"shape {differences.shape}; a single division has one answer to a clip: use compare, by subject"
        )
    if not 0 < test_share < 1:
        raise ValueError(f"0 < test_share < 1 must hold, the share of clips in a test fold, but got {test_share}")
    count, mean = differences.size, float(differences.mean())
    error = float(np.sqrt((1 / count + test_share / (1 - test_share)) * differences.var(ddof=1)))
    if error < TINY:
        raise ValueError(f"the differences of all folds are {mean:.4g}; without variation there is no t")
    reach = float(stdtrit(count - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error))
    return CorrectedT(mean, mean / error, p, mean - reach, mean + reach)


def _ratio(part: npt.ArrayLike, whole: npt.NDArray[np.number]) -> Floats:
    """Part over whole; 0 without cases."""
    out = np.zeros(whole.shape)
    np.divide(part, whole, out=out, where=whole > TINY)
    return out


def _checked(given: npt.ArrayLike) -> Floats:
    """The counts of units that have clips."""
    counts: Floats = np.asarray(given, dtype=np.float64)
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2]:
        raise ValueError(f"counts must be [units, classes, classes], but got the shape {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("counts must be finite and 0 or more; give clips, not differences of clips")
    counts = counts[counts.sum((1, 2)) > TINY]
    if not len(counts):
        raise ValueError("no clips to score: all counts are 0; leave this row out")
    return counts


def _by_seed(given: npt.ArrayLike) -> Floats:
    """[seeds, units, true, answered] of the units that have clips."""
    counts: Floats = np.asarray(given, dtype=np.float64)
    seeds = counts if counts.ndim == 4 else counts[None]
    _checked(seeds.sum(0))
    return seeds[:, seeds.sum((0, 2, 3)) > TINY]


def _paired(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or not np.allclose(a.sum(-1), b.sum(-1), atol=1e-6):
        raise ValueError(
            f"both sides must have answered the same clips, but have {a.sum():g} in {a.shape} and {b.sum():g} in "
            f"{b.shape}, or other classes within units; keep the shared clips: reports.tally.pair"
        )
    return _checked(a), _checked(b)


def _effective(counts: Floats) -> float:
    """Kish's number of equally large units that these are worth."""
    clips = counts.sum((1, 2))
    return float(clips.sum() ** 2 / (clips**2).sum())


def _jackknife(left_out: Floats) -> float:
    """The standard error, from the values without each unit."""
    units = len(left_out)
    return float(np.sqrt((units - 1) / units * ((left_out - left_out.mean()) ** 2).sum()))


def _difference(a: Floats, b: Floats, metric: Metric) -> tuple[float, float | None, float]:
    """The score of a minus that of b, its standard error and the degrees of freedom."""
    all_a, all_b = a.sum(0), b.sum(0)
    difference = float(measure(all_a, metric) - measure(all_b, metric))
    if len(a) == 1:
        return difference, None, 0.0
    error = _jackknife(measure(all_a - a, metric) - measure(all_b - b, metric))
    return difference, error, _effective(a) - 1


def _limits(
    difference: float, error: float | None, freedom: float, level: float
) -> tuple[float, float] | tuple[None, None]:
    if error is None or error <= TINY:  # a width of nothing would claim to be sure
        return None, None
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return max(-1.0, difference - reach), min(1.0, difference + reach)


def _swap_test(a: Floats, b: Floats, metric: Metric, seed: int) -> tuple[float, bool]:
    """The two-sided p of swapping a's and b's answers within units, and whether all swaps were tried."""
    moved = (a - b)[(np.abs(a - b) > TINY).any((1, 2))]  # swapping equal answers changes nothing
    observed = abs(float(measure(a.sum(0), metric) - measure(b.sum(0), metric)))
    exact = len(moved) <= EXACT
    extreme = tried = 0
    for swaps in _swaps(len(moved), exact, seed):
        change = np.tensordot(swaps, moved, axes=1)  # [swaps, classes, classes]
        differences = measure(a.sum(0) - change, metric) - measure(b.sum(0) + change, metric)
        extreme += int((np.abs(differences) >= observed - TINY).sum())
        tried += len(swaps)
    return (extreme / tried if exact else (extreme + 1) / (tried + 1)), exact


def _swaps(units: int, exact: bool, seed: int) -> Iterator[Floats]:
    """Blocks of [swaps, units], 1 where a unit is swapped: all of them, or a seeded sample."""
    if exact:
        yield (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)
        return
    random = np.random.default_rng(seed)
    for _ in range(DRAWS // 1000):
        yield random.integers(0, 2, (1000, units)).astype(np.float64)
