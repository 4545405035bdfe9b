"""Has a method become worse? The rule of the regression gate, and what fell.

One metric decides, by `worse` at LEVEL; the others are shown. The level was chosen by simulation (reports.coverage):
at 95 % up to 5.5 % of harmless changes raised an alarm, at this level 3.9 % in the worst corpus tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.statistics import TINY, Change, Metric, measure, worse
from reports.tally import Tally

LEVEL = 0.965
METRICS: tuple[Metric, ...] = ("uar", "accuracy", "macro_f1")
DECIDES: Metric = METRICS[0]


@dataclass(frozen=True)
class Fall:
    """A subject (by the deciding metric, of its own clips) or a class (by recall) that is answered worse than before.

    `before` and `now` are shares; `clips` are those of the subject or class.
    """

    what: str
    name: str
    before: float
    now: float
    clips: float

    @property
    def change(self) -> float:
        return self.now - self.before


@dataclass(frozen=True)
class Verdict:
    """By metric, the old score and how it changed; one of the metrics decides."""

    deciding: Metric
    changes: Mapping[Metric, tuple[float, Change]]
    falls: Sequence[Fall]

    @property
    def worse(self) -> bool:
        return significant(self.changes[self.deciding][1])


def significant(change: Change) -> bool:
    """Whether a score is lower by more than the tolerance, beyond chance; never for a single unit."""
    return change.p is not None and change.p < 1 - LEVEL


def judge(old: Tally, new: Tally, labels: Sequence[str], deciding: Metric, tolerance: float) -> Verdict:
    """A verdict on two tallies of the same clips."""
    metrics = dict.fromkeys((deciding, *METRICS))
    changes = {
        metric: (
            float(measure(old.counts.sum(0), metric)),
            worse(old.counts, new.counts, metric, tolerance, old.unit, LEVEL),
        )
        for metric in metrics
    }
    units = _falls(old.unit, old.names, measure(old.counts, deciding), measure(new.counts, deciding), old.counts)
    recalls = _recalls(old), _recalls(new)
    classes = _falls("class", labels, *recalls, old.counts.sum(0))
    return Verdict(deciding, changes, [*units, *classes])


def _recalls(tally: Tally) -> npt.NDArray[np.float64]:
    """Of each class, over all units; 0 without clips."""
    counts = tally.counts.sum(0)
    recalls: npt.NDArray[np.float64] = counts.diagonal() / np.maximum(counts.sum(-1), TINY)
    return recalls


def _falls(
    what: str,
    names: Sequence[str],
    before: npt.NDArray[np.float64],
    now: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
) -> list[Fall]:
    """The largest first; `counts` begin with an axis of the names."""
    clips = counts.reshape(len(names), -1).sum(1)
    found = [
        Fall(what, name, float(old), float(new), float(share))
        for name, old, new, share in zip(names, before, now, clips, strict=True)
    ]
    return sorted((fall for fall in found if fall.change < -TINY), key=lambda fall: fall.change)
