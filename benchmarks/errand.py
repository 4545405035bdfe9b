"""A Cell on a worker of a cluster, which may be on another machine, and may have been lost and sent again."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environment import digest, libraries
from benchmarks.parcels import Consignment
from benchmarks.plan import Cell
from benchmarks.prepare import reason
from benchmarks.result import Result
from benchmarks.work import Job
from datasets.clips import UserError
from protocols.scores import Scores

if TYPE_CHECKING:
    from ray import ObjectRef

Told = tuple[  # all of a Result but its Cell, in its order
    Scores | None,
    str,
    str,
    int,
    Mapping[str, float],
    Sequence[tuple[str, float, int]] | None,
    Mapping[str, Any] | None,
    bool,
    tuple[str, ...],
]
OPTIONS = {"results": "--tracking-uri", "trials": "--storage"}  # which name the stores
BOOT = Path("/proc/sys/kernel/random/boot_id")  # Linux


class ClusterError(UserError):
    """Cells cannot be run on this cluster."""


@dataclass(frozen=True)
class Errand:
    """What every worker must know before it opens anything."""

    code: str  # digest of the packages that were sent
    libraries: Mapping[str, str]  # versions, without which results would not be the same
    machine: str  # the driver's
    variables: Mapping[str, str] = field(repr=False)  # some are secret
    files: tuple[str, ...] = ("results",)  # what is kept in files on the driver's machine; the rest a server keeps

    def begin(self) -> None:
        """An error where a Cell would not be what it is on the driver's machine."""
        os.environ.update(self.variables)
        node, here, there = platform.node(), libraries(), self.libraries
        if unlike := sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name)):
            told = ", ".join(f"{name} {here.get(name, '-')} for {there.get(name, '-')}" for name in unlike)
            raise ClusterError(
                f"node {node} has other libraries than the driver: {told}; install the same on all nodes"
            )
        if (found := digest(Path(__file__).parent.parent)) != self.code:
            raise ClusterError(
                f"node {node} runs other code of ours ({found}) than was sent there ({self.code}); "
                "pip uninstall av-emotion-benchmarks there"
            )
        if self.files and self.machine != machine():
            raise ClusterError(
                f"node {node} cannot reach the store of {' and that of '.join(self.files)}, a file on "
                f"{self.machine.split()[0]}; name a server that all nodes reach with "
                f"{' and '.join(OPTIONS[name] for name in self.files)}"
            )


def machine() -> str:
    """Tells this machine, or container, from others."""
    return f"{platform.node()} {BOOT.read_text().strip() if BOOT.exists() else ''}"


def begin(errand: Errand) -> None:
    """Whether a node will do."""
    errand.begin()


def carry_out(
    errand: Errand, sent: "Sequence[ObjectRef[Consignment]]", key: str, files: "Mapping[str, ObjectRef[bytes]] | None"
) -> Told | None:
    """A Cell's Result without the Cell; if a lost worker had finished it, that one's. None: files must be sent here."""
    errand.begin()
    try:
        consignment = _consignment(sent[0])
        (cell,) = (cell for cell in consignment.job.todo if cell.key == key)
        return _told(consignment, cell, files)
    except Exception as error:  # as in a Job: one Cell's fault must not cost the others
        return failed(reason(error))


def help_out(
    errand: Errand, sent: "Sequence[ObjectRef[Consignment]]", key: str, files: "Mapping[str, ObjectRef[bytes]] | None"
) -> bool:
    """Trials of a Cell's study beside the Cell's own task, while any wait. False: files must be sent here."""
    errand.begin()
    consignment = _consignment(sent[0])
    (cell,) = (cell for cell in consignment.job.todo if cell.key == key)
    at_hand = _opened(consignment, cell, files)
    if at_hand is not None:
        at_hand.help_out(cell)
    return at_hand is not None


@lru_cache(maxsize=1)
def _consignment(ref: "ObjectRef[Consignment]") -> Consignment:
    """Opened once by each worker, for the Cells of a row follow each other."""
    import ray

    return ray.get(ref)


def _told(consignment: Consignment, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None") -> Told | None:
    at_hand = _opened(consignment, cell, files)
    return None if at_hand is None else _without_cell(at_hand.wait(cell, _nobody))


def _opened(consignment: Consignment, cell: Cell, files: "Mapping[str, ObjectRef[bytes]] | None") -> Job | None:
    import ray

    return consignment.opened(cell, None if files is None else lambda place: ray.get(files[place]))


def _nobody(now: str) -> None:
    """Watches a worker."""


def _without_cell(result: Result) -> Told:
    return (
        result.scores,
        result.error,
        result.run_id,
        result.empty,
        result.metrics,
        result.curves,
        result.tuned,
        result.trained,
        result.notes,
    )


def failed(why: str) -> Told:
    """Of a Cell that did not come to an end."""
    return None, why, "", 0, {}, None, None, True, ()
