"""Sequences brought to one scale, by what the training clips know, and to one length."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Rows = npt.NDArray[np.float32]  # [T, values]


class Standardise(nn.Module):
    """Mean 0 and deviation 1 over the rows of training. A column that training never met is 0 for ever."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(width))
        self.deviation = nn.Buffer(torch.full((width,), torch.inf))

    def learn(self, sequences: Sequence[Rows]) -> None:
        """From sequences of one width, which may be smaller than the buffers'; none may have a row."""
        rows = np.concatenate(sequences)
        if len(rows):
            mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
            self.mean[: rows.shape[1]] = torch.from_numpy(mean)
            self.deviation[: rows.shape[1]] = torch.from_numpy(deviation).clamp_min(1e-6)

    def table(self, sequences: Sequence[Rows], rows: int) -> Tensor:
        """[sequences, rows, width], scaled; 0, the mean, where a sequence has less."""
        mean, deviation = self.mean.cpu().numpy(), self.deviation.cpu().numpy()
        whole = np.zeros((len(sequences), rows, len(mean)), np.float32)
        for known, place in zip(sequences, whole, strict=True):
            width = known.shape[1]
            place[: len(known), :width] = (known - mean[:width]) / deviation[:width]
        return torch.from_numpy(whole).to(self.mean.dtype)
