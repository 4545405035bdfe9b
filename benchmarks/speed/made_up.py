"""Prepared inputs of no clip: noise in the shapes that recordings of 2 to 6 seconds have."""

from typing import Any

import numpy as np
import numpy.typing as npt

from methods.base import Examples, Method, Prepared
from methods.parts.segments import picture_frames, starts, time_range

CLASSES = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
SHORTEST, LONGEST = 2.0, 6.0  # seconds
Noise = np.random.Generator


def examples(name: str, method: Method, clips: int, seed: int = 0) -> Examples:
    """For a method as it is set."""
    noise = np.random.default_rng(seed)
    make = {
        "vgg16-gru": _vgg16_gru,
        "cnn-lstm-dnn": _cnn_lstm_dnn,
        "attention-fbp": _attention_fbp,
        "hybrid-dbn": _segments,
        "avef": _segments,
        "egemaps-svm": _egemaps_svm,
    }[name]
    inputs = [make(method, seconds, noise) for seconds in noise.uniform(SHORTEST, LONGEST, clips)]
    return Examples(inputs, CLASSES, tuple(CLASSES[number % len(CLASSES)] for number in range(clips)))


def _vgg16_gru(method: Any, seconds: float, noise: Noise) -> Prepared:
    config, inputs = method.config, dict[str, npt.NDArray[Any]]()
    framing, pictures = config.mfcc.framing, int(seconds * config.pictures.per_second)
    if method.modality != "video":
        inputs["mfcc"] = _floats(noise, int((seconds - framing.window) / framing.hop) + 1, config.mfcc.coefficients)
    if method.modality != "audio" and config.channels:
        inputs["faces"] = _pictures(noise, pictures, config.pictures.size, config.pictures.size)
    elif method.modality != "audio":
        inputs["features"] = _floats(noise, pictures, 512)
    return inputs


def _cnn_lstm_dnn(method: Any, seconds: float, noise: Noise) -> Prepared:
    config, inputs = method.config, dict[str, npt.NDArray[Any]]()
    if method.modality != "video":
        frames = int((seconds - config.sound.window) / config.sound.hop) + 1
        inputs["sound"] = _floats(noise, min(frames, config.sound.frames), 34)
    if method.modality != "audio":
        inputs["landmarks"] = _floats(noise, config.motion.steps, 136)
    return inputs


def _attention_fbp(method: Any, seconds: float, noise: Noise) -> Prepared:
    config, inputs = method.config, dict[str, npt.NDArray[Any]]()
    if method.modality != "video":
        inputs["sound"] = _floats(noise, int(seconds / config.sound.hop), 200, config.sound.channels)
    if method.modality != "audio":
        size, pictures = config.pictures.size, int(seconds * config.pictures.per_second)
        inputs |= {"faces": _pictures(noise, pictures, size, size), "found": np.ones(pictures, np.bool_)}
    return inputs


def _segments(method: Any, seconds: float, noise: Noise) -> Prepared:
    config, inputs = method.config, dict[str, npt.NDArray[Any]]()
    frames, length = int(seconds * 100) - 1, config.cutting.length
    begun = starts(frames, length, config.cutting.shift)
    if method.modality != "video":
        inputs["sound"] = _floats(noise, len(begun), 64, length, 3)
    if method.modality != "audio":
        count = int(seconds * config.pictures.per_second)
        times = [time_range(start, frames, length) for start in begun]
        numbers = np.array([picture_frames(*time, config.pictures.per_second, count) for time in times], np.int32)
        inputs |= {"faces": _pictures(noise, count, *config.pictures.shape), "pictures": numbers}
    return inputs


def _egemaps_svm(method: Any, seconds: float, noise: Noise) -> Prepared:  # noqa: ARG001
    return {"functionals": noise.normal(size=88)}


def _floats(noise: Noise, *shape: int) -> npt.NDArray[np.float32]:
    return noise.standard_normal(shape, np.float32)


def _pictures(noise: Noise, count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    return noise.integers(0, 256, (count, height, width, 3), np.uint8)
