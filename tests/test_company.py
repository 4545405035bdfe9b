"""Cells that are trained together end as they would alone, each in its own run, whatever becomes of the others."""

import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import checkpoints, company, cost, work
from benchmarks.claims import claims
from benchmarks.execute import Place
from benchmarks.scored import read_scores
from methods.base import Examples, RunContext
from methods.cnn_lstm_dnn import CnnLstmDnn
from methods.parts import together
from methods.parts.training import Lesson, report
from tests.tinybench import HALVES, Bench, diary, make_bench, noise, spoken, wav  # noqa: F401  a fixture
from tests.toys import one_thread

SOME = ("--modality", "audio", "--preset", "quick", "--set", "schedule.epochs=2", "--set", "schedule.batch=4")
EACH = "leave-one-subject-out"
REAL = "cnn-lstm-dnn"


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(name="folds")
def _folds(bench: Bench) -> Bench:
    """Of four people, of whom one has recorded more than the others."""
    for emotion in ("03", "04"):
        wav(spoken(bench.data, 2, emotion, statement=2), noise(7, emotion))
    return bench


def ran(bench: Bench, *more: str, method: str = REAL, code: int = 0, protocol: str = EACH) -> dict[str, Any]:
    """All Cells of a row."""
    given, told = bench.json(*SOME, *more, method=method, protocol=protocol)
    assert given == code, told
    return told[0]


def cells(bench: Bench, status: str = "FINISHED") -> dict[str, Any]:
    """The latest by title."""
    found: dict[str, Any] = {}
    for run in bench.kept(query=f" and attributes.status = '{status}'"):
        found.setdefault(run.info.run_name, run)
    return found


def answers(bench: Bench, run: Any) -> Any:
    return read_scores(bench.artifact(run, "predictions.csv"))


def files(bench: Bench, run: Any) -> list[str]:
    whole = bench.artifact(run, "")
    return sorted(str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file())


def nothing_left(bench: Bench) -> None:
    """No claim, no checkpoint, nothing that waits to be sent."""
    cache = bench.folder / "cache"
    assert not claims(cache).held
    for name in ("checkpoints", "spool"):
        assert not list((cache / name).glob("*"))


@pytest.mark.parametrize("method", [REAL, "vgg16-gru"])
def test_a_row_is_what_it_is_alone_but_for_how_many_were_trained(method: str, folds: Bench) -> None:
    """Trained in double precision, for Adam enlarges what single precision rounds."""
    prepared = ("prepare", "--method", method, "--dataset", "ravdess", "--data-root", folds.data, *SOME[:4])
    assert folds.call(*prepared)[0] == 0
    torch.set_default_dtype(torch.float64)
    try:
        alone, first = ran(folds, method=method), cells(folds)
        told, second = ran(folds, "--together", "always", "--fresh", method=method), cells(folds)
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(first) == 4 and first.keys() == second.keys() and told["trained_now"] == 4
    assert told["metrics"].keys() == alone["metrics"].keys()
    assert {len(answers(folds, run).names) for run in second.values()} == {3, 5}
    for title, run in second.items():
        before = first[title]
        assert run.info.run_id != before.info.run_id
        assert run.data.metrics.keys() - before.data.metrics.keys() == {"trained_together"}
        assert before.data.metrics.keys() - run.data.metrics.keys() <= {"energy_joules"}
        assert run.data.metrics["trained_together"] == 4 and run.data.metrics["fit_seconds"] > 0
        assert {**before.data.tags, "mlflow.parentRunId": ""} == {**run.data.tags, "mlflow.parentRunId": ""}
        one, other = answers(folds, before), answers(folds, run)
        assert one.names == other.names and one.truth == other.truth
        assert np.allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)
        assert files(folds, before) == files(folds, run)
        for name in ("train_loss", "train_accuracy", *(["validation_score"] if method == REAL else [])):
            curves = [[point.value for point in folds.client.get_metric_history(one.info.run_id, name)]
                      for one in (before, run)]  # fmt: skip
            assert len(curves[0]) == 2 and curves[0] == pytest.approx(curves[1], rel=1e-5)
    nothing_left(folds)


def test_what_learns_in_no_such_way_is_trained_as_ever(bench: Bench) -> None:
    code, (told,) = bench.json("--together", "always")
    assert (code, told["trained_now"], len(diary("fit"))) == (0, 2, 2)
    assert not any("trained_together" in run.data.metrics for run in bench.kept())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--together", "often"), "choose from auto, always, never"),
        (("--together", "always", "--executor", "ray"), "leave --together always out"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], told: str, bench: Bench) -> None:
    code, out, err = bench.run(*words)
    assert code == 2 and not out and len(err.splitlines()) == 1 and told in err


