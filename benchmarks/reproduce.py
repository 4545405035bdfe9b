"""The `reproduce` command: the rows of a paper's tables through the engine, published beside reproduced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks import console
from benchmarks.console import Progress
from benchmarks.corpora import AbsentCorpusError, data_root
from benchmarks.engine import Engine
from benchmarks.outcome import Outcome
from benchmarks.outcomes import show_arena
from benchmarks.plugins import PluginError, canonical, load, resolve
from benchmarks.published import UNSTATED, Number, measured, numbers, of_table
from benchmarks.run import Plan, Request, plan
from benchmarks.summaries import Part, kept
from benchmarks.transfer import NoSourceError, TransferError
from datasets.clips import DatasetError
from protocols.base import ProtocolError
from protocols.scores import Scores
from reports.results import METRICS, Asked
from reports.statistics import Interval, interval
from reports.summary import read


@dataclass(frozen=True)
class Place:
    """Where a number was measured: of one place all variants are planned together."""

    dataset: str
    protocol: str
    task: str
    modality: str

    @classmethod
    def of(cls, number: Number) -> "Place":
        corpus = load("datasets", number.dataset)
        stated = number.protocol if number.protocol != UNSTATED else corpus.default_protocol
        return cls(number.dataset, canonical(stated, corpus.protocol_settings), number.task, number.modality)


@dataclass(frozen=True)
class Line:
    """A published number, and what became of it."""

    number: Number
    status: str  # reproduced, run (otherwise), no clip (of the class), incomplete, cannot be run, corpus absent, quoted
    why: str = ""
    outcome: Outcome | None = None

    @property
    def standin(self) -> bool:
        return bool(self.outcome and self.outcome.arena.dataset.standin)

    @property
    def failed(self) -> bool:
        return self.status in ("incomplete", "cannot be run")

    @property
    def departs(self) -> str:
        """From what the paper did on the whole corpus, how far: then a difference says nothing about the paper."""
        if not self.outcome:
            return ""
        row, arena = self.outcome.row, self.outcome.arena
        asked = Asked(
            row.name, row.wish.variant, row.modality, row.wish.preset, ", ".join(row.stamps), ", ".join(row.substituted)
        )
        standin = "a STAND-IN" if arena.dataset.standin else ""
        partial = "a partial copy" if arena.partial else ""
        excluded = f"{len(arena.dataset.exclude)} excluded by name" if arena.dataset.exclude else ""
        return ", ".join(filter(None, (standin, asked.departs, partial, excluded)))

    @cached_property
    def interval(self) -> Interval | None:
        """Of a score over all test clips; a mean over folds has their standard deviation instead."""
        if not (self.outcome and self.outcome.complete) or self.number.over == "folds":
            return None
        parts = [
            Part(one.cell.fold.name, one.cell.seed, one.scores, {}, ()) for one in self.outcome.finished if one.scores
        ]
        for metric in METRICS:
            if metric == self.number.metric:
                row = read(kept(parts).summary)
                return interval(row.by_seed, metric, row.unit)
        return None

    def values(self) -> tuple[float | None, float | None]:
        """Over all test clips or over folds, as the paper does, and the standard deviation over folds and seeds."""
        if not (self.outcome and self.outcome.complete):
            return None, None
        pooled = self._measured(self.outcome.pooled())
        folds = self._measured([result.scores for result in self.outcome.finished if result.scores])
        spread = float(np.std(folds, ddof=1)) if len(folds) > 1 else None
        averaged = folds if self.number.over == "folds" else pooled
        return (float(np.mean(averaged)), spread) if averaged else (None, None)

    def _measured(self, found: Sequence[Scores]) -> list[float]:
        """Without those in which no clip is of the class that is asked for."""
        return [value for scores in found if (value := measured(self.number, scores)) is not None]

    def told(self) -> dict[str, object]:
        """A row of the table that is kept, and of the JSON document."""
        number, (value, spread) = self.number, self.values()
        row, arena = (self.outcome.row, self.outcome.arena) if self.outcome else (None, None)
        return {
            **{name: getattr(number, name) for name in ("method", "table", "row", "column", "dataset")},
            "standin": arena.dataset.standin if arena else None,
            **{name: getattr(number, name) for name in ("modality", "task", "metric", "variant")},
            "protocol": Place.of(number).protocol if number.variant else number.protocol,
            "protocol_of_the_paper": number.protocol,
            "match": self.match,
            "caveats": "; ".join(self.caveats),
            "over": number.over,
            "independence": row.independence(arena.independence) if row and arena else None,
            "partial": arena.partial if arena else None,
            "clips": len(arena.clips) if arena else None,
            "preset": row.wish.preset if row else None,
            "weights": row.weights if row else None,
            "stamps": ", ".join(row.stamps) if row else None,
            "status": self.status,
            "why": self.why,
            "published": number.value,
            "reproduced": value,
            "low": self.interval.low if self.interval else None,
            "high": self.interval.high if self.interval else None,
            "unit": self.interval.unit if self.interval else None,
            "units": self.interval.units if self.interval else None,
            "fold_sd": spread,
            "difference": None if value is None or self.departs else value - number.value,
            "run_id": self.outcome.run_id if self.outcome else None,
        }

    @property
    def match(self) -> str:
        """Whether the protocol is the paper's."""
        if not self.number.variant:
            return ""
        if self.number.protocol == UNSTATED:
            return "paper does not say"
        return "partly" if self.caveats else "yes"

    @property
    def caveats(self) -> list[str]:
        """What keeps the protocol from being surely the paper's."""
        partial = "of a partial copy" if self.outcome and self.outcome.arena.partial else ""
        return [told for told in (self.number.doubt, partial) if told]


