"""The corpus' own test set, against everything else in it: for corpora without person ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol, ProtocolError, demand
from protocols.identity import canonical, value


@dataclass(frozen=True)
class OfficialSplit(Protocol):
    """Tests on the split that is named, else on the clips of "test" if there are labelled ones, else on "val"."""

    test: str = ""

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        demand(clips, "split")
        there = {value(clip, "split") for clip in clips}
        wanted = [canonical(self.test, "split")] if self.test else ["test", "val"]
        test = next((split for split in wanted if split in there), None)
        if test is None:
            splits = ", ".join(sorted(split for split in there if split))
            raise ProtocolError(f"no clip is of split {' or '.join(wanted)}; choose from test={splits}")
        yield test, {"split": [test]}
