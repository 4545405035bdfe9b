"""A real MLflow server on this machine: rows go there; the leaderboard, champions and models come from there."""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from benchmarks import reach
from benchmarks.plugins import load
from benchmarks.reach import AwayError
from datasets.base import Expected
from reports import charts
from tests.servers import Door, mlflow_server
from tests.tinybench import HALVES, Bench, diary, make_bench, store  # noqa: F401  a fixture

pytestmark = pytest.mark.xdist_group("server")  # one server is enough


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(store(folder / "server.db"), folder / "artifacts") as address:
        yield address


@pytest.fixture
def remote(bench: Bench, address: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose results go to the server; its copy of RAVDESS is all that there is, under its own protocol."""
    kind = load("datasets", "ravdess")
    monkeypatch.setattr(kind, "expected", Expected((12, 12)))
    monkeypatch.setattr(kind, "default_protocol", HALVES)
    (bench.folder / "results.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for name in ("ARENAS", "DETAILS"):  # figures are the same wherever results come from
        monkeypatch.setattr(charts, name, 0)
    return bench


def registered(address: str) -> dict[str, Any]:
    """What the server itself says of a champion, by its own interface."""
    with urlopen(f"{address}/api/2.0/mlflow/registered-models/alias?name=ravdess-emotion&alias=champion") as answer:
        told: dict[str, Any] = json.loads(answer.read())["model_version"]
    return told


def test_a_row_goes_to_a_server_and_is_reported_promoted_and_asked_from_there(remote: Bench, address: str) -> None:
    """All by way of HTTP; nothing of it is kept beside."""
    code, (row,) = remote.json("--preset", "paper")
    assert code == 0 and row["complete"] and row["trained_now"] == 2
    code, (again,) = remote.json("--preset", "paper")
    assert code == 0 and again["trained_now"] == 0 and again["metrics"] == row["metrics"]

    out = remote.folder / "board"
    assert remote.call("report", "--out", out)[0] == 0
    text = (out / "index.html").read_text(encoding="utf-8")
    (link,) = re.findall(rf'href="({re.escape(address)}/#/experiments/\d+/runs/{row["run_id"]})"', text)
    with urlopen(link.partition("#")[0]) as answer:  # MLflow's page reads the rest itself
        assert answer.status == 200 and b"<title>MLflow" in answer.read()
    assert f"{100 * row['metrics']['uar']:.1f}" in text and "<h4>Ranked by UAR</h4>" in text

    code, told, _ = remote.call("promote", "--json")
    (champion,) = json.loads(told)
    assert code == 0 and champion["row"] == row["run_id"]
    there = registered(address)
    assert (there["run_id"], there["version"]) == (champion["run_id"], champion["version"])

    clip = next((remote.data / "ravdess").rglob("*.wav"))
    code, told, err = remote.call("predict", clip, "--run", "ravdess-emotion@champion", "--json")
    assert code == 0, err
    answer_ = json.loads(told)
    assert answer_["run_id"] == champion["run_id"]
    assert not {file.name for file in remote.folder.iterdir()} & {"mlruns", "mlartifacts", "mlflow.db", "results.db"}


def test_a_server_that_is_away_is_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    clip = next((bench.data / "ravdess").rglob("*.wav"))
    for command in (("report",), ("promote",), ("predict", clip, "--run", "ravdess-emotion@champion")):
        code, _, err = bench.call(*command, "--tracking-uri", "http://127.0.0.1:9")
        assert code == 2 and len(err.splitlines()) == 1 and "http://127.0.0.1:9" in err, err


@pytest.fixture
def door(bench: Bench, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The way to the server; no request is tried twice."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    door = Door(address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", door.address)
    yield door
    door.shut()


def test_a_server_that_is_away_is_asked_again_after_a_while(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then whoever asks is told at once; that it is back is noticed by asking."""
    door = Door(address)
    store = reach.Reach(door.address)
    door.shut()
    with pytest.raises(AwayError, match="does not answer"), store.asking():
        raise OSError
    door.open()
    for again, asks in ((math.inf, False), (0, True)):
        monkeypatch.setattr(reach, "AGAIN", again)
        with nullcontext() if asks else pytest.raises(AwayError), store.asking():
            assert asks
    store.still()
    door.shut()


def at_fit(bench: Bench, monkeypatch: pytest.MonkeyPatch, **what: Callable[[], None]) -> None:
    """Something happens as the first, second, ... Cell is trained."""
    kind = load("methods", "toy")
    fit, fits = kind.fit, iter(["first", "second", "third", "fourth"])

    def noticed(self: Any, *facts: Any) -> None:
        what.get(next(fits), lambda: None)()
        fit(self, *facts)

    monkeypatch.setattr(kind, "fit", noticed)


def seen(address: str) -> list[tuple[str, str]]:
    """What became of the runs on the server, whatever way leads there."""
    client = MlflowClient(address)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()], "params.scale = '3.5'")
    below = [
        run
        for row in found
        for run in client.search_runs([row.info.experiment_id], f"tags.`mlflow.parentRunId` = '{row.info.run_id}'")
    ]
    return sorted((run.data.tags["bench.kind"], run.info.status) for run in (*found, *below))


FOUR: tuple[Any, ...] = ("--set", "scale=3.5")
LOSO = "leave-one-subject-out"


def test_a_server_that_is_lost_in_mid_run_costs_no_result(
    door: Door, address: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back before the end, it is asked once more, however short a time ago it was away; away for good, `sync` sends
    what waits, and nothing is trained again. Either way it ends as on a store that was never away."""
    monkeypatch.delenv("TOY_FAILS_AT", raising=False)
    code, (expected,) = bench.json("--tracking-uri", bench.uri, *FOUR, protocol=LOSO)
    assert code == 0 and expected["complete"]
    with monkeypatch.context() as patch:
        at_fit(bench, patch, second=door.shut, fourth=door.open)
        code, out, err = bench.run("--json", *FOUR, protocol=LOSO)
    (told,) = json.loads(out)
    assert (code, told["waiting"], told["trained_now"], told["metrics"]) == (0, 0, 4, expected["metrics"]), err
    assert seen(address) == [("cell", "FINISHED")] * 4 + [("row", "FINISHED")]
    assert "does not answer" in err and "Traceback" not in err

    with monkeypatch.context() as patch:
        at_fit(bench, patch, second=door.shut)
        code, out, err = bench.run("--json", "--fresh", *FOUR, protocol=LOSO)
    (told,) = json.loads(out)
    assert (code, told["waiting"], told["finished"], told["metrics"]) == (1, 3, 4, expected["metrics"]), err
    (line,) = (line for line in err.splitlines() if "results wait in" in line)
    assert door.address in line and "python -m benchmarks sync" in line and "Traceback" not in err
    assert len(list((bench.folder / "cache/spool").iterdir())) == 3  # one was sent before

    code, _, err = bench.call("sync")
    assert code == 2 and len(err.splitlines()) == 1 and "does not answer" in err
    door.open()
    code, out, _ = bench.call("sync", "--json")
    assert code == 0 and json.loads(out) == {"sent": 3, "waiting": 0, "why": "", "elsewhere": {}}
    assert list((bench.folder / "cache/spool").iterdir()) == []
    assert bench.call("sync")[1].startswith("0 results sent")
    fits = len(diary("fit"))
    code, (told,) = bench.json(*FOUR, protocol=LOSO)
    assert (code, told["trained_now"], told["complete"], told["metrics"]) == (0, 0, True, expected["metrics"])
    assert len(diary("fit")) == fits
    assert seen(address).count(("row", "FINISHED")) == 1 and ("cell", "RUNNING") not in seen(address)
