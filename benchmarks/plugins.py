"""One file is one plugin: found by scanning the folder, imported when asked for, named in the error when absent."""

import ast
import dataclasses
import importlib
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from datasets.clips import UserError

Kind = Literal["methods", "datasets", "protocols"]
BASES: Mapping[Kind, str] = {"methods": "Method", "datasets": "Dataset", "protocols": "Protocol"}


class PluginError(UserError):
    """No such plugin, or none that is so."""


def names(kind: Kind) -> tuple[str, ...]:
    """Every plugin of a kind by its name on the command line; nothing is imported."""
    return tuple(sorted(_files(kind)))


def describe(kind: Kind, name: str) -> str:
    """The first line of the plugin's docstring, read without importing it."""
    tree = ast.parse(file_of(kind, name).read_text())
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def file_of(kind: Kind, name: str) -> Path:
    """The file that is the plugin."""
    there = _files(kind)
    return there[_resolved(kind, name, there)]


def resolve(kind: Kind, name: str) -> str:
    """The plugin's name, or an error that says what there is to choose from."""
    return _resolved(kind, name, _files(kind))


def _resolved(kind: Kind, name: str, there: Mapping[str, Path]) -> str:
    canonical = name.strip().lower().replace("_", "-")
    if canonical not in there:
        raise PluginError(f"no {kind[:-1]} is called {name!r}; choose from {', '.join(sorted(there)) or 'none yet'}")
    return canonical


def load(kind: Kind, name: str) -> Any:
    """The class that the plugin's file defines."""
    file = file_of(kind, name)
    module = importlib.import_module(f"{kind}.{file.stem}")
    return getattr(module, _plugin_class(file, BASES[kind]) or "")


def build(kind: Kind, spec: str, settings: Mapping[str, Mapping[str, object]] | None = None) -> Any:
    """A protocol from `name` or `name:field=value,field=value`; `settings` are a corpus' own, by name."""
    name, plugin, given = _read(kind, spec)
    return plugin(**(given or (settings or {}).get(name, {})))


def _read(kind: Kind, spec: str) -> tuple[str, Any, dict[str, object]]:
    """A protocol's name, its class and what is set of it; lists, which commas would part, are set by a corpus alone."""
    name, _, arguments = spec.partition(":")
    plugin = load(kind, name)
    fields = {field.name: field for field in dataclasses.fields(plugin) if not isinstance(field.default, tuple)}
    given: dict[str, object] = {}
    for argument in filter(None, map(str.strip, arguments.split(","))):
        key, text = (part.strip() for part in argument.partition("=")[::2])
        if key not in fields:
            raise PluginError(
                f"{name} has no {key!r}; choose from {', '.join(fields) or 'nothing: it takes no settings'}"
            )
        try:
            given[key] = ast.literal_eval(text) if not isinstance(fields[key].default, str) else text
        except (ValueError, SyntaxError):
            raise PluginError(f"{name}:{key} must be a number, but got {text!r}") from None
    return resolve(kind, name), plugin, given


def canonical(spec: str, settings: Mapping[str, Mapping[str, object]] | None = None) -> str:
    """A protocol as all spell it who mean the same: its settings in their order, less those that are so anyway.

    Where a corpus has `settings` of its own for it, the plain name means those: one is told at least where any is set.
    """
    name, plugin, given = _read("protocols", spec)
    defaults = {field.name: field.default for field in dataclasses.fields(plugin)}
    told = {key: given[key] for key in defaults if given.get(key, defaults[key]) != defaults[key]}
    if given and not told and name in (settings or {}):
        told = dict([next(iter(defaults.items()))])
    return ":".join(filter(None, (name, ",".join(f"{key}={value}" for key, value in told.items()))))


def _files(kind: Kind) -> Mapping[str, Path]:
    folders = importlib.import_module(kind).__path__
    listed = tuple((folder, tuple(os.listdir(folder))) for folder in folders)  # noqa: PTH208  three times as fast
    return _scanned(kind, listed)


@lru_cache(maxsize=16)
def _scanned(kind: Kind, folders: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, Path]:
    """Plugins among the files of some folders; asked thousands of times in a large plan."""
    found = (Path(folder, name) for folder, names_ in folders for name in sorted(names_) if name.endswith(".py"))
    return {file.stem.replace("_", "-"): file for file in found if _plugin_class(file, BASES[kind])}


@cache
def _plugin_class(file: Path, base: str) -> str | None:
    """The class of the file that inherits from `base` by name, read without importing."""
    try:
        tree = ast.parse(file.read_text())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise PluginError(f"{file} is no Python that can be read ({error}); mend it or move it away") from None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == base for b in node.bases):
            return node.name
    return None
