"""The guard: a protocol says what it holds out, and training is every clip that has no part in it.

A leak cannot be expressed: nobody lists training clips, they follow. A fold shows its test media without labels and
keeps the labels to itself until it is given probabilities.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final, get_args

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, Media, UserError
from protocols.audit import Finding, Independence, Split, independence, judge
from protocols.identity import Unit, aliases, canonical, value
from protocols.scores import Scores

__all__ = ["Claimed", "Fold", "HeldOut", "Judged", "Protocol", "ProtocolError", "Scores", "Unit", "demand"]

HeldOut = Mapping[Unit, Collection[str]]


class ProtocolError(UserError):
    """A split cannot be made as asked."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Judged:
    """One test set, what is learnt from beside it, and what was measured of the two."""

    name: str
    train: tuple[Clip, ...]
    test_media: tuple[Media, ...]
    labels: tuple[str, ...]
    held_out: Mapping[Unit, tuple[str, ...]]  # clips by the digest of their media: names name emotions
    dropped: tuple[str, ...]
    findings: tuple[Finding, ...]
    independence: Independence  # of subjects; measured on the clips, never declared
    _test: tuple[Clip, ...]
    _others: tuple[Clip, ...]

    def inner(self, protocol: "Protocol") -> Iterator["Fold"]:
        """Folds for validation and tuning, made of the training clips alone by the same rule."""
        others = tuple(_blank(clip) for clip in (*self._others, *self._test))
        for name, held_out in protocol.held_out(self.train):
            yield Fold(self.train, held_out, f"{self.name}, {name}", others, self.labels)

    def score(self, probabilities: npt.ArrayLike) -> Scores:
        """The only door to the test labels: one row for each of `test_media`, one column for each of `labels`."""
        return Scores(
            labels=self.labels,
            names=tuple(clip.name for clip in self._test),
            subjects=tuple(clip.subject for clip in self._test),
            truth=tuple(clip.label for clip in self._test),
            probabilities=_distributions(probabilities, (len(self._test), len(self.labels))),
        )


@final
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Fold(Judged):
    """The guard: a test set, and all that may be learnt from beside it.

    Test clips match every held-out unit. Training clips share no held-out value of any unit, not even under a second
    id or through a recording. What is neither is dropped, by name.

    Clips are ordered by the digest of their media: the order of their names, or of the folder, would tell emotions.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        held_out: HeldOut,
        name: str,
        others: Iterable[Clip] = (),
        labels: Collection[str] = (),
    ) -> None:
        """`others` stand on no side, yet they tell who is who; `labels` are classes that no clip here need have."""
        clips = tuple(sorted(clips, key=lambda clip: (clip.media.clip_id, clip.name)))
        others = tuple(others)
        known = (*clips, *others)
        held = _checked(clips, held_out, name)
        near = set[str]().union(*(_sharing(known, unit, values) for unit, values in held.items()))
        test = tuple(c for c in clips if all(value(c, unit) in values for unit, values in held.items()))
        train = tuple(clip for clip in clips if clip.name not in near)
        for side, found in (("test", test), ("training", train)):
            if not found:
                raise ProtocolError(f"fold {name} leaves no clip for {side}; hold out less, or other values")
        tested = {clip.name for clip in test}
        neither = near - tested
        dropped = tuple(clip for clip in clips if clip.name in neither)
        findings = judge(Split(name, train, (), test, (*dropped, *others)))
        shown = {clip.name: clip.media.clip_id for clip in clips}
        vars(self).update(
            name=name,
            train=train,
            test_media=tuple(clip.media for clip in test),
            labels=tuple(sorted({*labels, *(clip.label for clip in known)} - {""})),
            held_out={u: tuple(sorted(shown[v] if u == "clip" else v for v in held[u])) for u in held},
            dropped=tuple(sorted(clip.name for clip in dropped)),
            findings=findings,
            independence=independence(findings),
            _test=test,
            _others=(*dropped, *others),
        )


@final
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Claimed(Judged):
    """A fold as somebody else lists it, for answers that were made elsewhere: measured like ours, but not guarded.

    It counts as learnt from what stands in training or in validation.
    """

    def __init__(self, split: Split, labels: Sequence[str]) -> None:
        test = tuple(sorted(split.test, key=lambda clip: (clip.media.clip_id, clip.name)))
        findings = judge(split)
        vars(self).update(
            name=split.name,
            train=(*split.train, *split.validation),
            test_media=tuple(clip.media for clip in test),
            labels=tuple(labels),
            held_out={},
            dropped=(),
            findings=findings,
            independence=independence(findings),
            _test=test,
            _others=split.others,
        )


class Protocol(ABC):
    """Who is held out, fold by fold. Subclasses are frozen dataclasses; their defaulted fields are the settings."""

    @abstractmethod
    def held_out(self, clips: Sequence[Clip]) -> Iterator[tuple[str, HeldOut]]:
        """Each fold's name, and the values that it holds out."""

    @final
    def folds(self, clips: Iterable[Clip]) -> Iterator[Fold]:
        clips = tuple(clips)
        for name, held_out in self.held_out(clips):
            yield Fold(clips, held_out, name)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "folds" in vars(cls):
            raise ProtocolError(f"{cls.__name__} makes its own folds; write held_out, and the guard makes them")


