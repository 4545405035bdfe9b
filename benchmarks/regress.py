"""The `regress` command: a run against a frozen baseline. What cannot be compared is told, never guessed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arenas import Arena
from benchmarks.baseline import Baseline, BaselineError, frozen, question, read
from benchmarks.engine import Engine
from benchmarks.files import writable
from benchmarks.judgement import Judgement, Rule
from benchmarks.outcome import Outcome
from benchmarks.plan import Entrant, Row
from benchmarks.run import Plan
from benchmarks.track import Tracker
from reports import files
from reports.gate import METRICS, Verdict, judge
from reports.tally import Tally

ABOUT = ("method", "dataset", "variant")  # by which a row of a run finds its baseline
UNTOLD = ("key", "cells", "run_id", "date")  # of what may differ: follows from the rest, or always does


@dataclass(frozen=True)
class Gate:
    """A baseline, and the rule by which runs are judged against it."""

    file: Path
    baseline: Baseline
    rule: Rule

    def names(self, row: Entrant, arena: Arena) -> bool:
        """Whether the file is about this row."""
        asked = question(row, arena)
        return all(asked[name] == self.baseline.must_match[name] for name in ABOUT)

    def present(self, plan: Plan) -> None:
        """An error, before anything is trained, if a run has no row that the file is about."""
        if not any(self.names(row, arena) for row, arena in plan.rows):
            raise BaselineError(f"{self.file} is about {self.about}, which is not in this run; name its own baseline")

    @property
    def about(self) -> str:
        """Of what it is, in words."""
        asked = self.baseline.must_match
        variant = f", variant {asked['variant']}" if asked["variant"] else ""
        return f"{asked['method']} on {'STAND-IN of ' if asked['standin'] else ''}{asked['dataset']}{variant}"

    def run(self, row: Row, arena: Arena, engine: Engine) -> Judgement:
        """A row run and judged; nothing is trained if it could not be compared anyway."""
        if obstacles := self._obstacles(row, arena):
            return self._judgement(obstacles)
        return self.judged(engine.run(row, arena), engine.tracker)

    def judged(self, outcome: Outcome, tracker: Tracker) -> Judgement:
        """The verdict on a row that was run, or why there is none."""
        if obstacles := [*self._obstacles(outcome.row, outcome.arena), *unfit(outcome)]:
            return self._judgement(obstacles)
        new, old = frozen(outcome, tracker.environment(outcome.results[-1].run_id)), self.baseline
        notes = list(_different(_flat(old.may_differ), _flat(new.may_differ)))
        if obstacles := list(_unpaired(old.tally, new.tally)):
            return self._judgement(obstacles, notes)
        labels = old.must_match["labels"]
        told = judge(old.tally, new.tally, labels, self.rule.metric, self.rule.points / 100)
        return self._judgement([], notes, told)

    def _obstacles(self, row: Entrant, arena: Arena) -> list[str]:
        """Why results of this row cannot be compared, as far as can be told before it is run."""
        old, new = self.baseline.must_match, question(row, arena)
        made = {"protocol": self.baseline.may_differ["protocol"]}, {"protocol": arena.protocol}
        return [*_different(old, new), *(_different(*made) if old["folds"] != new["folds"] else ())]

    def _judgement(
        self, obstacles: Sequence[str], notes: Sequence[str] = (), verdict: Verdict | None = None
    ) -> Judgement:
        return Judgement(self.about, self.file, self.rule, obstacles, notes, verdict)


def gate(file: Path, metric: str, points: float) -> Gate:
    """A gate as asked for; an error if the file is no baseline."""
    known = {name: name for name in METRICS}
    if metric not in known:
        raise BaselineError(f"no metric {metric!r} can decide; choose from {', '.join(METRICS)}")
    if not 0 <= points <= 100:
        raise BaselineError(f"--tolerance is points that may be lost, 0 to 100, but is {points:g}")
    return Gate(file, read(file), Rule(known[metric], points))


def only(plan: Plan) -> tuple[Row, Arena]:
    """The row of a request for a single one."""
    if len(plan.rows) > 1:
        raise BaselineError(f"a baseline is about one method, variant and corpus, but this names {len(plan.rows)}")
    return plan.rows[0]


def freezable(file: Path, force: bool) -> None:
    """An error, before anything is trained, if a baseline could not be written there."""
    if file.exists() and not force:
        raise BaselineError(f"{file} is there already; --force freezes over it")
    writable(file)


def freeze(outcome: Outcome, file: Path, tracker: Tracker) -> dict[str, Any]:
    """Write the baseline of a complete row; what there is to say of it."""
    if obstacles := unfit(outcome):
        raise BaselineError(f"{outcome.row.title} cannot be frozen: {'; '.join(obstacles)}")
    made = frozen(outcome, tracker.environment(outcome.results[-1].run_id))
    if len(made.tally.names) < 2:
        raise BaselineError(f"{outcome.row.title} has a single {made.tally.unit}; chance cannot be told from loss")
    files.text(file, made.text())
    return {"frozen": str(file), "unit": made.tally.unit, "units": len(made.tally.names), "scores": made.scores()}


def frozen_line(told: Mapping[str, Any]) -> str:
    """For a reader."""
    scores = ", ".join(f"{name} {100 * value:.1f}" for name, value in told["scores"].items())
    return f"{told['frozen']}: {scores}, {told['units']} {told['unit']}s; commit it, regress judges against it"


def unfit(outcome: Outcome) -> list[str]:
    """Why a row's results are not those of this source, all of them."""
    found = []
    if outcome.failures:
        cell, why = next(iter(outcome.failures.items()))
        found.append(f"incomplete: {len(outcome.failures)} of {len(outcome.results)} Cells failed, {cell}: {why}")
    if outcome.waiting:
        found.append(f"{outcome.waiting} results are not in the store yet; python -m benchmarks sync sends them")
    if outcome.stale:
        found.append(
            f"{outcome.stale} finished Cells, or models that they begin with, are not of today's code; --fresh runs "
            "them again"
        )
    return found


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield f"{name}: {_short(old.get(name))} in the baseline, {_short(new.get(name))} here"


def _short(value: Any) -> str:
    """Digests by their beginning; never more than a line."""
    text = "nothing" if value is None or value == "" else " ".join(str(value).split())
    return f"{text[:12]}…" if len(text) in (32, 40, 64) and text.isalnum() else text[:200]


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """What may differ, one level, without what is not worth a line."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        if above or name not in UNTOLD:
            told = f"{above}{name}"
            found |= _flat(value, f"{told}.") if isinstance(value, Mapping) else {told: value}
    return found


def _unpaired(old: Tally, new: Tally) -> Iterator[str]:
    """What speaks against comparing counts although corpus and folds agree: a file that was edited."""
    if (old.unit, old.names) != (new.unit, new.names):
        strange = sorted(set(old.names) ^ set(new.names))
        yield f"{old.unit}s: {', '.join(strange[:3]) or 'their order'} only on one side; was the file edited?"
    elif (wrong := ~np.isclose(old.counts.sum(-1), new.counts.sum(-1)).all(1)).any():
        name = old.names[int(wrong.argmax())]
        yield f"clips: {old.unit} {name} has others of some class in the baseline; was the file edited?"
    elif len(old.names) < 2:
        yield f"{old.unit}s: there is one alone, so that chance cannot be told from loss"
