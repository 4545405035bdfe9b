"""Tasks of a Ray cluster that are on the way: sent, retried where their worker is lost, taken in as they come back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from benchmarks.errand import ClusterError, Errand, Told, carry_out
from benchmarks.parcels import Consignment, consigned
from benchmarks.plan import Cell
from benchmarks.prepare import reason
from benchmarks.work import Job, Result

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

    def landed(self, seconds: float | None) -> Iterator[tuple[Job, Result]]:
        """What is back by then; None: at least one, if any is on the way."""
        if not self.aloft:
            return
        found, _ = ray.wait(list(self.aloft), num_returns=1, timeout=seconds)
        if found:
            found, _ = ray.wait(list(self.aloft), num_returns=len(self.aloft), timeout=0)
        for ref in found:
            job, cell = self.aloft.pop(ref)
            told = self._told(ref)
            if told is None:
                self._start(job, cell, self.freight[job].sent(cell))
            else:
                self._over(job, cell)
                yield job, Result(cell, *told)

    def _start(self, job: Job, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None") -> None:
        task: Any = ray.remote(carry_out)
        options = {"name": cell.title, "max_retries": RETRIES, "scheduling_strategy": "SPREAD", **self.resources}
        ref = task.options(**options).remote(self.errand, [self.freight[job].ref], cell.key, files)
        self.aloft[ref] = (job, cell)

    def _over(self, job: Job, cell: Cell) -> None:
        """The next of the same key may start; what nobody needs is let go."""
        if others := self.waiting.pop(cell.key):
            self.waiting[cell.key] = others[1:]
            self._start(*others[0], None)
        self.freight[job].left -= 1
        if not self.freight[job].left:
            del self.freight[job]

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
            return None, fault, "", 0, {}, None
        return told


def refusal(error: RayTaskError) -> ClusterError:
    """What a worker raised before it began: it was asked nothing of a method yet."""
    cause = error.cause
    return cause if isinstance(cause, ClusterError) else ClusterError(f"a node cannot run Cells: {reason(cause)}")
