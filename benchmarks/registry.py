"""Which finished model is meant, and which is the champion of its corpus in MLflow's model registry."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import console
from benchmarks.plugins import canonical, load, names
from benchmarks.reach import TrackingError
from benchmarks.track import Tracker
from datasets.clips import TASKS, UserError

if TYPE_CHECKING:
    from reports.results import Result

ALIAS = "champion"
SHORT = 6  # letters of an id that must be given at least
FINISHED = "FINISHED"


def chosen(tracker: Tracker, asked: str) -> str:
    """A finished Cell by its id or how it begins, by a row's (its first Cell), or by NAME@ALIAS in the registry."""
    if "@" in asked:
        return _aliased(tracker, *asked.split("@", 1))
    if len(asked) < SHORT or not asked.isalnum():
        raise TrackingError(
            f"no run is called {asked!r}; give its id, or its first {SHORT} letters or more, or NAME@{ALIAS}"
        )
    found = [run for _, run in tracker.all(f"attributes.run_id LIKE '{asked.lower()}%'")]
    if len(found) != 1:
        many = f"{len(found)} runs begin" if found else "no run begins"
        raise TrackingError(f"{many} with {asked} at {tracker.shown}; mlflow ui shows them all")
    (run,) = found
    kind = run.data.tags.get("bench.kind")
    if run.data.tags.get("bench.imported"):
        raise TrackingError(f"run {asked} was imported: its answers were made elsewhere, and no model is kept here")
    if kind == "cell" and run.info.status == FINISHED:
        return str(run.info.run_id)
    if kind == "row" and (cells := finished_cells(tracker, run.info.run_id)):
        return cells[0]
    if kind in ("cell", "row"):
        raise TrackingError(f"run {asked} has no finished model (its status is {run.info.status}); run it again")
    raise TrackingError(f"run {asked} is a {kind or 'run of something else'}, not a method's test on a fold")


def finished_cells(tracker: Tracker, row: str) -> list[str]:
    """The runs of a row's finished Cells, in the row's order: by seed, then by fold; none while it is running."""
    if not tracker.has(row, "cells.csv"):
        return []
    return [line["run_id"] for line in tracker.cells(row) if line["run_id"] and not line["error"]]


def _registry(tracker: Tracker) -> AbstractContextManager[None]:
    """What keeps the registry from being read or written, in one line."""
    remedy = "it takes a server that has one, and the right to write there"
    return tracker.reached("the model registry at {} cannot be used", remedy)


def _registered(tracker: Tracker) -> Iterator[Any]:
    """All models of the registry, which is told a page at a time."""
    token = None
    while True:
        page = tracker.client.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _aliased(tracker: Tracker, name: str, alias: str) -> str:
    with _registry(tracker):
        found = {model.name: model for model in _registered(tracker)}
    if name not in found:
        raise TrackingError(f"no model {name!r} is registered; choose from {', '.join(sorted(found)) or 'none yet'}")
    aliases = found[name].aliases
    if alias not in aliases:
        raise TrackingError(f"{name} has no alias {alias!r}; choose from {', '.join(sorted(aliases)) or 'none'}")
    with _registry(tracker):
        return str(tracker.client.get_model_version(name, str(aliases[alias])).run_id)


@dataclass(frozen=True)
class Champion:
    """The first of a corpus and task on the leaderboard, and its model in the registry."""

    name: str
    version: str
    method: str
    score: float
    row: str
    run_id: str
    moved: bool  # whether the alias was set now

    def told(self) -> dict[str, object]:
        return {
            "name": self.name,
            "version": self.version,
            "method": self.method,
            "uar": self.score,
            "row": self.row,
            "run_id": self.run_id,
            "moved": self.moved,
        }


def champions(
    tracker: Tracker, results: "Sequence[Result]", warn: Callable[[object], None] = console.warn
) -> list[Champion]:
    """Registers the model of each first row and gives it the alias; where none is first any more, the alias goes.

    What is so already stays. What keeps one from being registered is a warning, and costs the others nothing.
    """
    if tracker.absent:  # to ask would make the file
        return []
    first, found = _first(results), list[Champion]()
    for name in sorted(first):
        try:
            with _registry(tracker):
                found.append(_crowned(tracker, name, first[name]))
        except UserError as error:
            warn(f"{name} gets no champion: {error}")
    try:
        _dethrone(tracker, first)
    except UserError as error:
        warn(f"no champion was dropped: {error}")
    return found


def _first(results: "Sequence[Result]") -> "dict[str, Result]":
    """By the name of its model, the first of the ranking under the corpus' own protocol."""
    from reports.ranking import tables  # here, for predict needs none of what ranks

    kinds = {corpus: load("datasets", corpus) for corpus in names("datasets")}
    known = {corpus: canonical(kind.default_protocol, kind.protocol_settings) for corpus, kind in kinds.items()}
    return {
        f"{table.arena.corpus}-{table.arena.task}": table.ranked[0].result
        for table in tables(results)
        if table.ranked and not table.arena.standin and table.arena.protocol == known.get(table.arena.corpus)
    }


def _dethrone(tracker: Tracker, first: Mapping[str, object]) -> None:
    """Of the names that we give, those without a first row lose the alias."""
    ours = {f"{corpus}-{task}" for corpus in names("datasets") for task in TASKS} - set(first)
    with _registry(tracker):
        for model in list(_registered(tracker)) if ours else ():
            if model.name in ours and ALIAS in model.aliases:
                tracker.client.delete_registered_model_alias(model.name, ALIAS)


def _crowned(tracker: Tracker, name: str, row: "Result") -> Champion:
    """A row has a model for each fold, and none has seen all people: the first fold's is taken."""
    cells = finished_cells(tracker, row.run_id)
    if not cells:
        raise TrackingError(f"row {row.run_id} is finished, but its cells.csv is gone; run it --fresh")
    run_id, client, score = cells[0], tracker.client, row.scores["uar"].estimate
    if not tracker.has(run_id, "model/MLmodel"):
        raise TrackingError(f"run {run_id} keeps no model that MLflow can serve; run it --fresh")
    there = client.search_registered_models(f"name='{name}'")
    if not there:
        tracker.register(name)
    versions = {version.run_id: str(version.version) for version in client.search_model_versions(f"name='{name}'")}
    if run_id not in versions:
        told = f"{row.title}: uar {score:.4f} over all folds; this is the model of the first fold"
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(name, source, run_id=run_id, description=told)
        versions[run_id] = str(made.version)
    moved = not there or str(there[0].aliases.get(ALIAS, "")) != versions[run_id]
    if moved:
        client.set_registered_model_alias(name, ALIAS, versions[run_id])
    return Champion(name, versions[run_id], row.asked.method, score, row.run_id, run_id, moved)
