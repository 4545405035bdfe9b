"""Where Cells are run."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from benchmarks.console import Progress
from benchmarks.work import Job, Result

Executor = Callable[[Iterable[Job], Progress], Iterator[tuple[Job, Result]]]


def here(jobs: Iterable[Job], progress: Progress) -> Iterator[tuple[Job, Result]]:
    """In this process, one after the other."""
    for job in jobs:
        with progress(job.title) as advance:
            for number, cell in enumerate(job.todo):
                told = partial(advance, number, len(job.todo))
                told(cell.title)
                yield job, job.run(cell, told)
