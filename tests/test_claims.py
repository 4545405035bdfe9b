"""One Cell, one trainer: of all that ask at once one gets it; what a dead process held is free, what a live one holds
is not, and of processes elsewhere it is known by their heartbeat."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import abroad, processes, spool
from benchmarks import claims as own
from benchmarks.abroad import Abroad, BusyError
from benchmarks.claims import Claims
from benchmarks.files import FileError
from benchmarks.processes import Owner, here, me
from benchmarks.reach import Reach
from benchmarks.track import Opening, Tracker
from tests.servers import PATIENCE, until
from tests.tinybench import Bench, diary, make_bench, toy  # noqa: F401  a fixture


def contest(folder: Path, barrier: "threading.Barrier", won: "multiprocessing.Queue[str]") -> None:
    """Whoever gets a key keeps it until all have asked for all."""
    mine = Claims(folder)
    barrier.wait(PATIENCE)
    for key in map(str, range(10)):
        if mine.take(key):
            won.put(key)
    barrier.wait(PATIENCE)


def test_of_many_that_ask_at_once_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    asking = [context.Process(target=contest, args=(tmp_path, barrier, won), daemon=True) for _ in range(4)]
    for process in asking:
        process.start()
    for process in asking:
        process.join(PATIENCE)
    assert sorted(won.get(timeout=PATIENCE) for _ in range(10)) == sorted(map(str, range(10))) and won.empty()


def test_what_a_killed_process_held_is_free_at_once_and_it_is_named(tmp_path: Path) -> None:
    imports = "import time; from pathlib import Path; from benchmarks.claims import Claims"
    held = f"{imports}; Claims(Path({str(tmp_path)!r})).take('k')"
    code = f"{held}; print('it', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout and process.stdout.readline() == b"it\n"
    mine = Claims(tmp_path)
    assert not mine.take("k") and mine.holder("k").endswith(f":{process.pid}")
    process.kill()
    process.wait()
    assert mine.take("k")
    assert mine.taken("k").endswith(f":{process.pid}") and mine.taken("k") == ""
    process.stdout.close()
    mine.release("k")
    assert mine.holder("k") == ""


def test_a_number_that_another_process_has_now_is_no_sign_of_life() -> None:
    living = me()
    assert living.gone is False
    assert Owner(living.machine, living.process, "17").gone is True
    assert Owner("elsewhere", living.process, living.started).gone is None


def test_of_elsewhere_silence_counts_not_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat is a number: as long as it grows, and until it was watched for all its patience, it lives."""
    mine, now = Claims(tmp_path, patience=60), [0.0]
    there = Owner("elsewhere", "there:1", "1")
    monkeypatch.setattr(own, "me", lambda: there)
    theirs = Claims(tmp_path, beat=3600)
    assert theirs.take("k")
    monkeypatch.setattr(own, "me", me)
    monkeypatch.setattr(own, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    assert not mine.take("k")
    now[0] = 59
    assert not mine.take("k")
    with theirs._database() as database:
        database.execute("update claims set beat = beat + 1")
    now[0] = 61
    assert not mine.take("k")
    now[0] = 120
    assert not mine.take("k")
    now[0] = 122
    assert mine.take("k") and mine.taken("k") == "there:1"
    theirs.release("k")  # of one that had only been silent: it is not its own any more
    assert mine.holder("k") == me().process


def test_a_heart_beats_for_what_is_held(tmp_path: Path) -> None:
    mine = Claims(tmp_path, beat=0.01)
    assert mine.take("k")

    def beaten() -> bool:
        with mine._database() as database:
            (beat,) = database.execute("select beat from claims").fetchone()
        return bool(beat >= 3)

    until(beaten)
    mine.release("k")


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "claims.sqlite").write_text("no database at all, but longer than its header" * 50)
    with pytest.raises(FileError, match=r"claims\.sqlite is damaged; delete it"):
        Claims(tmp_path).take("k")


SLOW = """
        time.sleep(float(os.environ.get("TOY_TAKES", 0)))
        for epoch in range(3):"""
RIVAL = """
import os
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell that runs the tests may have it ignored
sys.dont_write_bytecode = True
import methods
from benchmarks import abroad, checkpoints, pool, reach
from benchmarks.__main__ import main
checkpoints.EVERY, checkpoints.SHARE = 0.0, float("inf")
abroad.BEAT = 0.2
reach.Reach.remote = "RIVAL_REMOTE" in os.environ  # the store counts as a server's
methods.__path__.append(sys.argv.pop(1))
pool.in_processes = lambda work, items, *rest: map(work, items)
sys.exit(main())
"""


