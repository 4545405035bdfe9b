"""From a corpus and a protocol to the arena in which methods meet."""

from collections.abc import Mapping

from benchmarks.console import Progress
from benchmarks.content import Content, contents, corpus_digest, tied
from benchmarks.plan import Arena
from benchmarks.plugins import build, canonical
from datasets.base import Clip, Dataset, DatasetError
from protocols.base import Protocol, ProtocolError


def arena(dataset: Dataset, task: str, protocol: str, progress: Progress) -> Arena:
    """Clips, tied by what they hold, and the folds of the protocol; an error if a file is broken or contradictory."""
    told = canonical(protocol or dataset.default_protocol)
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
        clips = list(next(split.folds(clips)).train)
    return Arena(dataset, task, "", clips, (), known, corpus_digest(clips, known))


def gathered(dataset: Dataset, task: str, progress: Progress) -> tuple[list[Clip], Mapping[str, Content]]:
    """The clips, tied by what they hold."""
    clips = dataset.index(task)
    if not clips:
        raise DatasetError(f"{dataset.title} at {dataset.root} holds no clip; {dataset.how_to_get}; see check")
    with progress(f"reading {dataset.name}") as advance:
        known = contents(clips, advance)
    return tied(clips, known), known
