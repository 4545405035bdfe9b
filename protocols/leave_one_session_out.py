"""Each recording session is the test set once: for dialogues, whose microphones hear both speakers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import blocks


@dataclass(frozen=True)
class LeaveOneSessionOut(Protocol):
    """Parts subjects only where nobody came to two sessions, which the fold measures."""

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        for session in blocks(clips, "session"):
            yield session[0], {"session": session}
