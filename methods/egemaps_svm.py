"""eGeMAPS functionals of openSMILE and a support vector machine: the baseline that people reach for first.

F. Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Transactions on Affective Computing 7(2), 2016, doi:10.1109/TAFFC.2015.2457417.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.special import softmax

from datasets.clips import Media
from methods.base import Examples, Method, MethodError, Paper, Preparation, Prepared, RunContext, tuned

SHORTEST = 0.5  # seconds; what is shorter is filled up with silence, for functionals need some frames


@dataclass(frozen=True)
class Config:
    """Standardised functionals into one support vector machine."""

    rate: int = 16_000
    kernel: Literal["linear", "rbf"] = tuned("rbf", CategoricalDistribution(("linear", "rbf")))
    complexity: float = tuned(10.0, FloatDistribution(1e-3, 1e3, log=True))
    balanced: bool = tuned(True, CategoricalDistribution((True, False)))  # classes weigh alike, however many clips

    def __post_init__(self) -> None:
        if self.rate < 8000 or self.complexity <= 0:
            raise ValueError(f"rate >= 8000 and complexity > 0 must hold, but got {self.rate} and {self.complexity}")


@dataclass(frozen=True)
class Functionals:
    """Media to the 88 functionals of eGeMAPS v02."""

    rate: int

    def __call__(self, media: Media) -> Prepared:
        sound = media.audio(self.rate)
        sound = np.pad(sound, (0, max(0, round(SHORTEST * self.rate) - len(sound))))
        values = _extractor().process_signal(sound, self.rate).to_numpy()[0]
        return {"functionals": np.nan_to_num(values).astype(np.float64)}


@cache
def _extractor() -> Any:
    try:
        from opensmile import FeatureLevel, FeatureSet, Smile
    except ImportError:
        raise MethodError("openSMILE is not installed; pip install -e .[opensmile]") from None
    return Smile(FeatureSet.eGeMAPSv02, FeatureLevel.Functionals)


class EgemapsSvm(Method):
    """Scaling and the machine are fitted on the training clips alone."""

    paper = Paper(
        title="The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
        authors="Eyben et al.",
        year=2016,
        doi="10.1109/TAFFC.2015.2457417",
        left_unsaid={"probabilities": "softmax of the decision values; their maximum is the machine's answer"},
        departures={
            "linear kernel, complexity searched for each corpus": "radial kernel, complexity 10, without a search",
            "GeMAPS and eGeMAPS of 2016": "eGeMAPS v02, as openSMILE ships it today",
        },
    )
    Config = Config
    modalities = frozenset({"audio"})

    def preparation(self) -> Preparation:
        return Functionals(self.config.rate)

    def fit(self, train: Examples, validation: Examples | None, run: RunContext) -> None:  # noqa: ARG002
        from sklearn.pipeline import make_pipeline  # here, for what is finished does without: they take half a second
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        weight = "balanced" if self.config.balanced else None
        machine = SVC(kernel=self.config.kernel, C=self.config.complexity, class_weight=weight, break_ties=True)
        self.machine = make_pipeline(StandardScaler(), machine).fit(_stack(train), train.targets())
        self.classes = len(train.classes)

    def predict_proba(self, examples: Examples) -> npt.NDArray[np.float64]:
        decided = self.machine.decision_function(_stack(examples))
        if decided.ndim == 1:  # two classes: one value, for the second
            decided = np.stack([-decided, decided], axis=1)
        probabilities = np.zeros((len(examples), self.classes))
        probabilities[:, self.machine[-1].classes_] = softmax(decided, axis=1)
        return probabilities

    def save(self, folder: Path) -> None:
        from skops.io import dump

        dump((self.machine, self.classes), folder / "model.skops")

    def load(self, folder: Path) -> None:
        from skops.io import load

        self.machine, self.classes = load(folder / "model.skops")  # refuses what is not plain scikit-learn


def _stack(examples: Examples) -> npt.NDArray[np.float64]:
    return np.stack([clip["functionals"] for clip in examples.inputs])
