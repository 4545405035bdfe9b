"""Many small records in a file that nobody else sees: they stay in memory only while the system has room for them."""

import marshal
from array import array
from collections.abc import Iterable, Iterator, Sequence
from errno import EDQUOT, ENOSPC
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Buffer

PART = 4096  # records whose places are looked up at once


def set_down(pieces: "Iterable[Buffer]") -> bytes | mmap:
    """All of them, one after the other, in a file that goes with what is returned."""
    try:
        with TemporaryFile() as file:
            for piece in pieces:
                file.write(piece)
            file.flush()  # a mapped file that is written to would bring the process down where the disk is full
            return mmap(file.fileno(), 0, access=ACCESS_READ) if file.tell() else b""
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise OSError(error.errno, error.strerror, gettempdir()) from None


def dumped(told: tuple[Any, ...]) -> bytes:
    """Plain values as a record that `marshal` reads; so that no text of it stays in memory, as interned ones do."""
    return marshal.dumps(told, 2)


class Records(Sequence[bytes]):
    """Written once; they end with the object, and are sent to another process whole."""

    def __init__(self, records: Iterable[bytes]) -> None:
        ends = array("q", [0])

        def measured() -> Iterator[bytes]:
            for record in records:
                ends.append(ends[-1] + len(record))
                yield record

        self._bytes = set_down(measured())
        self._ends = np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        begin, end = self._ends[place : place + 2].tolist()
        return self._bytes[begin:end]

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self), PART):
            for begin, end in pairwise(self._ends[start : start + PART + 1].tolist()):
                yield self._bytes[begin:end]

    def __getstate__(self) -> tuple[bytes, bytes]:
        return self._bytes[:], self._ends.tobytes()

    def __setstate__(self, state: tuple[bytes, bytes]) -> None:
        self._bytes, self._ends = state[0], np.frombuffer(state[1], np.int64)
