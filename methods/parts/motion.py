"""How a face moves: the markers of motion capture, or, where there are none, landmarks found in the picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datasets.clips import Media
from methods.base import MethodError
from methods.parts.faces import FaceTracker, tracked
from methods.parts.landmarks import normalised
from methods.parts.series import averaged, filled

MARKERS = 55 * 3
LANDMARKS = 68 * 2


@dataclass(frozen=True)
class Motion:
    """Either `mocap` [steps, 165] or `landmarks` [steps, 136]; no rows: no marker, or no face, in any frame.

    A marker that is never seen in a clip stands at 0.
    """

    steps: int = 200
    per_second: float = 15.0  # pictures in which landmarks are sought

    def __call__(self, media: Media) -> dict[str, npt.NDArray[np.float32]]:
        if "mocap" not in media.has:
            track = tracked(face for _, face in media.seen(FaceTracker(), self.per_second))
            return {"landmarks": self._stepped(normalised(track.landmarks).reshape(-1, LANDMARKS))}
        series = media.mocap()
        if series.shape[1] != MARKERS:
            raise MethodError(
                f"a frame of motion capture must hold 55 markers in three dimensions, {MARKERS} values, "
                f"but holds {series.shape[1]}; choose --modality audio"
            )
        return {"mocap": self._stepped(series)}

    def _stepped(self, series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if np.isnan(series).all():
            return np.zeros((0, series.shape[1]), np.float32)
        return averaged(np.nan_to_num(filled(series), nan=0.0), self.steps)
