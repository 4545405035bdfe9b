"""The contract of a method: prepared inputs in, probabilities out. It never sees a path, a fold or a test label."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from datasets.base import Media

Prepared = Mapping[str, npt.NDArray[Any]]  # one clip's inputs by name
Preparation = Callable[[Media], Prepared]  # stateless and picklable: a function, or a frozen dataclass with __call__


@dataclass(frozen=True)
class Paper:
    """Where a method comes from, and what its text does not settle."""

    title: str
    authors: str
    year: int
    doi: str
    left_unsaid: Mapping[str, str] = field(default_factory=dict)  # what the text leaves open -> what we chose
    departures: Mapping[str, str] = field(default_factory=dict)  # what the paper did -> what we do, and why


@dataclass(frozen=True)
class Examples:
    """Prepared clips; `labels` only where they are for training."""

    inputs: Sequence[Prepared]
    classes: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def targets(self) -> npt.NDArray[np.int64]:
        """Labels as columns of `classes`."""
        column = {label: number for number, label in enumerate(self.classes)}
        return np.array([column[label] for label in self.labels], dtype=np.int64)


@dataclass(frozen=True)
class RunContext:
    """What a fit may know of its surroundings."""

    seed: int = 0
    device: str = "cpu"
    log: Callable[[str, float, int], None] = lambda name, value, step: None  # noqa: ARG005


class Method(ABC):
    """One published method. `Config` is a frozen dataclass whose defaults are the paper's values."""

    version: ClassVar[int] = 1  # raised by hand when results may change
    paper: ClassVar[Paper]
    Config: ClassVar[type]
    modalities: ClassVar[frozenset[str]]  # of audio, video, av

    def __init__(self, config: Any = None, modality: str = "av") -> None:
        self.config = config or self.Config()
        self.modality = modality

    @abstractmethod
    def preparation(self) -> Preparation:
        """From media to inputs; nothing in it is fitted."""

    @abstractmethod
    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        """Learn from labelled examples."""

    @abstractmethod
    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        """Probabilities [clips, classes]; a clip's row never depends on the other clips."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Everything that `load` needs, without pickle."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """The state that `save` wrote."""
