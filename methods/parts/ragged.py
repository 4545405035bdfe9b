"""Sequences of different lengths, laid end to end on one device; batches are padded only as far as they must be."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Ragged:
    """An empty sequence, where nothing was found in a clip, counts as one row of zeros."""

    def __init__(self, sequences: Sequence[npt.NDArray[Any]], device: str) -> None:
        rows = [s if len(s) else np.zeros((1, *s.shape[1:]), s.dtype) for s in sequences]
        self.flat = torch.from_numpy(np.concatenate(rows)).to(device)
        self.lengths = torch.tensor([len(row) for row in rows], device=device)
        self._firsts = self.lengths.cumsum(0) - self.lengths
        self._lengths = [len(row) for row in rows]

    def __len__(self) -> int:
        return len(self._lengths)

    def padded(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Some sequences [B, T, ...] of the longest's length, last rows repeated, and their lengths [B]."""
        longest = max(self._lengths[number] for number in chosen.tolist())
        chosen = chosen.to(self.flat.device)
        lengths = self.lengths[chosen]
        steps = torch.minimum(torch.arange(longest, device=self.flat.device), lengths[:, None] - 1)
        return self.flat[self._firsts[chosen, None] + steps], lengths
