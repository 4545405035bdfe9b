"""Predictions made elsewhere, brought onto the leaderboard: checked, audited, scored by the same guard, and marked."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from benchmarks.arenas import Arena, arena, gathered
from benchmarks.audits import Audit, splits, summed
from benchmarks.audits import Row as FoldRow
from benchmarks.console import Progress
from benchmarks.content import corpus_digest
from benchmarks.outcome import Outcome
from benchmarks.plan import Cell, Initial, digest
from benchmarks.plugins import PluginError, build, canonical, names
from benchmarks.predictions import ByFold, PredictionsError, matched, named, understood
from benchmarks.reach import TrackingError
from benchmarks.record import audited, cell_tags, line, membership, row_record
from benchmarks.result import EMPTY, Result
from benchmarks.settings import Wish
from benchmarks.summaries import Part
from benchmarks.summaries import kept as summarised
from benchmarks.tables import Table
from benchmarks.track import Opening, Tracker
from benchmarks.work import marks
from datasets.base import Dataset
from datasets.clips import TASKS, Clip, DatasetError
from methods.base import Modality
from protocols.audit import Independence, Split, Verdict
from protocols.base import Claimed, Judged
from protocols.scores import Scores

ELSEWHERE = "elsewhere"
NAME = re.compile(r"[^\W_][\w .+-]{0,59}")


@dataclass(frozen=True)
class Origin:
    """Where answers come from; recorded as settings are."""

    predictions: str
    sha256: str
    folds: str  # a file, or nothing where they are those of a protocol
    probabilities: str


@dataclass(frozen=True, eq=False)
class Imported:
    """A row whose answers were computed elsewhere."""

    name: str
    config: Origin
    modality: str
    wish: Wish
    cells: tuple[Cell, ...]
    key: str
    setup: str
    scores: Mapping[str, Scores]  # by the key of a Cell
    initials: Mapping[str, Initial] = field(default_factory=dict)
    version: int = 1  # of this file: raised when the same predictions may get other scores
    weights: str | None = ELSEWHERE
    substituted: tuple[str, ...] = ()
    untested: str = ""  # what a fold file leaves out

    @property
    def source(self) -> str:
        return self.config.sha256

    @property
    def stamps(self) -> tuple[str, ...]:
        told = ("labels only",) if self.config.probabilities == "labels only" else ()
        return ("imported", "training as claimed", *told, *filter(None, [self.untested]))

    @property
    def title(self) -> str:
        return " ".join((self.name, self.modality, *self.stamps))

    def independence(self, measured: Independence) -> Independence:
        """The folds are as claimed, and nobody saw the training: what leaks by its own account does, else who knows."""
        return "violated" if measured == "violated" else "unknown"


@dataclass(frozen=True)
class Asked:
    """What the command line asked for."""

    name: str
    modality: str
    task: str
    protocol: str

    def checked(self, folds: Path | None) -> "Asked":
        """What can be told without a corpus."""
        name = " ".join(self.name.split())
        if not NAME.fullmatch(name):
            raise PluginError(
                f"--name {self.name!r} is no name for a row; take letters, digits, spaces and - _ . +, a letter or "
                "digit first, 60 in all at most"
            )
        if re.sub(r"[ _]", "-", name.lower()) in names("methods"):
            raise PluginError(f"--name {name} is a method that is run here; choose another name")
        if self.modality not in get_args(Modality):
            raise PluginError(f"no modality is called {self.modality!r}; choose from {', '.join(get_args(Modality))}")
        if self.task not in TASKS:
            raise PluginError(f"no task is called {self.task!r}; choose from {', '.join(TASKS)}")
        if folds and self.protocol:
            raise PluginError("give --folds or --protocol, not both: the file says who is tested")
        if self.protocol:
            build("protocols", canonical(self.protocol))
        return replace(self, name=name)


@dataclass(frozen=True)
class Import:
    """Predictions, judged and scored; nothing is kept yet."""

    row: Imported
    arena: Arena
    audit: Audit

    def keep(self, tracker: Tracker, fresh: bool) -> Outcome:
        """As a run keeps its own; what is there already stays as it is."""
        row, where = self.row, self.arena
        experiment = tracker.experiment(where.experiment)
        before = tracker.finished(experiment, "bench.setup", row.setup)
        todo = [cell for cell in row.cells if fresh or cell.key not in before]
        run_id = tracker.whole_row(experiment, row.key)
        if run_id and not todo:
            kept = [
                Result(cell, tracker.scores(before[cell.key].run_id), "", before[cell.key].run_id) for cell in row.cells
            ]
            return Outcome(row, where, kept, 0, run_id)
        params, tags = row_record(row, where, ELSEWHERE)
        title = f"{row.title}, {where.protocol}"
        run_id = tracker.open_row(experiment, Opening(row.key, title, params, tags | self._marked()), True)
        tracker.note(run_id, "folds.json", [audited(fold) for fold in where.folds])
        tracker.note(run_id, "findings.json", [str(finding) for finding in self.audit.verdict.findings])
        with tracker.row(run_id):
            results = []
            for cell in row.cells:
                kept_as = old = before[cell.key].run_id if cell.key in before else ""
                if cell in todo:
                    kept_as = self._keep(tracker, experiment, run_id, cell, old)
                results.append(Result(cell, self.row.scores[cell.key], "", kept_as))
        outcome = Outcome(row, where, results, len(todo), run_id)
        lines = [line(result.cell, result.scores, "", result.run_id) for result in results]
        parts = [Part(cell.fold.name, cell.seed, row.scores[cell.key], {}, []) for cell in row.cells]
        tracker.close_row(run_id, outcome.measured(), lines, outcome.complete, summarised(parts))
        return outcome

    def _keep(self, tracker: Tracker, experiment: str, parent: str, cell: Cell, instead: str) -> str:
        tags = cell_tags(self.row, self.arena, cell, ELSEWHERE) | self._marked()
        fold = cell.fold
        figures = {
            EMPTY: 0,
            "train_clips": len(fold.train),
            "test_clips": len(fold.test_media),
            "dropped_clips": len(fold.dropped),
        }
        with tracker.cell(experiment, parent, f"{self.row.title}, {cell.title}", tags, instead) as run:
            facts = membership(self.row, self.arena, cell)
            run.finish(self.row.scores[cell.key], figures, None, facts, f"{marks(self.row, self.arena)}, imported")
        if run.waits:
            raise TrackingError(f"{self.row.title} is not imported: {run.waits}")
        return run.run_id

    def _marked(self) -> dict[str, Any]:
        """Tags that no other row has."""
        return {"bench.imported": True, "bench.probabilities": self.row.config.probabilities}


def judged(
    asked: Asked, table: Table, folds: Path | None, listed: Sequence[FoldRow], dataset: Dataset, progress: Progress
) -> Import:
    """Predictions beside the corpus: whose folds they are, how honest, and whether anything is missing."""
    if folds:
        where, audit = _claimed(asked.task, folds, listed, dataset, progress)
    else:
        where, audit = _ours(asked, dataset, progress)
    predictions = understood(table, dataset, where.clips, where.folds[0].labels)
    answers = named(predictions, where, folds) if folds else matched(predictions, where)
    told = "labels only" if predictions.by_label else "given"
    origin = Origin(table.file.name, table.sha256, folds.name if folds else "", told)
    return Import(_row(asked, origin, where, answers), where, audit)


def _ours(asked: Asked, dataset: Dataset, progress: Progress) -> tuple[Arena, Audit]:
    """The folds of a protocol."""
    where = arena(dataset, asked.task, asked.protocol, progress)
    findings = tuple(finding for fold in where.folds for finding in fold.findings)
    return where, Audit(Verdict(findings), dataset.name, dataset.standin, len(where.clips), 0)


def _claimed(
    task: str, file: Path, listed: Sequence[FoldRow], dataset: Dataset, progress: Progress
) -> tuple[Arena, Audit]:
    """The folds of a file, with the corpus' own labels, people and recordings."""
    clips, contents = gathered(dataset, task, progress)
    on_disk = {clip.name.casefold(): clip for clip in (*dataset.scan().clips, *clips)}
    try:
        claims = tuple(splits(listed, dataset, on_disk))
    except DatasetError as error:
        raise PredictionsError(f"{file} {error}") from None
    own = {clip.media.clip_id: clip for clip in on_disk.values()}
    tested = {clip.media.clip_id for clip in clips}
    known = []
    for claim in claims:
        _testable(claim, tested, file, listed, f"the {len(clips)} clips of {dataset.name} that are tested here")
        sides = [
            tuple({c.media.clip_id: own.get(c.media.clip_id, c) for c in side}.values())
            for side in (claim.train, claim.validation, claim.test)
        ]
        listed_here = {clip.media.clip_id for side in sides for clip in side}
        others = tuple(clip for clip in clips if clip.media.clip_id not in listed_here)
        known.append(Split(claim.name, sides[0], sides[1], sides[2], others))
    folds = tuple(Claimed(split, sorted({clip.label for clip in clips})) for split in known)
    name = f"folds-file:{digest({fold.name: _membership(fold) for fold in folds})[:8]}"
    where = Arena(dataset, task, name, clips, folds, contents, corpus_digest(clips, contents))
    return where, summed(known, dataset.name, dataset.standin)


