"""The synthetic voice, measured with tools that know nothing of how it is made."""

from __future__ import annotations

import math
from dataclasses import replace

import librosa
import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import find_peaks
from scipy.stats import spearmanr

from datasets.rendering.voice import Speaker, Utterance, Voice, speak

RATE = 16_000
NEUTRAL = Voice(0.0, 0.0, 0.0, 0.0, 0.0)
MAN = Speaker(pitch=115.0, tract=1.07, tilt=0.0, loudness=0.0, breathiness=0.2, tempo=0.0, jitter=0.006)
WOMAN = Speaker(pitch=205.0, tract=0.93, tilt=0.0, loudness=0.0, breathiness=0.3, tempo=0.0, jitter=0.006)
LEVELS = (-1.0, -0.6, -0.2, 0.2, 0.6, 1.0)
FACTORS = ("pitch", "pitch_range", "energy", "tempo", "tilt")

Floats = npt.NDArray[np.floating]


def say(
    voice: Voice = NEUTRAL,
    speaker: Speaker = MAN,
    sentence: int = 3,
    seconds: float = 2.0,
    rate: int = RATE,
    seed: int = 0,
) -> Utterance:
    return speak(voice, speaker, sentence, seconds, rate, np.random.default_rng(seed))


def semitones(sound: Floats) -> Floats:
    found = librosa.yin(sound, fmin=60, fmax=500, sr=RATE, frame_length=1024, hop_length=160)
    loudness = librosa.feature.rms(y=sound, frame_length=1024, hop_length=160)[0]
    return np.asarray(12.0 * np.log2(found[loudness > 0.25 * loudness.max()]))


def envelope(sound: Floats) -> Floats:
    """RMS at 100 Hz."""
    return np.asarray(librosa.feature.rms(y=sound, frame_length=400, hop_length=160)[0])


def decibels(sound: Floats) -> float:
    return float(20.0 * np.log10(np.sqrt(np.mean(np.asarray(sound, dtype=np.float64) ** 2))))


def slope(sound: Floats) -> float:
    """Decibels per octave of the long-term spectrum between 300 Hz and 4 kHz."""
    power = (np.abs(librosa.stft(sound, n_fft=1024)) ** 2).mean(axis=1)
    frequencies = librosa.fft_frequencies(sr=RATE, n_fft=1024)
    band = (frequencies > 300) & (frequencies < 4000)
    return float(np.polyfit(np.log2(frequencies[band]), 10.0 * np.log10(power[band]), 1)[0])


def syllables(utterance: Utterance) -> int:
    """Peaks of the amplitude envelope in the band of the vowels."""
    spectrum = np.abs(librosa.stft(utterance.sound, n_fft=512, hop_length=160))[8:100]
    loudness = np.log(spectrum.sum(axis=0) + 1e-3)
    smoothed = np.convolve(loudness, np.hanning(9) / np.hanning(9).sum(), mode="same")
    return len(find_peaks(smoothed, prominence=0.15)[0])


def formants(sound: Floats) -> list[float]:
    """Frequencies of the narrow resonances of a stretch at 10 kHz, by linear prediction."""
    emphasised = np.asarray(librosa.effects.preemphasis(sound, coef=0.97)) * np.hamming(len(sound))
    roots = np.roots(librosa.lpc(emphasised, order=12))
    roots = roots[roots.imag > 0.01]
    frequencies = np.angle(roots) * 10_000 / (2 * np.pi)
    widths = -np.log(np.abs(roots)) * 10_000 / np.pi
    return sorted(float(f) for f, width in zip(frequencies, widths, strict=True) if width < 500 and f > 150)


@pytest.mark.parametrize("speaker", [MAN, WOMAN], ids=["man", "woman"])
def test_pitch_is_the_one_intended(speaker: Speaker) -> None:
    medians = [float(np.median(semitones(say(replace(NEUTRAL, pitch=level), speaker).sound))) for level in LEVELS]
    assert spearmanr(LEVELS, medians).statistic > 0.9
    own = 12.0 * math.log2(speaker.pitch)
    assert np.abs(np.array(medians) - own - 5.0 * np.tanh(LEVELS) / np.tanh(1.0)).max() < 1.5


def test_pitch_range_spreads_the_pitch() -> None:
    tracks = [semitones(say(replace(NEUTRAL, pitch_range=level)).sound) for level in LEVELS]
    spreads = [np.subtract(*np.quantile(track, [0.9, 0.1])) for track in tracks]
    assert spearmanr(LEVELS, spreads).statistic > 0.9
    assert spreads[-1] > 2.0 * spreads[0]


def test_energy_is_level() -> None:
    levels = [decibels(say(replace(NEUTRAL, energy=level)).sound) for level in LEVELS]
    assert spearmanr(LEVELS, levels).statistic > 0.9
    assert 13.0 < levels[-1] - levels[0] < 18.0


def test_tempo_is_syllables() -> None:
    counts = [
        np.mean([syllables(say(replace(NEUTRAL, tempo=level), sentence=n, seconds=3.0)) for n in range(6)])
        for level in LEVELS
    ]
    assert spearmanr(LEVELS, counts).statistic > 0.9
    assert counts[-1] > 1.4 * counts[0]


