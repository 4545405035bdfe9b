"""Runs rows: prepare, then their Cells wherever they are executed, then the row's own results. Finished is skipped."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks import interrupts
from benchmarks.arenas import Arena
from benchmarks.checkpoints import forget
from benchmarks.console import Progress
from benchmarks.determinism import deterministic
from benchmarks.environment import code, describe
from benchmarks.execute import Executor, here
from benchmarks.inner import Tuning
from benchmarks.outcome import Outcome
from benchmarks.plan import Cell, Row
from benchmarks.prepare import PreparationError, Store, fill, fill_together
from benchmarks.reach import LATER, AwayError
from benchmarks.record import audited, line, row_record
from benchmarks.result import Result, read
from benchmarks.resume import KEPT, Shelf, Whole
from benchmarks.spool import deliver
from benchmarks.summaries import Part, kept
from benchmarks.track import ENVIRONMENT, TUNING, Done, Kept, Opening, Tracker
from benchmarks.transfer import known, taught
from benchmarks.work import Job
from datasets.clips import UserError
from methods.base import MethodError


@dataclass(frozen=True)
class Known:
    """A row and what the store knows of it at the beginning of a run."""

    row: Row
    arena: Arena
    experiment: str
    whole: Whole | None
    before: Mapping[str, Done]  # by key, what was finished earlier
    todo: Sequence[Cell]


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
    deterministic: bool = False

    def run(self, row: Row, arena: Arena) -> Outcome:
        """All Cells of a row: those that are finished are read, the others are run."""
        return self.run_all([(row, arena)])[0]

    def run_all(self, rows: Sequence[tuple[Row, Arena]]) -> list[Outcome]:
        """Several rows; each is closed as soon as the last of its Cells is back, and the store has them all."""
        begun, closed = dict[str, Begun](), dict[str, Outcome]()
        known = self._known(rows)
        with deterministic(self.deterministic), self._killed(known, begun, closed):
            work = self._jobs(known, begun, closed)
            with closing(self.execute(work, self.progress)) as results:
                for job, result in results:
                    row = begun[job.row.key]
                    row.results[result.cell.key] = result
                    for line in result.notes:
                        self.tell(f"{job.row.title}: {line}")
                    if result.error:
                        self.tell(f"{job.row.title}, {result.cell.title} failed: {result.error}")
                    if row.whole:
                        closed[job.row.key] = self._closed(row)
            self.tracker.reach.anew()  # it may have come back since the last Cell
            for key in [key for key, outcome in closed.items() if outcome.waiting]:
                closed[key] = self._closed(begun[key])
        if count := sum(outcome.waiting for outcome in closed.values()):
            self.tell(
                f"{count} results wait in {self.tracker.spool.folder} until {self.tracker.shown} takes them: python -m "
                "benchmarks sync sends them; the same command then completes the rows, and trains nothing again"
            )
        return [closed[row.key] for row, _ in rows]

    def _known(self, rows: Sequence[tuple[Row, Arena]]) -> list[Known]:
        """What the store knows of each row, all at the beginning, for later it may be away."""
        sent, why = deliver(self.tracker)
        if sent or why:
            self.tell(f"{sent} results that waited were sent" + (f"; others wait: {why}" if why else ""))
        self.tracker.spool.sweep()
        shelf = Shelf(self.tracker, frozenset(row.name for row, _ in rows))
        known = dict[str, Known]()
        for row, arena in rows:
            if row.key not in known:
                experiment = self.tracker.experiment(arena.experiment)
                whole = None if self.fresh else shelf.find(row, arena)
                before = {} if whole else self.tracker.finished(experiment, "bench.setup", row.setup)
                todo = [] if whole else [cell for cell in row.cells if self.fresh or cell.key not in before]
                known[row.key] = Known(row, arena, experiment, whole, before, todo)
        for experiment in {one.experiment for one in known.values() if not one.whole}:
            self.tracker.bury(experiment)
        return list(known.values())

    def _jobs(self, known: Sequence[Known], begun: dict[str, Begun], closed: dict[str, Outcome]) -> Iterator[Job]:
        """One after the other as they are asked for; what has nothing to run is closed at once."""
        for number, one in enumerate(known):
            if one.whole:
                closed[one.row.key] = self._whole(one.row, one.arena, one.whole)
                continue
            if not begun:
                fill_together([(ahead.row, ahead.arena) for ahead in known[number:] if ahead.todo], self.progress)
            begun[one.row.key] = now = self._begin(one)
            if now.job.todo:
                yield now.job
            else:
                closed[one.row.key] = self._closed(now)

    @contextmanager
    def _killed(
        self, known: Sequence[Known], begun: Mapping[str, Begun], closed: Mapping[str, Outcome]
    ) -> Iterator[None]:
        """What ends otherwise is not left as if it were running, and its user is told what there is of it."""
        try:
            yield
        except BaseException as error:
            with suppress(UserError):
                for key, row in begun.items():
                    if (key not in closed or closed[key].waiting) and row.job.run_id:
                        self.tracker.kill(row.job.run_id)
            if isinstance(error, KeyboardInterrupt):
                interrupts.told = self._summary(known, begun)
            raise

    def _summary(self, known: Sequence[Known], begun: Mapping[str, Begun]) -> str:
        """Of a run that was interrupted."""
        cells = {one.row.key: {cell.key for cell in one.row.cells} for one in known}
        done = {one.row.key: set(cells[one.row.key]) if one.whole else set(one.before) for one in known}
        if self.fresh:
            done = {key: set() for key in done}
        for key, row in begun.items():
            done[key] |= {result.cell.key for result in row.results.values() if result.scores}
        count = sum(len(done[key] & cells[key]) for key in cells)
        return (
            f"interrupted: {count} of {sum(map(len, cells.values()))} Cells are finished and kept"
            f"{'; the same command without --fresh' if self.fresh else '; the same command'} goes on with the others"
        )

    def _whole(self, row: Row, arena: Arena, whole: Whole) -> Outcome:
        """A row that was finished before, as it was then; nothing is written."""
        done = list(whole.done.values())
        self._compare_sources(row, done)
        return Outcome(row, arena, whole, 0, whole.run_id, _stale(row, done) + self._stale_models(row), whole.measured)

    def _begin(self, known: Known) -> Begun:
        row, arena, before, todo = known.row, known.arena, known.before, known.todo
        for cell in todo if self.fresh else ():
            forget(self.tracker.place, cell.key)
        store, fault = self._inputs(row, arena) if todo else (None, "")
        opening = Opening(row.key, f"{row.title}, {arena.protocol}", *row_record(row, arena, self.device))
        run_id = self._opened(known, opening)
        self._compare_sources(row, [before[cell.key] for cell in row.cells if cell not in todo])
        with self.tracker.row(run_id):
            initial, fault = self._taught(row, {cell.seed for cell in todo}) if store else ({}, fault)
        again = {cell.key: before[cell.key].run_id for cell in todo if cell.key in before}
        old = self.tracker.spool.names() if self.fresh else frozenset[str]()
        rest = (known.experiment, run_id, self.tracker, self.device, again, None if run_id else opening, self.tuning)
        return Begun(Job(row, arena, todo, store, initial, fault, *rest, old, self.deterministic), before)

    def _opened(self, known: Known, opening: Opening) -> str:
        """The row's run in the store; empty where that is away."""
        try:
            run_id = self.tracker.open_row(known.experiment, opening, bool(known.todo))
            if known.todo:  # else it would tell of a machine that computed nothing
                with self.tracker.row(run_id):
                    self.tracker.note(run_id, ENVIRONMENT, describe(self.device))
                    self.tracker.note(run_id, "folds.json", [audited(fold) for fold in known.arena.folds])
        except AwayError:
            return ""
        return run_id

    def _closed(self, begun: Begun) -> Outcome:
        """The row's own results, from those of its Cells; where the store lacks some of them, it stays open."""
        try:
            deliver(self.tracker)
            return self._settled(begun)
        except AwayError as error:
            own = begun.results
            nobody = f"its result is in the store: {error}"
            results = [own.get(cell.key) or Result(cell, None, nobody) for cell in begun.job.row.cells]
            trained = sum(result.scores is not None and result.trained for result in own.values())
            waiting = sum(bool(self.tracker.spool.waiting(key)) for key in own) or 1  # or those of another machine
            return Outcome(begun.job.row, begun.job.arena, results, trained, begun.job.run_id, waiting=waiting)

    def _settled(self, begun: Begun) -> Outcome:
        job, row, done = begun.job, begun.job.row, begun.before
        run_id = job.run_id
        if begun.results:  # perhaps another process was asked for the same
            done = {**done, **self.tracker.settled(job.experiment, "bench.setup", row.setup)}
            if any(result.scores and key not in done for key, result in begun.results.items()):
                raise AwayError(f"{self.tracker.shown} has not taken all results; {LATER}")
            if job.opening:
                run_id = self.tracker.open_row(job.experiment, job.opening, True)
        results = [self._counted(cell, begun, done.get(cell.key)) for cell in row.cells]
        old = [done[cell.key] for cell in row.cells if cell.key not in begun.results]
        trained = sum(result.scores is not None and result.trained for result in begun.results.values())
        outcome = Outcome(row, job.arena, results, trained, run_id, _stale(row, old) + self._stale_models(row))
        lines = [line(r.cell, r.scores, r.error, r.run_id, _kept_for_us(r, done.get(r.cell.key))) for r in results]
        if row.wish.trials:
            self.tracker.note(run_id, TUNING, [self._found(result) for result in outcome.finished])
        self.tracker.close_row(run_id, outcome.measured(), lines, outcome.complete, self._kept(outcome))
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
