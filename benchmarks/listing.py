"""The rows of `list`: what plugins say of themselves."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.plugins import describe, load, names

Row = dict[str, object]


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


ROWS: Mapping[str, Callable[[], list[Row]]] = {"methods": _methods, "datasets": _datasets, "protocols": _protocols}
