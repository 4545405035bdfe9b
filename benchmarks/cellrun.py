"""A Cell's run in the store while it is open."""

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.scored import table, write_scores
from protocols.scores import METRICS, Scores

if TYPE_CHECKING:
    from benchmarks.track import Tracker

EVERY = 15  # seconds between two looks at a curve
POINTS = "curve_points"  # the metric that tells whether a Cell has curves
CURVES = "curves.csv"
FACTS = "cell.json"  # what a model, or the answers, were made of


@dataclass
class CellRun:
    """A Cell's run while it is open."""

    tracker: "Tracker"
    run_id: str
    curves: list[tuple[str, float, int]] = field(default_factory=list)  # what has not been sent
    told: list[tuple[str, float, int]] = field(default_factory=list)  # all of them
    sent: float = field(default_factory=time.monotonic)

    def log(self, name: str, value: float, step: int) -> None:
        """A point of a curve; sent every few seconds, so that it can be watched."""
        self.curves.append((name, value, step))
        self.told.append((name, value, step))
        if time.monotonic() - self.sent > EVERY:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent."""
        self.tracker.metrics(self.run_id, self.curves)
        self.curves, self.sent = [], time.monotonic()

    def finish(
        self,
        scores: Scores,
        figures: Mapping[str, float],
        model: Path | None,
        facts: Mapping[str, Any],
        marks: str = "",
    ) -> None:
        """Everything about a finished Cell; `figures` are further metrics, `marks` what its picture must say."""
        measured = {name: getattr(scores, name) for name in METRICS} | dict(figures) | {POINTS: len(self.told)}
        self.curves += [(name, value, 0) for name, value in measured.items()]
        with TemporaryDirectory() as folder:
            write_scores(scores, Path(folder), marks)
            if self.told:
                points = [{"name": name, "step": step, "value": repr(value)} for name, value, step in self.told]
                (Path(folder) / CURVES).write_text(table(points), encoding="utf-8")
            self.tracker.client.log_artifacts(self.run_id, folder)
        if model is None:
            self.finish_model(None, facts)
            return
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's, of its own types and of an example that we have no use for
            from benchmarks.served import save

            served = Path(folder) / "served"
            save(served, model, _document(facts), scores.labels)
            self.finish_model(served, facts)

    def finish_model(self, model: Path | None, facts: Mapping[str, Any]) -> None:
        """A model if there is one, and what it, or the answers, were made of."""
        self.flush()
        self.tracker.client.log_text(self.run_id, _document(facts), FACTS)
        if model:
            self.tracker.client.log_artifacts(self.run_id, str(model), "model")
        self.tracker.client.set_terminated(self.run_id, "FINISHED")


def _document(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=1, default=str)
