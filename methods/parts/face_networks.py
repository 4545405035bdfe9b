"""Networks that tell faces apart: IR50, ResNet18 and VGGFace, with the names of their published files.

J. Deng, J. Guo, N. Xue, S. Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019;
K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; O. M. Parkhi, A. Vedaldi,
A. Zisserman, "Deep Face Recognition", BMVC 2015.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods.base import WeightsFile
from methods.parts import states, weights
from methods.parts.networks import he_initialised

Kind = Literal["ir50", "resnet18", "vggface"]


@dataclass(frozen=True)
class FaceShape:
    """A network's kind and sizes."""

    kind: Kind
    size: int  # of the pictures that it sees
    widths: tuple[int, ...]  # of its five parts
    units: tuple[int, ...]  # blocks in each part: of IR50 and ResNet18 the first part is one convolution
    features: int

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or len(self.units) != 5 or min(*self.widths, *self.units, self.features) < 1:
            raise ValueError(f"widths and units are five positive numbers each, but got {self.widths}, {self.units}")
        if self.size < 32:
            raise ValueError(f"the poolings need pictures of 32 pixels and more, but got {self.size}")


IR50 = FaceShape("ir50", 112, (64, 64, 128, 256, 512), (1, 3, 4, 14, 3), 512)
RESNET18 = FaceShape("resnet18", 224, (64, 64, 128, 256, 512), (1, 2, 2, 2, 2), 512)
VGGFACE = FaceShape("vggface", 224, (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), 4096)


@dataclass(frozen=True)
class PublishedFaces:
    """A file of weights, and the pictures that it wants: RGB in 0..255, less `mean`, by `deviation`."""

    file: WeightsFile
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    left_out: str = ""  # the layer that tells identities


HALF = (127.5, 127.5, 127.5)
PUBLISHED: Mapping[Kind, PublishedFaces] = {
    "ir50": PublishedFaces(weights.IR50, HALF, HALF),
    "resnet18": PublishedFaces(weights.RESNET18, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "fc."),
    "vggface": PublishedFaces(weights.VGGFACE, (129.1863, 104.7624, 93.5940), (1.0, 1.0, 1.0), "fc8."),
}


class FaceNetwork(nn.Module, ABC):
    """Pictures of any size are stretched to the shape's."""

    def __init__(self, shape: FaceShape) -> None:
        super().__init__()
        self.shape = shape
        published = PUBLISHED[shape.kind]
        self.mean = nn.Buffer(torch.tensor(published.mean), persistent=False)
        self.deviation = nn.Buffer(torch.tensor(published.deviation), persistent=False)

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Scaled pictures [N, 3, size, size] -> [N, features]."""

    def forward(self, pictures: Tensor) -> Tensor:
        """RGB in 0..255 [N, 3, height, width] -> [N, features]."""
        x = (pictures - self.mean[:, None, None]) / self.deviation[:, None, None]
        if x.shape[2:] != (self.shape.size, self.shape.size):
            x = interpolate(x, (self.shape.size, self.shape.size), mode="bilinear", antialias=True)
        return self.embed(x)

    def load_published(self, file: Path) -> None:
        """All layers but the one that tells identities."""
        left_out = PUBLISHED[self.shape.kind].left_out or "nothing"
        states.fill(self, {name: t for name, t in states.read(file).items() if not name.startswith(left_out)}, file)


class Ir50(FaceNetwork):
    """Residual blocks that begin with batch normalisation and rectify with PReLU; the last map is flattened."""

    def __init__(self, shape: FaceShape) -> None:
        super().__init__(shape)
        stem, *_, last = shape.widths
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem)
        )  # 112
        self.body = nn.Sequential(*self._blocks(shape))  # 56, 28, 14, 7
        side = -(-shape.size // 16)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(last * side**2, shape.features),
            nn.BatchNorm1d(shape.features),
        )
        he_initialised(self)

    @staticmethod
    def _blocks(shape: FaceShape) -> Iterator[nn.Module]:
        for (ins, outs), units in zip(pairwise(shape.widths), shape.units[1:], strict=True):
            yield IrBlock(ins, outs, stride=2)
            yield from (IrBlock(outs, outs, stride=1) for _ in range(units - 1))

    def embed(self, x: Tensor) -> Tensor:
        features: Tensor = self.output_layer(self.body(self.input_layer(x)))
        return features


class IrBlock(nn.Module):
    """Batch normalisation, convolution, PReLU, convolution, batch normalisation, beside a short way."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if ins == outs
            else nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(ins),
            nn.Conv2d(ins, outs, 3, padding=1, bias=False),
            nn.PReLU(outs),
            nn.Conv2d(outs, outs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outs),
        )

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return joined


class ResNet18(FaceNetwork):
    """torchvision's, without its last layer."""

    def __init__(self, shape: FaceShape) -> None:
        from torchvision.models.resnet import BasicBlock  # slow, and what is finished does without

        super().__init__(shape)
        stem = shape.widths[0]
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)  # 112
        self.bn1 = nn.BatchNorm2d(stem)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)  # 56
        parts = zip(pairwise(shape.widths), shape.units[1:], (1, 2, 2, 2), strict=True)
        for number, ((ins, outs), units, stride) in enumerate(parts, start=1):  # 56, 28, 14, 7
            first = BasicBlock(ins, outs, stride, None if ins == outs and stride == 1 else _shorter(ins, outs, stride))
            self.add_module(f"layer{number}", nn.Sequential(first, *(BasicBlock(outs, outs) for _ in range(units - 1))))
        self.widen = (
            nn.Linear(shape.widths[-1], shape.features) if shape.features != shape.widths[-1] else nn.Identity()
        )
        he_initialised(self)

    def embed(self, x: Tensor) -> Tensor:
        x = self.pool(self.bn1(self.conv1(x)).relu())
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        features: Tensor = self.widen(x.mean(dim=(2, 3)))
        return features


def _shorter(ins: int, outs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))


class VggFace(FaceNetwork):
    """VGG16; its features are fc7, after the ReLU."""

    def __init__(self, shape: FaceShape) -> None:
        super().__init__(shape)
        self.units = shape.units
        ins = 3
        for part, (outs, units) in enumerate(zip(shape.widths, shape.units, strict=True), start=1):
            for unit in range(1, units + 1):
                self.add_module(f"conv{part}_{unit}", nn.Conv2d(ins, outs, 3, padding=1))
                ins = outs
        self.pool = nn.MaxPool2d(2)  # 112, 56, 28, 14, 7
        self.fc6 = nn.Linear(ins * (shape.size // 32) ** 2, shape.features)
        self.fc7 = nn.Linear(shape.features, shape.features)
        self.dropout = nn.Dropout(0.5)
        he_initialised(self)

    def embed(self, x: Tensor) -> Tensor:
        for part, units in enumerate(self.units, start=1):
            for unit in range(1, units + 1):
                x = self.get_submodule(f"conv{part}_{unit}")(x).relu()
            x = self.pool(x)
        x = self.dropout(self.fc6(x.flatten(1)).relu())
        features: Tensor = self.dropout(self.fc7(x).relu())
        return features


KINDS: Mapping[Kind, type[FaceNetwork]] = {"ir50": Ir50, "resnet18": ResNet18, "vggface": VggFace}


def build(shape: FaceShape) -> FaceNetwork:
    """A network with random weights."""
    return KINDS[shape.kind](shape)


def published_file(shape: FaceShape) -> PublishedFaces | None:
    """The file that fits; none for a smaller network."""
    return PUBLISHED[shape.kind] if shape in (IR50, RESNET18, VGGFACE) else None
