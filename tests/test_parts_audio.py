"""Spectra against librosa, scipy and closed forms."""

from __future__ import annotations

import math
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from methods.parts.audio import Framing, LogMel, Mel, Mfcc, deltas, emphasised, speech_spectrogram, with_deltas

Floats = npt.NDArray[np.float32]

RATE = 16_000
AVEF = LogMel(framing=Framing(emphasis=0.97, points=400), mel=Mel(low=0.0), offset=0.01)


def tone(frequency: float, seconds: float = 0.5, rate: int = RATE) -> Floats:
    time = np.arange(round(rate * seconds)) / rate
    return np.asarray(0.5 * np.sin(2 * np.pi * frequency * time), dtype=np.float32)


def chirp(seconds: float = 1.0, rate: int = RATE) -> Floats:
    """Harmonics that glide from 120 to 200 Hz, a little noise."""
    time = np.arange(round(rate * seconds)) / rate
    phase = 2 * np.pi * (120 * time + 40 * time**2 / seconds)
    voice = np.sum([np.sin(k * phase) / k for k in range(1, 15)], axis=0)
    return np.asarray(0.2 * voice + 0.01 * np.random.default_rng(0).standard_normal(len(time)), dtype=np.float32)


def mel_frequencies(settings: Mel) -> npt.NDArray[np.float64]:
    """Edges and centres of the bands, by librosa."""
    high = settings.high or RATE / 2
    return np.asarray(
        librosa.mel_frequencies(settings.bands + 2, fmin=settings.low, fmax=high, htk=settings.scale == "htk")
    )


def reference_mel(sound: npt.NDArray[Any], rate: int, framing: Framing, mel: Mel, points: int) -> npt.NDArray[Any]:
    """Mel power [bands, frames] by librosa, from frames cut and windowed with librosa's tools."""
    length, hop = framing.samples(rate)
    frames = librosa.util.frame(sound, frame_length=length, hop_length=hop)
    window = librosa.filters.get_window("hamming", length)
    power = np.abs(np.fft.rfft(frames * window[:, None], points, axis=0)) ** 2
    filters = librosa.filters.mel(
        sr=rate, n_fft=points, n_mels=mel.bands, fmin=mel.low, fmax=mel.high, htk=mel.scale == "htk", norm=mel.norm
    )
    return np.asarray(filters @ power)


