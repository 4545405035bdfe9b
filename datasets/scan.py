"""From what the files say to clips: join, compare, tie, relabel. Nothing found is dropped silently."""

import hashlib
import marshal
import os
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datasets.base import Dataset, Entry, Listing, Problem
from datasets.clips import AVEF_TABLE_2, TASKS, Clip, DatasetError, Media, Track, file_digest, tie
from datasets.records import Records, dumped
from datasets.roll import Clips, fingerprint, parts

JUNK = re.compile(r"\..+|thumbs\.db|desktop\.ini|__macosx|standin\.json", re.IGNORECASE)
FACTS = ("subject", "label", "session", "sentence", "split")
Places = npt.NDArray[np.intp]
NAMED = tuple(field.name for field in fields(Entry) if field.name not in ("kinds", "tracks"))


def scan(dataset: Dataset, task: str) -> Listing:
    """Every entry ends as part of a clip, as a problem, as left out for a reason, or as excluded by the user."""
    if task not in TASKS:
        raise DatasetError(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
    problems: list[Problem] = []
    reasons: dict[str, int] = {"": 0}
    why = array("q")

    def made() -> Iterator[Clip]:
        for group in groups:
            clip, reason = _join(dataset, group, problems), _reason(dataset, group, task)
            why.append(reasons.setdefault(reason, len(reasons)))
            yield clip if reason or task == TASKS[0] else replace(clip, label=AVEF_TABLE_2[task][clip.label])

    groups, excluded = _grouped(dataset, problems)
    clips = Clips.of(made())
    by_reason = {reason: clips.take(np.array(why) == number) for reason, number in sorted(reasons.items())}
    return Listing(
        clips=_tie_identical(dataset, by_reason.pop(""), problems).by_name(),
        problems=tuple(problems),
        left_out=by_reason,
        excluded=tuple(sorted(excluded)),
    )


def _grouped(dataset: Dataset, problems: list[Problem]) -> tuple[Iterator[list[Entry]], set[str]]:
    """Entries by the clip that they belong to, in the order of the clips; what the user excludes, as he names it."""
    excluded: set[str] = set()
    names = bytearray()

    def kept() -> Iterator[bytes]:
        for found in chain(dataset.entries(), _unopened(dataset)):
            if dataset.exclude and (told := _names(dataset, found) & dataset.exclude):
                excluded.update(told)
            elif isinstance(found, Problem):
                problems.append(found)
            else:
                names.extend(fingerprint(found.name.casefold()))
                yield dumped(_plain(found))

    entries = Records(kept())  # in a file, for there may be a million
    if unknown := dataset.exclude - excluded:
        raise DatasetError(
            f"{min(unknown)!r} is to be excluded, but {dataset.root} holds no such clip or file; "
            "write corpus:name for a clip of another corpus"
        )
    _, begin, number = np.unique(np.frombuffer(names, "S16"), return_index=True, return_inverse=True)
    return _groups(entries, begin[number]), excluded


def _groups(entries: Records, first: Places) -> Iterator[list[Entry]]:
    """Those that belong together; `first` tells of each where its clip was met first."""
    for rows in _together(first, np.arange(len(first))):
        yield [_entry(*marshal.loads(entries[row])) for row in rows]  # noqa: S302  written by `_grouped`


def _together(first: Places, some: Places) -> Iterator[list[int]]:
    """Some places in groups that have one first place, in its order."""
    order = some[np.argsort(first[some], kind="stable")]
    for _, group in groupby(map(int, order), key=first.__getitem__):
        yield [*group]


def _plain(entry: Entry) -> tuple[Any, ...]:
    """As marshal takes it; what it states as text, for a table may have told numbers."""
    told = {name: fact if (fact := getattr(entry, name)) is None else str(fact) for name in NAMED}
    return (
        told,
        {kind: int(rank) for kind, rank in entry.kinds.items()},
        {kind: parts(track) for kind, track in entry.tracks.items()},
    )


def _entry(told: dict[str, Any], kinds: dict[str, int], tracks: dict[str, tuple[Any, ...]]) -> Entry:
    return Entry(**told, kinds=kinds, tracks={kind: Track(*track) for kind, track in tracks.items()})


def listed(root: Path, below: str = "") -> Iterator[str]:
    """Every name below the root that is no folder, sorted, without the droppings of desktop systems."""
    try:
        with os.scandir(root / below) as found:
            names = sorted((one.name, _is_folder(one)) for one in found if not JUNK.fullmatch(one.name))
    except OSError as error:
        raise DatasetError(f"the folder {error.filename} cannot be read ({error.strerror}); make it readable") from None
    for name, folder in names:
        if folder:
            yield from listed(root, f"{below}{name}/")
        else:
            yield f"{below}{name}"


def _is_folder(found: "os.DirEntry[str]") -> bool:
    """Links that lead in a circle are none."""
    try:
        return found.is_dir()
    except OSError:
        return False


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
        offers = sorted((e for e in group if kind in e.tracks), key=lambda e: (e.kinds[kind], e.tracks[kind].place))
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
        media=Media(clip_id(dataset.name, first.name, *_sizes(tracks)), frozenset(tracks), tracks),
        name=first.name,
        subject=first.subject,
        label=first.label or "",
        session=first.session,
        sentence=first.sentence,
        split=first.split,
        recording=first.recording or first.name,
    )


def clip_id(*facts: object) -> str:
    """A name that tells nothing: file names name emotions. Sizes are in it, so that names cannot be tried through."""
    return hashlib.blake2b("/".join(map(str, facts)).encode(), digest_size=8).hexdigest()


def _sizes(tracks: Mapping[str, Track]) -> list[object]:
    return [(kind, track.size, track.start) for kind, track in sorted(tracks.items())]


def _tie_identical(dataset: Dataset, clips: Clips, problems: list[Problem]) -> Clips:
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
    return tied(clips, pairs)


def tied(clips: Clips, recordings: Iterable[tuple[str, str]]) -> Clips:
    """The same, with these recordings, pair by pair, made one."""
    if not (one := tie(recordings)):
        return clips
    return Clips.of(replace(clip, recording=one.get(own := clip.recording or clip.name, own)) for clip in clips)


def _identical(clips: Clips) -> Iterator[list[Clip]]:
    """Clips that share a whole file, by name. Only files of equal size and end can, so few are read, if any."""
    sizes, owners = array("q"), array("q")
    for place, clip in enumerate(clips):
        for _, track in _whole(clip):
            sizes.append(track.size)
            owners.append(place)
    _, begin, number, count = np.unique(sizes, return_index=True, return_inverse=True, return_counts=True)
    for same in _together(begin[number], np.flatnonzero(count[number] > 1)):
        places = sorted({owners[one] for one in same})
        if len(places) > 1:
            yield from _same_end(clips.take(np.array(places)), sizes[same[0]])


def _whole(clip: Clip) -> Iterator[tuple[Clip, Track]]:
    """What is a file of its own, each with its clip."""
    for track in clip.media._tracks.values():
        if track.start == 0 and track.end is None and track.offset is None:
            yield clip, track


def _same_end(clips: Iterable[Clip], size: int) -> Iterator[list[Clip]]:
    by_end: dict[bytes, list[tuple[Clip, Track]]] = defaultdict(list)
    for clip, track in chain.from_iterable(map(_whole, clips)):
        if track.size == size:
            by_end[_end(track.file)].append((clip, track))
    for same in by_end.values():
        yield from _same_file(same)


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
