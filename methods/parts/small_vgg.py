"""VGG16's five blocks in small, one convolution each, trained along with what follows them."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from methods.parts.training import precise


class RowNorm(nn.BatchNorm2d):
    """Batch normalisation; of rows of which some stand for nothing, by the others."""

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """[N, C, height, width], and which of the N are real."""
        if real is None or not self.training:
            return super().forward(x)
        assert self.momentum and self.running_mean is not None and self.running_var is not None
        exact, counted = precise(x), real[:, None]
        count = real.sum() * (x.shape[2] * x.shape[3])
        mean = torch.where(counted, exact.sum(dim=(2, 3)), 0).sum(dim=0) / count  # [C]
        apart = exact - mean[:, None, None]
        variance = torch.where(counted, apart.square().sum(dim=(2, 3)), 0).sum(dim=0) / count
        with torch.no_grad():
            for running, now in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
                running.mul_(1 - self.momentum).add_(self.momentum * now)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight / (variance + self.eps).sqrt()
        return torch.addcmul(self.bias[:, None, None], apart, scale[:, None, None]).to(x.dtype)


class SmallVgg(nn.Sequential):
    """Pictures to rows of numbers."""

    def __init__(self, channels: Sequence[int]) -> None:
        blocks = zip((3, *channels), channels, strict=False)
        super().__init__(*(layer for ins, outs in blocks for layer in self._block(ins, outs)), nn.Flatten())

    @staticmethod
    def _block(ins: int, outs: int) -> Iterator[nn.Module]:
        yield nn.Conv2d(ins, outs, 3, padding=1, bias=False)
        yield RowNorm(outs, momentum=0.3)  # few steps: at 0.1 the statistics lag behind the weights
        yield nn.ReLU()
        yield nn.MaxPool2d(2)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """[N, 3, height, width], and which of the N are real."""
        for layer in self:
            x = layer(x, real) if isinstance(layer, RowNorm) else layer(x)
        return x
