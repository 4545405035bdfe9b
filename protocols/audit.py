"""The leak auditor: is a split honest, and if not, who stands on both sides of it?

It judges any split, ours and other people's. It knows names and ids only, never files or models.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

from datasets.clips import Clip
from datasets.roll import Clips
from protocols.identity import Unit, first, same, spelled, values

Independence = Literal["verified", "unknown", "violated"]
Severity = Literal["leak", "doubt", "note"]  # a doubt leaves independence unknown; a note leaves it alone
UNKNOWN = -1  # whose clip it is
NAMED = 5  # in a line of text; the finding itself names all


@dataclass(frozen=True)
class Split:
    """Somebody's training, validation and test clips. `others` stand on no side, yet they tell who is who."""

    name: str
    train: Sequence[Clip]
    validation: Sequence[Clip]
    test: Sequence[Clip]
    others: Sequence[Clip] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that a reader must know of a split: strings only, so that it can be shown anywhere."""

    fold: str
    severity: Severity
    what: str
    who: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.who) - NAMED} more" if len(self.who) > NAMED else ""
        return f"{self.fold}: {self.severity}: {self.what}: {', '.join(self.who[:NAMED])}{more}"


@dataclass(frozen=True)
class Verdict:
    """All findings of all folds, and what they come to."""

    findings: tuple[Finding, ...]

    @property
    def independence(self) -> Independence:
        return independence(self.findings)

    @property
    def honest(self) -> bool:
        return self.independence != "violated"


Found = tuple[Severity, str, Sequence[str]]  # counts only if the last, those concerned, is not empty


def audit(splits: Iterable[Split]) -> Verdict:
    """The verdict on all folds together."""
    splits = tuple(splits)
    findings = [finding for split in splits for finding in judge(split)]
    tests = Counter(name for split in splits for name in {clip.name for clip in split.test})
    known = {clip.name for split in splits for clip in chain(split.train, split.validation, split.others)}
    over_all: list[Found] = [
        ("doubt", "nothing to judge", () if splits else ("no fold was given",)),
        ("note", "clip tested in several folds", sorted(name for name, times in tests.items() if times > 1)),
        ("note", "clip never tested", sorted(known - tests.keys()) if len(splits) > 1 else ()),
    ]
    return Verdict((*findings, *_worded("all folds", over_all)))


@dataclass(frozen=True)
class _Side:
    """Some clips of a split, and a number for each one's person and recording, whatever their ids."""

    clips: Clips
    person: npt.NDArray[np.intp]  # UNKNOWN where the corpus says nothing
    recording: npt.NDArray[np.intp]

    def __add__(self, other: "_Side") -> "_Side":
        """Both."""
        numbers = (np.concatenate(pair) for pair in ((self.person, other.person), (self.recording, other.recording)))
        return _Side(Clips.joined(self.clips, other.clips), *numbers)


def judge(split: Split) -> tuple[Finding, ...]:
    """Everything that is wrong or doubtful with one split, the worst first."""
    train, validation, test = _sides(split)
    found: list[Found] = []
    for side, clips in (("training", train), ("validation", validation)):
        found.append(_clips(side, clips, test))
        found.append(("leak", f"person of test in {side}", _people(test, clips)))
        found.append(("leak", f"recording of test in {side}", _recordings(test, clips)))
    found += [*_doubts(train, validation, test), *_notes(train, validation, test)]
    return tuple(_worded(split.name, found))


def _sides(split: Split) -> tuple[_Side, _Side, _Side]:
    """Training, validation and test."""
    parts = split.train, split.validation, split.test, split.others
    everyone = Clips.joined(*parts)
    person = np.where(values(everyone, "subject") == 0, UNKNOWN, same(everyone, "subject"))
    recording, ends = same(everyone, "clip"), np.cumsum([len(part) for part in parts]).tolist()
    places = [slice(end - len(part), end) for part, end in zip(parts, ends, strict=True)]
    train, validation, test, _ = (_Side(everyone.take(at), person[at], recording[at]) for at in places)
    return train, validation, test


