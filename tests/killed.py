"""Runs killed at random moments, and what that cost: `python -m tests.killed [RUNS [SEED]]`, 50 where nothing is said.

A toy and a quick network on a tiny corpus are run to their end once, undisturbed. Then, each time in a folder of its
own, the same command is killed (SIGKILL) at a moment drawn from the whole of its time, from its first line to the
leaderboard, and given again until it is done. Checkpoints are written at every epoch here. The exit code is 1 if
anything differs in the end, or is left behind. Processes are forked from one that has imported the libraries.
"""

import csv
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.servers import PATIENCE

IMPORTED = ["benchmarks.engine", "benchmarks.commands_run", "benchmarks.report", "benchmarks.registry", "mlflow.pyfunc",
            "methods.cnn_lstm_dnn", "sklearn.svm", "optuna", "torch._dynamo", "reports.leaderboard",
            "matplotlib.figure", "matplotlib.backends.backend_agg", "tests.tinybench"]  # fmt: skip
REAL = "cnn-lstm-dnn"
SMALL = {"schedule.epochs": 6, "sound.frames": 8, "speech.units": 8, "speech.channels": (4, 4, 8, 8), "speech.dense": 8}


def command(folder: Path, page: bool) -> None:
    """The command line in this process, whose words go to files."""
    import methods
    from benchmarks import checkpoints, pool
    from benchmarks.__main__ import main
    from benchmarks.plugins import load
    from tests.tinybench import HALVES, at_home

    os.chdir(folder)
    os.environ |= {"BENCH_CACHE": str(folder / "cache"), "TOY_DIARY": str(folder / "diary.txt"), "COLUMNS": "400",
                   "BENCH_LEADERBOARD": "board" if page else "none",
                   "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/results.db"}  # fmt: skip
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    methods.__path__.append(str(folder.parent / "plugins"))
    checkpoints.EVERY, checkpoints.SHARE = 0.0, inf
    vars(pool)["in_processes"] = at_home
    kind = load("methods", REAL)
    kind.quick = {**kind.quick, **SMALL}
    sys.argv = ["benchmarks", "run", "--method", f"toy,{REAL}", "--modality", "audio", "--dataset", "ravdess",
                "--protocol", HALVES, "--data-root", str(folder.parent / "data"), "--preset", "quick"]  # fmt: skip
    code = main()
    sys.stdout.flush()
    os._exit(code)


@dataclass(frozen=True)
class Trial:
    """A folder in which the command is run."""

    folder: Path
    page: bool

    def start(self) -> ForkServerProcess:
        process = get_context("forkserver").Process(target=command, args=(self.folder, self.page))
        process.start()
        return process

    def whole(self) -> float:
        """The command to its end; how long it took."""
        begun, process = time.perf_counter(), self.start()
        process.join(PATIENCE)
        if process.exitcode != 0:
            raise RuntimeError(f"exit code {process.exitcode}: {(self.folder / 'err.txt').read_text()}")
        return time.perf_counter() - begun

    def killed(self, seconds: float) -> None:
        process = self.start()
        process.join(seconds)
        process.kill()
        process.join()

    def answers(self) -> Mapping[str, object]:
        """All that was found, less when and by whom: predictions, scores, curves, the printed table.

        Of a row that was killed as it began, nothing: another has taken its place.
        """
        found: dict[str, object] = {}
        for run in self.runs("row", " and attributes.status = 'FINISHED'"):
            place = Path(run.info.artifact_uri)
            cells = list(csv.DictReader((place / "cells.csv").read_text().splitlines()))
            lines = [{name: told for name, told in line.items() if name != "run_id"} for line in cells]
            scores = {name: value for name, value in run.data.metrics.items() if "seconds" not in name}
            found[run.data.tags["bench.method"]] = [(place / "answers.csv").read_text(), lines, scores]
        for run in self.runs("cell", " and attributes.status = 'FINISHED'"):
            at = Path(run.info.artifact_uri)
            curves = (at / "curves.csv").read_text()
            found[run.data.tags["bench.key"]] = [(at / "predictions.csv").read_text(), curves]
        shown = [line.split() for line in (self.folder / "out.txt").read_text().splitlines() if "results:" not in line]
        return found | {"shown": [words[:-2] for words in shown]}  # behind it: what was run now, and the run

    def runs(self, kind: str, more: str = "") -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.folder}/results.db")
        if not (self.folder / "results.db").exists():
            return []
        experiments = [one.experiment_id for one in client.search_experiments()]
        return list(client.search_runs(experiments, f"tags.`bench.kind` = '{kind}'{more}"))

    def left(self) -> list[str]:
        """What should not be there in the end."""
        found = [f"{run.info.status} {run.info.run_id}" for kind in ("row", "cell") for run in self.runs(kind)
                 if run.info.status not in ("FINISHED", "KILLED")]  # fmt: skip
        keys = [run.data.tags["bench.key"] for run in self.runs("cell", " and attributes.status = 'FINISHED'")]
        found += [f"{keys.count(key)} copies of {key}" for key in set(keys) if keys.count(key) > 1]
        for name in ("spool", "checkpoints"):
            found += [str(file) for file in (self.folder / "cache" / name).glob("*")]
        return found


