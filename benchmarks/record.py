"""What stands beside a result: how it was asked for, made and split; never part of its key."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.arenas import Arena
from benchmarks.determinism import in_force
from benchmarks.environment import git
from benchmarks.plan import Cell, Entrant, Initial, Row
from benchmarks.settings import flat
from protocols.base import Judged
from protocols.scores import METRICS, Scores


def row_record(row: Entrant, arena: Arena, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and tags of a row."""
    params = {
        "method": row.name,
        "dataset": arena.dataset.name,
        "protocol": arena.protocol,
        "task": arena.task,
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
        "weights": row.weights or "none needed",
        "initial": "; ".join(f"{part} from {', '.join(told.corpora)}" for part, told in row.initials.items()) or "none",
        **flat(row.config),
    }
    return params, {
        **_shared(row, arena),
        "bench.independence": row.independence(arena.independence),
        "bench.cells": len(row.cells),
        "bench.seeds": len({cell.seed for cell in row.cells}),
        "bench.dataset": arena.dataset.name,
        **made_with(row, device),
    }


def _shared(row: Entrant, arena: Arena) -> dict[str, Any]:
    """What a row and each of its Cells say of themselves."""
    low, high = arena.dataset.expected.clips
    return {
        "bench.setup": row.setup,
        "bench.method": row.name,
        "bench.modality": row.modality,
        "bench.variant": row.wish.variant,
        "bench.preset": row.wish.preset,
        "bench.stamps": ", ".join(row.stamps),
        "bench.substituted": ", ".join(row.substituted),
        "bench.protocol": arena.protocol,
        "bench.task": arena.task,
        "bench.standin": arena.dataset.standin,
        "bench.corpus": arena.digest,
        "bench.clips": len(arena.clips),
        "bench.clips_of_the_whole_corpus": low if low == high else f"{low}-{high}",
        "bench.partial": arena.partial,
        "bench.excluded": len(arena.dataset.exclude),
        "bench.chance": 1 / len(arena.folds[0].labels),
    }


def made_with(row: Entrant, device: str) -> dict[str, Any]:
    """Tags that tell the machine and the source."""
    return {
        "bench.method_version": row.version,
        "bench.source": row.source,
        "bench.device": device,
        "bench.deterministic": in_force(),
        **{f"bench.git_{name}": value for name, value in git().items()},
    }


def cell_tags(row: Entrant, arena: Arena, cell: Cell, device: str) -> dict[str, Any]:
    """Tags of a Cell."""
    return {
        **_shared(row, arena),
        "bench.key": cell.key,
        "bench.independence": row.independence(cell.fold.independence),
        "bench.fold": cell.fold.name,
        "bench.seed": cell.seed,
        **made_with(row, device),
    }


def initial_tags(initial: Initial, seed: int, device: str) -> dict[str, Any]:
    """Tags of a model of other corpora."""
    row = initial.row
    return {
        "bench.kind": "initial",
        "bench.key": initial.key(seed),
        "bench.method": row.name,
        "bench.modality": row.modality,
        "bench.preset": row.wish.preset,
        "bench.stamps": ", ".join(row.stamps),
        "bench.task": initial.arenas[0].task,
        "bench.corpora": ", ".join(initial.corpora),
        "bench.standin": initial.standin,
        "bench.seed": seed,
        **made_with(row, device),
    }


def provenance(initial: Initial, seed: int) -> dict[str, Any]:
    """What a model of other corpora was made of."""
    return {
        "key": initial.key(seed),
        "config": asdict(initial.row.config),
        "weights": initial.row.weights,
        "corpora": [
            {
                "name": arena.dataset.name,
                "standin": arena.dataset.standin,
                "digest": arena.digest,
                "subjects": sorted({clip.subject for clip in arena.clips if clip.subject}),
                "media": arena.contents.held(arena.clips.media),
                "sounds": arena.contents.heard(arena.clips.media),
            }
            for arena in initial.arenas
        ],
    }


def membership(row: Entrant, arena: Arena, cell: Cell) -> dict[str, Any]:
    """Who was trained on and tested, by the digests of their media, and how the method was set."""
    fold = cell.fold
    return {
        "key": cell.key,
        "fold": fold.name,
        "seed": cell.seed,
        "dataset": arena.dataset.name,
        "standin": arena.dataset.standin,
        "protocol": arena.protocol,
        "independence": row.independence(fold.independence),
        "task": arena.task,
        "classes": fold.labels,
        "method": row.name,
        "version": row.version,
        "source": row.source,
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
        "stamps": row.stamps,
        "config": asdict(row.config),
        "initial": {part: initial.key(cell.seed) for part, initial in row.initials.items()},
        "held_out": fold.held_out,
        "train": [clip.media.clip_id for clip in fold.train],
        "test": [media.clip_id for media in fold.test_media],
        "dropped": fold.dropped,
        "excluded": sorted(arena.dataset.exclude),
        "findings": [str(finding) for finding in fold.findings],
    }


def model_facts(row: Row) -> dict[str, Any]:
    """What makes a model again, besides."""
    return {
        "substituted": row.substituted,
        "frozen": row.frozen.key if row.frozen else None,
        "weightless": row.wish.weightless,
    }


def audited(fold: Judged) -> dict[str, Any]:
    """What was measured of a fold."""
    findings = [str(finding) for finding in fold.findings]
    return {"fold": fold.name, "independence": fold.independence, "held_out": fold.held_out, "findings": findings}


def line(
    cell: Cell, scores: Scores | None, error: str, run_id: str, made: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A Cell in the table of its row; `made` is what else is known of it."""
    values = {name: round(getattr(scores, name), 4) if scores else "" for name in METRICS}
    return {
        "fold": cell.fold.name,
        "seed": cell.seed,
        "key": cell.key,
        "run_id": run_id,
        **values,
        **(made or {}),
        "error": error,
    }
