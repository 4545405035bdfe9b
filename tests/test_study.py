"""Studies that several workers share: as many trials as asked for, none lost and none doubled, whoever dies."""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna import Study, TrialPruned, load_study
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, event

from benchmarks import study, taken_up
from benchmarks.files import FileError
from benchmarks.study import Objective, Pulse, Shared, TuningError, Values, Watch, best, opened, why
from methods.base import Distribution
from tests.servers import PATIENCE, postgres, until

ROOT = Path(__file__).parents[1]
SPACE: dict[str, Distribution] = {"rate": FloatDistribution(1e-4, 1.0, log=True), "depth": IntDistribution(1, 8)}
PULSE = Pulse()
FIRST = {"rate": 0.01, "depth": 2}


def hill(values: Values, watch: Watch) -> float:
    return -abs(float(values["rate"]) - 0.1) - abs(int(values["depth"]) - 4)


@contextmanager
def shared(url: str, trials: int = 6, name: str = "one", pulse: Pulse = PULSE) -> Iterator[Shared]:
    with opened(url, pulse) as storage:
        yield Shared(name, trials, FIRST, SPACE, storage)


def ended(
    url: str, objective: Objective = hill, trials: int = 6, name: str = "one", pulse: Pulse = PULSE
) -> list[FrozenTrial]:
    with shared(url, trials, name, pulse) as study:
        return study.wait(objective, lambda trials: None)


def known(url: str, trials: int, name: str) -> list[FrozenTrial]:
    with shared(url, trials, name) as study:
        return study.known() or []


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with postgres("secret", "SELECT 1;", "tuning") as port:
        yield port


@pytest.fixture
def address(server: int) -> str:
    return f"postgresql+psycopg2://bench:secret@127.0.0.1:{server}/tuning"


def test_the_first_trial_is_what_was_asked_for(file: str) -> None:
    trials = ended(file)
    assert [trial.number for trial in trials] == list(range(6))
    assert trials[0].params == FIRST
    assert len({trial.params["rate"] for trial in trials}) == 6
    assert all(trial.value == hill(trial.params, lambda value, step: None) for trial in trials)
    assert best(trials).value == max(trial.value or 0 for trial in trials)


def test_the_same_seed_draws_the_same_and_a_study_that_ended_is_only_read(tmp_path: Path) -> None:
    both = [ended(f"sqlite:///{tmp_path / name}.db", hill, 14) for name in "ab"]
    assert [trial.params for trial in both[0]] == [trial.params for trial in both[1]]

    def never(values: Values, watch: Watch) -> float:
        raise AssertionError

    again = ended(f"sqlite:///{tmp_path}/a.db", never, 14)
    assert [(trial.params, trial.value) for trial in again] == [(trial.params, trial.value) for trial in both[0]]
    other = f"sqlite:///{tmp_path}/a.db"
    assert not known(other, 14, "another")
    assert [trial.params for trial in ended(other, hill, 14, "another")] != [trial.params for trial in both[0]]


