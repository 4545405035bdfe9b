"""From what the files say to clips: join, compare, tie, relabel. Nothing found is dropped silently."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from datasets.base import (
    AVEF_TABLE_2,
    TASKS,
    Clip,
    Dataset,
    DatasetError,
    Entry,
    Listing,
    Media,
    Problem,
    Track,
    file_digest,
    tie,
)

FACTS = ("subject", "label", "session", "sentence", "split")


def scan(dataset: Dataset, task: str) -> Listing:
    """Every entry ends as part of a clip, as a problem, as left out for a reason, or as excluded by the user."""
    if task not in TASKS:
        raise DatasetError(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
    problems: list[Problem] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    excluded: dict[str, set[str]] = {}
    groups: dict[str, list[Entry]] = defaultdict(list)
    for found in dataset.entries():
        if names := _names(dataset, found) & dataset.exclude:
            excluded[found.name] = names
        elif isinstance(found, Problem):
            problems.append(found)
        elif found.left_out:
            left_out[found.left_out].append(found.name)
        elif found.label not in dataset.labels:
            left_out[f"labelled {found.label}, no class of this benchmark"].append(found.name)
        else:
            groups[found.name.casefold()].append(found)
    if unknown := dataset.exclude.difference(*excluded.values()):
        raise DatasetError(f"{sorted(unknown)[0]!r} is to be excluded, but {dataset.root} holds no such clip or file")
    joined = [_join(dataset, group, problems) for group in groups.values()]
    tied = _tie_identical(joined, problems)
    clips = sorted(_relabelled(tied, task, left_out), key=lambda clip: clip.name)
    return Listing(
        clips=tuple(clips),
        problems=tuple(problems),
        left_out={reason: tuple(names) for reason, names in sorted(left_out.items())},
        excluded=tuple(sorted(excluded)),
    )


def _names(dataset: Dataset, found: Entry | Problem) -> set[str]:
    """Every name by which a user may exclude it: the clip's, and its files' paths and stems."""
    if isinstance(found, Problem):
        return {found.name}
    files = {track.file.relative_to(dataset.root) for track in found.tracks.values()}
    return {found.name} | {file.as_posix() for file in files} | {file.stem for file in files}


def _join(dataset: Dataset, group: Sequence[Entry], problems: list[Problem]) -> Clip:
    """One clip from all releases of one recording: the best sound, the best picture, and one set of facts."""
    first = min(group, key=lambda entry: entry.name)
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
    assert first.label is not None
    return Clip(
        media=Media(clip_id(dataset, first.name), frozenset(tracks), tracks),
        name=first.name,
        subject=first.subject,
        label=first.label,
        session=first.session,
        sentence=first.sentence,
        split=first.split,
        recording=first.name,
    )


def clip_id(dataset: Dataset, name: str) -> str:
    """A name that tells nothing: file names name emotions."""
    return hashlib.blake2b(f"{dataset.name}/{name}".encode(), digest_size=8).hexdigest()


def _tie_identical(clips: Sequence[Clip], problems: list[Problem]) -> Iterator[Clip]:
    """The same bytes under two names become one recording, so that no split can part them."""
    pairs: list[tuple[str, str]] = []
    for same in _identical(clips):
        first, *others = same
        for other in others:
            pairs.append((first.recording or first.name, other.recording or other.name))
            kind, what = "duplicated", f"the same content as {first.name}"
            if (first.label, first.subject) != (other.label, other.subject):
                kind, what = "contradictory", f"{what}, yet {_told(other)} here and {_told(first)} there"
            problems.append(Problem(kind, other.name, what))  # type: ignore[arg-type]
    representative = tie(pairs)
    for clip in clips:
        recording = clip.recording or clip.name
        yield replace(clip, recording=representative.get(recording, recording))


def _identical(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Clips that share a whole file, by name. Only files of equal size can, so few are read, if any."""
    by_size: dict[int, list[tuple[Clip, Track]]] = defaultdict(list)
    for clip in clips:
        for track in clip.media._tracks.values():
            if track.start == 0 and track.end is None:
                by_size[track.file.stat().st_size].append((clip, track))
    for same_size in by_size.values():
        owners: dict[str, dict[str, Clip]] = defaultdict(dict)
        if len({clip.name for clip, _ in same_size}) > 1:
            for clip, track in same_size:
                owners[file_digest(track.file)][clip.name] = clip
        yield from (sorted(same.values(), key=lambda clip: clip.name) for same in owners.values())


def _told(clip: Clip) -> str:
    return f"{clip.label} of subject {clip.subject}"


def _relabelled(clips: Iterable[Clip], task: str, left_out: dict[str, list[str]]) -> Iterator[Clip]:
    """The clips under the label scheme of the task; those that it does not cover are left out by name."""
    if task == "emotion":
        yield from clips
        return
    for clip in clips:
        if label := AVEF_TABLE_2[task].get(clip.label):
            yield replace(clip, label=label)
        else:
            left_out[f"{clip.label} has no {task} in AVEF's Table 2"].append(clip.name)
