"""Spectra of speech as the papers cut them: log mel, its deltas, MFCC, the low end of a spectrogram.

Sound is mono in -1..1. Everything is stateless and looks at one clip alone: a frame's values depend on no statistics
but those of its own clip. There is no padding, except that a sound shorter than one window is padded with zeros to
one: n samples give 1 + (n - window) // hop frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad
from torchaudio.functional import amplitude_to_DB, create_dct, melscale_fbanks

Floats = npt.NDArray[np.float32]

SPACING = 20.0  # Hz between the bins of `speech_spectrogram`
FEW = 16  # bands of a product: of neighbours, for each hears but a few bins
QUIET = 1e-3  # added to its magnitudes: 16-bit rounding noise leaves about a tenth of this in a bin


@dataclass(frozen=True)
class Framing:
    """How a sound is cut into overlapping windows, in seconds, and how long their Fourier transform is.

    The window is a periodic Hamming window, as librosa's.
    """

    window: float = 0.025
    hop: float = 0.010
    emphasis: float = 0.0
    points: int | None = None  # even; None: the window's samples rounded up to a power of two

    def __post_init__(self) -> None:
        if min(self.window, self.hop) <= 0:
            raise ValueError(f"`window` and `hop` must be positive, but got ({self.window}, {self.hop})")
        if self.points is not None and self.points % 2:
            raise ValueError(f"`points` must be even, but got {self.points}")

    def samples(self, rate: int) -> tuple[int, int]:
        """Of the window and of the hop."""
        length, hop = round(self.window * rate), round(self.hop * rate)
        if min(length, hop) < 1:
            raise ValueError(f"`window` and `hop` must last a sample, but got ({length}, {hop}) samples at {rate} Hz")
        return length, hop

    def power(self, sound: npt.ArrayLike, rate: int) -> torch.Tensor:
        """Power spectra [frames, points // 2 + 1]."""
        length, hop = self.samples(rate)
        points = 1 << (length - 1).bit_length() if self.points is None else self.points
        if points < length:
            raise ValueError(f"`points >= window` must hold, but got ({points}, {length}) samples at {rate} Hz")
        wave = torch.from_numpy(emphasised(sound, self.emphasis))
        wave = pad(wave, (0, max(0, length - len(wave)) + points - length))
        frames = wave.unfold(0, points, hop) * _window(length, points)  # [frames, points]
        spectra = torch.fft.rfft(frames).numpy()
        power = np.square(spectra.real)  # NumPy's squares take half the time of PyTorch's
        power += np.square(spectra.imag)
        return torch.from_numpy(power)


@lru_cache(maxsize=32)
def _window(length: int, points: int) -> torch.Tensor:
    """Zeros behind it: a transform that fills a window up copies all of them."""
    return pad(torch.hamming_window(length, dtype=torch.float32), (0, points - length))


@dataclass(frozen=True)
class Mel:
    """Triangular filters, equally spaced and half overlapping on a mel scale.

    `htk` is 2595 log10(1 + f / 700): the scale of speech work and, with triangles of height 1, of what the papers on
    mel spectrograms most likely used (AVEF ran in MATLAB, and its `melbank` and `rfft` sound like VOICEBOX).
    `slaney` is linear below 1 kHz; with `norm="slaney"`, triangles of equal area, it is librosa's default.
    """

    bands: int = 64
    low: float = 20.0  # Hz
    high: float | None = 8000.0  # Hz; None: half the rate
    scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["slaney"] | None = None

    def heard(self, power: torch.Tensor, rate: int) -> torch.Tensor:
        """Power spectra [frames, points // 2 + 1] -> [bands, frames]. Warns where a band is too narrow for a bin."""
        parts = _mel_parts(self, rate, 2 * (power.shape[1] - 1))
        return torch.cat([weights @ power[:, first : first + weights.shape[1]].T for first, weights in parts])

    def filters(self, rate: int, points: int) -> torch.Tensor:
        """Weights [points // 2 + 1, bands]."""
        high = rate / 2 if self.high is None else self.high
        if not 0 <= self.low < high <= rate / 2:
            raise ValueError(f"`0 <= low < high <= rate / 2` must hold, but got ({self.low}, {high}, {rate / 2})")
        weights: torch.Tensor = melscale_fbanks(
            points // 2 + 1, self.low, high, self.bands, rate, self.norm, mel_scale=self.scale
        )
        return weights


@lru_cache(maxsize=32)
def _mel_parts(mel: Mel, rate: int, points: int) -> Sequence[tuple[int, torch.Tensor]]:
    """Of each few bands the first bin that they hear, and their weights [few, bins] from there on; made once."""
    parts = []
    for weights in mel.filters(rate, points).split(FEW, dim=1):  # type: ignore[no-untyped-call]
        bins = weights.any(dim=1).nonzero()
        first, last = (int(bins.min()), int(bins.max())) if len(bins) else (0, 0)
        parts.append((first, weights[first : last + 1].T.contiguous()))
    return parts


@dataclass(frozen=True)
class LogMel:
    """Log mel spectrogram: ln(mel power + offset). The defaults are Zhang et al. (2018): 20-8000 Hz, 25 ms, 10 ms.

    Ma et al. (2019): `LogMel(framing=Framing(emphasis=0.97, points=400), mel=Mel(low=0.0), offset=0.01)`.
    """

    rate: int = 16_000
    framing: Framing = Framing()
    mel: Mel = Mel()
    offset: float = 1e-6  # a little above the power that 16-bit rounding noise leaves in a band

    def __call__(self, sound: npt.ArrayLike) -> Floats:
        """[bands, frames]."""
        power = self.framing.power(sound, self.rate)
        return float32(self.mel.heard(power, self.rate).add_(self.offset).log_())


@dataclass(frozen=True)
class Mfcc:
    """Mel-frequency cepstral coefficients: pre-emphasis, Hamming window, mel filters, decibels, orthonormal DCT-II.

    Song et al. (2021) give those steps, 13 coefficients and a frame of 4096 samples at RAVDESS' 48 kHz; a frame is
    kept in seconds, so other rates see the same stretch of speech. What they leave open follows librosa's `mfcc`:
    128 bands of equal area on Slaney's scale up to half the rate, power in decibels, nothing further than 80 dB below
    the clip's loudest value. Unlike librosa the clip's ends are not padded.
    """

    rate: int = 48_000
    framing: Framing = Framing(window=4096 / 48_000, hop=2048 / 48_000, emphasis=0.97)
    mel: Mel = Mel(bands=128, low=0.0, high=None, scale="slaney", norm="slaney")
    coefficients: int = 13
    depth: float = 80.0  # dB below the clip's loudest value

    def __post_init__(self) -> None:
        if not 0 < self.coefficients <= self.mel.bands:
            raise ValueError(f"`0 < coefficients <= bands` must hold, but got ({self.coefficients}, {self.mel.bands})")

    def __call__(self, sound: npt.ArrayLike) -> Floats:
        """[frames, coefficients]."""
        power = self.framing.power(sound, self.rate)
        mel = self.mel.heard(power, self.rate).T  # [frames, bands]
        decibels = amplitude_to_DB(mel, multiplier=10.0, amin=1e-10, db_multiplier=0.0, top_db=self.depth)
        return float32(decibels @ create_dct(self.coefficients, self.mel.bands, norm="ortho"))


def speech_spectrogram(
    sound: npt.ArrayLike, rate: int, window: float = 0.040, hop: float = 0.010, bins: int = 200
) -> Floats:
    """The low end of a spectrogram, ln(magnitude + 0.001) [frames, bins], after Zhou et al. (2019).

    They take "the 200-dimensional low-frequency part" of windows of 40 ms. Bins here lie 20 Hz apart, at any rate, so
    that 200 of them are 0-4 kHz: with the 25 Hz that 40 ms give by themselves they would end at an odd 5 kHz, and
    with a finer grid they would lose the second formant.
    """
    points = 2 * round(rate / SPACING / 2)
    if bins * SPACING > rate / 2:
        raise ValueError(f"`bins * 20 Hz <= rate / 2` must hold, but got ({bins}, {rate / 2}); take a higher rate")
    power = Framing(window, hop, points=points).power(sound, rate)
    return float32((power[:, :bins].sqrt() + QUIET).log())


def emphasised(sound: npt.ArrayLike, coefficient: float = 0.97) -> Floats:
    """A copy with pre-emphasis x[n] - coefficient * x[n - 1]; before the first sample is silence."""
    wave = np.array(sound, dtype=np.float32)
    if wave.ndim != 1:
        raise ValueError(f"`sound` must be mono, [samples], but got the shape {wave.shape}")
    if coefficient:
        wave[1:] -= np.float32(coefficient) * wave[:-1]
    return wave


def deltas(features: Floats, n: int = 2) -> Floats:
    """Slope over 2n + 1 frames along the last axis, by regression; the first and last frame are repeated outwards.

    d[t] = sum_k k (c[t + k] - c[t - k]) / (2 sum_k k^2), k = 1 .. n
    """
    if n < 1:
        raise ValueError(f"`n >= 1` must hold, but got {n}")
    frames = features.shape[-1]
    ends = features[..., :1], features[..., -1:]
    wide = np.concatenate([*n * [ends[0]], features, *n * [ends[1]]], axis=-1, dtype=np.float32)
    rise = wide[..., n + 1 : n + 1 + frames] - wide[..., n - 1 : n - 1 + frames]
    for k in range(2, n + 1):
        part = wide[..., n + k : n + k + frames] - wide[..., n - k : n - k + frames]
        part *= np.float32(k)
        rise += part
    rise *= np.float32(1 / (2 * sum(k * k for k in range(1, n + 1))))
    return rise


def with_deltas(segments: Floats) -> Floats:
    """[..., bands, frames] -> [..., bands, frames, 3]: static, delta, delta-delta, all from a segment's own frames."""
    first = deltas(segments)
    return np.stack([segments, first, deltas(first)], axis=-1)


def float32(tensor: torch.Tensor) -> Floats:
    """As a contiguous array."""
    return np.ascontiguousarray(tensor.numpy())