def test_what_is_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a trial: it is run again, with the values that it had, and nothing is said of it."""
    calls = []

    def climbing(values: Values, watch: Watch) -> float:
        for step in (1, 2):
            watch(hill(values, watch), step)
        return hill(values, watch)

    def interrupted(values: Values, watch: Watch) -> float:
        calls.append(values)
        watch(hill(values, watch), 1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        watch(hill(values, watch), 2)
        return hill(values, watch)

    whole = ended(f"sqlite:///{tmp_path}/whole.db", climbing, 13)

    with pytest.raises(KeyboardInterrupt):
        ended(f"sqlite:///{tmp_path}/cut.db", interrupted, 13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = ended(f"sqlite:///{tmp_path}/cut.db", climbing, 13)
    told = [[(trial.params, trial.value, trial.intermediate_values) for trial in trials] for trials in (resumed, whole)]
    assert told[0] == told[1]


def test_failures_are_told_and_survived(file: str) -> None:
    faults = iter([MemoryError("no room\nfor it"), RuntimeError("CUDA out of memory"), None, ValueError(), None, None])

    def failing(values: Values, watch: Watch) -> float:
        if fault := next(faults):
            raise fault
        return hill(values, watch)

    trials = ended(file, failing)
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [why(trial) for trial in trials[:3]] == ["MemoryError: for it", "RuntimeError: CUDA out of memory", ""]
    assert best(trials).number in (2, 4, 5)


def test_a_value_that_is_no_number_has_failed(file: str) -> None:
    values = iter([float("nan"), 0.5])
    trials = ended(file, lambda drawn, watch: next(values), 2)
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE"]


def test_a_study_in_which_all_failed_says_why(file: str) -> None:
    def failing(values: Values, watch: Watch) -> float:
        raise ValueError("depth must be even")

    with pytest.raises(TuningError, match="all 3 trials failed; the first: ValueError: depth must be even"):
        best(ended(file, failing, 3))


def test_of_equals_the_first_is_best(file: str) -> None:
    assert best(ended(file, lambda values, watch: 0.5, 4)).number == 0


def test_trials_that_do_worse_than_half_are_ended_but_never_the_first(file: str) -> None:
    numbers = iter(range(20))

    def slow(values: Values, watch: Watch) -> float:
        number = next(numbers)
        height = 0.0 if number in (0, 8) else 1.0
        for epoch in range(1, 11):
            watch(height + epoch / 100, epoch)
        return height

    trials = ended(file, slow, 10)
    assert [trial.state for trial in trials if trial.number != 8] == [TrialState.COMPLETE] * 9
    assert trials[8].state == TrialState.PRUNED
    assert max(trials[8].intermediate_values) == 3  # after the warm-up
    assert best(trials).number != 8


WORKER = """
import sys, time
from pathlib import Path
from tests.test_study import ended, hill
from benchmarks.study import Pulse
url, trials, folder, name, nap = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], float(sys.argv[5])
study = folder.name
def slow(values, watch):
    with (folder / name).open("a") as stream:
        stream.write(f"{values['rate']!r}\\n")
    time.sleep(nap)
    return hill(values, watch)
trials = ended(url, slow, trials, study, Pulse(1, 60))
(folder / f"{name}.best").write_text(repr([(t.number, t.state.name, t.params) for t in trials]))
"""


def started(url: str, trials: int, folder: Path, name: str, nap: float = 0.02) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", WORKER, url, str(trials), str(folder), name, str(nap)]
    return subprocess.Popen(arguments, cwd=ROOT)


def ran(folder: Path) -> list[str]:
    """What was drawn in each trial that was begun, by whomever."""
    return [line for file in folder.glob("worker-?") for line in file.read_text().splitlines()]


def four(url: str, folder: Path) -> None:
    """Four processes on one study, from nothing: N trials in all."""
    workers = [started(url, 24, folder, f"worker-{number}") for number in range(4)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0] * 4
    answers = {(folder / f"worker-{number}.best").read_text() for number in range(4)}
    assert len(answers) == 1  # all saw the same end
    trials = known(url, 24, folder.name)
    assert [trial.number for trial in trials] == list(range(24))
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    begun = ran(folder)
    assert len(begun) == len(set(begun)) == 24
    assert sorted(begun) == sorted(repr(trial.params["rate"]) for trial in trials)
    assert trials[0].params == FIRST


def test_four_processes_share_a_study_on_postgresql(address: str, tmp_path: Path) -> None:
    four(address, tmp_path)


def test_four_processes_share_a_study_on_sqlite(file: str, tmp_path: Path) -> None:
    four(file, tmp_path)


def killed(url: str, folder: Path, name: str, trials: int = 8) -> None:
    """A worker that takes a trial and dies."""
    known_before = len(ran(folder))
    worker = started(url, trials, folder, name, nap=600)
    until(lambda: len(ran(folder)) > known_before)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(PATIENCE)


@pytest.mark.parametrize(("place", "deaths"), [("address", 1), ("file", 2)])
def test_a_trial_whose_worker_is_killed_is_taken_up_by_another(
    place: str, deaths: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With the settings that it had, at once, and by one of all who wait for it; the second time it has failed."""
    url = str(request.getfixturevalue(place))
    for number in range(deaths):
        killed(url, tmp_path, f"worker-{number}")
    others = [started(url, 8, tmp_path, f"worker-{number}") for number in (3, 4, 5)]
    assert [worker.wait(PATIENCE) for worker in others] == [0] * 3
    trials = known(url, 8, tmp_path.name)
    assert [trial.number for trial in trials] == list(range(8))
    assert [trial.state.name for trial in trials] == ["COMPLETE" if deaths == 1 else "FAIL"] + ["COMPLETE"] * 7
    begun = ran(tmp_path)
    assert begun.count(repr(FIRST["rate"])) == 2 and len(begun) == 9 and len(set(begun)) == 8
    assert trials[0].params == FIRST
    assert why(trials[0]) == ("" if deaths == 1 else "its worker was lost, and the one that took it up too")


