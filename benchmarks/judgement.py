"""What became of a comparison with a frozen baseline: for the reader, for programs, as an exit code."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import console
from reports.gate import DECIDES, LEVEL, Verdict, significant
from reports.statistics import Metric

FALLS = 10  # subjects, and as many classes, that the table names
BY_CLIP = "nobody knows the persons: clips count as if they were independent, so chance looks smaller than it is"


@dataclass(frozen=True)
class Rule:
    """Which metric decides, and how many points of it may be lost."""

    metric: Metric = DECIDES
    points: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """A verdict, or the obstacles to one; `about` and `file` are the baseline's."""

    about: str
    file: Path
    rule: Rule
    obstacles: Sequence[str]
    notes: Sequence[str] = ()
    verdict: Verdict | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        return 2 if self.verdict is None else int(self.verdict.worse)

    def told(self) -> dict[str, Any]:
        """As a document."""
        changes, falls = (self.verdict.changes, self.verdict.falls) if self.verdict else ({}, ())
        return {
            "baseline": str(self.file),
            "about": self.about,
            "verdict": ("no regression", "regression", "not comparable")[self.code],
            "not_comparable": list(self.obstacles),
            "different": list(self.notes),
            "deciding": self.rule.metric,
            "tolerance": self.rule.points / 100,
            "level": LEVEL,
            "changes": {
                name: {"before": before, "now": before + change.difference}
                | asdict(change)
                | {"worse": significant(change)}
                for name, (before, change) in changes.items()
            },
            "fell": [asdict(fall) | {"change": fall.change} for fall in falls],
        }

    def show(self) -> None:
        """For a reader."""
        for line in self.notes:
            console.note(f"different: {line}")
        if self.verdict is None:
            return self.refuse()
        _, decisive = self.verdict.changes[self.rule.metric]
        if decisive.unit == "clip":
            console.note(BY_CLIP)
        console.table([_change(name, self.verdict) for name in self.verdict.changes])
        falls = [*_largest(self.verdict, False), *_largest(self.verdict, True)]
        if self.verdict.worse and falls:
            console.table(falls)
        line = "REGRESSION" if self.verdict.worse else "no regression"
        surely = "surely" if self.verdict.worse else "not surely"
        console.out.print(
            f"{line}: {self.about}, {self.rule.metric} is {surely} lower than in {self.file} by more than "
            f"{self.rule.points:g} points ({decisive.units} {decisive.unit}s, one-sided, at {LEVEL:.1%})",
            style="bold red" if self.verdict.worse else "bold green",
            markup=False,
        )
        return None

    def refuse(self) -> None:
        """Why there is no verdict, if there is none; one line."""
        if self.verdict is None:
            console.fail(f"{self.about} cannot be compared with {self.file}: {'; '.join(self.obstacles)}")


def _change(name: Metric, verdict: Verdict) -> dict[str, object]:
    before, change = verdict.changes[name]
    return {
        "metric": f"{name} (decides)" if name == verdict.deciding else name,
        "baseline": f"{100 * before:.1f}",
        "now": f"{100 * (before + change.difference):.1f}",
        "change": f"{100 * change.difference:+.1f}",
        "at_most": "-" if change.high is None else f"{100 * change.high:+.1f}",
        "p": "-" if change.p is None else f"{change.p:.3f}",
        "verdict": "worse" if significant(change) else "not worse",
    }


def _largest(verdict: Verdict, classes: bool) -> list[dict[str, object]]:
    """The largest falls among units or classes."""
    falls = [fall for fall in verdict.falls if (fall.what == "class") == classes]
    rows: list[dict[str, object]] = [
        {
            "fell": f"{fall.what} {fall.name}",
            "measure": "recall" if classes else verdict.deciding,
            "baseline": f"{100 * fall.before:.1f}",
            "now": f"{100 * fall.now:.1f}",
            "change": f"{100 * fall.change:+.1f}",
            "clips": f"{fall.clips:g}",
        }
        for fall in falls[:FALLS]
    ]
    if len(falls) > FALLS:
        rows.append(dict[str, object](dict.fromkeys(rows[0], "")) | {"fell": f"and {len(falls) - FALLS} more"})
    return rows
