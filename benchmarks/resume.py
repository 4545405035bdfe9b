"""Rows that are finished already, read from their own documents: one search an arena, one table of Cells a row."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from benchmarks.arenas import Arena
from benchmarks.plan import Row
from benchmarks.result import EMPTY, Result
from benchmarks.runs import LostError
from benchmarks.scored import read_answers
from benchmarks.track import ANSWERS, CELLS, HELD, SUMMARISED, Done, Tracker, held
from protocols.scores import METRICS
from reports.summary import VERSION

KEPT = ("source", "code", "empty")  # what the table of Cells tells for us beside what it tells for readers


@dataclass(frozen=True, eq=False)
class Whole(Sequence[Result]):
    """The results of a row that was finished before; its answers are read when somebody asks for them."""

    tracker: Tracker
    row: Row
    run: Any
    lines: Mapping[str, Mapping[str, str]]  # the table of its Cells, by key

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def measured(self) -> Mapping[str, float]:
        """As it was measured then."""
        names = [*METRICS, EMPTY, *(f"{name}_fold_sd" for name in METRICS if len(self.row.cells) > 1)]
        return {name: self.run.data.metrics[name] for name in names}

    @property
    def done(self) -> Mapping[str, Done]:
        """By key, which run it was and what made it."""
        return {
            key: Done(line["run_id"], {EMPTY: float(line["empty"])}, line["source"], line["code"])
            for key, line in self.lines.items()
        }

    @cached_property
    def _results(self) -> Sequence[Result]:
        by_cell = read_answers(self.tracker.text(self.run_id, ANSWERS, self.run.info.artifact_uri))
        told = ((cell, self.lines[cell.key]) for cell in self.row.cells)
        return [
            Result(cell, by_cell[line["fold"], line["seed"]], "", line["run_id"], int(line["empty"]))
            for cell, line in told
        ]

    def __len__(self) -> int:
        return len(self.row.cells)

    @overload
    def __getitem__(self, number: int) -> Result: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Result]: ...
    def __getitem__(self, number: int | slice) -> Result | Sequence[Result]:
        return self._results[number]


@dataclass(frozen=True)
class Shelf:
    """Finished rows of the store, looked for once an arena."""

    tracker: Tracker
    methods: frozenset[str]  # that are asked about
    known: dict[Arena, tuple[Mapping[str, Any], frozenset[str]]] = field(default_factory=dict)

    def find(self, row: Row, arena: Arena) -> Whole | None:
        """A finished row, if its documents fit and tell of all its Cells, and none of them was deleted since."""
        if arena not in self.known:
            method = row.name if len(self.methods) == 1 else ""
            rows, gone = self.tracker.whole_rows(self.tracker.experiment(arena.experiment), arena.digest, method)
            first = sorted(rows, key=lambda run: (run.info.start_time, run.info.run_id), reverse=True)
            self.known[arena] = {run.data.tags.get("bench.row", ""): run for run in first}, gone
        rows_by_key, gone = self.known[arena]
        run = rows_by_key.get(row.key)
        if not run or run.data.tags.get(SUMMARISED) != str(VERSION):
            return None
        lines = self._lines(run)
        there = gone.isdisjoint(line["run_id"] for line in lines.values())
        fits = there and lines.keys() == {cell.key for cell in row.cells}
        return Whole(self.tracker, row, run, lines) if fits else None

    def _lines(self, run: Any) -> Mapping[str, Mapping[str, str]]:
        """The table of a row's Cells by key; empty where it cannot be relied on."""
        run_id, at = run.info.run_id, run.info.artifact_uri
        try:
            cells, answers = (self.tracker.text(run_id, name, at) for name in (CELLS, ANSWERS))
        except LostError:
            return {}
        if run.data.tags.get(HELD) != held(cells, answers):
            return {}
        return {line["key"]: line for line in csv.DictReader(io.StringIO(cells))}
