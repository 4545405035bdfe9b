"""What a method gets: inputs and a line to whoever watches, neither of which leads to clips, labels or results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import numpy as np
import numpy.typing as npt

from benchmarks.making import inputs_file
from benchmarks.prepare import Store, read
from datasets.clips import Media
from methods.base import Prepared

Told = Callable[[str, float, int], None]  # a name, a value, a step


@dataclass(frozen=True, eq=False)
class Handed(Sequence[Prepared]):
    """The inputs of some clips, read when asked for; their files are named by the digest of what the clips hold."""

    folder: Path
    digests: npt.NDArray[np.bytes_]  # of the clips' content, as `Content.media` has them

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, number: int) -> Prepared:  # type: ignore[override]
        return read(self.file(number))

    def file(self, number: int) -> Path:
        """Where they lie."""
        return inputs_file(self.folder, self.digests[number].decode())


def handed(store: Store, media: Sequence[Media]) -> Handed:
    """The inputs of these clips, in their order."""
    return Handed(store.folder, store.contents.media(media))


@dataclass(frozen=True)
class Line:
    """Says something to a function that it does not know; what that function raises is raised here."""

    asks: "SimpleQueue[tuple[str, float, int] | None]"
    answers: "SimpleQueue[BaseException | None]"

    def __call__(self, name: str, value: float, step: int) -> None:
        self.asks.put((name, value, step))
        if error := self.answers.get():
            raise error


@contextmanager
def line(told: Told) -> Iterator[Line]:
    """A line to a function, which a thread of its own calls: whoever holds the line cannot follow it there."""
    asks, answers = SimpleQueue[tuple[str, float, int] | None](), SimpleQueue[BaseException | None]()
    thread = Thread(target=_answer, args=(told, asks, answers), daemon=True)
    thread.start()
    try:
        yield Line(asks, answers)
    finally:
        asks.put(None)
        thread.join()


def _answer(
    told: Told, asks: "SimpleQueue[tuple[str, float, int] | None]", answers: "SimpleQueue[BaseException | None]"
) -> None:
    while ask := asks.get():
        try:
            told(*ask)
        except BaseException as error:  # whatever it is, it is for the one who asked
            answers.put(error.with_traceback(None))  # less the frames, in which all is to be seen
        else:
            answers.put(None)
