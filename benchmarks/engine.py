"""Runs Cells: prepare -> fit -> predict -> score -> track. What is finished is skipped; what fails stays visible."""

import hashlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.content import contents, corpus_digest, tied
from benchmarks.corpora import Progress
from benchmarks.environment import describe, git
from benchmarks.plan import Arena, Cell, Row
from benchmarks.plugins import build, canonical
from benchmarks.prepare import PreparationError, Store, Stored, fill
from benchmarks.track import METRICS, CellRun, Tracker
from datasets.base import Dataset, DatasetError, Media
from methods.base import Examples, Method, MethodError, RunContext
from protocols.base import Fold, Protocol, ProtocolError
from protocols.scores import Scores

VALIDATION = 0.2  # of the training clips, whole subjects


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    row: Row
    arena: Arena
    scores: Mapping[int, Sequence[Scores]]  # by seed, of the finished folds
    trained: int  # Cells that were run now; the others were finished before
    failures: Mapping[str, str]  # by Cell, why
    run_id: str = ""

    @property
    def complete(self) -> bool:
        return sum(map(len, self.scores.values())) == len(self.row.cells)

    def measured(self) -> dict[str, float]:
        """Pooled over all test clips (the mean over seeds), and the spread over folds."""
        if not any(self.scores.values()):
            return {}
        pooled = [joined(scores) for scores in self.scores.values() if scores]
        folds = [scores for seed in self.scores.values() for scores in seed]
        values = {name: float(np.mean([getattr(scores, name) for scores in pooled])) for name in METRICS}
        if len(folds) > 1:
            values |= {f"{name}_fold_sd": float(np.std([getattr(s, name) for s in folds], ddof=1)) for name in METRICS}
        return values


