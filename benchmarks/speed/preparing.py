"""How fast clips are prepared: all methods together against a look at every whole frame, and sound against librosa.

Both ways work on the same clips in turn, a few times, and the best time of each counts. What they make is forgotten:
writing into the cache takes part in neither. Processes have one thread each, as those of a run; starting them is not
counted. Pictures are worked on by as many as there are cores, by both ways, each clip often enough that none waits long
for the others. Sound is worked on by one.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import dlib
import numpy as np
import numpy.typing as npt

from benchmarks import plugins
from benchmarks.console import Progress
from benchmarks.pool import cores, large_pages, one_thread
from benchmarks.settings import Wish, configured
from benchmarks.speed import plain_sound
from benchmarks.speed.measure import Measure, Way, alternating, taken
from datasets.base import Dataset
from datasets.clips import Media
from datasets.together import together
from methods.base import MethodError, Preparation
from methods.parts.audio import Mfcc
from methods.parts.faces import FaceTracker
from methods.parts.landmarks import find_landmarks
from methods.parts.segment_pairs import Cutting
from methods.parts.segments import starts
from methods.parts.short_term import short_term

PART = "prepare"
WINDOW, HOP = 0.050, 0.025  # seconds, of the 34 features
Sound = npt.NDArray[np.float32]
Seen = tuple[npt.NDArray[np.bool_], float]  # whether there is a face, by frame, and the seconds that they last


@dataclass(frozen=True)
class Sample:
    """How much of a corpus is measured, and how often."""

    with_picture: int = 8
    with_sound: int = 200
    times: int = 3


def measures(dataset: Dataset, progress: Progress, sample: Sample | None = None) -> Iterator[Measure]:
    """What the corpus' clips allow to be measured."""
    sample = sample or Sample()
    media = [clip.media for clip in dataset.index()]
    films = [one for one in media if "video" in one.has and not one.framed][: sample.with_picture]
    heard = [one for one in media if "audio" in one.has][: sample.with_sound]
    if films:
        with progress(f"speed of all methods on {len(films)} clips with picture"):
            yield from pictures(films, sample.times)
    if heard:
        with progress(f"speed of {len(heard)} clips' sound"):
            yield from sounds(heard, sample.times)


def pictures(films: Sequence[Media], times: int) -> Iterator[Measure]:
    """Pictures for all methods at the preset `paper`, beside dlib on every frame at full size, once for all of them.

    Then all that the methods get, sound and picture, for which there is no plain way.
    """
    names, shown = _preparing(films[0], "video")
    everything, heard = _preparing(films[0], "")
    clips = [film for film in films for _ in range(cores())]
    with _processes(cores()) as mapped:
        found, by_dlib = (list(mapped(way, films)) for way in (_followed, _looked_at))
        followed, looked_at = (np.concatenate([seen for seen, _ in told]) for told in (found, by_dlib))
        seconds = sum(lasting for _, lasting in found) * cores()
        all_of_it = partial(_prepared, heard)
        list(mapped(all_of_it, clips))  # whatever is imported, and made once
        ours, plain = alternating(
            lambda: list(mapped(partial(_prepared, shown), clips)), lambda: list(mapped(_looked_at, clips)), times
        )
        whole = min(taken(lambda: list(mapped(all_of_it, clips))) for _ in range(times))
    where = f"{len(films)} clips, {cores()} times each, on {cores()} cores, decoded once"
    yield Measure(
        PART,
        f"pictures for {', '.join(names)}: {where}",
        ours,
        "each frame decoded, dlib's detector on all of it (not enlarged), landmarks",
        plain,
        seconds,
        note=f"dlib finds a face in {looked_at.sum()} of {len(looked_at)} frames; of {(followed == looked_at).sum()} "
        "frames both ways tell the same",
    )
    yield Measure(PART, f"pictures and sound for {', '.join(everything)}: {where}", whole, media_seconds=seconds)


@contextmanager
def _processes(count: int) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]]:
    """Something like `map`, as a run prepares."""
    large_pages()
    with ProcessPoolExecutor(count, get_context("spawn"), one_thread) as pool:
        yield pool.map


def _prepared(readers: Sequence[Preparation], film: Media) -> None:
    together(film, readers)


def sounds(heard: Sequence[Media], times: int) -> Iterator[Measure]:
    """Log-mel segments, 34 short-term features and MFCC, on one core."""
    with _processes(1) as mapped:
        yield from next(mapped(partial(_sounds, times=times), [heard]))


def _sounds(heard: Sequence[Media], times: int) -> list[Measure]:
    cutting, mfcc = Cutting(), Mfcc()
    rate = cutting.mel.rate
    slow, fast = ([one.audio(hertz) for one in heard] for hertz in (rate, mfcc.rate))
    seconds = sum(len(sound) for sound in slow) / rate

    def segments(sound: Sound) -> Any:
        return cutting.segments(cutting.mel(sound))

    def by_librosa(sound: Sound) -> Any:
        return plain_sound.log_mel_segments(sound, starts(1 + (len(sound) - 400) // 160), cutting.length)

    def features(way: Callable[..., Any]) -> Callable[[Sound], Any]:
        return partial(way, rate=rate, window=WINDOW, hop=HOP)

    whole = _all(lambda one: segments(one.audio(rate)), heard)
    decoded = min(taken(whole) for _ in range(times))
    told = [Measure(PART, "log-mel segments with deltas, decoding included", decoded, media_seconds=seconds)]
    for what, ours, name, plain, waves in (
        ("log-mel segments with deltas", segments, "librosa, segment by segment", by_librosa, slow),
        ("34 short-term features", features(short_term), plain_sound.name(), features(plain_sound.short_term), slow),
        ("MFCC at 48 kHz", mfcc, "librosa", plain_sound.mfcc, fast),
    ):
        _all(ours, waves[:1])(), _all(plain, waves[:1])()  # whatever is made once
        one, other = alternating(_all(ours, waves), _all(plain, waves), times)
        told.append(Measure(PART, what, one, name, other, seconds))
    return told


def _all(work: Callable[[Any], Any], items: Sequence[Any]) -> Way:
    def way() -> None:
        for item in items:
            work(item)

    return way


def _preparing(film: Media, modality: str) -> tuple[list[str], list[Preparation]]:
    """The methods that can prepare here what films hold, and their preparations."""
    found: dict[str, Preparation] = {}
    for name in plugins.names("methods"):
        kind = plugins.load("methods", name)
        only = modality if "audio" in film.has else "video"
        if only in ("", *kind.modalities):
            preparation = kind(*configured(name, kind, Wish("paper", only))).preparation()
            try:
                preparation(film)
            except MethodError:  # a library that it needs is not installed
                continue
            found[name] = preparation
    return list(found), list(found.values())


def _followed(film: Media) -> Seen:
    """By the tracker that all methods share."""
    told = [(face is not None, shot.until) for shot, face in film.seen(FaceTracker())]
    return np.array([seen for seen, _ in told], np.bool_), told[-1][1] if told else 0.0


def _looked_at(film: Media) -> Seen:
    """The plain way."""
    found = []
    for picture in film.frames():
        boxes = _detector()(picture, 0)
        for box in boxes[:1]:
            find_landmarks(picture, (box.left(), box.top(), box.right() + 1, box.bottom() + 1))
        found.append(bool(boxes))
    return np.array(found, np.bool_), 0.0


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()
