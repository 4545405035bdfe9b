"""Scores against scikit-learn, against closed forms, and what is refused."""

import dataclasses
import warnings

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.clips import Clip, Media
from protocols.base import Fold, ProtocolError, Scores

LABELS = ("anger", "fear", "joy", "sadness")
UNIFORM = np.full((4, 4), 0.25)


def fold() -> Fold:
    clips = [
        Clip(Media(f"{number:02}", frozenset(), {}), f"clip{number}", "AB"[number // 4], LABELS[number % 4])
        for number in range(8)
    ]
    return Fold(clips, {"subject": ["A"]}, "fold")


def scores(truth: list[int], predicted: list[int]) -> Scores:
    clips = tuple(f"clip{number}" for number in range(len(truth)))
    return Scores(LABELS, clips, clips, tuple(LABELS[true] for true in truth), np.eye(4)[predicted])


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = ([LABELS[pair[side]] for pair in pairs] for side in (0, 1))
    ours = scores([one for one, _ in pairs], [two for _, two in pairs])
    assert list(ours.predicted) == predicted
    np.testing.assert_array_equal(ours.confusion, oracle.confusion_matrix(true, predicted, labels=LABELS))
    assert ours.accuracy == pytest.approx(oracle.accuracy_score(true, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes that are predicted but not there
        assert ours.uar == pytest.approx(oracle.balanced_accuracy_score(true, predicted))
    for average, value in (("macro", ours.macro_f1), ("weighted", ours.weighted_f1)):
        assert value == pytest.approx(oracle.f1_score(true, predicted, average=average, zero_division=0))
    table = oracle.precision_recall_fscore_support(true, predicted, labels=LABELS, zero_division=0)
    rows = [dataclasses.astuple(row)[1:] for row in ours.per_class]
    np.testing.assert_allclose(np.array(rows).T, np.array(table))


def test_closed_forms() -> None:
    perfect, constant = scores([0, 1, 2, 2], [0, 1, 2, 2]), scores([0, 0, 0, 1, 2], [0, 0, 0, 0, 0])
    assert (perfect.accuracy, perfect.uar, perfect.macro_f1, perfect.weighted_f1) == (1, 1, 1, 1)
    assert constant.accuracy == pytest.approx(3 / 5) and constant.uar == pytest.approx(1 / 3)
    assert constant.macro_f1 == pytest.approx((2 * 3 / (3 + 5)) / 3)  # sadness occurs nowhere and does not count
    assert constant.weighted_f1 == pytest.approx(3 / 5 * 2 * 3 / (3 + 5))
    assert scores([0], [3]).macro_f1 == 0


def test_a_fold_scores_its_own_clips_in_the_order_of_its_media() -> None:
    rows = np.full((4, 4), 0.1) + 0.6 * np.eye(4)[::-1]
    result = fold().score(rows)
    assert result.names == ("clip0", "clip1", "clip2", "clip3") and result.subjects == ("A",) * 4
    assert result.truth == LABELS and result.predicted == LABELS[::-1] and result.labels == LABELS
    rows[:] = 0
    assert result.probabilities.sum() == pytest.approx(4)


def test_of_equal_probabilities_the_first_class_is_taken() -> None:
    assert fold().score(UNIFORM.astype(np.float32)).predicted == ("anger",) * 4


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (UNIFORM[:3], r"\[test clips, labels\] = \[4, 4\], but are \[3, 4\]"),
        (UNIFORM.ravel(), r"= \[4, 4\], but are \[16\]"),
        (UNIFORM * np.nan, "finite and not negative, but one is nan"),
        (UNIFORM - [[0.5, -0.5, 0, 0]], "not negative, but one is -0.25"),
        (UNIFORM * 1.002, "must sum to 1, but one is 1.002"),
        ([["a"] * 4] * 4, "must be numbers"),
        ([[1.0], [0.5, 0.5]], "must be numbers"),
    ],
)
def test_what_are_no_probabilities(probabilities: npt.ArrayLike, message: str) -> None:
    with pytest.raises(ProtocolError, match=message) as raised:
        fold().score(probabilities)
    assert "\n" not in str(raised.value)


def test_rounding_is_forgiven() -> None:
    assert fold().score(UNIFORM * 1.0009).accuracy == 0.25
