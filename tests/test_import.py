"""Predictions made elsewhere: scored as anybody else would score them, audited, marked, and refused in one line."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from benchmarks.plugins import build
from benchmarks.predictions import PredictionsError, read_predictions, understood
from benchmarks.track import Tracker
from datasets.base import Dataset
from protocols.scores import METRICS
from tests.tinybench import HALVES, Bench, clips, corpus, make_bench, ravdess  # noqa: F401  a fixture

LABELS = ("anger", "happiness", "sadness")
Line = tuple[str, str, str, tuple[float, ...]]  # clip, fold, truth, probabilities


def drawn(root: Path, protocol: str = HALVES, seed: int = 0) -> list[Line]:
    """Answers by chance for the folds of a protocol, which have names of their own."""
    generator = np.random.default_rng(seed)
    truth = {clip.media.clip_id: clip for clip in clips(root)}
    return [
        (truth[media.clip_id].name, f"part {number}", truth[media.clip_id].label, tuple(generator.dirichlet([1, 1, 1])))
        for number, fold in enumerate(build("protocols", protocol).folds(truth.values()), start=7)
        for media in fold.test_media
    ]


def table(lines: Sequence[Line], *more: Sequence[object]) -> str:
    text = io.StringIO()
    rows = [(clip, fold, *map(repr, map(float, values))) for clip, fold, _, values in lines]
    csv.writer(text).writerows([("clip", "fold", *LABELS), *rows, *more])
    return text.getvalue()


def by_label(lines: Sequence[Line]) -> str:
    said = [f"{clip},{fold},{LABELS[int(np.argmax(values))]}" for clip, fold, _, values in lines]
    return "\n".join(("clip,fold,label", *said, ""))


def split(lines: Sequence[Line], leak: Sequence[tuple[str, str]] = ()) -> str:
    """Every fold's own clips are tested, all others trained on; and whoever else is to leak."""
    folds = dict.fromkeys(fold for _, fold, _, _ in lines)
    rows = [f"{clip},{fold},{'test' if fold == own else 'train'}" for fold in folds for clip, own, _, _ in lines]
    return "\n".join(("clip,fold,role", *rows, *(f"{clip},{fold},train" for clip, fold in leak), ""))


