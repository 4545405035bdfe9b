"""What several commands do."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import console

if TYPE_CHECKING:
    from benchmarks.regress import Gate
    from benchmarks.run import Plan
    from benchmarks.track import Tracker


def announce(planned: "Plan") -> None:
    """What the user should know before anything begins."""
    for note in planned.notes:
        console.note(note)
    for line in planned.absent:
        console.warn(line)


def refresh_leaderboard(tracker: "Tracker") -> None:
    """The last act of a run; what it was to show is kept, whatever becomes of the page."""
    from benchmarks.files import explained
    from benchmarks.registry import champions
    from benchmarks.report import folder, report
    from datasets.clips import UserError

    if not (place := folder()):
        return
    try:
        page, results = report(tracker, place, console.progress)
        console.note(f"leaderboard: {page}")
        for champion in champions(tracker, results):
            if champion.moved:
                console.note(f"{champion.method} is now the champion of {champion.name}")
    except (UserError, OSError) as error:
        if isinstance(told := explained(error), OSError):
            raise
        console.warn(told)


def excluded_names(file: Path | None) -> frozenset[str]:
    """What --exclude names."""
    from benchmarks.corpora import excluded

    return excluded(file)


def asked_gate(file: Path | None, metric: str, points: float) -> "Gate | None":
    """What a run is judged by; None where nothing was asked. Its settings without it are a mistake."""
    from datasets.clips import UserError

    if file is None:
        if (metric, points) != ("uar", 0.0):
            raise UserError("--metric and --tolerance judge; by what? name it with --baseline FILE, without --freeze")
        return None
    from benchmarks.regress import gate

    return gate(file, metric, points)
