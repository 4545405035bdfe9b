"""From what the files say to clips: join, compare, tie, relabel. Nothing found is dropped silently."""

import hashlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

from datasets.base import Dataset, Entry, Listing, Problem
from datasets.clips import AVEF_TABLE_2, TASKS, Clip, DatasetError, Media, Track, file_digest, tie

JUNK = re.compile(r"\..+|thumbs\.db|desktop\.ini|__macosx|standin\.json", re.IGNORECASE)
FACTS = ("subject", "label", "session", "sentence", "split")


def scan(dataset: Dataset, task: str) -> Listing:
    """Every entry ends as part of a clip, as a problem, as left out for a reason, or as excluded by the user."""
    if task not in TASKS:
        raise DatasetError(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
    problems: list[Problem] = []
    groups, excluded = _grouped(dataset, problems)
    clips: list[Clip] = []
    left_out: dict[str, list[Clip]] = defaultdict(list)
    for name in [*groups]:
        group = groups.pop(name)  # there may be a million
        clip = _join(dataset, group, problems)
        if reason := _reason(dataset, group, task):
            left_out[reason].append(clip)
        else:
            clips.append(clip if task == "emotion" else replace(clip, label=AVEF_TABLE_2[task][clip.label]))
    return Listing(
        clips=tuple(sorted(_tie_identical(dataset, clips, problems), key=lambda clip: clip.name)),
        problems=tuple(problems),
        left_out={reason: tuple(some) for reason, some in sorted(left_out.items())},
        excluded=tuple(sorted(excluded)),
    )


def _grouped(dataset: Dataset, problems: list[Problem]) -> tuple[dict[str, list[Entry]], set[str]]:
    """Entries by the clip that they belong to, and what the user excludes, as he names it."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    excluded: set[str] = set()
    for found in chain(dataset.entries(), _unopened(dataset)):
        if dataset.exclude and (names := _names(dataset, found) & dataset.exclude):
            excluded |= names
        elif isinstance(found, Problem):
            problems.append(found)
        else:
            groups[found.name.casefold()].append(found)
    if unknown := dataset.exclude - excluded:
        raise DatasetError(
            f"{min(unknown)!r} is to be excluded, but {dataset.root} holds no such clip or file; "
            "write corpus:name for a clip of another corpus"
        )
    return groups, excluded


def listed(root: Path) -> tuple[str, ...]:
    """Every name below the root that is no folder, sorted, without the droppings of desktop systems."""
    walk = os.walk(root, onerror=_closed, followlinks=True)
    found = (Path(folder, file).relative_to(root) for folder, _, files in walk for file in files)
    kept = (path.as_posix() for path in found if not any(map(JUNK.fullmatch, path.parts)))
    return tuple(sorted(kept, key=lambda name: name.split("/")))


def _closed(error: OSError) -> None:
    if not JUNK.fullmatch(Path(error.filename).name):  # a disk's .Trashes is nobody's corpus
        raise DatasetError(f"the folder {error.filename} cannot be read ({error.strerror}); make it readable") from None


def _unopened(dataset: Dataset) -> Iterator[Problem]:
    """What is listed but is no file: a link that leads nowhere."""
    for path in dataset.unopened:
        yield Problem("unreadable", str(path), "leads to no file; mend the link or get the file again")


def _reason(dataset: Dataset, group: Sequence[Entry], task: str) -> str:
    """Why a clip stays outside the benchmark; empty for a clip of it."""
    label = group[0].label
    if group[0].left_out:
        return group[0].left_out
    if label not in dataset.labels:
        return f"labelled {label}, no class of this benchmark"
    if task != "emotion" and label not in AVEF_TABLE_2[task]:
        return f"{label} has no {task} in AVEF's Table 2"
    return ""


def _names(dataset: Dataset, found: Entry | Problem) -> set[str]:
    """Every name by which a user may exclude it: the clip's, and its files' paths and stems."""
    if isinstance(found, Problem):
        return {found.name}
    files = {track.file.relative_to(dataset.root) for track in found.tracks.values()}
    return {found.name} | {file.as_posix() for file in files} | {file.stem for file in files}


def _join(dataset: Dataset, group: Sequence[Entry], problems: list[Problem]) -> Clip:
    """One clip from all releases of one recording: the best sound, the best picture, and one set of facts."""
    first = group[0]
    tracks: dict[str, Track] = {}
    for kind in sorted({kind for entry in group for kind in entry.tracks}):
        offers = sorted((e for e in group if kind in e.tracks), key=lambda e: (e.kinds[kind], str(e.tracks[kind].file)))
        tracks[kind] = offers[0].tracks[kind]
        for other in offers[1:]:
            if other.kinds[kind] == offers[0].kinds[kind]:
                used, spare = (e.tracks[kind].file.relative_to(dataset.root).as_posix() for e in (offers[0], other))
                problem = Problem("duplicated", spare, f"the same performance as {used}, which is used")
                problems.extend([problem] if problem not in problems else [])
    for fact in FACTS:
        values = sorted({str(value) for entry in group if (value := getattr(entry, fact)) is not None})
        if len(values) > 1:
            problems.append(Problem("contradictory", first.name, f"its files disagree on {fact}: {', '.join(values)}"))
    problems.extend(Problem("contradictory", e.name, e.contradiction) for e in group if e.contradiction)
    return Clip(
        media=Media(clip_id(dataset.name, first.name, *_sizes(tracks)), _kinds(*tracks), tracks),
        name=first.name,
        subject=_once(first.subject),
        label=_once(first.label) or "",
        session=_once(first.session),
        sentence=_once(first.sentence),
        split=_once(first.split),
        recording=first.recording or first.name,
    )


def _once(fact: str | None) -> str | None:
    """One text for all clips of a person, and so on."""
    return fact and sys.intern(str(fact))


@cache
def _kinds(*names: str) -> frozenset[str]:
    """The same object for all clips that have the same."""
    return frozenset(names)


def clip_id(*facts: object) -> str:
    """A name that tells nothing: file names name emotions. Sizes are in it, so that names cannot be tried through."""
    return hashlib.blake2b("/".join(map(str, facts)).encode(), digest_size=8).hexdigest()


def _sizes(tracks: Mapping[str, Track]) -> list[object]:
    return [(kind, track.file.stat().st_size, track.start) for kind, track in sorted(tracks.items())]


def _tie_identical(dataset: Dataset, clips: Sequence[Clip], problems: list[Problem]) -> Iterator[Clip]:
    """The same bytes under two names become one recording, so that no split can part them."""
    pairs: list[tuple[str, str]] = []
    for same in _identical(clips):
        first, *others = same
        for other in others:
            pairs.append((first.recording or first.name, other.recording or other.name))
            kind, what = "duplicated", f"the same content as {first.name}"
            if (first.label, first.subject) != (other.label, other.subject):
                kind, what = "contradictory", f"{what}, yet {_told(other)} here and {_told(first)} there"
            problems.append(Problem("note" if dataset.collected else kind, other.name, what))  # type: ignore[arg-type]
    representative = tie(pairs)
    for clip in clips:
        recording = clip.recording or clip.name
        yield replace(clip, recording=representative.get(recording, recording))


def _identical(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Clips that share a whole file, by name. Only files of equal size and end can, so few are read, if any."""
    by_size: dict[int, list[tuple[Clip, Track]]] = defaultdict(list)
    for clip in clips:
        for track in clip.media._tracks.values():
            if track.start == 0 and track.end is None and track.offset is None:
                by_size[track.file.stat().st_size].append((clip, track))
    for same_size in by_size.values():
        if len({clip.name for clip, _ in same_size}) == 1:
            continue
        by_end: dict[bytes, list[tuple[Clip, Track]]] = defaultdict(list)
        for clip, track in same_size:
            by_end[_end(track.file)].append((clip, track))
        for same_end in by_end.values():
            yield from _same_file(same_end)


def _same_file(owned: Sequence[tuple[Clip, Track]]) -> Iterator[list[Clip]]:
    owners: dict[str, dict[str, Clip]] = defaultdict(dict)
    if len({clip.name for clip, _ in owned}) > 1:
        digests = {file: file_digest(file) for file in {track.file for _, track in owned}}
        for clip, track in owned:
            owners[digests[track.file]][clip.name] = clip
    yield from (sorted(same.values(), key=lambda clip: clip.name) for same in owners.values())


def _end(file: Path) -> bytes:
    """A digest of the last few thousand bytes: of some 300,000 pictures, hundreds are of any one size."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 4096))
        return hashlib.blake2b(stream.read(), digest_size=16).digest()


def _told(clip: Clip) -> str:
    return f"{clip.label} of subject {clip.subject}"
