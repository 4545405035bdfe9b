"""C3D: convolutions over space and time.

D. Tran, L. Bourdev, R. Fergus, L. Torresani, M. Paluri, "Learning Spatiotemporal Features with 3D Convolutional
Networks", ICCV 2015, doi:10.1109/ICCV.2015.510.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from methods.parts import states
from methods.parts.networks import he_initialised
from methods.parts.training import accelerated

MEAN = (104.0, 117.0, 128.0)  # what OpenMMLab's conversion of the authors' weights takes RGB in 0..255 less of
CHANNELS = (64, 128, 256, 256, 512, 512, 512, 512)
FRAMES = 16


class MaxPool(nn.MaxPool3d):
    """The same, by axes where that must be: at once it has no deterministic gradient on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T, height, width]"""
        if accelerated(x.device) and torch.are_deterministic_algorithms_enabled():
            return self.by_axes(x)
        pooled: Tensor = super().forward(x)
        return pooled

    def by_axes(self, x: Tensor) -> Tensor:
        """Over time, then over each picture."""
        steps, *side = _three(self.kernel_size)
        none, *around = _three(self.padding)
        assert none == 0 and steps in (1, 2), "there are no others here"
        if steps == 2:
            whole = x.shape[2] // 2 * 2
            x = torch.maximum(x[:, :, 0:whole:2], x[:, :, 1:whole:2])
        clips, _, frames = x.shape[:3]
        flat: Tensor = max_pool2d(x.transpose(1, 2).flatten(0, 1), side, padding=around)  # of channels last, no copy
        return flat.view(clips, frames, *flat.shape[1:]).transpose(1, 2)


class C3d(nn.Module):
    """Eight convolutions, five poolings, three fully connected layers; clips of any size are stretched to `size`."""

    def __init__(
        self,
        classes: int,
        size: int = 112,
        channels: Sequence[int] = CHANNELS,
        units: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        c1, c2, c3a, c3b, c4a, c4b, c5a, c5b = channels
        self.size = size
        self.conv1a, self.pool1 = _conv(3, c1), MaxPool((1, 2, 2))  # 16 x 56 x 56
        self.conv2a, self.pool2 = _conv(c1, c2), MaxPool(2)  # 8 x 28 x 28
        self.conv3a, self.conv3b, self.pool3 = _conv(c2, c3a), _conv(c3a, c3b), MaxPool(2)  # 4 x 14 x 14
        self.conv4a, self.conv4b, self.pool4 = _conv(c3b, c4a), _conv(c4a, c4b), MaxPool(2)  # 2 x 7 x 7
        self.conv5a, self.conv5b = _conv(c4b, c5a), _conv(c5a, c5b)
        self.pool5 = MaxPool(2, padding=(0, 1, 1))  # 1 x 4 x 4
        self.fc6 = nn.Linear(c5b * _side(size) ** 2, units)
        self.fc7 = nn.Linear(units, units)
        self.fc8 = nn.Linear(units, classes)
        self.dropout = nn.Dropout(dropout)
        self.mean = nn.Buffer(torch.full((3,), 127.5))
        self.deviation = nn.Buffer(torch.full((3,), 64.0))
        he_initialised(self)

    def load_published(self, file: Path) -> None:
        """All layers but fc8, which is made for other classes, and fc6 where the pictures have another size."""
        found = {name.replace(".conv.", "."): tensor for name, tensor in states.read(file).items()}
        fresh = ["fc8", "mean", "deviation"]
        if "fc6.weight" in found and found["fc6.weight"].shape != self.fc6.weight.shape:
            fresh.append("fc6")
        found = {name: tensor for name, tensor in found.items() if name.partition(".")[0] not in fresh}
        states.fill(self, found, file, fresh)
        self.mean.copy_(torch.tensor(MEAN))
        self.deviation.fill_(1.0)

    def convolve(self, clips: Tensor) -> Tensor:
        """The last pooling: clips [B, 16, height, width, 3] in 0..255 -> [B, features]."""
        x = ((clips - self.mean) / self.deviation).permute(0, 4, 1, 2, 3)  # [B, 3, 16, height, width]
        if x.shape[3:] != (self.size, self.size):
            x = interpolate(x, (FRAMES, self.size, self.size), mode="trilinear")
        x = self.pool1(self.conv1a(x).relu())
        x = self.pool2(self.conv2a(x).relu())
        x = self.pool3(self.conv3b(self.conv3a(x).relu()).relu())
        x = self.pool4(self.conv4b(self.conv4a(x).relu()).relu())
        x = self.pool5(self.conv5b(self.conv5a(x).relu()).relu())
        features: Tensor = x.flatten(1)
        return features

    def connect(self, features: Tensor) -> Tensor:
        """From there to fc7 [B, units]."""
        units: Tensor = self.fc7(self.dropout(self.fc6(features).relu())).relu()
        return units

    def embed(self, clips: Tensor) -> Tensor:
        """fc7: clips [B, 16, height, width, 3] in 0..255 -> [B, units]."""
        return self.connect(self.convolve(clips))

    def classify(self, units: Tensor) -> Tensor:
        """fc8: [B, units] -> [B, classes]."""
        logits: Tensor = self.fc8(self.dropout(units))
        return logits

    def forward(self, clips: Tensor) -> Tensor:
        return self.classify(self.embed(clips))


def _conv(ins: int, outs: int) -> nn.Conv3d:
    return nn.Conv3d(ins, outs, 3, padding=1)


def _three(told: int | tuple[int, ...]) -> tuple[int, ...]:
    """Of time, height and width."""
    return (told, told, told) if isinstance(told, int) else told


def _side(size: int) -> int:
    """Of the last pooling's output."""
    side = size // 16
    if side < 1:
        raise ValueError(f"C3D's poolings need pictures of 16 pixels and more, but got {size}")
    return side // 2 + 1