def rival(bench: Bench, *more: str) -> "subprocess.Popen[str]":
    """The same command in another process."""
    words = ["run", "--method", "toy", "--dataset", "ravdess", "--protocol", "leave-one-subject-out", "--data-root",
             str(bench.data), "--json", *more]  # fmt: skip
    home = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", RIVAL, str(bench.plugins), *words], text=True, cwd=bench.folder,
        env=os.environ | {"PYTHONPATH": home}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def each_cell_once(bench: Bench, both: "list[subprocess.Popen[str]]") -> None:
    """Of two rivals, that come to the same end."""
    told = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    first, second = (json.loads(out)[0] for out, _ in told)
    assert first["metrics"] == second["metrics"] and first["run_id"] == second["run_id"]
    assert len(diary("fit")) == 4 and first["trained_now"] + second["trained_now"] == 4
    assert bench.statuses() == ["FINISHED"] * 4 and bench.statuses("row") == ["FINISHED"]


def test_two_runs_of_the_same_request_train_no_cell_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both come to the same end; each Cell is trained by one of them, once."""
    monkeypatch.setenv("TOY_TAKES", "0.7")
    toy(bench.plugins, "toy", ("\n        for epoch in range(3):", SLOW))
    assert bench.call("prepare", "--method", "toy", "--dataset", "ravdess", "--data-root", bench.data)[0] == 0
    both = [rival(bench), rival(bench)]
    each_cell_once(bench, both)


def test_two_machines_that_share_a_server_alone_train_no_cell_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a cache of its own, begun at once: who has come second waits, and reads what the first has found."""
    monkeypatch.setenv("TOY_TAKES", "0.7")
    monkeypatch.setenv("RIVAL_REMOTE", "yes")
    toy(bench.plugins, "toy", ("\n        for epoch in range(3):", SLOW))
    both = []
    for name in ("one", "other"):
        monkeypatch.setenv("BENCH_CACHE", str(bench.folder / name))
        both.append(rival(bench))
    each_cell_once(bench, both)


