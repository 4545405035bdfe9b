"""Where Cells are run."""

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from benchmarks.console import Progress
from benchmarks.plan import Cell
from benchmarks.work import Job, Result
from datasets.base import UserError

Executor = Callable[[Iterable[Job], Progress], Generator[tuple[Job, Result]]]


def here(jobs: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
    """In this process, one after the other; what another process is at comes last, and is waited for."""
    for job in jobs:
        with progress(job.title) as advance:
            others, done = list[Cell](), 0
            for wait in (False, True):
                for cell in others if wait else job.todo:
                    told = partial(advance, done, len(job.todo))
                    told(cell.title)
                    result = job.wait(cell, told) if wait else job.attempt(cell, told)
                    if result is None:
                        others.append(cell)
                        continue
                    done += 1
                    yield job, result


@dataclass(frozen=True)
class Place:
    """Where Cells are to be run, as the command line says."""

    executor: str = "local"
    address: str = ""
    jobs: int = 0

    def __post_init__(self) -> None:
        if self.executor not in ("local", "ray"):
            raise UserError(f"no executor is called {self.executor!r}; choose from local, ray")
        if self.jobs < 0:
            raise UserError(f"--jobs must be at least 1, but is {self.jobs}")
        if self.executor == "local" and (self.address or self.jobs):
            raise UserError("--ray-address and --jobs are about a cluster; add --executor ray")
        if self.executor == "ray" and find_spec("ray") is None:
            raise UserError("Ray is not installed; pip install -e .[ray], or leave --executor ray out")

    def on(self, uri: str, device: str, studies: str = "") -> Executor:
        """For a store of results, a device, and a store of trials where something is tuned."""
        if self.executor == "local":
            return here
        from benchmarks.cluster import OnRay

        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address and self.jobs and device != "cuda":
            raise UserError(
                f"--jobs {self.jobs} is about this machine or GPUs; on the CPUs of {address} a Cell takes one for "
                "each of its threads, and OMP_NUM_THREADS says how many"
            )
        return OnRay(address, self.jobs, uri, device, studies)
