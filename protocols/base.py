"""The guard: a protocol says what it holds out, and training is every clip that has no part in it.

A leak cannot be expressed: nobody lists training clips, they follow. A fold shows its test media without labels and
keeps the labels to itself until it is given probabilities.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, final, get_args

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip, Media, UserError
from datasets.roll import Clips, Keys
from protocols.audit import Finding, Independence, Split, independence, judge
from protocols.identity import Unit, canonical, digests, same, values
from protocols.scores import Scores

__all__ = ["Claimed", "Fold", "HeldOut", "Judged", "Protocol", "ProtocolError", "Scores", "Unit", "demand"]

HeldOut = Mapping[Unit, Collection[str]]


class ProtocolError(UserError):
    """A split cannot be made as asked."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Judged:
    """One test set, what is learnt from beside it, and what was measured of the two."""

    name: str
    train: Sequence[Clip]
    test_media: Sequence[Media]
    labels: tuple[str, ...]
    held_out: Mapping[Unit, tuple[str, ...]]  # clips by the digest of their media: names name emotions
    dropped: tuple[str, ...]
    findings: tuple[Finding, ...]
    independence: Independence  # of subjects; measured on the clips, never declared
    _test: Sequence[Clip]
    _others: Sequence[Clip]

    def inner(self, protocol: "Protocol") -> Iterator["Fold"]:
        """Folds for validation and tuning, made of the training clips alone by the same rule."""
        others = Clips.joined(self._others, self._test).blank()
        everyone, learnt = Clips.of(chain(self.train, others)), len(self.train)  # on a roll of their own
        for name, held_out in protocol.held_out(everyone[:learnt]):
            yield Fold(everyone[:learnt], held_out, f"{self.name}, {name}", everyone[learnt:], self.labels)

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
        clips, others = Clips.of(clips).in_order(), Clips.of(others)
        known = Clips.joined(clips, others)
        held = _checked(clips, held_out, name)
        near = np.isin(clips.keys("name"), np.concatenate([_sharing(known, *told) for told in held.items()]))
        tested = np.logical_and.reduce([np.isin(values(clips, unit), digests(texts)) for unit, texts in held.items()])
        test, train, dropped = clips.take(tested), clips.take(~near), clips.take(near & ~tested)
        for side, found in (("test", test), ("training", train)):
            if not found:
                raise ProtocolError(f"fold {name} leaves no clip for {side}; hold out less, or other values")
        findings = judge(Split(name, train, (), test, Clips.joined(dropped, others)))
        vars(self).update(
            name=name,
            train=train,
            test_media=test.media,
            labels=tuple(sorted({*labels, *known.classes} - {""})),
            held_out={unit: _shown(clips, unit, texts) for unit, texts in held.items()},
            dropped=tuple(sorted(clip.name for clip in dropped)),
            findings=findings,
            independence=independence(findings),
            _test=test,
            _others=Clips.joined(dropped, others).blank(),
        )


@final
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Claimed(Judged):
    """A fold as somebody else lists it, for answers that were made elsewhere: measured like ours, but not guarded.

    It counts as learnt from what stands in training or in validation.
    """

    def __init__(self, split: Split, labels: Sequence[str]) -> None:
        test = Clips.of(split.test).in_order()
        findings = judge(split)
        vars(self).update(
            name=split.name,
            train=Clips.joined(split.train, split.validation),
            test_media=test.media,
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
        clips = Clips.of(clips)
        for name, held_out in self.held_out(clips):
            yield Fold(clips, held_out, name)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "folds" in vars(cls):
            raise ProtocolError(f"{cls.__name__} makes its own folds; write held_out, and the guard makes them")


def demand(clips: Iterable[Clip], unit: Unit) -> None:
    """An error unless the corpus says of every clip what it is under the unit."""
    clips = Clips.of(clips)
    without = sorted(clip.name for clip in clips.take(values(clips, unit) == 0))
    if without:
        more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
        remedy = "official-split or random-holdout" if unit == "subject" else "subject-holdout or random-holdout"
        raise ProtocolError(f"clip {without[0]}{more} has no {unit}, so none can be held out; choose {remedy}")


def _checked(clips: Clips, held_out: HeldOut, name: str) -> dict[Unit, frozenset[str]]:
    """What is held out, as compared: known units, values that are there."""
    names = clips.keys("name")
    _, once = np.unique(names, return_index=True)
    if len(once) < len(clips):
        twice = min(clip.name for clip in clips.take(np.delete(np.arange(len(clips)), once)))
        raise ProtocolError(f"clip {twice} is listed twice; give each clip a name of its own")
    if not held_out or not set(held_out) <= set(get_args(Unit)):
        raise ProtocolError(f"fold {name} holds out {list(held_out)}; choose from {', '.join(get_args(Unit))}")
    held = {unit: frozenset(canonical(text, unit) for text in texts) for unit, texts in held_out.items()}
    for unit, texts in held.items():
        demand(clips, unit)
        stated = sorted(texts)
        if absent := np.flatnonzero(~np.isin(digests(stated), values(clips, unit))).tolist():
            raise ProtocolError(f"fold {name} holds out {unit} {stated[absent[0]]!r}, which no clip has; leave it out")
    return held


def _sharing(clips: Clips, unit: Unit, texts: Collection[str]) -> Keys:
    """Names of all clips that share a held-out value, under whatever id, by their digests.

    Two people who share a recording are one person; but two splits that share one are still two, less that recording.
    """
    kind: Unit = "clip" if unit == "split" else unit
    one, known = same(clips, kind), values(clips, kind) != 0
    touched = one[known & np.isin(values(clips, unit), digests(texts))]
    names: Keys = clips.keys("name")[known & np.isin(one, touched)]
    return names


def _shown(clips: Clips, unit: Unit, texts: Collection[str]) -> tuple[str, ...]:
    """Held-out values as others may see them: clips by the digest of their media, for names name emotions."""
    if unit == "clip":
        texts = [media.clip_id for media in clips.take(np.isin(clips.keys("name"), digests(texts))).media]
    return tuple(sorted(texts))


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
