"""Random clips, whoever speaks: NOT subject-independent, only to quote a paper on its own terms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import balanced


@dataclass(frozen=True)
class RandomKFold(Protocol):
    """Exists only to quote a paper on its own terms; its folds say "violated" and are never ranked beside honest ones.

    Whole recordings stay together even so: the same sound on both sides is nobody's terms.
    """

    k: int = 10
    seed: int = 0

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        for number, group in enumerate(balanced(clips, "clip", self.k, self.seed), start=1):
            yield f"fold {number}", {"clip": group}
