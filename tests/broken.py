"""A corpus of bad media: what a collection on somebody's disk may hold and no corpus was published with.

Small, the same at every writing, made in seconds with PyAV and numpy; faces and voices come from `datasets.rendering`.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from datasets.base import Entry, Recorded, Scene
from datasets.rendering.face import Expression
from datasets.rendering.film import Studio, portrait

Sound = npt.NDArray[np.float32]  # [channels, samples]
Picture = npt.NDArray[np.uint8]
SHOWN = tuple[float, Picture]  # from when on, and what
RATE, SIDE, PER_SECOND, SECONDS = 16_000, 160, 10, 1.0
HOURS = 3 * 3600.0
LONG = 3600
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
STUDIO = Studio("broken", 0, Recorded(RATE, SIDE, SIDE, PER_SECOND))
CUTS = tuple(range(1, 10))  # tenths that are left


@cache
def voice() -> Sound:
    """Somebody speaks for a second."""
    scene = Scene(Entry("said", "Ann", "anger"), "Ann", SECONDS)
    return STUDIO.utterance(scene, RATE).sound[None, : round(SECONDS * RATE)]


@cache
def face(person: str = "Ann", side: int = SIDE) -> tuple[Picture, ...]:
    """Somebody seen for a second."""
    seen, still = portrait(STUDIO, person, side, side), Expression(0.5, 0.0, 0.0, 0.0, 0.0)
    return tuple(seen.frame(still, 0.5 * (number % 2), number / PER_SECOND) for number in range(PER_SECOND))


def steady(pictures: Iterable[Picture], per_second: float = PER_SECOND) -> Iterator[SHOWN]:
    """One after the other."""
    return ((number / per_second, picture) for number, picture in enumerate(pictures))


def grey(level: int, width: int = SIDE, height: int = SIDE) -> Picture:
    return np.full((height, width, 3), level, np.uint8)


def film(
    file: Path,
    shown: Iterable[SHOWN] = (),
    sound: Sound | None = None,
    rate: int = RATE,
    codecs: tuple[str, str] = ("libx264", "pcm_s16le"),
    late: float = 0.0,
    pixels: str = "yuv420p",
) -> None:
    """Pictures from given instants on, and sound that begins so many seconds late; either may be missing."""
    pictures = iter(shown)
    first = next(pictures, None)
    with av.open(file, "w") as container:
        video: Any = None
        if first:
            video = container.add_stream(codecs[0], rate=PER_SECOND, options={"preset": "ultrafast", "threads": "1"})
            video.height, video.width = first[1].shape[:2]
            video.pix_fmt, video.time_base = pixels, Fraction(1, 1000)
            video.codec_context.time_base = Fraction(1, PER_SECOND if codecs[0] == "mpeg4" else 1000)
        audio: Any = None
        if sound is not None:
            audio = container.add_stream(codecs[1], rate=rate, layout=LAYOUTS[len(sound)])
        if video and first:
            for instant, picture in (first, *pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base = video.codec_context.time_base
                frame.pts = round(instant / frame.time_base)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio and sound is not None:
            for start in range(0, sound.shape[1], 1 << 20):
                block = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(sound[:, start : start + (1 << 20)]), "fltp", LAYOUTS[len(sound)]
                )
                block.rate, block.time_base, block.pts = rate, Fraction(1, rate), start + round(late * rate)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))


def talk(file: Path) -> None:
    """What nothing is wrong with; of an .avi the header stands in front, of an .mp4 behind."""
    old = file.suffix == ".avi"
    film(file, steady(face()), voice(), codecs=("mpeg4", "pcm_s16le") if old else ("libx264", "aac"))


def tone(file: Path, rate: int = RATE, channels: int = 1, seconds: float = SECONDS) -> None:
    """A sound file."""
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
    film(file, sound=np.tile(wave.astype(np.float32), (channels, 1)), rate=rate)


def samples(file: Path, wave: Iterable[float], at: int = 4000) -> None:
    """A voice with other samples in it, as floating-point numbers."""
    sound = voice().copy()
    there = np.fromiter(wave, np.float32)
    sound[0, at : at + len(there)] = there
    film(file, sound=sound, codecs=("", "pcm_f32le"))


def cut(file: Path, tenths: int) -> None:
    """The beginning of it."""
    talk(file) if file.suffix != ".wav" else tone(file)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * tenths // 10])


def zeroed(file: Path, begin: float, end: float) -> None:
    """Zeros from one share of the file to another."""
    talk(file) if file.suffix != ".wav" else tone(file)
    content = bytearray(file.read_bytes())
    first, last = round(begin * len(content)), max(round(end * len(content)), 64 if begin == 0 else 0)
    content[first:last] = bytes(last - first)
    file.write_bytes(content)


def called(file: Path, suffix: str, write: Callable[[Path], None]) -> None:
    """Written as one kind of file, named as another."""
    other = file.with_suffix(suffix)
    write(other)
    other.rename(file)


def turned(file: Path) -> None:
    """A phone held upright: a quarter turn stands in the track's header."""
    film(file, steady(np.rot90(picture, k=1) for picture in face()), voice(), codecs=("libx264", "aac"))
    content = file.read_bytes()
    one, zero, minus = (value.to_bytes(4, "big", signed=True) for value in (0x10000, 0, -0x10000))
    at = content.index(one + zero * 3 + one + zero * 3, content.index(b"tkhd"))
    file.write_bytes(content[:at] + zero + one + zero + minus + zero + content[at + 20 :])


