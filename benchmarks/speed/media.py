"""How long media last, and a film of a wanted length."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, Media
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


def looped(media: Media, file: Path, wanted: float, per_second: int = PICTURES) -> Path:
    """A film of what a clip shows and says, again and again, for so many seconds; written second by second."""
    pictures = list(media.frames(per_second)) if "video" in media.has else []
    sound = (media.audio(RATE) * 32767).astype(np.int16) if "audio" in media.has else np.zeros(0, np.int16)
    with av.open(file, "w") as container:
        if pictures:
            video = container.add_stream("mpeg4", rate=per_second)
            video.height, video.width = (side // 2 * 2 for side in pictures[0].shape[:2])
            video.pix_fmt, video.bit_rate = "yuv420p", 160_000 * per_second
        if len(sound):
            audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for second in range(ceil(wanted)):
            for number in _of(second, wanted, per_second) if pictures else ():
                picture = np.ascontiguousarray(pictures[number % len(pictures)])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, per_second)
                container.mux(video.encode(frame))
            if len(sound):
                samples = _of(second, wanted, RATE)
                block = av.AudioFrame.from_ndarray(sound[samples % len(sound)][None], format="s16", layout="mono")
                block.rate, block.pts, block.time_base = RATE, int(samples[0]), Fraction(1, RATE)
                container.mux(audio.encode(block))
        container.mux([*(video.encode(None) if pictures else ()), *(audio.encode(None) if len(sound) else ())])
    return file


def _of(second: int, wanted: float, rate: int) -> npt.NDArray[np.int64]:
    """What comes in a second, by number, where all ends after those wanted."""
    return np.arange(second * rate, min((second + 1) * rate, round(wanted * rate)))