def joined(parts: Sequence[Scores]) -> Scores:
    """The clips of several folds as one."""
    return Scores(
        labels=parts[0].labels,
        names=tuple(name for part in parts for name in part.names),
        subjects=tuple(subject for part in parts for subject in part.subjects),
        truth=tuple(label for part in parts for label in part.truth),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def arena(dataset: Dataset, task: str, protocol: str, progress: Progress) -> Arena:
    """Clips, tied by what they hold, and the folds of the protocol; an error if a file is broken or contradictory."""
    told = canonical(protocol or dataset.default_protocol)
    built: Protocol = build("protocols", told, dataset.protocol_settings)
    clips = dataset.index(task)
    if not clips:
        raise DatasetError(f"{dataset.title} at {dataset.root} holds no clip; {dataset.how_to_get}; see check")
    with progress(f"reading {dataset.name}") as advance:
        known = contents(clips, advance)
    clips = tied(clips, known)
    folds = tuple(built.folds(clips))
    if not folds:
        raise ProtocolError(
            f"{told} makes no fold of the {len(clips)} clips of {dataset.name}; choose another protocol"
        )
    return Arena(dataset, task, told, clips, folds, known, corpus_digest(clips, known))


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
        name = arena.dataset.name + (" (STAND-IN)" if arena.dataset.standin else "")
        experiment = self.tracker.experiment(name)
        finished = {} if self.fresh else self.tracker.finished(experiment, row.name)
        todo = [cell for cell in row.cells if cell.key not in finished]
        scores: dict[int, list[Scores]] = {cell.seed: [] for cell in row.cells}
        failures: dict[str, str] = {}
        table: list[dict[str, Any]] = []
        store, fault = self._inputs(row, arena) if todo else (None, "")
        run_id = self.tracker.open_row(
            experiment, row.key, f"{row.title}, {arena.protocol}", *_told(row, arena, self.device), bool(todo)
        )
        if todo:  # else it would tell of a machine that computed nothing
            self.tracker.note(run_id, "environment.json", describe(self.device))
        with self.tracker.row(run_id), self.progress(f"{row.title}, {arena.protocol}") as advance:
            for number, cell in enumerate(row.cells, start=1):
                title = f"{cell.fold.name}, seed {cell.seed}"
                error = ""
                if cell.key not in finished:
                    found, error = self._cell(row, arena, cell, store, fault, experiment, run_id)
                else:
                    found = self.tracker.scores(finished[cell.key])
                if found:
                    scores[cell.seed].append(found)
                else:
                    failures[title] = error
                    self.tell(f"{row.title}: {title} failed: {error}")
                table.append(_line(cell, found, error))
                advance(number, len(row.cells))
        outcome = Outcome(row, arena, scores, len(todo) - len(failures), failures, run_id=run_id)
        self.tracker.close_row(run_id, outcome.measured(), table, outcome.complete)
        return outcome

    def _inputs(self, row: Row, arena: Arena) -> tuple[Store | None, str]:
        """Everything prepared for the clips of an arena; a fault of the method fails its Cells, not the run."""
        try:
            return fill(row, arena.clips, arena.contents, self.device, self.progress), ""
        except (PreparationError, MethodError) as error:
            return None, str(error).strip()

    def _cell(
        self, row: Row, arena: Arena, cell: Cell, store: Store | None, fault: str, experiment: str, parent: str
    ) -> tuple[Scores | None, str]:
        tags = _cell_tags(row, arena, cell, self.device)
        try:
            with self.tracker.cell(experiment, parent, f"{row.title}, {cell.fold.name}, seed {cell.seed}", tags) as run:
                if store is None:
                    raise PreparationError(fault)
                return self._fit_and_test(row, cell, store, run), ""
        except Exception as error:  # one Cell's fault, whatever it is, must not cost the others
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return None, lines[-1] if isinstance(error, MethodError) else f"{type(error).__name__}: {lines[-1]}"

    def _fit_and_test(self, row: Row, cell: Cell, store: Store, run: CellRun) -> Scores:
        started = time.perf_counter()
        method, fold = row.method(), cell.fold
        train, validation = training(method, fold, store, cell.seed)
        method.fit(train, validation, RunContext(cell.seed, self.device, run.log, row.pretrained))
        fitted = time.perf_counter()
        test = Stored(store, fold.test_media)
        scores = fold.score(method.predict_proba(Examples(test, fold.labels)))
        figures = {
            "fit_seconds": fitted - started,
            "predict_seconds": time.perf_counter() - fitted,
            "clips_where_nothing_was_found": sum(any(not len(array) for array in clip.values()) for clip in test),
            "train_clips": len(train),
            "test_clips": len(test),
            "dropped_clips": len(fold.dropped),
        }
        with TemporaryDirectory() as folder:
            method.save(Path(folder))
            run.finish(scores, figures, Path(folder), _membership(row, cell))
        return scores


def training(method: Method, fold: Fold, store: Store, seed: int) -> tuple[Examples, Examples | None]:
    """Training examples; of a method that chooses an epoch, one fifth of their subjects apart, by seed."""
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


def _told(row: Row, arena: Arena, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and tags of a row."""
    params = {
        "method": row.name,
        "dataset": arena.dataset.name,
        "protocol": arena.protocol,
        "task": arena.task,
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
        "weights": row.weights or "none needed",
        **flat(row.config),
    }
    low, high = arena.dataset.expected.clips
    tags = {
        "bench.method": row.name,
        "bench.standin": arena.dataset.standin,
        "bench.independence": arena.independence,
        "bench.corpus": arena.digest,
        "bench.clips": len(arena.clips),
        "bench.clips_of_the_whole_corpus": low if low == high else f"{low}-{high}",
        "bench.partial": arena.partial,
        "bench.excluded": ", ".join(sorted(arena.dataset.exclude)),
        "bench.chance": 1 / len(arena.folds[0].labels),
        **_made_with(row.kind, device),
    }
    return params, tags


def _made_with(kind: type[Method], device: str) -> dict[str, Any]:
    return {
        "bench.method_version": kind.version,
        "bench.source": source_digest(kind),
        "bench.device": device,
        **{f"bench.git_{name}": value for name, value in git().items()},
    }


def _cell_tags(row: Row, arena: Arena, cell: Cell, device: str) -> dict[str, Any]:
    return {
        "bench.key": cell.key,
        "bench.method": row.name,
        "bench.standin": arena.dataset.standin,
        "bench.independence": cell.fold.independence,
        "bench.fold": cell.fold.name,
        "bench.seed": cell.seed,
        **_made_with(row.kind, device),
    }


def _membership(row: Row, cell: Cell) -> dict[str, Any]:
    """Who was trained on and tested, by the digests of their media, and how the method was set."""
    fold = cell.fold
    return {
        "key": cell.key,
        "config": asdict(row.config),
        "held_out": fold.held_out,
        "train": [clip.media.clip_id for clip in fold.train],
        "test": [media.clip_id for media in fold.test_media],
        "dropped": fold.dropped,
        "findings": [str(finding) for finding in fold.findings],
    }


def _line(cell: Cell, scores: Scores | None, error: str) -> dict[str, Any]:
    """A Cell in the table of its row."""
    values = {name: round(getattr(scores, name), 4) if scores else "" for name in METRICS}
    return {"fold": cell.fold.name, "seed": cell.seed, "key": cell.key, **values, "error": error}


def flat(config: Any, before: str = "") -> dict[str, Any]:
    """A Config by dotted names."""
    found: dict[str, Any] = {}
    for name, value in vars(config).items():
        found |= flat(value, f"{before}{name}.") if is_dataclass(value) else {f"{before}{name}": value}
    return found


def source_digest(kind: type[Method]) -> str:
    """Of the method's file: a result whose source has changed since, under the same version, can be told."""
    return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()[:16]
