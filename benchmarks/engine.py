"""Runs rows: prepare, then their Cells wherever they are executed, then the row's own results. Finished is skipped."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from benchmarks.arenas import Arena
from benchmarks.console import Progress
from benchmarks.environment import code, describe
from benchmarks.execute import Executor, here
from benchmarks.inner import Tuning
from benchmarks.plan import Cell, Entrant, Row
from benchmarks.prepare import PreparationError, Store, fill, fill_together
from benchmarks.record import audited, line, row_record
from benchmarks.resume import KEPT, Shelf, Whole
from benchmarks.summaries import Part, kept
from benchmarks.track import ENVIRONMENT, TUNING, Done, Kept, Tracker
from benchmarks.transfer import known, taught
from benchmarks.work import EMPTY, Job, Result, read
from datasets.base import UserError
from methods.base import MethodError
from protocols.scores import METRICS, Scores


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    row: Entrant
    arena: Arena
    results: Sequence[Result]
    trained: int  # Cells that were run, or imported, now; the others were finished before
    run_id: str
    stale: int = 0  # Cells, and models they begin with, that other code than today's made
    told: Mapping[str, float] | None = None  # what was measured, of a row that was finished before

    @property
    def finished(self) -> Sequence[Result]:
        return [result for result in self.results if result.scores]

    @property
    def done(self) -> int:
        """Finished Cells."""
        return len(self.finished) if self.told is None else len(self.results)

    @property
    def failures(self) -> Mapping[str, str]:
        """By Cell, why."""
        return (
            {}
            if self.told is not None
            else {result.cell.title: result.error for result in self.results if not result.scores}
        )

    @property
    def complete(self) -> bool:
        return not self.failures

    def pooled(self) -> list[Scores]:
        """Of each seed, its finished Cells as one."""
        by_seed: dict[int, list[Scores]] = {}
        for result in self.finished:
            if result.scores:
                by_seed.setdefault(result.cell.seed, []).append(result.scores)
        return [joined(scores) for scores in by_seed.values()]

    def measured(self) -> dict[str, float]:
        """Pooled over all test clips (the mean over seeds), and the spread over folds."""
        if self.told is not None:
            return dict(self.told)
        pooled, folds = self.pooled(), [result.scores for result in self.finished if result.scores]
        if not pooled:
            return {}
        values = {name: float(np.mean([getattr(scores, name) for scores in pooled])) for name in METRICS}
        if len(folds) > 1:
            values |= {f"{name}_fold_sd": float(np.std([getattr(s, name) for s in folds], ddof=1)) for name in METRICS}
        values[EMPTY] = sum(result.empty for result in self.finished) / len(pooled)
        return values if self.complete else {f"incomplete_{name}": value for name, value in values.items()}


def joined(parts: Sequence[Scores]) -> Scores:
    """The clips of several folds as one."""
    return Scores(
        labels=parts[0].labels,
        names=tuple(name for part in parts for name in part.names),
        subjects=tuple(subject for part in parts for subject in part.subjects),
        truth=tuple(label for part in parts for label in part.truth),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


@dataclass
class Begun:
    """A row while its Cells are run."""

    job: Job
    before: Mapping[str, Done]  # by key, what was finished earlier
    results: dict[str, Result] = field(default_factory=dict)  # by key, of those that are run

    @property
    def whole(self) -> bool:
        return len(self.results) == len(self.job.todo)


@dataclass(frozen=True)
class Engine:
    """Where results go, on what and where they are computed, and who watches."""

    tracker: Tracker
    device: str
    progress: Progress
    fresh: bool = False
    tell: Callable[[str], None] = field(default=lambda line: None)  # noqa: ARG005
    execute: Executor = here
    tuning: Tuning | None = None  # how trials are run, where rows are tuned

    def run(self, row: Row, arena: Arena) -> Outcome:
        """All Cells of a row: those that are finished are read, the others are run."""
        (outcome,) = self.run_all([(row, arena)])
        return outcome

    def run_all(self, rows: Sequence[tuple[Row, Arena]]) -> list[Outcome]:
        """Several rows; each is closed as soon as the last of its Cells is back."""
        begun, closed = dict[str, Begun](), dict[str, Outcome]()
        work = self._jobs(rows, begun, closed)
        with self._killed(begun, closed), closing(self.execute(work, self.progress)) as results:
            for job, result in results:
                row = begun[job.row.key]
                row.results[result.cell.key] = result
                if result.error:
                    self.tell(f"{job.row.title}, {result.cell.title} failed: {result.error}")
                elif earlier := row.before.get(result.cell.key):
                    self.tracker.supersede(earlier.run_id)
                if row.whole:
                    closed[job.row.key] = self._closed(row)
        return [closed[row.key] for row, _ in rows]

    def _jobs(
        self, rows: Sequence[tuple[Row, Arena]], begun: dict[str, Begun], closed: dict[str, Outcome]
    ) -> Iterator[Job]:
        """One after the other as they are asked for; what has nothing to run is closed at once."""
        find = cache(Shelf(self.tracker, frozenset(row.name for row, _ in rows)).find)
        for number, (row, arena) in enumerate(rows):
            if row.key in begun or row.key in closed:
                continue
            if not self.fresh and (whole := find(row, arena)):
                closed[row.key] = self._whole(row, arena, whole)
                continue
            if not begun:
                fill_together([ahead for ahead in rows[number:] if self._lacks(*ahead, find)], self.progress)
            begun[row.key] = now = self._begin(row, arena)
            if now.job.todo:
                yield now.job
            else:
                closed[row.key] = self._closed(now)

    def _lacks(self, row: Row, arena: Arena, find: Callable[[Row, Arena], Whole | None]) -> bool:
        """Whether a row has Cells that are to be run."""
        if self.fresh:
            return True
        before = self.tracker.finished(self.tracker.experiment(arena.experiment), "bench.setup", row.setup)
        return not find(row, arena) and any(cell.key not in before for cell in row.cells)

    @contextmanager
    def _killed(self, begun: Mapping[str, Begun], closed: Mapping[str, Outcome]) -> Iterator[None]:
        """What ends otherwise is not left as if it were running."""
        try:
            yield
        except BaseException:
            for key, row in begun.items():
                if key not in closed:
                    self.tracker.kill(row.job.run_id)
            raise

    def _whole(self, row: Row, arena: Arena, whole: Whole) -> Outcome:
        """A row that was finished before, as it was then; nothing is written."""
        done = list(whole.done.values())
        self._compare_sources(row, done)
        return Outcome(row, arena, whole, 0, whole.run_id, _stale(row, done) + self._stale_models(row), whole.measured)

    def _begin(self, row: Row, arena: Arena) -> Begun:
        experiment = self.tracker.experiment(arena.experiment)
        before = self.tracker.finished(experiment, "bench.setup", row.setup)
        todo = [cell for cell in row.cells if self.fresh or cell.key not in before]
        store, fault = self._inputs(row, arena) if todo else (None, "")
        title = f"{row.title}, {arena.protocol}"
        run_id = self.tracker.open_row(experiment, row.key, title, *row_record(row, arena, self.device), bool(todo))
        with self.tracker.row(run_id):
            if todo:  # else it would tell of a machine that computed nothing
                self.tracker.note(run_id, ENVIRONMENT, describe(self.device))
                self.tracker.note(run_id, "folds.json", [audited(fold) for fold in arena.folds])
            self._compare_sources(row, [before[cell.key] for cell in row.cells if cell not in todo])
            initial, fault = self._taught(row, {cell.seed for cell in todo}) if store else ({}, fault)
        again = frozenset(before[cell.key].run_id for cell in todo if cell.key in before)
        rest = (experiment, run_id, self.tracker, self.device, again, self.tuning)
        job = Job(row, arena, todo, store, initial, fault, *rest)
        return Begun(job, before)

    def _closed(self, begun: Begun) -> Outcome:
        """The row's own results, from those of its Cells."""
        job, row, done = begun.job, begun.job.row, begun.before
        if begun.results:  # perhaps another process was asked for the same
            done = {**done, **self.tracker.settled(job.experiment, "bench.setup", row.setup)}
        results = [self._counted(cell, begun, done.get(cell.key)) for cell in row.cells]
        old = [done[cell.key] for cell in row.cells if cell.key not in begun.results]
        trained = sum(result.scores is not None for result in begun.results.values())
        outcome = Outcome(row, job.arena, results, trained, job.run_id, _stale(row, old) + self._stale_models(row))
        lines = [line(r.cell, r.scores, r.error, r.run_id, _kept_for_us(r, done.get(r.cell.key))) for r in results]
        if row.wish.trials:
            self.tracker.note(job.run_id, TUNING, [self._found(result) for result in outcome.finished])
        self.tracker.close_row(job.run_id, outcome.measured(), lines, outcome.complete, self._kept(outcome))
        return outcome

    def _found(self, result: Result) -> Mapping[str, Any]:
        """What tuning found for a Cell; for one that was finished before, as it was kept."""
        found = result.tuned or self.tracker.document(result.run_id, TUNING)
        return {"fold": result.cell.fold.name, **found}

    def _kept(self, outcome: Outcome) -> Kept | None:
        """All that was answered, in whole and in short; None where nothing was."""
        parts = [
            Part(
                result.cell.fold.name,
                result.cell.seed,
                result.scores,
                result.metrics,
                self.tracker.curves(result.run_id, result.metrics) if result.curves is None else result.curves,
            )
            for result in outcome.finished
            if result.scores
        ]
        return kept(parts) if parts else None

    def _taught(self, row: Row, seeds: Iterable[int]) -> tuple[dict[int, dict[str, str]], str]:
        """Models to begin with, for the seeds that are to be run; what keeps one from being made fails the Cells."""
        found: dict[int, dict[str, str]] = {}
        for seed in sorted(seeds):
            found[seed] = {}
            for part, initial in row.initials.items():
                try:
                    done = taught(initial, seed, self.tracker, self.device, self.progress, self.fresh)
                except UserError as error:
                    return {}, str(error)
                found[seed][part] = done.run_id
                self._compare_sources(initial.row, [done])
        return found, ""

    def _stale_models(self, row: Row) -> int:
        """Of the models that its Cells begin with; they were read or made before."""
        seeds = {cell.seed for cell in row.cells}
        asked = [(initial, known(initial, seed, self.tracker)) for initial in row.initials.values() for seed in seeds]
        return sum(_stale(initial.row, [done]) for initial, done in asked if done)

    def _compare_sources(self, row: Row, kept: Sequence[Done]) -> None:
        """Say how many finished results come from another source than today's, under the same version."""
        now = row.source
        if old := sum(done.source != now for done in kept):
            self.tell(
                f"{row.title}: {old} finished folds come from another source of {row.name} or of its parts under the "
                f"same version {row.kind.version}; --fresh runs them again"
            )

    def _inputs(self, row: Row, arena: Arena) -> tuple[Store | None, str]:
        """Everything prepared for the clips of an arena; a fault of the method fails its Cells, not the run."""
        try:
            return fill(row, arena.clips, arena.contents, self.device, self.progress), ""
        except (PreparationError, MethodError) as error:
            return None, str(error).strip()

    def _counted(self, cell: Cell, begun: Begun, first: Done | None) -> Result:
        """What was run now, or was finished before; of a Cell that another process has finished too, the first copy."""
        own, before = begun.results.get(cell.key), begun.before.get(cell.key)
        if own and (first is None or first.run_id in (own.run_id, before and before.run_id)):
            return own
        assert first, f"{cell.title} was neither run nor finished"
        return read(cell, first, self.tracker)


def _kept_for_us(result: Result, done: Done | None) -> dict[str, Any]:
    """What the table of Cells tells beside what it tells for readers."""
    return dict(zip(KEPT, (done.source, done.code, result.empty) if done else ("", "", ""), strict=True))


def _stale(row: Row, kept: Sequence[Done]) -> int:
    """How many other code made than today's: of the method, or anywhere between media and scores."""
    now = row.source, code()
    return sum((done.source, done.code) != now for done in kept)
