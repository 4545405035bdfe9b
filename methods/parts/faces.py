"""Who is in the picture, where, and the face cut out of it.

dlib's HOG detector looks at every k-th frame, reduced and grey, near the face that it saw last; between two sightings
that agree the box moves in a straight line, and where they disagree the frames between are searched by halving. The
landmarks are found in the whole frame, in grey, and only in those that somebody asks about. One face is followed: the
largest at the start and after a cut, else the one that covers most of the last sighting. The detector stands in for
that of Viola & Jones (IJCV 2004) in older papers.

All methods follow the face through all frames of a film, whatever rate they look at, so that they share it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from math import ceil, floor

import dlib
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from datasets.shots import Shot
from methods.parts.landmarks import (
    LEFT_EYE,
    MOUTH,
    NOSE,
    RIGHT_EYE,
    Box,
    Picture,
    Points,
    eye_centres,
    eye_distance,
    find_landmarks,
)

WHOLE = (320, 640, 1280)  # long sides to which a whole picture is reduced in turn: a face must be 1/16 of it
FACE = 96  # pixels of a face in a reduced picture: dlib finds those of 80 and more
AROUND = (0.6, 2.0)  # by which shares of itself a box is widened in turn to find the face again
OVERLAP = 0.4  # of two boxes of one face; one step of the detector's scale costs 0.3
CHANGE = 30.0  # mean difference of grey levels that asks for another look
GRID = 16  # samples across a box to see whether the picture changed
EYE_LINE = 1 / 3  # how far down a crop the eyes are: brows and chin are then both on it

Sighting = tuple[Shot, Box | None]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one frame, in pixels of the whole picture."""

    box: Box
    shot: Shot

    @cached_property
    def landmarks(self) -> Points:
        """Found when somebody asks, and once."""
        points = find_landmarks(self.shot.grey, self.box)
        points.flags.writeable = False
        return points


@dataclass(frozen=True)
class FaceTrack:
    """A clip's face, frame by frame; NaN where there is none."""

    boxes: npt.NDArray[np.float32]  # [frames, 4] left, top, right, bottom
    landmarks: npt.NDArray[np.float32]  # [frames, 68, 2]

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """[frames]"""
        return ~np.isnan(self.boxes[:, 0])


@dataclass(frozen=True)
class FaceTracker:
    """Follows one face through a clip and holds no more than `every + gap + 2` frames, however long the clip."""

    every: int = 5  # frames from one detection to the next
    gap: int = 5  # so many frames without a face, between two with it, are bridged

    def __post_init__(self) -> None:
        if self.every < 1 or self.gap < 0:
            raise ValueError(f"every >= 1 and gap >= 0 must hold, but got {self.every} and {self.gap}")

    def __call__(self, shots: Iterator[Shot]) -> Iterator[tuple[Shot, Face | None]]:
        """Each shot with its face: to be handed to `Media.seen`."""
        for shot, box in _bridged(self._sighted(shots), self.gap):
            yield shot, Face(box, shot) if box else None
            del shot

    def follow(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, Face | None]]:
        """Each picture with its face."""
        for shot, face in self(Shot(picture, 0.0) for picture in pictures):
            yield shot.picture, face
            del shot, face

    def track(self, pictures: Iterable[Picture]) -> FaceTrack:
        """The face without the pictures."""
        return tracked(face for _, face in self.follow(pictures))

    def _sighted(self, shots: Iterator[Shot]) -> Iterator[Sighting]:
        """Block by block, each between two frames that are looked at."""
        before: list[Sighting] = []
        while block := list(islice(shots, self.every if before else 1)):
            seen = _settled(before, block)
            before = seen[-1:]
            del block
            while seen:
                yield seen.pop(0)


def tracked(faces: Iterable[Face | None]) -> FaceTrack:
    """As numbers."""
    found = list(faces)
    boxes = np.full((len(found), 4), np.nan, np.float32)
    landmarks = np.full((len(found), 68, 2), np.nan, np.float32)
    for number, face in enumerate(found):
        if face:
            boxes[number], landmarks[number] = face.box, face.landmarks
    return FaceTrack(boxes, landmarks)


def _settled(before: list[Sighting], block: list[Shot]) -> list[Sighting]:
    """Where the face is in each picture of a block, seen from the frame before it."""
    shots = [shot for shot, _ in before] + block
    boxes = [box for _, box in before] + [None] * len(block)
    boxes[-1] = _detect(shots[-1].grey, boxes[0])
    _fill(shots, boxes, 0, len(boxes) - 1)
    return list(zip(block, boxes[len(before) :], strict=True))


def _fill(shots: list[Shot], boxes: list[Box | None], first: int, last: int) -> None:
    """The boxes between two frames that were looked at: straight from one to the other, or found by halving."""
    start, end = boxes[first], boxes[last]
    if last - first < 2 or (start is None and end is None):
        return
    if start and end and _overlap(start, end) >= OVERLAP:
        way = _way(start, end, last - first + 1)
        if _steady(shots[first : last + 1], way):
            boxes[first : last + 1] = way
            return
    middle = (first + last) // 2
    boxes[middle] = _detect(shots[middle].grey, start or end)
    _fill(shots, boxes, first, middle)
    _fill(shots, boxes, middle, last)


