"""The five feature enhancements, beside numpy, PIL and closed forms."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from methods.parts.enhancements import DEFAULT, WIDE, Views, enhanced, norm_fft, turned, width


def smooth(count: int = 2, side: int = 24) -> Tensor:
    """Pictures without edges, so that two interpolations agree."""
    x, y = torch.meshgrid(torch.linspace(0, 3, side), torch.linspace(0, 2, side), indexing="xy")
    return torch.stack([torch.stack([x.sin(), y.cos(), (x + k) * y]) for k in range(count)]) * 40 + 100


def test_eighteen_views_with_the_frame_and_its_mirror_among_them() -> None:
    pictures = smooth()
    for views in (DEFAULT, WIDE):
        found = list(views(pictures))
        assert len(found) == 18
        assert sum(torch.equal(view, pictures) for view in found) == 1
        assert sum(torch.equal(view, pictures.flip(3)) for view in found) == 1
        for plain, mirrored in zip(found[::2], found[1::2], strict=True):
            assert torch.equal(mirrored, plain.flip(3))
        assert len({view.numpy().tobytes() for view in found}) == 18


def test_the_papers_settings() -> None:
    assert Views() == DEFAULT == Views((-2, 0, 2), (1, 1.03, 1.07))
    assert Views((-15, 0, 15), (0.75, 1, 1.25)) == WIDE


def test_a_quarter_turn_moves_pixels_and_two_opposite_ones_undo_each_other() -> None:
    pictures = torch.rand(2, 3, 9, 9)
    quarter = turned(pictures, 90, 1)
    assert any(torch.allclose(quarter, pictures.rot90(k, (2, 3)), atol=1e-5) for k in (1, 3))
    assert_close(turned(quarter, -90, 1), pictures, atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [-15.0, 2.0])
def test_turning_is_pillows(angle: float) -> None:
    pictures = smooth(1)
    plane = pictures[0, 0].numpy()
    theirs = [
        np.asarray(Image.fromarray(plane).rotate(way, Image.Resampling.BILINEAR))[6:-6, 6:-6] for way in (angle, -angle)
    ]
    ours = turned(pictures, angle, 1)[0, 0, 6:-6, 6:-6].numpy()
    assert min(np.abs(ours - one).max() for one in theirs) < 0.05 < max(np.abs(ours - one).max() for one in theirs)


def test_scaling_is_about_the_middle() -> None:
    pictures = smooth(1, side=48)
    larger = turned(pictures, 0, 2)
    middle = torch.nn.functional.interpolate(pictures[:, :, 12:36, 12:36], (48, 48), mode="bilinear")
    assert_close(larger[:, :, 2:-2, 2:-2], middle[:, :, 2:-2, 2:-2], atol=0.05, rtol=0)
    flat = torch.full((1, 3, 8, 8), 7.0)
    assert_close(turned(flat, 15, 0.75), flat)  # beyond the edge the edge goes on


def test_norm_fft_is_numpys() -> None:
    features = torch.randn(3, 10)
    spectrum = np.fft.fft(features.numpy(), axis=1)
    spectrum /= np.sqrt((np.abs(spectrum) ** 2).sum(axis=1, keepdims=True))
    expected = np.concatenate([spectrum.real, spectrum.imag], axis=1)
    assert norm_fft(features).numpy() == pytest.approx(expected, abs=1e-6)


def test_means_and_deviations_are_those_of_the_views() -> None:
    pictures = smooth()

    def describe(views: Tensor) -> Tensor:
        return views.flatten(1)[:, ::97]

    count = describe(pictures).shape[1]
    for kind, views in (("mean", DEFAULT), ("mean-std", DEFAULT), ("mean-std-2", WIDE)):
        each = np.stack([describe(view).numpy() for view in views(pictures)])  # [18, N, d]
        found = enhanced(kind, describe, pictures).numpy()  # type: ignore[arg-type]
        assert found[:, :count] == pytest.approx(each.mean(axis=0), rel=1e-5)
        if kind != "mean":
            assert found[:, count:] == pytest.approx(each.std(axis=0), abs=1e-3)
    assert torch.equal(enhanced("basic", describe, pictures), describe(pictures))
    for kind in ("basic", "mean", "mean-std", "mean-std-2", "norm-fft"):
        assert enhanced(kind, describe, pictures).shape == (2, width(kind, count))  # type: ignore[arg-type]
