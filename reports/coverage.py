"""Do the intervals hold what they promise? Simulated corpora with strong subject effects, whose truth is known.

`python -m reports.coverage` prints how often intervals hold the truth, how often `worse` raises a false alarm, and
how often it sees a loss of five points; then the same of the regression gate, at its own level. The exit code is 1 if
a claim of docs/regression.md or of the leaderboard does not hold; the last lines name it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt
import typer
from scipy.optimize import brentq
from scipy.special import expit

from reports.gate import DECIDES, LEVEL
from reports.results import METRICS
from reports.statistics import Interval, Metric, interval, measure, worse

Floats = npt.NDArray[np.float64]
CLASSES = 6
UNEVEN = np.array([1.6, 1.3, 1.1, 0.9, 0.7, 0.4]) / 6

SWAY = 0.05  # of the right answers, by which two models of one kind differ in a subject
AGREEMENTS = (0.0, 0.5, 0.8)  # of a new run's answers with the old one's, beyond what chance brings
CORPORA = ((8, 90), (24, 60), (43, 30))  # subjects and clips of each, about those of RML, RAVDESS and eNTERFACE'05
CENTRES = (-0.8, 0.6, 2.5)
LOSSES = ((0.0, 0.0), (0.05, 0.05), (0.05, 0.0), (0.05, 0.02))  # lost of the metric, and tolerated

HELD = 0.93  # of 95 % intervals that hold the truth, at least
NAIVE = 0.85  # of naive ones, at most: they fail for all to see
ALARMS = 0.05  # of the gate without a loss beyond what is tolerated, at most
CAUGHT = {8: (0.3, 0.5, 0.8), 24: (0.65, 0.9, 0.99), 43: (0.65, 0.9, 0.99)}  # losses of 5 points; by AGREEMENTS


class Population(Protocol):
    """Subjects that there could be, of whom corpora are drawn."""

    @property
    def expected(self) -> Floats:
        """The confusion matrix of all of them."""

    def draw(self, corpora: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The chance of each answer [corpora, subjects, true, answered] and the clips [corpora, subjects, true]."""


