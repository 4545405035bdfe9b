"""What several commands do."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import console

if TYPE_CHECKING:
    from benchmarks.track import Tracker


def refresh_leaderboard(tracker: "Tracker") -> None:
    """The last act of a run; what it was to show is kept, whatever becomes of the page."""
    from benchmarks.registry import champions
    from benchmarks.report import folder, report
    from datasets.base import UserError

    if not (place := folder()):
        return
    try:
        page, results = report(tracker, place, console.progress)
        console.note(f"leaderboard: {page}")
        for champion in champions(tracker, results):
            if champion.moved:
                console.note(f"{champion.method} is now the champion of {champion.name}")
    except UserError as error:
        console.warn(error)


def excluded_names(file: Path | None) -> frozenset[str]:
    """What --exclude names."""
    from benchmarks.corpora import excluded

    return excluded(file)
