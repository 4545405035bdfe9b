"""Somebody else's fold file, read into splits that the auditor can judge."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from benchmarks.plugins import load, names
from benchmarks.tables import read_table
from datasets.base import Dataset
from datasets.clips import Clip, DatasetError, Media
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
    return summed(tuple(splits(rows, dataset, on_disk)), dataset.name, there and dataset.standin)


def summed(judged: Sequence[Split], dataset: str, standin: bool) -> Audit:
    """The verdict on splits, and how well their clips are known."""
    sides = (side for split in judged for side in (split.train, split.validation, split.test))
    found = {clip.name: bool(clip.media.has) for side in sides for clip in side}
    by_content = sum(found.values())
    return Audit(audit(judged), dataset, standin, by_content, len(found) - by_content)


def read_folds(file: Path) -> list[Row]:
    """The rows of a CSV with the header clip,fold,role."""
    rows: list[Row] = []
    for line, row in read_table(file, ("clip", "fold", "role")).rows:
        clip, fold, role = (row[key] for key in ("clip", "fold", "role"))
        if not clip or not fold or role.lower() not in ROLES:
            raise DatasetError(f"{file} line {line} reads {clip},{fold},{role}; role is {', '.join(ROLES)}")
        rows.append((line, clip, fold, role.lower()))
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


def known(written: str, dataset: Dataset, on_disk: Mapping[str, Clip]) -> Clip | None:
    """The clip on disk that somebody else's table means; its names are in small letters there."""
    if exact := on_disk.get(written.casefold()):
        return exact
    if entry := dataset.read(PurePosixPath(written)):
        return on_disk.get(entry.name.casefold())
    same_stem = [clip for name, clip in on_disk.items() if name.rpartition("/")[2] == written.casefold()]
    return same_stem[0] if len(same_stem) == 1 else None


def _clip(written: str, dataset: Dataset, on_disk: Mapping[str, Clip]) -> Clip | None:
    if clip := known(written, dataset, on_disk):
        return replace(clip, name=written)
    entry = dataset.read(PurePosixPath(written))
    if entry is None:
        return None
    nowhere = Media(clip_id(dataset.name, entry.name), frozenset(), {})
    return Clip(
        nowhere, written, entry.subject, entry.label or "", entry.session, entry.sentence, entry.split, entry.name
    )
