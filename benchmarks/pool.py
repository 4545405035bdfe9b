"""Work on clips in processes of their own, each with one thread."""

import ctypes
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from datasets.clips import UserError
from datasets.processes import Ended, in_processes

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 8  # items that are not worth starting several processes for
PAGES = "glibc.malloc.hugetlb=1"  # large ones, where Linux has them: dlib's landmarks take a quarter less time
ARENAS = -8  # M_ARENA_MAX of malloc.h


class EndedError(UserError):
    """An item ended the process that worked on it; it is the next one after those that were given back."""


def cores() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """What `work` makes of each item, in order; never in this process, which a broken file could bring down."""
    if not items:
        return
    processes = 1 if len(items) <= FEW else cores()
    large_pages()
    pickle.dumps(work)  # what cannot be sent is told at once: a pool may wait for it forever (gh-105829)
    for made in in_processes(work, items, processes, one_thread):
        if isinstance(made, Ended):
            raise EndedError(made.what)
        yield made


def large_pages() -> None:
    """For processes that are started from now on."""
    os.environ.setdefault("GLIBC_TUNABLES", PAGES)


def one_thread() -> None:
    """Before anything heavy is imported: processes that each use all cores stand in each other's way."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends them without a traceback each
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(ARENAS, 1)  # else what threads ask for lies in small pages
