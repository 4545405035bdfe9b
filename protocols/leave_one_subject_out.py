"""Each subject is the test set once; all others train."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import blocks


@dataclass(frozen=True)
class LeaveOneSubjectOut(Protocol):
    """Each subject is the test set once. Ids that share a recording are one subject."""

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        for subject in blocks(clips, "subject"):
            yield subject[0], {"subject": subject}
