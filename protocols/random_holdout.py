"""One random part of the clips, whoever speaks: NOT subject-independent, only to quote a paper on its own terms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import portion


@dataclass(frozen=True)
class RandomHoldout(Protocol):
    """Exists only to quote a paper on its own terms; its fold says "violated" and is never ranked beside honest ones.

    Whole recordings stay together even so: the same sound on both sides is nobody's terms.
    """

    share: float = 0.2
    seed: int = 0

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        yield "holdout", {"clip": portion(clips, "clip", self.share, self.seed)}
