"""A Cell's answers as files: clip by clip, per class, and as a picture."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from datasets.clips import UserError
from protocols.scores import Scores
from reports.figures import confusion


class ScoresError(UserError):
    """What was kept of a Cell's answers cannot be used."""


def write_scores(scores: Scores, folder: Path, marks: str = "") -> None:
    """Answers clip by clip, the table per class, the confusion matrix as figures and as a picture."""
    (folder / "predictions.csv").write_text(table(answered(scores)), encoding="utf-8")
    (folder / "per_class.csv").write_text(table([vars(row) for row in scores.per_class]), encoding="utf-8")
    counts = [
        {"true": label, **dict(zip(scores.labels, row, strict=True))}
        for label, row in zip(scores.labels, scores.confusion.tolist(), strict=True)
    ]
    (folder / "confusion.csv").write_text(table(counts), encoding="utf-8")
    picture = confusion(scores.labels, scores.confusion, f"{len(scores.truth)} clips {marks}".strip())
    (folder / "confusion.svg").write_text(picture, encoding="utf-8")


def answered(scores: Scores) -> list[dict[str, Any]]:
    """A line for each clip."""
    return [
        {"clip": name, "subject": subject, "truth": truth, "answer": answer}
        | {f"p_{label}": float(p) for label, p in zip(scores.labels, probabilities, strict=True)}
        for name, subject, truth, answer, probabilities in zip(
            scores.names, scores.subjects, scores.truth, scores.predicted, scores.probabilities, strict=True
        )
    ]


def read_scores(file: Path) -> Scores:
    """What `write_scores` wrote."""
    with _told(), file.open(newline="", encoding="utf-8") as stream:
        return _scores(list(csv.DictReader(stream)))


def read_answers(text: str) -> dict[tuple[str, str], Scores]:
    """All answers of a row, by fold and seed."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    with _told():
        for line in csv.DictReader(io.StringIO(text)):
            found.setdefault((line["fold"], line["seed"]), []).append(line)
        return {cell: _scores(lines) for cell, lines in found.items()}


@contextmanager
def _told() -> Iterator[None]:
    """Whatever keeps answers from being read, in one line."""
    try:
        yield
    except (csv.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {str(error)[:100]}"
        raise ScoresError(f"the answers of a run are damaged ({why}); run it --fresh") from None


def _scores(rows: Sequence[Mapping[str, str]]) -> Scores:
    if not rows:
        raise ScoresError("the answers of a run are an empty table; run it --fresh")
    columns = [name for name in rows[0] if name.startswith("p_")]
    scores = Scores(
        labels=tuple(name.removeprefix("p_") for name in columns),
        names=tuple(row["clip"] for row in rows),
        subjects=tuple(row["subject"] or None for row in rows),
        truth=tuple(row["truth"] for row in rows),
        probabilities=np.array([[float(row[name]) for name in columns] for row in rows]),
    )
    if strange := set(scores.truth) - set(scores.labels):
        raise ValueError(f"the class {min(strange)!r} has no column")
    if not np.isfinite(scores.probabilities).all():
        raise ValueError("a probability is no number")
    return scores


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As CSV, with the columns of its first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
