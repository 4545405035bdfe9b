"""Scenes to files: one sound track and one picture track in step, in the container that the path names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets.base import Planned, Recorded, Scene
from datasets.rendering.face import Appearance, Expression, Portrait
from datasets.rendering.factors import Factors, draw, factors_of, generator
from datasets.rendering.framing import around, face_box
from datasets.rendering.markers import markers
from datasets.rendering.voice import Speaker, Utterance, speak

CODECS: Mapping[str, tuple[str, str]] = {  # picture, sound
    ".mp4": ("libx264", "aac"),
    ".avi": ("mpeg4", "pcm_s16le"),
    ".flv": ("flv", "mp3"),
    ".wav": ("", "pcm_s16le"),
}
OPTIONS = {"preset": "ultrafast", "crf": "20", "threads": "1"}  # the older codecs ignore the first two
BITS_PER_PIXEL = 0.5  # for the older codecs
FLV_RATE = 44_100  # MP3 in FLV knows no 16 or 48 kHz
MOCAP_RATE = 120
STILL = Expression(0.0, 0.0, 0.0, 0.0, 0.0)
OPENING_RATE = 100
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # 0 to 6


@dataclass(frozen=True)
class Studio:
    """What all files of one stand-in share."""

    corpus: str
    seed: int
    recorded: Recorded

    def factors(self, scene: Scene) -> Factors:
        shown = scene.entry.recording or scene.entry.name
        return factors_of(draw(self.corpus, self.seed, scene.person, scene.entry.label, shown))

    def utterance(self, scene: Scene, rate: int) -> Utterance:
        """The same words for the same sentence, the same sound for the same clip in every release."""
        said = scene.entry.sentence or scene.entry.name
        return speak(
            self.factors(scene).voice,
            Speaker.of(generator(self.corpus, self.seed, scene.person, "speaker")),
            int(generator(self.corpus, said, "words").integers(1000)),
            scene.seconds,
            rate,
            generator(self.corpus, self.seed, scene.entry.name, "utterance"),
        )

    def appearance(self, person: str) -> Appearance:
        return Appearance.of(generator(self.corpus, self.seed, person, "appearance"))


@lru_cache(maxsize=8)
def portrait(studio: Studio, person: str, width: int, height: int) -> Portrait:
    """A person before the camera; drawing the still parts takes longer than a frame."""
    return Portrait(studio.appearance(person), width, height)


def write(plan: Planned, folder: Path, studio: Studio) -> None:
    """One file of the layout."""
    file = folder / plan.path
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".txt":
        _write_mocap(file, plan.scenes[0], studio)
        return
    if file.suffix == ".csv":
        _write_table(file, plan, studio)
        return
    if file.suffix == ".jpg":
        Image.fromarray(_still(plan.scenes[0], plan, studio)).save(file, quality=92)
        return
    picture_codec, sound_codec = CODECS[file.suffix]
    rate = FLV_RATE if file.suffix == ".flv" else studio.recorded.rate
    sound = _sound(plan, studio, rate)
    with av.open(file, "w") as container:
        if picture_codec:
            per_second = Fraction(studio.recorded.frames_per_second).limit_denominator(1001)
            video: Any = container.add_stream(picture_codec, rate=per_second, options=OPTIONS)
            video.width, video.height, video.pix_fmt = studio.recorded.width, studio.recorded.height, "yuv420p"
            if picture_codec != "libx264":
                video.bit_rate = int(BITS_PER_PIXEL * video.width * video.height * per_second)
        audio: Any = container.add_stream(sound_codec, rate=rate, layout="stereo" if plan.channels == 2 else "mono")
        if picture_codec:
            for index, picture in enumerate(_pictures(plan, studio, len(sound) / rate)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, 1 / per_second
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(
            np.repeat((sound * 32767).astype(np.int16), plan.channels)[None], format="s16", layout=audio.layout.name
        )
        block.rate, block.pts = rate, 0
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def _sound(plan: Planned, studio: Studio, rate: int) -> npt.NDArray[np.float32]:
    length = ceil(max(scene.start + scene.seconds for scene in plan.scenes) * rate)
    sound = np.zeros(length, dtype=np.float32)
    for scene in plan.scenes if not plan.silent else ():
        spoken = studio.utterance(scene, rate).sound
        first = round(scene.start * rate)
        sound[first : first + len(spoken)] += spoken[: length - first]
    return sound


def _pictures(plan: Planned, studio: Studio, seconds: float) -> Iterator[npt.NDArray[np.uint8]]:
    recorded = studio.recorded
    if all(scene.side == "whole" for scene in plan.scenes):
        yield from _one_person(plan.scenes, studio, recorded.width, seconds)
        return
    halves = (tuple(scene for scene in plan.scenes if scene.side == side) for side in ("left", "right"))
    views = (_one_person(scenes, studio, recorded.width // 2, seconds) for scenes in halves)
    for left, right in zip(*views, strict=True):
        yield np.concatenate((left, right), axis=1)


def _one_person(
    scenes: tuple[Scene, ...], studio: Studio, width: int, seconds: float
) -> Iterator[npt.NDArray[np.uint8]]:
    """Speaking in their scenes, listening with a still face between them."""
    per_second = studio.recorded.frames_per_second
    view = portrait(studio, scenes[0].person, width, studio.recorded.height)
    openings = [studio.utterance(scene, 16_000).opening for scene in scenes]
    faces = [studio.factors(scene).face for scene in scenes]
    for index in range(ceil(seconds * per_second)):
        moment = index / per_second
        face, speaking = STILL, 0.0
        for scene, expression, opening in zip(scenes, faces, openings, strict=True):
            if scene.start <= moment < scene.start + scene.seconds:
                at = min(int((moment - scene.start) * OPENING_RATE), len(opening) - 1)
                face, speaking = expression, float(opening[at])
        yield view.frame(face, speaking, moment)


def _still(scene: Scene, plan: Planned, studio: Studio) -> npt.NDArray[np.uint8]:
    """One picture of a silent face, at a moment of its own; close by, the head fills it."""
    recorded = studio.recorded
    shown = scene.entry.recording or scene.entry.name
    moment = float(generator(studio.corpus, studio.seed, shown, "moment").uniform(0, 10))
    size = (around(recorded.width), around(recorded.height)) if plan.close else (recorded.width, recorded.height)
    picture = portrait(studio, scene.person, *size).frame(studio.factors(scene).face, 0.0, moment)
    left, top, _, _ = face_box(*size)
    return picture[top : top + recorded.height, left : left + recorded.width] if plan.close else picture


def _write_table(file: Path, plan: Planned, studio: Studio) -> None:
    """FER2013's table: its own seven emotions, grey levels, and the part of the corpus."""
    usage = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    with file.open("w", newline="\n") as stream:
        stream.write("emotion,pixels,Usage\n")
        for scene in plan.scenes:
            grey = Image.fromarray(_still(scene, plan, studio)).convert("L")
            emotion = FER2013.index(scene.entry.label) if scene.entry.label in FER2013 else len(FER2013) - 1
            stream.write(f"{emotion},{' '.join(map(str, grey.tobytes()))},{usage[str(scene.entry.split)]}\n")


def _write_mocap(file: Path, scene: Scene, studio: Studio) -> None:
    """IEMOCAP's text format: two header lines; a marker lost for a moment is NaN."""
    appearance, face = studio.appearance(scene.person), studio.factors(scene).face
    opening = studio.utterance(scene, 16_000).opening
    rows = []
    for index in range(ceil(scene.seconds * MOCAP_RATE)):
        moment = index / MOCAP_RATE
        at = min(int(moment * OPENING_RATE), len(opening) - 1)
        values = markers(appearance, face, float(opening[at]), moment).reshape(-1)
        if index % 40 == 7:
            values[:3] = np.nan
        rows.append((index, moment, *values))
    names = " ".join(f"M{number}" for number in range(1, len(rows[0]) // 3 + 1))
    header = f"Frame# Time {names}\n" + " ".join(["-", "s", *"XYZ" * (len(rows[0]) // 3)])
    np.savetxt(file, rows, fmt="%.5f", header=header, comments="")
