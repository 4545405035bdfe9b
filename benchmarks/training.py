"""What a fit learns from: the training clips of a fold, and of a method that chooses an epoch some of them apart."""

import hashlib
from collections.abc import Sequence

import numpy as np

from benchmarks.handed import handed
from benchmarks.plugins import build
from benchmarks.prepare import Store
from datasets.clips import Media
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
    told = {clip.media.clip_id: clip.label for clip in fold.train}

    random = _random(permutation, seed, fold.name)

    def examples(media: Sequence[Media]) -> Examples:
        labels = [told[m.clip_id] for m in media]
        if permutation:
            random.shuffle(labels)
        return Examples(handed(store, media), fold.labels, tuple(labels))

    if inner is None:
        return examples([clip.media for clip in fold.train]), None
    return examples([clip.media for clip in inner.train]), examples(inner.test_media)


def _random(permutation: int, seed: int, fold: str) -> np.random.Generator:
    """Of each permutation, seed and fold its own, whatever is run beside it."""
    told = hashlib.sha256(f"{permutation} {seed} {fold}".encode()).digest()
    return np.random.default_rng(int.from_bytes(told))
