"""Runs Cells: prepare -> fit -> predict -> score -> track. What is finished is skipped; what fails stays visible."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cellrun import CellRun
from benchmarks.console import Progress
from benchmarks.cost import metered, operations, parameters
from benchmarks.environment import code, describe
from benchmarks.plan import Arena, Cell, Entrant, Row
from benchmarks.plugins import build
from benchmarks.prepare import PreparationError, Store, Stored, fill, reason
from benchmarks.record import audited, cell_tags, line, membership, model_facts, row_record
from benchmarks.summaries import Part, kept
from benchmarks.track import ENVIRONMENT, Done, Kept, Tracker
from benchmarks.transfer import known, taught
from datasets.base import Media, UserError
from methods.base import Examples, Method, MethodError, Prepared, RunContext
from protocols.base import Fold, Judged, ProtocolError
from protocols.scores import METRICS, Scores
from reports.summary import VERSION

EMPTY = "clips_where_nothing_was_found"
FOUND = "found"  # an input, one for each frame: whether a face was found there
VALIDATION = 0.2  # of the training clips, whole subjects


@dataclass(frozen=True)
class Result:
    """What became of a Cell: scores, or why there are none."""

    cell: Cell
    scores: Scores | None
    error: str = ""
    run_id: str = ""
    empty: int = 0  # test clips in which preparation found nothing for an input
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[tuple[str, float, int]] | None = None  # None: they are in the store


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    row: Entrant
    arena: Arena
    results: Sequence[Result]
    trained: int  # Cells that were run, or imported, now; the others were finished before
    run_id: str
    stale: int = 0  # Cells, and models they begin with, that other code than today's made

    @property
    def finished(self) -> Sequence[Result]:
        return [result for result in self.results if result.scores]

    @property
    def failures(self) -> Mapping[str, str]:
        """By Cell, why."""
        return {result.cell.title: result.error for result in self.results if not result.scores}

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


@dataclass(frozen=True)
class Job:
    """What all Cells of a row share while they run."""

    row: Row
    arena: Arena
    store: Store | None
    initial: Mapping[int, Mapping[str, Path]]  # models to begin with, by seed and by the method's own names
    fault: str  # why there is no store or no model to begin with
    experiment: str
    run_id: str


@dataclass(frozen=True)
class Engine:
    """Where results go, on what they are computed, and who watches."""

    tracker: Tracker
    device: str
    progress: Progress
    fresh: bool = False
    tell: Callable[[str], None] = field(default=lambda line: None)  # noqa: ARG005

    def run(self, row: Row, arena: Arena) -> Outcome:
        """All Cells of a row: those that are finished are read, the others are run."""
        experiment = self.tracker.experiment(arena.experiment)
        before = self.tracker.finished(experiment, row.name)
        todo = [cell for cell in row.cells if self.fresh or cell.key not in before]
        store, fault = self._inputs(row, arena) if todo else (None, "")
        title = f"{row.title}, {arena.protocol}"
        run_id = self.tracker.open_row(experiment, row.key, title, *row_record(row, arena, self.device), bool(todo))
        if todo:  # else it would tell of a machine that computed nothing
            self.tracker.note(run_id, ENVIRONMENT, describe(self.device))
            self.tracker.note(run_id, "folds.json", [audited(fold) for fold in arena.folds])
        old = [before[cell.key] for cell in row.cells if cell not in todo]
        self._compare_sources(row, old)
        with self.tracker.row(run_id), TemporaryDirectory() as folder:
            initial, fault = self._taught(row, todo, Path(folder)) if store else ({}, fault)
            job = Job(row, arena, store, initial, fault, experiment, run_id)
            results = list(self._cells(job, todo, before, title))
        trained = sum(result.scores is not None and result.cell in todo for result in results)
        outcome = Outcome(row, arena, results, trained, run_id, _stale(row, old) + self._stale_models(row))
        lines = [line(r.cell, r.scores, r.error, r.run_id) for r in results]
        kept = self._kept(outcome) if todo or not self.tracker.summarised(run_id, VERSION) else None
        self.tracker.close_row(run_id, outcome.measured(), lines, outcome.complete, kept)
        return outcome

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

    def _cells(self, job: Job, todo: Sequence[Cell], before: Mapping[str, Done], title: str) -> Iterator[Result]:
        """Each run, or read where it is finished."""
        with self.progress(title) as advance:
            for number, cell in enumerate(job.row.cells):
                told = partial(advance, number, len(job.row.cells))
                told(cell.title)
                earlier = before.get(cell.key)
                if earlier and cell not in todo:
                    yield self._read(cell, earlier)
                    continue
                result = self._cell(job, cell, told)
                if earlier and result.scores:
                    self.tracker.supersede(earlier.run_id)
                yield result

    def _taught(self, row: Row, todo: Sequence[Cell], folder: Path) -> tuple[dict[int, dict[str, Path]], str]:
        """Models to begin with, for the seeds that are to be run; what keeps one from being made fails the Cells."""
        found: dict[int, dict[str, Path]] = {}
        for seed in sorted({cell.seed for cell in todo}):
            found[seed] = {}
            for part, initial in row.initials.items():
                try:
                    done = taught(initial, seed, self.tracker, self.device, self.progress, self.fresh)
                    found[seed][part] = self.tracker.model(done.run_id, folder / f"{seed}-{part}")
                except UserError as error:
                    return {}, str(error)
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

    def _read(self, cell: Cell, done: Done) -> Result:
        return Result(
            cell, self.tracker.scores(done.run_id), "", done.run_id, int(done.metrics.get(EMPTY, 0)), done.metrics
        )

    def _cell(self, job: Job, cell: Cell, told: Callable[[str], None]) -> Result:
        title, tags = f"{job.row.title}, {cell.title}", cell_tags(job.row, job.arena, cell, self.device)
        try:
            with self.tracker.cell(job.experiment, job.run_id, title, tags) as run:
                if job.fault or job.store is None:
                    raise PreparationError(job.fault)
                return self._fit_and_test(job, cell, job.store, run, told)
        except Exception as error:  # one Cell's fault, whatever it is, must not cost the others
            self.tell(f"{title} failed: {reason(error)}")
            return Result(cell, None, reason(error))

    def _fit_and_test(self, job: Job, cell: Cell, store: Store, run: CellRun, told: Callable[[str], None]) -> Result:
        def log(name: str, value: float, step: int) -> None:
            run.log(name, value, step)
            told(f"{cell.title}, epoch {step}: {name} {value:.3f}")

        started = time.perf_counter()
        method, fold = job.row.method(), cell.fold
        with metered(self.device) as figures:
            train, validation = training(method, fold, store, cell.seed)
            initial = job.initial.get(cell.seed, {})
            method.fit(train, validation, RunContext(cell.seed, self.device, log, job.row.pretrained, initial))
            fitted = time.perf_counter()
            test = Stored(store, fold.test_media)
            scores = fold.score(method.predict_proba(Examples(test, fold.labels)))
            ended = time.perf_counter()
        empty, unseen = _found(test)
        figures |= {
            "fit_seconds": fitted - started,
            "predict_seconds": ended - fitted,
            "predict_seconds_per_clip": (ended - fitted) / len(test),
            EMPTY: empty,
            "train_clips": len(train),
            "test_clips": len(test),
            "dropped_clips": len(fold.dropped),
        }
        some = range(0, len(test), -(-len(test) // 3))  # clips, of unlike lengths
        raw, ready = Stored(store.source or store, fold.test_media), Examples([test[n] for n in some], fold.labels)
        figures |= operations(method, job.row.frozen, [raw[n] for n in some], ready, self.device)
        if unseen is not None:
            figures["share_of_frames_without_a_face"] = unseen
        with TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            model.mkdir()
            method.save(model)
            figures |= parameters(method)
            facts = membership(job.row, job.arena, cell) | model_facts(job.row)
            run.finish(scores, figures, model, facts, marks(job.row, job.arena))
        return Result(cell, scores, "", run.run_id, empty, figures, run.told)


def _found(test: Sequence[Prepared]) -> tuple[int, float | None]:
    """Clips in which nothing was found for an input, and the mean share of frames without a face where that is told."""
    empty, unseen = 0, list[float]()
    for clip in test:
        empty += any(not len(array) for array in clip.values())
        if len(frames := clip.get(FOUND, ())):
            unseen.append(1 - float(np.mean(frames)))
    return empty, float(np.mean(unseen)) if unseen else None


def _stale(row: Row, kept: Sequence[Done]) -> int:
    """How many other code made than today's: of the method, or anywhere between media and scores."""
    return sum((done.source, done.code) != (row.source, code()) for done in kept)


def marks(row: Entrant, arena: Arena) -> str:
    """What a picture of a result must say."""
    standin = "STAND-IN of " if arena.dataset.standin else ""
    return f"{standin}{arena.dataset.name}, subjects: {row.independence(arena.independence)}"


def training(method: Method, fold: Judged, store: Store, seed: int) -> tuple[Examples, Examples | None]:
    """Training examples; of a method that chooses an epoch, one fifth of their subjects apart, by seed."""
    if not isinstance(fold, Fold):
        raise ProtocolError(f"{fold.name} is no fold of the guard, and only on those is anything trained")
    inner = None
    if method.validates:
        kind = "subject-holdout" if all(clip.subject for clip in fold.train) else "random-holdout"
        inner = next(fold.inner(build("protocols", f"{kind}:share={VALIDATION},seed={seed}")))
    told = {clip.media.clip_id: clip.label for clip in fold.train}

    def examples(media: Sequence[Media]) -> Examples:
        return Examples(Stored(store, media), fold.labels, tuple(told[m.clip_id] for m in media))

    if inner is None:
        return examples([clip.media for clip in fold.train]), None
    return examples([clip.media for clip in inner.train]), examples(inner.test_media)
