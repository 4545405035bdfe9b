"""What makes steps on a GPU faster whose batches are all alike in shape: compiling them, and trying cuDNN's kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Compiled:
    """A forward pass, and the one back, each started as one CUDA graph.

    Whatever of its inputs is no weight is copied at each step, so it should be given a batch and know no other tensor.
    """

    def __init__(self, forward: Callable[[Any], Tensor], **options: Any) -> None:
        """`options` of torch.compile take the place of ours."""
        self._plain = forward

        def run(batch: Any) -> Tensor:
            return forward(batch)

        self._run = torch.compile(run, dynamic=False, **(options or {"mode": "reduce-overhead"}))

    def __call__(self, batch: Any) -> Tensor:
        logits: Tensor = self._run(batch)
        return logits

    def freed(self, failed: bool = False) -> Callable[[Any], Tensor]:
        """As it was. All that was compiled is let go, lest that of several fits be more than PyTorch compiles.

        A capture that failed leaves chance waiting for its end; a copy of it goes on.
        """
        torch._dynamo.reset()
        for chance in torch.cuda.default_generators if failed else ():
            chance.graphsafe_set_state(chance.clone_state())
        return self._plain


@contextmanager
def tried_kernels() -> Iterator[None]:
    """cuDNN tries which of its kernels is the fastest for a shape, but in deterministic mode, where that is chance."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        cudnn.benchmark = before
