"""Voice activity: against the detector's own package, on voices whose place is known, and on real recordings."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample_poly

from datasets.base import Dataset
from datasets.rendering.voice import Speaker, Utterance, Voice, speak
from methods.parts import vad
from methods.parts.vad import RATE, Voiced, voiced

Sound = npt.NDArray[np.float32]


def say(seed: int, seconds: float = 1.6) -> Utterance:
    rng = np.random.default_rng(seed)
    return speak(Voice(*rng.uniform(-1, 1, 5)), Speaker.of(rng), seed, seconds, RATE, rng)


def among_silence(seed: int) -> Sound:
    second = np.zeros(RATE, np.float32)
    return np.concatenate([second, say(seed).sound, second])


@pytest.fixture(scope="module")
def silero() -> Iterator[Any]:
    """The package itself; it sets the threads of the process when it is imported."""
    threads = torch.get_num_threads()
    yield import_module("silero_vad")
    torch.set_num_threads(threads)


@st.composite
def timelines(draw: st.DrawFn) -> Voiced:
    """Spans on a raster of milliseconds."""
    steps = draw(st.lists(st.integers(1, 900), min_size=2, max_size=12))
    edges = np.cumsum(steps[: len(steps) // 2 * 2]) / 1000
    return Voiced(tuple((float(a), float(b)) for a, b in edges.reshape(-1, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_package(silero: Any, seed: int) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        network = silero.load_silero_vad()
    sound = among_silence(seed)[: 50_000 + 100 * seed]
    levelled = torch.from_numpy(sound * (vad.LEVEL / np.abs(sound).max()))
    found = silero.get_speech_timestamps(levelled, network, vad.SPEECH, neg_threshold=vad.SILENCE)
    assert found
    assert voiced(sound).spans == tuple((span["start"] / RATE, span["end"] / RATE) for span in found)
    network.reset_states()
    theirs = network.audio_forward(levelled[None], RATE)[0]
    np.testing.assert_allclose(vad.speech_probability(levelled.numpy()), theirs, atol=1e-4)


@given(
    st.lists(st.tuples(st.sampled_from([0.05, 0.2, 0.9]), st.integers(1, 12)), min_size=1, max_size=12),
    st.integers(0, 511),
)
def test_rule_is_the_packages(silero: Any, stretches: list[tuple[float, int]], lacking: int) -> None:
    probabilities = np.repeat(*(np.array(column) for column in zip(*stretches, strict=True)))
    sound = np.zeros(len(probabilities) * vad.CHUNK - lacking, np.float32)

    class Recited:
        def __init__(self) -> None:
            self.answers: Iterator[torch.Tensor] = iter(torch.from_numpy(probabilities).unbind())

        def reset_states(self) -> None: ...

        def __call__(self, chunk: torch.Tensor, rate: int) -> torch.Tensor:
            return next(self.answers)

    found = silero.get_speech_timestamps(torch.from_numpy(sound), Recited(), vad.SPEECH, neg_threshold=vad.SILENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vad, "speech_probability", lambda heard: probabilities)
        assert voiced(sound).spans == tuple((span["start"] / RATE, span["end"] / RATE) for span in found)


@pytest.mark.parametrize("seed", range(8))
def test_known_voice_is_found(seed: int) -> None:
    open_mouth = np.nonzero(say(seed).opening > 0.05)[0] / 100
    spans = voiced(among_silence(seed)).spans
    assert abs(spans[0][0] - (1 + open_mouth[0])) < 0.15
    assert -0.15 < spans[-1][1] - (1 + open_mouth[-1]) < 0.25  # the network needs a tenth of a second to be sure


@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-2])
def test_no_voice_in_silence_and_noise(level: float) -> None:
    noise = level * np.random.default_rng(0).normal(size=3 * RATE)
    assert voiced(noise.astype(np.float32)) == Voiced(())


def test_nothing_at_all() -> None:
    assert voiced(np.zeros(0, np.float32)) == Voiced(())
    assert voiced(np.ones(100, np.float32)) == Voiced(())


def test_recording_level_does_not_matter() -> None:
    sound = among_silence(1)
    assert voiced(sound * np.float32(2**-6)) == voiced(sound)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_other_sampling_rates(rate: int) -> None:
    sound = among_silence(2)
    faster = resample_poly(sound, rate // 50, RATE // 50).astype(np.float32)
    np.testing.assert_allclose(voiced(faster, rate).spans, voiced(sound).spans, atol=0.07)


def test_a_clip_does_not_depend_on_the_others() -> None:
    sounds = [among_silence(seed)[: 30_000 + 1000 * seed] for seed in range(4)]
    alone = [vad.speech_probability(sound) for sound in sounds]
    after_others = [vad.speech_probability(sound) for sound in reversed(sounds)][::-1]
    vad._network.cache_clear()
    afresh = vad.speech_probability(sounds[2])
    for first, second in [*zip(alone, after_others, strict=True), (alone[2], afresh)]:
        np.testing.assert_array_equal(first, second)


def test_import_and_use_are_quiet_and_leave_the_threads_alone() -> None:
    script = (
        "import numpy, sys, torch; torch.set_num_threads(3); from methods.parts.vad import voiced;"
        "voiced(numpy.ones(16000, 'f')); assert torch.get_num_threads() == 3;"
        "assert not {'silero_vad', 'onnxruntime', 'torchaudio'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("sound", [np.zeros((2, 800), np.float32), np.zeros(800, np.int16)], ids=["stereo", "integers"])
def test_anything_but_mono_floats_is_refused(sound: Any) -> None:
    with pytest.raises(ValueError, match="mono floats"):
        voiced(sound)


@given(timelines())
def test_voiced_time_runs_through_the_spans(timeline: Voiced) -> None:
    lengths = [end - start for start, end in timeline.spans]
    assert timeline.seconds == pytest.approx(sum(lengths))
    times = np.linspace(0, timeline.seconds, 400, endpoint=False)
    instants = timeline.original(times)
    assert (np.diff(instants) > 0).all()
    inside = [(start - 1e-8 <= instants) & (instants < end + 1e-8) for start, end in timeline.spans]
    assert np.any(inside, axis=0).all()
    for (start, _), before in zip(timeline.spans, np.cumsum([0.0, *lengths]), strict=False):
        assert timeline.original([before + 1e-6])[0] == pytest.approx(start, abs=2e-6)


@given(timelines(), st.sampled_from([25, 29.97, 30, 60]))
def test_sound_and_picture_are_cut_alike(timeline: Voiced, per_second: float) -> None:
    seconds = timeline.spans[-1][1] + 1
    clock = np.arange(round(seconds * RATE), dtype=np.float64) / RATE  # a sound that tells the time
    sound = timeline.cut(clock.astype(np.float32), RATE)
    assert len(sound) / RATE == pytest.approx(timeline.seconds, abs=1e-6)
    pictures = timeline.pictures(per_second, round(seconds * per_second) + 1)
    assert abs(len(pictures) / per_second - timeline.seconds) <= 1 / per_second
    heard = sound[(np.arange(len(pictures)) / per_second * RATE).astype(int)]
    assert np.abs(pictures / per_second - heard).max() <= 0.5 / per_second + 2 / RATE
    assert (np.diff(pictures) > 0).all()


@given(timelines())
def test_frame_weights_are_one_inside(timeline: Voiced) -> None:
    weights = timeline.frame_weights(1000)
    middles = [0.010 * k + 0.0125 for k in range(1000)]
    assert set(weights) <= {0, 1}
    assert weights.tolist() == [int(any(start <= t < end for start, end in timeline.spans)) for t in middles]


def test_last_picture_stays_where_the_picture_ends_first() -> None:
    assert Voiced(((0.0, 0.1), (0.5, 0.6))).pictures(30, 5).tolist() == [0, 1, 2, 4, 4, 4]


def test_without_a_voice_the_caller_decides() -> None:
    nothing = Voiced(())
    assert nothing.seconds == 0
    assert nothing.frame_weights(5).tolist() == [0] * 5
    assert len(nothing.cut(np.ones(100, np.float32), RATE)) == len(nothing.pictures(30, 10)) == 0
    with pytest.raises(ValueError, match=r"Voiced\.whole"):
        nothing.original([0.0])
    everything = Voiced.whole(100 / RATE)
    np.testing.assert_array_equal(everything.cut(np.arange(100, dtype=np.float32), RATE), np.arange(100))


def test_real_voices_are_found_and_silence_before_them_is_cut(real_ravdess: Dataset) -> None:
    for clip in real_ravdess.index()[::15]:
        sound = clip.media.audio(RATE)
        timeline = voiced(sound)
        kept = timeline.cut(sound, RATE)
        assert 0.25 < timeline.spans[0][0] < 2.0, clip.name
        assert 0.25 < timeline.seconds / (len(sound) / RATE) < 0.8, clip.name
        assert (kept.astype(float) ** 2).sum() > 0.9 * (sound.astype(float) ** 2).sum(), clip.name


def test_real_shouting_is_heard(real_ravdess: Dataset) -> None:
    """Of these, with its own settings, the network hears nothing."""
    deaf = {"01-03-02-02-01-06", "01-05-02-01-01-06", "01-05-02-02-01-14", "01-05-02-01-02-18", "01-05-02-02-01-18"}
    shouted = [clip for clip in real_ravdess.index() if clip.name in deaf]
    assert len(shouted) == len(deaf)
    for clip in shouted:
        assert voiced(clip.media.audio(RATE)).seconds > 0.5, clip.name
