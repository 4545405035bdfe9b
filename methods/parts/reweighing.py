"""Scores multiplied by how many clips of a class there were: Table 4 of H. Zhou et al., ICMI 2019."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from methods.base import Examples, MethodError

Kind = Literal["none", "training", "paper"]
PAPER = {  # the order is nowhere stated; in this one it is the root of the counts of AFEW's test set
    "anger": 0.15, "disgust": 0.097, "fear": 0.129, "happiness": 0.185,
    "sadness": 0.138, "surprise": 0.082, "neutral": 0.215,
}  # fmt: skip


def class_weights(kind: Kind, train: Examples) -> npt.NDArray[np.float64]:
    """[classes]: alike, the square roots of the numbers of training clips, or the paper's."""
    if kind == "paper":
        if set(train.classes) != set(PAPER):
            raise MethodError(
                f"reweigh=paper is about {', '.join(PAPER)}, but the classes are {', '.join(train.classes)}; "
                "set reweigh=training"
            )
        return np.array([PAPER[name] for name in train.classes])
    counts = np.bincount(train.targets(), minlength=len(train.classes))
    return np.asarray(np.sqrt(counts) if kind == "training" else np.ones(len(counts)))


def reweighed(scores: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores [clips, classes] that sum to one again."""
    products = scores * weights
    return np.asarray(products / products.sum(axis=1, keepdims=True))
