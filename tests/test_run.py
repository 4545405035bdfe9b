"""The `run` command as a user meets it: refusals in one line, one document, interruption, and going on after death."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

from benchmarks.plugins import names
from tests.servers import PATIENCE, until
from tests.test_cli import ROOT
from tests.test_plan import BY_HAND
from tests.test_transfer import SOURCES
from tests.tinybench import HALVES, Bench, diary, make_bench, spoken, toy  # noqa: F401  a fixture

LAUNCH = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
sys.path.insert(0, {root!r})
import methods
methods.__path__.append({plugins!r})
if __name__ == "__main__":
    from benchmarks.__main__ import main
    sys.exit(main())
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "nothing"], "choose from"),
        (["--method", ""], "choose from"),
        (["--dataset", "nothing"], "choose from afew"),
        (["--protocol", "nothing"], "choose from leave-one"),
        (["--protocol", "subject-k-fold:folds=3"], "choose from k, seed"),
        (["--protocol", "subject-k-fold:k=many"], "must be a number"),
        (["--protocol", "subject-k-fold:k=9"], "4 subjects cannot form 9 groups"),
        (["--protocol", "official-split"], "has no split"),
        (["--variant", "wide"], "choose from deep"),
        (["--preset", "slow"], "choose from paper, quick"),
        (["--task", "mood"], "choose from emotion, arousal, valence"),
        (["--device", "tpu"], "choose from auto, cpu, cuda"),
        (["--modality", "smell"], "choose from audio, video, av"),
        (["--modality", "smell", "--method", "all"], "choose from audio, video, av"),
        (["--modality", "video"], "choose from audio"),
        (["--modality", "video", "--method", "vgg16-gru", "--preset", "quick"], "choose --modality audio"),
        (["--variant", "deep", "--modality", "video"], "leave --modality video out"),
        (["--seeds", "0"], "at least 1"),
        (["--seeds", "some"], "--seeds"),
        (["--set", "scale"], "key=value"),
        (["--set", "=3"], "choose from rate, network, scale, inner"),
        (["--set", "scales=3"], "choose from rate, network, scale, inner"),
        (["--set", "inner=3"], "set inner.depth"),
        (["--set", "inner.depth=deep"], "is int"),
        (["--set", "kernel=cubic", "--method", "egemaps-svm"], "choose from linear, rbf"),
        (["--weights", "nowhere"], "there is no such folder"),
        (["--exclude", "nothing.txt"], "nothing.txt"),
        (["--data-root", "nowhere"], "RAVDESS"),
        (["--fold", "1"], "--fold"),
    ],
)
def test_a_request_that_cannot_be_is_one_line_and_leaves_nothing(
    arguments: list[str], told: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    there = set(bench.folder.iterdir())
    named = {"--method": "toy", "--dataset": "ravdess", "--data-root": str(bench.data), "--device": "cpu"}
    named |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    code, out, err = bench.call("run", *(word for pair in named.items() for word in pair))
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("preset quick")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0], err
    assert set(bench.folder.iterdir()) - there <= {bench.folder / "cache"}
    assert diary() == []


def test_a_wrong_wish_is_told_before_a_standin_is_rendered(bench: Bench) -> None:
    code, _, err = bench.call("run", "--method", "toy", "--dataset", "ravdess", "--variant", "wide")
    assert code == 2 and "choose from deep" in err
    assert not (bench.folder / "cache").exists()


def test_no_method_for_a_modality_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.run.names", lambda kind: ("toy",))
    code, out, err = bench.run("--modality", "video", method="all")
    assert (code, out) == (2, "")
    assert "no method has the modality video" in err


def test_published_weights_that_cannot_be_had_are_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, file: str, progress: bool) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("benchmarks.plan.available", lambda arena, modality: None)
    monkeypatch.setenv("BENCH_WEIGHTS", str(bench.folder / "weights"))
    code, out, err = bench.run("--preset", "paper", "--modality", "video", method="vgg16-gru")
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert all(
        word in line for word in ("vgg16-397923af.pth", "no network", "--weights DIR", "--weights none", "https")
    )
    assert "Traceback" not in err and bench.kept("row") == []


def test_the_result_is_one_document(bench: Bench) -> None:
    toy(bench.plugins, "other")
    code, out, err = bench.run("--json", method="toy,other")
    assert code == 0
    told, end = json.JSONDecoder().raw_decode(out)
    assert out[end:].strip() == ""
    assert [row["method"] for row in told] == ["toy", "other"]
    assert told[0]["classes"] == ["anger", "happiness", "sadness"] and told[0]["clips"] == 12
    assert bench.client.get_run(told[0]["run_id"]).data.params["method"] == "toy"
    assert "preset quick" in err


def test_the_table_says_where_the_results_are(bench: Bench) -> None:
    code, out, _ = bench.run()
    (row,) = bench.kept("row")
    assert code == 0 and f"mlflow ui --backend-store-uri {bench.uri}" in out
    (line,) = (line for line in out.splitlines() if line.startswith("toy"))
    assert f"{100 * row.data.metrics['accuracy']:.1f} ± {100 * row.data.metrics['accuracy_fold_sd']:.1f}" in line


def test_all_leaves_out_what_has_not_the_modality(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(bench.plugins, "blind", ('modalities = frozenset({"audio"})', 'modalities = frozenset({"video"})'))
    only(monkeypatch, "blind", "toy")
    code, out, err = bench.run("--json", "--modality", "audio", method="all")
    assert code == 0
    assert [row["method"] for row in json.loads(out)] == ["toy"]
    assert "left out, for they have no modality audio: blind" in err


def only(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    monkeypatch.setattr("benchmarks.run.names", lambda kind: methods if kind == "methods" else names(kind))


def test_of_all_methods_what_begins_with_an_absent_file_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said before and after the others are compared; asked for by name, or alone, it is an error."""
    toy(bench.plugins, "eager", BY_HAND)
    toy(bench.plugins, "greedy", BY_HAND)
    only(monkeypatch, "eager", "toy")
    nowhere = bench.folder / "weights"
    nowhere.mkdir()
    code, out, err = bench.run("--json", "--weights", nowhere, method="all")
    assert code == 1 and [(row["method"], row["complete"]) for row in json.loads(out)] == [("toy", True)]
    assert err.count(f"eager is left out on ravdess: {nowhere / 'ears.pth'} is not there; get it by hand from") == 2
    words = ("--method", "all", "--dataset", "ravdess", "--data-root", bench.data, "--weights", nowhere)
    for command in ("prepare", "speed"):
        code, out, err = bench.call(command, *words)
        assert code == 1 and "toy" in out and "eager" not in out and "eager is left out" in err
    code, _, err = bench.run("--weights", nowhere, method="eager,toy")
    assert code == 2 and "left out" not in err and "get it by hand from https://nowhere.invalid/ears.pth" in err
    only(monkeypatch, "eager", "greedy")
    code, out, err = bench.run("--weights", nowhere, method="all")
    assert (code, out) == (2, "") and "eager is left out" in err and "greedy is left out" in err
    assert bench.run("--weights", "none", method="all")[0] == 0


