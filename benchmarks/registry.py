"""Which finished model is meant, and which is the champion of its corpus in MLflow's model registry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.plugins import load
from benchmarks.track import Tracker, TrackingError

ALIAS = "champion"
BEST_BY = "uar"
SHORT = 6  # letters of an id that must be given at least
FINISHED = "FINISHED"
WANTED = {
    "kind": "row", "preset": "paper", "independence": "verified", "standin": "False", "partial": "False",
    "excluded": "0",
}  # fmt: skip


def chosen(tracker: Tracker, asked: str) -> str:
    """A finished Cell by its id or how it begins, by a row's (its first Cell), or by NAME@ALIAS in the registry."""
    if "@" in asked:
        return _aliased(tracker, *asked.split("@", 1))
    if len(asked) < SHORT or not asked.isalnum():
        raise TrackingError(
            f"no run is called {asked!r}; give its id, or its first {SHORT} letters or more, or NAME@{ALIAS}"
        )
    found = list(tracker.kept(f"attributes.run_id LIKE '{asked.lower()}%'"))
    if len(found) != 1:
        many = f"{len(found)} runs begin" if found else "no run begins"
        raise TrackingError(f"{many} with {asked} at {tracker.shown}; mlflow ui shows them all")
    (run,) = found
    kind = run.data.tags.get("bench.kind")
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


def _aliased(tracker: Tracker, name: str, alias: str) -> str:
    found = {model.name: model for model in tracker.client.search_registered_models()}
    if name not in found:
        raise TrackingError(f"no model {name!r} is registered; choose from {', '.join(sorted(found)) or 'none yet'}")
    aliases = found[name].aliases
    if alias not in aliases:
        raise TrackingError(f"{name} has no alias {alias!r}; choose from {', '.join(sorted(aliases)) or 'none'}")
    return str(tracker.client.get_model_version(name, str(aliases[alias])).run_id)


def honest(tags: Mapping[str, str], status: str) -> bool:
    """Whether a row may be a champion: its paper's size, unseen people, the whole corpus, nothing left out or lent.

    The protocol must be the corpus' own: scores of different protocols cannot be ranked.
    """
    told = {name: tags.get(f"bench.{name}", "") for name in WANTED}
    changed = tags.get("bench.stamps", "") != tags.get("bench.substituted", "")  # substitutes are ranked too
    return status == FINISHED and told == WANTED and not changed and tags["bench.protocol"] == _protocol(tags)


def _protocol(tags: Mapping[str, str]) -> str:
    return str(load("datasets", tags["bench.dataset"]).default_protocol)


@dataclass(frozen=True)
class Champion:
    """The best honest row of a corpus and task, and its model in the registry."""

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
            BEST_BY: self.score,
            "row": self.row,
            "run_id": self.run_id,
            "moved": self.moved,
        }


def best(rows: Iterable[Any]) -> dict[str, Any]:
    """By the name of its model, the honest row of the highest score; of equals the one that was first."""
    found: dict[str, Any] = {}
    for row in sorted(rows, key=lambda run: run.info.start_time):
        tags = {"bench.dataset": row.data.params.get("dataset", ""), **row.data.tags}
        if BEST_BY in row.data.metrics and honest(tags, row.info.status):
            name = f"{tags['bench.dataset']}-{tags['bench.task']}"
            if name not in found or row.data.metrics[BEST_BY] > found[name].data.metrics[BEST_BY]:
                found[name] = row
    return found


def champions(tracker: Tracker) -> list[Champion]:
    """Registers the model of each best honest row, and gives it the alias; what is so already stays."""
    rows = list(tracker.kept("tags.`bench.kind` = 'row' and attributes.status = 'FINISHED'"))
    return [_crowned(tracker, name, row) for name, row in sorted(best(rows).items())]


def _crowned(tracker: Tracker, name: str, row: Any) -> Champion:
    """A row has a model for each fold, and none has seen all people: the first fold's is taken."""
    cells = finished_cells(tracker, row.info.run_id)
    if not cells:
        raise TrackingError(f"row {row.info.run_id} is finished, but its cells.csv is gone; run it --fresh")
    run_id, client, score = cells[0], tracker.client, row.data.metrics[BEST_BY]
    if not tracker.has(run_id, "model/MLmodel"):
        raise TrackingError(f"{name}: run {run_id} keeps no model that MLflow can serve; run it --fresh")
    there = client.search_registered_models(f"name='{name}'")
    if not there:
        client.create_registered_model(name)
    versions = {version.run_id: str(version.version) for version in client.search_model_versions(f"name='{name}'")}
    if run_id not in versions:
        told = f"{row.info.run_name}: {BEST_BY} {score:.4f} over all folds; this is the model of the first fold"
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(name, source, run_id=run_id, description=told)
        versions[run_id] = str(made.version)
    moved = not there or str(there[0].aliases.get(ALIAS, "")) != versions[run_id]
    if moved:
        client.set_registered_model_alias(name, ALIAS, versions[run_id])
    return Champion(name, versions[run_id], row.data.tags["bench.method"], score, row.info.run_id, run_id, moved)
