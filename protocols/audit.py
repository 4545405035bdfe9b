"""The leak auditor: is a split honest, and if not, who stands on both sides of it?

It judges any split, ours and other people's. It knows names and ids only, never files or models.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.clips import Clip
from protocols.identity import Unit, aliases, spelled, value

Independence = Literal["verified", "unknown", "violated"]
Severity = Literal["leak", "doubt", "note"]  # a doubt leaves independence unknown; a note leaves it alone
NAMED = 5  # in a line of text; the finding itself names all


@dataclass(frozen=True)
class Split:
    """Somebody's training, validation and test clips. `others` stand on no side, yet they tell who is who."""

    name: str
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]
    others: tuple[Clip, ...] = ()


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
    known = {clip.name for split in splits for clip in (*split.train, *split.validation, *split.others)}
    over_all: list[Found] = [
        ("doubt", "nothing to judge", () if splits else ("no fold was given",)),
        ("note", "clip tested in several folds", sorted(name for name, times in tests.items() if times > 1)),
        ("note", "clip never tested", sorted(known - tests.keys()) if len(splits) > 1 else ()),
    ]
    return Verdict((*findings, *_worded("all folds", over_all)))


def judge(split: Split) -> tuple[Finding, ...]:
    """Everything that is wrong or doubtful with one split, the worst first."""
    everyone = (*split.train, *split.validation, *split.test, *split.others)
    person, recording = aliases(everyone, "subject"), aliases(everyone, "clip")
    found: list[Found] = []
    for side, clips in (("training", split.train), ("validation", split.validation)):
        found.append(_clips(side, clips, split.test))
        found.append(("leak", f"person of test in {side}", _people(person, split.test, clips)))
        found.append(("leak", f"recording of test in {side}", _recordings(recording, split.test, clips)))
    return tuple(_worded(split.name, [*found, *_doubts(split, person), *_notes(split, person)]))


def independence(findings: Iterable[Finding]) -> Independence:
    """Of the subjects of test from all others: violated by any leak, unknown with any doubt, else verified."""
    severities = {finding.severity for finding in findings}
    return "violated" if "leak" in severities else "unknown" if "doubt" in severities else "verified"


def _clips(side: str, clips: Sequence[Clip], test: Sequence[Clip]) -> Found:
    ours, theirs = {clip.name for clip in test}, {clip.name for clip in clips}
    what = f"{side} equals test" if ours == theirs else f"clip of test in {side}"
    return "leak", what, sorted(ours & theirs)


def _people(person: Mapping[str, str], test: Sequence[Clip], clips: Sequence[Clip]) -> list[str]:
    """People on both sides, by id; by both ids where only a shared recording tells that they are one."""
    there: dict[str, dict[str, str]] = {}
    for clip in clips:
        if own := value(clip, "subject"):
            there.setdefault(person[own], {}).setdefault(own, spelled(clip, "subject"))
    named: dict[str, str] = {}
    for clip in test:
        own = value(clip, "subject")
        if own and (ids := there.get(person[own])):
            also = "" if own in ids else f" (also {min(ids.values())})"
            named.setdefault(own, spelled(clip, "subject") + also)
    return sorted(named.values())


def _recordings(recording: Mapping[str, str], test: Sequence[Clip], clips: Sequence[Clip]) -> list[str]:
    """Pairs of differently named clips of one recording; of many such pairs, one for each clip."""
    tested: dict[str, list[str]] = {}
    for clip in sorted(test, key=lambda clip: clip.name):
        tested.setdefault(recording[clip.name], []).append(clip.name)
    return sorted(
        f"{twin} and {clip.name}"
        for clip in clips
        if (twin := next((name for name in tested.get(recording[clip.name], ()) if name != clip.name), ""))
    )


def _doubts(split: Split, person: Mapping[str, str]) -> Iterator[Found]:
    sides = {"training": split.train, "validation": split.validation, "test": split.test}
    yield "doubt", "nothing to judge", [f"no clip in {side}" for side in ("training", "test") if not sides[side]]
    missing = {side: sum(value(clip, "subject") is None for clip in clips) for side, clips in sides.items()}
    yield "doubt", "clips without a subject", [f"{count} in {side}" for side, count in missing.items() if count]
    tested = {_person(clip, person) for clip in split.test}
    strangers = [clip for clip in (*split.train, *split.validation) if _person(clip, person) not in tested]
    what = "dialogue shared: the held-out speaker may be heard in training"
    yield "doubt", what, _shared("session", split.test, strangers)


def _notes(split: Split, person: Mapping[str, str]) -> Iterator[Found]:
    shared = _shared("sentence", split.test, (*split.train, *split.validation))
    yield "note", f"{len(shared)} of the sentences of test are spoken in training too", shared
    yield "note", "person of validation in training", _people(person, split.validation, split.train)


def _person(clip: Clip, person: Mapping[str, str]) -> str | None:
    own = value(clip, "subject")
    return person[own] if own else None


def _shared(unit: Unit, test: Sequence[Clip], clips: Sequence[Clip]) -> list[str]:
    """Values of the unit on both sides, as the test clips spell them."""
    there = {value(clip, unit) for clip in clips}
    shared = {own: spelled(clip, unit) for clip in test if (own := value(clip, unit)) in there}
    return sorted(stated for stated in shared.values() if stated)


def _worded(fold: str, found: Iterable[Found]) -> Iterator[Finding]:
    for severity, what, who in found:
        if who:
            yield Finding(fold, severity, what, tuple(who))
