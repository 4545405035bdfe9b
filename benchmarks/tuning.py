"""The `tune` command: the studies of a plan's folds, without the fits that are tested."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import console
from benchmarks.arenas import Arena
from benchmarks.borrowed import written
from benchmarks.console import Progress
from benchmarks.door import Door
from benchmarks.inner import Tuning
from benchmarks.plan import Cell, Row
from benchmarks.plugins import PluginError
from benchmarks.prepare import fill
from benchmarks.study import TuningError
from benchmarks.track import Tracker
from benchmarks.transfer import folders, taught
from benchmarks.tune import Tuned, task, tune


@dataclass(frozen=True)
class Found:
    """What became of one study."""

    row: Row
    arena: Arena
    cell: Cell
    tuned: Tuned

    def told(self) -> dict[str, Any]:
        """For a file, or a program."""
        return written(self.row, self.arena, self.cell, self.tuned.document())

    def line(self) -> dict[str, object]:
        """For a reader."""
        best, states = self.tuned.best, [trial.state.name for trial in self.tuned.trials]
        first = self.tuned.trials[0].value
        ended = ", ".join(
            f"{states.count(state)} {name}"
            for state, name in (("COMPLETE", "ended"), ("PRUNED", "pruned"), ("FAIL", "failed"))
            if state in states
        )
        settings = ", ".join(f"{name}={_short(value)}" for name, value in best.params.items())
        return {
            "fold": self.cell.title,
            "untuned": "failed" if first is None else f"{first:.3f}",
            "best": f"{best.value:.3f}",
            "trials": ended,
            "settings": "as they are" if best.number == 0 else settings,
        }


def chosen(row: Row, fold: str) -> list[Cell]:
    """The Cells that are asked for, or an error that names the folds."""
    cells = [cell for cell in row.cells if fold in ("", cell.fold.name)]
    if not cells:
        there = ", ".join(dict.fromkeys(cell.fold.name for cell in row.cells))
        raise PluginError(f"no fold is called {fold!r}; choose from {there}")
    return cells


def found(
    row: Row, arena: Arena, cells: Sequence[Cell], tuning: Tuning, device: str, tracker: Tracker, progress: Progress
) -> Iterator[Found | str]:
    """Each study's end, or why it has none."""
    store = fill(row, arena.clips, arena.contents, device, progress)
    with progress(f"tuning {row.title}") as advance:
        for number, cell in enumerate(cells):
            advance(number, len(cells), cell.title)
            told = partial(advance, number, len(cells))
            runs = {
                part: taught(initial, cell.seed, tracker, device, progress).run_id
                for part, initial in row.initials.items()
            }
            with folders(runs, tracker) as initial:
                asked = task(row, cell, store, device, initial, tracker.place)
                Door(arena).tuned(cell.fold, asked.inner, row.method(), store, cell.seed)
                tuned = tune(asked, tuning, told)
            try:
                tuned.document()
                yield Found(row, arena, cell, tuned)
            except TuningError as error:
                yield f"{row.title}, {cell.title}: {error}"


def show(rows: Sequence[Found]) -> None:
    """A table for each row."""
    for title in dict.fromkeys(f"{one.row.title}, {one.arena.protocol}" for one in rows):
        console.out.print(title, style="bold", markup=False)
        console.table([one.line() for one in rows if f"{one.row.title}, {one.arena.protocol}" == title])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