def made(folder: Path) -> None:
    """The corpus and the toy."""
    from tests.tinybench import ravdess, toy

    ravdess(folder / "data")
    (folder / "plugins").mkdir()
    toy(folder / "plugins")


def tried(folder: Path, number: int, seconds: float, like: Mapping[str, object], page: bool) -> tuple[str, bool]:
    """One kill and what it cost."""
    trial = Trial(folder / f"{number:03}", page)
    trial.folder.mkdir()
    shutil.copy(folder / "empty.db", trial.folder / "results.db")
    trial.killed(seconds)
    before = len(trial.runs("cell", " and attributes.status = 'FINISHED'"))
    waiting = len(list((trial.folder / "cache/spool").glob("[!.]*/run.json")))
    kept = [file.stem for file in (trial.folder / "cache/checkpoints").rglob("*.safetensors")]
    trial.whole()
    begun, left, same = len(trial.runs("cell")) - 4, trial.left(), trial.answers() == like
    fits = len((trial.folder / "diary.txt").read_text().split("fit ")) - 3
    told = {"killed after": f"{seconds:.1f} s", "finished then": before, "waiting": waiting, "checkpoints": len(kept),
            "cells begun twice": begun, "toy fits done twice": fits, "left": left, "same": same}  # fmt: skip
    fine = same and not left and begun <= 1
    if fine:
        shutil.rmtree(trial.folder)
    return json.dumps(told), fine


def main(runs: int = 50, seed: int = 0, page: bool = True) -> int:
    """All of them; 1 if one ended otherwise than it should."""
    from tests.tinybench import store

    get_context("forkserver").set_forkserver_preload(IMPORTED)
    folder, chance = Path(tempfile.mkdtemp(prefix="killed-")), random.Random(seed)
    made(folder)
    store(folder / "empty.db")
    undisturbed = Trial(folder / "undisturbed", page)
    undisturbed.folder.mkdir()
    shutil.copy(folder / "empty.db", undisturbed.folder / "results.db")
    undisturbed.whole()
    shutil.rmtree(undisturbed.folder)  # the first one also started the server that others are forked from
    undisturbed.folder.mkdir()
    shutil.copy(folder / "empty.db", undisturbed.folder / "results.db")
    length, fine = undisturbed.whole(), True
    like = undisturbed.answers()
    sys.stdout.write(f"undisturbed: {length:.1f} s; in {folder}\n")
    for number in range(1, runs + 1):
        told, right = tried(folder, number, chance.uniform(0, length), like, page)
        fine &= right
        sys.stdout.write(f"{number}: {'as it should' if right else 'WRONG'} {told}\n")
        sys.stdout.flush()
    if fine:
        shutil.rmtree(folder)
    return int(not fine)


if __name__ == "__main__":
    runs, seed = (*map(int, sys.argv[1:3]), *(50, 0)[len(sys.argv) - 1 :])
    sys.exit(main(runs, seed))
