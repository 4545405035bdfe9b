"""Who is who: what a clip is under each unit that can be held out, and which ids are one thing under two names."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, tie
from datasets.roll import Clips, Keys, key

Unit = Literal["subject", "session", "sentence", "split", "clip"]


def canonical(text: str, unit: Unit) -> str:
    """Ids are compared without case and surrounding blanks: "S001" and "s001 " are one person. Clips go by name."""
    return text if unit == "clip" else _folded(text)


def _folded(text: str) -> str:
    return text.strip().casefold()


def spelled(clip: Clip, unit: Unit) -> str:
    """The clip under a unit as the corpus writes it; empty where it says nothing."""
    if unit == "clip":
        return clip.name
    stated: str | None = getattr(clip, unit)
    return (stated or "").strip()


def value(clip: Clip, unit: Unit) -> str | None:
    """The clip under a unit, as compared; None where the corpus says nothing, and a blank says nothing."""
    return canonical(spelled(clip, unit), unit) or None


def values(clips: Clips, unit: Unit) -> Keys:
    """For each clip a digest of its `value`; 0 for None."""
    return clips.keys("name") if unit == "clip" else clips.keys(unit, _folded)


def spellings(clips: Clips, unit: Unit) -> Keys:
    """For each clip a digest of how it is `spelled`; 0 where it says nothing."""
    return clips.keys("name") if unit == "clip" else clips.keys(unit, str.strip)


def digests(texts: Iterable[str]) -> Keys:
    """Of values, as `values` gives them."""
    return np.array([key(text) for text in texts], np.uint64)


def first(keys: Keys) -> npt.NDArray[np.intp]:
    """The place at which each key but 0 stands first."""
    found, places = np.unique(keys, return_index=True)
    return np.sort(places[found != 0])


def same(clips: Clips, unit: Unit) -> npt.NDArray[np.intp]:
    """A number for each clip, equal for all whose values share a recording, or a chain of them: one under two ids."""
    traces = np.concatenate([recordings(clips), clips.keys("clip_id")])  # of one kind: a name may be either
    return chained(np.tile(owners(clips, unit), 2), [traces])[: len(clips)]


def owners(clips: Clips, unit: Unit) -> Keys:
    """`values`; but a clip without one stands for itself, so that a chain may pass through it."""
    stated = values(clips, unit)
    alone: Keys = clips.keys("name") ^ np.uint64(1)
    return np.where(stated == 0, alone, stated)


def recordings(clips: Clips) -> Keys:
    """A digest of the recording that each comes from."""
    stated = clips.keys("recording")
    return np.where(stated == 0, clips.keys("name"), stated)


def chained(owned: npt.NDArray[Any], traces: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.intp]:
    """A number for each of what is owned, equal for owners that share a trace of any kind, or a chain of them.

    0, or an empty text, is no trace.
    """
    found, own = np.unique(owned, return_inverse=True)
    pairs: list[tuple[int, int]] = []
    for trace in traces:
        _, number, count = np.unique(trace, return_inverse=True, return_counts=True)
        seen: dict[int, int] = {}
        shared = np.flatnonzero((count[number] > 1) & (trace != trace.dtype.type()))
        several = zip(own[shared].tolist(), number[shared].tolist(), strict=True)
        pairs.extend((owner, seen.setdefault(what, owner)) for owner, what in several)
    one = np.arange(len(found))
    for owner, representative in tie(pairs).items():
        one[owner] = representative
    return one[own]