def test_without_being_asked_it_is_done_on_a_gpu() -> None:
    executors: list[Any] = [Place(together=how).on("", device) for how in ("auto", "always", "never") for device in
                            ("cpu", "cuda")]  # fmt: skip
    assert [one.together for one in executors] == [False, True, True, True, False, False]


def spoilt(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """The lesson of the first Cell is made otherwise."""
    whole, made = CnnLstmDnn.lesson, list[object]()

    def lesson(self: CnnLstmDnn, train: Examples, validation: Examples | None, run: RunContext) -> Lesson:
        made.append(self)
        found = whole(self, train, validation, run)
        return fault(found) if len(made) == 1 else found

    monkeypatch.setattr(CnnLstmDnn, "lesson", lesson)


def test_who_fails_fails_alone_and_is_run_again_alone(folds: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(lesson: Lesson) -> Lesson:
        next(lesson.network.parameters()).data.fill_(torch.nan)
        return lesson

    with monkeypatch.context() as patched:
        spoilt(patched, poisoned)
        told = ran(folds, "--together", "always", code=1)
    assert (told["trained_now"], told["complete"]) == (3, False)
    assert folds.statuses() == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    (failed,) = cells(folds, "FAILED").values()
    assert "the loss is nan in epoch 1, batch 1" in failed.data.tags["bench.error"]
    told = ran(folds, "--together", "always")
    assert (told["trained_now"], told["complete"]) == (1, True)
    counts = sorted(run.data.metrics.get("trained_together", 1) for run in cells(folds).values())
    assert counts == [1, 4, 4, 4]
    nothing_left(folds)


def test_a_defect_of_the_whole_fails_all_and_nobody_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lessons: Sequence[Lesson]) -> list[Exception | None]:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(together, "learn_together", broken)
    code, told = bench.json(*SOME[:4], "--together", "always", method=f"{REAL},toy", protocol=EACH)
    assert code == 1 and [row["complete"] for row in told] == [False, True]
    assert sum("no such operation" in run.data.tags.get("bench.error", "") for run in bench.kept()) == 4


def test_what_memory_does_not_hold_beside_others_is_trained_after_them(
    folds: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third finds no room beside the first two; what is left then is company again."""
    whole, asked = CnnLstmDnn.lesson, list[int]()

    def lesson(self: CnnLstmDnn, train: Examples, validation: Examples | None, run: RunContext) -> Lesson:
        asked.append(len(train))
        if len(asked) == 3:
            raise torch.OutOfMemoryError
        return whole(self, train, validation, run)

    monkeypatch.setattr(CnnLstmDnn, "lesson", lesson)
    assert ran(folds, "--together", "always")["trained_now"] == 4
    counts = sorted(run.data.metrics.get("trained_together", 1) for run in cells(folds).values())
    assert counts == [1, 1, 2, 2] and len(asked) == 5
    nothing_left(folds)


def test_who_is_trained_after_the_others_is_not_charged_with_their_time_and_energy(
    folds: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, learn, asked, now = CnnLstmDnn.lesson, together.learn_together, list[int](), [0.0]

    def lesson(self: CnnLstmDnn, train: Examples, validation: Examples | None, run: RunContext) -> Lesson:
        asked.append(len(train))
        if len(asked) == 3:
            raise torch.OutOfMemoryError
        return whole(self, train, validation, run)

    def slow(lessons: Sequence[Lesson]) -> list[Exception | None]:
        now[0] += 5
        return learn(lessons)

    clock = SimpleNamespace(perf_counter=lambda: now[0], monotonic=time.monotonic, sleep=time.sleep)
    for module in (company, work):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(cost, "_energy", lambda device: {"gpu": now[0]})
    monkeypatch.setattr(CnnLstmDnn, "lesson", lesson)
    monkeypatch.setattr(together, "learn_together", slow)
    ran(folds, "--together", "always")
    (alone,) = (
        run.data.metrics for title, run in cells(folds).items() if "fold 3" in title or title.endswith("3, seed 0")
    )
    assert alone["fit_seconds"] == 0 and "energy_joules" not in alone


def test_where_memory_does_not_hold_them_side_by_side_each_is_trained_by_itself(
    folds: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = ran(folds, "--together", "never")

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(together, "Stacked", full)
    told = ran(folds, "--together", "always", "--fresh")
    assert told["complete"] and told["metrics"] == alone["metrics"]
    assert not any("trained_together" in run.data.metrics for run in cells(folds).values())
    nothing_left(folds)


def test_tested_inputs_that_are_damaged_are_made_again_and_cost_the_others_nothing(
    folds: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done = CnnLstmDnn.predict_proba, list[Any]()

    def predict(self: CnnLstmDnn, examples: Examples) -> Any:
        if not done:
            inputs: Any = examples.inputs
            inputs.file(0).write_bytes(b"rubbish")
            done.append(inputs)
        return whole(self, examples)

    monkeypatch.setattr(CnnLstmDnn, "predict_proba", predict)
    assert ran(folds, "--together", "always")["complete"] and done
    counts = sorted(run.data.metrics.get("trained_together", 1) for run in cells(folds).values())
    assert counts == [1, 4, 4, 4]
    nothing_left(folds)


def test_who_is_with_another_process_is_left_out_and_waited_for(folds: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one gives it back while the three learn."""
    whole, place = together.learn_together, claims(folds.folder / "cache")
    held, take = list[str](), place.take

    def taken(key: str) -> bool:
        if not held:
            held.append(key)
            assert take(key)
        return take(key)

    def learnt(lessons: Sequence[Lesson]) -> list[Exception | None]:
        place.release(held[0])
        return whole(lessons)

    monkeypatch.setattr(place, "take", taken)
    monkeypatch.setattr(together, "learn_together", learnt)
    assert ran(folds, "--together", "always")["trained_now"] == 4
    counts = sorted(run.data.metrics.get("trained_together", 1) for run in cells(folds).values())
    assert counts == [1, 3, 3, 3]
    nothing_left(folds)


@pytest.mark.parametrize("then", ["always", "never"])
def test_who_are_interrupted_go_on_together_or_alone(then: str, folds: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second epoch, in which some have already ended it; to the same end."""
    expected = {name: answers(folds, run).probabilities for name, run in _whole(folds).items()}
    assert len(expected) == 2
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))
    told = list[int]()

    def interrupted(*given: Any) -> None:
        told.append(given[3])
        if told.count(2) == 2:
            raise KeyboardInterrupt
        report(*given)

    with monkeypatch.context() as patched:
        patched.setattr(together, "report", interrupted)
        code, _, err = folds.run(*SOME, "--together", "always", "--fresh", method=REAL, protocol=HALVES)
    assert code == 130 and "0 of 2 Cells are finished" in err
    assert folds.statuses() == ["FINISHED"] * 2 + ["KILLED"] * 2
    for run in folds.kept(query=" and attributes.status = 'FINISHED'"):
        folds.client.delete_run(run.info.run_id)
    for row in folds.kept("row"):
        folds.client.delete_run(row.info.run_id)
    left = sorted(file.name for file in (folds.folder / "cache/checkpoints").rglob("*.safetensors"))
    assert left == ["training.safetensors"] * 2
    _, _, err = folds.run(*SOME, "--together", then, method=REAL, protocol=HALVES)
    lines = [line for line in err.splitlines() if "goes on after epoch" in line]
    assert sorted(line[-1] for line in lines) == ["1", "2"]
    for name, run in cells(folds).items():
        assert np.allclose(answers(folds, run).probabilities, expected[name], rtol=0, atol=1e-4)
        assert len(folds.client.get_metric_history(run.info.run_id, "train_loss")) == 2
    nothing_left(folds)


def _whole(bench: Bench) -> dict[str, Any]:
    ran(bench, protocol=HALVES)
    return cells(bench)


class Stub:
    """A job whose Cells write down what becomes of them."""

    def __init__(self, count: int) -> None:
        self.todo, self.said = [Stub.Cell(f"Cell {number}") for number in range(count)], list[str]()

    class Cell:
        def __init__(self, title: str) -> None:
            self.title = title

    def begun(self, cell: Any, told: object, group: company.Company) -> Any:
        try:
            yield cell.title
        except BaseException as error:
            self.said.append(f"{cell.title} {type(error).__name__}")
            raise
        self.said.append(f"{cell.title} of {group.members}")
        return cell.title


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (3, [3]), (4, [2, 2]), (7, [3, 3, 1]), (9, [3, 3, 3])])
def test_many_are_trained_in_groups(count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As few as can be."""
    monkeypatch.setattr(company, "MOST", 3)
    monkeypatch.setattr(together, "learn_together", lambda lessons: [None] * len(lessons))
    job: Any = Stub(count)
    assert [result for _, result in company.in_company(job, lambda now: None)] == [one.title for one in job.todo]
    assert job.said == [f"Cell {number} of {size}" for number, size in
                        zip(range(count), (size for size in sizes for _ in range(size)), strict=True)]  # fmt: skip


def test_who_waits_is_told_when_nobody_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an interrupt."""
    monkeypatch.setattr(together, "learn_together", lambda lessons: [None] * len(lessons))
    job: Any = Stub(3)
    results = company.in_company(job, lambda now: None)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert job.said == ["Cell 0 of 3", "Cell 1 KeyboardInterrupt", "Cell 2 KeyboardInterrupt"]
