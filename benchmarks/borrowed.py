"""Settings that tuning found, written down for other runs; and whether somebody they were found on is tested there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.content import ids
from benchmarks.settings import Borrowed
from datasets.clips import UserError
from datasets.roll import Clips
from protocols.identity import canonical, value

if TYPE_CHECKING:
    from benchmarks.arenas import Arena
    from benchmarks.plan import Cell, Row

KIND = "settings found by tuning"


class ParamsError(UserError):
    """A file of settings cannot be used."""


def written(row: "Row", arena: "Arena", cell: "Cell", found: Mapping[str, Any]) -> dict[str, Any]:
    """What is found for a fold, and on whom."""
    train = Clips.of(cell.fold.train)
    people = {clip.subject for clip in train}
    return {
        "kind": KIND,
        "method": row.name,
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
        "dataset": arena.dataset.name,
        "standin": arena.dataset.standin,
        "corpus": arena.digest,
        "task": arena.task,
        "protocol": arena.protocol,
        "fold": cell.fold.name,
        "seed": cell.seed,
        "trials": row.wish.trials,
        "value": found["value"],
        "default": found["default"],
        "params": found["params"],
        "subjects": [] if None in people else sorted(filter(None, people)),
        "media": arena.contents.held(train.media),
        "sounds": arena.contents.heard(train.media),
    }


def read(file: Path, method: str) -> tuple[dict[str, Any], Borrowed]:
    """The settings of the only fold in a file, and on whom they were found."""
    try:
        told: Sequence[Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        (one,) = [each for each in told if each["kind"] == KIND] if len(told) == 1 else [None]
        if one is None:
            folds = ", ".join(str(each["fold"]) for each in told)
            raise ParamsError(f"{file} has settings of {len(told)} folds ({folds}); make one of one: tune --fold NAME")
        borrowed = Borrowed(
            str(one["dataset"]),
            bool(one["standin"]),
            frozenset(one["subjects"]),
            frozenset(one["media"]),
            frozenset(one["sounds"]),
        )
        params, whose = dict(one["params"]), one["method"]
    except OSError as error:
        raise ParamsError(f"{file} cannot be read ({error.strerror}); tune --out writes such a file") from None
    except (ValueError, KeyError, TypeError):
        raise ParamsError(f"{file} is no file of found settings; tune --out writes one") from None
    if whose != method:
        raise ParamsError(f"{file} has settings of {whose}, not of {method}; name the method that it is of")
    return params, borrowed


def overlaps(borrowed: Borrowed | None, arena: "Arena") -> bool:
    """Whether anybody, or any recording, that settings were found on is tested; who is not known may be anybody."""
    if borrowed is None:
        return False
    tested = arena.clips.take(np.isin(arena.clips.ids, np.concatenate([ids(fold.test_media) for fold in arena.folds])))
    held, heard = arena.contents.held(tested.media), arena.contents.heard(tested.media)
    if not borrowed.media.isdisjoint(held) or not borrowed.sounds.isdisjoint(heard):
        return True
    if (borrowed.dataset, borrowed.standin) != (arena.dataset.name, arena.dataset.standin):
        return False
    people = {value(clip, "subject") for clip in tested}
    known = {canonical(person, "subject") for person in borrowed.subjects}
    return not known or None in people or bool(people & known)
