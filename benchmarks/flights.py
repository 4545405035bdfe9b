"""Tasks of a Ray cluster that are on the way: sent, retried where their worker is lost, taken in as they come back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from benchmarks.errand import ClusterError, Errand, Told, carry_out, failed, help_out
from benchmarks.parcels import Consignment, consigned
from benchmarks.plan import Cell
from benchmarks.prepare import reason
from benchmarks.reach import AwayError
from benchmarks.result import Result
from benchmarks.work import Job

RETRIES = 5  # of a Cell whose worker is lost


@dataclass
class Freight:
    """What the Cells of a job share, in the cluster's store of objects until the last of them is back."""

    consignment: Consignment
    ref: "ObjectRef[Consignment]"
    left: int
    files: "dict[str, ObjectRef[bytes]]" = field(default_factory=dict)  # by place; only where a node does not see them

    def sent(self, cell: Cell) -> "Mapping[str, ObjectRef[bytes]]":
        """All that a Cell reads; each file is read once for all Cells."""
        places = self.consignment.files(cell)
        for file, place in places.items():
            if place not in self.files:
                self.files[place] = ray.put(file.read_bytes())
        return {place: self.files[place] for place in places.values()}


@dataclass
class Flights:
    """Cells on the way; of those with the same key, which rows may share, one at a time."""

    errand: Errand
    resources: Mapping[str, float]
    freight: dict[Job, Freight] = field(default_factory=dict)
    aloft: "dict[ObjectRef[Any], tuple[Job, Cell]]" = field(default_factory=dict)
    helpers: "dict[ObjectRef[Any], tuple[Job, Cell]]" = field(default_factory=dict)  # trials beside those of a Cell
    waiting: dict[str, list[tuple[Job, Cell]]] = field(default_factory=dict)  # by key of one that is aloft

    def launch(self, job: Job) -> None:
        """All Cells of a job."""
        consignment = consigned(job)
        self.freight[job] = Freight(consignment, ray.put(consignment), len(job.todo))
        for cell in job.todo:
            if cell.key in self.waiting:
                self.waiting[cell.key].append((job, cell))
            else:
                self.waiting[cell.key] = []
                self._start(job, cell, None)
        if job.tuning and job.row.wish.trials and job.store:
            for cell in [cell for cell in job.todo for _ in range(job.tuning.jobs - 1)]:
                self._help(job, cell, None)

    def landed(self, seconds: float | None) -> Iterator[tuple[Job, Result]]:
        """What is back by then; None: it waits until something is."""
        if not self.aloft:
            return
        under_way = [*self.aloft, *self.helpers]
        found, _ = ray.wait(under_way, num_returns=1, timeout=seconds)
        if found:
            found, _ = ray.wait(under_way, num_returns=len(under_way), timeout=0)
        for ref in found:
            if ref in self.helpers:
                self._helped(ref)
                continue
            job, cell = self.aloft.pop(ref)
            told = self._told(ref)
            if told is None:
                self._start(job, cell, self.freight[job].sent(cell))
            else:
                self._over(job, cell)
                yield job, Result(cell, *told)

    def _start(self, job: Job, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None") -> None:
        self.aloft[self._sent(carry_out, job, cell, files)] = (job, cell)

    def _help(self, job: Job, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None") -> None:
        self.helpers[self._sent(help_out, job, cell, files)] = (job, cell)

    def _sent(
        self, what: Callable[..., Any], job: Job, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None"
    ) -> "ObjectRef[Any]":
        task: Any = ray.remote(what)
        options = {"name": cell.title, "max_retries": RETRIES, "scheduling_strategy": "SPREAD", **self.resources}
        ref: ObjectRef[Any] = task.options(**options).remote(self.errand, [self.freight[job].ref], cell.key, files)
        return ref

    def _helped(self, ref: "ObjectRef[Any]") -> None:
        """What keeps a helper from helping is told by the Cell itself, which does all that nobody else does."""
        job, cell = self.helpers.pop(ref)
        with suppress(RayError):
            if not ray.get(ref) and job in self.freight:
                self._help(job, cell, self.freight[job].sent(cell))

    def _over(self, job: Job, cell: Cell) -> None:
        """The next of the same key may start; what nobody needs is let go."""
        if others := self.waiting.pop(cell.key):
            self.waiting[cell.key] = others[1:]
            self._start(*others[0], None)
        self.freight[job].left -= 1
        if not self.freight[job].left:
            del self.freight[job]
            with suppress(AwayError):
                job.tracker.bury_cells(job.experiment, job.run_id)  # of workers that were lost

    def _told(self, ref: "ObjectRef[Any]") -> Told | None:
        """What a worker said, or what became of it."""
        try:
            told: Told | None = ray.get(ref)
        except RayTaskError as error:
            raise refusal(error) from None
        except RuntimeEnvSetupError as error:
            raise ClusterError(f"our code cannot be brought to a node: {reason(error)}") from None
        except RayError as error:
            fault = (
                f"its worker was lost {RETRIES + 1} times ({type(error).__name__}); the logs of Ray on its node say why"
            )
            return failed(fault)
        return told


def refusal(error: RayTaskError) -> ClusterError:
    """What a worker raised before it began: it was asked nothing of a method yet."""
    cause = error.cause
    return cause if isinstance(cause, ClusterError) else ClusterError(f"a node cannot run Cells: {reason(cause)}")
