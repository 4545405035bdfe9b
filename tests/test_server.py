"""A real MLflow server on this machine: rows go there; the leaderboard, champions and models come from there."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from benchmarks.plugins import load
from datasets.base import Expected
from reports import charts
from tests.servers import mlflow_server
from tests.tinybench import HALVES, Bench, make_bench, store  # noqa: F401  a fixture

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
