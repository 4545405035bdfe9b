"""On a Ray cluster everything is as in this process, whatever becomes of its nodes."""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks import cluster
from benchmarks.arenas import arena
from benchmarks.cluster import OnRay
from benchmarks.console import progress
from benchmarks.engine import Engine
from benchmarks.environment import code, libraries
from benchmarks.errand import ClusterError, Errand, machine
from benchmarks.execute import Executor, here
from benchmarks.outcome import Outcome
from benchmarks.parcels import Consignment
from benchmarks.plan import row
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from methods.parts.weights import WeightStore
from tests.clusters import ALONE, BESIDE, DYING, EPOCHS, LEVEL, OLD, WAITING, nodes
from tests.servers import PATIENCE, until
from tests.test_tune import TUNED
from tests.tinybench import HALVES, Bench, corpus, diary, make_bench, ravdess, store, toy  # noqa: F401  a fixture
from tests.toys import one_thread

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install -e .[ray]"),
]
ALL = ("leave-one-subject-out",)
OTHER = "subject-k-fold:k=4"  # of four people: the same folds under another name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def two(folder: Path) -> Iterator[Any]:
    with one_thread(), nodes(2, folder) as found:
        yield found


@pytest.fixture
def address(two: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a cluster of two nodes with a core each, whose toys know what the bench says."""
    monkeypatch.setattr(cluster, "HANDED", (*cluster.HANDED, "TOY_"))
    return str(two.address)


def outcomes(
    bench: Bench,
    execute: Executor,
    store: str = "results.db",
    protocols: Sequence[str] = ALL,
    seeds: int = 1,
    fresh: bool = False,
) -> list[Outcome]:
    places = [arena(corpus(bench.data), "emotion", name, progress) for name in protocols]
    rows = [(row("toy", Wish("quick"), place, seeds, WeightStore(bench.folder, none=True)), place) for place in places]
    tracker = Tracker(f"sqlite:///{bench.folder / store}")
    return Engine(tracker, "cpu", progress, fresh, execute=execute).run_all(rows)


def ray_at(address: str, bench: Bench) -> OnRay:
    return OnRay(address, 0, bench.uri, "cpu")


def same(one: Outcome, other: Outcome) -> bool:
    """To the last bit, Cell by Cell."""
    found = [{r.cell.key: r.scores and r.scores.probabilities.tobytes() for r in o.results} for o in (one, other)]
    return found[0] == found[1] and one.complete and other.complete


def test_results_are_those_of_this_process(bench: Bench, address: str) -> None:
    """Of rows that share Cells these are run once."""
    expected = outcomes(bench, here, "here.db", (*ALL, "subject-k-fold:k=2"), seeds=2)
    before = len(diary("fit"))
    found = outcomes(bench, ray_at(address, bench), protocols=(*ALL, "subject-k-fold:k=2", OTHER), seeds=2)
    assert same(found[0], expected[0]) and same(found[1], expected[1]) and same(found[2], expected[0])
    assert [one.measured() for one in found[:2]] == [one.measured() for one in expected]
    assert len(diary("fit")) - before == before == 12 and bench.statuses() == ["FINISHED"] * 12
    assert [outcome.trained for outcome in found] == [8, 4, 0], "the third row's Cells are the first's"
    assert all(result.curves for outcome in found[:2] for result in outcome.results)
    told = {run.data.tags["bench.git_code"] for run in bench.kept()}
    assert told == {code()}, "a copy of the code must tell what it is a copy of"
    (again,) = outcomes(bench, here, seeds=2)
    assert (again.trained, again.stale) == (0, 0)


def test_a_node_that_is_lost_costs_no_cell_and_none_counts_twice(
    bench: Bench, two: Any, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method that fails is not tried again, and costs the others nothing. Ray says nothing of it where results go."""
    (expected,) = outcomes(bench, here, "here.db")
    toy(bench.plugins, "toy", (EPOCHS, WAITING), (EPOCHS, OLD))
    (bench.folder / "diary.txt").unlink()
    (bench.folder / "wait").touch()
    third = two.add_node(num_cpus=1, object_store_memory=100 * 2**20)

    def kill() -> None:
        """While a Cell is run there."""
        try:
            until(lambda: bool(diary(f"on {third.node_id}")))
            two.remove_node(third, allow_graceful=False)
        finally:
            (bench.folder / "wait").unlink()

    killer = Thread(target=kill)
    killer.start()
    (found,) = outcomes(bench, ray_at(address, bench), seeds=2)
    killer.join(PATIENCE)
    assert capsys.readouterr().out == ""
    assert list(found.failures.values()) == ["ValueError: of old age"] * 4
    young = {result.cell.key: result for result in found.finished}
    assert all(
        young[r.cell.key].scores.probabilities.tobytes() == r.scores.probabilities.tobytes()  # type: ignore[union-attr]
        for r in expected.results
    )
    assert Counter(bench.statuses()) == {"FINISHED": 4, "FAILED": 4, "KILLED": 1} and len(diary("fit")) == 9
    finished = {run.info.run_id: run.data.tags["bench.key"] for run in bench.kept() if run.info.status == "FINISHED"}
    assert finished == {result.run_id: key for key, result in young.items()}


def test_what_a_worker_finished_before_it_died_is_read_not_trained_again(bench: Bench, address: str) -> None:
    outcomes(bench, here)
    old = {run.info.run_id for run in bench.kept()}
    toy(bench.plugins, "toy", (EPOCHS, DYING))
    (found,) = outcomes(bench, ray_at(address, bench), fresh=True)
    assert len(diary("died")) == 1 and len(diary("fit")) == 8, "four here, four there"
    assert found.complete and len(bench.kept()) == 8 and bench.statuses() == ["FINISHED"] * 8
    assert {result.run_id for result in found.results} == {run.info.run_id for run in bench.kept()} - old
    counted = [run for run in bench.kept() if "bench.superseded" not in run.data.tags]
    assert {run.info.run_id for run in counted}.isdisjoint(old) and len(counted) == 4


def test_files_travel_where_a_node_does_not_see_them(
    bench: Bench, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (expected,) = outcomes(bench, here, "here.db", (HALVES,))
    toy(bench.plugins, "toy", (LEVEL, ALONE))
    monkeypatch.setenv("TOY_ALONE", "yes")
    monkeypatch.setattr(Consignment, "_own", Consignment._own)  # the toy changes it in this process too
    code, (told,) = bench.json("--executor", "ray", "--ray-address", address)
    assert (code, told["trained_now"], told["metrics"]) == (0, 2, expected.measured())
    copies = {file.name: file.read_bytes() for file in (folder / "of-the-nodes").rglob("*") if file.is_file()}
    ours = {file.name: file.read_bytes() for file in (bench.folder / "cache/prepared").rglob("*.safetensors")}
    assert len(diary("prepare")) == 24 and len(copies) == 12  # the toy's source has changed: two times twelve
    assert copies == {name: ours[name] for name in copies}


def test_trials_are_tasks_of_their_own(bench: Bench, address: str) -> None:
    """Of a single Cell's study two run some at once, and what is found and scored is as in this process."""
    from mlflow import MlflowClient

    one = "subject-holdout:share=0.5"
    toy(bench.plugins, "toy", (EPOCHS, BESIDE), *TUNED)
    (bench.folder / "wait").touch()

    def both() -> None:
        try:
            until(lambda: len(set(diary("on"))) >= 2)
        finally:
            (bench.folder / "wait").unlink()

    watching = Thread(target=both)
    watching.start()
    words = ("--tune", 5, "--storage")  # so few that none is pruned by what happens to have ended
    ray = ("--executor", "ray", "--ray-address", address, "--trial-jobs", 2)
    code, (told,) = bench.json(*words, f"sqlite:///{bench.folder / 'there-optuna.db'}", *ray, protocol=one)
    watching.join(PATIENCE)
    assert (code, told["trained_now"]) == (0, 1)
    assert len(diary("fit")) == 5 * 2 + 1, "five trials on two inner folds, and the fit that is tested"
    mine, place = f"sqlite:///{bench.folder / 'here-optuna.db'}", ("--tracking-uri", store(bench.folder / "here.db"))
    code, (expected,) = bench.json(*words, mine, *place, protocol=one)
    assert (code, told["metrics"]) == (0, expected["metrics"])
    assert trials(bench.client) == trials(MlflowClient(place[1])) and len(trials(bench.client)) == 5


def trials(client: Any) -> dict[str, Any]:
    """By number, of a whole store."""
    places = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(places, "tags.`bench.kind` = 'trial'")
    return {run.data.tags["bench.trial"]: (run.data.params, run.data.metrics["inner_uar"]) for run in runs}


def test_an_interrupt_leaves_nothing_that_seems_to_run(bench: Bench, address: str) -> None:
    toy(bench.plugins, "toy", (EPOCHS, WAITING))
    (bench.folder / "wait").touch()

    def interrupt() -> None:
        until(lambda: len(diary("on")) >= 2)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background shells have it ignored
    Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            outcomes(bench, ray_at(address, bench))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (bench.statuses(), bench.statuses("row")) == (["KILLED"] * 2, ["KILLED"])


def test_a_cluster_of_its_own_is_seen_by_nobody_else(bench: Bench) -> None:
    import psutil  # type: ignore[import-untyped]

    def listening() -> Iterator[Any]:
        """While it is up."""
        ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found = list[Any]()
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                found += [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert len(ours) > 3 and found
        assert {c.laddr.ip.removeprefix("::ffff:") for c in found} == {"127.0.0.1"}
        yield from ()

    with one_thread():
        assert list(OnRay("", 1, bench.uri, "cpu")(listening(), progress)) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--executor", "slurm"), "no executor is called 'slurm'; choose from local, ray"),
        (("--jobs", 2), "add --executor ray"),
        (("--ray-address", "auto"), "add --executor ray"),
        (("--executor", "ray", "--jobs", -1), "--jobs must be at least 1, but is -1"),
        (("--executor", "ray", "--ray-address", "127.0.0.1:1"), "no Ray cluster answers at 127.0.0.1:1 (["),
        (("--executor", "ray", "--ray-address", "here:there"), "no Ray cluster answers at here:there ("),
        (("--executor", "ray", "--ray-address", "127.0.0.1:1", "--jobs", 2), "OMP_NUM_THREADS says how many"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(words: tuple[object, ...], told: str, bench: Bench) -> None:
    code, out, err = bench.run(*words)
    assert (code, out) == (2, "") and told in err.splitlines()[-1] and "Traceback" not in err
    assert not bench.kept("row")


def test_a_file_of_results_on_another_machine_is_refused(
    bench: Bench, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "machine", lambda: "elsewhere 0")
    code, out, err = bench.run("--executor", "ray", "--ray-address", address)
    assert (code, out) == (2, "") and not bench.kept("row") and not diary("prepare")
    assert "the store of results, a file on elsewhere; name a server" in err.splitlines()[-1]


def test_trials_are_kept_where_all_nodes_reach_them(
    bench: Bench, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server for results alone would leave every node with studies of its own."""
    tuning = OnRay(address, 0, "http://tracking:5000", "cpu", "sqlite:////driver/optuna.db")
    monkeypatch.setattr(cluster, "machine", lambda: "elsewhere 0")
    with pytest.raises(ClusterError, match=r"the store of trials, a file on elsewhere; .* with --storage$"):
        list(tuning([], progress))
    assert list(OnRay(address, 0, "http://tracking:5000", "cpu")([], progress)) == []


@pytest.mark.parametrize(
    ("errand", "told"),
    [
        (Errand("another", libraries(), machine(), {}), "runs other code"),
        (
            Errand(code(), libraries() | {"torch": "1.0"}, machine(), {}),
            r"than the driver: torch .* for 1\.0;",
        ),
        (Errand(code(), libraries(), "elsewhere 0", {}), "name a server"),
    ],
)
def test_a_node_that_is_unlike_the_driver_is_refused(errand: Errand, told: str) -> None:
    with pytest.raises(ClusterError, match=told):
        errand.begin()
    Errand(code(), libraries(), machine(), {}).begin()


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(Errand("", {}, "", {"MLFLOW_TRACKING_PASSWORD": "hush"}))
