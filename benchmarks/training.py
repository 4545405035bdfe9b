"""What a fit learns from: the training clips of a fold, and of a method that chooses an epoch some of them apart."""

import hashlib

import numpy as np

from benchmarks.content import ids, located
from benchmarks.handed import handed
from benchmarks.plugins import build
from benchmarks.prepare import Store
from datasets.roll import Clips
from methods.base import Examples, Method
from protocols.base import Fold, Judged, ProtocolError

VALIDATION = 0.2  # of the training clips, whole subjects


def training(
    method: Method, fold: Judged, store: Store, seed: int, permutation: int = 0
) -> tuple[Examples, Examples | None]:
    """Training examples; of a method that chooses an epoch, one fifth of their subjects apart, by seed.

    In a permutation the labels of either side change places among themselves, so that their counts stay.
    """
    if not isinstance(fold, Fold):
        raise ProtocolError(f"{fold.name} is no fold of the guard, and only on those is anything trained")
    inner = None
    if method.validates:
        kind = "subject-holdout" if all(clip.subject for clip in fold.train) else "random-holdout"
        inner = next(fold.inner(build("protocols", f"{kind}:share={VALIDATION},seed={seed}")))
    random = _random(permutation, seed, fold.name)

    def examples(clips: Clips) -> Examples:
        labels = [*clips.labels]
        if permutation:
            random.shuffle(labels)
        return Examples(handed(store, clips.media), fold.labels, tuple(labels))

    if inner is None:
        return examples(Clips.of(fold.train)), None
    return examples(Clips.of(inner.train)), examples(labelled(inner, Clips.of(fold.train)))


def labelled(inner: Fold, learnt: Clips) -> Clips:
    """The test clips of an inner fold, in their order: among what the outer fold learns from they have labels."""
    return learnt.take(located(ids(inner.test_media), learnt.ids, np.argsort(learnt.ids, kind="stable")))


def _random(permutation: int, seed: int, fold: str) -> np.random.Generator:
    """Of each permutation, seed and fold its own, whatever is run beside it."""
    told = hashlib.sha256(f"{permutation} {seed} {fold}".encode()).digest()
    return np.random.default_rng(int.from_bytes(told))