def _blank(clip: Clip) -> Clip:
    """Who it shows, without its label, sound and picture."""
    return replace(clip, label="", media=Media(clip.media.clip_id, clip.media.has, {}))


def demand(clips: Iterable[Clip], unit: Unit) -> None:
    """An error unless the corpus says of every clip what it is under the unit."""
    without = sorted(clip.name for clip in clips if value(clip, unit) is None)
    if without:
        more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
        remedy = "official-split or random-holdout" if unit == "subject" else "subject-holdout or random-holdout"
        raise ProtocolError(f"clip {without[0]}{more} has no {unit}, so none can be held out; choose {remedy}")


def _checked(clips: Sequence[Clip], held_out: HeldOut, name: str) -> dict[Unit, frozenset[str]]:
    """What is held out, as compared: known units, values that are there."""
    twice = [clip for clip, times in Counter(clip.name for clip in clips).items() if times > 1]
    if twice:
        raise ProtocolError(f"clip {min(twice)} is listed twice; give each clip a name of its own")
    if not held_out or not set(held_out) <= set(get_args(Unit)):
        raise ProtocolError(f"fold {name} holds out {list(held_out)}; choose from {', '.join(get_args(Unit))}")
    held = {unit: frozenset(canonical(text, unit) for text in values) for unit, values in held_out.items()}
    for unit, values in held.items():
        demand(clips, unit)
        if absent := sorted(values - {value(clip, unit) for clip in clips}):
            raise ProtocolError(f"fold {name} holds out {unit} {absent[0]!r}, which no clip has; leave it out")
    return held


def _sharing(clips: Sequence[Clip], unit: Unit, values: Collection[str]) -> set[str]:
    """Names of all clips that share a held-out value, under whatever id.

    Two people who share a recording are one person; but two splits that share one are still two, less that recording.
    """
    kind: Unit = "clip" if unit == "split" else unit
    one = aliases(clips, kind)
    known = [(clip, own) for clip in clips if (own := value(clip, kind)) is not None]
    touched = {one[own] for clip, own in known if value(clip, unit) in values}
    return {clip.name for clip, own in known if one[own] in touched}


def _distributions(probabilities: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """A copy of the probabilities, or an error that says why they are none."""
    try:
        rows = np.array(probabilities, dtype=np.float64)
    except (TypeError, ValueError):
        raise ProtocolError(f"probabilities must be numbers {list(shape)}, but are not; return an array") from None
    if rows.shape != shape:
        raise ProtocolError(f"probabilities must be [test clips, labels] = {list(shape)}, but are {list(rows.shape)}")
    if not np.isfinite(rows).all() or (rows < 0).any():
        worst = rows[~(np.isfinite(rows) & (rows >= 0))][0]
        raise ProtocolError(f"probabilities must be finite and not negative, but one is {worst}; mend predict_proba")
    sums = rows.sum(axis=1)
    if (wrong := np.abs(sums - 1) > 1e-3).any():
        raise ProtocolError(f"each row of probabilities must sum to 1, but one is {sums[wrong][0]:g}; normalise it")
    return rows
