"""What the media hold: a digest of each clip's content, and of its sound as decoded; remembered by file."""

import hashlib
import inspect
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt

from benchmarks.corpora import cache
from benchmarks.files import damaged
from benchmarks.pool import EndedError, each
from datasets import media, stills
from datasets.clips import Advance, Clip, DatasetError, Media, Track, file_digest
from datasets.probe import Probe, probe
from datasets.records import set_down
from datasets.roll import Clips, Medias
from datasets.scan import tied as recorded
from datasets.stills import read_still

Texts = npt.NDArray[np.bytes_]
DIGEST = "S64"  # SHA-256 in hex
NAMED = 10  # of unreadable clips
AT_ONCE = 1000  # clips that are written down together, unless a second has passed


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of one clip."""

    media: str  # of the files' bytes, and of which part of them the clip is
    sound: str  # of the decoded sound; empty for silence, and where there is none


class Contents(Mapping[str, Content]):
    """By the clip's id; in files that end with it, for there may be a million."""

    def __init__(self, ids: Texts, media: Texts, sounds: Texts) -> None:
        order = np.argsort(ids, kind="stable")
        self._ids, self._media, self._sounds = (_on_disk(told[order]) for told in (ids, media, sounds))

    @classmethod
    def of(cls, known: Mapping[str, Content]) -> "Contents":
        """The same."""
        if isinstance(known, Contents):
            return known
        told = ([*known], [one.media for one in known.values()], [one.sound for one in known.values()])
        return cls(*(np.array(texts, np.bytes_) for texts in told))

    @classmethod
    def joined(cls, parts: Sequence["Contents"]) -> "Contents":
        """Of several corpora."""
        return cls(
            *(np.concatenate(told) for told in zip(*((p._ids, p._media, p._sounds) for p in parts), strict=True))
        )

    def __getitem__(self, clip_id: str) -> Content:
        (place,) = located(np.array([clip_id], np.bytes_), self._ids).tolist()
        return Content(self._media[place].decode(), self._sounds[place].decode())

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return (one.decode() for one in self._ids)

    def media(self, some: Sequence[Media]) -> Texts:
        """What each of them holds, as `Content.media`."""
        return self._media[self._places(some)]

    def sounds(self, some: Sequence[Media]) -> Texts:
        """What each of them sounds like, as `Content.sound`."""
        return self._sounds[self._places(some)]

    def held(self, some: Sequence[Media]) -> list[str]:
        """What they hold, sorted."""
        return [one.decode() for one in np.sort(self.media(some))]

    def heard(self, some: Sequence[Media]) -> list[str]:
        """What they sound like, sorted and each once; silence is not told."""
        return [one.decode() for one in np.unique(self.sounds(some)) if one]

    def _places(self, some: Sequence[Media]) -> npt.NDArray[np.intp]:
        return located(ids(some), self._ids)


def located(asked: Texts, known: Texts, order: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.intp]:
    """Where each that is asked for stands among those known, which are sorted, or are so in that order; or an error."""
    places = np.searchsorted(known, asked, sorter=order)
    there = places < len(known)
    places[there] = places[there] if order is None else order[places[there]]
    there[there] = known[places[there]] == asked[there]
    if not there.all():
        raise KeyError(asked[~there][0].decode())
    return places


def ids(some: Sequence[Media]) -> Texts:
    """The digest of each."""
    return some.ids if isinstance(some, Medias) else np.array([one.clip_id for one in some], np.bytes_)


def _on_disk(texts: Texts) -> Texts:
    """The same, in a file of its own that the system keeps in memory while there is room."""
    return np.frombuffer(set_down([texts.data]), texts.dtype)


