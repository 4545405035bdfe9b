"""The `report` command: from the store of results to the leaderboard. Nothing but the store is read."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pandas as pd

from benchmarks.address import on_disk
from benchmarks.arenas import PERMUTED
from benchmarks.console import Progress
from benchmarks.environment import git
from benchmarks.papers import Papers
from benchmarks.plugins import load, names
from benchmarks.runs import LostError
from benchmarks.summaries import Part, kept
from benchmarks.track import ANSWERS, SUMMARISED, SUMMARY, TUNING, Tracker
from datasets.clips import UserError
from reports import studies
from reports.leaderboard import write
from reports.results import Arena, Asked, CorpusFacts, Facts, Material, MethodFacts, Result
from reports.studies import Tuning
from reports.summary import BYTES, VERSION, Summary, SummaryError, answers, read

FOLDER = "leaderboard"
ELSEWHERE = "BENCH_LEADERBOARD"  # the environment's folder for it; "none": a run does not refresh it
BROKEN = (UserError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError)
STANDIN = " (STAND-IN)"  # how names of their experiments end
READERS = 8  # at a time, for a store may be far away


class ReportError(UserError):
    """There is nothing to report, or no place for it."""


def folder() -> Path | None:
    """Where a run refreshes the leaderboard; None if nowhere."""
    told = os.environ.get(ELSEWHERE) or FOLDER
    return None if told == "none" else Path(told)


def report(tracker: Tracker, out: Path, progress: Progress) -> tuple[Path, list[Result]]:
    """The page, with all that belongs to it beside it, and the rows that it shows."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(
            f"the leaderboard cannot be written to {out} ({error.strerror}); choose another --out"
        ) from None
    results = collect(tracker, out, progress)
    if not results:
        raise ReportError(f"no results are kept at {tracker.shown}; python -m benchmarks run makes some")
    with progress("leaderboard") as advance:
        return write(results, facts(tracker, results), out, advance), results


def collect(tracker: Tracker, out: Path, progress: Progress) -> list[Result]:
    """Every row in the store, with its answers in short."""
    if tracker.absent:
        return []
    reader = Reader(tracker, out.resolve(), Papers())
    there = tracker.all("tags.`bench.kind` = 'row'")
    rows = _once([(experiment, run) for experiment, run in there if not experiment.endswith(PERMUTED)])
    results = []
    with progress("reading results") as advance, ThreadPoolExecutor(READERS) as pool:
        found = pool.map(reader.answered, [run for _, run in rows])  # plugins are imported in this thread alone
        for (experiment, run), answered in zip(rows, found, strict=True):
            results.append(reader.result(experiment, run, answered))
            advance(len(results), len(rows))
    return results


