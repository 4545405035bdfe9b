"""Confusion counts by unit, from tables of answers: what reports.statistics works on.

A table has the columns clip, subject, truth and predicted, one row for each answer. A clip that was answered several
times (by seeds, by repeats) counts as one, shared among its answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts [units, true, answered]; the unit is the subject, or the clip where no clip has one."""

    counts: npt.NDArray[np.float64]
    names: tuple[str, ...]
    unit: str


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sides' counts on the clips that both answered, unit beside unit, and how many clips only one had."""

    a: npt.NDArray[np.float64]
    b: npt.NDArray[np.float64]
    names: tuple[str, ...]
    unit: str
    clips: int
    only_a: int
    only_b: int


def tally(answers: pd.DataFrame, labels: Sequence[str]) -> Tally:
    """The counts of one table; units in the order of their names."""
    unknown = sorted({*answers["truth"], *answers["predicted"]} - set(labels))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no label of these answers; choose from {', '.join(labels)}")
    described = answers.groupby("clip")[["subject", "truth"]].nunique(dropna=False).max(axis=1)
    if (described > 1).any():
        raise ValueError(f"clip {described.idxmax()!r} has several subjects or truths; its rows are not of one clip")
    unit = _unit(answers)
    names, rows = np.unique(answers[unit].astype(str), return_inverse=True)
    column = {label: number for number, label in enumerate(labels)}
    share = 1 / answers.groupby("clip")["clip"].transform("size").to_numpy(dtype=np.float64)
    counts = np.zeros((len(names), len(labels), len(labels)))
    np.add.at(counts, (rows, answers["truth"].map(column), answers["predicted"].map(column)), share)
    return Tally(counts, tuple(names.tolist()), unit)


def pair(a: pd.DataFrame, b: pd.DataFrame, labels: Sequence[str]) -> Pair:
    """Both tables on the clips that they share: two methods, or one method under two protocols."""
    only_a, only_b = set(a["clip"]) - set(b["clip"]), set(b["clip"]) - set(a["clip"])
    shared = set(a["clip"]) - only_a
    if not shared:
        raise ValueError(f"no clip is in both tables, of {len(only_a)} and {len(only_b)}; compare answers to the same")
    a, b = a[a["clip"].isin(shared)], b[b["clip"].isin(shared)]
    facts = pd.concat([a, b]).groupby("clip")[["subject", "truth"]].nunique(dropna=False).max(axis=1)
    if (facts > 1).any():
        raise ValueError(f"clip {facts.idxmax()!r} has another subject or truth in the other table; are both current?")
    left, right = tally(a, labels), tally(b, labels)
    return Pair(left.counts, right.counts, left.names, left.unit, len(shared), len(only_a), len(only_b))


def _unit(answers: pd.DataFrame) -> str:
    nameless = int(answers["subject"].isna().sum())
    if nameless not in (0, len(answers)):
        raise ValueError(f"{nameless} of {len(answers)} answers have no subject; name all subjects or none")
    return "clip" if nameless else "subject"
