"""The papers' own numbers, methods/published/<method>.csv, and what of our scores stands beside each of them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.plugins import PluginError, file_of, load
from datasets.clips import AVEF_TABLE_2, TASKS, UserError
from protocols.scores import METRICS, Scores

UNSTATED = "unstated"  # a protocol of which the paper does not tell
OF_A_CLASS = ("precision", "recall", "f1")
CLASSES = {  # what papers call a class -> what the corpora call it
    "angry": "anger",
    "disgusted": "disgust",
    "excite": "happiness",  # in IEMOCAP, where excited and happy are one class
    "excited": "happiness",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}


class PublishedError(UserError):
    """A published number that says nothing we could measure."""


@dataclass(frozen=True)
class Number:
    """One cell of a paper's table."""

    method: str
    table: str
    row: str
    column: str
    dataset: str
    protocol: str
    modality: str
    task: str
    metric: str
    value: float
    variant: str = ""  # of the method; without one it is quoted, not run
    reason: str = ""  # why it is only quoted
    over: str = "clips"  # or folds: whether the paper pools all tested clips, or averages over its test runs
    doubt: str = ""  # what keeps the protocol from being surely the paper's

    @property
    def where(self) -> str:
        """The table as a reader calls it."""
        return self.table if re.match(r"(table|fig|section)", self.table, re.IGNORECASE) else f"Table {self.table}"


def numbers(method: str) -> list[Number]:
    """All that a method's paper says of itself."""
    plugin = file_of("methods", method)
    file = plugin.parent / "published" / f"{plugin.stem}.csv"
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    told = [{key: value for key, value in row.items() if value} for row in rows]
    return [Number(**row | {"method": method, "value": float(row["value"])}) for row in told]


def of_table(found: Sequence[Number], table: str) -> list[Number]:
    """Those of one table, however it is spelled; of all tables if none is named."""
    chosen = [number for number in found if not table or _spelled(number.table) == _spelled(table)]
    if not chosen:
        there = ", ".join(dict.fromkeys(number.table for number in found))
        raise PluginError(f"no table is called {table!r}; choose from {there}")
    return chosen


def _spelled(table: str) -> str:
    """'Table VI' and 'vi' are one, as are 'Fig. 6' and 'figure 6'."""
    return re.sub(r"^fig(ure)?\b", "fig", " ".join(re.findall(r"\w+", table.lower().removeprefix("table"))))


def measured(number: Number, scores: Scores) -> float | None:
    """The same measure of our answers; None where no clip is of the class that it is about."""
    if number.metric in METRICS:
        return float(getattr(scores, number.metric))
    if number.metric == "confusion":
        true, answered = classes(number)
        answers = [said for label, said in zip(scores.truth, scores.predicted, strict=True) if label == true]
        return answers.count(answered) / len(answers) if answers else None
    if number.metric in OF_A_CLASS:
        named = class_of(number)
        found = [told for told in scores.per_class if told.label == named and told.support]
        return float(getattr(found[0], number.metric)) if found else None
    known = ", ".join((*METRICS, *OF_A_CLASS, "confusion"))
    raise PublishedError(f"{number.method}, {number.where}: no metric is called {number.metric!r}; choose from {known}")


def classes(number: Number) -> tuple[str, str]:
    """Of a cell of a confusion matrix: the true class and the answer."""
    return _class(number, number.row), _class(number, number.column)


def class_of(number: Number) -> str:
    """The class that a precision, recall or F-score is of."""
    return _class(number, number.column, number.row)


def _class(number: Number, *named: str) -> str:
    """The corpus' label for what a paper calls a class, under the first of some names that is one."""
    kind = load("datasets", number.dataset)
    labels = kind.labels if number.task == TASKS[0] else tuple(AVEF_TABLE_2[number.task].values())
    for name in named:
        if (label := CLASSES.get(name.lower(), name.lower())) in labels:
            return label
    raise PublishedError(
        f"{number.method}, {number.where}: {number.dataset} has no class {' or '.join(named)}; "
        f"choose from {', '.join(labels)}, or say in benchmarks/published.py which of them it is"
    )
