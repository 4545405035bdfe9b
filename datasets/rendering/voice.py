"""A talking voice: source-filter speech after Fant (1960) and Klatt (1980), "Software for a
cascade/parallel formant synthesizer", J. Acoust. Soc. Am. 67(3).

Every glottal pulse is rendered as its own response: pulse spectrum x cascade of formants, delayed to
the exact instant and overlap-added. Noise (breath, fricatives, the room) is drawn as spectra on a
25 Hz raster. Nothing but the last inverse FFT knows the sampling rate, so content does not change with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Floats = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.complex64]

RASTER = 25.0  # Hz between spectrum bins: responses last 40 ms
STEP = 0.0025  # s between control values
HOP = 0.01  # s between noise frames


@dataclass(frozen=True)
class Voice:
    """How it is said; each 0 for neutral speech, about -1..1 in use, saturating beyond."""

    pitch: float
    pitch_range: float
    energy: float
    tempo: float
    tilt: float


@dataclass(frozen=True)
class Speaker:
    """Who says it."""

    pitch: float  # Hz
    tract: float  # vocal-tract length, 1 for the average of women and men
    tilt: float  # added to the voice's
    loudness: float  # dB
    breathiness: float  # 0..1
    tempo: float  # added to the voice's
    jitter: float  # share of a period

    @classmethod
    def of(cls, rng: np.random.Generator) -> Speaker:
        woman = rng.random() < 0.5
        octaves = rng.normal(0.0, 0.2)
        return cls(
            pitch=float(np.clip((205.0 if woman else 120.0) * 2.0**octaves, 90.0, 260.0)),
            tract=float(np.clip((0.93 if woman else 1.07) + rng.normal(0.0, 0.05), 0.85, 1.15)),
            tilt=float(rng.uniform(-0.4, 0.4)),
            loudness=float(rng.uniform(-4.0, 4.0)),
            breathiness=float(rng.uniform(0.0, 0.7) + (0.2 if woman else 0.0)),
            tempo=float(rng.uniform(-0.35, 0.35)),
            jitter=float(rng.uniform(0.003, 0.012)),
        )


@dataclass(frozen=True)
class Utterance:
    """What is heard and what is seen of it."""

    sound: npt.NDArray[np.float32]  # [samples] mono, |x| < 1
    opening: npt.NDArray[np.float32]  # [ceil(seconds * 100)] at 100 Hz, 0 shut .. 1 wide open


@dataclass(frozen=True)
class _Phone:
    formants: tuple[float, float, float, float]  # Hz at tract length 1
    voicing: float
    hiss: float  # amplitude of the friction noise
    colour: float  # Hz, where the friction noise peaks
    opening: float
    length: float  # s at a comfortable tempo


PHONES = {
    "a": _Phone((790, 1300, 2650, 3700), 0.90, 0.0, 4000, 1.00, 0.140),
    "e": _Phone((510, 2050, 2750, 3800), 1.05, 0.0, 4000, 0.65, 0.125),
    "i": _Phone((305, 2450, 3200, 3850), 1.15, 0.0, 4000, 0.40, 0.115),
    "o": _Phone((520, 930, 2600, 3600), 0.95, 0.0, 4000, 0.60, 0.130),
    "u": _Phone((330, 860, 2450, 3550), 1.10, 0.0, 4000, 0.32, 0.115),
    "b": _Phone((220, 900, 2300, 3500), 0.12, 0.0, 1000, 0.00, 0.050),
    "b'": _Phone((300, 950, 2350, 3500), 0.45, 0.10, 1100, 0.12, 0.012),
    "d": _Phone((220, 1800, 2800, 3700), 0.12, 0.0, 4200, 0.12, 0.045),
    "d'": _Phone((300, 1800, 2800, 3700), 0.45, 0.20, 4200, 0.20, 0.014),
    "g": _Phone((220, 2000, 2350, 3600), 0.12, 0.0, 2200, 0.15, 0.045),
    "g'": _Phone((300, 2000, 2350, 3600), 0.45, 0.22, 2200, 0.22, 0.018),
    "m": _Phone((270, 1050, 2300, 3500), 0.38, 0.0, 4000, 0.00, 0.070),
    "n": _Phone((270, 1600, 2600, 3600), 0.38, 0.0, 4000, 0.12, 0.060),
    "l": _Phone((370, 1250, 2850, 3700), 0.55, 0.0, 4000, 0.25, 0.060),
    "v": _Phone((270, 1150, 2350, 3600), 0.35, 0.05, 6500, 0.06, 0.060),
    "z": _Phone((270, 1700, 2700, 3700), 0.28, 0.16, 6300, 0.10, 0.070),
    "s": _Phone((320, 1750, 2700, 3700), 0.00, 0.28, 6500, 0.10, 0.085),
    "S": _Phone((320, 1850, 2600, 3600), 0.00, 0.32, 3300, 0.12, 0.085),
    "_": _Phone((500, 1550, 2600, 3650), 0.00, 0.0, 4000, 0.00, 0.000),
}
VOWELS = ("a", "e", "i", "o", "u")
ONSETS = (("b", "b'"), ("d", "d'"), ("g", "g'"), ("m",), ("n",), ("l",), ("v",), ("z",), ("s",), ("S",))
ONSET_SHARES = (0.12, 0.13, 0.11, 0.14, 0.13, 0.13, 0.07, 0.05, 0.07, 0.05)
SENTENCE = 24  # syllables before the sentence starts again
FREQUENCIES = np.arange(0.0, 10_001.0, RASTER)  # [bins], nothing is rendered above


@dataclass(frozen=True)
class _Score:
    phones: tuple[str, ...]
    ends: Floats  # [phones] s
    accents: Floats  # [accents] s, the middles of the stressed vowels


@dataclass(frozen=True)
class _Controls:
    formants: Floats  # [steps, 4] Hz, a step is STEP seconds
    voicing: Floats  # [steps]
    hiss: Floats  # [steps]
    colour: Floats  # [steps] Hz
    opening: Floats  # [steps]
    pitch: Floats  # [steps] Hz


def speak(
    voice: Voice, speaker: Speaker, sentence: int, seconds: float, rate: int, rng: np.random.Generator
) -> Utterance:
    """Says the syllables of `sentence` that fit into `seconds`."""
    if seconds <= 0.0:
        raise ValueError(f"`seconds > 0` must hold, but got {seconds}")
    if rate <= 0 or rate % RASTER:
        raise ValueError(f"`rate` must be a positive multiple of {RASTER:g} Hz, but got {rate}")
    brightness, samples = _amount(voice.tilt) + speaker.tilt, round(seconds * rate)
    score = _score(sentence, seconds, _amount(voice.tempo) + speaker.tempo, rng)
    controls = _controls(score, seconds, voice, speaker, rng)
    speech = _voiced(controls, brightness, speaker, rate, rng)[:samples]
    speech += _noise(_turbulence(controls, brightness, speaker), rate, rng)[:samples]
    active = STEP * np.count_nonzero(controls.voicing + controls.hiss > 0.05)
    target = -26.0 + 8.0 * _amount(voice.energy) + speaker.loudness  # dB over the active part
    speech *= 10.0 ** (target / 20.0) / math.sqrt(float(np.sum(speech**2)) / rate / active)
    speech += _noise(_room(seconds, rng), rate, rng)[:samples]
    frames = np.arange(math.ceil(seconds * 100)) / 100.0
    opening = np.interp(frames, np.arange(len(controls.opening)) * STEP, controls.opening)
    opening *= 0.84 + 0.12 * _amount(voice.energy)
    return Utterance(_limit(speech).astype(np.float32), opening.astype(np.float32))


def _amount(value: float) -> float:
    return math.tanh(value) / math.tanh(1.0)


def _syllables(sentence: int, count: int) -> list[tuple[tuple[str, ...], bool]]:
    """`count` syllables of a sentence, each with whether it is stressed."""
    dice = np.random.default_rng(sentence)
    syllables: list[tuple[tuple[str, ...], bool]] = []
    for _ in range(SENTENCE):
        onset = ONSETS[dice.choice(len(ONSETS), p=ONSET_SHARES)]
        coda = ("n",) if dice.random() < 0.1 else ()
        stressed = not (syllables and syllables[-1][1]) and dice.random() < 0.7
        syllables.append(((*onset, VOWELS[dice.integers(len(VOWELS))], *coda), stressed))
    return [syllables[index % SENTENCE] for index in range(count)]


def _score(sentence: int, seconds: float, tempo: float, rng: np.random.Generator) -> _Score:
    lead, trail = seconds * rng.uniform(0.08, 0.15), seconds * rng.uniform(0.05, 0.09)
    pause, share = rng.uniform(0.14, 0.22) * (seconds > 1.6), rng.uniform(0.42, 0.62)
    speech = seconds - lead - trail - pause
    syllables = _syllables(sentence, max(1, round(speech * 4.5 * 1.36**tempo)))
    rest = round(share * len(syllables)) if pause else -1
    names, lengths, stressed = ["_"], [lead], []
    for index, (phones, stress) in enumerate(syllables):
        if index == rest:
            names, lengths = [*names, "_"], [*lengths, pause]
        stretch = 1.35 if index in (rest - 1, len(syllables) - 1) else 1.15 if stress else 0.95
        for name in phones:
            if stress and name in VOWELS:
                stressed.append(len(names))
            names.append(name)
            lengths.append(PHONES[name].length * rng.uniform(0.88, 1.12) * (stretch if name in VOWELS else 1.0))
    names, durations = [*names, "_"], np.array([*lengths, trail])
    sounding = np.array(names) != "_"
    durations[sounding] *= speech / durations[sounding].sum()
    ends = np.cumsum(durations)
    return _Score(tuple(names), ends, ends[stressed] - durations[stressed] / 2.0)


def _smooth(track: Floats, seconds: float) -> Floats:
    """Hann-weighted running mean over `seconds`, along time."""
    kernel = np.hanning(2 * max(1, round(seconds / STEP / 2.0)) + 1)
    return np.asarray(ndimage.convolve1d(track, kernel / kernel.sum(), axis=0, mode="nearest"), dtype=np.float64)


def _controls(score: _Score, seconds: float, voice: Voice, speaker: Speaker, rng: np.random.Generator) -> _Controls:
    times = np.asarray(np.arange(math.ceil(seconds / STEP) + 1) * STEP, dtype=np.float64)
    which = np.minimum(np.searchsorted(score.ends, times, side="right"), len(score.phones) - 1)
    phones = [PHONES[name] for name in score.phones]
    rows = np.array([(p.voicing, p.hiss, p.colour, p.opening) for p in phones])[which]
    # The tongue is in place before the voice starts and stays until it is over.
    tongue = [min(i + 1, len(phones) - 2) if name == "_" else i for i, name in enumerate(score.phones)]
    formants = np.array([phones[i].formants for i in tongue])[which]
    semitones = _contour(score, times, 2.0 ** (1.2 * _amount(voice.pitch_range)), rng)
    semitones += 0.5 * _smooth(rng.normal(size=len(times)), 0.2) - 2.4 * _smooth(rows[:, 1], 0.05)
    voicing = _smooth(rows[:, 0], 0.024)
    semitones -= np.average(semitones, weights=voicing + 1e-9)
    level = 12.0 * math.log2(speaker.pitch) + 5.0 * _amount(voice.pitch)
    stress = np.exp(-(((times[:, None] - score.accents) / 0.09) ** 2)).sum(axis=1)
    strength = (0.85 + 0.25 * stress) * 10.0 ** (-3.0 * times / seconds / 20.0)
    return _Controls(
        formants=_smooth(formants, 0.08) / speaker.tract,
        voicing=voicing * strength,
        hiss=_smooth(rows[:, 1], 0.015),
        colour=_smooth(rows[:, 2], 0.03),
        opening=_smooth(rows[:, 3], 0.09),
        pitch=np.clip(2.0 ** ((level + semitones) / 12.0), 55.0, 700.0),
    )


def _contour(score: _Score, times: Floats, spread: float, rng: np.random.Generator) -> Floats:
    """Pitch in semitones: declination over the utterance and each phrase, accents, a fall at the end."""
    end, resets = score.ends[-2], [score.ends[i] for i, name in enumerate(score.phones[:-1]) if name == "_" and i]
    declination = -3.6 * times / end + 1.8 * sum(1.0 / (1.0 + np.exp((at - 0.1 - times) / 0.03)) for at in resets)
    heights = rng.uniform(1.6, 3.4, size=len(score.accents))
    accents = (np.exp(-(((times[:, None] - score.accents) / 0.085) ** 2)) * heights).sum(axis=1)
    fall = 2.0 * np.clip((times - end + 0.25) / 0.25, 0.0, 1.0)
    return np.asarray((declination + accents - fall) * spread, dtype=np.float64)


def _tract(formants: Floats, breathiness: float) -> Spectra:
    """Transfer function of the vocal tract, [rows, bins] for formants [rows, 4]."""
    result = np.ones((len(formants), len(FREQUENCIES)), dtype=np.complex64)
    for formant, width in zip(formants.T, (65.0 + 40.0 * breathiness, 90.0, 140.0, 200.0), strict=True):
        centre = (formant**2 + width**2 / 4.0)[:, None]
        result *= (1.0 - (FREQUENCIES**2 - 1j * width * FREQUENCIES) / centre).astype(np.complex64)
    upper = np.mean(formants[:, 3]) / 3650.0 * np.arange(4700.0, 12_000.0, 1000.0)[:, None]
    ratios = 1.0 - (FREQUENCIES / upper) ** 2 + 1j * (0.07 * FREQUENCIES / upper)
    return np.asarray(1.0 / (result * np.prod(ratios, axis=0)), dtype=np.complex64)


def _source(pitch: Floats, brightness: float) -> Spectra:
    """Derivative of the glottal flow with lip radiation, [pulses, bins]."""
    knee = pitch[:, None] * 1.3 * 2.0 ** (0.4 * brightness)
    ratio = (1j * FREQUENCIES / knee).astype(np.complex64)
    damping = 1.0 + 1j * FREQUENCIES / (2500.0 * 4.0**brightness)
    return np.asarray(ratio / (1.0 + ratio) ** 2 / damping, dtype=np.complex64)


def _voiced(controls: _Controls, brightness: float, speaker: Speaker, rate: int, rng: np.random.Generator) -> Floats:
    times = np.arange(len(controls.pitch)) * STEP
    cycles = np.concatenate([[0.0], np.cumsum(controls.pitch[:-1]) * STEP])
    beats = np.arange(1.0, math.floor(cycles[-1]))
    beats += rng.normal(0.0, speaker.jitter, size=len(beats))
    shimmer = np.exp(rng.normal(0.0, 5.0 * speaker.jitter, size=len(beats)))
    instants = np.interp(beats, cycles, times)
    strength = np.interp(instants, times, controls.voicing) * shimmer
    instants, strength = instants[strength > 0.005], strength[strength > 0.005]
    rows, onsets = (instants / STEP).astype(int), (instants * rate).astype(int)
    delays = instants - onsets / rate
    spectra = _tract(controls.formants[rows], speaker.breathiness) * _source(controls.pitch[rows], brightness)
    spectra *= strength[:, None] * np.exp((-2j * np.pi * delays[:, None] * FREQUENCIES).astype(np.complex64))
    return _overlap(spectra, onsets, np.ones(round(rate / RASTER)), round(times[-1] * rate))


def _overlap(spectra: Spectra, onsets: npt.NDArray[np.int_], window: Floats, samples: int) -> Floats:
    sound, waves = np.zeros(samples + 2 * len(window)), fft.irfft(spectra, len(window), norm="forward")
    for onset, wave in zip(onsets, waves, strict=True):
        sound[onset : onset + len(window)] += wave * window
    return sound


def _turbulence(controls: _Controls, brightness: float, speaker: Speaker) -> Spectra:
    """Filters of breath and friction, [frames, bins]."""
    every = round(HOP / STEP)
    breath = 0.016 * 2.0 ** (1.6 * speaker.breathiness + 0.3 * brightness)
    tract = _tract(controls.formants[::every], speaker.breathiness)
    tract *= (breath * controls.voicing[::every, None] * FREQUENCIES / (FREQUENCIES + 1500.0)).astype(np.float32)
    ratio = FREQUENCIES / (controls.colour[::every, None] / speaker.tract)
    friction = ratio**2 / (1.0 - ratio**2 + 0.5j * ratio) * np.minimum(1.0, 1.0 / ratio.clip(1.0))
    tract += (controls.hiss[::every, None] * friction * 2.5**brightness).astype(np.complex64)
    return tract


def _room(seconds: float, rng: np.random.Generator) -> Spectra:
    shape = 1.0 / np.sqrt(1.0 + (FREQUENCIES / 150.0) ** 2)
    shape *= 10.0 ** (rng.uniform(-66.0, -56.0) / 20.0) / np.sqrt(4.0 * np.sum(shape**2))
    return np.tile(shape.astype(np.complex64), (math.ceil(seconds / HOP) + 2, 1))


def _noise(filters: Spectra, rate: int, rng: np.random.Generator) -> Floats:
    draws = rng.standard_normal((len(filters), 2 * filters.shape[1]), dtype=np.float32)
    width, onsets = 2.0 * HOP * rate, (np.arange(len(filters)) * HOP * rate).astype(int)
    window = np.sin(np.pi * np.minimum(np.arange(0.5, rate / RASTER) / width, 1.0))
    sound = _overlap(draws.view(np.complex64) * filters, onsets, window, int(onsets[-1]))
    return sound[round(width / 2.0) :]


def _limit(sound: Floats) -> Floats:
    """Bends peaks beyond 0.6 smoothly towards 0.98."""
    return np.where(np.abs(sound) <= 0.6, sound, np.sign(sound) * (0.6 + 0.38 * np.tanh((np.abs(sound) - 0.6) / 0.38)))