def load(bench: Bench, text: str | bytes, *more: object, name: str = "Mine", protocol: str = HALVES) -> Any:
    """Exit code, output, errors."""
    (bench.folder / "mine.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    chosen = [] if "--folds" in more else ["--protocol", protocol]
    own = ["--name", name, "--dataset", "ravdess", "--data-root", bench.data]
    return bench.call("import", "mine.csv", *own, *chosen, *more)


def told(bench: Bench, text: str | bytes, *more: object, **named: str) -> dict[str, Any]:
    code, out, err = load(bench, text, "--json", *more, **named)
    assert code == 0, err
    (row,) = json.loads(out)
    return dict(row)


def folds_file(bench: Bench, text: str) -> list[object]:
    (bench.folder / "folds.csv").write_text(text)
    return ["--folds", "folds.csv"]


def refused(bench: Bench, text: str | bytes, *more: object, **named: str) -> str:
    code, out, err = load(bench, text, *more, **named)
    assert (code, out) == (2, "") and len(err.strip().splitlines()) == 1, err
    assert bench.kept("row") == [] and bench.kept("cell") == []
    return str(err)


@pytest.mark.parametrize("labels_only", [False, True])
def test_scores_are_those_of_scikit_learn(labels_only: bool, bench: Bench) -> None:
    lines = drawn(bench.data)
    row = told(bench, by_label(lines) if labels_only else table(lines))
    truth = [line[2] for line in lines]
    answer = [LABELS[int(np.argmax(line[3]))] for line in lines]
    measured = row["metrics"]
    assert measured["accuracy"] == pytest.approx(accuracy_score(truth, answer))
    assert measured["uar"] == pytest.approx(recall_score(truth, answer, average="macro"))
    assert measured["macro_f1"] == pytest.approx(f1_score(truth, answer, average="macro"))
    assert measured["weighted_f1"] == pytest.approx(f1_score(truth, answer, average="weighted"))
    counts = np.zeros((3, 3), int)
    for run in bench.kept("cell"):
        rows = list(csv.reader(bench.artifact(run, "confusion.csv").read_text().splitlines()))
        counts += np.array([line[1:] for line in rows[1:]], int)
    assert counts.tolist() == confusion_matrix(truth, answer, labels=LABELS).tolist()


@pytest.mark.parametrize("labels_only", [False, True])
def test_answers_that_are_read_back_are_those_of_the_file(labels_only: bool, bench: Bench) -> None:
    lines = drawn(bench.data)
    told(bench, by_label(lines) if labels_only else table(lines))
    tracker = Tracker(bench.uri)
    expected = {
        clip: (truth, tuple(np.eye(3)[np.argmax(values)]) if labels_only else values)
        for clip, _, truth, values in lines
    }
    experiment = bench.client.get_experiment_by_name("ravdess").experiment_id
    read = [tracker.scores(done.run_id) for done in tracker.finished(experiment, "bench.method", "Mine").values()]
    assert {
        name: (truth, tuple(values))
        for part in read
        for name, truth, values in zip(part.names, part.truth, part.probabilities.tolist(), strict=True)
    } == expected
    assert all(part.labels == LABELS for part in read) and len(read) == 2


def test_a_row_is_kept_as_a_run_keeps_its_own_and_is_marked(bench: Bench) -> None:
    bench.run()
    row = told(bench, by_label(drawn(bench.data)), "--modality", "audio")
    (own,) = bench.kept("row", " and tags.`bench.method` = 'toy'")
    (run,) = bench.kept("row", " and tags.`bench.method` = 'Mine'")
    spreads = {f"{name}_fold_sd" for name in METRICS}
    assert set(own.data.tags) <= set(run.data.tags) and {*METRICS, *spreads} <= set(run.data.metrics)
    tags = run.data.tags
    assert (tags["bench.preset"], tags["bench.modality"], tags["bench.imported"]) == ("imported", "audio", "True")
    assert tags["bench.stamps"] == "imported, training as claimed, labels only"
    assert tags["bench.probabilities"] == "labels only" and tags["bench.protocol"] == HALVES
    assert (tags["bench.independence"], row["independence"]) == ("unknown", "unknown")
    for cell in bench.kept("cell", " and tags.`bench.method` = 'Mine'"):
        assert cell.data.tags["mlflow.parentRunId"] == run.info.run_id and cell.info.status == "FINISHED"
        kept = {file.path for file in bench.client.list_artifacts(cell.info.run_id)}
        assert kept == {"predictions.csv", "per_class.csv", "confusion.csv", "confusion.svg", "cell.json"}
        assert cell.data.tags["bench.fold"] in ("group 1", "group 2")
    assert {file.path for file in bench.client.list_artifacts(run.info.run_id)} >= {"folds.json", "cells.csv"}


def test_the_same_file_again_changes_nothing(bench: Bench) -> None:
    text = table(drawn(bench.data))
    first = told(bench, text)
    runs = {run.info.run_id: (run.info.end_time, run.data.tags, run.data.metrics) for run in bench.kept("row")}
    code, out, err = load(bench, text, "--json")
    (again,) = json.loads(out)
    assert code == 0 and "imported before; nothing is changed" in err
    assert (first.pop("trained_now"), again.pop("trained_now")) == (2, 0) and first == again
    assert runs == {r.info.run_id: (r.info.end_time, r.data.tags, r.data.metrics) for r in bench.kept("row")}
    assert len(bench.kept("cell")) == 2
    other = told(bench, text, name="Müller + Doe 20.1_a-b")
    assert (other["trained_now"], other["method"]) == (2, "Müller + Doe 20.1_a-b")
    assert told(bench, text, name="Müller + Doe 20.1_a-b")["trained_now"] == 0
    assert told(bench, table(drawn(bench.data, seed=1)))["trained_now"] == 2
    assert told(bench, text, "--fresh")["trained_now"] == 2
    assert len(bench.kept("cell", " and tags.`bench.superseded` = 'True'")) == 2
    assert told(bench, text)["metrics"] == first["metrics"]


def test_a_leaky_fold_file_marks_the_row_and_names_who_leaks(bench: Bench) -> None:
    lines = drawn(bench.data)
    clip, fold, _, _ = lines[0]
    person = int(clip[-2:])
    code, out, err = load(bench, table(lines), *folds_file(bench, split(lines, [(clip, fold)])))
    assert code == 0 and f"fold {fold}: leak: person of test in training: {person:02}" in out and "LEAKS" in out
    assert f"fold {fold}: leak: clip of test in training: {clip}" in out and "subjects: violated" in err
    (run,) = bench.kept("row")
    assert run.data.tags["bench.independence"] == "violated"
    cells = {cell.data.tags["bench.fold"]: cell.data.tags["bench.independence"] for cell in bench.kept("cell")}
    assert cells == {f"fold {fold}": "violated", f"fold {lines[-1][1]}": "unknown"}
    assert any("leak" in finding for finding in json.loads(bench.artifact(run, "findings.json").read_text()))


def test_an_honest_fold_file_leaves_the_row_unmarked(bench: Bench) -> None:
    lines = drawn(bench.data)
    more = folds_file(bench, split(lines))
    row = told(bench, table(lines), *more)
    assert row["independence"] == "unknown" and row["complete"]
    (run,) = bench.kept("row")
    assert run.data.tags["bench.independence"] == "unknown"  # nobody saw the training
    assert "tests" not in run.data.tags["bench.stamps"]
    assert [finding for finding in row["findings"] if finding["severity"] != "note"] == []
    assert row["protocol"].startswith("folds-file:")
    assert row["metrics"]["accuracy"] == pytest.approx(told(bench, table(lines))["metrics"]["accuracy"])


def test_the_console_says_that_nobody_knows_of_the_people_and_no_model_is_asked(bench: Bench) -> None:
    """Though the folds are honest, as the title says."""
    code, out, _ = load(bench, table(drawn(bench.data)), "--fresh")
    assert code == 0 and "(subjects: verified" in out
    assert re.search(r"^Mine .*imported training as claimed subjects unknown ", out, re.MULTILINE)
    clip = next((bench.data / "ravdess").rglob("*.wav"))
    for run in (*bench.kept("row"), *bench.kept("cell")):
        code, _, err = bench.call("predict", clip, "--run", run.info.run_id)
        assert code == 2 and len(err.splitlines()) == 1 and "was imported" in err
    bench.run()
    code, out, _ = bench.run()
    assert code == 0 and "subjects: verified" in out and "subjects unknown" not in out


def test_a_fold_file_that_tests_a_part_marks_the_row(bench: Bench) -> None:
    lines = drawn(bench.data)
    first = [line for line in lines if line[1] == lines[0][1]]
    text = "\n".join(line for line in split(lines).splitlines() if f",{lines[-1][1]}," not in line)
    told(bench, table(first), *folds_file(bench, text + "\n"))
    (run,) = bench.kept("row")
    assert f"tests {len(first)} of {len(lines)} clips" in run.data.tags["bench.stamps"]


def test_validation_counts_as_learnt_from(bench: Bench) -> None:
    lines = drawn(bench.data)
    text = split(lines).replace(f"{lines[0][0]},{lines[-1][1]},train", f"{lines[-1][0]},{lines[-1][1]},validation")
    row = told(bench, table(lines), *folds_file(bench, text))
    assert row["independence"] == "violated"
    assert any("in validation" in finding["what"] for finding in row["findings"])


def test_who_was_trained_on_may_be_unknown(bench: Bench) -> None:
    """A model of another corpus, tested on all clips."""
    lines = [(clip, "1", truth, values) for clip, _, truth, values in drawn(bench.data)]
    row = told(bench, table(lines), *folds_file(bench, split(lines)))
    assert (row["independence"], row["metrics"]["accuracy"] >= 0) == ("unknown", True)


def test_one_voice_under_two_names_leaks(bench: Bench) -> None:
    """The corpus' own ids and recordings count, whatever the fold file calls its clips."""
    lines = drawn(bench.data)
    clip, fold, _, _ = lines[0]
    again = bench.data / "ravdess" / f"Actor_{clip[-2:]}" / f"03-{clip[:-5]}02{clip[-3:]}.wav"
    again.write_bytes(next((bench.data / "ravdess").rglob(f"03-{clip}.wav")).read_bytes())
    row = told(bench, table(lines), *folds_file(bench, split(lines, [(again.stem, fold)])))
    assert row["independence"] == "violated"
    assert any("recording of test in training" in finding["what"] for finding in row["findings"])


def test_a_random_protocol_is_violated_and_said_so(bench: Bench) -> None:
    lines = drawn(bench.data, "random-k-fold:k=2")
    row = told(bench, table(lines), protocol="random-k-fold:k=2")
    assert row["independence"] == "violated" and any(finding["severity"] == "leak" for finding in row["findings"])


def test_a_standin_is_marked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "standin", property(lambda corpus: True))
    code, out, err = load(bench, table(drawn(bench.data)))
    (run,) = bench.kept("row")
    assert code == 0 and "STAND-IN" in err and "STAND-IN" in out and run.data.tags["bench.standin"] == "True"
    assert bench.client.get_experiment(run.info.experiment_id).name == "ravdess (STAND-IN)"


