"""From a request to Cells: method x protocol x fold x seed, each with a key that hashes all its result depends on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from benchmarks.content import Content
from benchmarks.plugins import PluginError, load
from datasets.base import TASKS, Clip, Dataset, DatasetError
from methods.base import Frozen, Method, MethodError, Modality, Weights
from protocols.audit import Independence
from protocols.base import Fold

PRESETS = ("paper", "quick")


@dataclass(frozen=True)
class Wish:
    """What is asked of each method, whatever the corpus."""

    preset: str
    modality: str = ""  # empty: the variant's, else the richest that the method has
    variant: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # dotted names in the method's Config
    weightless: bool = False  # --weights none


@dataclass(frozen=True, eq=False)
class Arena:
    """What every method of a run meets alike."""

    dataset: Dataset
    task: str
    protocol: str  # as spelled on the command line
    clips: Sequence[Clip]
    folds: Sequence[Fold]
    contents: Mapping[str, Content]
    digest: str  # of the corpus

    @cached_property
    def copied(self) -> int:
        """Clips of any class in this copy of the corpus; a task may be about fewer of them."""
        return len(self.clips if self.task == TASKS[0] else self.dataset.scan().clips)

    @property
    def partial(self) -> bool:
        """Whether clips of the whole corpus are not there, or excluded."""
        return not self.dataset.standin and self.copied < self.dataset.expected.clips[0]

    @property
    def independence(self) -> Independence:
        """Of all folds together: the worst."""
        found = {fold.independence for fold in self.folds}
        return "violated" if "violated" in found else "unknown" if "unknown" in found else "verified"


@dataclass(frozen=True)
class Cell:
    """One fit and its test: what is run, skipped, resumed and counted."""

    fold: Fold
    seed: int
    key: str

    @property
    def title(self) -> str:
        return f"{self.fold.name}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the leaderboard: a method as configured, in an arena."""

    name: str
    kind: type[Method]
    config: Any
    modality: str
    wish: Wish
    frozen: Frozen | None
    pretrained: Mapping[str, Path | None]
    cells: tuple[Cell, ...]
    key: str

    @property
    def stamps(self) -> tuple[str, ...]:
        """What must stand beside every result."""
        changed = tuple(f"{name}={value}" for name, value in self.wish.settings.items())
        return (*changed, "weights none") if self.wish.weightless and self.weights else changed

    def method(self) -> Method:
        return self.kind(self.config, self.modality)

    @property
    def weights(self) -> str | None:
        """The published weights that are used, or what is random in their place; None if none are needed."""
        told = [self.frozen.key] if self.frozen else []
        told += [f"{part} {file}" for part, file in _names(self.pretrained).items()]
        return ", ".join(told) or None

    @property
    def title(self) -> str:
        parts = [self.name, self.modality, self.wish.variant, self.wish.preset, *self.stamps]
        return " ".join(filter(None, parts))


def row(name: str, wish: Wish, arena: Arena, seeds: int, weights: Weights) -> Row:
    """The Cells of one method; an error if it cannot do what is asked."""
    kind: type[Method] = load("methods", name)
    config, modality = configured(name, kind, wish)
    _available(arena, modality)
    method = kind(config, modality)
    frozen, pretrained = method.frozen(weights), method.pretrained(weights)
    preparation = repr(method.preparation())
    if " at 0x" in preparation:  # else nothing prepared or finished would ever be found again
        raise MethodError(
            f"{name}'s preparation must be a frozen dataclass, for its repr is its key; got {preparation}"
        )
    facts = {
        "method": name,
        "version": kind.version,
        "config": dataclasses.asdict(config),
        "preparation": preparation,
        "frozen": frozen.key if frozen else None,
        "pretrained": _names(pretrained),
        "preset": wish.preset,
        "modality": modality,
        "task": arena.task,
        "corpus": arena.digest,
    }
    cells = tuple(
        Cell(fold, seed, _digest(facts | _membership(fold, arena.contents, kind.validates) | {"seed": seed}))
        for seed in range(seeds)
        for fold in arena.folds
    )
    whole = _digest(
        {**facts, "protocol": arena.protocol, "variant": wish.variant, "cells": [cell.key for cell in cells]}
    )
    return Row(name, kind, config, modality, wish, frozen, pretrained, cells, whole)


def _names(pretrained: Mapping[str, Path | None]) -> dict[str, str]:
    """Published files are known by name: whoever finds one checks its digest."""
    return {part: file.name if file else "random" for part, file in pretrained.items()}


