"""Segments of sound and picture alike: Zhang et al. 2018 ("hybrid") section III-A, Ma et al. 2019 (AVEF) section 2.1.

A spectrogram's frame k hears [k * 10 ms, k * 10 ms + 25 ms); 64 frames are a segment: 63 * 10 ms + 25 ms = 655 ms.

How far apart segments begin: hybrid has "a shift size of 30 frames [...], i.e., two adjacent segments are overlapped
with 30 frames", which cannot both be (a shift of 30 overlaps by 34). Its counts decide. 11,316 segments of 720 RML
clips take clips of 5.2 s on average at a shift of 30, of 5.8 s at 34; 16,186 of 1290 eNTERFACE clips take 4.3 s or
4.7 s. The paper says "around 5 seconds" and "3-4 seconds", so the shift is 30. AVEF says "30-frame overlap" alone and
counts nothing: its shift is 34.
"""

import numpy as np
import numpy.typing as npt

LENGTH = 64  # frames
HOP, WINDOW = 0.010, 0.025  # s
HYBRID_SHIFT, AVEF_SHIFT = 30, LENGTH - 30  # frames

Indices = npt.NDArray[np.intp]


def starts(frames: int, length: int = LENGTH, shift: int = HYBRID_SHIFT) -> list[int]:
    """First frames of a clip's segments; what follows the last whole one is dropped; a short clip is one segment."""
    if length < 1 or shift < 1:
        raise ValueError(f"length and shift must be at least 1 frame, but got {length} and {shift}")
    return [0][:frames] if frames < length else list(range(0, frames - length + 1, shift))


def cut(spectrogram: npt.NDArray[np.float32], start: int, length: int = LENGTH) -> npt.NDArray[np.float32]:
    """[..., T] -> [..., length]. A short clip stays in the middle, its first and its last frame are repeated."""
    frames = spectrogram.shape[-1]
    if frames < 1 or not 0 <= start <= max(frames - length, 0):
        raise ValueError(f"start must be one of starts({frames}, {length}), but got {start}")
    missing = max(length - frames, 0)
    if not missing:
        return spectrogram[..., start : start + length]
    edges = [(0, 0)] * (spectrogram.ndim - 1) + [(missing // 2, missing - missing // 2)]
    return np.pad(spectrogram[..., start : start + length], edges, mode="edge")


def time_range(start: int, frames: int, length: int = LENGTH) -> tuple[float, float]:
    """[T_begin, T_end] in seconds of a segment, of a clip of so many frames; a short clip's ends with the clip."""
    return start * HOP, (min(start + length, frames) - 1) * HOP + WINDOW


def picture_frames(begin: float, end: float, per_second: float, available: int, wanted: int = 16) -> Indices:
    """Numbers [wanted], in order, of the pictures to go with the sound from `begin` to `end`.

    As both papers have it: of the pictures in that time the first and last are deleted, or repeated, until `wanted` are
    left. Their number is rounded: int(0.655 * 30) = 20 holds only so. An odd one out goes, or comes, at the end (hybrid
    repeats "the first 5 and last 6"). Where the picture ends before the sound, its last one stays.
    """
    if available < 1:
        raise ValueError(f"available must be at least 1 picture, but got {available}; leave the clip's picture out")
    count = max(round((end - begin) * per_second), 1)
    first = max(round((begin + end) / 2 * per_second - count / 2), 0)
    return np.minimum(first + _fitted(count, wanted), available - 1)


def _fitted(count: int, wanted: int) -> Indices:
    """`wanted` of the numbers 0..count-1: the middle ones, or all with the first and the last ones more than once."""
    spare = count - wanted
    if spare >= 0:
        return np.arange(spare // 2, spare // 2 + wanted)
    front = -spare // 2
    back = -spare - front
    again = np.arange(front) % count, count - 1 - np.arange(back) % count
    return np.sort(np.concatenate([np.arange(count), *again]))
