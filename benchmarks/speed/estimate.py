"""How long a `run` will take: what little of it was measured, scaled to all that it has to do."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arenas import Arena
from benchmarks.console import Progress
from benchmarks.content import Contents
from benchmarks.plan import Cell, Initial, Row
from benchmarks.run import Plan
from benchmarks.speed.media import lasting
from benchmarks.speed.short import Clock, Found, Short, stages
from benchmarks.track import Tracker
from benchmarks.training import VALIDATION
from benchmarks.transfer import known
from datasets.clips import Clip
from datasets.roll import Clips
from protocols.base import Fold


@dataclass(frozen=True)
class Estimate:
    """Of a row, or of a model that its fits begin with; what is finished or prepared costs nothing."""

    row: str
    corpus: str
    clips: int
    media_hours: float
    cells: int
    to_run: int
    preparing: float  # seconds
    fitting: float
    predicting: float
    transfer: bool = False  # whether it is a model of other corpora

    @property
    def one_fit(self) -> float:
        """Of one fold and seed, with its test, once all is prepared; the mean of those to run."""
        return (self.fitting + self.predicting) / self.to_run if self.to_run else 0.0

    @property
    def seconds(self) -> float:
        """All together."""
        return self.preparing + self.fitting + self.predicting

    def told(self) -> dict[str, Any]:
        """As a document."""
        return asdict(self) | {"one_fit": self.one_fit, "seconds": self.seconds}


@dataclass(frozen=True)
class Work:
    """Fits of one kind, with the clips that are learnt from and tested in each."""

    title: str
    row: Row
    corpora: str
    clips: Sequence[Clip]
    contents: Contents
    labels: tuple[str, ...]
    planned: int
    sizes: Sequence[tuple[int, int]]  # of those that are not finished
    transfer: bool = False

    def estimate(self, found: Found) -> Estimate:
        """What was measured, scaled."""
        epochs = stages(self.row.config)
        fitting = sum(found.costs.of(epochs, train) for train, _ in self.sizes)
        predicting = sum(found.answer * test for _, test in self.sizes)
        counts = len(self.clips), lasting(self.clips) / 3600, self.planned, len(self.sizes)
        return Estimate(self.title, self.corpora, *counts, found.preparing, fitting, predicting, self.transfer)


def estimates(planned: Plan, tracker: Tracker, progress: Progress, clock: Clock = time.perf_counter) -> list[Estimate]:
    """Of each row, with the models that it begins with before it."""
    short, found, begun = Short(planned.device, progress, clock), list[Estimate](), set[str]()
    for row, arena in planned.rows:
        todo = _unfinished(row, arena, tracker)
        work, seeds = _cells(row, arena, todo), sorted({cell.seed for cell in todo})
        for initial in row.initials.values():
            missing = [seed for seed in seeds if _unknown(initial, seed, tracker) and initial.key(seed) not in begun]
            begun |= {initial.key(seed) for seed in missing}
            if missing:
                lesson = _lesson(initial, len(missing))
                found.append(lesson.estimate(short.measured(lesson)))
        found.append(work.estimate(_measured(short, work) if work.sizes else Found()))
    return found


def _measured(short: Short, work: Work) -> Found:
    """Begun as its fits will be, for what a model brings along is not trained."""
    with TemporaryDirectory() as folder:
        initials = work.row.initials.items()
        return short.measured(
            work, {part: short.begun(_lesson(initial, 1), Path(folder) / part) for part, initial in initials}
        )


def _cells(row: Row, arena: Arena, todo: Sequence[Cell]) -> Work:
    sizes = [(_learnt_from(row, cell), len(cell.fold.test_media)) for cell in todo]
    labels = row.cells[0].fold.labels
    title = f"{row.title}, {arena.protocol}"
    return Work(title, row, arena.dataset.name, arena.clips, arena.contents, labels, len(row.cells), sizes)


def _learnt_from(row: Row, cell: Cell) -> int:
    """Clips; without those apart of a method that chooses an epoch."""
    assert isinstance(cell.fold, Fold), "only folds of the guard are trained on"
    return round(len(cell.fold.train) * (1 - VALIDATION if row.kind.validates else 1))


def _lesson(initial: Initial, seeds: int) -> Work:
    clips = Clips.joined(*(arena.clips for arena in initial.arenas))
    contents = Contents.joined([arena.contents for arena in initial.arenas])
    labels = tuple(sorted({clip.label for clip in clips}))
    sizes = [(len(clips), 0)] * seeds
    title = f"pretraining: {initial.title}"
    return Work(title, initial.row, ", ".join(initial.corpora), clips, contents, labels, seeds, sizes, transfer=True)


def _unfinished(row: Row, arena: Arena, tracker: Tracker) -> list[Cell]:
    """Nothing is begun in the store for it."""
    there = None if tracker.absent else tracker.client.get_experiment_by_name(arena.experiment)
    done = tracker.finished(there.experiment_id, "bench.setup", row.setup) if there else {}
    return [cell for cell in row.cells if cell.key not in done]


def _unknown(initial: Initial, seed: int, tracker: Tracker) -> bool:
    return tracker.absent or known(initial, seed, tracker) is None