def configured(name: str, kind: type[Method], wish: Wish) -> tuple[Any, str]:
    """Config and modality, from the variant, the preset and single settings, in this order."""
    config: Any = kind.Config()
    modality = wish.modality
    if wish.variant:
        if wish.variant not in kind.variants:
            there = ", ".join(kind.variants) or "none: it has no variants"
            raise PluginError(f"{name} has no variant {wish.variant!r}; choose from {there}")
        variant = kind.variants[wish.variant]
        if modality and modality != variant.modality:
            raise PluginError(
                f"{name}'s {wish.variant} is a row for {variant.modality}; leave --modality {modality} out"
            )
        config, modality = variant.config, variant.modality
    if wish.preset == "quick":
        old = flat(config)
        quick = {key: value(old[key]) if callable(value) else value for key, value in kind.quick.items()}
        config = assigned(name, config, quick)
    modality = modality or next(m for m in ("av", "audio", "video") if m in kind.modalities)
    if modality not in kind.modalities:
        raise PluginError(f"{name} has no modality {modality!r}; choose from {', '.join(sorted(kind.modalities))}")
    return assigned(name, config, wish.settings), modality


def flat(config: Any, before: str = "") -> dict[str, Any]:
    """A Config by dotted names."""
    found: dict[str, Any] = {}
    for name, value in vars(config).items():
        found |= flat(value, f"{before}{name}.") if dataclasses.is_dataclass(value) else {f"{before}{name}": value}
    return found


def assigned(name: str, config: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of a Config with some values changed; `a.b` is the field b of the part a."""
    for dotted, value in settings.items():
        head, _, rest = dotted.partition(".")
        fields = [f.name for f in dataclasses.fields(config)]
        if head not in fields:
            raise PluginError(f"{name} has no setting {dotted!r}; choose from {', '.join(fields)}")
        old = getattr(config, head)
        if rest and not dataclasses.is_dataclass(old):
            raise PluginError(f"{name}'s {head} has no parts, so there is no {dotted!r}")
        new = assigned(f"{name}'s {head}", old, {rest: value}) if rest else _like(old, value, name, dotted)
        hint = get_type_hints(type(config))[head]
        if get_origin(hint) is Literal and new not in get_args(hint):
            there = ", ".join(map(str, get_args(hint)))
            raise PluginError(f"{name} has no {dotted} {new!r}; choose from {there}")
        try:
            config = dataclasses.replace(config, **{head: new})
        except ValueError as error:
            raise PluginError(f"{name}: {dotted}={value} cannot be: {error}") from None
    return config


def _like(old: Any, new: Any, name: str, dotted: str) -> Any:
    """The new value, if it is of the old one's type; whole numbers are numbers too."""
    if dataclasses.is_dataclass(old):
        parts = ", ".join(f"{dotted}.{f.name}" for f in dataclasses.fields(old))
        raise PluginError(f"{name}'s {dotted} has parts; set {parts}")
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        new = float(new)
    if isinstance(old, tuple) and isinstance(new, list):
        new = tuple(new)
    if old is not None and type(new) is not type(old):
        raise PluginError(f"{name}: {dotted} is {type(old).__name__}, like {old!r}, but got {new!r}")
    return new


def needed(modality: str) -> frozenset[str]:
    """What a clip must have for it."""
    return frozenset({"audio", "video"}) if modality == "av" else frozenset({modality})


def _available(arena: Arena, modality: str) -> None:
    """Every clip must have what the modality asks for: nothing is dropped silently."""
    if modality not in get_args(Modality):
        raise PluginError(f"no modality is called {modality!r}; choose from {', '.join(get_args(Modality))}")
    kinds = needed(modality)
    lacking = [clip for clip in arena.clips if not kinds <= clip.media.has]
    if lacking:
        there = ", ".join(sorted(frozenset.intersection(*(clip.media.has for clip in arena.clips)))) or "nothing"
        raise DatasetError(
            f"{len(lacking)} of {len(arena.clips)} clips of {arena.dataset.name} lack {' or '.join(sorted(kinds))} "
            f"({lacking[0].name} is one); choose --modality {there}, or exclude them by name with --exclude FILE"
        )


def _membership(fold: Fold, contents: Mapping[str, Content], validates: bool) -> dict[str, Any]:
    """Exactly who is trained on and tested; the labels are in the corpus' digest."""
    return {
        "train": sorted(contents[clip.media.clip_id].media for clip in fold.train),
        "test": sorted(contents[media.clip_id].media for media in fold.test_media),
        "labels": fold.labels,
        "validates": validates,
    }


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]
