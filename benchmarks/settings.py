"""How a method is set: its paper's values, a variant, the quick preset, and single values by dotted names."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from optuna.distributions import IntDistribution

from benchmarks.plugins import PluginError
from methods.base import TUNED, Distribution, Method

PRESETS = ("paper", "quick")


@dataclass(frozen=True)
class Wish:
    """What is asked of each method, whatever the corpus."""

    preset: str
    modality: str = ""  # empty: the variant's, else the richest that the method has
    variant: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # dotted names in the method's Config
    weightless: bool = False  # --weights none
    pretrain_on: tuple[str, ...] | None = None  # None: as the paper did; none of them: not at all
    trials: int = 0  # of tuning, within each fold
    borrowed: "Borrowed | None" = None  # where settings come from that were found by tuning


@dataclass(frozen=True)
class Borrowed:
    """Settings that were found by tuning elsewhere: on whom."""

    dataset: str
    standin: bool
    subjects: frozenset[str]  # none: nobody knows who they are
    media: frozenset[str]  # digests of the clips' content
    sounds: frozenset[str]  # and of their decoded sound


def usual_preset(asked: str, device: str) -> str:
    """As asked for; where nothing is, the papers' sizes are for a GPU."""
    preset = asked or ("paper" if device == "cuda" else "quick")
    if preset not in PRESETS:
        raise PluginError(f"no preset is called {preset!r}; choose from {', '.join(PRESETS)}")
    return preset


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


def changing(name: str, kind: type[Method], wish: Wish) -> Wish:
    """Without settings that are so anyway, for who names a default asks for the same row; but tuning holds it fast."""
    if wish.trials or not wish.settings:
        return wish
    plain, told = (flat(configured(name, kind, one)[0]) for one in (replace(wish, settings={}), wish))
    return replace(wish, settings={key: value for key, value in wish.settings.items() if plain[key] != told[key]})


def flat(config: Any, before: str = "") -> dict[str, Any]:
    """A Config by dotted names."""
    found: dict[str, Any] = {}
    for name, value in vars(config).items():
        found |= flat(value, f"{before}{name}.") if dataclasses.is_dataclass(value) else {f"{before}{name}": value}
    return found


def space(method: Method) -> dict[str, Distribution]:
    """Where tuning may look, by dotted names: what is declared beside the defaults, as far as it matters."""
    now = flat(method.config)
    return {
        name: _affordable(where, now[name]) for name, where in _declared(method.config).items() if method.matters(name)
    }


def _affordable(where: Distribution, now: Any) -> Distribution:
    """Whole numbers are sizes and epochs, which cost time: up to twice what is asked for, so that quick stays quick."""
    if not isinstance(where, IntDistribution):
        return where
    return IntDistribution(where.low, max(where.low, min(where.high, 2 * now)), where.log)


def _declared(config: Any, before: str = "") -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for part in dataclasses.fields(config):
        value, name = getattr(config, part.name), f"{before}{part.name}"
        if dataclasses.is_dataclass(value):
            found |= _declared(value, f"{name}.")
        told = part.metadata.get(TUNED, {})
        found |= {f"{name}.{inner}".removesuffix("."): where for inner, where in told.items()}
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
            config = replace(config, **{head: new})
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


def restored(default: Any, told: Mapping[str, Any]) -> Any:
    """The Config that was written down as JSON: the default's parts with the values that are told."""
    fields = [f.name for f in dataclasses.fields(default)]
    if sorted(fields) != sorted(told):
        raise PluginError(f"settings are {', '.join(fields)} today, but {', '.join(told)} are told")
    return replace(default, **{name: _value(getattr(default, name), told[name]) for name in fields})


def _value(default: Any, told: Any) -> Any:
    if dataclasses.is_dataclass(default):
        return restored(default, told)
    return tuple(_value(None, each) for each in told) if isinstance(told, list) else told