def still(file: Path, width: int, height: int) -> None:
    """A PNG that claims to be so large; a few bytes of it are there."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")
    )


def huge(file: Path, width: int, height: int) -> None:
    """A film of one black picture, a bit a pixel."""
    with av.open(file, "w") as container:
        video: Any = container.add_stream("png", rate=PER_SECOND)
        video.width, video.height, video.pix_fmt = width, height, "monob"
        container.mux(video.encode(av.VideoFrame(width, height, "monob")))
        container.mux(video.encode(None))


def hour(file: Path) -> None:
    """A picture a second, and low sound: an hour of it in a second."""
    one = np.zeros((1, LONG * 8000), np.float32)
    film(file, steady((grey(90, 32, 32) for _ in range(LONG)), 1), one, 8000, ("libx264", "flac"))


def soundless(file: Path) -> None:
    """A header with nothing below it."""
    tone(file)
    file.write_bytes(file.read_bytes()[:36] + b"data" + bytes(4))


def titled(file: Path) -> None:
    """A note of its title, as programs wrote it that knew one alphabet."""
    tone(file)
    note = b"INFOINAM" + struct.pack("<I", 6) + "Fr\xe4ul\0".encode("latin-1")
    content = file.read_bytes() + b"LIST" + struct.pack("<I", len(note)) + note
    file.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


def playlist(file: Path) -> None:
    """Not media but a list of media, and of itself first."""
    file.write_text(f"ffconcat version 1.0\nfile {file.name}\nfile {file.name}\n")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, and how it is written."""

    name: str
    suffix: str
    write: Callable[[Path], None]


def _of(name: str, suffix: str, write: Callable[..., None], *more: Any, **others: Any) -> Fault:
    return Fault(name, suffix, lambda file: write(file, *more, **others))


def _black() -> Iterator[SHOWN]:
    return steady([grey(0)] * PER_SECOND)


def _pair() -> Iterator[SHOWN]:
    return steady(np.concatenate(both, axis=1) for both in zip(face("Ann"), face("Ben"), strict=True))


def _wall() -> Iterator[SHOWN]:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
    return steady([noise.repeat(8, axis=0).repeat(8, axis=1)] * PER_SECOND)


def _uneven() -> Iterator[SHOWN]:
    return zip(np.cumsum([0.0, 0.02, 0.3, 0.01, 0.2, 0.05, 0.15, 0.02, 0.1, 0.1]).tolist(), face(), strict=True)


def _gap() -> Iterator[SHOWN]:
    return ((instant + HOURS * (instant >= 0.5), picture) for instant, picture in steady(face()))


def _shrunk(width: int, height: int) -> Iterator[SHOWN]:
    rows, columns = (np.linspace(0, SIDE - 1, size).astype(np.intp) for size in (height, width))
    return steady(picture[rows][:, columns] for picture in face())


