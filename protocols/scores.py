"""What a method's answers are worth. The numbers are derived from the answers, so that they cannot disagree."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

METRICS = ("accuracy", "uar", "macro_f1", "weighted_f1")


@dataclass(frozen=True)
class ClassScores:
    """One row of the per-class table."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, eq=False)
class Scores:
    """Answers beside the truth, clip by clip. Joining the clips of several folds gives their pooled scores.

    A ratio without cases is 0. Macro F1 is the mean over classes that occur in truth or prediction, as in scikit-learn.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    subjects: tuple[str | None, ...]
    truth: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]  # [clips, labels]

    @cached_property
    def predicted(self) -> tuple[str, ...]:
        """The likeliest class of each clip; the first of them where several are."""
        return tuple(self.labels[column] for column in self.probabilities.argmax(axis=1))

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts of clips [truth, predicted]."""
        column = {label: number for number, label in enumerate(self.labels)}
        counts = np.zeros((len(self.labels), len(self.labels)), dtype=np.int64)
        for true, predicted in zip(self.truth, self.predicted, strict=True):
            counts[column[true], column[predicted]] += 1
        return counts

    @cached_property
    def per_class(self) -> tuple[ClassScores, ...]:
        hits, said, support = self.confusion.diagonal(), self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return tuple(
            ClassScores(label, _ratio(hit, n_said), _ratio(hit, n_true), _ratio(2 * hit, n_said + n_true), int(n_true))
            for label, hit, n_said, n_true in zip(self.labels, hits, said, support, strict=True)
        )

    @property
    def accuracy(self) -> float:
        return _ratio(int(self.confusion.trace()), len(self.truth))

    @property
    def uar(self) -> float:
        """Unweighted average recall: the mean over the classes that occur in the truth."""
        return float(np.mean([row.recall for row in self.per_class if row.support]))

    @property
    def macro_f1(self) -> float:
        said = dict(zip(self.labels, self.confusion.sum(axis=0), strict=True))
        return float(np.mean([row.f1 for row in self.per_class if row.support or said[row.label]]))

    @property
    def weighted_f1(self) -> float:
        return float(np.average([row.f1 for row in self.per_class], weights=[row.support for row in self.per_class]))


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
