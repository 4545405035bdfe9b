"""What `speed` measures, keeps and estimates: its arithmetic and behaviour; timings belong to the command itself."""

import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import console, speed
from benchmarks.model import Model
from benchmarks.predict import LONGEST, Windows, predicted
from benchmarks.run import Request, plan
from benchmarks.speed import memory, overhead, predicting, stages
from benchmarks.speed.machine import measured
from benchmarks.speed.measure import Measure
from benchmarks.speed.media import lasting, looped, spread
from benchmarks.speed.short import LONG, Costs, fit_costs
from benchmarks.track import Tracker
from datasets.base import Clip, Media, Track
from datasets.loose import loose
from datasets.media import read_audio
from tests.tinybench import Bench, corpus, make_bench, toy  # noqa: F401  a fixture

ROOT = Path(__file__).parent.parent


def test_ratios_are_told_only_of_what_was_measured() -> None:
    one = Measure("train", "a step", 2.0, "eager", 8.0, 4.0, 30.0, 60.0)
    assert (one.faster, one.real_time, one.of_ceiling) == (4.0, 0.5, 0.5)
    told = Measure("train", "a step", 2.0).told()
    assert told["seconds"] == 2.0 and [told[name] for name in ("faster", "real_time", "of_ceiling")] == [None] * 3


def test_the_ceiling_is_that_of_the_machine() -> None:
    found = measured("cpu")
    assert found.threads >= 1 and found.float32 > 1e8 and found.copy > 1e7
    assert found.bfloat16 is None or found.bfloat16 > 1e8


positive = st.floats(1e-6, 1e3)


@given(positive, st.lists(positive, min_size=0, max_size=4), st.integers(1, 100), st.integers(1, 10_000))
def test_a_fit_is_scaled_by_epochs_and_clips(once: float, each: list[float], part: int, whole: int) -> None:
    """Whatever a fit and its stages cost, as long as it is so much a clip and an epoch."""
    costs, names = dict(zip("abcd", each, strict=False)), "abcd"[: len(each)]
    epochs = {name: 10 * number + 1 for number, name in enumerate(names)}
    fits = list[Mapping[str, int]]()

    def fitted(asked: Mapping[str, int]) -> tuple[float, int, Any]:
        fits.append(dict(asked))
        first = 1e6 if len(fits) == 1 else 0.0  # what is loaded with the first
        return first + part * (once + sum(costs[name] * asked[name] for name in names)), sum(asked.values()), None

    found, _ = fit_costs(fitted, names, part)
    truth = whole * (once + sum(costs[name] * epochs[name] for name in names))
    assert found.of(epochs, whole) == pytest.approx(truth, rel=1e-3, abs=1e-6 * whole * (1 + sum(epochs.values())))
    assert max((max(asked.values()) for asked in fits if asked), default=LONG) == LONG


def test_a_stage_that_is_not_in_use_costs_nothing() -> None:
    """A method for sound alone has settings of pictures, too; whatever the clock says of those."""
    noise = iter((9.0, 1.0, 3.0, 2.0))

    def fitted(asked: Mapping[str, int]) -> tuple[float, int, Any]:
        return next(noise), asked["used"], None

    found, _ = fit_costs(fitted, ["used", "unused"], 1)
    assert found.epoch == {"used": 1.0, "unused": 0.0} and found.of({"used": 5, "unused": 500}, 2) == 10.0
    assert Costs().of({}, 7) == 0.0


EPOCHS = (
    ("    depth: int = 2", "    epochs: int = 2"),
    ("for epoch in range(3):", "for epoch in range(self.config.inner.epochs):"),
    ("inner=Inner(9)", "inner=Inner(9)"),
)


