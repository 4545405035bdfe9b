"""Single pictures: what damage is called, and which way is up."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.clips import MediaError, Track
from datasets.media import read_frames
from datasets.probe import probe
from tests.test_pictures import photo, places


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damaged_pictures_are_named(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = photo(tmp_path / f"face{suffix}", noise)
    assert probe(Track(str(file)), "video").digest == ""
    whole = file.read_bytes()
    for damaged in (b"", b"no picture", whole[:20], whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(MediaError, match="cannot be decoded"):
            probe(Track(str(file)), "video")


def test_pictures_are_upright_and_rgb(tmp_path: Path) -> None:
    whole = places(20, 30)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was turned: shown a quarter clockwise
    file = tmp_path / "turned.png"
    Image.fromarray(whole).save(file, exif=turned)
    (picture,) = read_frames(Track(str(file)), 10)
    assert (picture == np.rot90(whole, k=-1)).all()
    content = io.BytesIO()
    Image.fromarray(whole[..., 0]).save(content, "PNG")
    (tmp_path / "grey.png").write_bytes(content.getvalue())
    (picture,) = read_frames(Track(str(tmp_path / "grey.png")), None)
    assert (picture == whole[..., :1]).all() and picture.shape == (20, 30, 3)