@pytest.mark.parametrize(
    "worker", ["", "some-host 17", "{}", "[1]", '{"machine": "m", "process": "p", "started": "1"}']
)
def test_of_who_cannot_be_told_only_silence_counts(worker: str) -> None:
    assert not taken_up._gone(worker)


def test_a_trial_that_was_taken_up_elsewhere_is_not_given_back_by_who_was_silent(file: str) -> None:
    """It woke up, and is interrupted."""
    calls = list[Values]()

    def silent(values: Values, watch: Watch) -> float:
        calls.append(values)
        with opened(file) as storage:
            trial = study_of(storage).trials[0]
            storage.set_trial_user_attr(trial._trial_id, taken_up.WORKER, '{"another": "has signed"}')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ended(file, silent, 2)
    with opened(file) as storage:
        assert [trial.state.name for trial in study_of(storage).trials] == ["RUNNING", "WAITING"]
    assert len(calls) == 1


@pytest.mark.parametrize("state", ["WAITING", "RUNNING"])
@pytest.mark.parametrize("fault", [TrialPruned, MemoryError, None])
def test_a_trial_that_was_taken_up_elsewhere_is_not_failed_by_who_was_silent(file: str, state: str, fault: Any) -> None:
    """Nor does that one fall over it: what waits again is run, and what another runs stays so or has this value."""
    calls = list[Values]()

    def silent(values: Values, watch: Watch) -> float:
        calls.append(values)
        if len(calls) > 1:
            return 0.5
        with opened(file) as storage:
            trial = study_of(storage).trials[0]._trial_id
            taken_up._become(storage, trial, TrialState.WAITING, (taken_up._signature(), 0), 1)
            if state == "RUNNING":
                storage.set_trial_state_values(trial, TrialState.RUNNING)
                storage.set_trial_user_attr(trial, taken_up.WORKER, '{"another": "has signed"}')
        if fault:
            raise fault
        return 0.5

    with shared(file, 2) as mine:
        mine.work(silent, lambda trials: None)
        first, second = study_of(mine.storage).trials
    assert second.state == TrialState.COMPLETE and not why(first) and study.REASON not in first.user_attrs
    if state == "WAITING":
        assert first.state == TrialState.COMPLETE and len(calls) == 3 and calls[0] == calls[1] == FIRST
    else:
        assert first.state.name == {TrialPruned: "PRUNED", MemoryError: "RUNNING", None: "COMPLETE"}[fault]


def study_of(storage: RDBStorage) -> Study:
    return load_study(study_name="one", storage=storage)


def test_a_disk_that_is_full_is_one_line(file: str) -> None:
    """A store of studies that may grow no more."""
    ended(file, trials=2)

    def grows(values: Values, watch: Watch) -> float:
        for step in range(20_000):
            watch(hill(values, watch), step)
        return hill(values, watch)

    pages = Path(file.removeprefix("sqlite:///")).stat().st_size // 4096 + 20

    def small(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", small)
    try:
        with pytest.raises(FileError, match="disk is full; make room there"):
            ended(file, grows, 3, "other")
    finally:
        event.remove(Engine, "connect", small)
    assert [trial.state.name for trial in ended(file, trials=3, name="other")] == ["COMPLETE"] * 3


def test_who_dies_while_laying_out_the_trials_is_replaced(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    with opened(file) as storage:
        made = optuna.create_study(storage=storage, study_name="one", direction="maximize")
        made.enqueue_trial(FIRST)
    monkeypatch.setattr(study, "PATIENCE", 0.2)
    trials = ended(file)
    assert [trial.number for trial in trials] == list(range(6))
    assert trials[0].params == FIRST


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@nowhere.invalid/tuning", "at postgresql://nowhere.invalid/tuning"),
        ("sqlite:////nowhere/optuna.db", "at sqlite:////nowhere/optuna.db"),
        ("carrier-pigeon://roof", "at carrier-pigeon://roof"),
    ],
)
def test_an_address_that_cannot_be_reached_is_one_line_without_the_password(url: str, told: str) -> None:
    with pytest.raises(TuningError, match="no studies can be kept at") as caught, opened(url):
        pass
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value) and "--storage" in str(caught.value)
