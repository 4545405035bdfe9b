"""Subjects and sentences are held out at once, every group of one with every group of the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol
from protocols.grouping import balanced
from protocols.identity import spelled


@dataclass(frozen=True)
class SentenceDisjoint(Protocol):
    """Shows how much of a score is the text: training has neither the person nor the sentence of a test clip."""

    groups: int = 5
    sentences: int = 2

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        by_sentence = balanced(clips, "sentence", self.sentences)
        said = {(spelled(clip, "subject"), spelled(clip, "sentence")) for clip in clips}
        for number, subjects in enumerate(balanced(clips, "subject", self.groups), start=1):
            for text, sentences in enumerate(by_sentence, start=1):
                if not said.isdisjoint(product(subjects, sentences)):  # else there is nothing to test
                    yield f"group {number}, sentences {text}", {"subject": subjects, "sentence": sentences}
