"""Decoding with PyAV: any container, sample rate, channel count, frame rate and rotation, one frame at a time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from datasets.clips import DatasetError, MediaError, Side, Track
from datasets.shots import Item, Picture, Shot, Through, sampled, sealed, timed
from datasets.stills import LARGEST, read_still

Sound = npt.NDArray[np.float32]
LUMA_FIRST = frozenset({"gray", "nv12", "nv21", *(f"yuv{j}{kind}p" for j in ("", "j") for kind in (420, 422, 444))})
LOWEST_RATE = 8_000  # of sound whose frames do not tell theirs
BEFORE = 1  # seconds before a part to which a seek goes
LONGEST = 600.0  # seconds of a clip: nobody speaks an emotion for longer, and its sound and faces would fill gigabytes
EARLY = 10.0  # seconds before a part of a file that are decoded with it; where tracks lie apart, a seek ends far before
LATEST = 1e6  # seconds at which a clip may begin in its file
LOUDEST = 1e6  # of a sample; full scale is 1, or 32,768 where somebody forgot to divide
NO_MEDIA = frozenset({"concat", "dash", "hls", "imf", "rtp", "rtsp", "sdp"})  # lists of other files, or of addresses


Heard = Iterable[tuple[float, AudioFrame | None]]  # the instant of the first sample, and what was decoded
Timed = tuple[float, VideoFrame]  # the instant, in seconds from the beginning of the file, and what was decoded


def listen(track: Track) -> Iterator[tuple[float, AudioFrame | None]]:
    """Decode the sound of a track; nothing but an instant, if it begins behind the track's end."""
    check_part(track)
    with reading(track.file, "audio") as container:
        stream = container.streams.audio[0]
        seek(container, track, stream)
        first: float | None = None
        played = 0.0  # seconds behind track.start
        for frame in container.decode(stream):
            instant = _seconds(frame, container)
            if track.end is not None and instant >= track.end:
                if first is None:
                    yield track.end, None
                return
            if instant < track.start - EARLY:
                continue
            if first is None:
                first, played = instant, instant - track.start
            played += frame.samples / (frame.sample_rate or LOWEST_RATE)
            _check_length(track, "sound", played)
            frame.pts = None  # the resampler would stop at a gap in the time stamps
            yield first, frame
        if first is None:
            since = f" from {track.start:g} seconds on" if track.start else ""
            raise MediaError(track.file, f"has an audio track without a single sample{since}; get the file again")


def resampled(heard: Heard, track: Track, rate: int) -> Sound:
    """Mono sound, the mean of the channels; silence fills what it lacks at the front of the picture."""
    if rate < 1:
        raise DatasetError(f"rate must be at least 1 sample a second, but got {rate}")
    resampler = av.AudioResampler(format="fltp", rate=rate)
    parts, first = [np.zeros(0, np.float32)], 0.0
    for first, frame in heard:  # noqa: B007  it is the same for all
        if frame:
            parts.extend(_mono(part) for part in resampler.resample(frame))
    parts.extend(_mono(part) for part in resampler.resample(None))
    return _checked(_cut(np.concatenate(parts), first, track, rate), track)


def read_audio(track: Track, rate: int) -> Sound:
    """Mono sound at a rate; nothing else of it is held."""
    return resampled(listen(track), track, rate)


def _mono(frame: AudioFrame) -> Sound:
    samples: Sound = frame.to_ndarray().mean(axis=0, dtype=np.float32)
    return samples


def _cut(sound: Sound, first: float, track: Track, rate: int) -> Sound:
    """From track.start to track.end, where sound[0] belongs to the instant `first`."""
    offset = round((first - track.start) * rate)
    sound = np.pad(sound, (offset, 0)) if offset > 0 else sound[-offset:]
    return sound if track.end is None else sound[: round((track.end - track.start) * rate)]


