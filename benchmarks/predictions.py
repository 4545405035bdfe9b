"""Predictions made elsewhere: a CSV of clip, fold and either a label or a probability for each class."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arenas import Arena
from benchmarks.audits import known
from benchmarks.tables import Table, read_table
from datasets.base import Dataset
from datasets.clips import Clip, UserError

KEYS = ("clip", "fold")
LABEL = "label"
LONGEST = 60  # letters of a fold's name
TOLERANCE = 1e-3  # of a sum of probabilities; the guard has the same


class PredictionsError(UserError):
    """Predictions cannot be scored."""


@dataclass(frozen=True)
class Answer:
    """What was predicted for one clip in one fold."""

    line: int
    clip: Clip
    probabilities: tuple[float, ...]  # [labels]


ByFold = Mapping[str, Mapping[str, Answer]]  # then by the clip's id


@dataclass(frozen=True)
class Predictions:
    """All answers, by fold as the file names it."""

    file: Path
    sha256: str
    by_label: bool  # probabilities are 0 and 1, for the file has labels alone
    folds: ByFold


def read_predictions(file: Path) -> Table:
    """The file, as far as it can be judged without the corpus."""
    table = read_table(file, KEYS)
    classes = [column for column in table.columns if column not in (*KEYS, LABEL)]
    if LABEL in table.columns and classes:
        raise PredictionsError(
            f"{file} has the column label and {classes[0]!r} too; keep either label or one column for each class"
        )
    if LABEL not in table.columns and not classes:
        raise PredictionsError(f"{file} has clip,fold alone; add the column label, or one column for each class")
    for line, row in table.rows:
        if not row["clip"] or not 0 < len(row["fold"]) <= LONGEST or not row["fold"].isprintable():
            raise PredictionsError(
                f"{file} line {line} reads clip {row['clip']!r}, fold {row['fold']!r}; "
                f"name both, a fold in {LONGEST} letters at most"
            )
    return table


def understood(table: Table, dataset: Dataset, clips: Sequence[Clip], labels: Sequence[str]) -> Predictions:
    """Answers for clips of the corpus as it is here; labels are the classes of those clips."""
    columns = _class_columns(table, labels)
    here = {clip.name.casefold(): clip for clip in clips}
    folds: dict[str, dict[str, Answer]] = {}
    for line, row in table.rows:
        where = f"{table.file} line {line}"
        clip = known(row["clip"], dataset, here)
        if clip is None:
            raise PredictionsError(
                f"{where}: {row['clip']!r} is none of the {len(clips)} clips of {dataset.name} that are tested here; "
                f"take it out, or write names like {clips[0].name}"
            )
        answer = Answer(line, clip, _probabilities(where, row, columns, labels))
        first = folds.setdefault(row["fold"], {}).setdefault(clip.media.clip_id, answer)
        if first is not answer:
            raise PredictionsError(
                f"{where}: {clip.name} is predicted in fold {row['fold']!r} already, on line {first.line}; keep one"
            )
    return Predictions(table.file, table.sha256, not columns, folds)


def _class_columns(table: Table, labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of probabilities in the order of the labels; none where the file has labels."""
    if LABEL in table.columns:
        return ()
    named = {label.casefold(): label for label in labels}
    choice = ", ".join(labels)
    for column in table.columns:
        if column not in (*KEYS, *named):
            raise PredictionsError(f"{table.file} has a column {column!r}, which is no class here; classes: {choice}")
    for label in named:
        if label not in table.columns:
            raise PredictionsError(f"{table.file} lacks the column {label!r}; give one for each class: {choice}")
    return tuple(named)


def _probabilities(
    where: str, row: Mapping[str, str], columns: Sequence[str], labels: Sequence[str]
) -> tuple[float, ...]:
    """One for each label."""
    if not columns:
        said = row[LABEL].casefold()
        if said not in {label.casefold() for label in labels}:
            raise PredictionsError(f"{where}: {row[LABEL]!r} is no class here; choose from {', '.join(labels)}")
        return tuple(float(label.casefold() == said) for label in labels)
    values = tuple(_number(where, column, row[column]) for column in columns)
    if abs(math.fsum(values) - 1) > TOLERANCE:
        raise PredictionsError(
            f"{where}: the probabilities of {row['clip']} sum to {math.fsum(values):g}; they must sum to 1"
        )
    return values


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        comma = "; write decimals with a point" if "," in text else "; write a number from 0 to 1"
        raise PredictionsError(f"{where}: {column} is {text!r}, which is no number{comma}") from None
    if not math.isfinite(value) or value < 0:
        raise PredictionsError(f"{where}: {column} is {text}; a probability is a number from 0 to 1")
    return value


