"""Is this copy of a corpus complete and readable? Every clip is decoded; every fault is named."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import MANIFEST, Dataset, Listing, Problem
from datasets.clips import AVEF_TABLE_2, TASKS, Advance, Clip, DatasetError, file_digest
from datasets.probe import Probe, probe
from datasets.processes import Ended, in_processes
from datasets.roll import Clips

Decoded = Mapping[str, Probe | str]  # by kind of track; a text says why it cannot be decoded


@dataclass(frozen=True)
class Report:
    """The verdict on one copy."""

    dataset: str
    root: Path
    standin: bool
    listing: Listing
    tasks: Mapping[str, Mapping[str, int]]  # clips per label, by task
    expected: tuple[int, int]
    seconds: float  # of sound
    problems: tuple[Problem, ...]

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What keeps this copy from being complete and readable: everything but notes."""
        return tuple(problem for problem in self.problems if problem.kind != "note")

    def of(self, kind: str) -> tuple[Problem, ...]:
        """The problems of one kind."""
        return tuple(problem for problem in self.problems if problem.kind == kind)

    def has(self, kind: str) -> int:
        """How many clips come with sound ("audio"), picture ("video") or markers ("mocap")."""
        return sum(kind in clip.media.has for clip in self.listing.clips)


def check(dataset: Dataset, processes: int, advance: Advance | None = None) -> Report:
    """Decode every clip, then compare with what should be there."""
    listing = dataset.scan()
    problems = list(listing.problems)
    decoded: list[Decoded] = []
    everything = Clips.joined(listing.clips, *listing.left_out.values())
    for found in _decode_all(everything, processes):
        decoded.append(found)
        if advance:
            advance(len(decoded), len(everything))
    for clip, found in zip(everything, decoded, strict=True):
        problems += [Problem("unreadable", clip.name, text) for text in found.values() if isinstance(text, str)]
    problems += _by_ear(everything, decoded)
    problems += _sources(dataset, listing.clips)
    problems += _against_manifest(dataset) if dataset.standin else _against_counts(dataset, listing)
    sounds = (found["audio"] for found in decoded[: len(listing.clips)] if "audio" in found)
    return Report(
        dataset=dataset.name,
        root=dataset.root,
        standin=dataset.standin,
        listing=listing,
        tasks={task: _counts(listing, AVEF_TABLE_2.get(task)) for task in TASKS},
        expected=_manifest_clips(dataset) if dataset.standin else dataset.expected.clips,
        seconds=sum(sound.seconds for sound in sounds if isinstance(sound, Probe)),
        problems=tuple(problems),
    )


def _counts(listing: Listing, scheme: Mapping[str, str] | None) -> dict[str, int]:
    labels = (clip.label if scheme is None else scheme.get(clip.label) for clip in listing.clips)
    return dict(Counter(label for label in labels if label))


def _decode_all(clips: Sequence[Clip], processes: int) -> Iterator[Decoded]:
    """In further processes, where there are any: a decoder may bring its own down."""
    if not processes:
        yield from map(_decode, clips)
        return
    for found in in_processes(_decode, clips, max(1, min(processes, len(clips) // 2))):
        yield {"any": found.what} if isinstance(found, Ended) else found


def _decode(clip: Clip) -> Decoded:
    found: dict[str, Probe | str] = {}
    for kind, track in clip.media._tracks.items():
        try:
            found[kind] = probe(track, kind)
        except DatasetError as error:
            found[kind] = str(error)
    return found


def _by_ear(clips: Sequence[Clip], decoded: Sequence[Decoded]) -> Iterator[Problem]:
    """Silence, and the same sound in different files (a wav beside its flac, a copy in another container)."""
    first: dict[str, Clip] = {}
    for clip, found in zip(clips, decoded, strict=True):
        sound = found.get("audio")
        if isinstance(sound, Probe) and not sound.digest:
            yield Problem("note", clip.name, "its sound is silence")
        elif isinstance(sound, Probe):
            other = first.setdefault(sound.digest, clip)
            if other.recording != clip.recording:
                yield Problem("duplicated", clip.name, f"the same sound as {other.name} in another file")


def _sources(dataset: Dataset, clips: Sequence[Clip]) -> Iterator[Problem]:
    """Sound that comes partly from its own files and partly from the picture's: codecs tell such clips apart."""
    suffixes = (track.file.suffix.lower() for clip in clips if (track := clip.media._tracks.get("audio")))
    if len(counts := Counter(suffixes)) > 1:
        told = ", ".join(f"of {count} clips from {suffix}" for suffix, count in sorted(counts.items()))
        yield Problem("note", dataset.name, f"its sound is of several kinds of file: {told}")


def _against_counts(dataset: Dataset, listing: Listing) -> Iterator[Problem]:
    """What the whole corpus has and this copy lacks, by name where the names are known, else by number."""
    expected, clips = dataset.expected, listing.clips
    left_out = sum(map(len, listing.left_out.values()))
    there = {*(clip.name for clip in clips), *listing.excluded}
    if dataset.exact_plan:
        yield from _absent_names(dataset, there)
    elif len(clips) + len(listing.excluded) < expected.clips[0]:
        yield Problem("missing", dataset.name, f"{len(clips)} of {expected.clips[0]} clips are there")
    if len(clips) > expected.clips[1]:
        yield Problem("unexpected", dataset.name, f"{len(clips)} clips are there, {expected.clips[1]} are known")
    subjects = {clip.subject for clip in clips if clip.subject}
    if not dataset.exact_plan and len(subjects) < expected.subjects[0]:
        yield Problem("missing", dataset.name, f"{len(subjects)} of {expected.subjects[0]} subjects are there")
    counts = Counter(clip.label for clip in clips)
    for label, count in expected.labels.items():
        if not dataset.exact_plan and counts[label] < count:
            yield Problem("missing", dataset.name, f"{counts[label]} of {count} clips of {label} are there")
    if left_out < expected.left_out:
        what = f"{left_out} of {expected.left_out} clips outside the benchmark's classes are there"
        yield Problem("note", dataset.name, what)


def _absent_names(dataset: Dataset, there: set[str]) -> Iterator[Problem]:
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for plan in dataset.plan(full=True):
        wanted[plan.scenes[0].person][plan.scenes[0].entry.name] = None
    for person, names in wanted.items():
        absent = [name for name in names if name not in there]
        if len(absent) == len(names):
            yield Problem("missing", f"subject {person}", f"all {len(names)} clips")
        else:
            yield from (Problem("missing", name, f"of subject {person}") for name in absent)


def _against_manifest(dataset: Dataset) -> Iterator[Problem]:
    """A stand-in is known to the byte."""
    files: Mapping[str, str] = json.loads((dataset.root / MANIFEST).read_text())["files"]
    there = {str(path) for path in dataset.files}
    for path, digest in files.items():
        if path not in there:
            yield Problem("missing", path, "stands in the stand-in's manifest")
        elif file_digest(dataset.root / path) != digest:
            yield Problem("altered", path, "differs from the stand-in's manifest; delete the folder to render it anew")
    yield from (Problem("unexpected", path, "not in the stand-in's manifest") for path in sorted(there - files.keys()))


def _manifest_clips(dataset: Dataset) -> tuple[int, int]:
    clips: int = json.loads((dataset.root / MANIFEST).read_text())["clips"]
    return clips, clips
