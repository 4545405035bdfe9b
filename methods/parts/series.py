"""Measurements over time, one row a frame: gaps closed, and as many rows as a network wants."""

import numpy as np
import numpy.typing as npt


def filled(series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[frames, values] with each gap (NaN) closed in a straight line, at the ends by the nearest measurement.

    A value that is never measured stays NaN.
    """
    whole = series.copy()
    frames = np.arange(len(series))
    gaps = np.isnan(series)
    for column in np.flatnonzero(gaps.any(axis=0) & ~gaps.all(axis=0)):
        gap = gaps[:, column]
        whole[gap, column] = np.interp(frames[gap], frames[~gap], series[~gap, column])
    return whole


def averaged(series: npt.NDArray[np.float32], steps: int) -> npt.NDArray[np.float32]:
    """[steps, values]: the means over equal parts of the time, however many frames there are, but at least one."""
    if not len(series):
        raise ValueError(f"`series` must have a frame, but has the shape {series.shape}")
    edges = np.linspace(0, len(series), steps + 1)
    sums = np.concatenate([np.zeros((1, series.shape[1])), series.cumsum(axis=0, dtype=np.float64)])
    frame = np.minimum(edges.astype(np.intp), len(series) - 1)
    until = sums[frame] + (edges - frame)[:, None] * series[frame]  # summed up to each edge
    return np.asarray(np.diff(until, axis=0) * steps / len(series), dtype=np.float32)
