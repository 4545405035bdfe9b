"""Counts by unit from tables of answers, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from reports.statistics import compare
from reports.tally import pair, tally

LABELS = ("anger", "fear", "joy")


def answers(rows: str) -> pd.DataFrame:
    """Rows like `clip subject truth predicted`, a dash for no subject."""
    table = pd.DataFrame([row.split() for row in rows.strip().splitlines()])
    table.columns = pd.Index(["clip", "subject", "truth", "predicted"])
    return table.replace("-", None)


def test_a_clip_counts_once_however_often_it_was_answered() -> None:
    found = tally(answers("1 b joy joy\n1 b joy fear\n2 b fear fear\n3 a fear joy"), LABELS)
    assert (found.names, found.unit) == (("a", "b"), "subject")
    np.testing.assert_allclose(found.counts[0], [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(found.counts[1], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    nameless = tally(answers("1 - joy joy\n2 - fear fear"), LABELS)
    assert (nameless.names, nameless.unit) == (("1", "2"), "clip")


def test_only_clips_that_both_answered_are_paired() -> None:
    unseen = answers("1 a joy fear\n2 a fear fear\n3 b joy fear\n4 c joy joy")
    random = answers("1 a joy joy\n1 a joy joy\n3 b joy joy\n3 b joy fear\n2 a fear fear\n5 d fear fear\n6 d joy joy")
    both = pair(random, unseen, LABELS)
    assert (both.names, both.unit, both.clips, both.only_a, both.only_b) == (("a", "b"), "subject", 3, 2, 1)
    inflation = compare(both.a, both.b, "accuracy")
    assert inflation.difference == pytest.approx(2.5 / 3 - 1 / 3)
    assert inflation.units == 2


def test_tables_that_contradict_are_refused() -> None:
    good = answers("1 a joy fear\n2 b fear fear")
    with pytest.raises(ValueError, match="'pride' is no label"):
        tally(answers("1 a pride joy"), LABELS)
    with pytest.raises(ValueError, match="clip '1' has several subjects or truths"):
        tally(answers("1 a joy joy\n1 b joy joy"), LABELS)
    with pytest.raises(ValueError, match="1 of 2 answers have no subject"):
        tally(answers("1 a joy joy\n2 - joy joy"), LABELS)
    with pytest.raises(ValueError, match="clip '2' has another subject or truth in the other table"):
        pair(good, answers("1 a joy fear\n2 b joy fear"), LABELS)
    with pytest.raises(ValueError, match="no clip is in both tables, of 2 and 1"):
        pair(good, answers("3 a joy fear"), LABELS)
