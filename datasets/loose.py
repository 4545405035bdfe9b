"""Media of no corpus: any file, or the parts of one, as a method sees clips."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from datasets.clips import PICTURES, SOUND_ONLY, DatasetError, Media, MediaError, Track
from datasets.media import opened
from datasets.reel import Played, Reel
from datasets.scan import clip_id

FILMS = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"})
SOUNDS = SOUND_ONLY | {".aac", ".aif", ".aiff", ".m4a", ".oga", ".ogg", ".opus", ".wma"}
SUFFIXES = FILMS | SOUNDS | PICTURES


@dataclass(frozen=True)
class Loose:
    """A media file and how long its tracks last, in seconds; of a picture, 0."""

    file: Path
    media: Media
    seconds: Mapping[str, float]

    def part(self, start: float, end: float) -> Media:
        """A stretch of it as a clip of its own; nothing is cut or copied."""
        tracks = {kind: replace(track, start=start, end=end) for kind, track in self.media._tracks.items()}
        return replace(self.media, _tracks=tracks)

    def parts(self, spans: Iterable[tuple[float, float]]) -> Iterator[Media]:
        """One such clip after another, none begun before the last; their pictures are decoded once for all.

        Each is to be looked at before the next one is asked for.
        """
        with closing(Reel()) as reel:
            for span in spans:
                media = self.part(*span)
                yield Played(media.clip_id, media.has, media._tracks, reel)


def loose(file: Path) -> Loose:
    """The file with the tracks that it holds; an error says what is wrong with it."""
    if not file.is_file():
        raise DatasetError(f"there is no file {file}")
    if Track(str(file)).still:
        seconds = {"video": 0.0}
    else:
        try:
            with opened(file) as container:
                seconds = {kind: _ends(container, kind) for kind in ("audio", "video") if _plays(container, kind)}
        except (FFmpegError, OSError) as error:
            raise MediaError(file, f"cannot be decoded ({error.strerror or error})") from None
    if not seconds:
        raise MediaError(file, "holds neither sound nor picture")
    name = clip_id(str(file.resolve()), file.stat().st_size)
    return Loose(file, Media(name, frozenset(seconds), {kind: Track(str(file)) for kind in seconds}), seconds)


def media_files(folder: Path) -> list[Path]:
    """Every media file below a folder, by its suffix."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))


def _plays(container: InputContainer, kind: str) -> bool:
    """Whether there is such a track; the cover of a record is no film."""
    streams = getattr(container.streams, kind)
    return bool(streams) and not streams[0].disposition & Disposition.attached_pic


def _ends(container: InputContainer, kind: str) -> float:
    """When the track ends, from the first instant of the file; read to its end only where nothing declares it."""
    stream = getattr(container.streams, kind)[0]
    first = (container.start_time or 0) / av.time_base
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - first
    if container.duration:
        return container.duration / av.time_base
    last = max((packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts), default=0)
    with suppress(FFmpegError):  # a bare stream has one track and cannot be wound back
        container.seek(0)
    return float(last * stream.time_base) - first
