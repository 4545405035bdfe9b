"""From a corpus and a protocol to the arena in which methods meet."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.console import Progress
from benchmarks.content import Contents, contents, corpus_digest, tied
from benchmarks.plugins import build, canonical
from datasets.base import Dataset
from datasets.clips import TASKS, DatasetError
from datasets.roll import Clips
from protocols.audit import Independence
from protocols.base import Judged, Protocol, ProtocolError

PERMUTED = ", labels permuted"  # how names of experiments end in which nothing counts


@dataclass(frozen=True, eq=False)
class Arena:
    """What every method of a run meets alike."""

    dataset: Dataset
    task: str
    protocol: str  # as spelled on the command line
    clips: Clips
    folds: Sequence[Judged]
    contents: Contents
    digest: str  # of the corpus
    permuted: bool = False  # whether what is done here serves the label-permutation test alone

    @cached_property
    def members(self) -> Mapping[Judged, str]:
        """By fold, a digest of exactly who is trained on and tested; the labels are in the corpus'."""
        return {fold: _membership(fold, self.contents) for fold in self.folds}

    @property
    def experiment(self) -> str:
        """Where its results are kept: those on stand-ins apart, and those of permuted labels."""
        standin = " (STAND-IN)" if self.dataset.standin else ""
        return self.dataset.name + standin + (PERMUTED if self.permuted else "")

    @cached_property
    def copied(self) -> int:
        """Clips of any class in this copy of the corpus; a task may be about fewer of them."""
        return len(self.clips if self.task == TASKS[0] else self.dataset.scan().clips)

    @property
    def partial(self) -> bool:
        """Whether clips of the whole corpus are not there, or excluded."""
        return not self.dataset.standin and self.copied < self.dataset.expected.clips[0]

    @property
    def independence(self) -> Independence:
        """Of all folds together: the worst."""
        found = {fold.independence for fold in self.folds}
        return "violated" if "violated" in found else "unknown" if "unknown" in found else "verified"


def arena(dataset: Dataset, task: str, protocol: str, progress: Progress) -> Arena:
    """Clips, tied by what they hold, and the folds of the protocol; an error if a file is broken or contradictory."""
    told = canonical(protocol or dataset.default_protocol, dataset.protocol_settings)
    built: Protocol = build("protocols", told, dataset.protocol_settings)
    clips, known = gathered(dataset, task, progress)
    folds = tuple(built.folds(clips))
    if not folds:
        raise ProtocolError(
            f"{told} makes no fold of the {len(clips)} clips of {dataset.name}; choose another protocol"
        )
    return Arena(dataset, task, told, clips, folds, known, corpus_digest(clips, known))


def material(dataset: Dataset, task: str, progress: Progress) -> Arena:
    """What is learnt from a corpus for use on another: all its clips, less the official test set where it has one."""
    clips, known = gathered(dataset, task, progress)
    if dataset.default_protocol == "official-split":
        split: Protocol = build("protocols", dataset.default_protocol)
        clips = Clips.of(next(split.folds(clips)).train)
    return Arena(dataset, task, "", clips, (), known, corpus_digest(clips, known))


def gathered(dataset: Dataset, task: str, progress: Progress) -> tuple[Clips, Contents]:
    """The clips, tied by what they hold."""
    clips = dataset.index(task)
    if not clips:
        raise DatasetError(f"{dataset.title} at {dataset.root} holds no clip; {dataset.how_to_get}; see check")
    with progress(f"reading {dataset.name}") as advance:
        known = contents(clips, advance)
    return tied(clips, known), known


def _membership(fold: Judged, contents: Contents) -> str:
    """Side by side and clip by clip, a line each."""
    told = hashlib.sha256()
    for side, media in (("train", Clips.of(fold.train).media), ("test", fold.test_media)):
        told.update(f"{side}\n".encode())
        for found in np.sort(contents.media(media)):
            told.update(found + b"\n")
    return told.hexdigest()
