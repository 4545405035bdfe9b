"""Several readers of one clip, as if each were alone with it: its sound and its picture are decoded once for all.

Each reader has a thread of its own, and one of them runs at a time. Every few pictures it waits until all who look at
the picture have come as far: so no more pictures are held than these, however long the clip. Who has ended, or looks no
longer, is waited for no more; who looks again, or from a thread of its own making, decodes for itself.
"""

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from threading import Condition, RLock, Thread, get_ident
from typing import Any, Generic, TypeVar

from datasets.clips import Media
from datasets.media import Heard, Sound, listen, rate_of, read_shots, resampled
from datasets.shots import Item, Through, sampled, timed

AHEAD = 4  # pictures that a reader takes before it waits for the others

Result = TypeVar("Result")


def together(media: Media, readers: Sequence[Callable[[Media], Result]]) -> list[Result]:
    """What each reader makes of the clip; the first error that one raises ends all."""
    if len(readers) == 1:
        return [readers[0](media)]
    room = _Room(media, len(readers))
    results: dict[int, Result] = {}

    def read(number: int) -> None:
        with room.turn:
            try:
                if not room.errors:
                    results[number] = readers[number](room.enter(number))
            except BaseException as error:  # whatever it is, it is raised where `together` was called
                room.errors.append(error)
            finally:
                room.leave(number)

    threads = [Thread(target=read, args=(number,), daemon=True) for number in range(len(readers))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:  # Ctrl-C: the readers end at their next picture
        room.errors.append(error)
        raise
    if room.errors:
        raise room.errors[0]
    return [results[number] for number in range(len(readers))]


class EndedError(Exception):
    """Another reader failed, or the user pressed Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Shared(Media):
    """What one of the readers gets."""

    _room: "_Room" = field(repr=False, compare=False)
    _reader: int = field(repr=False, compare=False)

    def audio(self, rate: int) -> Sound:
        """A copy for each, to do with as it likes."""
        self._track("audio")
        with self._anonymous():
            return self._room.sound(rate).copy()

    def seen(self, through: Through[Item], per_second: float | None = None) -> Iterator[Item]:
        """From the one decoding, or the one looking, that all readers have in common."""
        rate = rate_of(self._track("video"), per_second)
        with self._anonymous():
            yield from sampled(self._room.pictures(self._reader, through), rate)


class _Room:
    """What the readers of one clip share."""

    def __init__(self, media: Media, readers: int) -> None:
        self.turn = Condition(RLock())  # whoever runs holds it
        self.errors: list[BaseException] = []
        self._media = media
        self._taken = dict.fromkeys(range(readers), -1)  # pictures, by all who look at them or may come to
        self._threads: dict[int, int] = {}  # of those who have not come yet
        self._tapes: dict[Hashable, tuple[_Tape[Any], _Link[Any]]] = {}  # until all have come
        self._played: dict[int, Generator[Any]] = {}
        self._heard: Heard = ()
        self._sounds: dict[int, Sound] = {}

    def enter(self, reader: int) -> Shared:
        """In the reader's own thread."""
        self._threads[reader] = get_ident()
        return Shared(self._media.clip_id, self._media.has, self._media._tracks, self, reader)

    def leave(self, reader: int) -> None:
        """It is waited for no more."""
        self._taken.pop(reader, None)
        if played := self._played.pop(reader, None):
            played.close()  # perhaps somebody keeps what it is part of, and with it all further pictures
        with suppress(RuntimeError):  # if this is no reader's thread, the others are told at the next turn
            self.turn.notify_all()

    def sound(self, rate: int) -> Sound:
        """Decoded once, resampled once for each rate."""
        if rate not in self._sounds:
            track = self._media._tracks["audio"]
            self._heard = self._heard or tuple(listen(track))
            self._sounds[rate] = resampled(self._heard, track, rate)
        return self._sounds[rate]

    def pictures(self, reader: int, through: Through[Item]) -> Iterator[tuple[float, Item]]:
        """What is made of each, and until when it is on the screen."""
        if self._threads.get(reader) != get_ident():
            return self._anew(through, 0)
        del self._threads[reader]
        self._played[reader] = self._play(through)
        return self._in_step(reader, through)

    def _anew(self, through: Through[Item], first: int) -> Iterator[tuple[float, Item]]:
        return islice(timed(read_shots(self._media._tracks["video"]), through), first, None)

    def _in_step(self, reader: int, through: Through[Item]) -> Iterator[tuple[float, Item]]:
        own = get_ident()
        try:
            for place in count():
                if own != get_ident() or reader not in self._taken:  # handed to a thread that cannot take turns
                    break
                self._wait(reader, place)
                pair = next(self._played[reader], None)
                if pair is None:
                    return
                yield pair
                del pair
        finally:
            self.leave(reader)
        yield from self._anew(through, place)

    def _play(self, through: Through[Item]) -> Generator[tuple[float, Item]]:
        """The shots are decoded once, and once made into each kind of thing that readers ask for."""
        if not self._tapes:
            self._tapes[None] = _Tape(read_shots(self._media._tracks["video"])), _Link()
        if through not in self._tapes:
            self._tapes[through] = _Tape(timed(_play(*self._tapes[None]), through)), _Link()
        return _play(*self._tapes[through])

    def _wait(self, reader: int, place: int) -> None:
        """Until all others are as far; at the first picture, until all have come who ever will."""
        self._taken[reader] = place
        if place % AHEAD == 0:
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.errors or min(self._taken.values()) >= place)
            self._tapes.clear()
        if self.errors:
            raise EndedError("the clip is prepared no further")


class _Link(Generic[Item]):
    """A place on a tape; the item is there if the place after it is."""

    __slots__ = ("after", "item")
    item: Item
    after: "_Link[Item] | None"

    def __init__(self) -> None:
        self.after = None


@dataclass(eq=False)
class _Tape(Generic[Item]):
    """An iterator that several read; how it failed, all are told."""

    source: Iterator[Item]
    error: Exception | None = None


def _play(tape: _Tape[Item], link: _Link[Item]) -> Generator[Item]:
    """From a place on; what no reader has before it any more is held no longer."""
    while True:
        if link.after is None:
            if tape.error:
                raise tape.error
            try:
                link.item = next(tape.source)
            except StopIteration:
                return
            except Exception as error:
                tape.error = error
                raise
            link.after = _Link()
        item, link = link.item, link.after
        yield item
        del item
