"""The store of results: what goes in comes out, in a form that any client of MLflow reads; finished is the last act."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from benchmarks import abroad, track
from benchmarks.environment import git
from benchmarks.reach import TrackingError
from benchmarks.scored import read_scores, write_scores
from benchmarks.spool import deliver
from benchmarks.track import HELD, Opening, Tracker, held
from protocols.scores import Scores
from reports.figures import confusion
from tests.tinybench import Bench, diary, make_bench, store  # noqa: F401  a fixture

SVG = "{http://www.w3.org/2000/svg}"
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(',"\n'), min_size=1, max_size=8)


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    labels = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    clips = draw(st.integers(1, 5))
    share = st.floats(0, 1)

    def some(what: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(st.lists(what, min_size=clips, max_size=clips)))

    rows = st.lists(share, min_size=len(labels), max_size=len(labels))
    return Scores(
        tuple(labels), some(TEXT), some(TEXT | st.none()), some(st.sampled_from(labels)), np.array(some(rows))
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(given=scores())
def test_answers_come_back_exactly(given: Scores, tmp_path: Path) -> None:
    write_scores(given, tmp_path)
    again = read_scores(tmp_path / "predictions.csv")
    for fact in ("labels", "names", "subjects", "truth", "predicted"):
        assert getattr(again, fact) == getattr(given, fact)
    assert np.array_equal(again.probabilities, given.probabilities)


def test_a_picture_of_answers_holds_whatever_a_label_is() -> None:
    picture = ElementTree.fromstring(confusion(("<a> & b", '"c"'), np.array([[3, 1], [0, 2]]), "<title>"))
    told = [one.text for one in picture.iter(f"{SVG}text")]
    assert (told.count("<a> & b"), told.count('"c"'), told.count("<title>")) == (2, 2, 1)
    assert [one for one in told if one and one.isdigit()] == ["3", "1", "0", "2"]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_cell_is_kept_with_all_that_was_measured(bench: Bench) -> None:
    """The metrics in the store are scikit-learn's on the stored answers."""
    assert bench.run()[0] == 0
    cells = bench.kept()
    assert len(cells) == 2
    for cell in cells:
        answers = rows(bench.artifact(cell, "predictions.csv"))
        truth, said = [row["truth"] for row in answers], [row["answer"] for row in answers]
        kept = cell.data.metrics
        assert kept["accuracy"] == pytest.approx(accuracy_score(truth, said), abs=1e-12)
        assert kept["uar"] == pytest.approx(recall_score(truth, said, average="macro"), abs=1e-12)
        assert kept["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"), abs=1e-12)
        assert kept["weighted_f1"] == pytest.approx(f1_score(truth, said, average="weighted"), abs=1e-12)
        assert (kept["train_clips"], kept["test_clips"], kept["dropped_clips"]) == (6, 6, 0)
        assert kept["fit_seconds"] >= 0 and kept["clips_where_nothing_was_found"] == 0
        assert {row["subject"] for row in answers} == set(cell.data.tags["bench.fold"].replace(",", " ").split()) or (
            len({row["subject"] for row in answers}) == 2
        )
        columns = ("anger", "happiness", "sadness")
        for row in answers:
            likely = {label: float(row[f"p_{label}"]) for label in columns}
            assert sum(likely.values()) == pytest.approx(1) and row["answer"] == max(likely, key=likely.__getitem__)
        counts = [[int(row[label]) for label in columns] for row in rows(bench.artifact(cell, "confusion.csv"))]
        assert counts == confusion_matrix(truth, said, labels=columns).tolist()
        per_class = {row["label"]: row for row in rows(bench.artifact(cell, "per_class.csv"))}
        recalls = recall_score(truth, said, labels=columns, average=None)
        assert [float(per_class[label]["recall"]) for label in columns] == pytest.approx(recalls)
        assert {per_class[label]["support"] for label in columns} == {"2"}
        told = [one.text or "" for one in ElementTree.parse(bench.artifact(cell, "confusion.svg")).iter(f"{SVG}text")]
        assert [int(one) for one in told if one.isdigit()] == [count for row in counts for count in row]
        assert all(told.count(label) == 2 for label in columns)
        facts = json.loads(bench.artifact(cell, "cell.json").read_text())
        assert facts["key"] == cell.data.tags["bench.key"]
        assert (len(facts["train"]), len(facts["test"]), facts["config"]["scale"]) == (6, 6, 2.0)
        assert not set(facts["train"]) & set(facts["test"])
        assert np.load(bench.artifact(cell, "model/artifacts/model") / "means.npy").shape == (3, 2)
        curve = bench.client.get_metric_history(cell.info.run_id, "loss")
        assert [(point.step, point.value) for point in curve] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_a_row_is_kept_with_how_it_was_made(bench: Bench) -> None:
    assert bench.run("--set", "inner.depth=5")[0] == 0
    (row,) = bench.kept("row")
    cells = bench.kept()
    assert row.info.status == "FINISHED" and row.info.run_name.startswith("toy audio quick")
    assert {cell.data.tags["mlflow.parentRunId"] for cell in cells} == {row.info.run_id}
    assert bench.client.get_experiment(row.info.experiment_id).name == "ravdess"
    assert {name: row.data.params[name] for name in ("method", "dataset", "task", "modality", "preset", "variant")} == {
        "method": "toy", "dataset": "ravdess", "task": "emotion", "modality": "audio", "preset": "quick", "variant": ""
    }  # fmt: skip
    assert (row.data.params["inner.depth"], row.data.params["scale"]) == ("5", "2.0")
    tags = row.data.tags
    assert (tags["bench.standin"], tags["bench.independence"], tags["bench.partial"]) == ("False", "verified", "True")
    assert (tags["bench.clips"], tags["bench.clips_of_the_whole_corpus"]) == ("12", "1440")
    assert float(tags["bench.chance"]) == pytest.approx(1 / 3)
    assert len(tags["bench.corpus"]) == 64
    assert {run.data.tags.get("bench.git_commit", "") for run in (row, *cells)} == {git().get("commit", "")}
    for cell in cells:
        for name in ("bench.source", "bench.device", "bench.method_version"):
            assert cell.data.tags[name] == tags[name]
    table = {line["fold"]: line for line in rows(bench.artifact(row, "cells.csv"))}
    assert {line["key"] for line in table.values()} == {cell.data.tags["bench.key"] for cell in cells}
    for cell in cells:
        line = table[cell.data.tags["bench.fold"]]
        assert float(line["uar"]) == pytest.approx(cell.data.metrics["uar"], abs=1e-4) and line["error"] == ""
    told = json.loads(bench.artifact(row, "environment.json").read_text())
    assert told["libraries"]["numpy"] == np.__version__ and told["python"].startswith("3.")
    answers = [answer for cell in cells for answer in rows(bench.artifact(cell, "predictions.csv"))]
    pooled = accuracy_score([one["truth"] for one in answers], [one["answer"] for one in answers])
    assert row.data.metrics["accuracy"] == pytest.approx(pooled)
    spread = np.std([cell.data.metrics["accuracy"] for cell in cells], ddof=1)
    assert row.data.metrics["accuracy_fold_sd"] == pytest.approx(spread)
    (found,) = bench.kept("row", " and metrics.accuracy > 0.1 and params.method = 'toy'")
    assert found.info.run_id == row.info.run_id


