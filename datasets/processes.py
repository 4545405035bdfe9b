"""Work on many items in parallel processes; a process that a native library brings down costs its own item alone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 8  # parts that a process finds waiting: a pool that is told of a million items remembers them all


class Ended:
    """In the place of a result: the process that worked on the item was ended."""

    what = "ended the process that worked on it: a decoder or a native library crashed, or memory ran out"


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, begin: Callable[[], None] | None = None
) -> Iterator[Result | Ended]:
    """What `work` makes of each item, in order; `begin` is called in each process first."""
    chunk = max(1, min(16, len(items) // (4 * processes)))
    done = 0
    while done < len(items):
        with ProcessPoolExecutor(processes, get_context("spawn"), begin) as pool:
            try:
                for made in _ahead(pool, work, items, range(done, len(items), chunk), AHEAD * processes):
                    done += 1
                    yield made
                return
            except BrokenProcessPool:  # does not tell by which item: those in hand are tried again, one at a time
                in_hand = items[done : done + processes * chunk]
        yield from _one_by_one(work, in_hand, begin)
        done += len(in_hand)


def _ahead(
    pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], begins: range, most: int
) -> Iterator[Result]:
    """As `Executor.map`, but it is told of no more than so many parts ahead."""
    waiting = deque[Future[list[Result]]]()
    try:
        for begin in begins:
            waiting.append(pool.submit(_all, work, items[begin : begin + begins.step]))
            if len(waiting) == most:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for part in waiting:
            part.cancel()


def _all(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def _one_by_one(
    work: Callable[[Item], Result], items: Sequence[Item], begin: Callable[[], None] | None
) -> Iterator[Result | Ended]:
    done = 0
    while done < len(items):
        with ProcessPoolExecutor(1, get_context("spawn"), begin) as pool:
            try:
                for item in items[done:]:
                    made = pool.submit(work, item).result()
                    done += 1
                    yield made
            except BrokenProcessPool:
                done += 1
                yield Ended()
