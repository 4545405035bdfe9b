"""Clips as bags of segments: the segments on one device, their features averaged, and support vector machines on those.

The ensemble rules are those of J. Kittler, M. Hatef, R. P. W. Duin, J. Matas, "On Combining Classifiers", IEEE
Transactions on Pattern Analysis and Machine Intelligence 20(3), 1998.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from torch import Tensor

from methods.base import Examples
from methods.parts.ragged import Ragged
from methods.parts.resident import once
from methods.parts.training import in_parts, recognised

Floats = npt.NDArray[np.float64]


class Segments:
    """All segments of some clips, end to end: `sound` [bands, frames, 3] and `pictures`, numbers of a clip's `faces`.

    Where no face was found in a clip, its pictures are black.
    """

    def __init__(self, examples: Examples, device: str) -> None:
        clips = list(examples.inputs)
        counts = [len(clip["sound"] if "sound" in clip else clip["pictures"]) for clip in clips]
        self.clips = len(clips)
        self.owners = torch.repeat_interleave(torch.arange(self.clips), torch.tensor(counts)).to(device)
        self._flat: dict[str, Tensor] = {}
        if "sound" in clips[0]:
            self._flat["audio"] = Ragged([clip["sound"] for clip in clips], device).flat
        if "pictures" in clips[0]:
            faces = Ragged([clip["faces"] for clip in clips], device)
            firsts = faces.lengths.cumsum(0) - faces.lengths
            pictures = Ragged([clip["pictures"].astype(np.int64) for clip in clips], device).flat
            self._flat["video"], self._pictures = faces.flat, pictures + firsts[self.owners, None]

    def __len__(self) -> int:
        return len(self.owners)

    def of(self, modality: str, chosen: Tensor) -> Tensor:
        """Segments by number: sound [B, bands, frames, 3], or pictures [B, 16, height, width, 3]."""
        chosen = chosen.to(self.owners.device)
        return self._flat[modality][chosen if modality == "audio" else self._pictures[chosen]]

    def sound(self) -> Tensor:
        """All of it [N, bands, frames, 3]."""
        return self._flat["audio"]

    @torch.no_grad()
    def described(self, modality: str, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """What a network makes of each segment [N, features], in single precision: later stages learn by it."""
        return torch.cat([embed(self.of(modality, chosen)).float() for chosen in in_parts(len(self))])

    def average(self, features: Tensor) -> Floats:
        """Of each clip's segments [clips, features]."""
        total = features.new_zeros(self.clips, features.shape[1]).index_add_(0, self.owners, features)
        counts = torch.bincount(self.owners, minlength=self.clips)
        averaged: Floats = (total / counts[:, None]).double().cpu().numpy()
        return averaged


def segmented(examples: Examples, device: str) -> Segments:
    """The segments of some clips; of clips that several fits get, made once."""
    return once(examples, "segments", device, lambda: Segments(examples, device))


@dataclass(frozen=True, eq=False)
class Watched:
    """Clips beside those that are learnt from: the share of them that a network recognises by their segments."""

    segments: Segments
    targets: npt.NDArray[np.int64]

    def recognised_by(self, network: Callable[[Tensor], Tensor], modality: str) -> float:
        """A network on segments of one modality."""
        return self.told(self.segments.described(modality, network))

    @torch.no_grad()
    def judged(self, network: Callable[[Tensor], Tensor], features: Tensor) -> float:
        """A network on features of all segments."""
        return self.told(network(features))

    def told(self, logits: Tensor) -> float:
        """By the segments' logits [N, classes]."""
        return recognised(self.segments.average(logits.float().softmax(dim=1)), self.targets)


class OneVersusOne:
    """A support vector machine between each two classes, on standardised features.

    The kernel is the product x y, or as LIBSVM has it by default, (x y / features) ** degree.

    A class' score is the sum of its margins over all others; its probability is the softmax of the votes, where the
    score decides between equal votes.
    """

    def __init__(self, complexity: float = 1.0, degree: int | None = None) -> None:
        from sklearn.pipeline import make_pipeline  # here, for what is finished does without: they take half a second
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        kernel = {"kernel": "poly", "degree": degree, "gamma": "auto", "coef0": 0.0} if degree else {"kernel": "linear"}
        machine = SVC(**kernel, C=complexity, decision_function_shape="ovo")
        self.pipeline = make_pipeline(StandardScaler(), machine)
        self.classes = 0

    def fit(self, features: Floats, targets: npt.NDArray[np.int64], classes: int) -> "OneVersusOne":
        self.pipeline.fit(features, targets)
        self.classes = classes
        return self

    def save(self, file: Path) -> None:
        from skops.io import dump

        dump(self.pipeline, file)

    def load(self, file: Path, classes: int) -> "OneVersusOne":
        from skops.io import load

        self.pipeline, self.classes = load(file), classes
        return self

    def scores(self, features: Floats) -> Floats:
        """[clips, classes]; minus infinity for a class that was never seen."""
        return self._all(self._duels(features)[1])

    def probabilities(self, features: Floats) -> Floats:
        """[clips, classes]"""
        votes, scores = self._duels(features)
        told: Floats = softmax(self._all(votes + scores / (3 * (np.abs(scores) + 1))), axis=1)
        return told

    def _duels(self, features: Floats) -> tuple[Floats, Floats]:
        """Votes and scores of the classes that were seen."""
        margins = self.pipeline.decision_function(features)
        if margins.ndim == 1:  # of two classes, and then of the second
            margins = -margins[:, None]
        votes, scores = np.zeros((2, len(features), len(self.pipeline[-1].classes_)))
        for number, (one, other) in enumerate(combinations(range(votes.shape[1]), 2)):
            margin = margins[:, number]
            votes[:, one] += margin > 0
            votes[:, other] += margin <= 0
            scores[:, one] += margin
            scores[:, other] -= margin
        return votes, scores

    def _all(self, seen: Floats) -> Floats:
        told = np.full((len(seen), self.classes), -np.inf)
        told[:, self.pipeline[-1].classes_] = seen
        return told


def _votes(probabilities: Floats) -> Floats:
    """[classifiers, clips, classes] -> how many chose a class; of equals, argmax takes the first, as MATLAB does."""
    chosen: Floats = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)].sum(axis=0)
    return chosen


RULES: Mapping[str, Callable[[Floats], Floats]] = {
    "majority": _votes,
    "max": lambda told: told.max(axis=0),
    "sum": lambda told: told.sum(axis=0),
    "min": lambda told: told.min(axis=0),
    "average": lambda told: told.mean(axis=0),
    "product": lambda told: told.prod(axis=0),
}


def ensemble(rule: str, told: Sequence[Floats]) -> Floats:
    """Several classifiers' probabilities [clips, classes] as one; every rule's answer is made to sum to one."""
    joined = RULES[rule](np.stack(told))
    summed: Floats = joined / joined.sum(axis=1, keepdims=True)
    return summed
