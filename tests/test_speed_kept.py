"""What `speed` shows and keeps of what it measures, and of what it cannot."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import speed
from benchmarks.speed.machine import Machine
from benchmarks.speed.measure import Measure
from benchmarks.speed.training import Where
from tests.tinybench import Bench, make_bench  # noqa: F401  a fixture


def faked(monkeypatch: pytest.MonkeyPatch, part: str, measures: Any) -> None:
    module = ModuleType(f"benchmarks.speed.{part}")
    vars(module).update(measures=measures, Where=Where)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(speed, part, module, raising=False)


def of_training(progress: object, where: Where) -> Iterator[Measure]:
    yield Measure("train", where.device, 2.0, note=where.preset, rate=where.ceiling / 4, ceiling=where.ceiling)


def test_what_is_measured_is_kept_apart_from_results(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(
        monkeypatch,
        "preparing",
        lambda corpus, progress: iter([Measure("prepare", corpus.name, 1.0, "plain", 3.0, 10.0)]),
    )
    faked(monkeypatch, "training", of_training)
    assert bench.run()[0] == 0
    before = {run.info.run_id for run in (*bench.kept(), *bench.kept("row"))}
    words = ("speed", "--dataset", "ravdess", "--data-root", bench.data, "--device", "cpu")
    code, out, err = bench.call(*words, "--part", "train", "--part", "prepare", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [(one["part"], one["what"]) for one in told["measures"]] == [("train", "cpu"), ("prepare", "ravdess")]
    assert (told["measures"][0]["of_ceiling"], told["measures"][1]["faster"]) == (0.25, 3.0)
    assert told["machine"]["float32"] > 0 and 1e7 < told["peak_memory_bytes"] < 1e11
    (run,) = bench.kept("speed")
    assert run.info.run_id == told["run_id"] and run.info.status == "FINISHED"
    assert json.loads(bench.artifact(run, "table.json").read_text()) == told["measures"]
    assert float(run.data.tags["bench.machine_float32"]) == told["machine"]["float32"]
    code, out, err = bench.call(*words, "--part", "train")
    assert code == 0 and "ceiling" in out and "25%" in out and "peak memory" in out and "experiment 'speed'" in err
    assert bench.json()[1][0]["trained_now"] == 0
    assert before == {run.info.run_id for run in (*bench.kept(), *bench.kept("row"))}
    code, out, _ = bench.call("report", "--json", "--out", bench.folder / "board")
    page = (bench.folder / "board/leaderboard.csv").read_text()
    assert code == 0 and len(page.splitlines()) == 2 and "toy" in page


def test_training_is_held_against_the_rate_that_was_measured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a GPU that of bfloat16; and the preset and the file of a profile are handed on."""
    asked = list[Where]()

    def noted(progress: object, where: Where) -> Iterator[Measure]:
        asked.append(where)
        return of_training(progress, where)

    faked(monkeypatch, "training", noted)
    cpu = Machine("cpu", "a CPU", 2, 1e9, 5e9, 1e9)
    gpu = Machine("cuda", "a GPU", 2, 1e9, 5e9, 1e9)
    assert (cpu.training, gpu.training, replace(gpu, bfloat16=None).training) == (1e9, 5e9, 1e9)
    monkeypatch.setattr("benchmarks.speed.asked.measured", lambda device: gpu)
    monkeypatch.setattr("benchmarks.speed.asked.usable_device", lambda device: "cuda")
    profile = tmp_path / "profile.txt"
    words = ("speed", "--dataset", "ravdess", "--data-root", bench.data, "--part", "train")
    assert bench.call(*words)[0] == 0
    assert bench.call(*words, "--preset", "quick", "--profile", profile)[0] == 0
    assert asked == [Where("cuda", "paper", 5e9), Where("cuda", "quick", 5e9, profile)] and profile.exists()
    assert bench.call(*words, "--preset", "large")[0] == 2
    assert bench.call(*words, "--profile", tmp_path / "nowhere/profile.txt")[0] == 2
    assert bench.call(*words[:-1], "predict", "--profile", profile)[0] == 2


def test_a_part_that_fails_costs_only_its_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it told before, and all other parts, are shown and kept."""

    def failing(corpus: object, progress: object) -> Iterator[Measure]:
        yield Measure("prepare", "the first", 1.0)
        raise RuntimeError("no kernel image")

    faked(monkeypatch, "preparing", failing)
    faked(monkeypatch, "training", of_training)
    words = ("speed", "--dataset", "ravdess", "--data-root", bench.data, "--device", "cpu", "--part", "prepare")
    code, out, err = bench.call(*words, "--part", "train", "--json")
    told = json.loads(out)
    assert code == 1 and [one["what"] for one in told["measures"]] == ["the first", "cpu"]
    (failed,) = told["failed"]
    assert failed["part"] == "prepare" and failed["why"] == "RuntimeError: no kernel image"
    assert (
        err.index("the first: 1 s") < err.index("FAILED: RuntimeError: no kernel image") < err.index("train: cpu: 2 s")
    )
    (run,) = bench.kept("speed")
    assert len(json.loads(bench.artifact(run, "table.json").read_text())) == 2
    assert "no kernel image" in run.data.tags["bench.failed"]


def test_what_was_measured_before_an_interrupt_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(progress: object, where: Where) -> Iterator[Measure]:
        yield from of_training(progress, where)
        raise KeyboardInterrupt

    faked(monkeypatch, "training", interrupted)
    bench.call("speed", "--dataset", "ravdess", "--data-root", bench.data, "--part", "train", "--device", "cpu")
    (run,) = bench.kept("speed")
    assert len(json.loads(bench.artifact(run, "table.json").read_text())) == 1
