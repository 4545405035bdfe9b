"""Subjects form groups of nearly equal numbers of clips; each group is the test set once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol, ProtocolError
from protocols.grouping import balanced


@dataclass(frozen=True)
class LeaveOneSpeakerGroupOut(Protocol):
    """Groups without chance, so that every run has the same ones; papers do not list theirs.

    A share asks for as many groups as make each about that part of the clips: "about 7:3" is share=0.3.
    """

    groups: int = 5
    share: float = 0.0

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        if not isinstance(self.share, int | float) or not 0 <= self.share <= 0.5:
            raise ProtocolError(f"share must be 0, or at most 0.5, but is {self.share!r}; choose 0.3 for 7:3")
        count = round(1 / self.share) if self.share else self.groups
        for number, group in enumerate(balanced(clips, "subject", count), start=1):
            yield f"group {number}", {"subject": group}
