"""What `speed` measures, keeps and estimates: its arithmetic and behaviour; timings belong to the command itself."""

import json
import re
import subprocess
import sys
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import console
from benchmarks.model import Model
from benchmarks.predict import LONGEST, Windows, predicted
from benchmarks.run import Request, plan
from benchmarks.speed import memory, overhead, predicting, stages
from benchmarks.speed.machine import measured
from benchmarks.speed.measure import Measure
from benchmarks.speed.media import lasting, looped, spread
from benchmarks.track import Tracker
from datasets.clips import Clip, Media, Track
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


def test_time_is_told_by_the_outermost_stage_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of which each look is a second, and stages that last a hundred looks."""
    monkeypatch.setattr(stages, "UNSEEN", 3.0)  # looks
    looks = [0]

    def look() -> int:
        looks[0] += 1
        return looks[0]

    def work() -> None:
        end = looks[0] + 100
        while looks[0] < end:
            time.sleep(0.001)

    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=look))
    fill = function("benchmarks/prepare.py", "fill", "work()", work=work)
    fit = function("methods/toy.py", "fit", "work()", work=work)
    cell = function("benchmarks/work.py", "_fit_and_test", "fit(); fill()", fit=fit, fill=fill)
    page = function("benchmarks/common.py", "refresh_leaderboard", "fill()", fill=fill)

    def command() -> int:
        cell()
        page()
        return 7

    code, spent = stages.watched(command, every=0.001)
    assert code == 7 and set(spent) >= {"fitting", "preparing", "page"}
    assert sum(spent.values()) == looks[0] - 3  # the command's beginning, the first look, the command's end
    assert min(spent["fitting"], spent["preparing"], spent["page"]) >= 99 > spent.get(stages.REST, 0)
    rest = spent["page"] + spent.get(stages.REST, 0)
    assert stages.outside(spent) == pytest.approx(rest / sum(spent.values()))


def test_a_command_that_is_watched_ends_as_it_would(tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    command = [sys.executable, "-m", "benchmarks.speed.stages", str(file), "list", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "nonsense" in done.stderr and isinstance(json.loads(file.read_text()), dict)


def test_peak_memory_counts_children() -> None:
    hungry = [sys.executable, "-c", "import time; held = b'x' * 150_000_000; time.sleep(5)"]
    before = memory.held()
    with memory.peak() as found:
        subprocess.run(hungry, check=True)
    assert found["bytes"] > before + 100e6


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_command_that_was_not_looked_at_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "UNSEEN", 0.1)
    assert stages.watched(lambda: time.sleep(0.2) or 3, 0.001)[0] == 3  # type: ignore[func-returns-value]
    monkeypatch.setattr(stages, "described", lambda _: 1 / 0)
    with pytest.raises(RuntimeError, match=r"only 0.0 of 0.2 s were looked at"):
        stages.watched(lambda: time.sleep(0.2) or 3, 0.001)  # type: ignore[func-returns-value]


def test_overhead_is_told_as_a_whole_and_by_stage(tmp_path: Path) -> None:
    whole, *parts = overhead.staged("listing", ["list", "datasets"], tmp_path)
    assert whole.what == "listing" and "outside" in whole.note
    assert sum(part.seconds for part in parts) == pytest.approx(whole.seconds)
    assert {part.what for part in parts} >= {"listing: imports", f"listing: {overhead.BEFORE}"}
    with pytest.raises(overhead.OverheadError, match="nonsense"):
        list(overhead.staged("no command", ["list", "nonsense"], tmp_path))