@pytest.mark.parametrize(
    ("log_mel", "points"),
    [
        pytest.param(LogMel(), 512, id="hybrid"),
        pytest.param(AVEF, 400, id="avef"),
        pytest.param(LogMel(mel=Mel(bands=40, low=0.0, scale="slaney", norm="slaney")), 512, id="slaney"),
        pytest.param(LogMel(rate=44_100, framing=Framing(0.04, 0.02)), 2048, id="44100"),
    ],
)
def test_log_mel_is_that_of_librosa(log_mel: LogMel, points: int) -> None:
    sound = chirp(rate=log_mel.rate)
    weighed = lfilter([1.0, -log_mel.framing.emphasis], [1.0], sound.astype(np.float64))
    expected = np.log(reference_mel(weighed, log_mel.rate, log_mel.framing, log_mel.mel, points) + log_mel.offset)
    found = log_mel(sound)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_log_mel_is_one_call_of_librosa_where_windows_need_no_padding() -> None:
    log_mel = LogMel(framing=Framing(window=0.032, hop=0.010))  # 512 samples
    found = librosa.feature.melspectrogram(
        y=chirp(), sr=RATE, n_fft=512, hop_length=160, window="hamming", center=False,
        n_mels=64, fmin=20, fmax=8000, htk=True, norm=None,
    )  # fmt: skip
    np.testing.assert_allclose(log_mel(chirp()), np.log(found + 1e-6), atol=1e-3)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_mfcc_is_that_of_librosa(rate: int) -> None:
    framing = Framing(window=2048 / rate, hop=1024 / rate, emphasis=0.97)
    sound = np.concatenate([chirp(0.6, rate), np.zeros(rate // 5, np.float32)])  # the silence meets the 80 dB floor
    weighed = lfilter([1.0, -0.97], [1.0], sound.astype(np.float64))
    expected = librosa.feature.mfcc(
        y=weighed, sr=rate, n_mfcc=13, n_fft=2048, hop_length=1024, window="hamming", center=False
    )
    found = Mfcc(rate, framing)(sound)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.T, atol=2e-3)  # of values up to 900


def test_emphasis_is_the_filter_of_scipy() -> None:
    np.testing.assert_allclose(emphasised(chirp(), 0.97), lfilter([1, -0.97], [1], chirp()), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_deltas_are_those_of_librosa(n: int) -> None:
    features = np.random.default_rng(1).standard_normal((5, 20)).astype(np.float32)
    expected = librosa.feature.delta(features, width=2 * n + 1, order=1, mode="nearest")
    np.testing.assert_allclose(deltas(features, n), expected, atol=1e-6)


@given(st.floats(-100, 100, width=32), st.floats(-10, 10, width=32), st.integers(1, 40), st.integers(1, 4))
def test_deltas_of_a_line_are_its_slope(start: float, slope: float, frames: int, n: int) -> None:
    line = (start + slope * np.arange(frames, dtype=np.float64)).astype(np.float32)
    found = deltas(np.stack([line, np.full_like(line, start)]), n)
    np.testing.assert_allclose(found[0, n : frames - n], slope, atol=1e-3)
    np.testing.assert_array_equal(found[1], 0.0)


def test_delta_deltas_are_deltas_of_the_segments_own_deltas() -> None:
    whole = LogMel()(chirp())
    segment = whole[:, 10:74]
    found = with_deltas(segment)
    assert found.shape == (64, 64, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], segment)
    np.testing.assert_array_equal(found[..., 1], deltas(segment))
    np.testing.assert_array_equal(found[..., 2], deltas(deltas(segment)))
    assert not np.allclose(found[:, 0, 1], deltas(whole)[:, 10])  # the frames outside are not looked at
    parabola = (np.arange(20.0, dtype=np.float32) ** 2)[None]
    np.testing.assert_allclose(with_deltas(parabola)[0, 4:16, 2], 2.0, atol=1e-4)


def test_64_frames_are_exactly_655_milliseconds() -> None:
    samples = round(0.655 * RATE)
    for count, frames in ((samples - 1, 63), (samples, 64), (samples + 159, 64), (samples + 160, 65)):
        assert LogMel()(np.zeros(count, np.float32)).shape == (64, frames)


@settings(max_examples=30)
@given(st.integers(0, 3000), st.sampled_from([(0.025, 0.010), (0.040, 0.010), (0.010, 0.025)]), st.integers(0, 9))
def test_a_frame_is_counted_where_its_whole_window_fits(count: int, cut: tuple[float, float], seed: int) -> None:
    sound = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    length, hop = round(cut[0] * RATE), round(cut[1] * RATE)
    starts = [start for start in range(0, max(count, 1), hop) if start + length <= count]
    power = Framing(*cut).power(sound, RATE).numpy()
    assert len(power) == max(1, len(starts))
    assert len(speech_spectrogram(sound, RATE, *cut)) == len(power)
    for number, start in enumerate(starts[-1:], start=len(starts) - 1):  # its values are the window's, and of no other
        alone = Framing(*cut).power(sound[start : start + length], RATE).numpy()
        np.testing.assert_allclose(power[number], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("log_mel", [LogMel(), AVEF, LogMel(mel=Mel(scale="slaney"))])
@pytest.mark.parametrize("frequency", [130.0, 440.0, 1000.0, 2500.0, 6000.0])
def test_a_tone_is_loudest_in_a_band_that_holds_it(log_mel: LogMel, frequency: float) -> None:
    edges = mel_frequencies(log_mel.mel)
    for band in log_mel(tone(frequency)).argmax(axis=0):
        assert edges[band] < frequency < edges[band + 2]


def test_power_is_the_windows_share_of_the_tones_energy() -> None:
    power = Framing().power(tone(1000.0), RATE).numpy()
    window = librosa.filters.get_window("hamming", 400)
    energy = np.sum((window * tone(1000.0)[:400]) ** 2)  # Parseval, over a two-sided transform of 512 points
    assert power[0, 1:-1].sum() * 2 == pytest.approx(512 * energy, rel=1e-3)


def same_content(rate: int) -> Floats:
    """Harmonics of 150 Hz up to 6.75 kHz, whole periods in 80 ms: the same sound at any rate."""
    time = np.arange(rate // 2) / rate
    waves = [np.sin(2 * np.pi * k * 150 * time + k * k) / k for k in range(1, 46)]
    return np.asarray(np.sum(waves, axis=0) / 4, dtype=np.float32)


def grid(rate: int) -> Framing:
    """Bins at the same frequencies at any rate."""
    return Framing(window=0.08, hop=0.04, points=rate * 8 // 100)


def test_log_mel_at_a_higher_rate_changes_its_scale_only() -> None:
    """A window holds three times the samples, so its spectrum is three times as high."""
    mel = Mel(bands=20, low=100.0, high=6500.0)  # wide enough to hold a harmonic each
    low, high = (LogMel(rate, grid(rate), mel, offset=1e-9)(same_content(rate)) for rate in (16_000, 48_000))
    np.testing.assert_allclose(high - low, 2 * math.log(3), atol=1e-3)


def test_mfcc_at_a_higher_rate_changes_its_level_only() -> None:
    mel = Mel(60, 0.0, 7000.0, "slaney", "slaney")
    low, high = (Mfcc(rate, grid(rate), mel)(same_content(rate)) for rate in (16_000, 48_000))
    np.testing.assert_allclose(high[:, 0] - low[:, 0], 10 * math.log10(9) * math.sqrt(60), atol=1e-3)
    np.testing.assert_allclose(high[:, 1:], low[:, 1:], atol=1e-3)
    assert np.ptp(low[:, 1:]) > 30


def test_speech_spectrogram_at_a_higher_rate_changes_its_scale_only() -> None:
    low, high = (speech_spectrogram(tone(1240.0, 0.5, rate), rate) for rate in (16_000, 48_000))
    assert (low.argmax(axis=1) == 1240 / 20).all()
    np.testing.assert_allclose((high - low)[low > 0], math.log(3), atol=0.02)


def test_speech_spectrogram_is_that_of_librosa() -> None:
    sound = chirp()
    frames = librosa.util.frame(sound, frame_length=640, hop_length=160)
    magnitude = np.abs(np.fft.rfft(frames * librosa.filters.get_window("hamming", 640)[:, None], 800, axis=0))[:200].T
    found = speech_spectrogram(sound, RATE)
    assert found.dtype == np.float32
    assert found.shape == (97, 200)
    np.testing.assert_allclose(found, np.log(magnitude + 1e-3), atol=1e-3)


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1), np.ones(1), np.zeros(8000), np.full(8000, -1.0)])
def test_silence_and_scraps_give_finite_values(sound: npt.NDArray[np.float64]) -> None:
    for values in (LogMel()(sound), AVEF(sound), Mfcc(RATE)(sound), speech_spectrogram(sound, RATE)):
        assert values.size
        assert np.isfinite(values).all()
    np.testing.assert_allclose(AVEF(np.zeros(8000)), math.log(0.01), rtol=1e-6)
    assert LogMel()(np.ones(1)).shape == (64, 1)


def test_the_sound_is_neither_changed_nor_remembered() -> None:
    sound = chirp()
    before = sound.copy()
    sound.setflags(write=False)  # a cache hands it out so
    first = [LogMel()(sound), Mfcc(RATE)(sound), speech_spectrogram(sound, RATE)]
    LogMel()(tone(300.0))
    again = [LogMel()(sound), Mfcc(RATE)(sound), speech_spectrogram(sound, RATE)]
    np.testing.assert_array_equal(sound, before)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Framing(window=0.0), r"must be positive, but got \(0.0, 0.01\)"),
        (lambda: Framing(points=401), "must be even, but got 401"),
        (lambda: LogMel(48_000, Framing(points=512))(np.zeros(9)), r"points >= window.*\(512, 1200\)"),
        (lambda: LogMel(8_000)(np.zeros(9)), r"high <= rate / 2.*\(20.0, 8000.0, 4000.0\)"),
        (lambda: LogMel()(np.zeros((2, 9))), r"mono.*\(2, 9\)"),
        (lambda: Framing(hop=1e-6).power(np.zeros(9), RATE), r"last a sample, but got \(400, 0\)"),
        (lambda: Mfcc(coefficients=129), r"coefficients <= bands.*\(129, 128\)"),
        (lambda: speech_spectrogram(np.zeros(9), 4000), r"\(200, 2000.0\); take a higher rate"),
        (lambda: deltas(np.zeros((2, 9), np.float32), 0), "n >= 1.*got 0"),
    ],
)
def test_errors_name_the_values(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_are_values() -> None:
    """A preparation's settings are hashed for its cache."""
    assert LogMel() == LogMel(mel=Mel(bands=64))
    assert hash(Mfcc()) == hash(Mfcc(48_000))
    assert LogMel() != AVEF
