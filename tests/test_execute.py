"""Wherever Cells run and in whatever order they come back, the results are the same."""

import pickle
from collections.abc import Generator, Iterable
from pathlib import Path

from benchmarks.arenas import arena
from benchmarks.console import Progress, progress
from benchmarks.engine import Engine
from benchmarks.execute import Executor, here
from benchmarks.outcome import Outcome
from benchmarks.plan import row
from benchmarks.result import Result
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from benchmarks.work import Job
from methods.parts.weights import WeightStore
from tests.tinybench import Bench, corpus, make_bench  # noqa: F401  a fixture


def elsewhere(jobs: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
    """All at once, the last first, each from what another process would get."""
    sent = [(job, cell.key, pickle.dumps(job)) for job in jobs for cell in job.todo]
    for job, key, text in reversed(sent):
        there: Job = pickle.loads(text)
        (cell,) = (cell for cell in there.todo if cell.key == key)
        yield job, there.run(cell, lambda now: None)


def outcomes(bench: Bench, execute: Executor, store: Path) -> list[Outcome]:
    protocols = ("leave-one-subject-out", "subject-k-fold:k=2")
    arenas = [arena(corpus(bench.data), "emotion", name, progress) for name in protocols]
    weights = WeightStore(Path("nowhere"), none=True)
    rows = [(row("toy", Wish("quick"), place, 2, weights), place) for place in arenas]
    return Engine(Tracker(f"sqlite:///{store}"), "cpu", progress, execute=execute).run_all([*rows, rows[0]])


def test_results_are_those_of_this_process(bench: Bench) -> None:
    first = outcomes(bench, here, bench.folder / "here.db")
    second = outcomes(bench, elsewhere, bench.folder / "elsewhere.db")
    assert len(first) == len(second) == 3 and first[0] is first[2]
    for one, other in zip(first, second, strict=True):
        assert one.complete and one.row.key == other.row.key and one.measured() == other.measured()
        assert [result.cell.key for result in one.results] == [result.cell.key for result in other.results]
        assert one.trained == other.trained == len(one.results)
    again = outcomes(bench, elsewhere, bench.folder / "here.db")
    assert [outcome.trained for outcome in again] == [0, 0, 0]
    assert [outcome.measured() for outcome in again] == [outcome.measured() for outcome in first]
