"""A finished Cell's method, made again from what was written down beside its model, and asked about any media."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cost import networks
from benchmarks.environment import source
from benchmarks.plan import needed
from benchmarks.plugins import PluginError, load
from benchmarks.prepare import reason
from benchmarks.settings import restored
from datasets.clips import DatasetError, Media
from datasets.loose import Loose
from methods.base import Examples, Frozen, Method, MethodError, Weights


@dataclass(frozen=True)
class Model:
    """What answers, and where it comes from."""

    method: Method
    frozen: Frozen | None
    facts: Mapping[str, Any]  # as `record.membership` wrote them
    device: str = "cpu"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.facts["classes"])

    @property
    def kinds(self) -> frozenset[str]:
        """The tracks that it needs."""
        return needed(self.facts["modality"])

    @property
    def title(self) -> str:
        told = self.facts
        where = f"{'STAND-IN of ' if told['standin'] else ''}{told['dataset']}"
        parts = (told["method"], told["modality"], told["variant"], told["preset"], *told["stamps"])
        return f"{' '.join(filter(None, parts))}, {where}, {told['fold']}, seed {told['seed']}"

    def fits(self, clip: Loose) -> None:
        """An error if the file lacks what the model needs."""
        if lacking := self.kinds - clip.media.has:
            raise DatasetError(
                f"{clip.file} has {' and '.join(sorted(clip.media.has))} but no {' or '.join(sorted(lacking))}, which "
                f"{self.facts['method']} {self.facts['modality']} needs; choose a run of another modality"
            )

    def probabilities(self, media: Media) -> npt.NDArray[np.float64]:
        """[classes]: preparation, the frozen network if there is one, and the method, as in the run."""
        inputs = _whole(self.method.preparation()(media))
        if self.frozen:
            inputs = _whole(self.frozen(inputs, self.device))
        answer = self.method.predict_proba(Examples([inputs], self.classes))[0]
        return np.asarray(answer, dtype=np.float64)


def rebuilt(facts: Mapping[str, Any], folder: Path, weights: Weights, device: str = "cpu") -> Model:
    """The method with its settings and what it had learnt, on that device."""
    if "method" not in facts:
        raise MethodError("the run was kept before models could be used again: its cell.json is short; run it --fresh")
    name, kind = facts["method"], load("methods", facts["method"])
    try:
        config = restored(kind.Config(), facts["config"])
    except (PluginError, TypeError, ValueError) as error:
        raise MethodError(f"{name} has other settings today than in the run ({error}); run it --fresh") from None
    method: Method = kind(config, facts["modality"])
    if method.substitutes() and not facts["substituted"]:
        raise MethodError(
            f"{name} learnt from {' and '.join(method.substitutes())} of {facts['dataset']}, which no media file has; "
            "choose a run on a corpus without it"
        )
    frozen = method.frozen(weights)
    if facts["frozen"] != (frozen.key if frozen else None):
        raise MethodError(
            f"the run used the frozen network {facts['frozen']}, but here is {frozen.key if frozen else 'none'}; "
            "name the run's weights with --weights"
        )
    with _told(name):
        method.load(folder)
    for network in networks(method):  # by which a method knows where it is
        network.to(device)
    return Model(method, frozen, facts, device)


def news(facts: Mapping[str, Any]) -> str:
    """What is not as it was when the model learnt; empty if nothing is."""
    kind = load("methods", facts["method"])
    if facts["version"] != kind.version:
        return f"learnt by version {facts['version']} of {facts['method']}, today's is {kind.version}; run it --fresh"
    if facts["source"] != source(inspect.getfile(kind)):
        return f"learnt by another source of {facts['method']} or of its parts; --fresh runs it again"
    return ""


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever keeps a saved model from being read, in one line."""
    try:
        yield
    except Exception as error:
        raise MethodError(f"{name}'s saved model cannot be read ({reason(error)}); run it --fresh") from error


def _whole(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """As they come back from the cache."""
    return {name: np.ascontiguousarray(array) for name, array in inputs.items()}
