"""All methods, in this process and on a Ray cluster that loses a node: `python -m tests.ray_methods [FOLDER]`.

Minutes, so it is no part of the suite. Each Cell must come back once, with the same answers to the last bit.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks import console
from benchmarks.arenas import Arena, arena
from benchmarks.cluster import OnRay
from benchmarks.console import Progress
from benchmarks.engine import Engine
from benchmarks.execute import Executor
from benchmarks.outcome import Outcome
from benchmarks.plan import Row, row
from benchmarks.plugins import load, names
from benchmarks.result import Result
from benchmarks.settings import Wish, configured, flat
from benchmarks.track import Tracker
from benchmarks.work import Job
from datasets.standin import render
from methods.parts.weights import WeightStore
from tests.clusters import nodes
from tests.conftest import tiny
from tests.toys import one_thread

PROTOCOL = "leave-one-speaker-group-out:groups=2"
LOST_AT = 3  # results, of twelve Cells
NODES = 2


def rows(folder: Path) -> Iterator[tuple[Row, Arena]]:
    """Each method as it comes, trained for one epoch from scratch."""
    dataset = tiny("baum1s", folder / "baum1s")
    if not dataset.standin:
        render(dataset, processes=2)
    where = arena(dataset, "emotion", PROTOCOL, console.progress)
    for name in names("methods"):
        kind = load("methods", name)
        config, _ = configured(name, kind, Wish("quick"))
        short = {dotted: 1 for dotted in flat(config) if dotted.rpartition(".")[2] == "epochs"}
        wish = Wish("quick", "", "", short, weightless=True, pretrain_on=())
        yield row(name, wish, where, 1, WeightStore(folder, none=True)), where


def losing(execute: Executor, cluster: Any, node: Any, tracker: Tracker) -> Executor:
    """The same, but a node is lost after some results, while a Cell is run on each."""

    def executed(jobs: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
        for number, found in enumerate(execute(jobs, progress), start=1):
            if number == LOST_AT:
                while statuses(tracker)["RUNNING"] < NODES:
                    time.sleep(0.05)
                workers = [one for raylet in node.all_processes["raylet"]
                           for one in psutil.Process(raylet.process.pid).children(recursive=True)]  # fmt: skip
                cluster.remove_node(node, allow_graceful=False)
                for worker in workers:  # left alone they go on for seconds, and may finish
                    with suppress(psutil.NoSuchProcess):
                        worker.kill()
            yield found

    return executed


@contextmanager
def kept(folder: Path) -> Iterator[Path]:
    """With what is prepared, and the runs."""
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    yield folder


def answers(outcomes: Iterable[Outcome]) -> dict[str, bytes | None]:
    return {
        result.cell.key: result.scores.probabilities.tobytes() if result.scores else None
        for outcome in outcomes
        for result in outcome.results
    }


def statuses(tracker: Tracker) -> Counter[str]:
    return Counter(run.info.status for _, run in tracker.all("tags.`bench.kind` = 'cell'"))


def main(folder: Path) -> None:
    """Prints what it found; fails where the two differ."""
    with one_thread(), kept(folder):
        asked = list(rows(folder))
        alone, together = (Tracker(f"sqlite:///{folder}/{name}.db") for name in ("alone", "together"))
        expected = Engine(alone, "cpu", console.progress, tell=console.warn).run_all(asked)
        with nodes(NODES, folder) as cluster:
            first, _ = cluster.worker_nodes
            execute = losing(OnRay(str(cluster.address), 0, together.uri, "cpu"), cluster, first, together)
            found = Engine(together, "cpu", console.progress, tell=console.warn, execute=execute).run_all(asked)
        one, other = answers(expected), answers(found)
        told = {
            "cells": len(one),
            "finished": sum(answer is not None for answer in other.values()),
            "same to the last bit": sum(answer == other[key] for key, answer in one.items()),
            "runs in the store": statuses(together),
            "measured": {outcome.row.name: outcome.measured().get("uar") for outcome in found},
        }
        console.write_json(told)
        assert all(one.values()) and one == other
        assert statuses(together)["FINISHED"] == len(one) and statuses(together)["KILLED"]
        assert all(ours.measured() == theirs.measured() for ours, theirs in zip(found, expected, strict=True))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with TemporaryDirectory() as place:
            main(Path(place))