@dataclass(frozen=True)
class Staged:
    """All numbers, and the plans of those that can be run."""

    method: str
    numbers: Sequence[Number]
    plans: Mapping[Place, Plan]
    hindered: Mapping[tuple[Place, str], tuple[str, str]]  # by place and variant: status and why

    @property
    def device(self) -> str:
        return next((planned.device for planned in self.plans.values()), "cpu")

    def announce(self) -> None:
        """What the user should know, and each arena once, though several modalities meet there."""
        for note in dict.fromkeys(note for planned in self.plans.values() for note in planned.notes):
            console.note(note)
        found = [arena for planned in self.plans.values() for arena in planned.arenas]
        for arena in {(arena.dataset.name, arena.protocol, arena.task): arena for arena in found}.values():
            show_arena(arena)

    def run(self, engine: Engine) -> list[Line]:
        """Every row once, whatever number of published numbers it gives."""
        rows = [(place, *found) for place, planned in self.plans.items() for found in planned.rows]
        outcomes = dict(
            zip(
                [(place, row.wish.variant) for place, row, _ in rows],
                engine.run_all([(row, arena) for _, row, arena in rows]),
                strict=True,
            )
        )
        return [self._line(number, outcomes) for number in self.numbers]

    def _line(self, number: Number, outcomes: Mapping[tuple[Place, str], Outcome]) -> Line:
        if not number.variant:
            return Line(number, "quoted", number.reason or "it names no variant that could be run")
        asked = Place.of(number), number.variant
        if asked in self.hindered:
            return Line(number, *self.hindered[asked])
        outcome = outcomes[asked]
        if not outcome.complete:
            cell, why = next(iter(outcome.failures.items()))
            return Line(number, "incomplete", f"{len(outcome.failures)} failed; {cell}: {why}", outcome)
        line = Line(number, "reproduced", "", outcome)
        if line.values()[0] is None:
            return replace(line, status="no clip", why="none is of this class")
        return replace(line, status="run", why=f"no difference beside {line.departs}") if line.departs else line


def stage(request: Request, table: str, progress: Progress) -> Staged:
    """The numbers of a table (or of all) and plans for them; nothing has begun. `request` names the method alone."""
    method = resolve("methods", request.method)
    found = numbers(method)
    if not found:
        raise PluginError(f"{method} has no published numbers; run --method {method} compares it on a corpus")
    root = data_root(request.data_root)
    if root and not root.is_dir():
        raise DatasetError(f"there is no folder {root} of corpora; name another, or none for stand-ins")
    chosen = of_table(found, table)
    variants: dict[Place, list[str]] = {}
    for number in chosen:
        if number.variant:
            variants.setdefault(Place.of(number), []).append(number.variant)
    plans: dict[Place, Plan] = {}
    hindered: dict[tuple[Place, str], tuple[str, str]] = {}
    for place, asked in variants.items():
        asks = replace(
            request, method=method, dataset=place.dataset, protocol=place.protocol, task=place.task,
            modality=place.modality, variant=",".join(dict.fromkeys(asked)),
        )  # fmt: skip
        try:
            planned = _planned(asks, progress)
        except (DatasetError, ProtocolError, TransferError) as error:  # one corpus' fault must not cost the others
            status = "corpus absent" if isinstance(error, AbsentCorpusError) else "cannot be run"
            hindered |= dict.fromkeys([(place, variant) for variant in asked], (status, str(error)))
        else:
            hindered |= {(place, one.variant): ("cannot be run", one.why) for one in planned.absent}
            if planned.rows:
                plans[place] = planned
    return Staged(method, chosen, plans, hindered)


def _planned(request: Request, progress: Progress) -> Plan:
    """Of a paper's rows, some begin with other corpora and some do not."""
    try:
        return plan(request, progress, forgiving=True)
    except NoSourceError:
        return plan(replace(request, pretrain_on=""), progress, forgiving=True)
