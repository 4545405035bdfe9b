"""Complete decodings: is a track whole, how long is it, and what is to be heard on it?"""

import hashlib
from dataclasses import dataclass

import av
import numpy as np

from datasets.clips import MediaError, Track
from datasets.media import between, instants, interval_of, read_audio, read_mocap, reading, seek
from datasets.stills import read_still

PROBE_RATE = 16_000


@dataclass(frozen=True)
class Probe:
    """What a complete decoding of a track found."""

    seconds: float
    digest: str  # of the decoded sound; "" for picture and for silence


def probe(track: Track, kind: str) -> Probe:
    """Decode all of a track; DatasetError says what is wrong with it."""
    if kind == "mocap":
        return Probe(len(read_mocap(track)), "")
    if kind == "video":
        return Probe(_watch(track), "")
    sound = read_audio(track, PROBE_RATE)
    _complete(track, "audio", len(sound) / PROBE_RATE)
    heard = np.abs(sound).max(initial=0) > 1e-4
    return Probe(len(sound) / PROBE_RATE, hashlib.sha256(sound.round(4).tobytes()).hexdigest() if heard else "")


def _watch(track: Track) -> float:
    """The seconds of picture, each frame decoded but none converted."""
    if track.still:
        read_still(track)
        return 0.0
    last = -1.0
    with reading(track.file, "video") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        seek(container, track, stream)
        for instant, frame in between(instants(container.decode(stream), container, track), track):
            if frame.is_corrupt:
                raise MediaError(track.file, f"is damaged {instant:.1f} seconds in; get the file again")
            last = instant
        interval = interval_of(container)
    if last < 0:
        raise MediaError(track.file, "has no picture in its video track; get the file again")
    seconds = last + interval - track.start
    _complete(track, "video", seconds)
    return seconds


def _complete(track: Track, kind: str, seconds: float) -> None:
    """A file cut short still opens if its header stands in front: compare with what that declares."""
    with track.file.open("rb") as file:  # a .wav's duration is reckoned from the bytes that are left
        mark, size = file.read(4), int.from_bytes(file.read(4), "little")
    there = track.file.stat().st_size
    if mark == b"RIFF" and size < 2**32 - 1 and there < 0.95 * size:
        raise MediaError(track.file, f"ends after {there} of {size + 8} bytes; get the file again")
    with reading(track.file, kind) as container:
        stream = getattr(container.streams, kind)[0]
        whole = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / av.time_base
    declared = float(whole) - track.start if track.end is None else track.end - track.start
    if seconds < 0.95 * declared - 0.1:
        raise MediaError(track.file, f"ends after {seconds:.1f} of {declared:.1f} seconds; get the file again")
