"""Inputs brought to one scale, by what the training clips know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


def table(sequences: Sequence[npt.NDArray[Any]], rows: int, columns: int) -> Tensor:
    """Sequences [T, values], none larger, as [sequences, rows, columns]; NaN where one has less."""
    whole = np.full((len(sequences), rows, columns), np.nan, np.float32)
    for number, known in enumerate(sequences):
        whole[number, : known.shape[0], : known.shape[1]] = known
    return torch.from_numpy(whole)


class Standardise(nn.Module):
    """Mean 0 and deviation 1 over the rows of training; what is not there (NaN) stands at the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.full((width,), torch.nan))  # stays NaN where training knows nothing
        self.deviation = nn.Buffer(torch.ones(width))

    def learn(self, rows: Tensor) -> None:
        """From [..., width]."""
        flat = rows.flatten(0, -2)
        self.mean.copy_(flat.nanmean(dim=0))
        self.deviation.copy_((flat - self.mean.to(flat.device)).square().nanmean(dim=0).sqrt().clamp_min(1e-6))

    def forward(self, rows: Tensor) -> Tensor:
        return ((rows - self.mean) / self.deviation).nan_to_num(nan=0.0)
