"""What the user sees: tables, verdicts, progress; JSON for programs."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from benchmarks.audits import Audit
    from datasets.base import Dataset
    from datasets.check import Report

SHOWN = 12
STYLES = {"verified": "green", "unknown": "yellow", "violated": "red"}  # of independence
WIDE = 160  # letters of a table that goes into a file
SECONDS = 20  # between two lines of progress where there is no terminal
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
STANDIN = "STAND-IN: rendered, not recorded. Nothing here says anything about the real {}."

STANDIN_MODEL = "STAND-IN: the model learnt from rendered people. Its answers say nothing about real ones."


def write_json(value: object) -> None:
    """One JSON document on standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def note(message: object) -> None:
    """A line beside the results."""
    err.print(str(message), style="dim", markup=False)


def warn(message: object) -> None:
    """A line that must be seen."""
    err.print(str(message), style="yellow", markup=False)


def fail(message: object) -> None:
    """One line on standard error."""
    err.print(f"error: {message}", style="red", markup=False)


class Tell(Protocol):
    """Moves a bar, and says what is being done at the moment."""

    def __call__(self, done: int, total: int, now: str = "") -> None: ...


Progress = Callable[[str], AbstractContextManager[Tell]]


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """A bar on standard error for long work."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    if not err.is_terminal:
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TextColumn("{task.fields[now]}", style="dim"), console=err, transient=True) as bar:
        task = bar.add_task(what, total=None, now="")
        yield lambda done, total, now="": bar.update(task, completed=done, total=total, now=now)


def _lines(what: str) -> Tell:
    """Without a terminal: a line now and then."""
    last = [time.monotonic()]

    def tell(done: int, total: int, now: str = "") -> None:
        if time.monotonic() - last[0] > SECONDS:
            last[0] = time.monotonic()
            note(f"{what}: {done} of {total} {now}".rstrip())

    return tell


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows under their keys."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for key in rows[0]:
        whole = key == "name" or any("±" in str(row[key]) for row in rows)
        shown.add_column(key.replace("_", " "), overflow="fold", no_wrap=whole)
    for row in rows:
        shown.add_row(*(str(value) for value in row.values()))
    (out if out.is_terminal else Console(width=WIDE, highlight=False)).print(shown)


def run(run_id: str) -> str:
    """So much of a run's id as `predict --run` wants, and readers bear."""
    return run_id[:8] or "-"


def report_json(report: "Report", dataset: "Dataset") -> dict[str, Any]:
    """The check as a document."""
    clips = report.listing.clips
    kinds: dict[str, list[dict[str, str]]] = {}
    for problem in report.problems:
        kinds.setdefault(problem.kind, []).append({"name": problem.name, "what": problem.what})
    return {
        "dataset": report.dataset,
        "title": dataset.title,
        "root": str(report.root),
        "standin": report.standin,
        "complete_and_readable": not report.faults,
        "clips": len(clips),
        "expected_clips": list(report.expected),
        "with_sound": report.has("audio"),
        "with_picture": report.has("video"),
        "with_mocap": report.has("mocap"),
        "seconds_of_sound": round(report.seconds, 1),
        "subjects": sorted({clip.subject for clip in clips if clip.subject}),
        "labels": report.tasks,
        "left_out": {reason: len(names) for reason, names in report.listing.left_out.items()},
        "excluded": list(report.listing.excluded),
        "problems": kinds,
    }


def show_report(report: "Report", dataset: "Dataset") -> None:
    """The check for a reader."""
    told = report_json(report, dataset)
    low, high = report.expected
    if report.standin:
        out.print(STANDIN.format(dataset.title), style="bold yellow")
    out.print(f"[bold]{dataset.title}[/bold] at {report.root}")
    of = f"{low}" if low == high else f"{low} to {high}"
    minutes = report.seconds / 60
    out.print(
        f"{told['clips']} of {of} clips; {told['with_sound']} with sound ({minutes:.1f} minutes), "
        f"{told['with_picture']} with picture, {told['with_mocap']} with motion capture; "
        f"{len(told['subjects'])} subjects"
    )
    for task, counts in report.tasks.items():
        out.print(f"{task}: " + ", ".join(f"{label} {count}" for label, count in sorted(counts.items())))
    for reason, count in told["left_out"].items():
        out.print(f"left out: {count} clips ({reason})")
    if report.listing.excluded:
        out.print(f"excluded as asked: {', '.join(report.listing.excluded)}")
    for kind in told["problems"]:
        some = report.of(kind)
        for problem in some[:SHOWN]:
            out.print(str(problem), style="dim" if kind == "note" else "red", markup=False)
        if len(some) > SHOWN:
            out.print(f"{kind}: and {len(some) - SHOWN} more (--json names all)")
    verdict = "complete and readable" if not report.faults else f"{len(report.faults)} faults"
    out.print(verdict, style="bold red" if report.faults else "bold green")


def audit_json(audit: "Audit") -> dict[str, Any]:
    """The audit as a document."""
    verdict = audit.verdict
    return {
        "dataset": audit.dataset,
        "standin": audit.standin,
        "clips_known_by_content": audit.by_content,
        "clips_known_by_name_alone": audit.by_name,
        "independence": verdict.independence,
        "honest": verdict.honest,
        "findings": [
            {"fold": f.fold, "severity": f.severity, "what": f.what, "who": list(f.who)} for f in verdict.findings
        ],
    }


def show_audit(audit: "Audit") -> None:
    """The audit for a reader."""
    verdict = audit.verdict
    styles = {"leak": "red", "doubt": "yellow", "note": "dim"}
    for finding in verdict.findings:
        out.print(str(finding), style=styles[finding.severity], markup=False)
    leaks = sum(finding.severity == "leak" for finding in verdict.findings)
    told = {"violated": f"LEAKS: {leaks} found", "unknown": "no leak found, but independence is unknown"}
    line = told.get(verdict.independence, "honest: no test subject or recording is on another side")
    known = f"{audit.by_content} clips known by content, {audit.by_name} by name alone"
    where = f"{audit.dataset}{' STAND-IN' if audit.standin else ''}"
    out.print(f"{line} ({where}: {known})", style=f"bold {STYLES[verdict.independence]}")


def unshown(what: str) -> AbstractContextManager[Tell]:
    """Progress that nobody watches."""

    def tell(done: int, total: int, now: str = "") -> None:
        del done, total, now

    del what
    return nullcontext(tell)
