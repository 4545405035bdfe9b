"""AlexNet for spectrograms as pictures.

A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
in the widths of A. Krizhevsky, "One Weird Trick for Parallelizing Convolutional Neural Networks", 2014, and with
torchvision's names, so that its ImageNet weights fit.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods.parts import states
from methods.parts.networks import he_initialised

CHANNELS = (64, 192, 384, 256, 256)
SMALLEST = 63  # side of a picture that survives the poolings


class AlexNet(nn.Module):
    """Five convolutions and three fully connected layers; pictures of any size are stretched to `size`."""

    def __init__(
        self,
        classes: int,
        size: int = 227,
        channels: Sequence[int] = CHANNELS,
        units: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.size = size
        self.features = convolutions(channels)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * _side(size) ** 2, units),  # fc6
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(units, units),  # fc7
            nn.ReLU(),
            nn.Linear(units, classes),  # fc8
        )
        self.mean = nn.Buffer(torch.zeros(3))  # of the pictures' channels: fitted to them
        self.deviation = nn.Buffer(torch.ones(3))
        he_initialised(self)

    def load_published(self, file: Path) -> None:
        """All layers but fc8, which is made for other classes."""
        found = states.read(file)
        found = {name: tensor for name, tensor in found.items() if not name.startswith("classifier.6")}
        states.fill(self, found, file, fresh=("classifier.6", "mean", "deviation"))

    def convolve(self, pictures: Tensor) -> Tensor:
        """The last pooling: [B, height, width, 3] -> [B, features]."""
        scaled = ((pictures - self.mean) / self.deviation).permute(0, 3, 1, 2)
        if scaled.shape[2:] != (self.size, self.size):
            scaled = interpolate(scaled, (self.size, self.size), mode="bilinear")
        features: Tensor = self.features(scaled).flatten(1)
        return features

    def connect(self, features: Tensor) -> Tensor:
        """From there to fc7 [B, units]."""
        units: Tensor = self.classifier[:-1](features)
        return units

    def embed(self, pictures: Tensor) -> Tensor:
        """fc7: [B, height, width, 3] -> [B, units]."""
        return self.connect(self.convolve(pictures))

    def classify(self, units: Tensor) -> Tensor:
        """fc8: [B, units] -> [B, classes]."""
        logits: Tensor = self.classifier[-1](units)
        return logits

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classify(self.embed(pictures))


class FirstConv2d(nn.Conv2d):
    """A picture of one channel is taken for one of as many equal ones as there should be, without the work of that."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        weight = self.weight.sum(dim=1, keepdim=True) if input.shape[1] == 1 else self.weight
        convolved: Tensor = self._conv_forward(input, weight, self.bias)
        return convolved


def convolutions(channels: Sequence[int] = CHANNELS) -> nn.Sequential:
    """The five convolutions up to the last pooling; sides of pictures of 227 pixels."""
    one, two, three, four, five = channels
    return nn.Sequential(
        FirstConv2d(3, one, 11, stride=4, padding=2),  # 227 -> 56
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # 27
        nn.Conv2d(one, two, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # 13
        nn.Conv2d(two, three, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(three, four, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(four, five, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # 6
    )


def feature_maps(network: nn.Sequential, pictures: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """`convolutions` of pictures [B, 3, T, height] whose first `lengths` rows are real -> [B, C, T', H'] and lengths.

    Beyond its length a picture is as if padded with zeros at every layer, so that it gives what it gives alone.
    """
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            if layer.padding not in (0, (0, 0)):  # else it looks at no row beyond
                real = torch.arange(pictures.shape[2], device=pictures.device) < lengths[:, None]  # [B, T]
                pictures = pictures * real[:, None, :, None]
            lengths = _outputs(layer, lengths)
        pictures = layer(pictures)
    return pictures, lengths


def _outputs(layer: nn.Conv2d | nn.MaxPool2d, length: Tensor) -> Tensor:
    """How many rows become of so many."""
    kernel, stride, padding = (
        n[0] if isinstance(n, tuple) else n for n in (layer.kernel_size, layer.stride, layer.padding)
    )
    return (length + 2 * int(padding) - int(kernel)) // int(stride) + 1


def _side(size: int) -> int:
    """Of the last pooling's output."""
    side = (size + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    if side < 1:
        raise ValueError(f"AlexNet's poolings need pictures of 63 pixels and more, but got {size}")
    return side
