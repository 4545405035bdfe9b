"""What Zhou et al.'s networks see and hear of a clip, and all its frames in one file."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from datasets.clips import Media
from methods.base import Examples, MethodError
from methods.parts import frames
from methods.parts.faces import crop_box
from methods.parts.frames import FacesAndSound, Frames, Pictures, Sound, share_without_face
from tests.sights import Everywhere, shown

CLASSES = ("anger", "joy", "fear")


@pytest.fixture
def media(monkeypatch: pytest.MonkeyPatch, framed: bool) -> Media:
    sometimes = Everywhere((40.0, 30.0, 60.0, 50.0), 10, lambda number: number % 3 == 2)
    monkeypatch.setattr(frames, "FaceTracker", lambda: sometimes)
    pictures = [np.random.default_rng(n).integers(0, 256, (80, 120, 3), np.uint8) for n in range(7)]
    sound = np.random.default_rng(0).normal(size=16_000).astype(np.float32) / 10
    frames_of = {"frames": lambda per_second: iter(pictures), "seen": shown(pictures)}
    told = {"audio": lambda rate: sound, "framed": framed} | frames_of
    return cast(Media, SimpleNamespace(**told))


@pytest.fixture
def framed() -> bool:
    return False


def test_a_frame_without_a_face_goes_in_whole(media: Media) -> None:
    inputs = FacesAndSound(Pictures(size=32), None)(media)
    pictures = list(media.frames(10))
    assert inputs["found"].tolist() == [True, True, False, True, True, False, True]
    for number, face in enumerate(inputs["faces"]):
        whole = crop_box(pictures[number], (0, 0, 120, 80), 32)
        widened = crop_box(pictures[number], (37, 27, 63, 53), 32)  # sides of 26 instead of 20
        assert np.array_equal(face, whole if number % 3 == 2 else widened)
    assert share_without_face(Examples([inputs, inputs], CLASSES)) == pytest.approx(2 / 7)


@pytest.mark.parametrize("framed", [True])
def test_pictures_that_are_faces_already_are_not_searched(media: Media) -> None:
    inputs = Pictures(size=32)(media)
    assert inputs["found"].tolist() == [True] * 7
    for picture, face in zip(media.frames(10), inputs["faces"], strict=True):
        assert np.array_equal(face, crop_box(picture, (0, 0, 120, 80), 32))
    assert share_without_face(Examples([inputs], CLASSES)) == 0


def test_a_clip_without_a_frame_has_no_face() -> None:
    none = cast(Media, SimpleNamespace(seen=shown([]), framed=False))
    inputs = Pictures(size=32)(none)
    assert [inputs[name].shape for name in ("faces", "found")] == [(0, 32, 32, 3), (0,)]
    assert share_without_face(Examples([inputs], CLASSES)) == 0


def test_spectrograms(media: Media) -> None:
    inputs = FacesAndSound(None, Sound())(media)
    assert {name: array.shape for name, array in inputs.items()} == {"sound": (97, 200, 1)}  # (1000 - 40) / 10 + 1
    mel = Sound("log-mel")(media)["sound"]
    assert mel.shape == (98, 40, 3)
    assert mel[10, :, 1] == pytest.approx(
        sum(k * (mel[10 + k, :, 0] - mel[10 - k, :, 0]) for k in (1, 2)) / 10, abs=1e-5
    )


def test_frames_are_kept_in_order_with_their_owners() -> None:
    chance = np.random.default_rng(0)
    clips = [{"faces": chance.integers(0, 256, (count, 32, 32, 3), np.uint8)} for count in (2, 0, 3, 4)]
    kept = Frames(clips, "cpu")
    everything = np.concatenate([clip["faces"] for clip in clips])
    assert len(kept) == len(everything)
    assert np.bincount(kept.owners).tolist() == [2, 0, 3, 4]
    chosen = torch.tensor([5, 0, len(kept) - 1])
    assert np.array_equal(kept.of(chosen).permute(0, 2, 3, 1).numpy(), everything[chosen.numpy()])
    with pytest.raises(MethodError, match="2 clips have no frame"):
        Frames([{"faces": np.zeros((0, 32, 32, 3), np.uint8)}] * 2, "cpu")
