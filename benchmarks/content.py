"""What the media hold: a digest of each clip's content, and of its sound as decoded; remembered by file."""

import hashlib
import inspect
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from benchmarks.corpora import cache
from benchmarks.files import damaged
from benchmarks.pool import EndedError, each
from datasets import media, stills
from datasets.clips import Advance, Clip, DatasetError, Track, file_digest, tie
from datasets.probe import Probe, probe
from datasets.stills import read_still

NAMED = 10  # of unreadable clips


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of one clip."""

    media: str  # of the files' bytes, and of which part of them the clip is
    sound: str  # of the decoded sound; empty for silence, and where there is none


def contents(clips: Sequence[Clip], advance: Advance) -> dict[str, Content]:
    """By the clip's id. Files that were read before and have not changed since are not read again."""
    cache().mkdir(parents=True, exist_ok=True)
    with _opened(cache() / f"contents-{_decoding()}.sqlite") as database:
        database.execute("create table if not exists contents (file text primary key, content text)")
        known, unknown, identities = _remembered(database, clips)
        faults: list[tuple[str, str]] = []
        number = 0
        unkept: list[tuple[str, str]] = []
        kept = monotonic()
        try:
            read = zip(unknown, identities, each(_read, unknown), strict=True)
            for number, (clip, identity, found) in enumerate(read, start=1):
                if isinstance(found, Content):
                    known[clip.media.clip_id] = found
                    unkept.append((identity, json.dumps([found.media, found.sound])))
                else:
                    faults.append((clip.name, found))
                if monotonic() - kept > 1:
                    _keep(database, unkept)
                    kept = monotonic()
                advance(number, len(unknown))
        except EndedError as error:
            faults.append((unknown[number].name, str(error)))
        finally:
            _keep(database, unkept)
    if faults:
        raise DatasetError(_told(faults))
    return known


def _decoding() -> str:
    """What decodes, for other code may find faults where this one finds none."""
    texts = [Path(inspect.getfile(module)).read_bytes() for module in (media, stills, Probe)]
    return f"{version('av')}-{hashlib.sha256(b''.join(texts)).hexdigest()[:8]}"


def _told(faults: Sequence[tuple[str, str]]) -> str:
    """The first fault in full, and the names of a few more, so that all of them can be excluded at once."""
    (first, why), *others = faults
    named = ", ".join(name for name, _ in others[: NAMED - 1])
    more = f" and {len(faults) - NAMED} more, which check names" if len(faults) > NAMED else ""
    also = f"; unreadable too: {named}{more}" if named else ""
    return f"unreadable: {first}: {why}; or exclude it by name with --exclude FILE{also}"


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """What keeps it from being read or written, in one line."""
    try:
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as database:
            yield database
    except sqlite3.Error as error:
        raise damaged(error, file) from None


def _remembered(
    database: sqlite3.Connection, clips: Sequence[Clip]
) -> tuple[dict[str, Content], list[Clip], list[str]]:
    """What is known by the clip's id; and what is not, with how its files are told apart."""
    known, unknown, identities = dict[str, Content](), list[Clip](), list[str]()
    for clip in clips:
        identity = _identity(clip)
        found = database.execute("select content from contents where file = ?", (identity,)).fetchone()
        if found:
            known[clip.media.clip_id] = Content(*json.loads(found[0]))
        else:
            unknown.append(clip)
            identities.append(identity)
    return known, unknown, identities


def _keep(database: sqlite3.Connection, unkept: list[tuple[str, str]]) -> None:
    """Many at once, for each time the disk is waited for."""
    database.execute("begin")
    database.executemany("insert or replace into contents values (?, ?)", unkept)
    database.execute("commit")
    unkept.clear()


def tied(clips: Sequence[Clip], known: Mapping[str, Content]) -> list[Clip]:
    """Clips of the same decoded sound, in whatever container, become one recording, so that no split parts them."""
    first: dict[str, Clip] = {}
    pairs = []
    for clip in clips:
        if sound := known[clip.media.clip_id].sound:
            twin = first.setdefault(sound, clip)
            if (twin.label, twin.subject) != (clip.label, clip.subject):
                raise DatasetError(
                    f"contradictory: {clip.name} sounds as {twin.name} does, yet it is {clip.label} of subject "
                    f"{clip.subject} here, {twin.label} of {twin.subject} there; exclude one with --exclude FILE"
                )
            pairs.append((twin.recording or twin.name, clip.recording or clip.name))
    one = tie(pairs)
    return [replace(clip, recording=one.get(own := clip.recording or clip.name, own)) for clip in clips]


def corpus_digest(clips: Sequence[Clip], known: Mapping[str, Content]) -> str:
    """Of everything that a result may depend on: who says what, with which label, in which files."""
    facts = sorted((known[clip.media.clip_id].media, clip.subject or "", clip.label) for clip in clips)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _identity(clip: Clip) -> str:
    return json.dumps(list(_files(clip)))


def _files(clip: Clip) -> Iterator[tuple[object, ...]]:
    for kind, track in sorted(clip.media._tracks.items()):
        stat = track.file.stat()
        place = str(track.file.resolve()), stat.st_size, stat.st_mtime_ns
        yield (kind, *place, *_part(track), *([] if track.offset is None else [track.offset]))


def _part(track: Track) -> tuple[object, ...]:
    """Which part of its file it is; only single pictures have boxes."""
    return (
        track.start,
        track.end,
        track.side,
        *([] if track.box is None else [track.box]),
        *(["framed"] if track.framed else []),
    )


def _read(clip: Clip) -> Content | str:
    tracks = sorted(clip.media._tracks.items())
    try:
        sound = probe(dict(tracks)["audio"], "audio").digest if "audio" in clip.media.has else ""
        parts = [(kind, _digest(track), *_part(track)) for kind, track in tracks]
    except (DatasetError, OSError) as error:
        return str(error)
    return Content(hashlib.sha256(json.dumps(parts).encode()).hexdigest(), sound)


def _digest(track: Track) -> str:
    """Of the file's bytes; of a picture in a table, of its pixels, for the table holds labels too."""
    if track.offset is not None:
        return hashlib.sha256(read_still(track).tobytes()).hexdigest()
    stat = track.file.stat()
    return _digest_once(track.file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)  # many clips of IEMOCAP lie in one film
def _digest_once(file: Path, size: int, changed: int) -> str:  # noqa: ARG001  they tell a file changed in place
    return file_digest(file)