def asked(bench: Bench, *more: object) -> dict[str, Any]:
    words = ("--method", "toy", "--dataset", "ravdess", "--protocol", "leave-one-speaker-group-out:groups=2")
    code, out, err = bench.call("speed", *words, "--data-root", bench.data, "--json", *more)
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def test_an_estimate_scales_short_fits_of_the_method_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the toy moves: a clip takes a second to prepare, an epoch a tenth of one for each clip."""
    clock = SimpleNamespace(now=0.0)
    toy(
        bench.plugins, "toy", *EPOCHS,
        ("        sound = media.audio(self.rate)", "        CLOCK.now += 1.0\n        sound = media.audio(self.rate)"),
        ("            run.log(", "            CLOCK.now += 0.1 * len(train)\n            run.log("),
        ("        inputs = np.stack([clip[\"level\"] for clip in examples.inputs])\n        far",
         "        CLOCK.now += 0.01 * len(examples)\n        inputs = np.stack([clip[\"level\"] for clip in "
         "examples.inputs])\n        far"),
        ("import os\n", "import os\nfrom tests.test_speed import CLOCK\n"),
    )  # fmt: skip
    monkeypatch.setitem(globals(), "CLOCK", clock)
    monkeypatch.setattr("benchmarks.speed.estimate.estimates.__defaults__", (lambda: clock.now,))
    told = asked(bench, "--set", "inner.epochs=50", "--seeds", 3)
    (row,) = told["rows"]
    assert (row["clips"], row["cells"], row["to_run"]) == (12, 6, 6)
    assert row["fitting"] == pytest.approx(3 * 2 * 50 * 6 * 0.1) and row["predicting"] == pytest.approx(3 * 12 * 0.01)
    assert 0 < row["preparing"] < 12 and told["seconds"] == row["preparing"] + row["fitting"] + row["predicting"]
    assert not bench.kept() and not bench.kept("row") and not bench.kept("speed")
    assert bench.run("--set", "inner.epochs=50", "--seeds", 2)[0] == 0
    (row,) = asked(bench, "--set", "inner.epochs=50", "--seeds", 3)["rows"]
    assert (row["to_run"], row["preparing"]) == (2, 0) and row["fitting"] == pytest.approx(2 * 50 * 6 * 0.1)
    (row,) = asked(bench, "--set", "inner.epochs=50", "--seeds", 2)["rows"]
    assert (row["to_run"], row["preparing"], row["fitting"], row["predicting"]) == (0, 0, 0, 0)


CLOCK: Any = None


def test_an_estimate_says_that_it_is_one(bench: Bench) -> None:
    code, out, err = bench.call("speed", "--method", "toy", "--dataset", "ravdess", "--data-root", bench.data)
    assert code == 0 and "an estimate" in out and re.search(r" (\d+) of \1 ", out), err
    code, _, err = bench.call("speed", "--method", "toy", "--dataset", "ravdess", "--part", "predict")
    assert code == 2 and "leave one of them out" in err
    code, _, err = bench.call("speed", "--dataset", "ravdess", "--seeds", 2)
    assert code == 2 and "without --method" in err


def faked(monkeypatch: pytest.MonkeyPatch, part: str, measures: Any) -> None:
    module = ModuleType(f"benchmarks.speed.{part}")
    vars(module)["measures"] = measures
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(speed, part, module, raising=False)


def test_what_is_measured_is_kept_apart_from_results(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(
        monkeypatch,
        "preparing",
        lambda corpus, progress: iter([Measure("prepare", corpus.name, 1.0, "plain", 3.0, 10.0)]),
    )
    faked(monkeypatch, "training", lambda progress, device: iter([Measure("train", device, 2.0, rate=1, ceiling=4)]))
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


def test_every_rule_of_a_stage_names_a_function_that_is_there() -> None:
    named = [found for rule in stages.RULES.values() for found in re.findall(r"benchmarks/(\w+)\\\.py:(\w+)", rule)]
    assert len(named) >= 10
    for file, function in named:
        assert re.search(rf"def {function}\b", (ROOT / f"benchmarks/{file}.py").read_text()), (file, function)
    assert "def fit(" in (ROOT / "methods/base.py").read_text() and set(stages.WORK) < set(stages.RULES)


def function(file: str, name: str, body: str, **names: Any) -> Any:
    """One that seems to come from a file of ours."""
    exec(compile(f"def {name}(*rest):\n    {body}\n", str(ROOT / file), "exec"), names)
    return names[name]


def test_time_is_told_by_the_outermost_stage_that_is_known() -> None:
    sleep = "import time\n    time.sleep(0.3)"
    fill = function("benchmarks/prepare.py", "fill", sleep)
    fit = function("methods/toy.py", "fit", sleep)
    cell = function("benchmarks/work.py", "_fit_and_test", "fit(); fill()", fit=fit, fill=fill)
    page = function("benchmarks/common.py", "refresh_leaderboard", "fill()", fill=fill)

    def command() -> int:
        cell()
        page()
        return 7

    code, spent = stages.watched(command)
    assert code == 7 and set(spent) >= {"fitting", "preparing", "page"}
    assert sum(spent.values()) == pytest.approx(0.9, rel=0.5)
    assert min(spent["fitting"], spent["preparing"], spent["page"]) > 0.15 > spent.get(stages.REST, 0.0)
    assert stages.outside(spent) == pytest.approx(spent["page"] / sum(spent.values()), abs=0.1)


def test_a_command_that_is_watched_ends_as_it_would(tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    command = [sys.executable, "-m", "benchmarks.speed.stages", str(file), "list", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "nonsense" in done.stderr and isinstance(json.loads(file.read_text()), dict)


def test_peak_memory_counts_children() -> None:
    hungry = [sys.executable, "-c", "import time; held = b'x' * 150_000_000; time.sleep(1)"]
    before = memory.held()
    with memory.peak() as found:
        subprocess.run(hungry, check=True)
    assert found["bytes"] > before + 120e6


def film(file: Path, seconds: int, per_second: int = 2) -> Path:
    """Noise of 8 kHz, and pictures of which only the first is a whole one."""
    luck = np.random.default_rng(0)
    with av.open(file, "w") as container:
        video: Any = container.add_stream("libx264", rate=per_second, options={"g": "1000000", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        for number in range(seconds * per_second):
            picture = np.full((48, 64, 3), 10 * number % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, per_second)
            container.mux(video.encode(frame))
            count = 8_000 // per_second
            block = av.AudioFrame.from_ndarray(
                luck.integers(-9_000, 9_000, (1, count)).astype(np.int16), format="s16", layout="mono"
            )
            block.rate, block.pts, block.time_base = 8_000, number * count, Fraction(1, 8_000)
            container.mux(audio.encode(block))
        container.mux([*video.encode(None), *audio.encode(None)])
    return file


def peak_of(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Both:
    """Sees and hears all of what it is given."""

    def __call__(self, media: Media) -> dict[str, Any]:
        return {"heard": media.audio(8_000), "seen": np.stack(list(media.frames(2)))}

    def preparation(self) -> "Both":
        return self

    def predict_proba(self, examples: Any) -> Any:
        loud = [np.abs(clip["heard"]).mean() + clip["seen"].mean() for clip in examples.inputs]
        return np.array([[value, 1 - value] for value in loud])


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_memory_does_not_grow_with_the_length_of_a_film(suffix: str, tmp_path: Path) -> None:
    """Ten times longer, in as many windows; and of both the last lies far behind the only whole picture."""
    short, long = (film(tmp_path / f"{seconds}{suffix}", seconds) for seconds in (65, 650))
    facts = {"method": "both", "modality": "av", "classes": ("quiet", "loud")}
    model = Model(Both(), None, facts)  # type: ignore[arg-type]
    assert loose(long).seconds["audio"] > LONGEST

    def ask(file: Path, every: float) -> Any:
        return predicted(model, file, Windows(2.0, every), lambda done, total, now="": None)

    ask(short, 10.0)
    peaks = [peak_of(lambda: ask(short, 10.0)), peak_of(lambda: ask(long, 100.0))]
    assert peaks[1] < 1.3 * peaks[0] + 100_000


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_a_part_sounds_as_it_does_in_the_whole(suffix: str, tmp_path: Path) -> None:
    file = film(tmp_path / f"film{suffix}", 20)
    whole = read_audio(Track(str(file)), 8_000)
    for start, end in ((0.5, 1.5), (3.25, 4.0), (17.0, 19.5)):
        part = read_audio(Track(str(file), start=start, end=end), 8_000)
        assert np.array_equal(part, whole[round(start * 8_000) : round(end * 8_000)])


def test_a_film_is_made_as_long_as_wanted(tmp_path: Path) -> None:
    media = loose(film(tmp_path / "film.avi", 3)).media
    made = loose(looped(media, tmp_path / "made.avi", 5.0))
    assert made.seconds == pytest.approx({"audio": 5.0, "video": 5.0}, abs=0.05)
    assert np.allclose(made.media.audio(16_000)[48_000:64_000], media.audio(16_000)[:16_000], atol=1e-3)
    slow = loose(looped(media, tmp_path / "slow.avi", 2.4, 5))
    assert slow.seconds == pytest.approx({"audio": 2.4, "video": 2.4}, abs=0.01)
    assert len(list(slow.media.frames())) == 12


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(0, 20))
def test_some_clips_are_of_all_classes(labels: list[str], count: int) -> None:
    clips = [Clip(Media(str(number), frozenset(), {}), str(number), None, label) for number, label in enumerate(labels)]
    some = spread(clips, count)
    assert len(some) == len(set(some)) <= count and set(some) <= set(clips)
    if count >= 3:
        assert {clip.label for clip in some} == set(labels)


def test_seconds_of_many_clips_are_those_of_all(bench: Bench) -> None:
    clips = corpus(bench.data).index()
    heard = sum(len(clip.media.audio(8_000)) / 8_000 for clip in clips)
    assert lasting(clips) == pytest.approx(heard, rel=0.01) and lasting([]) == 0


def test_a_method_that_learnt_a_little_is_asked_about_a_film(bench: Bench) -> None:
    """As kept in a store, it answers `predict` as it does here."""
    request = Request("toy", "ravdess", device="cpu", data_root=bench.data)
    ((row, arena),) = plan(request, console.progress).rows
    ready = predicting.taught(row, arena, "cpu", bench.folder)
    whole, windows = predicting.warm(ready)
    assert whole.real_time == whole.seconds / predicting.CLIP and whole.faster is None
    assert windows.faster and windows.plain_seconds > 0 and "toy" in windows.what
    run_id = ready.keep(Tracker(bench.uri))
    code, out, err = bench.call("predict", ready.film, "--run", run_id, "--json")
    assert code == 0, err
    answer = predicted(ready.model, ready.film, Windows(), lambda done, total, now="": None)
    (told,) = json.loads(out)["clips"]
    assert told["seconds"] == pytest.approx(predicting.CLIP, abs=0.05)
    assert list(told["probabilities"].values()) == pytest.approx(answer.probabilities.tolist())


def test_overhead_is_told_as_a_whole_and_by_stage(tmp_path: Path) -> None:
    whole, *parts = overhead.staged("listing", ["list", "datasets"], tmp_path)
    assert whole.what == "listing" and "outside" in whole.note
    assert sum(part.seconds for part in parts) == pytest.approx(whole.seconds)
    assert {part.what for part in parts} >= {"listing: imports", f"listing: {overhead.BEFORE}"}
    with pytest.raises(overhead.OverheadError, match="nonsense"):
        list(overhead.staged("no command", ["list", "nonsense"], tmp_path))
