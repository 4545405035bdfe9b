"""Single pictures: a file, a box cut out of one, or a row of pixels in a table."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from datasets.clips import MediaError, Track

Picture = npt.NDArray[np.uint8]
SIDE = 48  # of FER2013's pictures
LARGEST = 50_000_000  # pixels of a picture: 8K has 33 million


def read_still(track: Track) -> Picture:
    """RGB [height, width, 3], upright."""
    picture = _file(track.file) if track.offset is None else _row(track.file, track.offset)
    return picture if track.box is None else _cut(picture, track.box, track.file)


def _file(file: Path) -> Picture:
    try:
        with Image.open(file) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:  # SyntaxError: of a PNG's parts
        told = str(error).replace(str(file), "it")
        raise MediaError(file, f"cannot be decoded ({told}); get the file again") from error


def _row(table: Path, offset: int) -> Picture:
    """Of FER2013's table: grey levels between blanks, row by row of the picture."""
    try:
        with table.open("rb") as stream:
            stream.seek(offset)
            cells = stream.readline().split(b",")
        levels = np.array([int(level) for level in max(cells, key=len).strip(b'" \r\n').split()])
        if levels.min(initial=0) < 0 or levels.max(initial=0) > 255:
            raise ValueError(f"levels are 0 to 255, but one is {levels.max()}")
        grey = levels.astype(np.uint8).reshape(SIDE, SIDE)
    except (OSError, ValueError) as error:
        raise MediaError(table, f"has no picture in its row at byte {offset} ({error}); get the file again") from error
    return np.repeat(grey[..., None], 3, axis=2)


def _cut(picture: Picture, box: tuple[int, int, int, int], file: Path) -> Picture:
    """What of the box lies in the picture: detectors' boxes leave it at times."""
    height, width = picture.shape[:2]
    left, top, right, bottom = np.clip(box, 0, (width, height, width, height)).tolist()
    if left >= right or top >= bottom:
        raise MediaError(file, f"is {width} x {height} pixels, but its box is {box}, outside of it; mend the box")
    return np.ascontiguousarray(picture[top:bottom, left:right])
