"""Runs of MLflow at one address, whatever they are about: made, told of, found again and read."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.address import absolute, on_disk, shown, sqlite_file
from benchmarks.corpora import cache, node_cache
from benchmarks.reach import AwayError, Client, Reach, TrackingError

URI = "MLFLOW_TRACKING_URI"
DEFAULT = "sqlite:///mlflow.db"
REMEDY = "give an address like sqlite:///mlflow.db or http://host:5000 with --tracking-uri"
BATCH = 1000  # metrics that one request may carry


class LostError(TrackingError):
    """What was kept of a run is gone; `public` names neither the store nor a path, so a page may say it."""

    def __init__(self, run_id: str, store: str, name: str, error: Exception) -> None:
        self.public = f"its {name} is gone ({type(error).__name__})"
        super().__init__(f"run {run_id} at {store}: {self.public}; run it --fresh")


class Runs:
    """The store of results at an address that MLflow understands."""

    def __init__(self, uri: str = "", place: Path | None = None) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a server's, amid our JSON
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow's maker is told nothing
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else a server that is away costs minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self.uri = uri or os.environ.get(URI) or DEFAULT
        self.place = place or cache().resolve()  # of all that is disposable, and of results that wait to be sent
        self.reach = Reach(self.uri)
        file = sqlite_file(self.uri)
        if file and not os.access(file.parent, os.W_OK):
            raise TrackingError(f"no results can be kept at {self.shown}: its folder is not there or not writable")
        if not file or file.exists():  # a new file is made only when there is something to keep
            try:
                with self.reached():
                    self.client.search_experiments(max_results=1)
            except AwayError:
                raise TrackingError(f"no results can be kept at {self.shown}: it does not answer; {REMEDY}") from None

    def __reduce__(self) -> tuple[Any, tuple[type["Runs"], str, Path]]:
        """Sent to another process it opens the same store anew, wherever that process stands."""
        return _opened, (type(self), absolute(self.uri), self.place)

    @cached_property
    def client(self) -> Any:
        from mlflow import MlflowClient

        for chatty in ("mlflow", "alembic"):  # once imported, for the import sets levels of its own
            logging.getLogger(chatty).setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what it raises as well
        return Client(MlflowClient(self.uri), self.reach)

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
        """Its files lie beside SQLite's; MLflow would put them below whatever folder the process stands in."""
        file = sqlite_file(self.uri)
        with _there():
            self.client.create_experiment(name, str(file.resolve().parent / "mlruns" / name) if file else None)
        return self.client.get_experiment_by_name(name)

    def register(self, name: str) -> None:
        """A name in the model registry."""
        with _there():
            self.client.create_registered_model(name)

    def params(self, run_id: str, told: Mapping[str, Any]) -> None:
        """How a run was set."""
        if told:
            self.client.log_batch(run_id, params=[_param(name, value) for name, value in told.items()])

    def kill(self, run_id: str) -> None:
        """A row that ended before its Cells did; unless another process has finished it since."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, "KILLED")

    def note(self, run_id: str, name: str, value: Any) -> None:
        """A document beside a run's results."""
        self.client.log_dict(run_id, value, name)

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
            self.reach.still()
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
            self.reach.still()
            raise LostError(run_id, self.shown, "model", error) from None

    def document(self, run_id: str, name: str) -> Any:
        """A JSON document beside a run's results."""
        return json.loads(self.text(run_id, name))

    def has(self, run_id: str, name: str) -> bool:
        """Whether a document is there."""
        folder = name.rpartition("/")[0] or None
        return any(found.path == name for found in self.client.list_artifacts(run_id, folder))

    def metrics(self, run_id: str, points: Sequence[tuple[str, float, int]]) -> None:
        """Values with their steps, as of now."""
        now = int(time.time() * 1000)
        self.points(run_id, [(name, float(value), step, now) for name, value, step in points])

    def points(self, run_id: str, points: Sequence[tuple[str, float, int, int]]) -> None:
        """Values with their steps and times, in as many requests as they need; told again they count once."""
        from mlflow.entities import Metric

        for first in range(0, len(points), BATCH):
            part = points[first : first + BATCH]
            self.client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value, step, now in part])

    def status(self, run_id: str) -> str | None:
        """Of a run; None: it is not there, or was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            info = self.client.get_run(run_id).info
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return str(info.status) if info.lifecycle_stage == "active" else None

    def _create(self, experiment: str, title: str, tags: Mapping[str, Any], begun: int | None = None) -> str:
        text = {name: str(value) for name, value in tags.items()}
        return str(self.client.create_run(experiment, start_time=begun, run_name=title, tags=text).info.run_id)

    def tag(self, run_id: str, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    def _search(self, experiment: str | list[str], query: str, view: int = 1) -> Iterator[Any]:
        token = None
        experiments = [experiment] if isinstance(experiment, str) else experiment
        while True:
            page = self.client.search_runs(experiments, query, view, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _opened(kind: type[Runs], uri: str, place: Path) -> Runs:
    """In another process, which may be on a machine that does not see that folder."""
    return kind(uri, place if place.is_dir() else node_cache())


@contextmanager
def _there() -> Iterator[None]:
    """What another process was faster to make is as good."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _param(name: str, value: Any) -> Any:
    from mlflow.entities import Param

    return Param(name, str(value))
