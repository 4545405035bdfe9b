"""A film that is looked at part by part, each begun no earlier than the one before: its pictures are decoded once."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from datasets.clips import Media, MediaError, Track
from datasets.media import Instant, between, filmed, playing, read_shots, read_through
from datasets.shots import Item, Shot, Through

HELD = 256 * 2**20  # bytes of pictures; where a part has more, those after it are decoded anew


@dataclass(frozen=True, slots=True)
class Played(Media):
    """A part of it."""

    _reel: "Reel" = field(repr=False, compare=False)

    def seen(self, through: Through[Item], per_second: float | None = None) -> Iterator[Item]:
        """As of any clip."""
        with self._anonymous():
            yield from read_through(self._track("video"), per_second, through, self._reel.shots)


class Reel:
    """The pictures that the next part may begin with, and what decodes those that come after."""

    def __init__(self) -> None:
        self._held: deque[Instant] = deque()
        self._bytes = 0
        self._first = 0  # the number of the first picture that is held, of all that were decoded
        self._from = 0.0  # from this instant on all are held
        self._coming: Generator[Instant] | None = None
        self._part: Track | None = None  # that was asked for last

    def shots(self, track: Track) -> Iterator[Shot]:
        """As `read_shots`; nobody may go on with a part once the next one is begun, and who looks again decodes it."""
        if track == self._part or track.still or track.end is None:
            return read_shots(track)
        self._part = track
        if not self._held or not self._from <= track.start <= self._held[-1][0]:
            self._wind(track)
        self._forget(track.start)
        return filmed(between(self._frames(track), track), track, 0.0)

    def close(self) -> None:
        """The file."""
        if self._coming:
            self._coming.close()
        self._held.clear()
        self._bytes, self._coming = 0, None

    def _wind(self, track: Track) -> None:
        """To where a part begins."""
        self.close()
        self._coming, self._from = _decoded(track), track.start

    def _frames(self, track: Track) -> Iterator[Instant]:
        """Those that are held, then those that come."""
        number = self._first
        while self._coming:
            if number == self._first + len(self._held):
                try:
                    self._hold(next(self._coming), track.start)
                except StopIteration:
                    return
                except MediaError:
                    self.close()  # the next part may lie behind what is damaged
                    raise
            yield self._held[number - self._first]
            number += 1

    def _hold(self, decoded: Instant, start: float) -> None:
        self._held.append(decoded)
        self._bytes += _size(decoded)
        self._forget(start)
        while self._bytes > HELD and len(self._held) > 1:
            self._drop()
            self._from = self._held[0][0]

    def _forget(self, start: float) -> None:
        """What is on the screen no more."""
        while len(self._held) > 1 and self._held[1][0] <= start:
            self._drop()
            self._from = start

    def _drop(self) -> None:
        self._bytes -= _size(self._held.popleft())
        self._first += 1


def _decoded(track: Track) -> Generator[Instant]:
    with playing(track) as (frames, _):
        yield from frames


def _size(decoded: Instant) -> int:
    return sum(plane.buffer_size for plane in decoded[1].planes)
