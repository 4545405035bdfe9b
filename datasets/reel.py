"""A film that is looked at part by part, each begun no earlier than the one before: its pictures are decoded once."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from datasets.clips import Media, Track
from datasets.media import BEFORE, Timed, between, check_part, filmed, playing, read_shots
from datasets.shots import Shot

HELD = 256 * 2**20  # bytes of pictures; where a part has more, the next one is decoded anew


@dataclass(frozen=True, slots=True)
class Played(Media):
    """A part of a film on a reel."""

    _reel: "Reel" = field(repr=False, compare=False)

    def _shots(self, track: Track) -> Iterator[Shot]:
        return self._reel.shots(track)


class Reel:
    """The pictures that the next part may begin with, and what decodes those that come after."""

    def __init__(self) -> None:
        self._held: deque[Timed] = deque()
        self._bytes = 0
        self._first = 0  # the number of the first picture that is held
        self._from = 0.0  # from this instant on all are held
        self._coming: Generator[Timed] | None = None
        self._over = False  # none comes any more
        self._part: Track | None = None  # that was asked for last
        self._closed = False

    def shots(self, track: Track) -> Iterator[Shot]:
        """As `read_shots`. Who looks at a part again decodes it for himself; so does everybody once this is closed."""
        if self._closed or track == self._part or track.still or track.end is None:
            return read_shots(track)
        check_part(track)
        self._part = track
        if not self._reaches(track.start):
            self._wind(track)
        self._forget(track.start)
        return filmed(between(self._frames(track), track), track)

    def close(self) -> None:
        """No file is open any more, and no picture held."""
        self._rewind()
        self._closed = True

    def _reaches(self, start: float) -> bool:
        """Whether it is begun, and to seek would save nothing."""
        if not self._held or start < self._from:
            return False
        return self._over or start - BEFORE <= self._held[-1][0]

    def _wind(self, track: Track) -> None:
        """To where a part begins."""
        self._rewind()
        self._coming, self._from = _decoded(track), track.start

    def _rewind(self) -> None:
        if self._coming:
            self._coming.close()
        self._held.clear()
        self._bytes, self._coming, self._over = 0, None, False

    def _frames(self, track: Track) -> Iterator[Timed]:
        """Those that are held, then those that come."""
        number = self._first
        while self._coming:
            if self._part is not track:
                raise RuntimeError("a part of a film cannot be looked at any further once the next one is begun")
            if number == self._first + len(self._held):
                try:
                    self._hold(next(self._coming), track.start)
                except StopIteration:
                    self._over = True
                    return
                except BaseException:
                    self._rewind()  # the next part may lie behind what is damaged
                    raise
            yield self._held[number - self._first]
            number += 1

    def _hold(self, decoded: Timed, start: float) -> None:
        self._held.append(decoded)
        self._bytes += _size(decoded)
        self._forget(start)
        while self._bytes > HELD and len(self._held) > 1:
            self._drop()
            self._from = self._held[0][0]

    def _forget(self, start: float) -> None:
        """What is on the screen no more."""
        while len(self._held) > 1 and max(self._held[0][0], self._held[1][0]) <= start:
            self._drop()
            self._from = start

    def _drop(self) -> None:
        self._bytes -= _size(self._held.popleft())
        self._first += 1


def _decoded(track: Track) -> Generator[Timed]:
    with playing(track) as (frames, _):
        yield from frames


def _size(decoded: Timed) -> int:
    return sum(plane.buffer_size for plane in decoded[1].planes)
