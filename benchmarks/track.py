"""The only importer of mlflow but for `served`: results go in, finished results come out; finished is the last act."""

import csv
import hashlib
import io
import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.address import on_disk, shown, sqlite_file
from benchmarks.cellrun import CURVES, POINTS, CellRun
from benchmarks.scored import read_scores, table
from datasets.base import UserError
from protocols.scores import Scores

URI = "MLFLOW_TRACKING_URI"
DEFAULT = "sqlite:///mlflow.db"
MODEL = "model/artifacts/model"  # where what a Cell's method saved lies in its run; about it is what MLflow needs
ENVIRONMENT = "environment.json"
REMEDY = "give an address like sqlite:///mlflow.db or http://host:5000 with --tracking-uri"
BATCH = 1000  # metrics that one request may carry
ANSWERS, SUMMARY = "answers.csv", "summary.json"  # of a row; of a row, for the report
TUNING = "tuning.json"  # of a row that is tuned, and of each of its Cells
SUMMARISED = "bench.summary"  # the tag of a row that has a summary: its version
CELLS = "cells.csv"  # the table of a row's Cells
HELD = "bench.held"  # the tag of a row whose documents tell all of its Cells: their digest


Span = tuple[int | None, int | None]  # begin and end in milliseconds


class TrackingError(UserError):
    """Results cannot be kept or read."""


class LostError(TrackingError):
    """What was kept of a run is gone; `public` names neither the store nor a path, so a page may say it."""

    def __init__(self, run_id: str, store: str, name: str, error: Exception) -> None:
        self.public = f"its {name} is gone ({type(error).__name__})"
        super().__init__(f"run {run_id} at {store}: {self.public}; run it --fresh")


