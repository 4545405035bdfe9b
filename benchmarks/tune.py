"""Trials of a method's settings on the inner folds of one outer fold, whose test is nowhere in what they get."""

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.checkpoints import OnDisk, kept_at
from benchmarks.determinism import deterministic, in_force
from benchmarks.handed import handed, line
from benchmarks.inner import Tuning, inner_folds, searched
from benchmarks.placing import at_once, free_memory, peak_memory, roomy
from benchmarks.plan import Cell, Row
from benchmarks.prepare import Store
from benchmarks.settings import assigned, flat
from benchmarks.training import labelled, training
from datasets.roll import Clips
from methods.base import Examples, RunContext
from methods.parts.resident import Resident
from protocols.base import Fold

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from benchmarks.study import Shared, Watch

FOLD, STAGE = 10_000_000, 100_000  # how far apart the places of inner folds, and of trainings in a fit, begin

Told = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Task:
    """What is tuned: a row's settings for one fold and seed; of the fold only what is inside its training clips.

    Inner folds know who else there is, so that nobody stands on two sides, but no label, sound or picture of his.
    """

    study: str
    row: Row  # without Cells, for those know their tests
    inner: tuple[Fold, ...]
    store: Store
    seed: int
    device: str
    initial: Mapping[str, Path]
    place: Path  # of the cache
    key: str  # of the Cell

    @property
    def first(self) -> dict[str, Any]:
        """The settings as they stand, as far as they are searched."""
        now = flat(self.row.config)
        return {name: now[name] for name in searched(self.row.method(), self.row.name, self.row.wish.settings)}

    def config(self, values: Mapping[str, Any]) -> Any:
        return assigned(self.row.name, self.row.config, values)

    @property
    def learnt(self) -> Clips:
        """All clips that settings are found on: each inner fold tests some that the others learn from."""
        return Clips.joined(*(fold.train for fold in self.inner))

    @cached_property
    def material(self) -> list[tuple[Examples, Examples, Examples]]:
        """For each inner fold: what is learnt from, what is told of each epoch, and what the fit is judged by.

        It stays where fits put it, on the device too, if there is room for that.
        """
        stays = roomy(self.store.size(self.learnt.media) * len(self.inner), free_memory(self.device))
        found = []
        for fold in self.inner:
            train, validation = training(self.row.method(), fold, self.store, self.seed)
            held = Examples(handed(self.store, fold.test_media), fold.labels, labelled(fold, self.learnt).labels)
            parts = [train, validation or held, held]
            if stays:
                kept = {id(part): replace(part, inputs=Resident(part.inputs)) for part in parts}
                parts = [kept[id(part)] for part in parts]
            found.append((parts[0], parts[1], replace(parts[2], labels=())))
        return found

    def value(self, values: Mapping[str, Any], watch: "Watch") -> float:
        """The mean over the inner folds of the unweighted average recall; `watch` is told of every epoch.

        What has ended, in whatever way, leaves no checkpoints; who was killed or interrupted does.
        """
        row, done = replace(self.row, config=self.config(values)), list[float]()
        try:
            for number, (fold, (train, watched, held)) in enumerate(zip(self.inner, self.material, strict=True)):
                method, checkpoints = row.method(), self._checkpoints(row, number)
                with line(Prune(watch, number, tuple(done))) as prune:
                    run = RunContext(self.seed, self.device, prune=prune, pretrained=row.pretrained,
                                     initial=self.initial, checkpoints=checkpoints)  # fmt: skip
                    method.fit(train, watched, run)
                done.append(fold.score(method.predict_proba(held)).uar)
                if number + 1 < len(self.inner):
                    watch(float(np.mean(done)), FOLD * (number + 1) - 1)
        except Exception:
            self._checkpoints(row, 0).discard()
            raise
        finally:
            _freed(self.device)
        self._checkpoints(row, 0).discard()
        return float(np.mean(done))

    def _checkpoints(self, row: Row, number: int) -> OnDisk:
        """Of the fit on an inner fold; whoever takes up the same settings in this study finds them."""
        made_with = (self.study, self.store.folder.name, self.device, in_force(), row.source, row.config)
        return kept_at(self.place, self.key, made_with, _unsaid, f"inner_{number}")


@dataclass(frozen=True, eq=False)
class Prune:
    """What a fit tells of its epochs, as the score that the trial would have so far."""

    watch: "Watch"
    fold: int
    done: tuple[float, ...]  # scores of the inner folds before

    @cached_property
    def _stages(self) -> dict[str, int]:
        return {}

    def __call__(self, name: str, value: float, epoch: int) -> None:
        stage = self._stages.setdefault(name, len(self._stages))
        place = FOLD * self.fold + STAGE * stage + min(epoch, STAGE - 1)
        self.watch(float(np.mean([*self.done, value])), place)