@pytest.mark.parametrize("speaker", [MAN, WOMAN], ids=["man", "woman"])
def test_tilt_is_spectral_slope(speaker: Speaker) -> None:
    slopes = [slope(say(replace(NEUTRAL, tilt=level), speaker).sound) for level in LEVELS]
    assert spearmanr(LEVELS, slopes).statistic > 0.9
    assert slopes[-1] > slopes[0] + 2.0


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_mouth_opens_with_the_sound(rate: int) -> None:
    for sentence in range(4):
        utterance = say(sentence=sentence, rate=rate)
        heard = librosa.resample(utterance.sound, orig_sr=rate, target_sr=RATE)
        loudness = envelope(heard)[: len(utterance.opening)]
        assert np.corrcoef(loudness, utterance.opening)[0, 1] > 0.5


def test_vowels_have_their_formants() -> None:
    found: dict[str, list[list[float]]] = {"open": [], "close": []}
    for sentence in range(8):
        utterance = say(replace(NEUTRAL, tempo=-1.0), sentence=sentence)
        sound = librosa.resample(utterance.sound, orig_sr=RATE, target_sr=10_000)
        bright = librosa.feature.spectral_centroid(
            y=librosa.effects.preemphasis(utterance.sound), sr=RATE, n_fft=512, hop_length=160
        )[0]
        for frame in range(5, len(utterance.opening) - 5):
            here = utterance.opening[frame]
            steady = np.ptp(utterance.opening[frame - 3 : frame + 4]) < 0.02
            kind = "open" if here > 0.75 else "close" if 0.31 < here < 0.36 and bright[frame] > 1500 else None
            resonances = formants(sound[frame * 100 - 150 : frame * 100 + 150]) if steady and kind else []
            if kind and len(resonances) > 1:
                found[kind].append(resonances[:2])
    assert len(found["open"]) > 10 and len(found["close"]) > 10
    open_first, open_second = np.median(found["open"], axis=0)
    close_first, close_second = np.median(found["close"], axis=0)
    assert 600 < open_first < 900 and 1000 < open_second < 1500
    assert 200 < close_first < 400 and 2000 < close_second < 2600


def test_a_longer_tract_lowers_the_spectrum() -> None:
    def centre(speaker: Speaker) -> float:
        return float(
            np.mean(
                [librosa.feature.spectral_centroid(y=say(speaker=speaker, sentence=n).sound, sr=RATE) for n in range(4)]
            )
        )

    assert centre(replace(MAN, tract=1.15)) < centre(replace(MAN, tract=0.85))


def test_same_sentence_has_the_same_phones() -> None:
    same, other = [], []
    for sentence in range(5):
        man, woman = say(sentence=sentence).opening, say(speaker=WOMAN, sentence=sentence).opening
        same.append(np.corrcoef(man, woman)[0, 1])
        other.append(np.corrcoef(man, say(speaker=WOMAN, sentence=sentence + 5).opening)[0, 1])
    assert min(same) > 0.95
    assert max(other) < min(same)


@pytest.mark.parametrize("level", [-2.0, 2.0, 50.0])
@pytest.mark.parametrize("factor", [*FACTORS, "all"])
def test_extremes_stay_sound(factor: str, level: float) -> None:
    voice = Voice(level, level, level, level, level) if factor == "all" else replace(NEUTRAL, **{factor: level})
    utterance = say(voice, replace(WOMAN, loudness=4.0))
    assert np.isfinite(utterance.sound).all() and np.abs(utterance.sound).max() < 1.0
    assert np.mean(np.abs(utterance.sound) > 0.95) < 0.01
    assert decibels(utterance.sound) > -50.0
    assert utterance.opening.min() >= 0.0 and utterance.opening.max() <= 1.0


def test_silence_surrounds_the_speech() -> None:
    for seed in range(5):
        loudness = 20.0 * np.log10(envelope(say(seed=seed).sound) + 1e-9)
        loud = np.flatnonzero(loudness > loudness.max() - 35.0)
        assert 14 <= loud[0] <= 36 and loud[-1] < 195
        assert np.diff(loud).max() >= 7
        assert loudness[:10].min() > -90.0


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.3, 1.1, 2.345])
def test_lengths(rate: int, seconds: float) -> None:
    utterance = say(seconds=seconds, rate=rate)
    assert utterance.sound.shape == (round(seconds * rate),) and utterance.sound.dtype == np.float32
    assert utterance.opening.shape == (math.ceil(seconds * 100),) and utterance.opening.dtype == np.float32


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_rate_does_not_change_the_content(rate: int) -> None:
    low, high = say(), say(rate=rate)
    assert np.array_equal(low.opening, high.opening)
    resampled = librosa.resample(high.sound, orig_sr=rate, target_sr=RATE)[: len(low.sound)]
    assert np.corrcoef(low.sound, resampled)[0, 1] > 0.95


def test_the_random_state_decides() -> None:
    first, again, other = say(seed=1), say(seed=1), say(seed=2)
    assert first.sound.tobytes() == again.sound.tobytes() and first.opening.tobytes() == again.opening.tobytes()
    assert first.sound.tobytes() != other.sound.tobytes()


def test_speakers_differ() -> None:
    rng = np.random.default_rng(0)
    people = [Speaker.of(rng) for _ in range(200)]
    pitches, tracts = np.array([p.pitch for p in people]), np.array([p.tract for p in people])
    assert 90.0 <= pitches.min() < 105.0 and 230.0 < pitches.max() <= 260.0
    assert 0.85 <= tracts.min() < 0.9 and 1.1 < tracts.max() <= 1.15
    assert spearmanr(pitches, tracts).statistic < -0.4


@pytest.mark.parametrize(("seconds", "rate"), [(0.0, 16_000), (1.0, 16_001), (1.0, 0)])
def test_impossible_requests_say_what_is_wrong(seconds: float, rate: int) -> None:
    with pytest.raises(ValueError, match=r"but got"):
        say(seconds=seconds, rate=rate)
