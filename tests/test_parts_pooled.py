"""Bags of segments, the machines on top, and the rules that join them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import softmax
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from methods.base import Examples
from methods.parts.pooled import RULES, OneVersusOne, Segments, ensemble


def clip(segments: int, faces: int, number: int) -> Mapping[str, npt.NDArray[Any]]:
    """Sound that tells its clip and segment, faces that tell their clip and number."""
    sound = np.zeros((segments, 4, 5, 3), np.float32) + 100 * number + np.arange(segments)[:, None, None, None]
    picture = (
        np.zeros((faces, 3, 2, 3), np.uint8)
        + np.uint8(20 * number)
        + np.arange(faces, dtype=np.uint8)[:, None, None, None]
    )
    last = max(faces - 1, 0)
    numbers = np.minimum(np.arange(segments)[:, None] + np.arange(16), last).astype(np.int32)
    return {"sound": sound, "faces": picture, "pictures": numbers}


CLIPS = (clip(2, 5, 1), clip(1, 0, 2), clip(3, 4, 3))


def test_each_segment_keeps_its_own_sound_and_faces() -> None:
    segments = Segments(Examples(CLIPS, ("a",)), "cpu")
    assert len(segments) == 6
    assert segments.owners.tolist() == [0, 0, 1, 2, 2, 2]
    everything = torch.arange(6)
    assert segments.of("audio", everything)[:, 0, 0, 0].tolist() == [100, 101, 200, 300, 301, 302]
    seen = segments.of("video", everything)[:, :4, 0, 0, 0].tolist()
    assert seen == [[20, 21, 22, 23], [21, 22, 23, 24], [0] * 4, [60, 61, 62, 63], [61, 62, 63, 63], [62, 63, 63, 63]]


def test_average_is_each_clips_own() -> None:
    segments = Segments(Examples(CLIPS, ("a",)), "cpu")
    told = segments.described("audio", lambda sound: sound[:, 0, 0, :2])
    assert segments.average(told)[:, 0].tolist() == [100.5, 200, 301]


def points(classes: int, count: int = 90) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    chance, targets = np.random.default_rng(3), np.arange(count) % classes
    return chance.normal(size=(classes, 5))[targets] + chance.normal(size=(count, 5)), targets


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_votes_and_margins_are_libsvms(classes: int) -> None:
    features, targets = points(classes)
    machine = OneVersusOne(0.5).fit(features, targets, classes)
    scaled = StandardScaler().fit_transform(features)
    theirs = SVC(kernel="linear", C=0.5, decision_function_shape="ovr", break_ties=classes > 2).fit(scaled, targets)
    told = machine.probabilities(features)
    assert np.array_equal(told.argmax(axis=1), theirs.predict(scaled))
    assert told.sum(axis=1) == pytest.approx(1)
    if classes > 2:
        assert told == pytest.approx(softmax(theirs.decision_function(scaled), axis=1))


@pytest.mark.parametrize("degree", [2, 3])
def test_polynomial_kernel_is_libsvms_by_default(degree: int) -> None:
    """(x y / features) ** degree, given to LIBSVM as numbers."""
    features, targets = points(3)
    scaled = StandardScaler().fit_transform(features)
    kernel = (scaled @ scaled.T / features.shape[1]) ** degree
    theirs = SVC(kernel="precomputed", C=2.0, decision_function_shape="ovo").fit(kernel, targets)
    machine = OneVersusOne(2.0, degree).fit(features, targets, 3)
    assert machine.pipeline.decision_function(features) == pytest.approx(theirs.decision_function(kernel), abs=1e-3)


def test_scores_are_sums_of_margins() -> None:
    features, targets = points(3)
    machine = OneVersusOne().fit(features, targets, 3)
    duels = machine.pipeline.decision_function(features)  # 0-1, 0-2, 1-2
    expected = [duels[:, 0] + duels[:, 1], -duels[:, 0] + duels[:, 2], -duels[:, 1] - duels[:, 2]]
    assert machine.scores(features) == pytest.approx(np.stack(expected, axis=1))


def test_a_class_that_was_never_seen_is_never_answered() -> None:
    features, targets = points(2)
    told = OneVersusOne().fit(features, targets * 2, 3).probabilities(features)
    assert (told[:, 1] == 0).all()
    assert np.array_equal(told.argmax(axis=1) // 2, (told[:, 2] > told[:, 0]).astype(int))


ONE, OTHER = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([[0.1, 0.6, 0.3], [0.2, 0.1, 0.7]])


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("majority", [1 / 2, 1 / 2, 0]),
        ("max", [5 / 14, 6 / 14, 3 / 14]),
        ("min", [1 / 6, 3 / 6, 2 / 6]),
        ("sum", [0.3, 0.45, 0.25]),
        ("average", [0.3, 0.45, 0.25]),
        ("product", [5 / 29, 18 / 29, 6 / 29]),
    ],
)
def test_rules(rule: str, first: list[float]) -> None:
    told = ensemble(rule, [ONE, OTHER])
    assert told[0] == pytest.approx(first)
    assert told.sum(axis=1) == pytest.approx(1)
    assert told[1].argmax() == 2


@pytest.mark.parametrize("rule", RULES)
def test_one_opinion_twice_is_that_opinion(rule: str) -> None:
    assert np.array_equal(ensemble(rule, [ONE, ONE]).argmax(axis=1), ONE.argmax(axis=1))
    if rule not in ("majority", "product"):
        assert ensemble(rule, [ONE, ONE]) == pytest.approx(ONE)
