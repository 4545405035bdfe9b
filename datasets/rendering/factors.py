"""How an emotion shows in voice and face: the difficulty of the stand-in corpora, set once and never changed.

A clip's ten factors are the emotion's mean, plus the person's own habit, plus the person's own way of showing this
emotion, plus chance. Sound alone confuses the excited emotions with each other, the face alone confuses its
neighbours, so both together win; habits and ways belong to a person, so a split that mixes persons flatters.
docs/stand-ins.md has the scores of a classifier that knows these factors.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datasets.rendering.face import Expression
from datasets.rendering.voice import Voice

HABIT, WAY, CHANCE = 0.35, 0.35, 0.30  # standard deviations, where emotions lie about 1 apart in a factor
VOICES: Mapping[str, tuple[float, float, float, float, float]] = {
    # pitch, pitch range, energy, tempo, tilt
    "anger": (0.5, 0.4, 0.9, 0.5, 0.9),
    "disgust": (-0.4, -0.1, -0.3, -0.6, 0.0),
    "fear": (0.9, -0.2, 0.2, 0.8, 0.3),
    "happiness": (0.7, 0.8, 0.6, 0.4, 0.4),
    "sadness": (-0.6, -0.7, -0.8, -0.7, -0.7),
    "surprise": (0.9, 0.9, 0.5, 0.1, 0.4),
    "neutral": (0.0, -0.2, 0.0, 0.0, 0.0),
    "calm": (-0.2, -0.5, -0.5, -0.4, -0.5),
}
FACES: Mapping[str, tuple[float, float, float, float, float]] = {
    # smile, mouth, brow height, brow slant, eyes
    "anger": (-0.4, -0.3, -0.8, -0.8, 0.2),
    "disgust": (-0.6, 0.1, -0.6, -0.4, -0.6),
    "fear": (-0.4, 0.5, 0.6, 0.7, 0.8),
    "happiness": (0.9, 0.3, 0.0, 0.0, -0.4),
    "sadness": (-0.7, -0.3, 0.1, 0.7, -0.5),
    "surprise": (0.1, 0.7, 0.9, 0.1, 0.8),
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0),
    "calm": (0.3, -0.2, 0.1, 0.1, -0.2),
    "contempt": (0.4, -0.6, 0.3, -0.5, -0.6),
}
UNSHOWN = frozenset({("baum1s", "contempt")})  # a state outside its classes, without a face since version 1
NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0)  # boredom, thinking and other states outside the benchmarks' classes


@dataclass(frozen=True)
class Factors:
    """What the voice and the face of one clip show."""

    voice: Voice
    face: Expression


def generator(*key: object) -> np.random.Generator:
    """The same numbers for the same key, on every machine."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def draw(corpus: str, seed: int, person: str, label: str | None, name: str) -> npt.NDArray[np.float64]:
    """The ten factors of a clip, five of the voice and five of the face."""
    face = NOTHING if (corpus, label) in UNSHOWN else FACES.get(label or "", NOTHING)
    mean = np.array((*VOICES.get(label or "", NOTHING), *face))
    habit = generator(corpus, seed, person, "habit").normal(0, HABIT, 10)
    way = generator(corpus, seed, person, label, "way").normal(0, WAY, 10)
    chance = generator(corpus, seed, name, "chance").normal(0, CHANCE, 10)
    factors: npt.NDArray[np.float64] = mean + habit + way + chance
    return factors


def factors_of(values: npt.NDArray[np.float64]) -> Factors:
    """The numbers by name."""
    numbers = values.tolist()
    return Factors(Voice(*numbers[:5]), Expression(*numbers[5:]))
