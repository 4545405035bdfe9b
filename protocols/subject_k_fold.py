"""Subjects form k folds, shuffled by seed or as a publication lists them; each fold is the test set once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.clips import Clip
from protocols.base import HeldOut, Protocol, ProtocolError, demand
from protocols.grouping import balanced
from protocols.identity import canonical, spelled, value


@dataclass(frozen=True)
class SubjectKFold(Protocol):
    """Lists of test subjects that somebody `published` replace k and seed; a partial copy keeps who is there."""

    k: int = 5
    seed: int = 0
    published: tuple[tuple[str, ...], ...] = ()

    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        groups = self._published(clips) if self.published else balanced(clips, "subject", self.k, self.seed)
        for number, group in enumerate(groups, start=1):
            if group:
                yield f"fold {number}", {"subject": group}

    def _published(self, clips: Sequence[Clip]) -> list[list[str]]:
        demand(clips, "subject")
        there = {value(clip, "subject"): spelled(clip, "subject") for clip in clips}
        lists = [[canonical(subject, "subject") for subject in subjects] for subjects in self.published]
        listed = Counter(subject for subjects in lists for subject in set(subjects))
        for subject, shown in there.items():
            if listed[subject or ""] != 1:
                raise ProtocolError(
                    f"subject {shown} stands in {listed[subject or '']} of the published folds; list it in one of them"
                )
        return [[subject for subject in subjects if subject in there] for subjects in lists]
