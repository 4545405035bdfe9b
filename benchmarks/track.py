"""Rows, Cells and trials in the store: results go in, finished results come out; finished is the last act."""

import csv
import hashlib
import io
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.abroad import ALIVE, OPENING, Abroad, BusyError, first
from benchmarks.cellrun import CURVES, POINTS, CellRun, read_curves
from benchmarks.claims import PAUSE
from benchmarks.processes import PROCESS, ended, own, signed
from benchmarks.reach import AwayError
from benchmarks.runs import LostError, Runs
from benchmarks.scored import read_scores, table
from benchmarks.spool import Spool
from protocols.scores import Scores

MODEL = "model/artifacts/model"  # where what a Cell's method saved lies in its run; about it is what MLflow needs
ENVIRONMENT = "environment.json"
ANSWERS, SUMMARY = "answers.csv", "summary.json"  # of a row; of a row, for the report
TUNING = "tuning.json"  # of a row that is tuned, and of each of its Cells
SUMMARISED = "bench.summary"  # the tag of a row that has a summary: its version
CELLS = "cells.csv"  # the table of a row's Cells
HELD = "bench.held"  # the tag of a row whose documents tell all of its Cells: their digest

Span = tuple[int | None, int | None]  # begin and end in milliseconds


@dataclass(frozen=True)
class Kept:
    """All answers of a row, and the row in short."""

    answers: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Opening:
    """All that begins a row in the store."""

    key: str
    title: str
    params: Mapping[str, Any]
    tags: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A finished Cell in the store."""

    run_id: str
    metrics: Mapping[str, float]
    source: str = ""
    code: str = ""  # digest of all our packages; empty of what was kept before it was told


class Tracker(Runs):
    """What the benchmark keeps there."""

    def finished(self, experiment: str, tag: str, value: str, kind: str = "cell") -> dict[str, Done]:
        """Finished Cells with a tag, by key. Of several with one key the first that was finished counts."""
        return {key: copies[0] for key, copies in self._finished(experiment, tag, value, kind).items()}

    def settled(self, experiment: str, tag: str, value: str) -> dict[str, Done]:
        """The same, and what other processes have finished besides counts no more."""
        found = self._finished(experiment, tag, value, "cell")
        for later in (copy for copies in found.values() for copy in copies[1:]):
            self.supersede(later.run_id)
        return {key: copies[0] for key, copies in found.items()}

    def _finished(self, experiment: str, tag: str, value: str, kind: str) -> dict[str, list[Done]]:
        query = f"tags.`{tag}` = '{value}' and tags.`bench.kind` = '{kind}' and attributes.status = 'FINISHED'"
        found: dict[str, list[Done]] = {}
        for run in sorted(self._search(experiment, query), key=lambda run: (run.info.end_time, run.info.run_id)):
            if "bench.superseded" not in run.data.tags:
                found.setdefault(run.data.tags["bench.key"], []).append(_done(run))
        return found

    def meanwhile(self, experiment: str, key: str, before: Collection[str], kind: str = "cell") -> Done | None:
        """A Cell that was finished after those that were known: by a worker that is lost, or by another process."""
        query = f"tags.`bench.key` = '{key}' and tags.`bench.kind` = '{kind}' and attributes.status = 'FINISHED'"
        found = (run for run in self._search(experiment, query) if "bench.superseded" not in run.data.tags)
        return next((_done(run) for run in found if run.info.run_id not in before), None)

    def supersede(self, run_id: str) -> None:
        """A finished Cell was run twice: this copy stays, but counts no more, and no table that tells of it."""
        self.tag(run_id, {"bench.superseded": True})
        run = self.client.get_run(run_id)
        setup = f"tags.`bench.setup` = '{run.data.tags.get('bench.setup', '')}' and tags.`bench.kind` = 'row'"
        for row in self._search(run.info.experiment_id, setup):
            if row.data.tags.get(HELD):
                self.tag(row.info.run_id, {HELD: ""})

    def whole_rows(self, experiment: str, corpus: str, method: str) -> tuple[list[Any], frozenset[str]]:
        """Finished rows on a corpus, of one method or of all; and what was deleted, for tables may still tell of it."""
        from mlflow.entities import ViewType

        about = f"tags.`bench.corpus` = '{corpus}'" + (f" and tags.`bench.method` = '{method}'" if method else "")
        rows = f"{about} and tags.`bench.kind` = 'row' and attributes.status = 'FINISHED'"
        gone = self._search(experiment, "", ViewType.DELETED_ONLY)
        return list(self._search(experiment, rows)), frozenset(run.info.run_id for run in gone)

    def open_row(self, experiment: str, row: Opening, news: bool) -> str:
        """The parent run of a row's Cells; one that was begun before goes on. Without news its tags stay.

        Of several processes that begin it at once, all but one take theirs back.
        """
        query = f"tags.`bench.row` = '{row.key}' and tags.`bench.kind` = 'row'"
        own, end = {"bench.kind": "row", "bench.row": row.key, **signed()}, time.monotonic() + self.abroad.patience
        while not (found := first([*self._search(experiment, query)])):
            made = self._create(experiment, row.title, {**own, OPENING: True, **row.tags})
            if self.abroad.stays(made, lambda: self._search(experiment, query), end):
                self.params(made, row.params)
                return made
            self.client.delete_run(made)
            time.sleep(PAUSE)
        self.tag(found, {**own, **(row.tags if news else {})})
        self.client.update_run(found, status="RUNNING")
        return found

    def whole_row(self, experiment: str, key: str) -> str:
        """The run of a row that is finished; empty if there is none."""
        query = f"tags.`bench.row` = '{key}' and tags.`bench.kind` = 'row' and attributes.status = 'FINISHED'"
        return next((str(run.info.run_id) for run in self._search(experiment, query)), "")

    def close_row(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        cells: Sequence[Mapping[str, Any]],
        whole: bool,
        kept: "Kept | None" = None,
    ) -> None:
        """Scores of all its Cells, the table of them, and their answers in whole and in short."""
        self.metrics(run_id, [(name, value, 0) for name, value in metrics.items()])
        lines = table(cells)
        self.client.log_text(run_id, lines, CELLS)
        if kept:
            answers = table(kept.answers)
            self.client.log_text(run_id, answers, ANSWERS)
            self.client.log_text(run_id, json.dumps(kept.summary, separators=(",", ":")), SUMMARY)
            self.tag(run_id, {SUMMARISED: kept.summary["version"], HELD: held(lines, answers)})
        self.client.set_terminated(run_id, "FINISHED" if whole else "FAILED")

    @contextmanager
    def row(self, run_id: str) -> Iterator[None]:
        """While a row's Cells are run: what ends otherwise is not left as if it were running."""
        try:
            yield
        except BaseException:
            if run_id:
                self.kill(run_id)
            raise

    def keep_table(
        self, experiment: str, title: str, tags: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
    ) -> str:
        """A run of its own for a table that was made from others' results."""
        run_id = self._create(self.experiment(experiment), title, tags)
        if rows:  # none were measured before an interruption
            self.client.log_text(run_id, table(rows), "table.csv")
        self.note(run_id, "table.json", list(rows))
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def environment(self, cell: str) -> dict[str, Any]:
        """What a Cell was computed with, noted beside the row that it was run for; empty if nothing is."""
        row = self.client.get_run(cell).data.tags["mlflow.parentRunId"]
        try:
            found: dict[str, Any] = self.document(row, ENVIRONMENT)
        except LostError:
            return {}
        return found

    @contextmanager
    def cell(
        self,
        experiment: str,
        parent: "str | Opening",
        title: str,
        tags: Mapping[str, Any],
        instead: str = "",
        gone: Collection[str] = (),
    ) -> Iterator[CellRun]:
        """A run, the child of another if there is one. What ends unfinished is marked failed, with the reason.

        `instead` is the run whose place it takes; `gone` are processes that had it before and are known to be dead.
        """
        alive = {ALIVE: 0} if self.reach.remote else {}
        told = {"bench.kind": "cell", **signed(), **alive, **tags}
        above = {"parent": parent} if isinstance(parent, str) else {"parent": "", "row": vars(parent)}
        facts = {"store": self.shown, "experiment": experiment, "title": title, "tags": told, "instead": instead,
                 "begun": int(time.time() * 1000), "run_id": "", **above}  # fmt: skip
        run_id = ""
        with suppress(AwayError):  # then it is made when it is sent
            self.bury(experiment, str(tags["bench.key"]), gone)
            run_id = self.begun_run(facts) if above["parent"] or isinstance(parent, str) else ""
        run = CellRun(self, facts, run_id)
        try:
            with self.abroad.alone(experiment, str(tags["bench.key"]), run_id, instead, str(told["bench.kind"])):
                yield run
        except BusyError:
            raise
        except BaseException as error:
            run.fail(error)
            raise

    @cached_property
    def abroad(self) -> Abroad:
        """What was seen of processes elsewhere."""
        return Abroad(self)

    @property
    def spool(self) -> Spool:
        """Where results wait that are not in the store yet."""
        return Spool(self.place / "spool", self.uri)

    def begun_run(self, facts: Mapping[str, Any]) -> str:
        """The run of a parcel; where its row was not begun for the server was away, that is begun too."""
        parent = facts["parent"]
        if row := facts.get("row"):
            parent = self.open_row(facts["experiment"], Opening(**row), True)
            self.kill(parent)  # until somebody completes it
        above = {"mlflow.parentRunId": parent} if parent else {}
        return self._create(facts["experiment"], facts["title"], {**facts["tags"], **above}, facts["begun"])

    def outrun(self, facts: Mapping[str, Any], run_id: str) -> dict[str, Any]:
        """The mark of a copy that counts no more, where another was committed before."""
        known = {run_id, facts["instead"]}
        key, kind = facts["tags"]["bench.key"], facts["tags"]["bench.kind"]
        first = self.meanwhile(facts["experiment"], key, known, kind)
        return {"bench.superseded": True} if first else {}

    def forget_trials(self, run_id: str) -> None:
        """Those of a Cell that was sent by half."""
        run = self.client.get_run(run_id)
        for trial in list(self._search(run.info.experiment_id, f"tags.`mlflow.parentRunId` = '{run_id}'")):
            self.client.delete_run(trial.info.run_id)

    def scores(self, run_id: str) -> Scores:
        """A finished Cell's answers, read back."""
        with self._file(run_id, "predictions.csv") as file:
            return read_scores(file)

    def curves(self, run_id: str, metrics: Mapping[str, float]) -> list[tuple[str, float, int]]:
        """A finished Cell's curves, read back; none where it has none."""
        if not metrics.get(POINTS):
            return []
        return read_curves(self.text(run_id, CURVES))

    def cells(self, run_id: str) -> list[dict[str, str]]:
        """The table of a row's Cells, as the row was last closed."""
        return list(csv.DictReader(io.StringIO(self.text(run_id, CELLS))))

    def trial(
        self, experiment: str, parent: str, title: str, told: Mapping[str, Any], curve: Sequence[float], span: Span
    ) -> None:
        """A trial that ended, as a child of its Cell's run; `told` has params, metrics, tags and status."""
        tags = {"bench.kind": "trial", "mlflow.parentRunId": parent, **told["tags"]}
        run_id = self._create(experiment, title, tags, span[0])
        self.params(run_id, told["params"])
        points = [("inner_uar_so_far", value, step) for step, value in enumerate(curve, start=1)]
        self.metrics(run_id, [*points, *((name, value, 0) for name, value in told["metrics"].items())])
        self.client.set_terminated(run_id, told["status"], end_time=span[1])

    def running(self, experiment: str) -> list[Any]:
        """Of all keys: they are few, and to search for one takes ten times longer."""
        return list(self._search(experiment, "attributes.status = 'RUNNING'"))

    def bury(self, experiment: str, key: str = "", gone: Collection[str] = ()) -> None:
        """What was running when its process was killed runs no more; of a key, also what does not tell its process."""
        for run in self.running(experiment):
            tags = run.data.tags
            if ended(tags) or (tags.get("bench.key") == key and (own(tags) or tags.get(PROCESS, "") in ("", *gone))):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def bury_cells(self, experiment: str, parent: str) -> None:
        """The same, of all Cells of a row."""
        for run in self._search(
            experiment, f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'RUNNING'"
        ):
            self.kill(run.info.run_id)


def _done(run: Any) -> Done:
    tags = run.data.tags
    return Done(run.info.run_id, run.data.metrics, tags.get("bench.source", ""), tags.get("bench.git_code", ""))


def held(cells: str, answers: str) -> str:
    """A digest of two documents of a row: one that does not fit was written by somebody else, or by half."""
    return hashlib.sha256(f"{cells}\0{answers}".encode()).hexdigest()[:32]