def test_of_all_methods_what_begins_with_an_absent_corpus_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus that is there and broken is mended first."""
    toy(bench.plugins, "eager", *SOURCES)
    only(monkeypatch, "eager", "toy")
    code, out, err = bench.run("--json", "--pretrain-on", "crema-d", method="all")
    assert code == 1 and [row["method"] for row in json.loads(out)] == ["toy"]
    assert "eager is left out on ravdess: CREMA-D is not at" in err and "go without it: --pretrain-on none" in err
    assert "stand-in" not in err
    broken = bench.data / "crema-d/AudioWAV/1001_TAI_HAP_XX.wav"
    broken.parent.mkdir(parents=True)
    broken.write_text("no sound")
    code, out, err = bench.run("--pretrain-on", "crema-d", method="all")
    assert (code, out) == (2, "") and "left out" not in err and "1001_TAI_HAP_XX" in err


def test_a_corpus_that_is_not_there_is_one_line_with_a_way_out(bench: Bench) -> None:
    code, out, err = bench.call("run", "--method", "toy", "--dataset", "rml", "--data-root", bench.data)
    assert (code, out) == (2, "") and "RML is not at" in err and "standin --dataset rml --out DIR" in err


def test_a_method_whose_package_is_missing_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from methods.egemaps_svm import _extractor

    _extractor.cache_clear()
    monkeypatch.setitem(sys.modules, "opensmile", None)
    monkeypatch.setattr("benchmarks.run.names", lambda kind: ("egemaps-svm", "toy"))
    code, out, err = bench.run(method="all")
    assert code == 1
    assert "0 of 2: INCOMPLETE" in out and "pip install -e .[opensmile]" in err
    assert "Traceback" not in out + err
    assert bench.statuses() == ["FAILED", "FAILED", "FINISHED", "FINISHED"]


@contextmanager
def launched(bench: Bench, word: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process group of its own, as a terminal starts it, once it has written a line in the diary."""
    (bench.folder / "launch.py").write_text(LAUNCH.format(root=str(ROOT), plugins=str(bench.plugins)))
    words: list[str | Path] = [
        "run",
        "--method",
        "toy",
        "--dataset",
        "ravdess",
        "--data-root",
        bench.data,
        "--protocol",
        HALVES,
    ]
    process = subprocess.Popen(
        [sys.executable, bench.folder / "launch.py", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until(lambda: diary(word) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_after_kill_9_finished_folds_are_not_run_again(bench: Bench) -> None:
    with launched(bench, "asleep", TOY_SLEEPS_FROM="2") as process:
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    assert bench.statuses() == ["FINISHED", "RUNNING"]
    code, (told,) = bench.json()
    assert (code, told["trained_now"], told["finished"], told["complete"]) == (0, 1, 2, True)
    assert len(diary("fit")) == 3 and len(diary("prepare")) == 12
    assert bench.statuses() == ["FINISHED", "FINISHED", "KILLED"]
    assert bench.statuses("row") == ["FINISHED"]
    (bench.folder / "diary.txt").unlink()
    assert bench.json("--fresh")[1][0]["metrics"] == told["metrics"]


def test_ctrl_c_ends_in_one_line(bench: Bench) -> None:
    with launched(bench, "asleep", TOY_SLEEPS_FROM="2") as process:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("error: interrupted") and "Traceback" not in out + err
    assert bench.statuses() == ["FINISHED", "KILLED"] and bench.statuses("row") == ["KILLED"]


def test_ctrl_c_while_processes_prepare_ends_in_one_line(bench: Bench) -> None:
    sleepy = ('if fault == "clip":', 'if fault == "sleep":\n            time.sleep(600)\n        if fault == "clip":')
    toy(bench.plugins, "toy", sleepy)
    with launched(bench, "prepare", TOY_PREPARE="sleep") as process:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("error: interrupted") and "Traceback" not in out + err
    assert bench.kept() == [] and "RUNNING" not in bench.statuses("row")


def test_two_corpora_are_two_tables(bench: Bench) -> None:
    crema = bench.data / "crema-d/AudioWAV"
    crema.mkdir(parents=True)
    for person in (1, 2, 3, 4):
        for emotion, known_as in (("03", "HAP"), ("04", "SAD"), ("05", "ANG")):
            shutil.copy(spoken(bench.data, person, emotion), crema / f"100{person}_TAI_{known_as}_XX.wav")
    code, out, _ = bench.call(
        "run", "--method", "toy", "--dataset", "ravdess,crema-d", "--data-root", bench.data, "--protocol", HALVES
    )
    assert code == 0
    assert out.index("RAVDESS (speech) (partial copy: 12 of 1440), emotion") < out.index("CREMA-D (partial")
    scores = [line.split()[3:-1] for line in out.splitlines() if line.startswith("toy")]  # last is the run's id
    assert len(scores) == 2 and scores[0] == scores[1]  # the same sounds, under other names
    assert len(diary("prepare")) == 12


def test_results_lie_here_unless_asked_otherwise(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    here = bench.folder / "work"
    here.mkdir()
    shutil.copy(bench.folder / "results.db", here / "mlflow.db")
    monkeypatch.chdir(here)
    assert bench.run()[0] == 0
    assert {file.name for file in here.iterdir()} == {"mlflow.db", "mlruns"}
    assert sorted(Path(here / "mlruns").rglob("predictions.csv"))


def test_files_of_results_lie_beside_their_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bench.folder / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    assert bench.run()[0] == 0
    assert not [*here.iterdir()]
    assert sorted((bench.folder / "mlruns").rglob("predictions.csv"))


def test_what_takes_the_place_of_an_absent_track_is_stamped(bench: Bench) -> None:
    frozen = "    def frozen(self, weights):"
    hook = "    def substitutes(self):\n        return {'mocap': 'guesses for mocap', 'audio': 'never'}\n\n"
    toy(bench.plugins, "toy", (frozen, hook + frozen))
    code, (told,) = bench.json()
    assert (code, told["stamps"]) == (0, ["guesses for mocap"])
    assert {run.data.tags["bench.stamps"] for run in bench.kept()} == {"guesses for mocap"}


def test_rows_of_the_store_are_listed_with_what_predict_asks_for(bench: Bench) -> None:
    code, out, _ = bench.call("list", "runs")
    assert code == 0 and "holds no runs yet; python -m benchmarks run makes some" in out
    (row,) = bench.json()[1]
    bench.run(protocol="random-holdout")
    told = json.loads(bench.call("list", "runs", "--json")[1])
    assert [one["protocol"] for one in told] == ["random-holdout", HALVES]  # the newest first
    assert (told[1]["run_id"], told[1]["uar"], told[1]["independence"]) == (
        row["run_id"],
        row["metrics"]["uar"],
        "verified",
    )
    _, out, _ = bench.call("list", "runs")
    assert row["run_id"][:8] in out and f"{100 * row['metrics']['uar']:.1f}" in out
    _, out, _ = bench.run()
    assert row["run_id"][:8] in out
