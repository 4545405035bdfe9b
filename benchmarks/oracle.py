"""How hard a stand-in is: a plain classifier on the very factors that were rendered, which no method can see.

python -m benchmarks.oracle prints the table of docs/stand-ins.md.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.console import table
from benchmarks.plugins import build, load
from datasets.clips import Clip, Media
from datasets.rendering.factors import draw
from datasets.scan import clip_id
from protocols.base import Fold

SPLITS = {"unseen speakers": "leave-one-speaker-group-out:groups=5", "random split": "random-k-fold:k=5"}
SIGHTS = {"sound": slice(0, 5), "picture": slice(5, 10), "both": slice(0, 10)}


def oracle(corpus: str, full: bool = False, seed: int = 0) -> dict[str, dict[str, float]]:
    """Accuracy pooled over folds, by split and by what is seen."""
    dataset = load("datasets", corpus)(Path())
    factors: dict[str, np.ndarray] = {}
    clips: dict[str, Clip] = {}
    for plan in dataset.plan(full):
        for scene in plan.scenes:
            entry = scene.entry
            if entry.label in dataset.labels and not entry.left_out:
                media = Media(clip_id(dataset.name, entry.name), frozenset(), {})
                clips[entry.name] = Clip(media, entry.name, scene.person, str(entry.label))
                factors[media.clip_id] = draw(corpus, seed, scene.person, entry.label, entry.recording or entry.name)
    sights = SIGHTS if dataset.recorded.rate else {"picture": SIGHTS["picture"]}
    return {
        split: {sight: _accuracy(list(build("protocols", spec).folds(clips.values())), factors, columns)
                for sight, columns in sights.items()}
        for split, spec in SPLITS.items()
    }  # fmt: skip


def _accuracy(folds: list[Fold], factors: Mapping[str, np.ndarray], columns: slice) -> float:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    right = total = 0.0
    for fold in folds:
        model = make_pipeline(StandardScaler(), SVC(C=3.0))
        model.fit([factors[clip.media.clip_id][columns] for clip in fold.train], [clip.label for clip in fold.train])
        answers = model.predict([factors[media.clip_id][columns] for media in fold.test_media])
        scores = fold.score((answers[:, None] == np.array(fold.labels)).astype(float))
        right += scores.accuracy * len(answers)
        total += len(answers)
    return right / total


if __name__ == "__main__":
    from benchmarks.plugins import names

    table(
        [
            {
                "corpus": corpus,
                "split": split,
                **{sight: f"{row[sight]:.3f}" if sight in row else "" for sight in SIGHTS},
            }
            for corpus in names("datasets")
            for split, row in oracle(corpus).items()
        ]
    )
