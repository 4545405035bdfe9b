"""Voice activity: where somebody speaks, and how sound and picture are cut down to it alike.

AVEF (Ma et al. 2019) takes the detector of Van Segbroeck et al. (2013): cochleagrams at four resolutions into a neural
network whose weights are not at hand. Silero VAD 6 (https://github.com/snakers4/silero-vad, MIT) takes its place, with
its package's rule for joining the answers of 32 ms chunks into spans. Left as it comes, it is deaf to shouting: it
finds no voice in 13 of 1080 spoken clips of RAVDESS, all of strong anger, fear or happiness. All sound is therefore
brought to one peak level, and speech begins at a probability of 0.3 instead of 0.5: 4 such clips are left.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

RATE = 16_000
CHUNK = 512  # samples that get an answer of their own
CONTEXT = 64  # samples of the chunk before
LEVEL = 0.05  # peak amplitude
SPEECH, SILENCE = 0.3, 0.15  # speech begins at the one probability and lasts until below the other
SHORTEST_SPEECH, SHORTEST_SILENCE, MARGIN = 4000, 1600, 480  # samples: 250, 100 and 30 ms

Sound = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Voiced:
    """The spans of a clip in which somebody speaks: seconds, in order and apart; none where no voice was found.

    Voiced time runs through the spans as if nothing lay between them. A clip without a voice is the caller's to settle:
    by AVEF's rule nothing would be left of it, so that method keeps all of it (`Voiced.whole`) and reports it.
    """

    spans: tuple[tuple[float, float], ...]

    @classmethod
    def whole(cls, seconds: float) -> "Voiced":
        """Nothing is cut."""
        return cls(((0.0, seconds),))

    @property
    def seconds(self) -> float:
        """How much is left when silence is cut."""
        return sum(end - start for start, end in self.spans)

    def original(self, times: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Instants of voiced time -> instants of the clip; a joint belongs to the span that it begins."""
        if not self.spans:
            raise ValueError("no voice was found in the clip, so it has no voiced time; take Voiced.whole")
        starts, ends = np.array(self.spans).T
        joints = np.cumsum(ends - starts)[:-1]
        silence_before = starts - np.concatenate([[0.0], joints])
        instants = np.asarray(times, dtype=np.float64)
        span = np.searchsorted(joints, instants + 1e-9, side="right")  # a sum may exceed its joint by an ulp
        return np.asarray(instants + silence_before[span])

    def frame_weights(self, frames: int, window: float = 0.025, hop: float = 0.010) -> npt.NDArray[np.int64]:
        """AVEF's emotion weights [frames]: 1 where the middle of the frame is voiced, 0 where it is silent."""
        middles = np.arange(frames) * hop + window / 2
        return np.asarray(np.searchsorted(np.ravel(self.spans), middles, side="right") % 2, dtype=np.int64)

    def cut(self, sound: Sound, rate: int) -> Sound:
        """The sound without its silence."""
        parts = [sound[round(start * rate) : round(end * rate)] for start, end in self.spans]
        return np.concatenate([sound[:0], *parts])

    def pictures(self, per_second: float, available: int) -> Indices:
        """The picture without the sound's silence: at each of its instants, the number of the nearest stored picture.

        Where the stored picture ends before the sound, its last one stays.
        """
        if available < 1:
            raise ValueError(f"available must be at least 1 picture, but got {available}; leave the clip's picture out")
        if not self.spans:
            return np.zeros(0, dtype=np.intp)
        instants = np.arange(ceil(self.seconds * per_second - 1e-6)) / per_second
        nearest = np.floor(self.original(instants) * per_second + 0.5 + 1e-6).astype(np.intp)
        return np.minimum(nearest, available - 1)


def voiced(sound: Sound, rate: int = RATE) -> Voiced:
    """Where somebody speaks in mono sound; always the same for a clip, whatever was asked before."""
    if sound.ndim != 1 or sound.dtype.kind != "f":
        raise ValueError(f"sound must be mono floats [samples], but got {sound.dtype} {list(sound.shape)}")
    shared = gcd(rate, RATE)
    if rate == RATE:
        heard = sound
    else:
        from scipy.signal import resample_poly  # slow, and what is prepared already does without

        heard = resample_poly(sound, RATE // shared, rate // shared)
    peak = np.abs(heard).max(initial=1e-9)
    spans = []
    for first, behind in _runs(speech_probability(heard * (LEVEL / peak))):
        start, end = first * CHUNK, min(behind * CHUNK, len(heard))
        if end - start > SHORTEST_SPEECH:
            spans.append((max(start - MARGIN, 0) / RATE, min(end + MARGIN, len(heard)) / RATE))
    return Voiced(tuple(spans))


def speech_probability(sound: Sound) -> Sound:
    """For each chunk [ceil(samples / 512)] of sound at 16 kHz, three times as fast as by the network's own loop."""
    if not len(sound):
        return np.zeros(0, dtype=np.float32)
    network = _network()
    padded = torch.from_numpy(np.pad(sound, (CONTEXT, -len(sound) % CHUNK)).astype(np.float32, copy=False))
    with torch.inference_mode(), _one_thread():
        chunks = padded.unfold(0, CONTEXT + CHUNK, CHUNK)  # [n, 576]
        features = network.encoder(network.stft(chunks))  # [n, 128, 1], of all chunks at once
        state = torch.zeros(0)  # the clip's own; the state that the network keeps is never used
        answers = []
        for chunk in features.split(1):
            answer, state = network.decoder(chunk, state)
            answers.append(answer.flatten())
        return np.asarray(torch.cat(answers).numpy())


def _runs(probabilities: Iterable[float]) -> Iterator[tuple[int, int]]:
    """First chunk, and chunk behind the last, of each stretch of speech."""
    first = quiet = None
    number = -1
    for number, probability in enumerate(probabilities):
        if probability >= SPEECH:
            first, quiet = number if first is None else first, None
        elif probability < SILENCE and first is not None:
            quiet = number if quiet is None else quiet
            if (number - quiet) * CHUNK >= SHORTEST_SILENCE:
                yield first, quiet
                first = quiet = None
    if first is not None:
        yield first, number + 1


@cache
def _network() -> Any:
    """The package's file, without the package: importing it would set the threads of the whole process to one."""
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("silero-vad is not installed; pip install 'silero-vad==6.2.*'")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch.jit is, the file is not
        return torch.jit.load(Path(package.origin).with_name("data") / "silero_vad.jit", "cpu")._model  # type: ignore[no-untyped-call]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tiny matrices are faster so, and sums do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