def _once(rows: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Of a row that two machines began in the same moment, the one that was begun first; both have all its Cells."""
    first: dict[object, tuple[int, str]] = {}
    for experiment, run in rows:
        place = experiment, run.data.tags.get("bench.row", run.info.run_id)
        mine = run.info.start_time or 0, run.info.run_id
        first[place] = min(mine, first.get(place, mine))
    counted = {run_id for _, run_id in first.values()}
    return [(experiment, run) for experiment, run in rows if run.info.run_id in counted]


@dataclass(frozen=True)
class Answered:
    """What a row answered, in short and in whole, or why that cannot be read."""

    summary: Summary | None = None
    table: Callable[[], pd.DataFrame] | None = None
    fault: str = ""
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Reader:
    """From a run of the store to a row of the report."""

    tracker: Tracker
    out: Path
    papers: Papers

    def result(self, experiment: str, run: Any, answered: Answered) -> Result:
        """A row with all that is known of it."""
        tags, params = run.data.tags, run.data.params
        corpus = tags.get("bench.dataset") or params.get("dataset") or experiment.removesuffix(STANDIN)
        standin = experiment.endswith(STANDIN) or tags.get("bench.standin") != "False"  # real only if it says so
        asked = Asked(*(tags.get(f"bench.{name}", "") for name in _ASKED))
        arena = Arena(corpus, tags.get("bench.task", ""), tags.get("bench.protocol", ""), standin)
        return Result(
            run_id=run.info.run_id,
            link=self._link(run),
            asked=asked,
            arena=arena,
            material=_material(tags),
            independence=tags.get("bench.independence", "unknown"),
            planned=int(_number(tags.get("bench.cells")) or self._cells(run, answered.summary)),
            begun=int(run.info.start_time or 0),
            version=tags.get("bench.method_version", ""),
            summary=answered.summary,
            published=self.papers.published(asked, arena),
            answers=answered.table,
            default=self.papers.default(asked),
            fault=answered.fault,
            tuning=answered.tuning,
            seeds=int(_number(tags.get("bench.seeds")) or (len(answered.summary.by_seed) if answered.summary else 1)),
        )

    def answered(self, run: Any) -> Answered:
        """One row's fault must not cost the others."""
        try:
            return self._answered(run)
        except LostError as error:
            return Answered(fault=f"cannot be read: {error.public}")
        except SummaryError as error:
            return Answered(fault=f"cannot be read: {error}")
        except BROKEN as error:  # neither a path nor a password is told
            return Answered(fault=f"cannot be read: what is kept of it is broken ({type(error).__name__})")

    def _answered(self, run: Any) -> Answered:
        """As the row's end left it; of a row that was cut off, from the Cells that it finished."""
        run_id, at = run.info.run_id, run.info.artifact_uri
        if run.data.tags.get(SUMMARISED) == str(VERSION):
            told = json.loads(self.tracker.text(run_id, SUMMARY, at, BYTES))
            return Answered(read(told), lambda: self._answers(run_id, at), tuning=self._tuning(run))
        cells = [cell for _, cell in self.tracker.all(f"tags.`mlflow.parentRunId` = '{run_id}'")]
        parts = [self._part(cell) for cell in cells if _counts(cell)]
        if not parts:
            return Answered()
        found = kept(parts)
        table = pd.DataFrame(found.answers).rename(columns={"answer": "predicted"})
        return Answered(read(found.summary), lambda: table)

    def _tuning(self, run: Any) -> Tuning | None:
        """What was found for the folds of a row that is tuned."""
        if not re.search(r"\btuned \d+", run.data.tags.get("bench.stamps", "")):
            return None
        return studies.read(json.loads(self.tracker.text(run.info.run_id, TUNING, run.info.artifact_uri, BYTES)))

    def _answers(self, run_id: str, at: str) -> pd.DataFrame:
        try:
            return answers(self.tracker.text(run_id, ANSWERS, at))
        except LostError as error:
            raise ValueError(error.public) from None  # what statistics say of answers that do not fit

    def _part(self, cell: Any) -> Part:
        run_id, metrics = cell.info.run_id, cell.data.metrics
        scores, tags = self.tracker.scores(run_id), cell.data.tags
        fold, seed = tags.get("bench.fold", ""), int(tags.get("bench.seed", 0))
        return Part(fold, seed, scores, metrics, self.tracker.curves(run_id, metrics))

    def _cells(self, run: Any, summary: Summary | None) -> int:
        """Of a row that does not say how many were planned: all, if it is finished."""
        return summary.cells if summary and run.info.status == "FINISHED" else 0

    def _link(self, run: Any) -> str:
        """To the run in MLflow's pages; to the run's folder where the store is on this disk."""
        uri = urlsplit(self.tracker.uri)
        if uri.scheme in ("http", "https"):
            plain = urlunsplit((uri.scheme, uri.netloc.rpartition("@")[2], uri.path.rstrip("/"), "", ""))
            return f"{plain}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        place = on_disk(run.info.artifact_uri)
        return os.path.relpath(place, self.out) if place else ""


_ASKED = ("method", "variant", "modality", "preset", "stamps", "substituted")


def _counts(cell: Any) -> bool:
    return cell.info.status == "FINISHED" and "bench.superseded" not in cell.data.tags


def _number(told: str | None) -> float | None:
    """What a tag says; None where it says nothing, or nothing that can be."""
    try:
        value = float(told or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None


def _material(tags: Mapping[str, str]) -> Material:
    return Material(
        digest=tags.get("bench.corpus", ""),
        clips=int(_number(tags.get("bench.clips")) or 0),
        whole=tags.get("bench.clips_of_the_whole_corpus", ""),
        partial=tags.get("bench.partial", "True") != "False",  # what does not say so is not known to be whole
        excluded=int(_number(tags.get("bench.excluded")) or 0),
        chance=_number(tags.get("bench.chance")),
    )


def facts(tracker: Tracker, results: Sequence[Result]) -> Facts:
    """What plugins say of the papers whose methods have results, and of all corpora."""
    there = {result.asked.method for result in results}
    commit, changed = git().get("commit", ""), ", changed since" if git().get("changed") else ""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Facts(
        store=tracker.public,
        made=f"{when}, commit {commit[:10]}{changed}" if re.fullmatch(r"[0-9a-f]{40}", commit) else when,
        methods=tuple(_method(name) for name in names("methods") if name in there),
        corpora=tuple(_corpus(name) for name in names("datasets")),
    )


def _method(name: str) -> MethodFacts:
    paper = load("methods", name).paper
    return MethodFacts(name, paper.title, paper.authors, paper.year, paper.doi, paper.left_unsaid, paper.departures)


def _corpus(name: str) -> CorpusFacts:
    kind = load("datasets", name)
    return CorpusFacts(name, kind.title, kind.citation, kind.default_protocol)
