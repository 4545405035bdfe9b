"""How long media last, and a film of a wanted length."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np

from datasets.base import Clip, Media
from datasets.loose import loose

LOOKED_AT = 50  # clips; others are taken to last as long on average
RATE, PICTURES = 16_000, 25  # a second


def seconds(media: Media) -> float:
    """Of the longest track; a single picture lasts none, and motion capture is not looked at."""
    lengths = [0.0]
    for kind, track in media._tracks.items():
        if kind == "mocap" or track.still:
            continue
        end = track.end if track.end is not None else max(loose(track.file).seconds.values())
        lengths.append(end - track.start)
    return max(lengths)


def lasting(clips: Sequence[Clip]) -> float:
    """Seconds of all clips together."""
    some = spread(clips, LOOKED_AT)
    return sum(seconds(clip.media) for clip in some) * len(clips) / max(1, len(some))


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """So many at most, evenly from all; of as many classes as there can be."""
    by_label: dict[str, list[Clip]] = {}
    for clip in clips:
        by_label.setdefault(clip.label, []).append(clip)
    each = -(-count // max(1, len(by_label)))
    some = [of[len(of) * number // each] for number in range(each) for of in by_label.values() if number < len(of)]
    return list(dict.fromkeys(some))[:count]


def looped(media: Media, file: Path, wanted: float) -> Path:
    """A film of what a clip shows and says, again and again, for so many seconds."""
    with av.open(file, "w") as container:
        if "video" in media.has:
            pictures = list(media.frames(PICTURES))
            video = container.add_stream("mpeg4", rate=PICTURES)
            video.height, video.width = (side // 2 * 2 for side in pictures[0].shape[:2])
            video.pix_fmt, video.bit_rate = "yuv420p", 4_000_000
        if "audio" in media.has:
            audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        if "video" in media.has:
            for number, picture in enumerate(islice(cycle(pictures), round(wanted * PICTURES))):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, PICTURES)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if "audio" in media.has:
            sound = np.resize(media.audio(RATE), round(wanted * RATE))
            block = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], format="s16", layout="mono")
            block.rate, block.pts = RATE, 0
            container.mux([*audio.encode(block), *audio.encode(None)])
    return file