@dataclass(frozen=True)
class Kept:
    """All answers of a row, and the row in short."""

    answers: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A finished Cell in the store."""

    run_id: str
    metrics: Mapping[str, float]
    source: str = ""
    code: str = ""  # digest of all our packages; empty of what was kept before it was told


class Tracker:
    """The store of results at an address that MLflow understands."""

    def __init__(self, uri: str = "") -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a server's, amid our JSON
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else a server that is away costs minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self.uri = uri or os.environ.get(URI) or DEFAULT
        file = sqlite_file(self.uri)
        if file and not os.access(file.parent, os.W_OK):
            raise TrackingError(f"no results can be kept at {self.shown}: its folder is not there or not writable")
        if not file or file.exists():  # a new file is made only when there is something to keep
            with self.reached():
                self.client.search_experiments(max_results=1)

    def __reduce__(self) -> tuple[type["Tracker"], tuple[str]]:
        """Sent to another process it opens the same store anew, wherever that process stands."""
        file = sqlite_file(self.uri)
        return Tracker, (f"sqlite:///{file.resolve()}" if file else self.uri,)

    @cached_property
    def client(self) -> Any:
        from mlflow import MlflowClient

        for chatty in ("mlflow", "alembic"):  # once imported, for the import sets levels of its own
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return MlflowClient(self.uri)

    @contextmanager
    def reached(self, fault: str = "no results can be kept at {}", remedy: str = REMEDY) -> Iterator[None]:
        """What keeps the store from being read or written, in one line."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            raise TrackingError(f"{fault.format(self.shown)} ({type(error).__name__}); {remedy}") from None

    @property
    def absent(self) -> bool:
        """Whether the store is a file that is not there: nothing was ever kept in it."""
        return (file := sqlite_file(self.uri)) is not None and not file.exists()

    @property
    def shown(self) -> str:
        """The address without what may be secret: who asks, and what is asked beside the place."""
        return shown(self.uri, True)

    @property
    def public(self) -> str:
        """The address for a page that strangers read: scheme and host, or the name of SQLite's file."""
        return shown(self.uri, False)

    def experiment(self, name: str) -> str:
        """The experiment's id; made on first use, by whichever process is the first."""
        with self.reached():
            found = self.client.get_experiment_by_name(name) or self._new_experiment(name)
        if found and found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"experiment {name!r} was deleted in MLflow; mlflow experiments restore -x {found.experiment_id} "
                "brings it back, another --tracking-uri starts anew"
            )
        return str(found.experiment_id)

    def _new_experiment(self, name: str) -> Any:
        with _there():
            self.client.create_experiment(name)
        return self.client.get_experiment_by_name(name)

    def register(self, name: str) -> None:
        """A name in the model registry."""
        with _there():
            self.client.create_registered_model(name)

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

    def meanwhile(self, experiment: str, key: str, before: Collection[str]) -> Done | None:
        """A Cell that was finished after those that were known: a worker that is lost may have done so."""
        query = f"tags.`bench.key` = '{key}' and attributes.status = 'FINISHED'"
        found = (run for run in self._search(experiment, query) if "bench.superseded" not in run.data.tags)
        return next((_done(run) for run in found if run.info.run_id not in before), None)

    def supersede(self, run_id: str) -> None:
        """A finished Cell was run twice: this copy stays, but counts no more, and no table that tells of it."""
        self._tag(run_id, {"bench.superseded": True})
        run = self.client.get_run(run_id)
        setup = f"tags.`bench.setup` = '{run.data.tags.get('bench.setup', '')}' and tags.`bench.kind` = 'row'"
        for row in self._search(run.info.experiment_id, setup):
            if row.data.tags.get(HELD):
                self._tag(row.info.run_id, {HELD: ""})

    def whole_rows(self, experiment: str, corpus: str, method: str) -> tuple[list[Any], frozenset[str]]:
        """Finished rows on a corpus, of one method or of all; and what was deleted, for tables may still tell of it."""
        from mlflow.entities import ViewType

        about = f"tags.`bench.corpus` = '{corpus}'" + (f" and tags.`bench.method` = '{method}'" if method else "")
        rows = f"{about} and tags.`bench.kind` = 'row' and attributes.status = 'FINISHED'"
        gone = self._search(experiment, "", ViewType.DELETED_ONLY)
        return list(self._search(experiment, rows)), frozenset(run.info.run_id for run in gone)

    def open_row(
        self, experiment: str, key: str, title: str, params: Mapping[str, Any], tags: Mapping[str, Any], news: bool
    ) -> str:
        """The parent run of a row's Cells; one that was begun before goes on. Without news its tags stay.

        Of several processes that begin it at once, all but the first take theirs back.
        """
        if not (found := self._begun(experiment, key)):
            made = self._create(experiment, title, {"bench.kind": "row", "bench.row": key, **tags})
            if (found := self._begun(experiment, key)) == made:
                self.params(made, params)
                return made
            self.client.delete_run(made)
        if news:
            self._tag(found, tags)
        self.client.update_run(found, status="RUNNING")
        return found

    def _begun(self, experiment: str, key: str) -> str:
        """The run of a row; of several the one that counts, which is the first. Empty if there is none."""
        query = f"tags.`bench.row` = '{key}' and tags.`bench.kind` = 'row'"
        found = ((run.info.start_time, str(run.info.run_id)) for run in self._search(experiment, query))
        return min(found, default=(0, ""))[1]

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
            self._tag(run_id, {SUMMARISED: kept.summary["version"], HELD: held(lines, answers)})
        self.client.set_terminated(run_id, "FINISHED" if whole else "FAILED")

    def params(self, run_id: str, told: Mapping[str, Any]) -> None:
        """How a run was set."""
        self.client.log_batch(run_id, params=[_param(name, value) for name, value in told.items()])

    @contextmanager
    def row(self, run_id: str) -> Iterator[None]:
        """While a row's Cells are run: what ends otherwise is not left as if it were running."""
        try:
            yield
        except BaseException:
            self.kill(run_id)
            raise

    def kill(self, run_id: str) -> None:
        """A row that ended before its Cells did; unless another process has finished it since."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, "KILLED")

    def keep_table(
        self, experiment: str, title: str, tags: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
    ) -> str:
        """A run of its own for a table that was made from others' results."""
        run_id = self._create(self.experiment(experiment), title, tags)
        self.client.log_text(run_id, table(rows), "table.csv")
        self.note(run_id, "table.json", list(rows))
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def note(self, run_id: str, name: str, value: Any) -> None:
        """A document beside a run's results."""
        self.client.log_dict(run_id, value, name)

    def environment(self, cell: str) -> dict[str, Any]:
        """What a Cell was computed with, noted beside the row that it was run for; empty if nothing is."""
        row = self.client.get_run(cell).data.tags["mlflow.parentRunId"]
        try:
            found: dict[str, Any] = self.document(row, ENVIRONMENT)
        except LostError:
            return {}
        return found

    @contextmanager
    def cell(self, experiment: str, parent: str, title: str, tags: Mapping[str, Any]) -> Iterator[CellRun]:
        """A run, the child of another if there is one. What ends unfinished is marked failed, with the reason."""
        self.bury(experiment, str(tags["bench.key"]))
        own = {"bench.kind": "cell", "bench.process": f"{socket.gethostname()}:{os.getpid()}"}
        told = {**own, **({"mlflow.parentRunId": parent} if parent else {}), **tags}
        run_id = self._create(experiment, title, told)
        run = CellRun(self, run_id)
        try:
            yield run
        except BaseException as error:
            run.flush()
            self.client.log_text(run_id, traceback.format_exc(), "error.txt")
            self._tag(run_id, {"bench.error": f"{type(error).__name__}: {error}"[:4000]})
            self.client.set_terminated(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise

    def scores(self, run_id: str) -> Scores:
        """A finished Cell's answers, read back."""
        with self._file(run_id, "predictions.csv") as file:
            return read_scores(file)

    def curves(self, run_id: str, metrics: Mapping[str, float]) -> list[tuple[str, float, int]]:
        """A finished Cell's curves, read back; none where it has none."""
        if not metrics.get(POINTS):
            return []
        rows = csv.DictReader(io.StringIO(self.text(run_id, CURVES)))
        return [(row["name"], float(row["value"]), int(row["step"])) for row in rows]

    def text(self, run_id: str, name: str, at: str = "", most: int | None = None) -> str:
        """A document of a run, of so many bytes at most; `at` is where its documents are: it spares two requests."""
        with self._file(run_id, name, at) as file:
            if most is not None and file.stat().st_size > most:
                raise ValueError(f"{name} has more than {most} bytes")
            return file.read_text(encoding="utf-8")

    @contextmanager
    def _file(self, run_id: str, name: str, at: str = "") -> Iterator[Path]:
        """A document of a run while it is read."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            if here := on_disk(at):
                yield here / name
                return
            with TemporaryDirectory() as folder:
                there = {"run_id": run_id, "artifact_path": name, "tracking_uri": self.uri}
                yield Path(download_artifacts(dst_path=folder, **there))
        except (MlflowException, OSError) as error:
            raise LostError(run_id, self.shown, name, error) from None

    def all(self, query: str) -> Iterator[Any]:
        """Runs of all experiments that fit, with the experiment's name: few requests, whatever their number."""
        with self.reached():
            names = {one.experiment_id: one.name for one in self.client.search_experiments()}
            for run in self._search(list(names), query) if names else ():
                yield names[run.info.experiment_id], run

    def model(self, run_id: str, folder: Path, where: str = "model") -> Path:
        """A finished run's model, in a folder below that one."""
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True)
        try:
            return Path(self.client.download_artifacts(run_id, where, str(folder)))
        except (MlflowException, OSError) as error:
            raise LostError(run_id, self.shown, "model", error) from None

    def document(self, run_id: str, name: str) -> Any:
        """A JSON document beside a run's results."""
        return json.loads(self.text(run_id, name))

    def cells(self, run_id: str) -> list[dict[str, str]]:
        """The table of a row's Cells, as the row was last closed."""
        return list(csv.DictReader(io.StringIO(self.text(run_id, CELLS))))

    def has(self, run_id: str, name: str) -> bool:
        """Whether a document is there."""
        folder = name.rpartition("/")[0] or None
        return any(found.path == name for found in self.client.list_artifacts(run_id, folder))

    def metrics(self, run_id: str, points: Sequence[tuple[str, float, int]]) -> None:
        """Values with their steps, in as many requests as they need."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for first in range(0, len(points), BATCH):
            part = points[first : first + BATCH]
            self.client.log_batch(run_id, metrics=[Metric(name, float(value), now, step) for name, value, step in part])

    def trial(
        self, experiment: str, parent: str, title: str, told: Mapping[str, Any], curve: Sequence[float], span: Span
    ) -> None:
        """A trial that ended, as a child of its Cell's run; `told` has params, metrics, tags and status."""
        tags = {"bench.kind": "trial", "mlflow.parentRunId": parent, **told["tags"]}
        text = {name: str(value) for name, value in tags.items()}
        run = self.client.create_run(experiment, start_time=span[0], run_name=title, tags=text)
        run_id = str(run.info.run_id)
        self.params(run_id, told["params"])
        points = [("inner_uar_so_far", value, step) for step, value in enumerate(curve, start=1)]
        self.metrics(run_id, [*points, *((name, value, 0) for name, value in told["metrics"].items())])
        self.client.set_terminated(run_id, told["status"], end_time=span[1])

    def _create(self, experiment: str, title: str, tags: Mapping[str, Any]) -> str:
        text = {name: str(value) for name, value in tags.items()}
        return str(self.client.create_run(experiment, run_name=title, tags=text).info.run_id)

    def _tag(self, run_id: str, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    def bury(self, experiment: str, key: str) -> None:
        """What was running when its process was killed runs no more."""
        for run in self._search(experiment, "attributes.status = 'RUNNING'"):  # few; by key it takes ten times longer
            if run.data.tags.get("bench.key") == key and _ended(run.data.tags.get("bench.process", "")):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def bury_cells(self, experiment: str, parent: str) -> None:
        """The same, of all Cells of a row."""
        for run in self._search(
            experiment, f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'RUNNING'"
        ):
            self.kill(run.info.run_id)

    def _search(self, experiment: str | list[str], query: str, view: int = 1) -> Iterator[Any]:
        token = None
        experiments = [experiment] if isinstance(experiment, str) else experiment
        while True:
            page = self.client.search_runs(experiments, query, view, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _done(run: Any) -> Done:
    tags = run.data.tags
    return Done(run.info.run_id, run.data.metrics, tags.get("bench.source", ""), tags.get("bench.git_code", ""))


@contextmanager
def _there() -> Iterator[None]:
    """What another process was faster to make is as good."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def held(cells: str, answers: str) -> str:
    """A digest of two documents of a row: one that does not fit was written by somebody else, or by half."""
    return hashlib.sha256(f"{cells}\0{answers}".encode()).hexdigest()[:32]


def _ended(process: str) -> bool:
    """Whether a process of this machine is no more; of other machines' nobody here can tell, so they are not."""
    if not process:  # of what was kept before it was told
        return True
    host, _, number = process.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(number) == os.getpid()


def _param(name: str, value: Any) -> Any:
    from mlflow.entities import Param

    return Param(name, str(value))