def test_tasks_have_their_own_classes(bench: Bench) -> None:
    lines = drawn(bench.data)
    said = [f"{clip},{fold},{'low' if truth == 'sadness' else 'high'}" for clip, fold, truth, _ in lines]
    row = told(bench, "\n".join(["clip,fold,label", *said]), "--task", "arousal")
    assert row["classes"] == ["high", "low"] and row["metrics"]["accuracy"] == 1


def test_spreadsheets_are_read(bench: Bench) -> None:
    lines = drawn(bench.data)
    expected = told(bench, table(lines), name="plain")["metrics"]
    text = table(lines).replace("clip,fold,anger", " Clip ,FOLD, Anger")
    loose = ("\ufeff" + text.replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n,,,,\r\n\r\n").encode()
    assert told(bench, loose, name="loose")["metrics"] == expected
    written = text.replace(lines[0][0], f"Actor_{lines[0][0][-2:]}/03-{lines[0][0]}.WAV")
    assert told(bench, written, name="folders")["metrics"] == expected


def changes(lines: list[Line]) -> Iterator[tuple[str, str | bytes, str]]:
    """What is wrong, the file, and what must be said."""
    good, (clip, fold, _, values) = table(lines), lines[0]
    rest, last = table(lines[1:]), lines[-1][1]
    yield "missing", rest, f"tests {clip} as well; predict the folds"
    yield "a fold is missing", table([line for line in lines if line[1] == fold]), "has no answers for group 2"
    yield "doubled", table([*lines, lines[0]]), f"line {len(lines) + 2}: {clip} is predicted in fold '{fold}' already"
    yield "doubled under another spelling", table([*lines, (f"03-{clip}.wav", *lines[0][1:])]), "already, on line 2"
    yield "in two folds", table([*lines, (clip, last, "", values)]), f"line {len(lines) + 2}: {clip} is predicted in"
    yield "unknown", good.replace(clip, "03-01-03-01-01-01-24"), "line 2: '03-01-03-01-01-01-24' is none of the 12"
    yield "no name", good.replace(clip, "whatever"), "line 2: 'whatever' is none of the 12"
    yield "swapped", table([(clip, last, "", values), *lines[1:]]), "does not test"
    for number, what in (
        ("nan", "is nan"),
        ("inf", "is inf"),
        ("-0.1", "is -0.1"),
        ("x", "no number"),
        ("", "no numb"),
    ):
        yield f"number {number!r}", table(lines[1:], (clip, fold, number, 0.5, 0.5)), f"line {len(lines) + 1}: anger"
        yield f"what {number!r}", table(lines[1:], (clip, fold, number, 0.5, 0.5)), what
    yield "decimal comma", table(lines[1:], (clip, fold, "0,2", "0,3", "0,5")), "write decimals with a point"
    yield "bare decimal comma", f"{rest}{clip},{fold},0,2,0,3,0,5\r\n", "8 cells, but the header 5; write decimals"
    yield "sum", table(lines[1:], (clip, fold, 0.2, 0.3, 0.51)), f"the probabilities of {clip} sum to 1.01"
    yield "percent", table(lines[1:], (clip, fold, 20, 30, 50)), "sum to 100; they must sum to 1"
    yield "no class", by_label(lines) + f"{clip},x,boredom\n", "'boredom' is no class here; choose from anger, happi"
    yield "class missing", good.replace(",sadness", ""), "cells, but the header 4"
    yield "class lacks", good.replace(",sadness", ","), "lacks the column 'sadness'"
    yield "class unknown", good.replace("sadness", "truth"), "a column 'truth', which is no class here"
    yield "class twice", good.replace("sadness", "anger"), "two columns 'anger'"
    yield "both", good.replace("sadness", "label"), "keep either label or one column for each class"
    yield "neither", "clip,fold\na,1\n", "add the column label"
    yield "no fold", f"clip,label\n{clip},anger\n", "lacks the column fold; its header must hold clip,fold"
    yield "empty fold", by_label(lines) + f"{clip},,anger\n", f"line {len(lines) + 2} reads clip '{clip}', fold ''"
    yield "long fold", by_label(lines) + f"{clip},{'x' * 61},anger\n", "60 letters at most"
    yield "a line break", by_label(lines) + f'{clip},"a\nb",anger\n', "'a\\nb'"
    yield "semicolons", good.replace(",", ";"), "semicolons between its columns; save it with commas"
    yield "tabs", good.replace(",", "\t"), "tabs between its columns"
    yield "utf-16", good.encode("utf-16"), "cannot be read as UTF-8"
    yield "nothing", "", "lacks the column clip"
    yield "header alone", "clip,fold,label\n\n", "has no rows below its header"


def test_what_cannot_be_scored_is_one_line_and_keeps_nothing(bench: Bench, subtests: Any) -> None:
    for what, text, expected in changes(drawn(bench.data)):
        with subtests.test(what):
            assert expected in refused(bench, text)


def test_a_fold_file_must_fit_the_predictions(bench: Bench) -> None:
    lines = drawn(bench.data)
    clip, fold, _, _ = lines[0]
    last = lines[-1][1]
    good = split(lines)

    def why(folds: str, predictions: str = table(lines), *more: object) -> str:
        return refused(bench, predictions, *folds_file(bench, folds), *more)

    assert f"no answer for {clip} of fold '{fold}', which folds.csv" in why(good, table(lines[1:]))
    swapped = table([(clip, last, "", lines[0][3]), *lines[1:]])
    assert f"line 2: {clip} is no test clip of fold '{last}' in folds.csv" in why(good, swapped)
    assert f"is no test clip of fold '{fold}'" in why(good.replace(fold, "part 1"))
    assert "'fold empty' has no test clip" in why(good + f"{clip},empty,train\n")
    absent = "03-01-03-01-01-01-24"
    assert f"test clip '{absent}' is none of the 12" in why(good + f"{absent},{fold},test\n")
    assert f"as '{clip}' too" in why(good + f"03-{clip}.wav,{fold},test\n")
    assert "folds.csv line 26: 'what' is no clip" in why(good + f"what,{fold},train\n")
    assert "not both" in why(good, table(lines), "--protocol", HALVES)
    assert "semicolons" in why(good.replace(",", ";"))
    assert "predicted in fold" in why(good, table([*lines, lines[0]]))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--name", "toy"], "is a method that is run here"),
        (["--name", "Hybrid DBN"], "is a method that is run here"),
        (["--name", "=cmd()"], "is no name for a row"),
        (["--name", "<b>x</b>"], "is no name for a row"),
        (["--name", "it's"], "is no name for a row"),
        (["--name", ""], "is no name for a row"),
        (["--name", "x" * 61], "60 in all at most"),
        (["--modality", "text"], "choose from"),
        (["--task", "mood"], "choose from emotion"),
        (["--protocol", "nothing"], "choose from"),
        (["--folds", "nothing.csv"], "nothing.csv"),
    ],
)
def test_a_wrong_call_is_one_line(more: list[object], expected: str, bench: Bench) -> None:
    assert expected in refused(bench, table(drawn(bench.data)), *more)


