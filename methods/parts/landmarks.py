"""Where the parts of a face are: dlib's 68 points, and what follows from them.

The points are those of the iBUG 300-W annotation (https://ibug.doc.ic.ac.uk/resources/300-W/), found by the
regression trees of Kazemi & Sullivan (CVPR 2014) with dlib's file `shape_predictor_68_face_landmarks.dat`. The file
was trained on 300-W, whose licence excludes commercial use; ask Imperial College London before using it so.
"""

import importlib.util
from functools import cache
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt

from datasets.clips import DatasetError

Picture = npt.NDArray[np.uint8]  # [height, width, 3] RGB, or [height, width] grey
Points = npt.NDArray[np.float32]  # [68, 2] x and y in pixels of the whole picture
Series = npt.NDArray[np.float32]  # [frames, 68, 2]
Box = tuple[float, float, float, float]  # left, top, right, bottom

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # the person's own; the right eye is on the left of the picture
NOSE, MOUTH = slice(27, 36), slice(48, 68)

MODEL = "shape_predictor_68_face_landmarks.dat"
REMEDY = "pip install --force-reinstall face_recognition_models"


@cache
def _predictor() -> dlib.shape_predictor:
    """Read once a process. The package itself is not imported: it needs pkg_resources, which is gone."""
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        raise DatasetError(f"face landmarks need {MODEL}, but face_recognition_models is not installed; {REMEDY}")
    file = Path(package.submodule_search_locations[0]) / "models" / MODEL
    try:
        return dlib.shape_predictor(str(file))
    except RuntimeError:
        state = "is no landmark model" if file.is_file() else "is not there"
        raise DatasetError(f"face landmarks need {file}, which {state}; {REMEDY}") from None


def find_landmarks(picture: Picture, box: Box) -> Points:
    """The 68 points of the face in the box, to a whole pixel; some may lie outside the picture."""
    left, top, right, bottom = (round(side) for side in box)
    found = _predictor()(picture, dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([(point.x, point.y) for point in found.parts()], dtype=np.float32)


def eye_centres(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From [..., 68, 2]: right and left eye [..., 2, 2], each the mean of its six points."""
    eyes = landmarks[..., RIGHT_EYE.start : LEFT_EYE.stop, :]
    return np.asarray(eyes.reshape(*eyes.shape[:-2], 2, 6, 2).mean(axis=-2))


def eye_distance(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From [..., 68, 2]: the pixels between the eyes' centres [...]."""
    right, left = np.moveaxis(eye_centres(landmarks), -2, 0)
    return np.asarray(np.linalg.norm(left - right, axis=-1), dtype=np.float32)


def normalised(series: Series) -> Series:
    """Each frame about the middle between its eyes, the eyes 1 apart; frames without a face stay NaN.

    What is left is expression and head turn, comparable between people, cameras and shots: a substitute for motion
    capture where a corpus has none.
    """
    middle = eye_centres(series).mean(axis=-2, keepdims=True)
    distance = eye_distance(series)[..., None, None]
    return np.asarray((series - middle) / np.maximum(distance, 1), dtype=np.float32)
