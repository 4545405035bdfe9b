"""What may be made of a frame besides its plain feature: Table 3 of H. Zhou et al., ICMI 2019."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, normalize

Kind = Literal["basic", "mean", "mean-std", "mean-std-2", "norm-fft"]


@dataclass(frozen=True)
class Views:
    """Each rotation, in degrees, with each scale, and all of them flipped too."""

    rotations: tuple[float, ...] = (-2.0, 0.0, 2.0)
    scales: tuple[float, ...] = (1.0, 1.03, 1.07)

    def __call__(self, pictures: Tensor) -> Iterator[Tensor]:
        """Square pictures [N, 3, side, side], one view of all of them at a time."""
        for rotation in self.rotations:
            for scale in self.scales:
                view = turned(pictures, rotation, scale)
                yield view
                yield view.flip(3)


DEFAULT = Views()
WIDE = Views((-15.0, 0.0, 15.0), (0.75, 1.0, 1.25))  # of F-MeanStd-2


def turned(pictures: Tensor, rotation: float, scale: float) -> Tensor:
    """Turned about the middle and enlarged; beyond the edge the edge goes on."""
    if rotation == 0 and scale == 1:
        return pictures
    along, across = cos(radians(rotation)) / scale, sin(radians(rotation)) / scale
    where = pictures.new_tensor([[along, -across, 0], [across, along, 0]]).expand(len(pictures), 2, 3)
    grid = affine_grid(where, list(pictures.shape), align_corners=False)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def enhanced(kind: Kind, describe: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Frames [N, 3, side, side], and what makes features [N, d] of them -> [N, `width(kind, d)`]."""
    match kind:
        case "basic":
            return describe(pictures)
        case "norm-fft":
            return norm_fft(describe(pictures))
        case _:
            views = WIDE if kind == "mean-std-2" else DEFAULT
            features = torch.stack([describe(view) for view in views(pictures)])  # [18, N, d]
            mean = features.mean(dim=0)
            return mean if kind == "mean" else torch.cat([mean, features.std(dim=0, correction=0)], dim=1)


def norm_fft(features: Tensor) -> Tensor:
    """The Fourier transform of each row, of length 1: real parts before imaginary ones [N, 2 d]."""
    spectrum = torch.fft.fft(features.float(), dim=1)
    return normalize(torch.cat([spectrum.real, spectrum.imag], dim=1), dim=1)


def width(kind: Kind, features: int) -> int:
    """Numbers a frame."""
    return features if kind in ("basic", "mean") else 2 * features