def matched(predictions: Predictions, arena: Arena) -> ByFold:
    """Answers by the folds of a protocol, which are known by whom they test, whatever the file calls them."""
    members = {frozenset(media.clip_id for media in fold.test_media): fold for fold in arena.folds}
    if sum(map(len, members)) == len(frozenset().union(*members)):
        _once(predictions)
    found: dict[str, Mapping[str, Answer]] = {}
    for name, answers in predictions.folds.items():
        fold = members.get(frozenset(answers))
        if fold is None or fold.name in found:
            raise PredictionsError(f"{predictions.file} fold {name!r} {_difference(answers, arena)}; {_remedy(arena)}")
        found[fold.name] = answers
    if left := [fold for fold in arena.folds if fold.name not in found]:
        raise PredictionsError(
            f"{predictions.file} has no answers for {left[0].name} of {arena.protocol} ({len(left[0].test_media)} "
            f"clips, {_names(arena)[left[0].test_media[0].clip_id]} is one); {_remedy(arena)}"
        )
    return found


def named(predictions: Predictions, arena: Arena, file: Path) -> ByFold:
    """Answers by the folds of a file, which have the same names there."""
    there = {fold.name.removeprefix("fold "): fold for fold in arena.folds}
    called = _names(arena)
    for name, answers in predictions.folds.items():
        tested = {media.clip_id for media in there[name].test_media} if name in there else set()
        for clip_id, answer in answers.items():
            if clip_id not in tested:
                raise PredictionsError(
                    f"{predictions.file} line {answer.line}: {answer.clip.name} is no test clip of fold {name!r} in "
                    f"{file}, whose folds are {', '.join(there)}; take it out, or mend the fold"
                )
    for name, fold in there.items():
        answered = predictions.folds.get(name, {})
        missing = sorted(called[media.clip_id] for media in fold.test_media if media.clip_id not in answered)
        if missing:
            raise PredictionsError(
                f"{predictions.file} has no answer for {missing[0]}{_more(missing)} of fold {name!r}, which {file} "
                "tests; add it"
            )
    return {fold.name: predictions.folds[name] for name, fold in there.items()}


def _once(predictions: Predictions) -> None:
    """No clip in two folds."""
    seen: dict[str, tuple[str, Answer]] = {}
    for name, answers in predictions.folds.items():
        for clip_id, answer in answers.items():
            first, earlier = seen.setdefault(clip_id, (name, answer))
            if first != name:
                raise PredictionsError(
                    f"{predictions.file} line {answer.line}: {answer.clip.name} is predicted in fold {name!r} and, on "
                    f"line {earlier.line}, in fold {first!r}; keep the one whose training did not have it"
                )


def _difference(answers: Mapping[str, Answer], arena: Arena) -> str:
    """From the fold that is tested most alike."""
    sets = {fold.name: {media.clip_id for media in fold.test_media} for fold in arena.folds}
    near = max(sets, key=lambda name: len(sets[name] & answers.keys()))
    called = _names(arena)
    missing = sorted(called[clip_id] for clip_id in sets[near] - answers.keys())
    strange = [answer for clip_id, answer in answers.items() if clip_id not in sets[near]]
    told = f"is no test set of {arena.protocol}: its {near}"
    if strange:
        more = _more(strange)
        return f"{told} does not test {strange[0].clip.name}{more}, which line {strange[0].line} predicts"
    if missing:
        return f"{told} tests {missing[0]}{_more(missing)} as well"
    return f"{told} is predicted in another fold already"


def _remedy(arena: Arena) -> str:
    return (
        f"predict the folds of {arena.protocol}, choose another --protocol, or say who was trained on with "
        "--folds FOLDS.csv (clip,fold,role)"
    )


def _names(arena: Arena) -> dict[str, str]:
    return {clip.media.clip_id: clip.name for clip in arena.clips}


def _more(some: Sequence[object]) -> str:
    return f" (and {len(some) - 1} more)" if len(some) > 1 else ""
