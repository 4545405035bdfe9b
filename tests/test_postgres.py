"""The compose file's servers, started here without containers, and the whole flow on them from several processes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.plugins import load
from datasets.base import Expected
from tests.servers import PATIENCE, free_port, mlflow, postgres
from tests.test_cli import ROOT
from tests.test_tune import TUNED
from tests.tinybench import HALVES, Bench, diary, make_bench, spoken, toy  # noqa: F401  a fixture

SECRET = "p/a:s s@w'rd"  # no address could hold it as it is
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
POSTGRES, MLFLOW = COMPOSE["services"]["postgres"], COMPOSE["services"]["mlflow"]
LAUNCH = """
import sys
sys.path.insert(0, {root!r})
sys.dont_write_bytecode = True
import methods
from benchmarks import pool
from benchmarks.__main__ import main
from benchmarks.plugins import load
from datasets.base import Expected
methods.__path__.append({plugins!r})
ravdess = load("datasets", "ravdess")  # the copy is all that there is, under its own protocol
ravdess.expected, ravdess.default_protocol = Expected((12, 12)), {protocol!r}
pool.in_processes = lambda work, items, *rest: map(work, items)
if __name__ == "__main__":
    sys.exit(main())
"""


@dataclass(frozen=True)
class Servers:
    address: str
    database: int  # the port


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """What `docker compose up` starts, by the file's own commands, at other places."""
    made = POSTGRES["environment"]
    assert (made["POSTGRES_USER"], made["POSTGRES_DB"]) == ("bench", "mlflow")
    folder, port = tmp_path_factory.mktemp("servers") / "artifacts", free_port()
    with postgres(SECRET, COMPOSE["configs"]["optuna"]["content"], made["POSTGRES_DB"]) as database:
        places = {
            "=0.0.0.0": "=127.0.0.1",
            "=5000": f"={port}",
            "@postgres:5432/": f"@127.0.0.1:{database}/",
            "=/artifacts": f"={folder}",
        }
        program, *command = (_moved(word, places) for word in MLFLOW["command"])
        assert program == "mlflow" and not places, f"{places} are not in the compose file"
        assert set(MLFLOW["environment"]) == {"PGPASSWORD", "MLFLOW_SERVER_ALLOWED_HOSTS"}
        with mlflow(command, port, folder, {"PGPASSWORD": SECRET}) as address:
            yield Servers(address, database)


def _moved(word: str, places: dict[str, str]) -> str:
    for old in [old for old in places if old in word]:
        word = word.replace(old, places.pop(old))
    return word


