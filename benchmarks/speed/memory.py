"""The most memory that this process and all that it started held at once."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.placing import UNIT

PROC = Path("/proc")  # Linux; elsewhere the largest child alone is known, and counted beside this process
EVERY = 0.25  # seconds between two looks


@contextmanager
def peak() -> Iterator[dict[str, float]]:
    """Filled at the end: bytes; memory that several processes share counts once."""
    found, over = {"bytes": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            found["bytes"] = max(found["bytes"], held())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
        found["bytes"] = max(found["bytes"], held())


def gpu_peak(device: str) -> float:
    """Bytes, the most that were allocated on a GPU at once since this was last asked; without one nothing."""
    if device != "cuda":
        return 0.0
    import torch

    most = float(torch.cuda.max_memory_allocated())
    torch.cuda.reset_peak_memory_stats()
    return most


def held() -> float:
    """Bytes at this moment."""
    if not (PROC / "self/smaps_rollup").exists():
        whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        return float(sum(resource.getrusage(one).ru_maxrss for one in whose) * UNIT)
    return float(sum(_share(process) for process in _family(os.getpid())))


def _family(process: int) -> Iterator[int]:
    yield process
    try:
        lists = [file.read_text() for file in (PROC / str(process) / "task").glob("*/children")]
    except OSError:  # it has ended
        return
    for child in " ".join(lists).split():
        yield from _family(int(child))


def _share(process: int) -> int:
    """Of memory that n processes share, an n-th."""
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