LOSSLESS, MODERN = ("ffv1", "pcm_s16le"), ("libx264", "aac")
FAULTS: tuple[Fault, ...] = (
    *(_of(f"mp4-cut-at-{tenths}-tenths", ".mp4", cut, tenths) for tenths in CUTS),
    *(_of(f"avi-cut-at-{tenths}-tenths", ".avi", cut, tenths) for tenths in CUTS),
    *(_of(f"wav-cut-at-{tenths}-tenths", ".wav", cut, tenths) for tenths in CUTS),
    *(_of(f"{suffix[1:]}-zeroed-header", suffix, zeroed, 0, 0) for suffix in (".mp4", ".avi", ".wav")),
    *(_of(f"{suffix[1:]}-zeroed-middle", suffix, zeroed, 0.4, 0.6) for suffix in (".mp4", ".avi")),
    *(_of(f"{suffix[1:]}-zeroed-end", suffix, zeroed, 0.8, 1.0) for suffix in (".mp4", ".avi")),
    _of("empty", ".mp4", lambda file: file.write_bytes(b"")),
    _of("text", ".mp4", lambda file: file.write_text("a letter to the editor\n" * 40)),
    _of("noise", ".avi", lambda file: file.write_bytes(np.random.default_rng(1).bytes(20_000))),
    _of("playlist-of-itself", ".mp4", playlist),
    _of("sound-called-film", ".mp4", called, ".wav", tone),
    _of("film-called-sound", ".wav", called, ".mp4", talk),
    _of("picture-called-film", ".mp4", called, ".png", lambda file: still(file, 8, 8)),
    _of("mp4-called-avi", ".avi", called, ".mp4", talk),
    _of("raw-h264-called-avi", ".avi", called, ".h264", lambda file: film(file, steady(face()))),
    _of("no-audio", ".mp4", lambda file: film(file, steady(face()))),
    _of("no-video", ".mp4", lambda file: film(file, sound=voice(), codecs=("", "aac"))),
    _of("one-frame", ".mp4", lambda file: film(file, steady(face()[:1]), voice(), codecs=MODERN)),
    _of("one-frame-one-sample", ".mkv", lambda file: film(file, steady(face()[:1]), voice()[:, :1])),
    _of("one-sample", ".wav", tone, seconds=1 / RATE),
    _of("no-sample", ".wav", soundless),
    _of("title-in-latin-1", ".wav", titled),
    _of("8-kHz", ".wav", tone, 8_000),
    _of("96-kHz", ".wav", tone, 96_000),
    _of("6-channels", ".wav", tone, 48_000, 6),
    _of("not-a-number", ".wav", samples, [np.nan]),
    _of("infinite", ".wav", samples, [np.inf, -np.inf]),
    _of("far-too-loud", ".wav", samples, [1e30, -1e30]),
    _of("silence", ".mp4", lambda file: film(file, steady(face()), 0 * voice(), codecs=MODERN)),
    _of("silence", ".wav", lambda file: film(file, sound=0 * voice())),
    _of("black", ".mp4", lambda file: film(file, _black(), voice(), codecs=MODERN)),
    _of("no-face", ".mp4", lambda file: film(file, _wall(), voice(), codecs=MODERN)),
    _of("two-faces", ".mp4", lambda file: film(file, _pair(), voice(), codecs=MODERN)),
    _of("rotated", ".mp4", turned),
    _of("variable-rate", ".mkv", lambda file: film(file, _uneven(), voice())),
    _of("gap-of-hours", ".mkv", lambda file: film(file, _gap(), voice())),
    _of("gap-of-hours", ".mp4", lambda file: film(file, _gap(), voice(), codecs=MODERN)),
    _of("sound-hours-late", ".mkv", lambda file: film(file, steady(face()), voice(), late=HOURS)),
    _of("sound-hours-late", ".mp4", lambda file: film(file, steady(face()), voice(), codecs=MODERN, late=HOURS)),
    _of("4K", ".mp4", lambda file: film(file, steady([grey(40, 3840, 2160)] * 3), voice(), codecs=MODERN)),
    _of("odd-size", ".mkv", lambda file: film(file, _shrunk(127, 95), voice(), codecs=LOSSLESS, pixels="bgr0")),
    _of("one-pixel", ".mkv", lambda file: film(file, _shrunk(1, 1), voice(), codecs=LOSSLESS, pixels="bgr0")),
    _of("hair-line", ".mkv", lambda file: film(file, _shrunk(2, 2000), voice(), codecs=LOSSLESS, pixels="bgr0")),
    _of("12000-x-9000", ".avi", huge, 12_000, 9_000),
    _of("an-hour", ".mkv", hour),
)  # fmt: skip


def written(folder: Path) -> Mapping[str, Path]:
    """All of them, by name, below a folder."""
    made = {}
    for fault in FAULTS:
        file = folder / f"{fault.name}{fault.suffix}"
        fault.write(file)
        made[file.name] = file
    return made
