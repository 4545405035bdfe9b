"""A method against itself on shuffled labels: what it earns beyond chance must come from the labels.

    python -m benchmarks.sanity METHOD DATASET [RUNS]

Every run shuffles the training labels of each fold by its own seed and changes nothing else; the preset is quick.
"""

import json
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks import console
from benchmarks.corpora import opened
from benchmarks.engine import arena, joined
from benchmarks.plan import Arena, Row, row
from benchmarks.prepare import Store, fill
from benchmarks.settings import Wish
from methods.base import Examples, RunContext
from methods.parts.weights import WeightStore, folder


def accuracies(tested: Row, where: Arena, store: Store, runs: int) -> Iterator[float]:
    """First with the true labels, then with shuffled ones."""
    folds = [
        (fold, [store.read(clip.media) for clip in fold.train], [store.read(media) for media in fold.test_media])
        for fold in where.folds
    ]
    for number in range(runs + 1):
        scores = []
        for fold, train, test in folds:
            labels = [clip.label for clip in fold.train]
            if number:
                np.random.default_rng(number).shuffle(labels)
            method = tested.method()
            method.fit(Examples(train, fold.labels, tuple(labels)), None, RunContext())
            scores.append(fold.score(method.predict_proba(Examples(test, fold.labels))))
        yield joined(scores).accuracy


def main(name: str, dataset: str, runs: int = 100) -> None:
    """One JSON line a run; the first is the true one, the last compares."""
    where = arena(opened(dataset, None, frozenset(), console.progress), "emotion", "", console.progress)
    tested = row(name, Wish("quick"), where, 1, WeightStore(folder()))
    store = fill(tested, where.clips, where.contents, "cpu", console.progress)
    found = []
    for accuracy in accuracies(tested, where, store, runs):
        found.append(accuracy)
        console.out.print(json.dumps({"run": len(found) - 1, "accuracy": accuracy}), markup=False)
    told = {"accuracy": found[0], "shuffled_99th_percentile": float(np.percentile(found[1:], 99)), "runs": runs}
    console.write_json(told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))
