"""The contract of a method: prepared inputs in, probabilities out. It never sees a path, a fold or a test label."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from datasets.clips import Media, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from methods.parts.training import Lesson

Modality = Literal["audio", "video", "av"]
Prepared = Mapping[str, npt.NDArray[Any]]  # one clip's inputs by name; an input without rows: nothing was found for it
Preparation = Callable[
    [Media], Prepared
]  # stateless and picklable: a frozen dataclass with __call__; its repr is its key


Distribution = FloatDistribution | IntDistribution | CategoricalDistribution
Value = TypeVar("Value")
TUNED = "tuned"  # the key of a field's metadata


class MethodError(UserError):
    """A method cannot do what is asked."""


class AbsentError(MethodError):
    """What a method begins with, published weights or another corpus, is not here."""


def tuned(default: Value, space: Distribution | Mapping[str, Distribution]) -> Value:
    """A field of a Config: the paper's value, and beside it where tuning looks for better ones.

    Of a part that is a dataclass itself: by dotted names in it. What is tuned must not change what is prepared.
    """
    named = space if isinstance(space, Mapping) else {"": space}
    made: Value = field(default=default, metadata={TUNED: named})
    return made


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
class Variant:
    """One row of a paper's table that can be run."""

    config: Any
    modality: Modality
    row: str  # where it stands, and what it is called there
    stamp: str = ""  # what must stand beside its results


@dataclass(frozen=True)
class Source:
    """Other corpora, and how the method is set there: a fit begins with its model of them."""

    corpora: tuple[str, ...]  # of these without the one that is run on; none: only where the user names some
    config: Any
    modality: Modality


@dataclass(frozen=True)
class Examples:
    """Prepared clips; `labels` only where they are for training."""

    inputs: Sequence[Prepared]  # read when asked for
    classes: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def targets(self) -> npt.NDArray[np.int64]:
        """Labels as columns of `classes`."""
        column = {label: number for number, label in enumerate(self.classes)}
        return np.array([column[label] for label in self.labels], dtype=np.int64)


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of an epoch."""

    tensors: "Mapping[str, Tensor]"
    facts: Mapping[str, Any]  # as JSON has them


class Checkpoints(Protocol):
    """Where a training keeps how far it is, so that one that is cut short can go on; `methods.parts.course` does so."""

    def load(self, stage: str) -> Checkpoint | None:
        """Where a training was cut short; None: it begins."""

    def due(self, stage: str, last: bool) -> bool:
        """Whether to save now, at the end of an epoch, perhaps the last."""

    def save(self, stage: str, checkpoint: Checkpoint) -> None:
        """In the place of the one before."""


class NoCheckpoints:
    """Every training begins, and nothing is kept of it before its end."""

    def load(self, stage: str) -> Checkpoint | None:  # noqa: ARG002
        return None

    def due(self, stage: str, last: bool) -> bool:  # noqa: ARG002
        return False

    def save(self, stage: str, checkpoint: Checkpoint) -> None:
        """Nobody asks for it."""


@dataclass(frozen=True)
class RunContext:
    """What a fit may know of its surroundings."""

    seed: int = 0
    device: str = "cpu"
    log: Callable[[str, float, int], None] = lambda name, value, step: None  # noqa: ARG005  a curve's name, value, epoch
    pretrained: Mapping[str, Path | None] = field(default_factory=dict)  # what `Method.pretrained` found
    initial: Mapping[str, Path] = field(default_factory=dict)  # by name in `Method.sources`, the folder `save` filled
    prune: Callable[[str, float, int], None] = lambda name, value, step: None  # noqa: ARG005  may end a trial: let it
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    stage: str = ""  # which of several trainings in a fit this is of

    def named(self, stage: str) -> "RunContext":
        """The same for one of several trainings in a fit: its curves bear the stage's name."""
        return replace(
            self,
            stage=f"{self.stage}_{stage}".strip("_"),
            log=lambda name, value, step: self.log(f"{stage}_{name}", value, step),
            prune=lambda name, value, step: self.prune(f"{stage}_{name}", value, step),
        )


@dataclass(frozen=True)
class WeightsFile:
    """A file of published weights; `methods.parts.weights` lists ours."""

    name: str
    url: str
    digest: str  # its SHA-256, or as much of the beginning as is published; empty: nobody has published it
    used_by: tuple[str, ...] = ()  # methods
    what: str = ""
    licence: str = ""
    differs: str = ""  # from what papers took, and what becomes of it here
    by_hand: bool = False  # its address is a page for people, not a file


class Weights(Protocol):
    """Where published weights come from; `methods.parts.weights` has the one implementation."""

    def find(self, file: WeightsFile) -> Path | None:
        """The file, or None where the user asked to go without; an error that says what to put where."""


class Frozen(Protocol):
    """A network that is not trained: what it makes of a clip's inputs is computed once and kept."""

    @property
    def key(self) -> str:
        """Tells it and its weights from all others."""

    def __call__(self, inputs: Prepared, device: str) -> Prepared:
        """The inputs that `fit` and `predict_proba` get instead."""


class Method(ABC):
    """One published method. `Config` is a frozen dataclass whose defaults are the paper's values."""

    version: ClassVar[int] = 1  # raised by hand when results may change
    paper: ClassVar[Paper]
    Config: ClassVar[type]
    variants: ClassVar[Mapping[str, Variant]] = {}
    quick: ClassVar[Mapping[str, Any]] = {}  # what the quick preset changes: a value, or what becomes of the old one
    modalities: ClassVar[frozenset[str]]  # of audio, video, av
    validates: ClassVar[bool] = False  # whether it chooses an epoch: then fit gets unseen subjects of the training set;
    # else fit gets examples beside those it learns from only in a trial of tuning, to tell of each epoch, not to choose

    def __init__(self, config: Any = None, modality: str = "") -> None:
        self.config = config or self.Config()
        self.modality = modality or ("av" if "av" in self.modalities else min(self.modalities))

    @abstractmethod
    def preparation(self) -> Preparation:
        """From media to inputs; nothing in it is fitted."""

    def frozen(self, weights: Weights) -> Frozen | None:  # noqa: ARG002
        """The network between preparation and training whose weights are published and stay as they are."""
        return None

    def pretrained(self, weights: Weights) -> Mapping[str, Path | None]:  # noqa: ARG002
        """Published weights that `fit` begins with and changes; it gets them as `run.pretrained`."""
        return {}

    def sources(self) -> Mapping[str, Source]:
        """Models of this method, fitted to other corpora, that `fit` begins with; it gets them as `run.initial`.

        Where the user goes without, `run.initial` lacks them. Fits on several corpora have the classes of all.
        """
        return {}

    def substitutes(self) -> Mapping[str, str]:
        """What takes the place of tracks that a corpus may lack, by kind of track: it stands beside the results."""
        return {}

    def matters(self, setting: str) -> bool:  # noqa: ARG002
        """Whether a setting that is declared as tuned changes anything, as the method is set."""
        return True

    @abstractmethod
    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:
        """Learn from labelled examples."""

    @property
    def one_network(self) -> bool:
        """Whether all that `fit` trains is one network, and `lesson` tells how: folds may then be trained together."""
        return False

    def lesson(self, train: Examples, validation: Examples | None, run: RunContext) -> "Lesson":
        """All that `fit` does but the training: whoever asks for it trains the network, and the method is fitted."""
        raise NotImplementedError(f"{type(self).__name__} trains more than one network, or none")

    @abstractmethod
    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        """Probabilities [clips, classes]; a clip's row never depends on the other clips."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Everything that `load` needs, without pickle."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """The state that `save` wrote."""
