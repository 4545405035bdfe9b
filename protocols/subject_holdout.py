"""One test set of whole subjects, drawn by seed, of about a share of the clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import portion


@dataclass(frozen=True)
class SubjectHoldout(Protocol):
    """One split by subject; validation inside a fold is this one too."""

    share: float = 0.3
    seed: int = 0

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        yield "holdout", {"subject": portion(clips, "subject", self.share, self.seed)}
