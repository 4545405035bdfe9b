"""Ray clusters of several nodes on this machine, seen by nobody else; toys that do there what a worker may meet."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cluster import QUIET

WAITING = """
        import ray
        note(f"on {ray.get_runtime_context().get_node_id()}")
        while Path(os.environ["TOY_DIARY"]).with_name("wait").exists():
            time.sleep(0.05)
        for epoch in range(3):"""
BESIDE = """
        note(f"on {os.getpid()}")
        while Path(os.environ["TOY_DIARY"]).with_name("wait").exists():
            time.sleep(0.05)
        for epoch in range(3):"""
OLD = """
        if run.seed:
            raise ValueError("of old age")
        for epoch in range(3):"""
DYING = """
        from benchmarks.cellrun import CellRun

        finish = CellRun._pack

        def last(*arguments):
            finish(*arguments)
            if not noted("died"):
                note("died")
                os._exit(1)

        CellRun._pack = last
        for epoch in range(3):"""
ALONE = """

if "TOY_ALONE" in os.environ:
    from benchmarks.parcels import Consignment

    Consignment._own = lambda self, file: False


@dataclass(frozen=True)
class Level:"""
EPOCHS = "\n        for epoch in range(3):"
LEVEL = "\n\n@dataclass(frozen=True)\nclass Level:"


@contextmanager
def nodes(count: int, folder: Path, cpus: int = 1) -> Iterator[Any]:
    """A cluster whose head runs no Cells, and `count` nodes that do; their own cache is in the folder."""
    quiet = {
        **QUIET,
        "RAY_health_check_period_ms": "500",  # a node that is lost is soon known to be
        "RAY_health_check_initial_delay_ms": "500",
        "RAY_memory_monitor_refresh_ms": "0",  # no worker is ended because others need memory
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps it to the loopback, if Ray was not imported before
        "BENCH_CACHE": str(folder / "of-the-nodes"),
    }
    before = {name: os.environ.get(name) for name in quiet}
    os.environ.update(quiet)
    from ray.cluster_utils import Cluster

    shape: dict[str, Any] = {"object_store_memory": 100 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **shape})
    try:
        for _ in range(count):
            found.add_node(num_cpus=cpus, **shape)
        yield found
    finally:
        found.shutdown()  # type: ignore[no-untyped-call]
        os.environ.pop("BENCH_CACHE")
        os.environ.update({name: value for name, value in before.items() if value is not None})
