"""The 34 short-term features of pyAudioAnalysis, all frames at once.

T. Giannakopoulos (2015), "pyAudioAnalysis: An Open-Source Python Library for Audio Signal Analysis", PLoS ONE 10(12),
e0144610, doi 10.1371/journal.pone.0144610. Values agree with `ShortTermFeatures.feature_extraction` of version 0.3.14,
including what one would not guess from the names:

- The clip is freed of its mean and scaled to a peak of 1 first: how loud it was recorded leaves no trace.
- Frames are not windowed; spectra are magnitudes without the Nyquist bin, divided by the number of bins.
- The mel filters (Slaney's 13 linear and 27 logarithmic ones, 133 Hz to 6.9 kHz) are laid over the half spectrum as
  if it reached up to the whole rate: in effect they cover 67 Hz to 3.4 kHz. They weigh magnitudes, not powers.
- The flux of the first frame is 0.
- A chroma value knows only the highest bin of each semitone, divided by the number of bins in another semitone;
  semitones below 27.5 Hz count as those that stand last in the table.

Silence gives zeros, but for the first coefficient of the MFCC, which is the logarithm of the machine epsilon.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, rfft

from datasets.clips import Media

Floats = npt.NDArray[np.float64]

NAMES = (
    "zero-crossing rate",
    "energy",
    "entropy of energy",
    "spectral centroid",
    "spectral spread",
    "spectral entropy",
    "spectral flux",
    "spectral rolloff",
    *(f"MFCC {number}" for number in range(1, 14)),
    *(f"chroma {pitch}" for pitch in ("A", "A#", "B", "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#")),
    "chroma deviation",
)

EPSILON = sys.float_info.epsilon
BLOCKS = 10  # the parts of a frame, or of a spectrum, whose entropy is taken
ROLLOFF = 0.9  # of the energy
LOWEST = 27.5  # Hz, the A of semitone 0


def short_term(sound: npt.ArrayLike, rate: int, window: float = 0.050, hop: float = 0.025) -> npt.NDArray[np.float32]:
    """[frames, 34], in the order of `NAMES`; a sound shorter than a window is padded with zeros to one."""
    length, step = round(window * rate), round(hop * rate)
    bins = length // 2
    filters, chroma = mel_filters(rate, bins), chroma_table(rate, bins)

    wave = np.asarray(sound, dtype=np.float64)
    if wave.ndim != 1:
        raise ValueError(f"`sound` must be mono, [samples], but got the shape {wave.shape}")
    wave = normalised(wave)
    wave = np.pad(wave, (0, max(0, length - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, length)[::step]  # [frames, length]
    spectra = np.abs(rfft(frames, axis=1)[:, :bins]) / bins  # [frames, bins]
    power = spectra**2
    total = power.sum(axis=1, keepdims=True)

    centroid, spread = centroid_and_spread(spectra)
    cepstra = dct(np.log10(spectra @ filters + EPSILON), type=2, norm="ortho", axis=1)[:, :13]
    pitches = power @ chroma / np.where(total == 0, EPSILON, total)  # [frames, 12]
    columns = (
        np.abs(np.diff(np.sign(frames), axis=1)).sum(axis=1) / 2 / (length - 1),
        (frames**2).mean(axis=1),
        entropy(frames),
        centroid,
        spread,
        entropy(spectra),
        flux(spectra),
        np.argmax(power.cumsum(axis=1) + EPSILON > ROLLOFF * total, axis=1) / bins,
        cepstra,
        pitches,
        pitches.std(axis=1),
    )
    return np.column_stack(columns).astype(np.float32)


@dataclass(frozen=True)
class ShortTerm:
    """The features of a clip's first frames, at the resolution of deep networks that read them as a sequence."""

    frames: int = 100
    window: float = 0.2  # seconds
    hop: float = 0.1
    rate: int = 16_000

    def __call__(self, media: Media) -> npt.NDArray[np.float32]:
        """[frames or fewer, 34]"""
        return short_term(media.audio(self.rate), self.rate, self.window, self.hop)[: self.frames]


def normalised(wave: Floats) -> Floats:
    """Without its mean, with a peak of 1."""
    if not len(wave):
        return wave
    centred = wave - wave.mean()
    return np.asarray(centred / (np.abs(centred).max() + 1e-10))


def entropy(rows: Floats) -> Floats:
    """Of the shares that ten equal blocks have in a row's energy, in bits; a rest too short for ten stays out."""
    size = rows.shape[1] // BLOCKS
    blocks = rows[:, : size * BLOCKS].reshape(len(rows), BLOCKS, size)
    shares = (blocks**2).sum(axis=2) / ((rows**2).sum(axis=1, keepdims=True) + EPSILON)
    return np.asarray(-(shares * np.log2(shares + EPSILON)).sum(axis=1))


def centroid_and_spread(spectra: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of the frequency under the spectrum, as shares of half the rate."""
    position = np.arange(1, spectra.shape[1] + 1) / spectra.shape[1]
    mass = spectra.sum(axis=1)
    mass[mass == 0] = 1.0  # silence: all is 0
    centroid = spectra @ position / mass
    variance = ((position - centroid[:, None]) ** 2 * spectra).sum(axis=1) / mass
    return centroid, np.sqrt(variance)


def flux(spectra: Floats) -> Floats:
    """Squared distance to the spectrum before, each scaled to a sum of 1."""
    scaled = spectra / (spectra + EPSILON).sum(axis=1, keepdims=True)
    return np.asarray((np.diff(scaled, axis=0, prepend=scaled[:1]) ** 2).sum(axis=1))


def mel_filters(rate: int, bins: int) -> Floats:
    """Triangles of equal area [bins, 40] on a frequency axis that gives `bins` the whole rate, as the library does."""
    linear = 133.33 + 200 / 3 * np.arange(13)
    edges = np.concatenate([linear, linear[-1] * 1.0711703 ** np.arange(1, 30)])  # Hz
    if edges[-1] >= rate:
        raise ValueError(f"`rate` must lie above {edges[-1]:.0f} Hz for these features, but got {rate}")
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    frequency = np.arange(bins)[:, None] / bins * rate
    triangles = np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre))
    return np.asarray(np.maximum(triangles, 0.0) * 2 / (high - low))


def chroma_table(rate: int, bins: int) -> Floats:
    """What a bin's power adds to each of the 12 pitch classes [bins, 12], with the quirks named above."""
    semitone = np.round(12 * np.log2(np.arange(1, bins + 1) * rate / (2 * bins) / LOWEST)).astype(int)
    if not bins or semitone[-1] >= bins:
        raise ValueError(f"a window of {bins} bins is too short for chroma at {rate} Hz; take a longer `window`")
    _, group, size = np.unique(semitone, return_inverse=True, return_counts=True)
    crowd = size[group]  # bins in a bin's semitone
    place = semitone % bins  # below 27.5 Hz: from the end
    holder = np.full(bins, -1)
    np.maximum.at(holder, place, np.arange(bins))  # of bins that share a place, the highest stays
    table = np.zeros((bins, 12))
    taken = np.flatnonzero(holder >= 0)
    table[holder[taken], taken % 12] = 1.0 / crowd[semitone[taken]]
    return table