def test_reading_finished_results_does_not_rewrite_how_they_were_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later machine, or a changed source under the same version, computed nothing of them."""
    assert bench.run()[0] == 0
    (before,) = bench.kept("row")
    made = bench.artifact(before, "environment.json").read_text()
    (bench.plugins / "toy.py").write_text((bench.plugins / "toy.py").read_text() + "# changed\n")
    monkeypatch.setattr("benchmarks.engine.describe", lambda device: {"python": "4"})
    assert bench.run()[0] == 0
    (after,) = bench.kept("row")
    assert after.data.tags == before.data.tags and after.info.status == "FINISHED"
    assert bench.artifact(after, "environment.json").read_text() == made


TAGS = {"bench.key": "k", "bench.method": "m"}
ANSWERS = Scores(("a", "b"), ("x", "y"), ("1", None), ("a", "b"), np.array([[0.9, 0.1], [0.2, 0.8]]))


def opening(key: str, source: str = "") -> Opening:
    return Opening(key, "a row", {"p": 1}, {"bench.source": source})


@pytest.fixture
def tracker(bench: Bench) -> tuple[Tracker, str, str]:
    tracker = Tracker(bench.uri)
    experiment = tracker.experiment("rml (STAND-IN)")
    assert tracker.experiment("rml (STAND-IN)") == experiment
    return tracker, experiment, tracker.open_row(experiment, opening("row", source="old"), True)


Opened = tuple[Tracker, str, str]


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_what_ends_before_its_last_act_is_not_finished(
    error: BaseException, status: str, tracker: Opened, tmp_path: Path
) -> None:
    own, experiment, parent = tracker
    with pytest.raises(type(error)), own.cell(experiment, parent, "cell", TAGS) as cell:
        cell.log("loss", 1.0, 0)
        raise error
    assert own.finished(experiment, "bench.method", "m") == {}
    run = own.client.get_run(cell.run_id)
    assert run.info.status == status
    assert run.data.tags["bench.error"].startswith(type(error).__name__)
    assert type(error).__name__ in Path(own.client.download_artifacts(cell.run_id, "error.txt")).read_text()


def test_what_fails_while_it_is_being_kept_is_not_finished(
    tracker: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, whole, beside the cache; once the disk has room again it is sent, and counts once."""
    own, experiment, parent = tracker
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w")
    with monkeypatch.context() as patch:
        patch.setattr(own.client, "log_artifacts", lambda *facts: (_ for _ in ()).throw(OSError(28, "No space left")))
        with own.cell(experiment, parent, "cell", TAGS) as cell:
            cell.finish(ANSWERS, {"seconds": 1.0}, tmp_path / "model", {"key": "k"})
    assert "disk is full" in cell.waits and len(own.spool.waiting("k")) == 1
    assert own.finished(experiment, "bench.method", "m") == {}
    assert deliver(own) == (1, "") and deliver(own) == (0, "")
    assert list(own.spool.folder.iterdir()) == []
    assert own.finished(experiment, "bench.method", "m")["k"].run_id == cell.run_id
    assert own.finished(experiment, "bench.method", "other") == {}
    assert np.array_equal(own.scores(cell.run_id).probabilities, ANSWERS.probabilities)


