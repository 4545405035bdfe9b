"""Where Cells are run."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.company import in_company
from benchmarks.console import Progress, Tell
from benchmarks.plan import Cell
from benchmarks.result import Result
from benchmarks.work import Job
from datasets.clips import UserError

Executor = Callable[[Iterable[Job], Progress], Generator[tuple[Job, Result]]]


@dataclass(frozen=True)
class Here:
    """In this process, row by row; what another process is at comes last in its row, and is waited for."""

    together: bool = False  # the folds of a row, where its method trains one small network

    def __call__(self, jobs: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
        for job in jobs:
            with progress(job.title) as advance:
                for result in self._results(job, advance):
                    yield job, result

    def _results(self, job: Job, advance: Tell) -> Iterator[Result]:
        others, done = list[Cell](), 0

        def told(now: str) -> None:
            advance(done, len(job.todo), now)

        for cell, result in self._attempts(job, told):
            if result is None:
                others.append(cell)
                continue
            done += 1
            yield result
        for cell in others:
            told(cell.title)
            result = job.wait(cell, told)
            done += 1
            yield result

    def _attempts(self, job: Job, told: Callable[[str], None]) -> Iterator[tuple[Cell, Result | None]]:
        """All Cells; None: another process is at it."""
        if self.together and job.together:
            yield from in_company(job, told)
            return
        for cell in job.todo:
            told(cell.title)
            yield cell, job.attempt(cell, told)


here = Here()


@dataclass(frozen=True)
class Place:
    """Where Cells are to be run, and whether several at once, as the command line says."""

    executor: str = "local"
    address: str = ""
    jobs: int = 0
    together: str = "auto"

    def __post_init__(self) -> None:
        if self.executor not in ("local", "ray"):
            raise UserError(f"no executor is called {self.executor!r}; choose from local, ray")
        if self.together not in ("auto", "always", "never"):
            raise UserError(f"--together cannot be {self.together!r}; choose from auto, always, never")
        if self.together == "always" and self.executor == "ray":
            raise UserError("with Ray each Cell is a task of its own; leave --together always out, or --executor ray")
        if self.jobs < 0:
            raise UserError(f"--jobs must be at least 1, but is {self.jobs}")
        if self.executor == "local" and (self.address or self.jobs):
            raise UserError("--ray-address and --jobs are about a cluster; add --executor ray")
        if self.executor == "ray" and find_spec("ray") is None:
            raise UserError("Ray is not installed; pip install -e .[ray], or leave --executor ray out")

    def on(self, uri: str, device: str, studies: str = "") -> Executor:
        """For a store of results, a device, and a store of trials where something is tuned."""
        if self.executor == "local":
            return Here(self._together(device))
        from benchmarks.cluster import OnRay

        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address and self.jobs and device != "cuda":
            raise UserError(
                f"--jobs {self.jobs} is about this machine or GPUs; on the CPUs of {address} a Cell takes one for "
                "each of its threads, and OMP_NUM_THREADS says how many"
            )
        return OnRay(address, self.jobs, uri, device, studies)

    def _together(self, device: str) -> bool:
        """Without being asked only on a GPU, which one small network keeps idle."""
        import torch

        from methods.parts.training import accelerated

        return self.together == "always" or (self.together == "auto" and accelerated(torch.device(device)))