def independence(findings: Iterable[Finding]) -> Independence:
    """Of the subjects of test from all others: violated by any leak, unknown with any doubt, else verified."""
    severities = {finding.severity for finding in findings}
    return "violated" if "leak" in severities else "unknown" if "doubt" in severities else "verified"


def _clips(side: str, there: _Side, test: _Side) -> Found:
    ours, theirs = (one.clips.keys("name") for one in (test, there))
    both = test.clips.take(np.isin(ours, theirs))
    what = f"{side} equals test" if np.array_equal(np.unique(ours), np.unique(theirs)) else f"clip of test in {side}"
    return "leak", what, sorted({clip.name for clip in both})


def _people(test: _Side, there: _Side) -> list[str]:
    """People on both sides, by id; by both ids where only a shared recording tells that they are one."""
    ids: dict[int, dict[int, str]] = {}
    for own, person, name in _named(there):
        ids.setdefault(person, {})[own] = name
    return sorted(
        name + ("" if own in ids[person] else f" (also {min(ids[person].values())})")
        for own, person, name in _named(test)
        if person in ids
    )


def _named(side: _Side) -> Iterator[tuple[int, int, str]]:
    """Every id of a person once: a digest of it, whose it is, and how it is spelled first."""
    own = values(side.clips, "subject")
    places = first(own)
    for place, clip in zip(places.tolist(), side.clips.take(places), strict=True):
        yield int(own[place]), int(side.person[place]), spelled(clip, "subject")


def _recordings(test: _Side, there: _Side) -> list[str]:
    """Pairs of differently named clips of one recording; of many such pairs, one for each clip."""
    tested: dict[int, list[str]] = {}
    for recording, clip in sorted(_also_in(there, test), key=lambda one: one[1].name):
        tested.setdefault(recording, []).append(clip.name)
    return sorted(
        f"{twin} and {clip.name}"
        for recording, clip in _also_in(test, there)
        if (twin := next((name for name in tested[recording] if name != clip.name), ""))
    )


def _also_in(one: _Side, other: _Side) -> Iterator[tuple[int, Clip]]:
    """Clips of the other whose recording stands in this one too, each with the recording's number."""
    places = np.flatnonzero(np.isin(other.recording, one.recording))
    return zip(other.recording[places].tolist(), other.clips.take(places), strict=True)


def _doubts(train: _Side, validation: _Side, test: _Side) -> Iterator[Found]:
    sides = {"training": train, "validation": validation, "test": test}
    empty = [f"no clip in {side}" for side in ("training", "test") if not sides[side].clips]
    yield "doubt", "nothing to judge", empty
    missing = {side: int((one.person == UNKNOWN).sum()) for side, one in sides.items()}
    yield "doubt", "clips without a subject", [f"{count} in {side}" for side, count in missing.items() if count]
    learnt = train + validation
    strangers = learnt.clips.take(~np.isin(learnt.person, test.person))
    what = "dialogue shared: the held-out speaker may be heard in training"
    yield "doubt", what, _shared("session", test.clips, strangers)


def _notes(train: _Side, validation: _Side, test: _Side) -> Iterator[Found]:
    shared = _shared("sentence", test.clips, (train + validation).clips)
    yield "note", f"{len(shared)} of the sentences of test are spoken in training too", shared
    yield "note", "person of validation in training", _people(validation, train)


def _shared(unit: Unit, test: Clips, clips: Clips) -> list[str]:
    """Values of the unit on both sides, as the test clips spell them."""
    ours, theirs = values(test, unit), values(clips, unit)
    places = (
        len(ours) - 1 - first(np.where(np.isin(ours, theirs), ours, 0)[::-1])
    )  # the last way in which each is spelled
    return sorted(spelled(clip, unit) for clip in test.take(places))


def _worded(fold: str, found: Iterable[Found]) -> Iterator[Finding]:
    for severity, what, who in found:
        if who:
            yield Finding(fold, severity, what, tuple(who))