def _unsaid(line: str) -> None:
    """A trial's own words reach nobody."""


def _freed(device: str) -> None:
    """What a trial leaves behind, above all one that ran out of memory."""
    if device != "cpu":
        import torch

        gc.collect()
        torch.cuda.empty_cache()


def task(row: Row, cell: Cell, store: Store, device: str, initial: Mapping[str, Path], place: Path) -> Task:
    """Of a Cell, what tuning gets of it."""
    name = f"{row.name}, {cell.fold.name}, seed {cell.seed}: {cell.key} {row.source[:12]}"
    inner = inner_folds(cell.fold)
    bare = replace(row, cells=(), frozen=None)  # what the frozen network makes of clips is in the store
    return Task(name, bare, inner, store, cell.seed, device, initial, place, cell.key)


@dataclass(frozen=True, eq=False)
class Tuned:
    """A study that has ended."""

    task: Task
    trials: "Sequence[FrozenTrial]"

    @cached_property
    def best(self) -> "FrozenTrial":
        from benchmarks.study import best

        return best(self.trials)

    @property
    def config(self) -> Any:
        return self.task.config(self.best.params)

    def document(self) -> dict[str, Any]:
        """All that is kept of it."""
        from benchmarks.study import importances, why

        return {
            "study": self.task.study,
            "seed": self.task.seed,
            "inner": [fold.name for fold in self.task.inner],
            "chosen": self.best.number,
            "value": self.best.value,
            "default": self.trials[0].value,
            "params": self.best.params,
            "first": self.task.first,
            "importances": importances(self.trials),
            "trials": [
                {
                    "number": trial.number,
                    "state": trial.state.name,
                    "value": trial.value if trial.value is not None and math.isfinite(trial.value) else None,
                    "params": trial.params,
                    "reason": why(trial),
                    "seconds": trial.duration.total_seconds() if trial.duration else None,
                }
                for trial in self.trials
            ],
        }


def tune(task: Task, tuning: Tuning, told: Told) -> Tuned:
    """The study to its end, together with whoever else works on it; one that has ended is read."""
    from benchmarks.study import opened

    with opened(tuning.storage) as storage:
        study = _shared(task, storage)
        trials = study.known() or _worked(task, tuning, study, partial(_tell, told, study.trials))
    return Tuned(task, trials)


def _shared(task: Task, storage: Any) -> "Shared":
    from benchmarks.study import Shared

    where = searched(task.row.method(), task.row.name, task.row.wish.settings)
    return Shared(task.study, task.row.wish.trials, task.first, where, storage)


def _tell(told: Told, wanted: int, trials: "Sequence[FrozenTrial]") -> None:
    values = [trial.value for trial in trials if trial.state.name == "COMPLETE" and trial.value is not None]
    ended = sum(trial.state.is_finished() for trial in trials)
    told(f"trial {ended} of {wanted}" + (f", best {max(values):.3f}" if values else ""))


def _worked(
    task: Task, tuning: Tuning, study: "Shared", told: Callable[[Sequence["FrozenTrial"]], None]
) -> "Sequence[FrozenTrial]":
    """Here; if several are to run at once, the first alone, for it tells how many find room."""
    if tuning.jobs > 1:
        study.work(task.value, told, most=1)
        others = at_once(tuning.jobs, peak_memory(task.device), free_memory(task.device)) - 1
    else:
        others = 0
    started = [
        get_context("spawn").Process(target=join, args=(replace(task), tuning, in_force()), daemon=True)
        for _ in range(others)
    ]
    for process in started:
        process.start()
    try:
        return study.wait(task.value, told)
    finally:
        for process in started:
            process.join(10)  # all trials have ended; or whoever was interrupted lays its trial back
            process.terminate()


def _silent(trials: "Sequence[FrozenTrial]") -> None:
    """The first process tells."""


def join(task: Task, tuning: Tuning, exact: bool) -> None:
    """Another process beside the first: trials while any wait."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // tuning.jobs))
    with deterministic(exact), suppress(KeyboardInterrupt):  # the first process says so
        helped(task, tuning)


def helped(task: Task, tuning: Tuning, once: bool = False) -> bool:
    """The same in this process; `once`: one trial at most, of a study that another has begun there. Whether any ran."""
    from benchmarks.study import opened

    with opened(tuning.storage) as storage:
        study = _shared(task, storage)
        return (study.laid_out or not once) and study.work(task.value, _silent, most=int(once)) > 0