def test_a_long_curve_is_kept_whole(tracker: Opened) -> None:
    own, _, parent = tracker
    own.metrics(parent, [("loss", float(step), step) for step in range(2_300)])
    assert [point.value for point in own.client.get_metric_history(parent, "loss")] == list(map(float, range(2_300)))


def test_a_row_goes_on_and_its_dead_cells_are_buried(tracker: Opened) -> None:
    own, experiment, parent = tracker
    lost = own._create(experiment, "cell", {"bench.kind": "cell", **TAGS})
    other = own._create(experiment, "cell", {"bench.kind": "cell", **TAGS, "bench.key": "other"})
    assert own.open_row(experiment, opening("row", source="new"), False) == parent
    assert own.client.get_run(parent).data.tags["bench.source"] == "old"
    assert own.open_row(experiment, opening("row", source="new"), True) == parent
    assert own.client.get_run(parent).data.tags["bench.source"] == "new"
    with pytest.raises(ValueError, match="x"), own.cell(experiment, parent, "cell", TAGS):
        raise ValueError("x")
    assert own.client.get_run(lost).info.status == "KILLED"
    assert own.client.get_run(other).info.status == "RUNNING"  # perhaps another machine's


def test_of_two_that_begin_a_row_at_once_one_takes_its_back(
    tracker: Opened, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process is faster between the look and the making."""
    own, experiment, _ = tracker
    rival, create = Tracker(bench.uri), own._create
    first: list[str] = []

    def slow(*facts: Any) -> str:
        first.append(rival.open_row(experiment, opening("raced"), True))
        return create(*facts)

    monkeypatch.setattr(own, "_create", slow)
    assert own.open_row(experiment, opening("raced"), True) == first[0]
    (row,) = own._search(experiment, "tags.`bench.row` = 'raced'")
    assert row.info.run_id == first[0] and row.data.params == {"p": "1"}


def test_of_many_that_begin_a_row_at_once_one_stays(
    tracker: Opened, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long each takes between its clock, its entry in the store and its looks."""
    _, experiment, _ = tracker
    for module in (track, abroad):
        monkeypatch.setattr(module, "PAUSE", 0.05)
    delays = Random(1)

    def create(own: Tracker, where: str, title: str, tags: dict[str, Any]) -> str:
        text = {name: str(value) for name, value in tags.items()}
        made = own.client.create_run(where, int(1000 * time.time()) - delays.randrange(100), text, title)
        time.sleep(delays.random() / 10)
        return str(made.info.run_id)

    monkeypatch.setattr(Tracker, "_create", create)
    rivals = [Tracker(bench.uri) for _ in range(4)]
    for key in map(str, range(6)):
        with ThreadPoolExecutor(len(rivals)) as pool:
            found = set(pool.map(lambda rival: rival.open_row(experiment, opening(key), True), rivals))  # noqa: B023
        (row,) = rivals[0]._search(experiment, f"tags.`bench.row` = '{key}'")
        assert found == {row.info.run_id} and abroad.OPENING not in row.data.tags


def test_who_died_while_it_began_a_row_is_waited_for_no_longer_than_any(tracker: Opened) -> None:
    own, experiment, _ = tracker
    tags = {"bench.kind": "row", "bench.row": "left", abroad.OPENING: True, "bench.process": "elsewhere:1"}
    left = own._create(experiment, "left", tags)
    own.abroad.patience = 0.0
    assert own.open_row(experiment, opening("left"), True) != left


@pytest.mark.parametrize("kind", ["experiment", "registered_model"])
def test_what_another_process_makes_first_is_as_good(kind: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    own, rival = Tracker(bench.uri), Tracker(bench.uri)
    create = getattr(own.client, f"create_{kind}")

    def slow(name: str, *more: str) -> Any:
        getattr(rival.client, f"create_{kind}")(name)
        return create(name, *more)

    monkeypatch.setattr(own.client, f"create_{kind}", slow)
    if kind == "experiment":
        assert own.experiment("raced") == rival.experiment("raced")
    else:
        own.register("raced")
        assert [model.name for model in rival.client.search_registered_models()] == ["raced"]


def test_a_cell_of_a_live_process_is_not_buried(tracker: Opened) -> None:
    """Of this machine's processes it is known who lives; of others' it is not."""
    own, experiment, parent = tracker
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = socket.gethostname()
    made = {
        process: own._create(experiment, "cell", {"bench.kind": "cell", **TAGS, "bench.process": process})
        for process in (f"{here}:{os.getppid()}", f"{here}:{gone.pid}", "elsewhere:1")
    }
    with pytest.raises(ValueError, match="x"), own.cell(experiment, parent, "cell", TAGS):
        raise ValueError("x")
    assert [own.client.get_run(run_id).info.status for run_id in made.values()] == ["RUNNING", "KILLED", "RUNNING"]


def test_of_two_copies_of_a_cell_the_first_that_was_finished_counts(bench: Bench) -> None:
    """A process that was asked for the same is faster; this one's row tells of the other's copy."""
    assert bench.run()[0] == 0
    (row,), first = bench.kept("row"), {cell.info.run_id for cell in bench.kept()}
    bench.client.set_tag(row.info.run_id, HELD, "")
    for run_id in first:  # until the row is closed
        bench.client.set_tag(run_id, "bench.setup", "hidden")
    settled = Tracker.settled

    def seen(self: Tracker, experiment: str, tag: str, value: str) -> Any:
        for run_id in first:
            self.client.set_tag(run_id, "bench.setup", value)
        return settled(self, experiment, tag, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "settled", seen)
        patch.setattr(Tracker, "meanwhile", lambda *facts: None)  # this process looked before it was finished
        code, (told,) = bench.json()
    assert (code, told["trained_now"], told["complete"], told["run_id"]) == (0, 2, True, row.info.run_id)
    assert {line["run_id"] for line in Tracker(bench.uri).cells(row.info.run_id)} == first
    later = {run.info.run_id for run in bench.kept() if "bench.superseded" in run.data.tags}
    assert len(later) == 2 and not later & first


def test_a_finished_row_is_read_and_not_touched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    code, (before,) = bench.json("--seeds", "2")
    (row,) = bench.kept("row")
    with monkeypatch.context() as patch:
        for name in ("_create", "tag", "scores", "finished"):
            patch.setattr(Tracker, name, lambda *facts: pytest.fail("not asked for"))
        code, (again,) = bench.json("--seeds", "2")
    assert (code, again) == (0, before | {"trained_now": 0})
    (now,) = bench.kept("row")
    assert now.info.end_time == row.info.end_time


def spoil_nothing(bench: Bench) -> int:
    return 0


def delete_a_cell(bench: Bench) -> int:
    bench.client.delete_run(bench.kept()[0].info.run_id)
    return 1


def run_afresh_in_another_row(bench: Bench) -> int:
    """Whose Cells are among those of the first; its table tells of copies that count no more."""
    (row,) = bench.kept("row")
    assert bench.run("--fresh", "--seeds", "2")[0] == 0
    assert bench.client.get_run(row.info.run_id).data.tags[HELD] == ""
    return 0


def change_an_answer(bench: Bench) -> int:
    (row,) = bench.kept("row")
    (file,) = (bench.folder / "mlruns").rglob(f"{row.info.run_id}/artifacts/answers.csv")
    file.write_text(file.read_text().replace("anger", "sadness"))
    return 0


@pytest.mark.parametrize("spoil", [spoil_nothing, delete_a_cell, run_afresh_in_another_row, change_an_answer])
def test_a_table_of_cells_that_does_not_fit_is_not_believed(spoil: Callable[[Bench], int], bench: Bench) -> None:
    _, (first,) = bench.json()
    trained = spoil(bench)
    code, (told,) = bench.json()
    assert (code, told["complete"], told["trained_now"], told["run_id"]) == (0, True, trained, first["run_id"])
    assert told["metrics"] == first["metrics"]
    tracker = Tracker(bench.uri)
    counts = {run.info.run_id for run in bench.kept() if "bench.superseded" not in run.data.tags}
    assert {line["run_id"] for line in tracker.cells(told["run_id"])} <= counts
    mended = held(*(tracker.text(told["run_id"], name) for name in ("cells.csv", "answers.csv")))
    assert tracker.client.get_run(told["run_id"]).data.tags[HELD] == mended


def test_answers_that_are_gone_are_one_line(bench: Bench) -> None:
    assert bench.run()[0] == 0
    for file in (bench.folder / "mlruns").rglob("predictions.csv"):
        file.unlink()
    assert bench.run()[0] == 0  # the row has them all in one document
    for file in (bench.folder / "mlruns").rglob("answers.csv"):
        file.unlink()
    code, out, err = bench.run()
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error:") and "--fresh" in line]
    assert "Traceback" not in err
    assert bench.run("--fresh")[0] == 0
    assert len(diary("fit")) == 4


@pytest.mark.parametrize("uri", ["nonsense://there", "./folder", "postgresql+nodriver://x/y"])
def test_a_store_that_cannot_be_is_one_line(uri: str, bench: Bench) -> None:
    code, out, err = bench.run("--tracking-uri", uri)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert uri in line
    assert diary("fit") == []


def test_the_address_is_as_asked_else_from_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = store(bench.folder / "other.db")
    assert Tracker(other).uri == other
    assert Tracker().uri == bench.uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://there")
    with pytest.raises(TrackingError, match="nonsense://there"):
        Tracker()


@pytest.mark.parametrize(
    ("uri", "shown", "public"),
    [
        ("http://me:hunter2@there:5000/results/", "http://there:5000/results", "http://there:5000"),
        ("http://there/x?user=me&password=hunter2", "http://there/x", "http://there"),
        ("http://there?password=a@hunter2", "http://***", "http://***"),
        ("http://hunter2@there", "http://there", "http://there"),
        ("http://me:p@hunter2@there", "http://there", "http://there"),
        ("http://me:hun/ter2@there", "http://there", "http://there"),
        ("http://me:hunter2?x@there", "http://***", "http://***"),
        ("postgresql://me@there/base?password=hunter2#hunter2", "postgresql://there/base", "postgresql://there"),
        ("http://[hunter2@there", "an address that cannot be read", "an address that cannot be read"),
        ("sqlite:///mlflow.db?key=hunter2", "sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:////home/hunter2/mlflow.db", "sqlite:////home/hunter2/mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_an_address_is_shown_without_secrets(uri: str, shown: str, public: str) -> None:
    tracker = object.__new__(Tracker)
    tracker.uri = uri
    assert (tracker.shown, tracker.public) == (shown, public)


def test_a_password_is_never_shown(bench: Bench) -> None:
    code, out, err = bench.run("--tracking-uri", "nonsense://me:secret@there/results")
    assert code == 2 and "nonsense://there/results" in err and "secret" not in out + err


def test_what_a_server_says_of_its_address_is_not_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*facts: object, **more: object) -> None:
        raise OSError("request to http://alice:hunter2@there/api failed")

    tracker = Tracker(bench.uri)
    monkeypatch.setattr(tracker.client, "download_artifacts", away)
    monkeypatch.setattr(tracker.client, "search_experiments", away)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", away)
    for ask in (
        lambda: tracker.scores("r"),
        lambda: tracker.text("r", "summary.json"),
        lambda: tracker.cells("r"),
        lambda: tracker.model("r", bench.folder / "there"),
        lambda: list(tracker.all("")),
    ):
        with pytest.raises(TrackingError) as caught:
            ask()
        assert "OSError" in str(caught.value) and "hunter2" not in str(caught.value)