def contents(clips: Sequence[Clip], advance: Advance) -> Contents:
    """By the clip's id. Files that were read before and have not changed since are not read again."""
    cache().mkdir(parents=True, exist_ok=True)
    clips = Clips.of(clips)
    media, sounds = np.zeros(len(clips), DIGEST), np.zeros(len(clips), DIGEST)

    def keep(place: int, found: Content) -> None:
        media[place], sounds[place] = found.media.encode(), found.sound.encode()

    with _opened(cache() / f"contents-{_decoding()}.sqlite") as database:
        database.execute("create table if not exists contents (file text primary key, content text)")
        for place, clip in enumerate(clips):
            if before := _remembered(database, clip):
                keep(place, before)
        unknown = np.flatnonzero(media == b"")
        todo = clips.take(unknown)
        faults: list[tuple[str, str]] = []
        number = 0
        unkept: list[tuple[str, str]] = []
        kept = monotonic()
        try:
            for number, (identity, found) in enumerate(each(_read, todo), start=1):
                if isinstance(found, Content):
                    keep(int(unknown[number - 1]), found)
                    unkept.append((identity, json.dumps([found.media, found.sound])))
                else:
                    faults.append((todo[number - 1].name, found))
                if len(unkept) == AT_ONCE or monotonic() - kept > 1:
                    _keep(database, unkept)
                    kept = monotonic()
                advance(number, len(todo))
        except EndedError as error:
            faults.append((todo[number].name, str(error)))
        finally:
            _keep(database, unkept)
    if faults:
        raise DatasetError(_told(faults))
    return Contents(clips.ids, media, sounds)


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


def _remembered(database: sqlite3.Connection, clip: Clip) -> Content | None:
    found = database.execute("select content from contents where file = ?", (_identity(clip),)).fetchone()
    return Content(*json.loads(found[0])) if found else None


def _keep(database: sqlite3.Connection, unkept: list[tuple[str, str]]) -> None:
    """Many at once, for each time the disk is waited for."""
    database.execute("begin")
    database.executemany("insert or replace into contents values (?, ?)", unkept)
    database.execute("commit")
    unkept.clear()


def tied(clips: Sequence[Clip], known: Mapping[str, Content]) -> Clips:
    """Clips of the same decoded sound, in whatever container, become one recording, so that no split parts them."""
    clips = Clips.of(clips)
    _, number, count = np.unique(
        sounds := Contents.of(known).sounds(clips.media), return_inverse=True, return_counts=True
    )
    first: dict[int, Clip] = {}
    pairs = []
    alike = np.flatnonzero((count[number] > 1) & (sounds != b""))
    for sound, clip in zip(number[alike].tolist(), clips.take(alike), strict=True):
        twin = first.setdefault(sound, clip)
        if (twin.label, twin.subject) != (clip.label, clip.subject):
            raise DatasetError(
                f"contradictory: {clip.name} sounds as {twin.name} does, yet it is {clip.label} of subject "
                f"{clip.subject} here, {twin.label} of {twin.subject} there; exclude one with --exclude FILE"
            )
        pairs.append((twin.recording or twin.name, clip.recording or clip.name))
    return recorded(clips, pairs)


def corpus_digest(clips: Sequence[Clip], known: Mapping[str, Content]) -> str:
    """Of everything that a result may depend on: who says what, with which label, in which files.

    As of the JSON of one list, but written clip by clip, for there may be a million.
    """
    clips = Clips.of(clips)
    media = Contents.of(known).media(clips.media)
    order = np.argsort(media, kind="stable")
    facts = zip(media[order], clips.take(order), strict=True)
    told = hashlib.sha256(b"[")
    between = b""
    for content, same in groupby(facts, key=itemgetter(0)):
        for person, label in sorted((clip.subject or "", clip.label) for _, clip in same):
            told.update(between + json.dumps([content.decode(), person, label]).encode())
            between = b", "
    told.update(b"]")
    return told.hexdigest()


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


def _read(clip: Clip) -> tuple[str, Content | str]:
    """How its files are told apart, before they are read, and what they hold, or why nobody can tell."""
    identity, tracks = "", sorted(clip.media._tracks.items())
    try:
        identity = _identity(clip)
        sound = probe(dict(tracks)["audio"], "audio").digest if "audio" in clip.media.has else ""
        parts = [(kind, _digest(track), *_part(track)) for kind, track in tracks]
    except (DatasetError, OSError) as error:
        return identity, str(error)
    return identity, Content(hashlib.sha256(json.dumps(parts).encode()).hexdigest(), sound)


def _digest(track: Track) -> str:
    """Of the file's bytes; of a picture in a table, of its pixels, for the table holds labels too."""
    if track.offset is not None:
        return hashlib.sha256(read_still(track).tobytes()).hexdigest()
    stat = track.file.stat()
    return _digest_once(track.file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)  # many clips of IEMOCAP lie in one film
def _digest_once(file: Path, size: int, changed: int) -> str:  # noqa: ARG001  they tell a file changed in place
    return file_digest(file)
