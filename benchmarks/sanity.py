"""A method against itself on shuffled labels: what it earns beyond chance must come from the labels.

    python -m benchmarks.sanity METHOD DATASET [RUNS]

Every run shuffles the training labels of each fold by its own seed and changes nothing else; the preset is quick.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks import console
from benchmarks.arenas import Arena, arena
from benchmarks.corpora import opened
from benchmarks.outcome import joined
from benchmarks.plan import Row, row
from benchmarks.prepare import Store, Stored, fill
from benchmarks.settings import Wish
from benchmarks.training import training
from methods.base import Examples, RunContext
from methods.parts.weights import WeightStore, folder


def accuracies(tested: Row, where: Arena, store: Store, runs: int) -> Iterator[float]:
    """First with the true labels, then with shuffled ones."""
    for number in range(runs + 1):
        scores = []
        for fold in where.folds:
            method = tested.method()
            train, validation = training(method, fold, store, 0)
            method.fit(_shuffled(train, number), validation and _shuffled(validation, number), RunContext())
            scores.append(fold.score(method.predict_proba(Examples(Stored(store, fold.test_media), fold.labels))))
        yield joined(scores).accuracy


def _shuffled(examples: Examples, number: int) -> Examples:
    """Labels by chance; number 0 leaves them as they are."""
    labels = list(examples.labels)
    if number:
        np.random.default_rng(number).shuffle(labels)
    return replace(examples, labels=tuple(labels))


def main(name: str, dataset: str, runs: int = 100) -> None:
    """One JSON line a run; the first is the true one, the last compares."""
    where = arena(opened(dataset, None, frozenset(), console.progress), "emotion", "", console.progress)
    tested = row(name, Wish("quick"), where, 1, WeightStore(folder()))
    store = fill(tested, where.clips, where.contents, "cpu", console.progress)
    found = []
    for accuracy in accuracies(tested, where, store, runs):
        found.append(accuracy)
        console.out.print(json.dumps({"run": len(found) - 1, "accuracy": accuracy}), markup=False)
    shuffled = found[1:]
    told = {
        "method": tested.title,
        "accuracy": found[0],
        "runs": runs,
        "shuffled_mean": float(np.mean(shuffled)),
        "shuffled_sd": float(np.std(shuffled, ddof=1)),
        "shuffled_99th_percentile": float(np.percentile(shuffled, 99)),
        "mean_plus_2.33_sd": float(np.mean(shuffled) + 2.33 * np.std(shuffled, ddof=1)),
    }
    console.write_json(told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))
