"""From a request to Cells: method x protocol x fold x seed, each with a key that hashes all its result depends on."""

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, get_args

from benchmarks.arenas import Arena
from benchmarks.borrowed import overlaps
from benchmarks.environment import source
from benchmarks.inner import TUNED_ON_TEST, asked
from benchmarks.plugins import PluginError, load
from benchmarks.settings import Wish, changing, configured
from datasets.clips import DatasetError
from methods.base import Frozen, Method, MethodError, Modality, Weights
from methods.parts.weights import PUBLISHED, Asked, identity
from protocols.audit import Independence
from protocols.base import Judged


@dataclass(frozen=True)
class Cell:
    """One fit and its test: what is run, skipped, resumed and counted."""

    fold: Judged
    seed: int
    key: str

    @property
    def title(self) -> str:
        return f"{self.fold.name}, seed {self.seed}"


class Entrant(Protocol):
    """One line of the leaderboard, whoever computed it."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Any: ...
    @property
    def modality(self) -> str: ...
    @property
    def wish(self) -> Wish: ...
    @property
    def initials(self) -> Mapping[str, "Initial"]: ...
    @property
    def cells(self) -> tuple[Cell, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def setup(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def stamps(self) -> tuple[str, ...]: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def title(self) -> str: ...
    @property
    def substituted(self) -> tuple[str, ...]: ...
    def independence(self, measured: Independence) -> Independence: ...


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
    initials: Mapping[str, "Initial"] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    key: str = ""
    setup: str = ""  # hashes what all Cells of the method on this corpus have alike, whatever their folds
    substituted: tuple[str, ...] = ()  # what took the place of tracks that the corpus lacks
    tuned_on_test: bool = False  # whether its settings were found on people, or clips, that it is tested on
    permuted: int = 0  # which permutation of the training labels it is taught; 0: they are as they are
    files: Mapping[str, Path | None] = field(default_factory=dict)  # of published weights, by name; None: none wanted

    @property
    def stamps(self) -> tuple[str, ...]:
        """What must stand beside every result."""
        told = [f"{name}={value}" for name, value in self.wish.settings.items()]
        if self.wish.trials:
            told.append(f"tuned {self.wish.trials}")
        if self.tuned_on_test:
            told.append(TUNED_ON_TEST)
        if self.permuted:
            told.append(f"labels permuted {self.permuted}")
        if self.wish.weightless and any((self.weights, *(initial.row.weights for initial in self.initials.values()))):
            told.append("weights none")
        if self._unconfirmed or any(initial.row._unconfirmed for initial in self.initials.values()):
            told.append("weights unconfirmed")
        if self.wish.variant:
            told.append(self.kind.variants[self.wish.variant].stamp)
        if self.method().sources():
            told.append(self._taught_by())
        if unknown := {name for initial in self.initials.values() for name in initial.strangers}:
            told.append(f"identities in {','.join(sorted(unknown))} unknown")
        if first := min((cell.seed for cell in self.cells), default=0):
            told.append(f"seeds from {first}")
        return (*filter(None, told), *self.substituted)

    @property
    def _unconfirmed(self) -> bool:
        """Whether a file is used whose digest nobody has published."""
        bare = [file.name for file in PUBLISHED if not file.digest]
        frozen = self.frozen.key if self.frozen else ""
        return any(identity(file) != file.name for file in self.pretrained.values() if file) or any(
            name in frozen for name in bare
        )

    def _taught_by(self) -> str:
        """What differs from the paper in the corpora that it begins with."""
        if self.wish.pretrain_on is not None:
            return f"pretrain-on {','.join(self.wish.pretrain_on) or 'none'}"
        return "" if self.initials else "without other corpora"

    def method(self) -> Method:
        return self.kind(self.config, self.modality)

    @property
    def version(self) -> int:
        return self.kind.version

    @cached_property
    def source(self) -> str:
        """Digest of the method's file and of all that it shares with others."""
        return source(inspect.getfile(self.kind))

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

    def independence(self, measured: Independence) -> Independence:
        """Of subjects: as measured on the folds, and never verified beside people whom nobody can name."""
        doubted = any(initial.strangers for initial in self.initials.values())
        return "unknown" if doubted and measured == "verified" else measured

    def facts(self) -> dict[str, Any]:
        """All that its results depend on but for corpus, seed and other corpora."""
        return {
            "method": self.name,
            "version": self.kind.version,
            "config": dataclasses.asdict(self.config),
            "preparation": repr(self.method().preparation()),
            "frozen": self.frozen.key if self.frozen else None,
            "pretrained": _names(self.pretrained),
            "preset": self.wish.preset,
            "modality": self.modality,
        }


