"""Faces drawn with known geometry, real faces, and dlib looking at every whole frame, as three independent judges."""

import importlib.util
import pickle
import sys
import weakref
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.base import Dataset
from datasets.clips import DatasetError
from datasets.rendering.face import Appearance, Expression, Portrait
from datasets.rendering.markers import Pose, relief
from methods.parts import landmarks
from methods.parts.faces import FaceTracker, crop_box, crop_by_eyes, crop_by_parts
from methods.parts.landmarks import Box, Picture, eye_centres, eye_distance, find_landmarks, normalised

NEUTRAL = Expression(smile=0, mouth=0, brow_height=0, brow_slant=0, eyes=0)
SIZE = 200  # of a portrait; the face is about half as wide
WALL = np.full((SIZE, 2 * SIZE, 3), 230, np.uint8)


def person(seed: int) -> Appearance:
    return Appearance.of(np.random.default_rng(seed))


def film(seed: int, count: int, size: int = SIZE) -> list[Picture]:
    """A talking face, swaying; 25 frames a second."""
    portrait = Portrait(person(seed), size, size)
    return [portrait.frame(NEUTRAL, 0.5 + 0.5 * np.sin(number), number / 25) for number in range(count)]


@pytest.fixture(scope="module")
def ann() -> list[Picture]:
    return film(6, 31)


@pytest.fixture(scope="module")
def ben() -> list[Picture]:
    return film(1, 31)


def placed(portrait: Picture, left: int, top: int = 0, on: Picture = WALL) -> Picture:
    """The portrait on a wall."""
    scene = on.copy()
    scene[top : top + len(portrait), left : left + portrait.shape[1]] = portrait
    return scene


