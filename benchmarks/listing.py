"""The rows of `list`: what plugins say of themselves."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import console
from benchmarks.plugins import describe, load, names

if TYPE_CHECKING:
    from benchmarks.track import Tracker

Row = dict[str, object]
ASKED = ("method", "variant", "modality", "preset", "stamps")  # what a row was asked to be, by tags
JSON_ONLY = frozenset(
    {"citation", "how_to_get", "layout", "column", "protocol", "task", "metric", "reason"}
    | {"looked_for", "url", "sha256", "sha256_is_whole", "differs"}
)


def _datasets() -> list[Row]:
    return [_dataset(name) for name in names("datasets")]


def _dataset(name: str) -> Row:
    corpus = load("datasets", name)(Path())
    low, high = corpus.expected.clips
    return {
        "name": name,
        "title": corpus.title,
        "clips": low if low == high else f"{low}-{high}" if low else f"up to {high}",
        "subjects": corpus.expected.subjects[1] or "no ids",
        "classes": len(corpus.labels),
        "default_protocol": corpus.default_protocol,
        "licence": corpus.licence,
        "citation": corpus.citation,
        "how_to_get": corpus.how_to_get,
        "layout": corpus.layout,
    }


def _protocols() -> list[Row]:
    rows: list[Row] = []
    for name in names("protocols"):
        fields = dataclasses.fields(load("protocols", name))
        settings = ", ".join(f"{field.name}={field.default}" for field in fields if field.default != ())
        rows.append({"name": name, "what": describe("protocols", name), "settings": settings})
    return rows


def _methods() -> list[Row]:
    return [{"name": name, "what": describe("methods", name)} for name in names("methods")]


def _variants() -> list[Row]:
    kinds = {name: load("methods", name) for name in names("methods")}
    return [
        {"method": name, "variant": variant, "modality": told.modality, "row": told.row}
        for name, kind in kinds.items()
        for variant, told in kind.variants.items()
    ]


def _methods_in_full() -> list[Row]:
    """With their papers, for which they must be imported."""
    return [{**row, **_paper(str(row["name"]))} for row in _methods()]


def _paper(name: str) -> Row:
    kind = load("methods", name)
    told = dataclasses.asdict(kind.paper)
    apart = {key: told.pop(key) for key in ("left_unsaid", "departures")}
    return {"modalities": sorted(kind.modalities), "paper": told, **apart}


def _published() -> list[Row]:
    """The papers' own numbers, not those that they cite; a row without a variant cannot be run."""
    from benchmarks.published import numbers

    return [vars(number) for name in names("methods") for number in numbers(name)]


def _weights() -> list[Row]:
    from methods.parts.weights import PUBLISHED, WeightStore, folder, genuine

    store, rows = WeightStore(folder()), list[Row]()
    for file in PUBLISHED:
        found = store.there(file)
        there = "there" if file.digest else "there, unconfirmed"
        state = "absent" if found is None else there if genuine(file, found) else "ANOTHER FILE"
        rows.append(
            {
                "name": file.name,
                "methods": ", ".join(file.used_by),
                "state": state,
                "what": file.what,
                "licence": file.licence,
                "where": str(found or "not in " + " or ".join(str(place.parent) for place in store.places(file))),
                "looked_for": [str(place) for place in store.places(file)],
                "url": file.url,
                "sha256": file.digest,
                "sha256_is_whole": len(file.digest) == 64,
                "differs": file.differs,
            }
        )
    return rows


def runs(tracker: "Tracker") -> list[Row]:
    """Rows of results in the store, the newest first; more of them is on the leaderboard."""
    if tracker.absent:
        return []
    found = sorted(tracker.all("tags.`bench.kind` = 'row'"), key=lambda pair: -pair[1].info.start_time)
    rows: list[Row] = []
    for experiment, run in found:
        told, score = run.data.tags, run.data.metrics.get("uar")
        begun = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
        rows.append(
            {
                "run_id": run.info.run_id,
                "begun": f"{begun:%Y-%m-%d %H:%M}",
                "corpus": experiment,
                **{name: told.get(f"bench.{name}", "") for name in (*ASKED, "task", "protocol", "independence")},
                "state": run.info.status.lower(),
                "uar": score,
            }
        )
    return rows


def short(row: Row) -> Row:
    """A row of `runs` for readers."""
    told = " ".join(filter(None, (str(row[name]) for name in ASKED)))
    score = row["uar"]
    return {
        "run": console.run(str(row["run_id"])),
        "begun": row["begun"],
        "corpus": row["corpus"],
        "method": told,
        "protocol": ", ".join(str(row[name]) for name in ("task", "protocol")),
        "subjects": row["independence"],
        "state": row["state"],
        "uar": f"{100 * score:.1f}" if isinstance(score, float) else "-",
    }


ROWS: Mapping[str, Callable[[], list[Row]]] = {
    "methods": _methods,
    "datasets": _datasets,
    "protocols": _protocols,
    "variants": _variants,
    "published": _published,
    "weights": _weights,
}
IN_FULL: Mapping[str, Callable[[], list[Row]]] = {"methods": _methods_in_full}  # for JSON
