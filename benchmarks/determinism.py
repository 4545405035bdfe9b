"""Deterministic mode: where PyTorch has several ways, the one that gives the same numbers each time, or none.

On the CPU everything is so anyway. On a GPU some sums are taken in whatever order they come, which is faster. cuBLAS is
told before it is first used: nothing is computed on a GPU before a run, or a worker's task, has begun.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # workers of a cluster, and trials' processes, get it too
SPACES = (":4096:8", ":16:8")  # with which cuBLAS is deterministic; the first is faster


def in_force() -> bool:
    """Whether this process is in deterministic mode."""
    return "torch" in sys.modules and bool(sys.modules["torch"].are_deterministic_algorithms_enabled())


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """For a while, if it is wanted; as it was, if it is not."""
    if not wanted:
        yield
        return
    import torch

    cudnn, before = torch.backends.cudnn, in_force()
    kept = os.environ.get(CUBLAS), cudnn.benchmark, cudnn.deterministic
    _switch(True, kept[0] if kept[0] in SPACES else SPACES[0], False, True)
    try:
        yield
    finally:
        _switch(before, *kept)


def _switch(on: bool, space: str | None, benchmark: bool, exact: bool) -> None:
    import torch

    if space is None:
        os.environ.pop(CUBLAS, None)
    else:
        os.environ[CUBLAS] = space
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, exact


def refused(error: Exception) -> str:
    """The operation that has no deterministic form, in a line; empty: the error is about something else."""
    found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
    if not found:
        return ""
    return f"PyTorch has no deterministic form of {found[1]}; leave --deterministic out, or take --device cpu"
