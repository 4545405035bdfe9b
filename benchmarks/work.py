"""One Cell: fit, predict, score, keep; wherever it is run."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.abroad import BusyError
from benchmarks.arenas import Arena
from benchmarks.cellrun import FACTS, CellRun
from benchmarks.checkpoints import kept_at
from benchmarks.claims import HELP, PAUSE, claims
from benchmarks.company import TOGETHER, Attempt, Company, Steps, alone
from benchmarks.console import unshown
from benchmarks.cost import metered, operations, parameters
from benchmarks.determinism import deterministic
from benchmarks.door import Door
from benchmarks.files import explained
from benchmarks.handed import Handed, handed, line
from benchmarks.inner import Tuning
from benchmarks.plan import Cell, Entrant, Row
from benchmarks.prepare import DamagedError, PreparationError, Store, fill, reason
from benchmarks.processes import beside
from benchmarks.reach import AwayError
from benchmarks.record import cell_tags, membership, model_facts
from benchmarks.result import EMPTY, Result, nothing_found, read, unsent
from benchmarks.track import Opening, Tracker
from benchmarks.training import training
from benchmarks.transfer import folders
from datasets.clips import Media
from methods.base import Examples, RunContext
from protocols.base import Fold

Told = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Job:
    """The Cells of a row that are to be run, and all that they share; it can be sent to another process."""

    row: Row
    arena: Arena
    todo: Sequence[Cell]
    store: Store | None
    initial: Mapping[int, Mapping[str, str]]  # runs of models to begin with, by seed and by the method's own names
    fault: str  # why there is no store or no model to begin with
    experiment: str
    run_id: str
    tracker: Tracker
    device: str
    before: Mapping[str, str] = field(default_factory=dict)  # by key, runs that are finished, and to be run again
    opening: Opening | None = None  # of the row, where it could not be begun in the store
    tuning: Tuning | None = None  # how trials are run, where the row is tuned
    waiting: frozenset[str] = frozenset()  # results that are not sent yet, of Cells that are to be run again
    deterministic: bool = False

    @property
    def title(self) -> str:
        return f"{self.row.title}, {self.arena.protocol}"

    @property
    def together(self) -> bool:
        """Whether its Cells may be trained together."""
        return self.row.method().one_network and not self.row.wish.trials

    def attempt(self, cell: Cell, told: Told) -> Result | None:
        """What became of a Cell, here or elsewhere; None: another process is at it."""
        return alone(self.begun(cell, told))

    def begun(self, cell: Cell, told: Told, company: Company | None = None) -> Attempt:
        """The same step by step: in company it stops where it is to be fitted, and others do that."""
        own = claims(self.tracker.place)
        with own.holding(key := self._claim(cell.key)) as ours, deterministic(self.deterministic):
            if not ours:
                return None
            if (found := self._elsewhere(cell)) or self.tracker.abroad.busy(self.experiment, cell.key):
                return found
            with suppress(BusyError):
                return (yield from self._run(cell, told, own.taken(key), company))
            return None

    def wait(self, cell: Cell, told: Told) -> Result:
        """The same, however long another process is at it; one that is gone is waited for no longer."""
        next_help = 0.0
        while (result := self.attempt(cell, told)) is None:
            near = claims(self.tracker.place).holder(self._claim(cell.key))
            other = near or self.tracker.abroad.busy(self.experiment, cell.key)
            told(f"{cell.title}: waiting for {other}")
            if time.monotonic() > next_help and not (self.device != "cpu" and beside(other)):
                with suppress(Exception):  # what keeps this process from helping, the other one tells
                    if self.help_out(cell, once=True):
                        continue
                next_help = time.monotonic() + HELP
            time.sleep(PAUSE if near else 5 * PAUSE)
        return result

    def run(self, cell: Cell, told: Told) -> Result:
        """What became of a Cell that is trained here."""
        result = alone(self._run(cell, told, "", None))
        assert result, "nobody else is asked"
        return result

    def _run(self, cell: Cell, told: Told, gone: str, company: Company | None) -> Steps:
        """`gone` is the process that had it before and is dead."""
        title, tags = f"{self.row.title}, {cell.title}", cell_tags(self.row, self.arena, cell, self.device)
        about = (self.experiment, self.opening or self.run_id, title, tags, self.before.get(cell.key, ""))
        notes = [f"{cell.title} is taken over from process {gone}, which is gone"] if gone else []
        try:
            with self.tracker.cell(*about, {gone}) as run:
                if self.fault or self.store is None:
                    raise PreparationError(self.fault)
                with self._begun_with(cell.seed) as initial:
                    steps = partial(self._fit_and_test, cell, self.store, initial, run, told, notes.append)
                    result = yield from self._tried(steps, self.store, notes.append, company)
        except BusyError:
            raise
        except Exception as error:  # one Cell's fault, whatever it is, must not cost the others
            return Result(cell, None, reason(explained(error)), notes=tuple(notes))
        waits = [f"{cell.title} is kept in {self.tracker.spool.folder}: {run.waits}"] if run.waits else []
        return replace(result, notes=(*notes, *waits))

    def _claim(self, key: str) -> str:
        """By store, for what one store lacks another may have."""
        return f"{self.tracker.spool.mark} {key}"

    def _elsewhere(self, cell: Cell) -> Result | None:
        """A Cell that another process has finished since this one began."""
        for parcel in self.tracker.spool.waiting(cell.key):
            if parcel.folder.name not in self.waiting:
                with suppress(FileNotFoundError):  # sent a moment ago
                    return unsent(cell, parcel)
        with suppress(AwayError):
            if done := self.tracker.meanwhile(self.experiment, cell.key, self.before.values()):
                return read(cell, done, self.tracker)
        return None

    def help_out(self, cell: Cell, once: bool = False) -> bool:
        """Trials of a Cell's study, while any wait or `once`; whoever runs the Cell tells what became of them."""
        if not (self.row.wish.trials and self.store and self.tuning):
            return False
        from benchmarks.tune import helped, task

        with self._begun_with(cell.seed) as initial, deterministic(self.deterministic):
            asked = task(self.row, cell, self.store, self.device, initial, self.tracker.place)
            self._door.tuned(cell.fold, asked.inner, self.row.method(), self.store, cell.seed)
            return helped(asked, self.tuning, once)

    def reads(self, cell: Cell) -> Iterator[tuple[Store, Media]]:
        """Inputs that a Cell reads."""
        if self.store:
            train = [clip.media for clip in cell.fold.train] if isinstance(cell.fold, Fold) else []
            test = cell.fold.test_media
            yield from ((self.store, media) for media in (*train, *test))
            if self.store.source:
                yield from ((self.store.source, test[n]) for n in _some(test))

    def _begun_with(self, seed: int) -> AbstractContextManager[Mapping[str, Path]]:
        """Folders of the models that a fit begins with."""
        return folders(self.initial.get(seed, {}), self.tracker)

    @cached_property
    def _door(self) -> Door:
        return Door(self.arena)

    def _admitted(self, cell: Cell, learnt: Iterable[Examples | None], test: Handed) -> None:
        """An error, before anything is trained, if what is learnt from has seen what is tested."""
        self._door.check(cell.fold, learnt, test)
        for run_id in self.initial.get(cell.seed, {}).values():
            self._door.begun(cell.fold, self.tracker.document(run_id, FACTS), test)

    def _tried(
        self, steps: Callable[[Company | None], Steps], store: Store, tell: Told, company: Company | None
    ) -> Steps:
        """Once more and by itself, where inputs were damaged and could be made again."""
        try:
            return (yield from steps(company))
        except DamagedError:
            count = 1 + store.purge(self.arena.clips)
            tell(f"{count} damaged files of {store.folder} are made again")
            fill(self.row, self.arena.clips, self.arena.contents, self.device, unshown)
            return (yield from steps(None))

    def _fit_and_test(
        self,
        cell: Cell,
        store: Store,
        initial: Mapping[str, Path],
        run: CellRun,
        told: Told,
        tell: Told,
        company: Company | None,
    ) -> Steps:
        def log(name: str, value: float, step: int) -> None:
            run.log(name, value, step)
            told(f"{cell.title}, epoch {step}: {name} {value:.3f}")

        fold = cell.fold
        test = handed(store, fold.test_media)
        train, validation = training(self.row.method(), fold, store, cell.seed, self.row.permuted)
        self._admitted(cell, (train, validation), test)
        row, tuned, figures_of_tuning = self._tuned(cell, store, initial, run, told)
        where = (store.folder.name, self.device, self.deterministic)
        made_with = (*where, row.source, row.config, self.initial.get(cell.seed, {}))
        checkpoints = kept_at(self.tracker.place, cell.key, made_with, tell)
        method = row.method()
        with metered(self.device) as figures, line(log) as telling:
            context = RunContext(cell.seed, self.device, telling, self.row.pretrained, initial, checkpoints=checkpoints)
            spent = None
            if company:
                checkpoints.sharers = lambda: company.members
                spent = yield from company.fitted(method, train, validation, context)
            members = company.members if company else 1
            if spent is None:
                checkpoints.restart()
                started = time.perf_counter()
                method.fit(train, validation, context)
                spent = time.perf_counter() - started
            elif members > 1:
                figures[TOGETHER] = members
            fitted = time.perf_counter()
            given = method.predict_proba(Examples(test, fold.labels))
            scores = fold.score(given)
            ended = time.perf_counter()
        self._door.scored(fold, given, scores)
        empty, unseen = nothing_found(test)
        figures |= figures_of_tuning
        if checkpoints.earlier or members > 1:  # nobody measured what the process before used, or each of several
            figures.pop("energy_joules", None)
        figures |= {
            "fit_seconds": spent + checkpoints.earlier,
            "predict_seconds": ended - fitted,
            "predict_seconds_per_clip": (ended - fitted) / len(test),
            EMPTY: empty,
            "train_clips": len(train),
            "test_clips": len(test),
            "dropped_clips": len(fold.dropped),
        }
        some = _some(test)
        raw, ready = handed(store.source or store, fold.test_media), Examples([test[n] for n in some], fold.labels)
        figures |= operations(method, self.row.frozen, [raw[n] for n in some], ready, self.device)
        if unseen is not None:
            figures["share_of_frames_without_a_face"] = unseen
        with TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            model.mkdir()
            method.save(model)
            figures |= parameters(method)
            facts = membership(row, self.arena, cell) | model_facts(row) | ({"tuned": tuned} if tuned else {})
            kept = None if row.permuted else model  # what was taught nonsense answers nobody
            run.finish(scores, figures, kept, facts, marks(self.row, self.arena))
        checkpoints.discard()
        return Result(cell, scores, "", run.run_id, empty, figures, run.told, tuned)

    def _tuned(
        self, cell: Cell, store: Store, initial: Mapping[str, Path], run: CellRun, told: Told
    ) -> tuple[Row, Mapping[str, Any] | None, dict[str, float]]:
        """The row as tuning has it for this fold alone; as it is, where nothing is tuned."""
        if not self.row.wish.trials:
            return self.row, None, {}
        assert self.tuning is not None, "a row that is tuned is run by an engine that knows where studies are kept"
        from benchmarks.trials import keep
        from benchmarks.tune import task, tune

        started = time.perf_counter()
        asked = task(self.row, cell, store, self.device, initial, self.tracker.place)
        self._door.tuned(cell.fold, asked.inner, self.row.method(), store, cell.seed)
        tuned = tune(asked, self.tuning, lambda now: told(f"{cell.title}, {now}"))
        found = keep(run, tuned)
        figures = {"tune_seconds": time.perf_counter() - started}
        return replace(self.row, config=tuned.config), found, figures


def _some(test: Sequence[object]) -> range:
    """Three clips at most, of unlike lengths."""
    return range(0, len(test), -(-len(test) // 3))


def marks(row: Entrant, arena: Arena) -> str:
    """What a picture of a result must say."""
    standin = "STAND-IN of " if arena.dataset.standin else ""
    permuted = "LABELS PERMUTED, " if arena.permuted else ""
    return f"{permuted}{standin}{arena.dataset.name}, subjects: {row.independence(arena.independence)}"