@dataclass(frozen=True, eq=False)
class Initial:
    """A method's model of other corpora, with which the fits of a row begin."""

    row: Row  # the method as set there; it has no Cells
    arenas: tuple[Arena, ...]  # without folds: all their clips are trained on

    @property
    def corpora(self) -> tuple[str, ...]:
        return tuple(arena.dataset.name for arena in self.arenas)

    @property
    def strangers(self) -> tuple[str, ...]:
        """Corpora without person ids: whoever is in them may be in a test set too."""
        return tuple(arena.dataset.name for arena in self.arenas if not all(clip.subject for clip in arena.clips))

    @property
    def standin(self) -> bool:
        return any(arena.dataset.standin for arena in self.arenas)

    @property
    def experiment(self) -> str:
        """Where it is kept: models of stand-ins apart."""
        return "models of other corpora" + (" (STAND-IN)" if self.standin else "")

    @property
    def title(self) -> str:
        return f"{self.row.name} {self.row.modality} {self.row.wish.preset}, learnt from {', '.join(self.corpora)}"

    def key(self, seed: int) -> str:
        """Hashes all that the model depends on."""
        taught = {"task": self.arenas[0].task, "taught_by": sorted(arena.digest for arena in self.arenas)}
        return digest(self.row.facts() | taught | {"seed": seed})


def bare(name: str, config: Any, modality: str, wish: Wish, weights: Weights) -> Row:
    """A method as set, on no corpus yet."""
    kind: type[Method] = load("methods", name)
    method = kind(config, modality)
    preparation = repr(method.preparation())
    if " at 0x" in preparation:  # else nothing prepared or finished would ever be found again
        raise MethodError(
            f"{name}'s preparation must be a frozen dataclass, for its repr is its key; got {preparation}"
        )
    asked = Asked(weights)
    made = Row(name, kind, config, modality, wish, method.frozen(asked), method.pretrained(asked))
    return replace(made, files=asked.found)


def row(
    name: str,
    wish: Wish,
    arena: Arena,
    seeds: int,
    weights: Weights,
    initials: Mapping[str, Initial] | None = None,
    first_seed: int = 0,
) -> Row:
    """The Cells of one method; an error if it cannot do what is asked."""
    kind = load("methods", name)
    config, modality = configured(name, kind, wish)
    available(arena, modality)
    wish = changing(name, kind, _usual(kind(config, modality), wish, arena))
    made = replace(bare(name, config, modality, wish, weights), initials=initials or {})
    facts = made.facts() | {"task": arena.task, "corpus": arena.digest, "validates": made.kind.validates}
    if wish.trials:
        facts["tuning"] = asked(made.method(), name, wish.trials, wish.settings)
    setup = digest(facts)

    def cell(fold: Judged, seed: int) -> Cell:
        taught = {part: initial.key(seed) for part, initial in made.initials.items()}
        own = {"members": arena.members[fold], "labels": fold.labels, "seed": seed, "initial": taught}
        return Cell(fold, seed, digest({"setup": setup} | own))

    cells = tuple(cell(fold, seed) for seed in range(first_seed, first_seed + seeds) for fold in arena.folds)
    whole = {"protocol": arena.protocol, "variant": wish.variant, "cells": [cell.key for cell in cells]}
    lacking = [kind for kind in made.method().substitutes() if any(kind not in clip.media.has for clip in arena.clips)]
    substituted = tuple(made.method().substitutes()[kind] for kind in lacking)
    seen = overlaps(wish.borrowed, arena)
    told = {TUNED_ON_TEST: True} if seen else {}
    key = digest(facts | whole | told)
    return replace(made, cells=cells, key=key, setup=setup, substituted=substituted, tuned_on_test=seen)


def _usual(method: Method, wish: Wish, arena: Arena) -> Wish:
    """Who names the corpora that the paper begins with asks for what is done anyway."""
    usual = [set(source.corpora) - {arena.dataset.name} for source in method.sources().values()]
    named = wish.pretrain_on is not None and all(set(wish.pretrain_on) == one for one in usual)
    return replace(wish, pretrain_on=None) if named and usual else wish


def _names(pretrained: Mapping[str, Path | None]) -> dict[str, str]:
    """Published files as their results are keyed."""
    return {part: identity(file) if file else "random" for part, file in pretrained.items()}


def needed(modality: str) -> frozenset[str]:
    """What a clip must have for it."""
    return frozenset({"audio", "video"}) if modality == "av" else frozenset({modality})


def available(arena: Arena, modality: str) -> None:
    """Every clip must have what the modality asks for: nothing is dropped silently."""
    if modality not in get_args(Modality):
        raise PluginError(f"no modality is called {modality!r}; choose from {', '.join(get_args(Modality))}")
    kinds = needed(modality)
    lacking = [clip for clip in arena.clips if not kinds <= clip.media.has]
    if lacking:
        there = ", ".join(sorted(frozenset.intersection(*{clip.media.has for clip in arena.clips}))) or "nothing"
        raise DatasetError(
            f"{len(lacking)} of {len(arena.clips)} clips of {arena.dataset.name} lack {' or '.join(sorted(kinds))} "
            f"({lacking[0].name} is one); choose --modality {there}, or exclude them by name with --exclude FILE"
        )


def digest(facts: Mapping[str, Any]) -> str:
    """Of everything that a result depends on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]