def _checked(sound: Sound, track: Track) -> Sound:
    """Whether its samples are numbers of which features can be made."""
    peak = np.abs(sound).max(initial=0.0)
    if not peak <= LOUDEST:  # of samples that are no numbers, the maximum is none
        raise MediaError(track.file, f"has a sample of {peak:g}, where full scale is 1; get the file again")
    return sound


def check_part(track: Track) -> None:
    """Annotations say which part of a file is a clip."""
    start, end = track.start, track.end
    if not 0 <= start <= LATEST or (end is not None and not 0 < end - start <= LONGEST):
        until = "its end" if end is None else f"{end:g}"
        raise MediaError(track.file, f"cannot be cut from {start:g} to {until} seconds; mend the annotation")


def _check_length(track: Track, what: str, seconds: float) -> None:
    """Also where time stamps jump: what a clip lacks in between is filled."""
    if seconds > LONGEST:
        told = f"{seconds:.0f} seconds in, but a clip lasts {LONGEST:.0f} at most"
        raise MediaError(track.file, f"has {what} {told}; cut it into clips, or get the file again")


@dataclass(frozen=True, eq=False)
class Filmed(Shot):
    """A picture of a film, converted when somebody asks."""

    decoded: VideoFrame
    side: Side
    converter: VideoReformatter  # one for the film: preparing it takes longer than converting

    @cached_property
    def picture(self) -> Picture:
        rows = _rows(self.converter.reformat(self.decoded, format="rgb24"), 3)
        return sealed(np.ascontiguousarray(self._cut(rows.reshape(len(rows), -1, 3))))

    @cached_property
    def grey(self) -> Picture:
        """Brightness, where the film keeps it apart: then no colours are made."""
        if self.decoded.format.name not in LUMA_FIRST:
            return super().grey
        return sealed(self._cut(_rows(self.decoded, 1)))

    def _cut(self, picture: Picture) -> Picture:
        """Upright, and what of it belongs to the track."""
        upright = np.rot90(picture, k=round(self.decoded.rotation / 90)) if self.decoded.rotation else picture
        half = upright.shape[1] // 2
        columns = {"whole": slice(None), "left": slice(half), "right": slice(half, None)}[self.side]
        return upright[:, columns]


def read_shots(track: Track) -> Iterator[Shot]:
    """All pictures of a track, each decoded when it is asked for."""
    if track.still:
        yield Shot(read_still(track), 0.0)
        return
    with playing(track) as (frames, interval):
        yield from filmed(between(frames, track), track, interval)


@contextmanager
def playing(track: Track) -> Iterator[tuple[Iterator[Timed], float]]:
    """What a film is decoded to, from somewhat before the track begins; and seconds from one picture to the next."""
    check_part(track)
    with reading(track.file, "video") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # clips are worked on at once, and each thread would hold pictures
        seek(container, track, stream)
        yield instants(container.decode(stream), container, track), interval_of(container)


def filmed(frames: Iterator[Timed], track: Track, interval: float = 0.0) -> Iterator[Shot]:
    """The pictures of a track, each until the next one comes; the last until the track's end, else for an interval."""
    converter = VideoReformatter()
    last: Timed | None = None
    for instant, frame in frames:
        if last:
            yield Filmed(last[1], instant - track.start, track.side, converter)
        last = instant, frame
    if last:
        end = max(last[0], track.start) + interval if track.end is None else track.end
        yield Filmed(last[1], end - track.start, track.side, converter)


def _rows(frame: VideoFrame, depth: int) -> Picture:
    """The bytes of its first plane as they lie there [height, width * depth]."""
    plane = frame.planes[0]
    whole = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return whole[: frame.height, : frame.width * depth]


def read_frames(track: Track, per_second: float | None) -> Iterator[Picture]:
    """As stored, or resampled by time stamps: at each instant the picture that is on the screen then."""
    for shot in read_through(track, per_second, iter, read_shots):
        yield np.array(shot.picture)


