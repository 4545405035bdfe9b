"""The end of a run: what the user sees, and what programs read."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import console
from benchmarks.arenas import Arena
from benchmarks.outcome import Outcome
from benchmarks.plan import Initial
from benchmarks.result import EMPTY
from protocols.scores import METRICS


def show_arena(arena: Arena) -> None:
    """Before anything is trained: on what, and how honest."""
    dataset = arena.dataset
    if dataset.standin:
        console.warn(console.STANDIN.format(dataset.title))
    console.err.print(
        f"{dataset.title}: {len(arena.clips)} clips{_copy(arena)}; {arena.protocol}: {len(arena.folds)} folds; "
        f"independence of subjects: {arena.independence}",
        style=console.STYLES[arena.independence],
        markup=False,
    )


def _copy(arena: Arena) -> str:
    """What is missing from the whole corpus, and why."""
    low, _ = arena.dataset.expected.clips
    partial = f" (partial copy: {arena.copied} of {low})" if arena.partial else ""
    excluded = f" ({len(arena.dataset.exclude)} excluded by name)" if arena.dataset.exclude else ""
    return partial + excluded


def show(outcomes: Sequence[Outcome], uri: str) -> None:
    """One table an arena, one line a row; then where the results are."""
    for arena in dict.fromkeys(outcome.arena for outcome in outcomes):
        dataset = arena.dataset
        title = (
            f"{'STAND-IN of ' if dataset.standin else ''}{dataset.title}{_copy(arena)}, {arena.task}, {arena.protocol}"
        )
        chance = f"chance {100 / len(arena.folds[0].labels):.1f}"
        console.out.print(f"{title} (subjects: {arena.independence}; {chance})", style="bold", markup=False)
        console.table([_line(outcome) for outcome in outcomes if outcome.arena is arena])
    for outcome in outcomes:
        if found_nothing := outcome.measured().get(EMPTY):
            console.note(f"{outcome.row.title}: in {found_nothing:.0f} tested clips nothing was found for an input")
    console.out.print("% over all test clips ± standard deviation over folds and seeds", style="dim", markup=False)
    console.out.print(f"results: {uri} (to browse: mlflow ui --backend-store-uri {uri})", markup=False)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """A row as a document."""
    row, arena = outcome.row, outcome.arena
    return {
        "method": row.name,
        "modality": row.modality,
        "variant": row.wish.variant,
        "preset": row.wish.preset,
        "weights": row.weights,
        "stamps": list(row.stamps),
        "dataset": arena.dataset.name,
        "standin": arena.dataset.standin,
        "task": arena.task,
        "protocol": arena.protocol,
        "independence": row.independence(arena.independence),
        "initial": {part: list(initial.corpora) for part, initial in row.initials.items()},
        "clips": len(arena.clips),
        "clips_of_the_whole_corpus": list(arena.dataset.expected.clips),
        "partial": arena.partial,
        "excluded": sorted(arena.dataset.exclude),
        "chance": 1 / len(arena.folds[0].labels),
        "classes": list(arena.folds[0].labels),
        "cells": len(row.cells),
        "finished": outcome.done,
        "trained_now": outcome.trained,
        "complete": outcome.complete,
        "failures": dict(outcome.failures),
        "waiting": outcome.waiting,
        "metrics": outcome.measured(),
        "run_id": outcome.run_id,
    }


def initial_json(initial: Initial, seed: int, run_id: str) -> dict[str, Any]:
    """A model of other corpora as a document."""
    subjects = sum(len({clip.subject for clip in arena.clips}) for arena in initial.arenas)
    return {
        "method": initial.row.name,
        "modality": initial.row.modality,
        "preset": initial.row.wish.preset,
        "stamps": list(initial.row.stamps),
        "corpora": list(initial.corpora),
        "standin": initial.standin,
        "task": initial.arenas[0].task,
        "clips": sum(len(arena.clips) for arena in initial.arenas),
        "subjects": "unknown" if initial.strangers else subjects,
        "seed": seed,
        "run_id": run_id,
    }


def show_initials(made: Sequence[Mapping[str, Any]], uri: str) -> None:
    """One line a model."""
    console.table([{**row, "stamps": ", ".join(row["stamps"]), "corpora": ", ".join(row["corpora"])} for row in made])
    console.out.print(f"kept in {uri}; run --pretrain-on {','.join(made[0]['corpora'])} begins with it", markup=False)


def _line(outcome: Outcome) -> dict[str, object]:
    row, measured = outcome.row, outcome.measured()
    shown = {name: percent(measured, name) for name in METRICS[:3]}
    own = row.independence(outcome.arena.independence)  # the title tells that of the folds
    people = f"subjects {own}" if own != outcome.arena.independence else ""
    return {
        "method": row.name,
        "modality": row.modality,
        "preset": " ".join(filter(None, dict.fromkeys((row.wish.preset, row.wish.variant, *row.stamps, people)))),
        **shown,
        "folds": f"{outcome.done}"
        if outcome.complete and not outcome.waiting
        else f"{outcome.done} of {len(row.cells)}: {'NOT SENT' if outcome.complete else 'INCOMPLETE'}",
        "run_now": outcome.trained,
        "run": console.run(outcome.run_id),
    }


def percent(measured: dict[str, float], name: str) -> str:
    """Pooled over all test clips, and the standard deviation over folds."""
    measured = {key.removeprefix("incomplete_"): value for key, value in measured.items()}
    if name not in measured:
        return "-"
    spread = f" ± {100 * measured[sd]:.1f}" if (sd := f"{name}_fold_sd") in measured else ""
    return f"{100 * measured[name]:.1f}{spread}"