def _testable(claim: Split, tested: Collection[str], file: Path, listed: Sequence[FoldRow], here: str) -> None:
    """Test clips must be there, each once."""
    if not claim.test:
        raise PredictionsError(f"{file}: {claim.name!r} has no test clip; add its test clips, or take the fold out")
    lines = {written: number for number, written, *_ in listed}
    first: dict[str, Clip] = {}
    for clip in claim.test:
        where = f"{file} line {lines[clip.name]}"
        if clip.media.clip_id not in tested:
            raise PredictionsError(f"{where}: test clip {clip.name!r} is none of {here}; take it out of both files")
        twin = first.setdefault(clip.media.clip_id, clip)
        if twin is not clip:
            raise PredictionsError(f"{where}: {clip.name!r} stands in test of {claim.name!r} as {twin.name!r} too")


def _membership(fold: Judged) -> dict[str, Any]:
    return {
        "train": sorted(clip.media.clip_id for clip in fold.train),
        "test": sorted(media.clip_id for media in fold.test_media),
    }


def _row(asked: Asked, origin: Origin, where: Arena, answers: ByFold) -> Imported:
    """The Cells, each with a key that hashes all its scores depend on."""
    facts = {
        "imported": asked.name,
        "version": Imported.version,
        "predictions": origin.sha256,
        "modality": asked.modality,
        "task": asked.task,
        "corpus": where.digest,
        "protocol": where.protocol,
    }
    cells = tuple(
        Cell(fold, 0, digest(facts | {"fold": fold.name, "labels": fold.labels} | _membership(fold)))
        for fold in where.folds
    )
    key = digest(facts | {"cells": [cell.key for cell in cells]})
    scores = {
        cell.key: cell.fold.score([answers[cell.fold.name][m.clip_id].probabilities for m in cell.fold.test_media])
        for cell in cells
    }
    tested = len({media.clip_id for fold in where.folds for media in fold.test_media})
    part = f"tests {tested} of {len(where.clips)} clips" if origin.folds and tested < len(where.clips) else ""
    wish = Wish("imported", asked.modality)
    return Imported(asked.name, origin, asked.modality, wish, cells, key, digest(facts), scores, untested=part)
