"""The rows of `list`: what plugins say of themselves."""

import csv
import dataclasses
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from benchmarks.plugins import describe, load, names

Row = dict[str, object]
JSON_ONLY = frozenset({"citation", "how_to_get", "layout", "column", "protocol", "task", "metric"})


def _datasets() -> list[Row]:
    return [_dataset(name) for name in names("datasets")]


def _dataset(name: str) -> Row:
    corpus = load("datasets", name)(Path())
    low, high = corpus.expected.clips
    return {
        "name": name,
        "title": corpus.title,
        "clips": low if low == high else f"{low}-{high}",
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


def _published() -> list[Row]:
    """The papers' own numbers, not those that they cite; a row without a variant cannot be run."""
    rows: list[Row] = []
    for name in names("methods"):
        file = files("methods") / "published" / f"{name.replace('-', '_')}.csv"
        if file.is_file():
            told = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
            rows += [{"method": name, **row, "value": float(row["value"])} for row in told]
    return rows


ROWS: Mapping[str, Callable[[], list[Row]]] = {
    "methods": _methods,
    "datasets": _datasets,
    "protocols": _protocols,
    "variants": _variants,
    "published": _published,
}
