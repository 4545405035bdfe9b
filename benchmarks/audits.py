"""Somebody else's fold file, read into splits that the auditor can judge."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from benchmarks.plugins import load, names
from datasets.base import Clip, Dataset, DatasetError, Media
from datasets.scan import clip_id
from protocols.audit import Split, Verdict, audit

ROLES = ("train", "validation", "test")
Row = tuple[int, str, str, str]  # line, clip, fold, role


@dataclass(frozen=True)
class Audit:
    """A verdict, and what it rests on: recordings are told by equal files where the corpus is there, else by names."""

    verdict: Verdict
    dataset: str
    standin: bool
    by_content: int  # clips
    by_name: int


def judge(rows: Sequence[Row], dataset: Dataset, there: bool) -> Audit:
    """The verdict on a fold file, with the corpus as it is on disk if it is there."""
    on_disk = {clip.name.casefold(): clip for clip in dataset.scan().clips} if there else {}
    judged = tuple(splits(rows, dataset, on_disk))
    sides = (side for split in judged for side in (split.train, split.validation, split.test))
    found = {clip.name: bool(clip.media.has) for side in sides for clip in side}
    by_content = sum(found.values())
    return Audit(audit(judged), dataset.name, there and dataset.standin, by_content, len(found) - by_content)


def read_folds(file: Path) -> list[Row]:
    """The rows of a CSV with the header clip,fold,role."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read as UTF-8 text ({error}); give a CSV file") from None
    lines = text.splitlines()
    reader = csv.DictReader([line.replace(" ", "").lower() for line in lines[:1]] + lines[1:])
    if missing := {"clip", "fold", "role"} - set(reader.fieldnames or ()):
        raise DatasetError(f"{file} lacks the column {sorted(missing)[0]}; its header must hold clip,fold,role")
    rows: list[Row] = []
    for row in reader:
        clip, fold, role = ((row[key] or "").strip() for key in ("clip", "fold", "role"))
        if not clip or not fold or role.lower() not in ROLES:
            raise DatasetError(f"{file} line {reader.line_num} reads {clip},{fold},{role}; role is {', '.join(ROLES)}")
        rows.append((reader.line_num, clip, fold, role.lower()))
    if not rows:
        raise DatasetError(f"{file} has no rows below its header")
    return rows


def infer(rows: Sequence[Row]) -> str:
    """The corpus whose naming fits every clip."""
    candidates = set(names("datasets"))
    for line, clip, _, _ in rows:
        fitting = {name for name in candidates if load("datasets", name)(Path()).read(PurePosixPath(clip))}
        if not fitting:
            raise DatasetError(f"line {line}: {clip!r} fits no corpus' naming; name the corpus with --dataset")
        candidates = fitting
    if len(candidates) > 1:
        raise DatasetError(f"the names fit {' and '.join(sorted(candidates))}; name the corpus with --dataset")
    return candidates.pop()


def splits(rows: Sequence[Row], dataset: Dataset, on_disk: Mapping[str, Clip]) -> Iterator[Split]:
    """One split a fold; a clip is known by the corpus on disk where that is there, else by its name alone."""
    sides: dict[str, dict[str, dict[str, Clip]]] = defaultdict(lambda: {role: {} for role in ROLES})
    for line, written, fold, role in rows:
        clip = _clip(written, dataset, on_disk)
        if clip is None:
            like = next(dataset.plan(False)).scenes[0].entry.name
            raise DatasetError(f"line {line}: {written!r} is no clip of {dataset.name}; names look like {like}")
        sides[fold][role][written] = clip
    for fold, roles in sides.items():
        yield Split(f"fold {fold}", *(tuple(roles[role].values()) for role in ROLES))


def _clip(written: str, dataset: Dataset, on_disk: Mapping[str, Clip]) -> Clip | None:
    entry = dataset.read(PurePosixPath(written))
    if entry is None:
        same_stem = [clip for name, clip in on_disk.items() if name.rpartition("/")[2] == written.casefold()]
        return replace(same_stem[0], name=written) if len(same_stem) == 1 else None
    known = on_disk.get(entry.name.casefold())
    if known:
        return replace(known, name=written)
    nowhere = Media(clip_id(dataset.name, entry.name), frozenset(), {})
    return Clip(
        nowhere, written, entry.subject, entry.label or "", entry.session, entry.sentence, entry.split, entry.name
    )