def middle(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, counted on pixels."""
    masks = np.zeros((2, 1000, 1000), bool)
    for mask, (left, top, right, bottom) in zip(masks, (one, other), strict=True):
        mask[round(top) : round(bottom), round(left) : round(right)] = True
    return float(masks.all(axis=0).sum() / masks.any(axis=0).sum())


def drawn_eyes(who: Appearance, size: int, moment: float) -> npt.NDArray[np.float64]:
    """[2, 2] where the picture has the eyes' middles."""
    pose = Pose.of(who, NEUTRAL, 0.0, moment)
    x = np.array([-pose.eye[0], pose.eye[0]])
    y = np.full(2, (pose.lid_upper + pose.lid_lower) / 2)
    depth = relief(x, y)
    across = x + pose.shift[0] + pose.turn[0] * depth - pose.roll * (y - 0.3)
    down = y + pose.shift[1] + pose.turn[1] * depth + pose.roll * x
    unit = 0.24 * size
    return np.stack([size // 2 + unit * who.width * across, round(0.48 * size) + unit * who.length * down], axis=1)


@pytest.mark.parametrize("seed", range(6))
def test_eyes_are_where_they_are_drawn(seed: int) -> None:
    moments = np.arange(7) / 5
    portrait = Portrait(person(seed), 240, 240)
    track = FaceTracker(every=3).track(portrait.frame(NEUTRAL, 0.0, moment) for moment in moments)
    drawn = np.array([drawn_eyes(person(seed), 240, moment) for moment in moments])
    distance = np.linalg.norm(drawn[:, 1] - drawn[:, 0], axis=1)
    assert track.found.all()
    away = np.linalg.norm(eye_centres(track.landmarks) - drawn, axis=2) / distance[:, None]
    assert away.mean() < 0.08
    assert np.median(eye_distance(track.landmarks) / distance) == pytest.approx(1, abs=0.12)


def test_real_faces_as_by_looking_at_every_whole_frame(real_ravdess: Dataset) -> None:
    """The slow way: dlib's detector on each whole frame, its landmarks in that box."""
    media = [clip.media for clip in real_ravdess.index() if "video" in clip.media.has]
    detector = dlib.get_frontal_face_detector()
    overlaps, away = [], []
    for clip in (media[0], media[-1]):
        for shot, face in islice(clip.seen(FaceTracker()), 0, 80, 2):
            seen = detector(shot.picture, 0)
            assert bool(face) == bool(seen)
            assert face
            box = (seen[0].left(), seen[0].top(), seen[0].right() + 1, seen[0].bottom() + 1)
            slow, fast = find_landmarks(shot.picture, box), face.landmarks
            overlaps.append(overlap(face.box, box))
            away.append(np.linalg.norm(eye_centres(fast) - eye_centres(slow), axis=1) / eye_distance(slow))
    assert np.mean(overlaps) > 0.7
    assert min(overlaps) > 0.5
    assert np.quantile(away, 0.95) < 0.03


def test_looks_at_few_frames(ann: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    detector = dlib.get_frontal_face_detector()
    looks = []

    def counting(picture: Picture, times: int) -> dlib.rectangles:
        looks.append(picture.size)
        return detector(picture, times)

    monkeypatch.setattr("methods.parts.faces._detector", lambda: counting)
    big = [np.kron(picture, np.ones((5, 5, 1), np.uint8)) for picture in ann]
    assert FaceTracker(every=5).track(iter(big)).found.all()
    assert len(looks) == 1 + 30 // 5
    assert max(looks) < big[0].size / 8


def test_box_follows_a_moving_face(ann: list[Picture]) -> None:
    lefts = [3 * number for number in range(31)]
    track = FaceTracker().track(placed(picture, left) for picture, left in zip(ann, lefts, strict=True))
    still = FaceTracker(every=1).track(iter(ann))
    assert track.found.all()
    offset = middle(track.boxes) - middle(still.boxes) - np.stack([lefts, np.zeros(31)], axis=1)
    assert np.abs(offset).max() < 15
    eyes = eye_centres(track.landmarks).mean(axis=1) - eye_centres(still.landmarks).mean(axis=1)
    assert np.abs(eyes - np.stack([lefts, np.zeros(31)], axis=1)).max() < 3


@pytest.mark.parametrize("cut", [6, 8, 10, 11])
def test_cut_to_another_place(ann: list[Picture], ben: list[Picture], cut: int) -> None:
    scenes = [placed(picture, 0) for picture in ann[:cut]] + [placed(picture, SIZE) for picture in ben[cut:21]]
    track = FaceTracker().track(iter(scenes))
    assert track.found.all()
    assert np.array_equal(middle(track.boxes)[:, 0] > SIZE, np.arange(21) >= cut)
    assert np.array_equal(eye_centres(track.landmarks)[:, 0, 0] > SIZE, np.arange(21) >= cut)


@pytest.mark.parametrize("gone", [(7, 8), (6, 10), (3, 9), (9, 11), (13, 31), (0, 4), (0, 31)])
def test_knows_when_nobody_is_there(ann: list[Picture], gone: tuple[int, int]) -> None:
    there = np.ones(31, bool)
    there[slice(*gone)] = False
    scenes = [placed(picture, 90) if seen else WALL for picture, seen in zip(ann, there, strict=True)]
    track = FaceTracker(gap=0).track(iter(scenes))
    assert np.array_equal(track.found, there)
    assert np.isnan(track.boxes[~there]).all()
    assert np.isnan(track.landmarks[~there]).all()
    assert np.isfinite(track.landmarks[there]).all()


@pytest.mark.parametrize(("length", "bridged"), [(3, True), (4, True), (5, False), (8, False)])
def test_short_gaps_are_bridged(ann: list[Picture], length: int, bridged: bool) -> None:
    hidden = range(12, 12 + length)
    scenes = [WALL if number in hidden else placed(picture, 2 * number) for number, picture in enumerate(ann)]
    track = FaceTracker(gap=4).track(iter(scenes))
    assert track.found[hidden].tolist() == [bridged] * length
    assert np.delete(track.found, hidden).all()
    if bridged:
        way = middle(track.boxes)[11 : hidden.stop + 1, 0]
        assert np.allclose(np.diff(way, 2), 0, atol=1e-3)
        assert way[-1] > way[0]


def test_bridge_leads_to_no_other_face(ann: list[Picture], ben: list[Picture]) -> None:
    scenes = [placed(picture, 0) for picture in ann[:11]] + [WALL] * 3 + [placed(picture, SIZE) for picture in ben[:7]]
    assert FaceTracker().track(iter(scenes)).found.tolist() == [True] * 11 + [False] * 3 + [True] * 7


def test_follows_the_largest_then_the_same() -> None:
    """On the left a face goes from large to small and aside, on the right one goes from small to large."""
    wall = np.full((260, 720, 3), 230, np.uint8)
    (large, small), (large_too, small_too) = ([film(seed, 1, size)[0] for size in (230, 200)] for seed in (6, 1))
    assert FaceTracker().track([small]).found.all()
    assert FaceTracker().track([small_too]).found.all()
    before = placed(small_too, 480, 30, placed(large, 20, 0, wall))
    after = placed(large_too, 460, 0, placed(small, 45, 30, wall))
    aside = placed(large_too, 460, 0, placed(small, 115, 30, wall))
    followed = middle(FaceTracker().track([before] * 7 + [after] * 7 + [aside] * 7).boxes)[:, 0]
    assert (followed < 360).all()
    assert followed[14:].min() > followed[:14].max() + 40
    assert (middle(FaceTracker().track([after] * 7).boxes)[:, 0] > 360).all()


@pytest.mark.parametrize("larger_is_left", [True, False])
def test_begins_with_the_largest(larger_is_left: bool) -> None:
    left, right = (film(6, 1, size)[0] for size in ((230, 200) if larger_is_left else (200, 230)))
    scene = placed(right, 230, 0, placed(left, 0, 0, np.full((240, 460, 3), 230, np.uint8)))
    assert (middle(FaceTracker().track([scene]).boxes)[0, 0] < 230) == larger_is_left


def test_follows_through_a_crowd() -> None:
    """It steps aside, and a larger face comes close to where it was."""
    wall = np.full((240, 720, 3), 230, np.uint8)
    one, other = film(6, 1, 200)[0][:, 30:170], film(1, 1, 230)[0][:, 35:195]
    before = placed(one, 300, 20, wall)
    after = placed(one, 220, 20, placed(other, 392, 0, wall))
    followed = middle(FaceTracker().track([before] * 6 + [after] * 5).boxes)[:, 0]
    assert followed[:6] == pytest.approx(365, abs=15)
    assert followed[6:] == pytest.approx(285, abs=15)
    assert middle(FaceTracker().track([after]).boxes)[0, 0] == pytest.approx(472, abs=15)


def test_goes_on_to_who_stays(ann: list[Picture], ben: list[Picture]) -> None:
    alone = [placed(picture, SIZE) for picture in ben[:20]]
    scenes = [placed(picture, 0, 0, scene) for picture, scene in zip(film(6, 8), alone, strict=False)]
    first = middle(FaceTracker().track(scenes[:1]).boxes)[0, 0] < SIZE
    track = FaceTracker().track(scenes + alone[8:])
    assert track.found.all()
    assert ((middle(track.boxes)[:8, 0] < SIZE) == first).all()
    assert (middle(track.boxes)[8:, 0] > SIZE).all()


@pytest.mark.parametrize("shape", [(120, 160, 3), (6, 8, 3), (90, 700, 3)])
def test_no_face_in_noise(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    track = FaceTracker().track(rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(7))
    assert track.found.tolist() == [False] * 7
    assert track.boxes.shape == (7, 4)
    assert track.landmarks.shape == (7, 68, 2)


def test_no_frames_no_faces() -> None:
    track = FaceTracker().track([])
    assert track.found.shape == (0,)
    assert track.landmarks.shape == (0, 68, 2)
    assert normalised(track.landmarks).shape == (0, 68, 2)


@pytest.mark.parametrize(("scale", "left"), [(1, 1000), (2, 500), (6, 300)])
def test_small_and_large_faces(ann: list[Picture], scale: int, left: int) -> None:
    """In a picture 1,600 wide: from a fourteenth of it to almost half."""
    portrait = crop_box(ann[0], (0, 0, SIZE, SIZE), scale * SIZE)
    scene = placed(portrait, left, 0, np.full((1200, 1600, 3), 200, np.uint8))
    track = FaceTracker().track([scene] * 2)
    alone = FaceTracker().track([ann[0]])
    expected = eye_centres(alone.landmarks)[0] * scale + (left, 0)
    assert np.abs(eye_centres(track.landmarks) - expected).max() < 0.06 * scale * eye_distance(alone.landmarks)[0]


def test_streams(ann: list[Picture]) -> None:
    """Of 2,000 pictures a handful lives at a time, and none is asked for before it is needed."""
    rng = np.random.default_rng(0)
    shown = np.repeat(rng.random(200) < 0.25, 10)
    face = np.ascontiguousarray(ann[0][30:170, 30:170])
    alive: set[int] = set()
    asked = most = 0

    def pictures() -> Iterator[Picture]:
        nonlocal asked, most
        for number, seen in enumerate(shown):
            picture = face.copy() if seen else np.full_like(face, number % 256)
            asked += 1
            alive.add(number)
            weakref.finalize(picture, alive.discard, number)
            most = max(most, len(alive))
            yield picture
            del picture

    tracker = FaceTracker(every=5, gap=3)
    found = []
    for given_back, (_, where) in enumerate(tracker.follow(pictures())):
        found.append(where is not None)
        assert asked <= given_back + 1 + tracker.every + tracker.gap
    assert np.array_equal(found, shown)
    assert most <= tracker.every + tracker.gap + 2


def test_same_frames_same_faces(ann: list[Picture], ben: list[Picture]) -> None:
    tracker = pickle.loads(pickle.dumps(FaceTracker()))
    first = tracker.track(iter(ann))
    tracker.track(iter(ben))
    again = tracker.track(iter(ann))
    assert np.array_equal(first.boxes, again.boxes)
    assert np.array_equal(first.landmarks, again.landmarks)


@pytest.mark.parametrize("arguments", [{"every": 0}, {"gap": -1}])
def test_impossible_settings(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="every >= 1 and gap >= 0 must hold, but got"):
        FaceTracker(**arguments)


def spec(folder: Path) -> ModuleSpec:
    found = ModuleSpec("face_recognition_models", None, is_package=True)
    found.submodule_search_locations = [str(folder)]
    return found


@pytest.mark.parametrize("state", ["not installed", "is not there", "is no landmark model"])
def test_missing_model_is_one_line(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if state == "is no landmark model":
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / landmarks.MODEL).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    found = None if state == "not installed" else spec(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    landmarks._predictor.cache_clear()
    with pytest.raises(DatasetError, match=f"{state}; pip install") as raised:
        find_landmarks(WALL, (0, 0, 100, 100))
    assert "\n" not in str(raised.value)
    assert "face_recognition_models" not in sys.modules


def ramps(height: int, width: int) -> Picture:
    """Red tells the column, green the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(width), np.arange(height)[:, None]
    return picture


def place(whole: bool, low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(float) if whole else st.floats(low, high)


@settings(max_examples=80)
@given(whole=st.booleans(), size=st.integers(5, 224), data=st.data())
def test_crop_is_the_box(whole: bool, size: int, data: st.DataObject) -> None:
    """On a ramp, each pixel tells the place that it was taken from; place and size are rounded to whole pixels."""
    left, top, side = (data.draw(place(whole, *ends)) for ends in ((0, 20), (0, 20), (10, 30)))
    crop = crop_box(5 * ramps(50, 50), (left, top, left + side, top + side), size) / 5
    assert crop.shape == (size, size, 3)
    centres = (np.arange(size) + 0.5) / size * side - 0.5
    for away in (crop[:, :, 0] - (left + centres), crop[:, :, 1] - (top + centres)[:, None]):
        assert np.abs(away).max() < (1.2 if whole else 1.7)
        assert np.abs(np.median(away)) < (0.2 if whole else 0.8)


@settings(max_examples=40)
@given(
    left=st.integers(-150, 150), top=st.integers(-150, 150), side=st.integers(20, 150), size=st.sampled_from([48, 90])
)
def test_beyond_the_edge_the_edge_goes_on(left: int, top: int, side: int, size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    padded = np.pad(picture, ((300, 300), (300, 300), (0, 0)), mode="edge")
    crop = crop_box(picture, (left, top, left + side, top + side), size)
    assert np.array_equal(crop, crop_box(padded, (left + 300, top + 300, left + side + 300, top + side + 300), size))


@settings(max_examples=40)
@given(left=st.floats(0, 20), further=st.floats(0, 5), side=st.floats(10, 20))
def test_boxes_of_one_size_are_cut_in_one_size(left: float, further: float, side: float) -> None:
    """Else a face that moves would seem to grow and shrink."""
    crops = [crop_box(5 * ramps(50, 50), (x, 0, x + side, side), 40).astype(int) for x in (left, left + further)]
    widths = [crop[20, -5, 0] - crop[20, 4, 0] for crop in crops]
    assert abs(widths[0] - widths[1]) <= 2  # of 5 grey levels a pixel


def test_margin_widens_about_the_centre() -> None:
    picture = ramps(250, 250)
    assert np.array_equal(crop_box(picture, (70, 80, 170, 180), 224, 0.3), crop_box(picture, (55, 65, 185, 195), 224))


def test_crops_are_antialiased_and_writable() -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = crop_box(stripes, (0, 0, 300, 300), 48)
    assert np.abs(crop[:, 2:-2].astype(int) - 127).max() < 12
    assert crop.flags.writeable
    assert crop.flags.c_contiguous


@pytest.mark.parametrize(
    ("distance", "middle_at"),
    [
        (12, (200, 150)),
        (55, (200, 150)),
        (130, (200, 150)),
        (55, (45, 25)),
        (20, (200.4, 150.3)),
        (130, (200.5, 150.5)),
    ],
)
def test_crop_by_eyes_on_marks(distance: float, middle_at: tuple[float, float]) -> None:
    """A mark on each eye comes out 55 pixels from the other, a third down; but for half a pixel of the picture."""
    marks = np.array(middle_at) + np.array([[-distance / 2, 0], [distance / 2, 0]])
    rows, columns = np.mgrid[:300, :400]
    away = [np.hypot(columns + 0.5 - x, rows + 0.5 - y) for x, y in marks]
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[..., 0], picture[..., 1] = (255 * np.exp(-((one / (0.1 * distance)) ** 2)) for one in away)
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48] = marks
    crop = crop_by_eyes(picture, points).astype(float)
    assert crop.shape == (150, 110, 3)
    rows, columns = np.mgrid[:150, :110] + 0.5
    for channel, x in ((0, 27.5), (1, 82.5)):
        weight = crop[..., channel] / crop[..., channel].sum()
        most = 0.6 + 0.5 * 55 / distance * np.any(np.remainder(middle_at, 1))
        assert (columns * weight).sum() == pytest.approx(x, abs=most)
        assert (rows * weight).sum() == pytest.approx(50, abs=most)


@pytest.mark.parametrize("seed", range(3))
def test_crops_of_a_face(seed: int) -> None:
    """Landmarks found anew in the crop: eyes 55 pixels apart and a third down; all from brows to chin is on it."""
    ((picture, face),) = FaceTracker().follow(film(seed, 1, 480))
    assert face
    by_eyes = find_landmarks(crop_by_eyes(picture, face.landmarks), (0, 20, 110, 130))
    assert float(eye_distance(by_eyes)) == pytest.approx(55, abs=2.5)
    assert eye_centres(by_eyes).mean(axis=0) == pytest.approx([55, 50], abs=3)
    crop = crop_by_parts(picture, face.landmarks)
    assert crop.shape == (173, 173, 3)
    by_parts = find_landmarks(crop, (20, 30, 153, 163))
    assert np.ptp(by_parts[:, 1]) > 0.65 * 173
    for points, height in ((by_eyes, 150), (by_parts, 173)):
        assert points[17:27, 1].min() > 0
        assert points[8, 1] < 1.02 * height


def test_normalised_forgets_place_and_size(ann: list[Picture]) -> None:
    series = FaceTracker().track(iter(ann[:6])).landmarks
    series[3] = np.nan
    shape = normalised(series)
    assert shape.dtype == np.float32
    assert np.isnan(shape[3]).all()
    kept = np.delete(shape, 3, axis=0)
    assert eye_distance(kept) == pytest.approx(1, abs=1e-5)
    assert np.abs(eye_centres(kept).mean(axis=1)).max() < 1e-5
    assert normalised(2.5 * series + np.array([40, -7], np.float32)) == pytest.approx(shape, abs=1e-4, nan_ok=True)
    assert np.abs(np.diff(kept[:, 48:68], axis=0)).max() > 0.02
