"""Clips of a corpus as a roll in a file: each is made when it is asked for, so a million need little memory."""

import marshal
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from hashlib import blake2b
from itertools import chain
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, Media, Track
from datasets.records import Records, dumped

Fact = Literal["name", "subject", "session", "sentence", "split", "recording", "clip_id"]
Numbers = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint64]
Item = TypeVar("Item", Clip, Media)
FACTS: tuple[Fact, ...] = ("name", "subject", "session", "sentence", "split", "recording")
PLACES: dict[Fact, int] = {"clip_id": 0, **{fact: place for place, fact in enumerate(FACTS, start=3)}}  # in a record
KEPT = 32_768  # clips of one roll that stay in memory once made: all, of most corpora
UNTOLD = -1  # the label of a clip of which nothing but who is in it is told


class _Part(Sequence[Item]):
    """Some rows of a roll, in an order."""

    _roll: "Roll"
    _rows: Numbers

    @abstractmethod
    def take(self, which: "slice | npt.NDArray[Any]") -> Self:
        """Some of them: a slice, their places, or for each whether it is one."""

    @abstractmethod
    def _all(self) -> Iterator[Item]:
        """Each, of a few."""

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Item | Self:
        if isinstance(place, slice):
            return self.take(place)
        return next(self.take(np.array([place]))._all())

    def __iter__(self) -> Iterator[Item]:
        for begin in range(0, len(self), KEPT):  # numbers of a million would be as many objects
            yield from self[begin : begin + KEPT]._all()

    def __eq__(self, other: object) -> bool:
        alike = isinstance(other, Sequence) and len(self) == len(other)
        return alike and all(own == theirs for own, theirs in zip(self, other, strict=True))  # type: ignore[call-overload]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)}"

    @property
    def ids(self) -> npt.NDArray[np.bytes_]:
        """The digest of each clip's media."""
        return self._roll.ids[self._rows]


class Clips(_Part[Clip]):
    """Some clips. What is taken of them shares their roll, and costs no more than its places there."""

    def __init__(self, roll: "Roll", rows: Numbers, labels: Numbers) -> None:
        self._roll, self._rows, self._labels = roll, rows, labels

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> "Clips":
        """These clips; on a roll of their own, unless they are on one."""
        if isinstance(clips, Clips):
            return clips
        labels = array("i")
        roll = Roll(clips, labels)
        return cls(roll, np.arange(len(labels), dtype=np.int32), np.array(labels, np.int32))

    @classmethod
    def joined(cls, *parts: Iterable[Clip]) -> "Clips":
        """One part after the other."""
        some = [cls.of(part) for part in parts]
        some = [part for part in some if len(part)] or [cls.of(())]
        if any(part._roll is not some[0]._roll for part in some):
            return cls.of(chain(*some))
        rows, labels = (np.concatenate(told) for told in zip(*((one._rows, one._labels) for one in some), strict=True))
        return cls(some[0]._roll, rows, labels)

    def take(self, which: "slice | npt.NDArray[Any]") -> Self:
        return type(self)(self._roll, self._rows[which], self._labels[which])

    def _all(self) -> Iterator[Clip]:
        return map(self._roll.clip, self._rows.tolist(), self._labels.tolist())

    def blank(self) -> "Clips":
        """Who they show, without label, sound and picture."""
        return Clips(self._roll, self._rows, np.full_like(self._labels, UNTOLD))

    def by_name(self) -> "Clips":
        """In the order of their names."""
        return self.take(np.argsort(self._roll.texts("name")[self._rows], kind="stable"))

    def in_order(self) -> "Clips":
        """By the digest of their media, then by name."""
        return self.take(np.argsort(self._roll.ranks[self._rows], kind="stable"))

    @property
    def media(self) -> "Medias":
        """What a method may see of each."""
        return Medias(self._roll, self._rows)

    @property
    def classes(self) -> frozenset[str]:
        """All labels that there are."""
        return frozenset(self._roll.classes[label] for label in np.unique(self._labels).tolist() if label != UNTOLD)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of each; empty where it is not told."""
        told = (*self._roll.classes, "")  # UNTOLD is the last
        return tuple(told[label] for label in self._labels.tolist())

    def keys(self, fact: Fact, canonical: Callable[[str], str] = str) -> Keys:
        """For each a digest of what it states, equal where that is once it is made canonical; 0 where it says nothing.

        Of a million different texts two have one digest with a chance of one in 40 million.
        """
        return self._roll.keys(fact, canonical)[self._rows]


class Medias(_Part[Media]):
    """What may be seen of some clips: no labels."""

    def __init__(self, roll: "Roll", rows: Numbers) -> None:
        self._roll, self._rows = roll, rows

    def take(self, which: "slice | npt.NDArray[Any]") -> Self:
        return type(self)(self._roll, self._rows[which])

    def _all(self) -> Iterator[Media]:
        return map(self._roll.media, self._rows.tolist())


class Roll:
    """All that is stated of some clips, a record each, but for their labels."""

    def __init__(self, clips: Iterable[Clip], labels: "array[int]") -> None:
        """The number of each one's label is added to `labels`."""
        classes: dict[str, int] = {}

        def told() -> Iterator[bytes]:
            for clip in clips:
                labels.append(classes.setdefault(clip.label, len(classes)))
                yield dumped(_told(clip))

        self._records = Records(told())
        self.classes = tuple(classes)
        self._begin()

    def _begin(self) -> None:
        self._keys: dict[tuple[Fact, Callable[[str], str]], Keys] = {}
        self._made = lru_cache(KEPT)(partial(_read, self._records))  # these know nothing of the roll: it ends at once
        self.clip = lru_cache(KEPT)(partial(_clip, self._made, self.classes))

    def __getstate__(self) -> tuple[Records, tuple[str, ...]]:
        return self._records, self.classes

    def __setstate__(self, state: tuple[Records, tuple[str, ...]]) -> None:
        self._records, self.classes = state
        self._begin()

    def media(self, row: int) -> Media:
        """What a method may see of a clip."""
        return self._made(row)[0]

    def _column(self, fact: Fact) -> Iterator[str | None]:
        """What each states."""
        return (marshal.loads(record)[PLACES[fact]] for record in self._records)  # noqa: S302

    def keys(self, fact: Fact, canonical: Callable[[str], str]) -> Keys:
        """As `Clips.keys`, of the whole roll."""
        if (fact, canonical) not in self._keys:
            digest = lru_cache(4096)(lambda told: key(canonical(told)))  # of few persons, and of many names
            found = array("Q", (digest(told) if told else 0 for told in self._column(fact)))
            self._keys[fact, canonical] = np.array(found, np.uint64)
        return self._keys[fact, canonical]

    def texts(self, fact: Fact) -> npt.NDArray[np.bytes_]:
        """What each states, as UTF-8."""
        longest = max((len(text) for text in self._encoded(fact)), default=0)
        return np.fromiter(self._encoded(fact), f"S{max(longest, 1)}", len(self._records))

    def _encoded(self, fact: Fact) -> Iterator[bytes]:
        return ((told or "").encode(errors="surrogatepass") for told in self._column(fact))

    @cached_property
    def ids(self) -> npt.NDArray[np.bytes_]:
        """Digests of the media."""
        return self.texts("clip_id")

    @cached_property
    def ranks(self) -> Numbers:
        """Of each its place among all, by the digest of its media and then by name."""
        order = np.argsort(self.ids, kind="stable")
        same = self.ids[order][1:] == self.ids[order][:-1]  # some media stand under several names
        places = np.flatnonzero(np.append(same, False) | np.append(False, same))
        order[places] = sorted(order[places].tolist(), key=lambda row: (self.ids[row], self._made(row)[1][0]))
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order))
        return ranks