def read_through(
    track: Track, per_second: float | None, through: Through[Item], shots: Callable[[Track], Iterator[Shot]]
) -> Iterator[Item]:
    """What something makes of all pictures, resampled."""
    yield from sampled(timed(shots(track), through), rate_of(track, per_second))


def rate_of(track: Track, per_second: float | None) -> float | None:
    """A still is one picture at any rate."""
    if per_second is not None and per_second <= 0:
        raise DatasetError(f"per_second must be above 0, but got {per_second}")
    return None if track.still else per_second


def instants(frames: Iterator[VideoFrame], container: InputContainer, track: Track) -> Iterator[Timed]:
    """Each frame with its instant."""
    for number, frame in enumerate(frames):
        if frame.width * frame.height > LARGEST:
            size = f"{frame.width} x {frame.height} pixels, {LARGEST // 10**6} million in all are the most"
            raise MediaError(track.file, f"has a picture of {size}; make it smaller")
        yield number * interval_of(container) if frame.time is None else _seconds(frame, container), frame


def between(frames: Iterator[Timed], track: Track) -> Iterator[Timed]:
    """From the one on the screen at track.start to the last before track.end."""
    before: Timed | None = None
    for instant, frame in frames:
        _check_length(track, "picture", instant - track.start)
        if track.end is not None and instant >= track.end:
            break
        if instant <= track.start:
            before = (instant, frame)
            continue
        if before:
            yield before
            before = None
        yield instant, frame
    if before:
        yield before


def interval_of(container: InputContainer) -> float:
    """From one picture to the next, in seconds, as far as one can tell."""
    stream = container.streams.video[0]
    return min(float(1 / (stream.average_rate or stream.guessed_rate or 25)), LONGEST)


def _seconds(frame: AudioFrame | VideoFrame, container: InputContainer) -> float:
    """The frame's instant, counted from the first instant of the file."""
    start = (container.start_time or 0) / av.time_base
    return 0.0 if frame.time is None else frame.time - start


def seek(container: InputContainer, track: Track, stream: AudioStream | VideoStream) -> None:
    """In the stream's own time: sound is cut anywhere, and whole pictures of a film may be an hour apart."""
    if track.start > BEFORE and stream.time_base:
        begin = track.start - BEFORE + (container.start_time or 0) / av.time_base
        container.seek(int(begin / stream.time_base), stream=stream)


def opened(file: Path) -> InputContainer:
    """Any kind of media file, but no list of others; what it says of itself may be in any encoding."""
    return av.open(file, options={"format_whitelist": _formats()}, metadata_errors="replace")


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - NO_MEDIA))


@contextmanager
def reading(file: Path, kind: str) -> Iterator[InputContainer]:
    """A file that holds a track of a kind; what keeps it from being decoded, in one line."""
    try:
        with opened(file) as container:
            if not getattr(container.streams, kind):
                there = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                raise MediaError(file, f"has no {kind} track, only {there}")
            yield container
    except (FFmpegError, OSError) as error:
        raise MediaError(file, f"cannot be decoded ({error.strerror or error}); get the file again") from error


def read_mocap(track: Track) -> npt.NDArray[np.float32]:
    """IEMOCAP's text: two header lines, then frame, time and the markers' coordinates, gaps as NaN."""
    try:
        rows = track.file.read_text().splitlines()[2:]
        values = np.loadtxt(rows, ndmin=2, dtype=np.float32) if any(rows) else np.empty((0, 0), np.float32)
    except OSError as error:
        raise MediaError(track.file, f"cannot be read ({error.strerror}); get the file again") from error
    except ValueError as error:
        raise MediaError(track.file, f"is not motion capture text ({error}); get the file again") from error
    if not values[:, 2:].size:
        raise MediaError(track.file, "has no markers below its two header lines; get the file again")
    if np.isinf(values).any():
        raise MediaError(track.file, "has a marker that is infinitely far away; get the file again")
    return values[:, 2:]