def test_a_clip_may_be_excluded(bench: Bench) -> None:
    lines, alone = drawn(bench.data, "leave-one-subject-out"), "leave-one-subject-out"
    (bench.folder / "out.txt").write_text(lines[0][0])
    assert "is none of the 11 clips" in refused(bench, table(lines), "--exclude", "out.txt", protocol=alone)
    row = told(bench, table(lines[1:]), "--exclude", "out.txt", protocol=alone)
    assert (row["excluded"], row["clips"], row["partial"]) == ([lines[0][0]], 11, True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ravdess(tmp_path_factory.mktemp("exact"))


chances = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda some: sum(some) > 1e-6)


@given(rows=st.lists(chances, min_size=12, max_size=12))
def test_numbers_are_read_exactly(rows: list[list[float]], root: Path) -> None:
    """Whatever was written, in whatever order of columns, is what is scored; or it is no distribution."""
    known = clips(root)
    shares = [[value / sum(row) for value in row] for row in rows]
    lines = [f"{clip.name},1,{c!r},{a!r},{b!r}" for clip, (a, b, c) in zip(known, shares, strict=True)]
    file = root / "mine.csv"
    file.write_text("\n".join(["clip,fold,sadness,anger,happiness", *lines]))
    read = understood(read_predictions(file), corpus(root), known, LABELS).folds["1"]
    assert [list(read[clip.media.clip_id].probabilities) for clip in known] == shares
    file.write_text("\n".join(["clip,fold,sadness,anger,happiness", *lines[1:], f"{known[0].name},1,0.5,0.5,0.01"]))
    with pytest.raises(PredictionsError, match=r"sum to 1\.01"):
        understood(read_predictions(file), corpus(root), known, LABELS)