@dataclass(frozen=True)
class Corpus:
    """How subjects answer: on the logit scale their accuracy is Normal(centre, spread), their classes differ further.

    Uneven corpora have sizes of subjects that vary by a factor of two to either side, and uneven classes.
    """

    subjects: int
    clips: int  # of a subject
    centre: float = 0.6
    spread: float = 1.0
    uneven: bool = False

    @property
    def kind(self) -> str:
        return "uneven" if self.uneven else "even"

    @cached_property
    def expected(self) -> Floats:
        """From a great many."""
        answers, _ = Corpus(20_000, self.clips, self.centre, self.spread).draw(5, np.random.default_rng(0))
        share = UNEVEN if self.uneven else np.full(CLASSES, 1 / CLASSES)
        matrix: Floats = answers.mean((0, 1)) * share[:, None]  # sizes do not depend on abilities
        return matrix

    def draw(self, corpora: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
        shape = (corpora, self.subjects, CLASSES)
        own = random.normal(0, self.spread, (*shape[:2], 1)) + random.normal(0, self.spread / 2, shape)
        right = expit(self.centre + np.linspace(0.8, -0.8, CLASSES) + own)
        diagonal = np.arange(CLASSES)
        wrong = random.exponential(1, (*shape, CLASSES)) * np.linspace(2, 0.5, CLASSES)  # each subject errs its own way
        wrong[..., diagonal, diagonal] = 0
        answers = wrong / wrong.sum(-1, keepdims=True) * (1 - right)[..., None]
        answers[..., diagonal, diagonal] = right
        if not self.uneven:
            return answers, np.full(shape, self.clips // CLASSES)
        size = self.clips * np.exp(random.normal(0, 0.6, (*shape[:2], 1)) - 0.18)
        return answers, random.poisson(size * UNEVEN)


def coverage(corpus: Population, metric: Metric, runs: int, seed: int = 0, unit: str = "subject") -> float:
    """How often the 95 % interval holds the truth; by unit "clip" it is the naive interval."""
    random = np.random.default_rng(seed)
    truth = float(measure(corpus.expected, metric))
    answers, clips = corpus.draw(runs, random)
    held = 0
    for counts in random.multinomial(clips, answers):
        found = interval(counts if unit == "subject" else _one_by_one(counts), metric, unit)
        held += _holds(found, truth)
    return held / runs


def alarms(
    corpus: Population,
    metric: Metric,
    runs: int,
    loss: float,
    tolerance: float,
    *,
    agreement: float = 0.5,
    level: float = LEVEL,
    seed: int = 0,
) -> float:
    """How often `worse` is sure of a new run that lost `loss` of the metric; as the gate is, if not told otherwise."""
    pairs = changed(corpus, metric, runs, loss, agreement, seed)
    changes = (worse(before, after, metric, tolerance) for before, after in pairs)
    return sum(change.p is not None and change.p < 1 - level for change in changes) / runs


def changed(
    corpus: Population, metric: Metric, runs: int, loss: float, agreement: float, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Counts of an old run, and of a new one that answers `agreement` of the clips as the old one did.

    The rest is answered anew, by a model that is a little better or worse with each subject, and loses right answers
    at random, so many that `loss` is lost of the metric over all subjects.
    """
    random = np.random.default_rng(seed)
    share = _share_lost(corpus.expected, metric, loss, agreement)
    answers, clips = corpus.draw(runs, random)
    kept = random.binomial(clips, agreement)
    same = random.multinomial(kept, answers)
    old = same + random.multinomial(clips - kept, _swayed(answers, random))
    lost = _losing(_swayed(answers, random), share)
    new = same + random.multinomial(clips - kept, lost)
    yield from zip(old.astype(np.float64), new.astype(np.float64), strict=True)


def _one_by_one(counts: npt.NDArray[np.int64]) -> Floats:
    """One matrix for each clip."""
    classes = counts.shape[-1]
    each = np.eye(classes**2).reshape(-1, classes, classes)
    return np.repeat(each, counts.sum(0).ravel(), axis=0)


def _holds(found: Interval, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def _swayed(answers: Floats, random: np.random.Generator) -> Floats:
    """Some of each subject's right answers lost, SWAY of them on average."""
    return _losing(answers, random.uniform(0, 2 * SWAY, (*answers.shape[:2], 1)))


def _share_lost(answers: Floats, metric: Metric, loss: float, agreement: float) -> float:
    """The share of newly given right answers to lose, so that the metric of all answers falls by `loss`."""
    renewed = _losing(answers, SWAY)

    def score(share: float) -> float:
        return float(measure(agreement * answers + (1 - agreement) * _losing(renewed, share), metric))

    return float(brentq(lambda share: score(0.0) - score(share) - loss, 0, 1))


def _losing(answers: Floats, share: float | Floats) -> Floats:
    """The same answers after a share of the right ones has gone to other classes evenly."""
    right = answers.diagonal(axis1=-2, axis2=-1) * share
    classes = answers.shape[-1]
    moved: Floats = answers + right[..., None] / (classes - 1)
    diagonal = np.arange(classes)
    moved[..., diagonal, diagonal] -= right * classes / (classes - 1)
    return moved


def main(
    metric: Annotated[list[str] | None, typer.Option(help="Intervals of which metric; default: all.")] = None,
    runs: Annotated[int, typer.Option(help="Simulated corpora in each row.")] = 4000,
) -> None:
    """Print the tables, and what does not hold."""
    broken = [line for name in metric or METRICS for line in intervals(name, runs)]  # type: ignore[arg-type]
    losses(f"`worse` at 95 %, {DECIDES}", runs, 0.95)
    broken += losses(f"The regression gate at {LEVEL:.1%}, {DECIDES}", runs, LEVEL)
    typer.echo("\n" + ("\n".join(f"DOES NOT HOLD: {line}" for line in broken) or "All claims hold."))
    raise typer.Exit(int(bool(broken)))


def intervals(metric: Metric, runs: int) -> list[str]:
    """Print how often intervals hold the truth; what of it breaks the claim."""
    broken = []
    typer.echo(f"\n95 % intervals of {metric} that hold the truth, of {runs}; by clip, of {max(runs // 10, 1)}")
    typer.echo("subjects  sizes   truth  by subject  by clip")
    for subjects, clips in CORPORA:
        for uneven in (False, True):
            for centre in CENTRES:
                corpus = Corpus(subjects, clips, centre, uneven=uneven)
                ours, truth = coverage(corpus, metric, runs), float(measure(corpus.expected, metric))
                naive = coverage(corpus, metric, max(runs // 10, 1), unit="clip")
                row = f"{subjects:8}  {corpus.kind:6}  {truth:5.2f}  {ours:10.1%}  {naive:7.1%}"
                typer.echo(row)
                if ours < HELD or naive > NAIVE:
                    broken.append(f"{metric}, {row}: at least {HELD:.0%} by subject, at most {NAIVE:.0%} by clip")
    return broken


def losses(title: str, runs: int, level: float) -> list[str]:
    """Print how often the gate's metric is surely lower at a level; what of it breaks the claims for the gate."""
    broken = []
    typer.echo(f"\n{title}, of {runs}; points lost / tolerated")
    heads = "".join(f"{100 * loss:4.0f} / {100 * tolerance:.0f}" for loss, tolerance in LOSSES)
    typer.echo(f"subjects  sizes   agreement{heads}")
    for subjects, clips in CORPORA:
        for uneven in (False, True):
            corpus = Corpus(subjects, clips, uneven=uneven)
            for agreement, least in zip(AGREEMENTS, CAUGHT[subjects], strict=True):
                rates = [alarms(corpus, DECIDES, runs, *one, agreement=agreement, level=level) for one in LOSSES]
                row = f"{subjects:8}  {corpus.kind:6}  {agreement:9.0%}{''.join(f'{rate:8.1%}' for rate in rates)}"
                typer.echo(row)
                if max(rates[:2]) > ALARMS or rates[2] < least:
                    broken.append(f"{row}: at most {ALARMS:.0%} false alarms, at least {least:.0%} caught")
    return broken


if __name__ == "__main__":
    typer.run(main)
