"""The plain ways compute the same as ours, and what is measured of a small corpus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.pool import cores
from benchmarks.speed import measure, plain_sound, preparing
from benchmarks.speed.measure import alternating
from benchmarks.speed.preparing import Sample, measures
from datasets.base import Dataset
from methods.parts.audio import Mfcc
from methods.parts.segment_pairs import Cutting
from methods.parts.segments import starts
from methods.parts.short_term import short_term
from tests.tinybench import corpus, ravdess


@contextmanager
def progress(what: str) -> Iterator[Any]:
    yield lambda done, total, now="": None


@pytest.fixture(scope="module")
def sound() -> Any:
    """Two seconds that become louder."""
    rng = np.random.default_rng(0)
    return (np.linspace(0.01, 0.3, 32_000) * rng.normal(size=32_000)).clip(-1, 1).astype(np.float32)


def test_plain_segments_are_ours(sound: Any) -> None:
    cutting = Cutting()
    ours = cutting.segments(cutting.mel(sound))
    plain = plain_sound.log_mel_segments(sound, starts(1 + (len(sound) - 400) // 160), cutting.length)
    assert np.stack(plain) == pytest.approx(ours, abs=2e-3)


def test_plain_short_term_features_are_ours(sound: Any) -> None:
    plain = plain_sound.short_term(sound, 16_000, 0.05, 0.025)
    assert plain == pytest.approx(short_term(sound, 16_000, 0.05, 0.025), abs=1e-5)
    assert plain_sound.name() in ("pyAudioAnalysis", "a plain loop of the formulas")


def test_plain_mfcc_are_ours(sound: Any) -> None:
    assert plain_sound.mfcc(sound) == pytest.approx(Mfcc()(sound), abs=2e-2)


def test_the_best_time_of_each_counts_and_they_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    instants = iter([0, 5, 5, 25, 30, 33, 40, 70, 70, 74, 80, 90])  # ours takes 5, 3 and 4, the plain way 20, 30 and 10
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: next(instants)))
    assert alternating(lambda: told.append("ours"), lambda: told.append("plain"), 3) == (3, 10)
    assert told == ["ours", "plain"] * 3


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever else the machine does: in this process, by its own time, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=time.process_time))
    monkeypatch.setattr(preparing, "_processes", lambda _: nullcontext(map))
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("undisturbed")
def test_a_corpus_of_sound_alone(tmp_path: Path) -> None:
    found = list(measures(corpus(ravdess(tmp_path)), progress, Sample(2, 3, 2)))
    assert [one.what.split(",")[0] for one in found] == [
        "log-mel segments with deltas", "log-mel segments with deltas", "34 short-term features", "MFCC at 48 kHz",
    ]  # fmt: skip
    assert all(one.part == "prepare" and one.seconds > 0 and one.media_seconds > 0 for one in found)
    assert found[0].faster is None and all((one.faster or 0) > 1 for one in found[1:3])


def test_pictures_of_real_people(real_ravdess: Dataset) -> None:
    films = [clip.media for clip in real_ravdess.index() if "video" in clip.media.has][:1]
    seen, both = preparing.pictures(films, 1)
    frames = sum(1 for _ in films[0].frames())
    assert seen.note.count(str(frames)) == 3  # all frames have a face, both ways
    assert seen.media_seconds == both.media_seconds == pytest.approx(cores() * frames / 30, abs=0.1 * cores())
    assert (seen.faster or 0) > 1 and both.faster is None
    assert "egemaps-svm" in both.what and "egemaps-svm" not in seen.what and "hybrid-dbn" in seen.what
