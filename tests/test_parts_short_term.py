"""Short-term features against pyAudioAnalysis itself, and closed forms.

data/short_term.npz holds 16-bit sounds and what version 0.3.14 of the library computes of them. The library is no test
dependency: it is 44 MB, declares none of its own dependencies and imports what SciPy has deprecated. The file was made
once, in an environment that had it, by

    from pyAudioAnalysis.ShortTermFeatures import feature_extraction
    features, _ = feature_extraction(sound, rate, round(window * rate), round(hop * rate), deltas=False)

of a gliding harmonic voice, a chirp, an offset, noise in the last part and digital silence amid.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.parts.short_term import NAMES, short_term

RATE = 16_000
REFERENCE = Path(__file__).parent / "data" / "short_term.npz"
CASES = ("speech_rate", "long_windows", "odd_window", "telephone", "short_windows", "silence")


def column(name: str, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return features[:, NAMES.index(name)]


def tone(frequency: float, seconds: float = 0.5) -> npt.NDArray[np.float64]:
    return np.asarray(0.3 * np.cos(2 * np.pi * frequency * np.arange(round(RATE * seconds)) / RATE))


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_pyaudioanalysis(case: str) -> None:
    with np.load(REFERENCE) as stored:
        sound, expected = stored[f"{case}.sound"], stored[f"{case}.features"]
        rate, window, hop = stored[f"{case}.settings"]
    found = short_term(sound / 32_768, int(rate), window, hop)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (len(expected), 34)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_tone_by_closed_form() -> None:
    found = short_term(tone(2000.0), RATE)[1:]  # 40 whole periods in each half-overlapping frame of 50 ms
    np.testing.assert_allclose(column("zero-crossing rate", found), 2 * 2000 / RATE, rtol=0.02)
    np.testing.assert_allclose(column("energy", found), 0.5, rtol=1e-3)  # the peak is scaled to 1
    np.testing.assert_allclose(column("entropy of energy", found), math.log2(10), rtol=1e-3)
    np.testing.assert_allclose(column("spectral centroid", found), (100 + 1) / 400, rtol=1e-3)
    np.testing.assert_allclose(column("spectral rolloff", found), 100 / 400, rtol=1e-6)
    np.testing.assert_allclose(column("spectral flux", found), 0.0, atol=1e-6)


def test_noise_spreads_over_the_spectrum() -> None:
    found = short_term(np.random.default_rng(0).standard_normal(RATE), RATE)
    assert abs(column("spectral centroid", found).mean() - 0.5) < 0.01
    assert abs(column("spectral spread", found).mean() - 1 / math.sqrt(12)) < 0.01
    assert abs(column("zero-crossing rate", found).mean() - 0.5) < 0.01
    assert column("spectral entropy", found).mean() > 0.98 * math.log2(10)


def test_the_level_and_the_offset_of_a_recording_leave_no_trace() -> None:
    sound = tone(700.0) + np.random.default_rng(0).normal(0, 0.05, RATE // 2)
    np.testing.assert_allclose(short_term(0.01 * sound + 0.2, RATE), short_term(sound, RATE), rtol=1e-4, atol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 4000), st.integers(0, 9))
def test_frames_are_counted_where_a_whole_window_fits(count: int, seed: int) -> None:
    found = short_term(np.random.default_rng(seed).standard_normal(count), RATE, 0.05, 0.025)
    assert found.shape == (1 + max(0, count - 800) // 400, 34)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1), np.ones(1), np.zeros(8000), np.full(8000, 0.25)])
def test_silence_and_scraps_give_finite_values(sound: npt.NDArray[np.float64]) -> None:
    found = short_term(sound, RATE)
    assert np.isfinite(found).all()
    assert len(NAMES) == found.shape[1] == 34


@pytest.mark.parametrize(
    ("count", "rate", "window", "message"),
    [
        (9, RATE, 0.010, "80 bins is too short for chroma at 16000 Hz; take a longer `window`"),
        (9, 6000, 0.050, "`rate` must lie above 6[0-9]{3} Hz.*got 6000"),
        ((2, 9), RATE, 0.050, r"mono.*\(2, 9\)"),
    ],
)
def test_errors_name_the_values(count: int | tuple[int, int], rate: int, window: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        short_term(np.zeros(count), rate, window)