Made = tuple[Media, tuple[str | None, ...]]


def _read(records: Records, row: int) -> Made:
    """What a record tells: what a method may see, and what the corpus states."""
    clip_id, has, tracks, *stated = marshal.loads(records[row])  # noqa: S302  written by `_told`
    return Media(clip_id, _kinds(has), {kind: Track(*track) for kind, track in tracks}), tuple(stated)


def _clip(made: Callable[[int], Made], classes: tuple[str, ...], row: int, label: int) -> Clip:
    media, (name, subject, session, sentence, split, recording) = made(row)
    if label == UNTOLD:
        return Clip(Media(media.clip_id, media.has, {}), str(name), subject, "", session, sentence, split, recording)
    return Clip(media, str(name), subject, classes[label], session, sentence, split, recording)


def key(told: str) -> int:
    """A digest of a text as a number; 0 of none."""
    return int.from_bytes(fingerprint(told, 8)) if told else 0


def fingerprint(told: str, size: int = 16) -> bytes:
    """A digest of so many bytes."""
    return blake2b(told.encode(errors="surrogatepass"), digest_size=size).digest()


def _told(clip: Clip) -> tuple[Any, ...]:
    """A clip's record; `PLACES` tells what stands where."""
    media, tracks = clip.media, tuple((str(kind), parts(track)) for kind, track in clip.media._tracks.items())
    stated = (getattr(clip, fact) for fact in FACTS)
    has = tuple(sorted(map(str, media.has)))
    return str(media.clip_id), has, tracks, *(one if one is None else str(one) for one in stated)


def parts(track: Track) -> tuple[Any, ...]:
    """What a track is made of again; as plain values, for a table may have told others."""
    end, box = track.end if track.end is None else float(track.end), track.box and tuple(map(int, track.box))
    offset = track.offset if track.offset is None else int(track.offset)
    return str(track.place), float(track.start), end, str(track.side), box, offset, bool(track.framed)


@lru_cache
def _kinds(names: tuple[str, ...]) -> frozenset[str]:
    """The same object for all clips that have the same."""
    return frozenset(names)
