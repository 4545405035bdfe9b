"""A Cell's run in the store while it is open, and all that is kept of it when it is finished."""

import csv
import io
import json
import shutil
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.claims import claims
from benchmarks.scored import table, write_scores
from benchmarks.spool import ARTIFACTS, attempt, parcel_claim
from datasets.clips import UserError
from protocols.scores import METRICS, Scores

if TYPE_CHECKING:
    from benchmarks.track import Tracker

EVERY = 15  # seconds between two looks at a curve
POINTS = "curve_points"  # the metric that tells whether a Cell has curves
CURVES = "curves.csv"
FACTS = "cell.json"  # what a model, or the answers, were made of

Point = tuple[str, float, int, int]  # name, value, step, and when it was told, in milliseconds
Trial = tuple[str, Mapping[str, Any], Sequence[float], tuple[int | None, int | None]]  # as the store takes it


@dataclass
class CellRun:
    """A Cell's run while it is open; without an id as long as the store is away."""

    tracker: "Tracker"
    facts: dict[str, Any]  # what a parcel tells of it
    run_id: str
    curves: list[Point] = field(default_factory=list)  # what has not been sent
    told: list[tuple[str, float, int]] = field(default_factory=list)  # all of them
    sent: float = field(default_factory=time.monotonic)
    trials: list[Trial] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)  # by file name
    waits: str = ""  # why it is finished, but not in the store
    packed: bool = False  # nothing of it can be lost any more

    def log(self, name: str, value: float, step: int) -> None:
        """A point of a curve; sent every few seconds, so that it can be watched."""
        self.curves.append((name, value, step, _now()))
        self.told.append((name, value, step))
        if self.run_id and time.monotonic() - self.sent > EVERY:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent; where that cannot be, later."""
        self.sent = time.monotonic()
        with suppress(UserError):
            self.tracker.points(self.run_id, self.curves)
            self.curves = []

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
        self.curves += [(name, float(value), 0, _now()) for name, value in measured.items()]
        with self._packing() as place:
            artifacts = place / ARTIFACTS
            write_scores(scores, artifacts, marks)
            if self.told:
                points = [{"name": name, "step": step, "value": repr(value)} for name, value, step in self.told]
                (artifacts / CURVES).write_text(table(points), encoding="utf-8")
            if model is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # MLflow's, of its own types and of an example that we do not use
                    from benchmarks.served import save

                    save(artifacts / "model", model, document(facts), scores.labels)
            self._pack(place, facts)

    def finish_model(self, model: Path, facts: Mapping[str, Any]) -> None:
        """A model, and what it was made of."""
        with self._packing() as place:
            shutil.copytree(model, place / ARTIFACTS / "model")
            self._pack(place, facts)

    def fail(self, error: BaseException) -> None:
        """It ends unfinished, with the reason; a store that is away learns it when the Cell is run again."""
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        if self.packed or not self.run_id:
            return
        with suppress(Exception):  # what is to be told is the first error
            self.flush()
            for told in self.trials:
                self.tracker.trial(self.facts["experiment"], self.run_id, *told)
            self.tracker.params(self.run_id, self.params)
            self.tracker.client.log_text(self.run_id, "".join(traceback.format_exception(error)), "error.txt")
            self.tracker.tag(self.run_id, {"bench.error": f"{type(error).__name__}: {error}"[:4000]})
        with suppress(Exception):
            self.tracker.client.set_terminated(self.run_id, status)

    def _packing(self) -> AbstractContextManager[Path]:
        return self.tracker.spool.packing()

    def _pack(self, place: Path, facts: Mapping[str, Any]) -> None:
        """The last act: from here on nothing of it can be lost."""
        for name, told in {FACTS: facts, **self.documents}.items():
            (place / ARTIFACTS / name).write_text(document(told), encoding="utf-8")
        about = {"run_id": self.run_id, "status": "FINISHED", "ended": _now(), "params": self.params}
        spool, told = self.tracker.spool, self.facts | about | {"points": self.curves, "trials": self.trials}
        with claims(self.tracker.place).holding(parcel_claim(spool.there(place, told))):  # others send it no more
            parcel = spool.pack(place, told)
            self.packed = True
            sent, self.waits = attempt(self.tracker, parcel)
        self.run_id = sent or self.run_id


def _now() -> int:
    return int(time.time() * 1000)


def document(facts: Any) -> str:
    """As JSON, whatever is in it."""
    return json.dumps(facts, indent=1, default=str)


def read_curves(text: str) -> list[tuple[str, float, int]]:
    """What `finish` wrote of curves."""
    rows = csv.DictReader(io.StringIO(text))
    return [(row["name"], float(row["value"]), int(row["step"])) for row in rows]