def test_the_compose_file_hides_its_servers_and_asks_for_a_password() -> None:
    for service in (POSTGRES, MLFLOW):
        assert [port.partition(":")[0] for port in service["ports"]] == ["${BENCH_BIND"]
        assert all(port.startswith("${BENCH_BIND:-127.0.0.1}:") for port in service["ports"])
        asked = [told for name, told in service["environment"].items() if "PASSWORD" in name]
        assert [re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?(.*)\}", told) is not None for told in asked] == [True]
    volumes = [volume.partition(":")[0] for service in (POSTGRES, MLFLOW) for volume in service["volumes"]]
    assert sorted(volumes) == sorted(COMPOSE["volumes"])
    assert MLFLOW["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert POSTGRES["configs"][0]["source"] in COMPOSE["configs"]


def test_the_image_has_what_this_project_asks_for() -> None:
    """A server that is older than its clients may refuse them."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["postgres"])]
    pinned = dict(re.findall(r'"([\w-]+)==([\d.]+)"', MLFLOW["build"]["dockerfile_inline"]))
    assert set(pinned) == {"mlflow", "psycopg2-binary"}
    for requirement in asked:
        if requirement.name in pinned:
            assert requirement.specifier.contains(pinned.pop(requirement.name))
    assert not pinned


def test_the_health_checks_find_servers_and_their_absence(servers: Servers) -> None:
    """Docker's own rule: the first word says how, the rest is run as it stands."""
    for service, inside, here in ((POSTGRES, 5432, servers.database), (MLFLOW, 5000, _port(servers.address))):
        how, *check = service["healthcheck"]["test"]
        assert how == "CMD"
        for port, fit in ((here, True), (free_port(), False)):
            line = [sys.executable if word == "python" else word.replace(f":{inside}/", f":{port}/") for word in check]
            done = subprocess.run(line, capture_output=True, env=os.environ | {"PGPORT": str(port)})
            assert (done.returncode == 0) == fit, done


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


@dataclass(frozen=True)
class Workers:
    """The command line in processes of their own, all at once, that share nothing but the servers."""

    bench: Bench
    address: str

    def __call__(self, *requests: Sequence[object]) -> list[tuple[int, str, str]]:
        here = self.bench.folder / "launch.py"
        here.write_text(LAUNCH.format(root=str(ROOT), plugins=str(self.bench.plugins), protocol=HALVES))
        told = os.environ | {"MLFLOW_TRACKING_URI": self.address}
        started = [
            subprocess.Popen(
                [sys.executable, here, *map(str, words)], text=True, cwd=self.bench.folder,
                env=told | {"BENCH_CACHE": str(self.bench.folder / f"cache-{number}")},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for number, words in enumerate(requests)
        ]  # fmt: skip
        said = [process.communicate(timeout=PATIENCE) for process in started]
        return [(process.returncode, *text) for process, text in zip(started, said, strict=True)]

    def run(self, method: str, protocol: str = HALVES) -> list[object]:
        words = ["run", "--method", method, "--dataset", "ravdess", "--protocol", protocol, "--preset", "paper"]
        return [*words, "--data-root", self.bench.data, "--json"]


def test_four_processes_at_once_and_what_follows(
    servers: Servers, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them are asked for the same: it is counted once."""
    from mlflow import MlflowClient

    for name in ("toy_a", "toy_b"):
        toy(bench.plugins, name)
    alone = "leave-one-subject-out"
    workers = Workers(bench, servers.address)
    done = workers(workers.run("toy-a"), workers.run("toy-a"), workers.run("toy-a", alone), workers.run("toy-b"))
    for code, out, err in done:
        assert code == 0 and json.loads(out)[0]["complete"] and "Traceback" not in err, err
    told = [json.loads(out)[0] for _, out, _ in done]
    assert told[0]["run_id"] == told[1]["run_id"] and told[0]["metrics"] == told[1]["metrics"]
    client = MlflowClient(servers.address)
    (experiment,) = [one.experiment_id for one in client.search_experiments() if one.name == "ravdess"]
    rows = client.search_runs([experiment], "tags.`bench.kind` = 'row'")
    assert len(rows) == 3 and {row.info.status for row in rows} == {"FINISHED"}
    cells = client.search_runs([experiment], "tags.`bench.kind` = 'cell' and attributes.status = 'FINISHED'")
    assert len({cell.data.tags["bench.key"] for cell in cells}) == len(cells) == 2 + 4 + 2, "none was trained twice"
    assert len(diary("fit")) == len(cells)
    _go_on(servers, bench, monkeypatch, told)


def _go_on(servers: Servers, bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Sequence[Any]) -> None:
    """Resume, report, promote and predict, as one who comes later."""
    kind = load("datasets", "ravdess")
    monkeypatch.setattr(kind, "expected", Expected((12, 12)))
    monkeypatch.setattr(kind, "default_protocol", HALVES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.address)
    trained = len(diary("fit"))
    code, (again,) = bench.json("--preset", "paper", method="toy-a")
    assert (code, again["trained_now"], again["run_id"]) == (0, 0, told[0]["run_id"])
    assert again["metrics"] == told[0]["metrics"] and len(diary("fit")) == trained
    board = bench.folder / "board"
    assert bench.call("report", "--out", board)[0] == 0
    assert [line.count("paper") for line in (board / "leaderboard.csv").read_text().splitlines()[1:]] == [1, 1, 1]
    code, out, _ = bench.call("promote", "--json")
    (champion,) = json.loads(out)
    assert code == 0 and champion["moved"] and champion["uar"] == pytest.approx(told[0]["metrics"]["uar"])
    code, out, _ = bench.call("predict", spoken(bench.data, 1, "03"), "--run", f"{champion['name']}@champion", "--json")
    assert code == 0 and json.loads(out)["run_id"] == champion["run_id"]


def test_four_processes_tune_one_row_on_the_servers(
    servers: Servers, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Studies lie on the same PostgreSQL: each trial is run once, and all four tell the same row."""
    from mlflow import MlflowClient

    monkeypatch.setenv("PGPASSWORD", SECRET)
    toy(bench.plugins, "toy_t", *TUNED)
    place = f"postgresql+psycopg2://bench@127.0.0.1:{servers.database}/optuna"
    workers, before = Workers(bench, servers.address), len(diary("fit"))
    done = workers(*[[*workers.run("toy-t"), "--tune", 8, "--storage", place]] * 4)
    assert all(code == 0 and SECRET not in out + err and "Traceback" not in err for code, out, err in done), done
    told = [json.loads(out)[0] for _, out, _ in done]
    assert all((one["run_id"], one["metrics"]) == (told[0]["run_id"], told[0]["metrics"]) for one in told)
    fits = len(diary("fit")) - before
    assert 2 * (8 + 1) <= fits <= 2 * (8 * 2 + 1), "a trial fits twice, if it is not pruned before; then one is tested"
    client = MlflowClient(servers.address)
    found = json.loads(Path(client.download_artifacts(told[0]["run_id"], "tuning.json")).read_text())
    assert [len(one["trials"]) for one in found] == [8, 8] and len({one["fold"] for one in found}) == 2
    assert {trial["state"] for one in found for trial in one["trials"]} <= {"COMPLETE", "PRUNED"}