def test_what_another_machine_finished_while_a_run_was_begun_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, between the last look at the store and the first run."""
    monkeypatch.setenv("RIVAL_REMOTE", "yes")
    monkeypatch.setattr(Reach, "remote", True)
    toy(bench.plugins, "toy")
    whole, done = Tracker.begun_run, list[str]()

    def late(self: Tracker, facts: Any) -> str:
        if not done and facts["tags"]["bench.kind"] == "cell":
            with monkeypatch.context() as patched:
                patched.setenv("BENCH_CACHE", str(bench.folder / "other"))
                done.append(rival(bench).communicate(timeout=PATIENCE)[0])
        return whole(self, facts)

    monkeypatch.setattr(Tracker, "begun_run", late)
    code, (told,) = bench.json(protocol="leave-one-subject-out")
    assert code == 0 and told["trained_now"] == 0 and told["complete"]
    (theirs,) = json.loads(done[0])
    assert theirs["trained_now"] == len(diary("fit")) and theirs["metrics"] == told["metrics"]
    assert set(bench.statuses()) == {"FINISHED"} and len(bench.statuses()) == theirs["trained_now"]


def test_in_the_store_the_first_to_settle_stays_else_the_lower_number(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who gives no sign of life for a while is gone, whatever the clocks say."""
    monkeypatch.setattr(Reach, "remote", True)
    tracker, now = Tracker(bench.uri), [100.0]
    experiment = tracker.experiment("some")

    def begun(**tags: object) -> str:
        told = {"bench.key": "k", "bench.kind": "cell", "bench.process": "elsewhere:1", abroad.ALIVE: 0}
        return str(tracker._create(experiment, "k", told | tags))

    def tried(run_id: str) -> bool:
        try:
            with Abroad(tracker).alone(experiment, "k", run_id):
                return True
        except BusyError:
            return False

    assert tracker.abroad.busy(experiment, "k") == ""
    low, high = sorted(begun() for _ in range(2))
    assert not tried(high) and tracker.client.get_run(high).info.lifecycle_stage == "deleted"
    assert tried(low) and abroad.SETTLED in tracker.client.get_run(low).data.tags
    others = [begun() for _ in range(8)]
    assert not any(map(tried, others)), "one has settled, whatever its number"
    monkeypatch.setattr(abroad, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    assert tracker.abroad.busy(experiment, "k") == "elsewhere:1" and tracker.abroad.busy(experiment, "other") == ""
    for passed, busy in ((59, True), (2, True), (58, True), (3, False)):
        if passed == 2:
            tracker.tag(low, {abroad.ALIVE: 1})
        now[0] += passed
        assert bool(tracker.abroad.busy(experiment, "k")) is busy
    assert tracker.status(low) == "KILLED"


@pytest.mark.parametrize("number", [4_194_000, None])
def test_of_another_container_with_the_same_host_name_silence_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """Numbers of processes say nothing there, whether one has this number here, or is this one, or none has it."""
    monkeypatch.setattr(Reach, "remote", True)
    tracker, ours = Tracker(bench.uri), me()
    experiment, tags = tracker.experiment("some"), {"bench.key": "k"}
    theirs = f"{ours.process.rpartition(':')[0]}:{number or os.getpid()}"
    row = Opening("r", "row", {}, {})
    with monkeypatch.context() as there:
        there.setattr(processes, "_me", lambda number: Owner("its own", theirs, "1"))
        parent = tracker.open_row(experiment, row, True)
        run_id = tracker.begun_run(
            {"parent": parent, "experiment": experiment, "title": "", "begun": 1,
             "tags": {"bench.kind": "cell", **processes.signed(), abroad.ALIVE: 0, **tags}}
        )  # fmt: skip
    assert tracker.abroad.busy(experiment, "k") == theirs
    tracker.bury(experiment, "k")
    assert [tracker.status(one) for one in (parent, run_id)] == ["RUNNING"] * 2
    tracker.open_row(experiment, row, False)
    now = time.monotonic()
    monkeypatch.setattr(abroad, "time", SimpleNamespace(monotonic=lambda: now + own.PATIENCE + 1))
    assert tracker.abroad.busy(experiment, "k") == "" and tracker.status(run_id) == "KILLED"
    assert processes.own(tracker.client.get_run(parent).data.tags), "who goes on with a row signs it"


def test_who_comes_first_waits_until_the_second_has_seen_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has looked before this one was there, and may settle any moment."""
    monkeypatch.setattr(Reach, "remote", True)
    tracker = Tracker(bench.uri)
    experiment = tracker.experiment("some")
    told = {"bench.key": "k", "bench.kind": "cell", "bench.process": "elsewhere:1", abroad.ALIVE: 0}
    low, high = sorted(str(tracker._create(experiment, "k", told)) for _ in range(2))
    waited = []

    def other_settles(seconds: float) -> None:
        waited.append(seconds)
        tracker.tag(high, {abroad.SETTLED: True})

    own_time = SimpleNamespace(sleep=other_settles, monotonic=time.monotonic)  # others' threads sleep as they did
    monkeypatch.setattr(abroad, "time", own_time)
    with pytest.raises(BusyError), Abroad(tracker).alone(experiment, "k", low):
        pass
    assert waited == [own.PAUSE]


def test_a_cell_of_a_killed_run_is_taken_over_and_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SLEEPS_FROM", "2")
    process = rival(bench)
    until(lambda: diary("asleep") or process.poll() is not None)
    process.kill()
    process.communicate()
    assert bench.statuses() == ["FINISHED", "RUNNING"]
    monkeypatch.delenv("TOY_SLEEPS_FROM")
    code, _, err = bench.run(protocol="leave-one-subject-out")
    assert code == 0
    (line,) = (line for line in err.splitlines() if "is taken over" in line)
    assert f":{process.pid}, which is gone" in line
    assert bench.statuses() == ["FINISHED"] * 4 + ["KILLED"] and bench.statuses("row") == ["FINISHED"]
    assert len(diary("fit")) == 5


def test_what_ended_elsewhere_runs_no_more_whatever_it_was(bench: Bench) -> None:
    """Rows and Cells of processes that are gone, also of other methods, are ended by the next run there."""
    assert bench.run()[0] == 0
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tracker = Tracker(bench.uri)
    experiment = tracker.experiment("ravdess")
    dead = me().process.rpartition(":")[0] + f":{gone.pid}"
    left = [
        tracker._create(experiment, "left", {"bench.kind": kind, "bench.process": dead}) for kind in ("row", "cell")
    ]
    assert bench.run(protocol="leave-one-subject-out")[0] == 0
    assert [tracker.status(run_id) for run_id in left] == ["KILLED", "KILLED"]


def test_what_another_machine_is_packing_is_not_swept_away(tmp_path: Path) -> None:
    """They share the folder, and numbers of processes say nothing about those of another machine."""
    parcels = spool.Spool(tmp_path, "sqlite:///x.db")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ours, theirs = (tmp_path / f".{machine}-{ended.pid}-0" for machine in (here(), "elsewhere"))
    ours.mkdir()
    theirs.mkdir()
    with parcels.packing() as place:
        parcels.sweep()
        assert (place.exists(), theirs.exists(), ours.exists()) == (True, True, False)


def test_a_result_that_is_being_sent_is_sent_by_nobody_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []

    def meanwhile(tracker: Tracker, parcel: spool.Parcel) -> str:
        told.append(spool.deliver(tracker))
        return send(tracker, parcel)

    send = spool.send
    monkeypatch.setattr(spool, "send", meanwhile)
    assert bench.run()[0] == 0 and told == [(0, "")] * 2
    assert bench.statuses() == ["FINISHED"] * 2
