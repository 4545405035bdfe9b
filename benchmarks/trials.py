"""Trials in the store of results: each a child of its Cell's run, and in short beside what the Cell answered."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchmarks.cellrun import CellRun
from benchmarks.track import TUNING
from benchmarks.tune import Tuned

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def keep(run: CellRun, tuned: Tuned) -> Mapping[str, Any]:
    """Every trial, whoever ran it and however it ended; then what was chosen, which there must be."""
    run.trials = list(_trials(tuned))
    told = run.documents[TUNING] = tuned.document()
    chosen = {f"tuned.{name}": value for name, value in told["params"].items()}
    run.params |= {**chosen, "tuned.trial": told["chosen"]}
    return told


def _trials(tuned: Tuned) -> Iterator[tuple[str, dict[str, Any], list[float], tuple[int | None, int | None]]]:
    from benchmarks.study import why

    for trial in tuned.trials:
        ended = trial.state.name == "COMPLETE"
        tags = {"bench.study": tuned.task.study, "bench.trial": trial.number, "bench.state": trial.state.name}
        if reason := why(trial):
            tags["bench.error"] = reason
        told = {
            "tags": tags,
            "params": trial.params,
            "metrics": {"inner_uar": trial.value} if ended else {},
            "status": _STATUS[trial.state.name],
        }
        yield (
            f"trial {trial.number}",
            told,
            _curve(trial),
            (_time(trial.datetime_start), _time(trial.datetime_complete)),
        )


_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def _curve(trial: "FrozenTrial") -> list[float]:
    """In the order in which it was told."""
    return [value for _, value in sorted(trial.intermediate_values.items())]


def _time(when: datetime | None) -> int | None:
    return int(when.timestamp() * 1000) if when else None
