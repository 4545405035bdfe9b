"""Do the intervals hold what they promise? Simulated corpora with strong subject effects, whose truth is known.

`python -m reports.coverage` prints how often intervals hold the truth, how often `worse` raises a false alarm, and
how often it sees a loss of five points.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from scipy.special import expit

from reports.statistics import Interval, Metric, interval, measure, worse

Floats = npt.NDArray[np.float64]
CLASSES = 6
UNEVEN = np.array([1.6, 1.3, 1.1, 0.9, 0.7, 0.4]) / 6

SWAY = 0.05  # of the right answers, by which two models of one kind differ in a subject


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


CORPORA = ((8, 90), (24, 60), (43, 30))  # subjects and clips of each, about those of RML, RAVDESS and eNTERFACE'05


def probabilities(corpus: Corpus, corpora: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The chance of each answer [corpora, subjects, true, answered] and the clips [corpora, subjects, true]."""
    shape = (corpora, corpus.subjects, CLASSES)
    own = random.normal(0, corpus.spread, (*shape[:2], 1)) + random.normal(0, corpus.spread / 2, shape)
    right = expit(corpus.centre + np.linspace(0.8, -0.8, CLASSES) + own)
    diagonal = np.arange(CLASSES)
    wrong = random.exponential(1, (*shape, CLASSES)) * np.linspace(2, 0.5, CLASSES)  # each subject errs its own way
    wrong[..., diagonal, diagonal] = 0
    answers = wrong / wrong.sum(-1, keepdims=True) * (1 - right)[..., None]
    answers[..., diagonal, diagonal] = right
    if not corpus.uneven:
        return answers, np.full(shape, corpus.clips // CLASSES)
    size = corpus.clips * np.exp(random.normal(0, 0.6, (*shape[:2], 1)) - 0.18)
    return answers, random.poisson(size * UNEVEN)


def expected(corpus: Corpus, random: np.random.Generator) -> Floats:
    """The confusion matrix of all subjects that there could be, from a great many."""
    answers, _ = probabilities(Corpus(20_000, corpus.clips, corpus.centre, corpus.spread), 5, random)
    share = UNEVEN if corpus.uneven else np.full(CLASSES, 1 / CLASSES)
    matrix: Floats = answers.mean((0, 1)) * share[:, None]  # sizes do not depend on abilities
    return matrix


def coverage(corpus: Corpus, metric: Metric, runs: int, seed: int = 0, unit: str = "subject") -> float:
    """How often the 95 % interval holds the truth; by unit "clip" it is the naive interval."""
    random = np.random.default_rng(seed)
    truth = float(measure(expected(corpus, random), metric))
    answers, clips = probabilities(corpus, runs, random)
    held = 0
    for counts in random.multinomial(clips, answers):
        found = interval(counts if unit == "subject" else _one_by_one(counts), metric, unit)
        held += _holds(found, truth)
    return held / runs


def alarms(
    corpus: Corpus, metric: Metric, runs: int, loss: float, tolerance: float, *, agreement: float = 0.5, seed: int = 0
) -> float:
    """How often `worse` is sure at 95 % of a new run that answers `agreement` of the clips as the old one did.

    The rest is answered anew, by a model that is a little better or worse with each subject, and loses right answers
    at random so that `loss` is lost on average.
    """
    random = np.random.default_rng(seed)
    correct = float(measure(expected(corpus, random), metric))
    answers, clips = probabilities(corpus, runs, random)
    kept = random.binomial(clips, agreement)
    same = random.multinomial(kept, answers)
    old = same + random.multinomial(clips - kept, _swayed(answers, random))
    lost = _losing(_swayed(answers, random), loss / (correct * (1 - SWAY) * (1 - agreement)))
    new = same + random.multinomial(clips - kept, lost)
    changes = (worse(before, after, metric, tolerance) for before, after in zip(old, new, strict=True))
    return sum(change.p is not None and change.p < 0.05 for change in changes) / runs


def _one_by_one(counts: npt.NDArray[np.int64]) -> Floats:
    """One matrix for each clip."""
    each = np.eye(CLASSES * CLASSES).reshape(-1, CLASSES, CLASSES)
    return np.repeat(each, counts.sum(0).ravel(), axis=0)


def _holds(found: Interval, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def _swayed(answers: Floats, random: np.random.Generator) -> Floats:
    """Some of each subject's right answers lost, SWAY of them on average."""
    return _losing(answers, random.uniform(0, 2 * SWAY, (*answers.shape[:2], 1)))


def _losing(answers: Floats, share: float | Floats) -> Floats:
    """The same answers after a share of the right ones has gone to other classes evenly."""
    right = answers.diagonal(axis1=-2, axis2=-1) * share
    moved = answers + right[..., None] / (CLASSES - 1)
    diagonal = np.arange(CLASSES)
    moved[..., diagonal, diagonal] -= right * CLASSES / (CLASSES - 1)
    return moved


def main(
    metric: Annotated[str, typer.Option(help="accuracy, uar, macro_f1 or weighted_f1")] = "uar",
    runs: Annotated[int, typer.Option(help="simulated corpora in each row")] = 4000,
) -> None:
    """Print the tables."""
    measured: Metric = metric  # type: ignore[assignment]  # measure() refuses any other
    typer.echo(
        f"95 % intervals of {metric} that hold the truth, of {runs}\nsubjects  sizes   truth  by subject  by clip"
    )
    for subjects, clips in CORPORA:
        for uneven in (False, True):
            for centre in (-0.8, 0.6, 2.5):
                corpus = Corpus(subjects, clips, centre, uneven=uneven)
                truth = float(measure(expected(corpus, np.random.default_rng(0)), measured))
                ours = coverage(corpus, measured, runs)
                naive = coverage(corpus, measured, max(runs // 10, 1), unit="clip")
                kind = "uneven" if uneven else "even"
                typer.echo(f"{subjects:8}  {kind:6}  {truth:5.2f}  {ours:10.1%}  {naive:7.1%}")
    typer.echo(f"\n`worse` at 95 %, of {runs}; points lost / tolerated")
    typer.echo("subjects  sizes   agreement   0 / 0   5 / 5   5 / 0")
    for subjects, clips in CORPORA:
        for uneven in (False, True):
            for agreement in (0.0, 0.5):
                corpus = Corpus(subjects, clips, uneven=uneven)
                rates = [
                    alarms(corpus, measured, runs, loss, tolerance, agreement=agreement)
                    for loss, tolerance in ((0.0, 0.0), (0.05, 0.05), (0.05, 0.0))
                ]
                kind = "uneven" if uneven else "even"
                shown = "  ".join(f"{rate:6.1%}" for rate in rates)
                typer.echo(f"{subjects:8}  {kind:6}  {agreement:9.0%}  {shown}")


if __name__ == "__main__":
    typer.run(main)
