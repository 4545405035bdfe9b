"""A method against itself on shuffled labels: those of training alone, by seed; nothing is learnt from them."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from benchmarks import console, sanity
from benchmarks.arenas import Arena, arena
from benchmarks.plan import Row, row
from benchmarks.prepare import Store, Stored, fill
from benchmarks.sanity import accuracies
from benchmarks.settings import Wish
from methods.base import Examples
from methods.parts.weights import WeightStore
from tests.tinybench import HALVES, Bench, corpus, make_bench, ravdess, toy  # noqa: F401  a fixture

RUNS = 6
PEOPLE = 12


def staged(bench: Bench) -> tuple[Row, Arena, Store]:
    """The toy on more people than elsewhere: with few, chance does well now and then."""
    where = arena(corpus(ravdess(bench.data, PEOPLE)), "emotion", HALVES, console.progress)
    tested = row("toy", Wish("quick"), where, 1, WeightStore(bench.folder, none=True))
    return tested, where, fill(tested, where.clips, where.contents, "cpu", console.progress)


Told = tuple[list[str], tuple[str, ...]]  # ids of clips, and their labels


def taught(tested: Row, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Told, Told]]:
    """What every fit gets for training and for validation."""
    seen: list[tuple[Told, Told]] = []
    learn = tested.kind.fit

    def told(examples: Examples) -> Told:
        assert isinstance(examples.inputs, Stored)
        return [media.clip_id for media in examples.inputs.media], examples.labels

    def watched(method: Any, train: Examples, validation: Examples, run: Any) -> None:
        seen.append((told(train), told(validation)))
        learn(method, train, validation, run)

    monkeypatch.setattr(tested.kind, "fit", watched)
    return seen


def test_only_labels_change_and_the_first_run_has_the_true_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and validation each among themselves; the same clips in the same order."""
    toy(bench.plugins, "toy", ("validates = False", "validates = True"))
    tested, where, store = staged(bench)
    seen = taught(tested, monkeypatch)
    list(accuracies(tested, where, store, RUNS))
    truth = {clip.media.clip_id: clip.label for clip in where.clips}
    runs = [seen[number : number + 2] for number in range(0, len(seen), 2)]  # of two folds each
    assert len(runs) == RUNS + 1
    for part in (0, 1):  # training, validation
        for fold in (0, 1):
            (clips, labels), *shuffled = (run[fold][part] for run in runs)
            assert labels == tuple(truth[clip] for clip in clips)
            assert all(others == clips for others, _ in shuffled)
            assert all(Counter(chance) == Counter(labels) for _, chance in shuffled)
            different = {labels, *(chance for _, chance in shuffled)}
            assert len(different) == RUNS + 1 if part == 0 else len(different) > 1  # of three clips some are alike


def test_answers_are_scored_by_the_true_labels(bench: Bench) -> None:
    """So a method that learns nothing from labels is as good as ever, whatever they are."""
    first = "        inputs, targets = "
    cheat = "        self.means = np.array([[0.25, 0.34], [0.15, 0.2], [0.2, 0.27]])\n        return\n"
    toy(bench.plugins, "toy", (first, cheat + first))
    assert len(set(accuracies(*staged(bench), RUNS))) == 1


def test_the_true_labels_are_learnt_and_shuffled_ones_are_not(bench: Bench) -> None:
    true, *shuffled = accuracies(*staged(bench), RUNS)
    assert true > 0.7
    assert max(shuffled) < true
    assert np.mean(shuffled) == pytest.approx(1 / 3, abs=0.15)


def test_runs_are_told_by_their_number(bench: Bench) -> None:
    """More runs change no earlier one."""
    one = staged(bench)
    assert list(accuracies(*one, RUNS))[:4] == list(accuracies(*one, 3))


def test_the_last_line_compares(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("BENCH_DATA", str(ravdess(bench.data, PEOPLE)))
    sanity.main("toy", "ravdess", RUNS)
    out = capsys.readouterr().out
    *lines, rest = out.split("\n", RUNS + 1)
    found = [json.loads(line) for line in lines]
    assert [line["run"] for line in found] == list(range(RUNS + 1))
    told, shuffled = json.loads(rest), [line["accuracy"] for line in found[1:]]
    assert (told["method"], told["runs"], told["accuracy"]) == ("toy audio quick", RUNS, found[0]["accuracy"])
    mean = sum(shuffled) / RUNS
    deviation = (sum((value - mean) ** 2 for value in shuffled) / (RUNS - 1)) ** 0.5
    assert told["shuffled_mean"] == pytest.approx(mean)
    assert told["mean_plus_2.33_sd"] == pytest.approx(mean + 2.33 * deviation)
    assert sorted(shuffled)[-2] <= told["shuffled_99th_percentile"] <= max(shuffled)
