"""The drawn face is judged by dlib, which has never seen it: does it find a face, and do its landmarks follow?"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from datasets.rendering.face import Appearance, Expression, Portrait
from datasets.rendering.markers import GROUPS, NAMES, markers

Points = npt.NDArray[np.float64]
NEUTRAL = Expression(smile=0, mouth=0, brow_height=0, brow_slant=0, eyes=0)
FACTORS = ("smile", "mouth", "brow_height", "brow_slant", "eyes")
SIZES = ((428, 240), (320, 240), (180, 240), (360, 480), (854, 480))

# What each factor moves, on the 68 landmarks of dlib (y downwards).
MEASURES: dict[str, Callable[[Points], float]] = {
    "smile": lambda at: float(at[[51, 57, 62, 66], 1].mean() - at[[48, 54], 1].mean()),
    "mouth": lambda at: float(at[[65, 66, 67], 1].mean() - at[[61, 62, 63], 1].mean()),
    "brow_height": lambda at: float(at[36:48, 1].mean() - at[17:27, 1].mean()),
    "brow_slant": lambda at: float(at[[17, 18, 25, 26], 1].mean() - at[20:24, 1].mean()),
    "eyes": lambda at: float(at[[40, 41, 46, 47], 1].mean() - at[[37, 38, 43, 44], 1].mean()),
}


@pytest.fixture(scope="module")
def detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@pytest.fixture(scope="module")
def predictor() -> dlib.shape_predictor:
    package = importlib.util.find_spec("face_recognition_models")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0])
    return dlib.shape_predictor(str(folder / "models" / "shape_predictor_68_face_landmarks.dat"))


def person(seed: int) -> Appearance:
    return Appearance.of(np.random.default_rng(seed))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_detector_finds_one_face(detector: dlib.fhog_object_detector, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    found = []
    for _ in range(8):
        portrait = Portrait(Appearance.of(rng), *size)
        for _ in range(2):
            expression = Expression(*rng.uniform(-1.5, 1.5, 5))
            picture = portrait.frame(expression, rng.uniform(0, 1), rng.uniform(0, 10))
            assert picture.shape == (size[1], size[0], 3)
            assert picture.dtype == np.uint8
            found.append(len(detector(picture, 0)))
    assert found == [1] * len(found)


def landmarks(
    detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor, picture: npt.NDArray[np.uint8]
) -> Points:
    (box,) = detector(picture, 0)
    return np.array([(point.x, point.y) for point in predictor(picture, box).parts()], float)


@pytest.mark.parametrize("factor", [*FACTORS, "speaking"])
def test_landmarks_follow_the_factor(
    detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor, factor: str
) -> None:
    measure = MEASURES["mouth" if factor == "speaking" else factor]
    values = np.linspace(-1, 1, 9)
    correlations = []
    for seed in range(5):
        portrait = Portrait(person(seed), 428, 240)
        pictures = [
            portrait.frame(NEUTRAL, (value + 1) / 2, 1.0)
            if factor == "speaking"
            else portrait.frame(replace(NEUTRAL, **{factor: value}), 0.0, 1.0)
            for value in values
        ]
        measured = [measure(landmarks(detector, predictor, picture)) for picture in pictures]
        correlations.append(spearmanr(values, measured).statistic)
    assert np.median(correlations) > 0.9
    assert min(correlations) > 0.7  # the predictor itself may slip on a picture or two of a person


def test_landmarks_lie_on_the_features(detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor) -> None:
    """The eyes that dlib sees are the eyes that are drawn, in front of the markers of the same person."""
    appearance = person(6)
    at = landmarks(detector, predictor, Portrait(appearance, 480, 360).frame(NEUTRAL, 0.0, 1.0))
    where = dict(zip(NAMES, markers(appearance, NEUTRAL, 0.0, 1.0), strict=True))
    seen = at[42:48].mean(axis=0) - at[36:42].mean(axis=0)
    drawn = where["LLID"] - where["RLID"]
    mouth_seen = at[54] - at[48]
    mouth_drawn = where["Mou5"] - where["Mou1"]
    assert mouth_seen[0] / seen[0] == pytest.approx(mouth_drawn[0] / drawn[0], abs=0.12)


def test_same_arguments_same_bytes() -> None:
    arguments = (Expression(0.3, -0.2, 0.5, -0.7, 0.1), 0.4, 2.5)
    portrait = Portrait(person(1), 320, 240)
    first = portrait.frame(*arguments)
    portrait.frame(NEUTRAL, 1.0, 7.0)
    assert np.array_equal(first, portrait.frame(*arguments))
    assert np.array_equal(first, Portrait(person(1), 320, 240).frame(*arguments))


def test_people_differ_more_than_their_expressions() -> None:
    people = [Portrait(person(seed), 320, 240) for seed in range(6)]
    joy, anger = Expression(1, 0, 0, 0, 0), Expression(-1, 0, -1, -1, 0)

    def distance(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
        return float(np.abs(one[40:200, 100:220].astype(float) - other[40:200, 100:220]).mean())

    within = [distance(who.frame(joy, 0, 1.0), who.frame(anger, 0, 1.0)) for who in people]
    between = [distance(one.frame(joy, 0, 1.0), other.frame(joy, 0, 1.0)) for one, other in pairwise(people)]
    assert min(within) > 1
    assert np.median(between) > 2 * max(within)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_saturate(factor: str, sign: int) -> None:
    portrait = Portrait(person(3), 320, 240)
    huge, larger = (portrait.frame(replace(NEUTRAL, **{factor: sign * size}), 0.0, 1.0) for size in (20.0, 1e6))
    assert np.array_equal(huge, larger)


def test_the_head_sways_and_blinks() -> None:
    portrait = Portrait(person(5), 320, 240)
    frames = [portrait.frame(NEUTRAL, 0.0, moment).astype(float) for moment in np.arange(0, 6, 0.04)]
    steps = np.array([np.abs(after - before).mean() for before, after in pairwise(frames)])
    assert steps.min() > 0
    eyes = np.arange(0, 6, 0.01)
    lids = [markers(person(5), NEUTRAL, 0.0, moment)[NAMES.index("LLID"), 1] for moment in eyes]
    nose = [markers(person(5), NEUTRAL, 0.0, moment)[NAMES.index("MNOSE"), 1] for moment in eyes]
    opening = np.subtract(lids, nose)
    closed = float(np.mean(opening < opening.max() - 4))
    assert 0 < closed < 0.1


def test_markers_are_a_face_in_millimetres() -> None:
    assert len(NAMES) == len(set(NAMES)) == sum(map(len, GROUPS.values())) == 55
    at = markers(person(0), NEUTRAL, 0.0, 0.0)
    assert at.shape == (55, 3)
    assert at.dtype == np.float32
    where = dict(zip(NAMES, at, strict=True))
    assert 120 < np.ptp(at[:, 0]) < 180
    assert 130 < np.ptp(at[:, 1]) < 200
    assert (
        where["FH2"][1] > where["LBRO1"][1] > where["LLID"][1] > where["TNOSE"][1] > where["Mou3"][1] > where["CH2"][1]
    )
    assert where["LHD"][0] > where["LLID"][0] > 0 > where["RLID"][0] > where["RHD"][0]
    assert max(where, key=lambda name: where[name][2]) == "TNOSE"


@pytest.mark.parametrize(
    ("factor", "rising", "against"),
    [
        ("smile", "Mou1", "Mou3"),
        ("smile", "LC7", "MNOSE"),
        ("mouth", "Mou3", "Mou7"),
        ("speaking", "Mou3", "CH2"),
        ("brow_height", "LBRO2", "MNOSE"),
        ("brow_slant", "LBRO1", "LBRO4"),
        ("eyes", "RLID", "MNOSE"),
    ],
)
def test_markers_move_as_the_expression_does(factor: str, rising: str, against: str) -> None:
    heights = []
    for value in np.linspace(-1, 1, 5):
        expression = NEUTRAL if factor == "speaking" else replace(NEUTRAL, **{factor: value})
        at = markers(person(2), expression, (value + 1) / 2 if factor == "speaking" else 0.0, 1.0)
        heights.append(at[NAMES.index(rising), 1] - at[NAMES.index(against), 1])
    assert np.all(np.diff(heights) > 0)
