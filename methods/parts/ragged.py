"""Sequences of different lengths, laid end to end on one device; batches are padded little, or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from methods.parts.training import accelerated, sent

PART = 8  # sequences of like lengths that are padded to the longest of them
STEP = 32  # rows; on a GPU lengths are multiples of it, for cuDNN plans anew for each shape that it has not seen


@dataclass(frozen=True)
class Alike:
    """Some sequences in parts of like lengths: rows [b, T, ...] and how many of them are real [b]."""

    parts: Sequence[tuple[Tensor, Tensor]]
    back: Tensor  # [B] where each sequence that was asked for stands in the parts

    def each(self, make: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What is made of each sequence by itself [B, ...]."""
        return torch.cat([make(*part) for part in self.parts])[self.back]


@dataclass(frozen=True)
class Packed:
    """Some sequences without padding: all first rows, then all second ones and so on, of the longest sequence first."""

    rows: Tensor  # [N, ...]
    sizes: Tensor  # how many first rows, second ones and so on there are; on the host
    ends: Tensor  # [B] where the last row of each sequence that was asked for is
    real: Tensor | None = None  # [N] whether a row is one of a sequence; None: all are


class Ragged:
    """An empty sequence, where nothing was found in a clip, counts as one row of zeros."""

    def __init__(self, sequences: Sequence[npt.NDArray[Any]], device: str) -> None:
        rows = [s if len(s) else np.zeros((1, *s.shape[1:]), s.dtype) for s in sequences]
        self.flat = torch.from_numpy(np.concatenate(rows)).to(device)
        self.lengths = torch.tensor([len(row) for row in rows], device=device)
        self._firsts = self.lengths.cumsum(0) - self.lengths
        self._lengths = torch.tensor([len(row) for row in rows])  # on the host
        self._begun = self._lengths.cumsum(0) - self._lengths

    def __len__(self) -> int:
        return len(self._lengths)

    def padded(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Some sequences [B, T, ...] of the longest's length or more, last rows repeated, and their lengths [B]."""
        longest = int(self._lengths[chosen].max())
        if accelerated(self.flat.device):
            longest += -longest % STEP
        chosen = sent(chosen, self.flat.device)
        lengths = self.lengths[chosen]
        steps = torch.minimum(torch.arange(longest, device=self.flat.device), lengths[:, None] - 1)
        return self.flat[self._firsts[chosen, None] + steps], lengths

    def alike(self, chosen: Tensor, size: int = PART) -> Alike:
        """Some sequences in parts of that size, so that hardly any padding is needed."""
        order = self._lengths[chosen].argsort(descending=True, stable=True)
        parts = [self.padded(part) for part in chosen[order].split(size)]  # type: ignore[no-untyped-call]
        return Alike(parts, sent(order.argsort(), self.flat.device))

    def packed(self, chosen: Tensor) -> Packed:
        """Some sequences without padding."""
        own = self._lengths.numpy()[chosen.numpy()]
        order = np.argsort(-own, kind="stable")
        lengths, begun = own[order], self._begun.numpy()[chosen.numpy()[order]]
        step, rank = np.nonzero(np.arange(lengths[0])[:, None] < lengths)
        sizes = np.bincount(step)
        ends = np.empty_like(order)
        ends[order] = (sizes.cumsum() - sizes)[lengths - 1] + np.arange(len(order))
        there = sent(torch.from_numpy(np.concatenate([begun[rank] + step, ends])), self.flat.device)
        return Packed(self.flat[there[: len(step)]], torch.from_numpy(sizes), there[len(step) :])
