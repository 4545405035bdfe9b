"""The plain way to features of sound: librosa on one segment, or numpy on one frame, after the other.

`short_term` is a plain loop over the formulas of pyAudioAnalysis' 34 short-term features (see methods.parts.short_term
for their source), for machines on which that library is not installed.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, fft

from methods.parts.short_term import BLOCKS, EPSILON, ROLLOFF, chroma_table, mel_filters

Floats = npt.NDArray[Any]
LIBRARY = "pyAudioAnalysis"


def log_mel_segments(sound: Floats, starts: list[int], length: int) -> list[Floats]:
    """Zhang et al.'s segments [64, length, 3] by librosa, at 16 kHz."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.pad(sound, 56), sr=16_000, n_fft=512, win_length=400, hop_length=160, window="hamming", center=False,
        n_mels=64, fmin=20, fmax=8000, htk=True, norm=None,
    )  # fmt: skip  # librosa puts windows of 400 samples into the middle of 512
    spectrogram = np.log(power + 1e-6)
    segments = []
    for start in starts:
        part = spectrogram[:, start : start + length]
        first = librosa.feature.delta(part, width=5, mode="nearest")
        segments.append(np.stack([part, first, librosa.feature.delta(first, width=5, mode="nearest")], axis=-1))
    return segments


def mfcc(sound: Floats) -> Floats:
    """Song et al.'s 13 coefficients by librosa, at 48 kHz [frames, 13]."""
    import librosa

    told = librosa.feature.mfcc(
        y=librosa.effects.preemphasis(sound, coef=0.97, zi=[0.0]), sr=48_000, n_mfcc=13, n_fft=4096, hop_length=2048,
        window="hamming", center=False,
    )  # fmt: skip
    return np.asarray(told.T)


def name() -> str:
    """What `short_term` is."""
    return LIBRARY if find_spec(LIBRARY) else "a plain loop of the formulas"


def short_term(sound: Floats, rate: int, window: float, hop: float) -> Floats:
    """[frames, 34], by the library if it is installed."""
    length, step = round(window * rate), round(hop * rate)
    if find_spec(LIBRARY):
        library = import_module(f"{LIBRARY}.ShortTermFeatures")
        return np.asarray(library.feature_extraction(sound, rate, length, step, deltas=False)[0].T)
    wave = sound.astype(np.float64)
    wave = wave - wave.mean()
    wave = wave / (np.abs(wave).max() + 1e-10)
    filters, chroma = mel_filters(rate, length // 2), chroma_table(rate, length // 2)
    rows, before = [], None
    for start in range(0, len(wave) - length + 1, step):
        frame = wave[start : start + length]
        spectrum = np.abs(fft(frame))[: length // 2] / (length // 2)
        rows.append(_of_frame(frame, spectrum, spectrum if before is None else before, filters, chroma))
        before = spectrum
    return np.array(rows)


def _of_frame(frame: Floats, spectrum: Floats, before: Floats, filters: Floats, chroma: Floats) -> Floats:
    """The 34 numbers."""
    crossings = np.abs(np.diff(np.sign(frame))).sum() / 2 / (len(frame) - 1)
    positions = np.arange(1, len(spectrum) + 1) / len(spectrum)
    mass = spectrum.sum() or 1.0
    centroid = (positions * spectrum).sum() / mass
    spread = np.sqrt(((positions - centroid) ** 2 * spectrum).sum() / mass)
    scaled, scaled_before = (one / (one + EPSILON).sum() for one in (spectrum, before))
    power = spectrum**2
    rolloff = np.argmax(np.cumsum(power) + EPSILON > ROLLOFF * power.sum()) / len(spectrum)
    cepstrum = dct(np.log10(spectrum @ filters + EPSILON), type=2, norm="ortho")[:13]
    pitches = power @ chroma / (power.sum() or EPSILON)
    change = ((scaled - scaled_before) ** 2).sum()
    told = (crossings, (frame**2).mean(), _entropy(frame), centroid, spread, _entropy(spectrum), change, rolloff)
    return np.array([*told, *cepstrum, *pitches, pitches.std()])


def _entropy(values: Floats) -> float:
    size = len(values) // BLOCKS
    total = (values**2).sum() + EPSILON
    shares = [(values[number * size : (number + 1) * size] ** 2).sum() / total for number in range(BLOCKS)]
    return -sum(float(share * np.log2(share + EPSILON)) for share in shares)