def _bridged(sightings: Iterable[Sighting], gap: int) -> Iterator[Sighting]:
    """Short gaps between two sightings of one face are filled; others stay."""
    last: Box | None = None
    waiting: list[Shot] = []
    for shot, box in sightings:
        if box is None and last and len(waiting) < gap:
            waiting.append(shot)
            continue
        way: list[Box | None] = [None] * len(waiting)
        if waiting and box and last and _overlap(box, last) >= OVERLAP:
            way = [*_way(last, box, len(waiting) + 2)[1:-1]]
        while waiting:
            yield waiting.pop(0), way.pop(0)
        yield shot, box
        last = box
        del shot
    yield from ((shot, None) for shot in waiting)


def _way(start: Box, end: Box, count: int) -> list[Box]:
    """Evenly from one box to the other, both included."""
    left, top, right, bottom = (np.linspace(*sides, count).tolist() for sides in zip(start, end, strict=True))
    return list(zip(left, top, right, bottom, strict=True))


def _steady(shots: list[Shot], boxes: list[Box]) -> bool:
    """Whether every picture looks like the first or the last one inside the box."""
    samples = [_sample(shot.grey, box) for shot, box in zip(shots, boxes, strict=True)]
    changes = [min(np.abs(one - end).mean() for end in (samples[0], samples[-1])) for one in samples[1:-1]]
    return bool(max(changes) < CHANGE)


def _sample(grey: Picture, box: Box) -> npt.NDArray[np.int16]:
    left, top, right, bottom = box
    rows = np.linspace(top, bottom, GRID).clip(0, grey.shape[0] - 1).astype(np.intp)
    columns = np.linspace(left, right, GRID).clip(0, grey.shape[1] - 1).astype(np.intp)
    return grey[rows[:, None], columns].astype(np.int16)


@cache
def _detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


def _detect(grey: Picture, near: Box | None) -> Box | None:
    """The face that is where it was, else the largest."""

    def fit(box: Box) -> tuple[float, float]:
        return _overlap(box, near) if near else 0.0, box[2] - box[0]

    height, width = grey.shape
    longest = max(height, width)
    looks = [(_grown(near, share), FACE / (near[2] - near[0])) for share in AROUND] if near else []
    looks += [((0, 0, width, height), side / longest) for side in sorted({min(side, longest) for side in WHOLE})]
    for region, scale in looks:
        found = _faces(grey, region, scale)
        if found:
            return max(found, key=fit)
    return None


def _faces(grey: Picture, region: Box, scale: float) -> list[Box]:
    """All faces in a part of the picture, looked at in reduction."""
    left, top, right, bottom = floor(region[0]), floor(region[1]), ceil(region[2]), ceil(region[3])
    scale = min(scale, 1.0)
    size = max(round((bottom - top) * scale), 1), max(round((right - left) * scale), 1)
    reduced = _resized(grey, (left, top, right, bottom), *size)
    across, down = (right - left) / size[1], (bottom - top) / size[0]
    found = np.array([(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in _detector()(reduced, 0)])
    placed = found.reshape(-1, 4) * (across, down, across, down) + (left, top, left, top)
    return [tuple(box) for box in placed.tolist()]


def _grown(box: Box, share: float) -> Box:
    """About the same centre, each side longer by a share of itself."""
    across, down = (box[2] - box[0]) * share / 2, (box[3] - box[1]) * share / 2
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    area, other_area = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (area + other_area - common)


def crop_box(picture: Picture, box: Box, size: int, margin: float = 0.0) -> Picture:
    """The box as a square of `size` pixels; a margin of 0.3 makes its sides 1.3 times as long, about its centre."""
    return _resized(picture, _grown(box, margin), size, size)


def crop_by_eyes(
    picture: Picture, landmarks: Points, height: int = 150, width: int = 110, distance: float = 55.0
) -> Picture:
    """An upright crop, the eyes `distance` pixels apart, the middle EYE_LINE down and in the centre; see `_resized`."""
    scale = max(float(eye_distance(landmarks)), 1.0) / distance
    x, y = eye_centres(landmarks).mean(axis=0).tolist()
    left, top = x - scale * width / 2, y - scale * height * EYE_LINE
    return _resized(picture, (left, top, left + scale * width, top + scale * height), height, width)


def crop_by_parts(picture: Picture, landmarks: Points, size: int = 173, margin: float = 1.4) -> Picture:
    """The square about the centres of right eye, left eye, nose and mouth, widened from brows to chin."""
    centres = np.array([landmarks[part].mean(axis=0) for part in (RIGHT_EYE, LEFT_EYE, NOSE, MOUTH)])
    (left, top), (right, bottom) = centres.min(axis=0).tolist(), centres.max(axis=0).tolist()
    half = max(right - left, bottom - top, 1.0) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return crop_box(picture, (x - half, y - half, x + half, y + half), size, margin)


def _resized(picture: Picture, box: Box, height: int, width: int) -> Picture:
    """A part of the picture in another size, antialiased; beyond the edge the edge goes on.

    Place and size are rounded to whole pixels of the picture, each by itself: boxes of one size stay of one size.
    """
    left, top = round(box[0]), round(box[1])
    right, bottom = left + max(round(box[2] - box[0]), 1), top + max(round(box[3] - box[1]), 1)
    inside = left >= 0 and top >= 0 and right <= picture.shape[1] and bottom <= picture.shape[0]
    if inside:
        part = picture[top:bottom, left:right].copy()
    else:
        rows = np.arange(top, bottom).clip(0, picture.shape[0] - 1)
        columns = np.arange(left, right).clip(0, picture.shape[1] - 1)
        part = picture[rows[:, None], columns]
    planes = torch.from_numpy(part).view(1, bottom - top, right - left, -1).permute(0, 3, 1, 2)
    resized = interpolate(planes, (height, width), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    return resized.reshape(height, width, *picture.shape[2:]).numpy()
