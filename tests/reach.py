"""What can be reached from an object by attributes, items and closures: how far a stranger's code gets that has it.

Not by frames, the garbage collector, modules or files: who takes those is beyond what one process can withhold.
"""

import json
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

STEPS, OBJECTS, ITEMS = 12, 50_000, 500


def walk(*roots: Any) -> Iterator[Any]:
    """All that is found within so many steps, each once."""
    seen, now = dict[int, Any](), list(roots)
    for _ in range(STEPS):
        beyond: list[Any] = []
        for one in now:
            if id(one) in seen or isinstance(one, ModuleType | FrameType) or len(seen) > OBJECTS:
                continue
            seen[id(one)] = one
            yield one
            with suppress(Exception):  # what cannot be read is not reached
                beyond.extend(_next(one))
        now = beyond


def _next(one: Any) -> Iterator[Any]:
    if isinstance(one, str | bytes | int | float | complex | None):
        return
    if isinstance(one, type):
        if one.__module__ != "builtins":
            yield from vars(one).values()
        return
    if isinstance(one, FunctionType):
        yield from (one.__closure__ or ())
        yield from (one.__defaults__ or ())
        yield from (one.__kwdefaults__ or {}).values()
        return
    if isinstance(one, MethodType | BuiltinFunctionType):
        yield one.__self__
        yield getattr(one, "__func__", None)
        return
    if isinstance(one, np.ndarray):
        yield from one.ravel()[:ITEMS].tolist() if one.dtype.kind in "OUS" else ()
        return
    yield from _attributes(one)
    yield from _items(one)


def _attributes(one: Any) -> Iterator[Any]:
    names = {name for name in (*dir(one), *getattr(one, "__dict__", ())) if not name.startswith("__")}
    for name in sorted({*names, "__dict__", "__wrapped__", "__reduce__"} & {*dir(one)}):
        try:
            yield getattr(one, name)
        except Exception:
            continue
    if hasattr(one, "cell_contents"):
        yield one.cell_contents
    yield type(one)


def _items(one: Any) -> Iterator[Any]:
    if isinstance(one, Mapping):
        for key in list(one)[:ITEMS]:
            yield key
            yield one[key]
    elif isinstance(one, Set | tuple | list):
        yield from list(one)[:ITEMS]
    elif hasattr(one, "__getitem__") and hasattr(one, "__len__") and not isinstance(one, PurePath):
        yield from (one[number] for number in range(min(3, len(one))))


def note(where: str, *roots: Any) -> None:
    """What a toy reaches, for the test to read: the kinds of objects, and all text."""
    found = list(walk(*roots))
    texts = {str(one) for one in found if isinstance(one, str | bytes | PurePath)}
    kinds = {type(one).__name__ for one in found}
    with Path(os.environ["TOY_REACHED"]).open("a") as stream:
        stream.write(json.dumps({"where": where, "kinds": sorted(kinds), "texts": sorted(texts)}) + "\n")
