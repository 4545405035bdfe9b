"""Cells on a Ray cluster: that of an address, or one that is started here and ends with the run."""

import json
import logging
import os
import shutil
import socket
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.address import sqlite_file
from benchmarks.console import Progress
from benchmarks.environment import COPY, PACKAGES, digest, git, libraries
from benchmarks.errand import ClusterError, Errand, begin, machine
from benchmarks.pool import cores
from benchmarks.reach import AwayError
from benchmarks.result import Result
from benchmarks.work import Job

if TYPE_CHECKING:
    from benchmarks.flights import Flights

HANDED = (
    "MLFLOW_",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "PG",
    "CUBLAS_",
)  # variables that workers get too, by their beginnings
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": ".*"}  # or it prints beside our results
OBJECTS = 512 * 2**20  # bytes of memory for what is sent to workers here; what is more goes to the disk
ANSWER = 10  # seconds until a cluster must answer
READY = 300  # seconds until its nodes must have unpacked our code and imported it


@dataclass(frozen=True)
class OnRay:
    """An executor. Every Cell gets the threads that it would have in this process: results may depend on them."""

    address: str  # empty: a cluster of its own on this machine
    jobs: int  # Cells at once on this machine, or on each GPU; 0: as the cores allow, one on each GPU
    uri: str  # of the store of results
    device: str
    studies: str = ""  # the store of trials; empty: nothing is tuned

    def __call__(self, jobs: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
        """The next row is prepared while nothing is back; in the end all that is not back is waited for."""
        with TemporaryDirectory() as folder:
            _copy(Path(folder))
            errand = self._errand(Path(folder))
            with self._flights(errand, folder) as flights:
                for job in jobs:
                    flights.launch(job)
                    while found := list(flights.landed(0)):
                        yield from found
                with progress(f"{len(flights.aloft)} Cells on {self.address or 'this machine'}") as advance:
                    done, total = 0, sum(freight.left for freight in flights.freight.values())
                    while flights.aloft:
                        for job, result in flights.landed(None):
                            done += 1
                            advance(done, total, f"{job.row.title}, {result.cell.title}")
                            yield job, result

    def _errand(self, folder: Path) -> Errand:
        variables = {name: value for name, value in os.environ.items() if name.startswith(HANDED)}
        stores = {"results": self.uri, "trials": self.studies}
        files = tuple(name for name, uri in stores.items() if sqlite_file(uri))
        return Errand(digest(folder), libraries(), machine(), variables, files)

    @contextmanager
    def _flights(self, errand: Errand, folder: str) -> Iterator["Flights"]:
        """On nodes that will do; Cells that are still running in the end run no more."""
        self._connect(folder)
        import ray

        from benchmarks.flights import Flights

        flights = Flights(errand, self._resources())
        try:
            _fit(errand, flights.resources)
            yield flights
        finally:
            ray.shutdown()
            with suppress(AwayError):
                for job in flights.freight:
                    job.tracker.bury_cells(job.experiment, job.run_id)

    def _connect(self, folder: str) -> None:
        """Ray says nothing, tells nobody, and on this machine is seen by nobody else."""
        os.environ |= QUIET
        if not self.address:
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on every system this keeps it to the loopback
        elif ":" in self.address:
            _answers(self.address)
        import ray

        env = {"working_dir": folder, "env_vars": {name: str(count) for name, count in _threads().items()}}
        try:
            ray.init(runtime_env=env, log_to_driver=False, logging_level=logging.CRITICAL, **self._where())
        except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
            told = " ".join(str(error).split())[:200]
            remedy = (
                "if it asks for a token, RAY_AUTH_MODE=token must be set here too" if self.address else "see its logs"
            )
            raise ClusterError(f"no Ray cluster at {self.address or 'this machine'}: {told}; {remedy}") from None

    def _where(self) -> dict[str, Any]:
        if self.address:
            return {"address": self.address}
        count = (self.jobs or max(1, cores() // _one())) * _one()
        return {"address": "local", "num_cpus": count, "include_dashboard": False, "object_store_memory": OBJECTS}

    def _resources(self) -> Mapping[str, float]:
        """Of a Cell."""
        if self.device == "cuda":
            return {"num_cpus": 0, "num_gpus": 10_000 // (self.jobs or 1) / 10_000}  # as fine as Ray counts
        return {"num_cpus": _one(), "num_gpus": 0}


def _one() -> int:
    """Threads of a Cell."""
    return _threads()["OMP_NUM_THREADS"]


def _threads() -> dict[str, int]:
    """How many this process uses, as other processes are told of it."""
    import torch
    from threadpoolctl import threadpool_info

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    count = torch.get_num_threads()
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": max(blas, default=count)}


def _copy(folder: Path) -> None:
    """Our packages as they are now, plugins of other folders included, and of what commit they are."""
    for name in PACKAGES:
        for part in import_module(name).__path__:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(part, folder / name, ignore=ignored, dirs_exist_ok=True)
    (folder / COPY).write_text(json.dumps(git()))


def _answers(address: str) -> None:
    """An error, at once, if nothing listens there: Ray itself tries for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({error}); start one with ray start, or leave --ray-address out"
        ) from None


def _fit(errand: Errand, resources: Mapping[str, float]) -> None:
    """An error, before anything is prepared, if there is no node for a Cell, or if one will not do."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from benchmarks.flights import refusal

    kind = "num_gpus" if resources["num_gpus"] else "num_cpus"
    name, wanted = kind.removeprefix("num_").upper().rstrip("S"), resources[kind]
    alive: Any = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node for node in alive if node["Alive"] and node["Resources"].get(name, 0) >= wanted]
    if not nodes:
        what = f"{wanted:g} CPUs, one for each thread of a Cell (OMP_NUM_THREADS says how many)"
        raise ClusterError(f"no node of the cluster has {what if name == 'CPU' else 'a GPU'}; add one")
    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    task: Any = ray.remote(num_cpus=0)(begin)
    try:
        ray.get([task.options(scheduling_strategy=node).remote(errand) for node in there], timeout=READY)
    except RayTaskError as error:
        raise refusal(error) from None
    except GetTimeoutError:
        raise ClusterError(f"no answer from all {len(nodes)} nodes of the cluster within {READY} s") from None
    except RayError as error:
        raise ClusterError(f"a node cannot run Cells: {' '.join(str(error).split())[:300]}") from None
