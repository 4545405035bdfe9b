"""Any file through a finished model: the run's own answers, over time, and by way of MLflow; champions."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.model import Model
from benchmarks.plugins import PluginError, load, names
from benchmarks.predict import LONGEST, Windows, predicted
from benchmarks.settings import PRESETS, Wish, configured, restored
from datasets.base import Dataset, Expected, Planned
from datasets.clips import DatasetError
from datasets.loose import loose
from datasets.standin import render
from reports.timeline import APART, Timeline, _apart, _points, draw
from tests.tinybench import HALVES, Bench, make_bench, noise, silent, spoken, toy, wav  # noqa: F401  a fixture

REPOSITORY = Path(__file__).parent.parent


def asked(bench: Bench, clip: Path, run: str, *more: object) -> tuple[int, dict[str, Any], str]:
    code, out, err = bench.call("predict", clip, "--run", run, "--json", *more)
    return code, json.loads(out) if out else {}, err


def by_clip(told: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Probabilities by the clip's name in RAVDESS, which has no modality in front."""
    return {Path(clip["file"]).stem[3:]: clip["probabilities"] for clip in told["clips"]}


def answered(bench: Bench, cell: Any) -> dict[str, dict[str, float]]:
    """What the run itself wrote down."""
    with bench.artifact(cell, "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {row["clip"]: {n[2:]: float(p) for n, p in row.items() if n.startswith("p_")} for row in rows}


def alike(one: dict[str, float], other: dict[str, float]) -> bool:
    return one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("more", [(), ("--set", "network=frozen")], ids=["plain", "frozen network"])
def test_clips_of_a_fold_are_answered_as_in_the_run(more: Sequence[str], bench: Bench) -> None:
    assert bench.run(*more)[0] == 0
    cells = bench.kept()
    for cell in cells:
        code, told, err = asked(bench, bench.data / "ravdess", cell.info.run_id[:8])
        again, then = by_clip(told), answered(bench, cell)
        assert (code, told["run_id"], told["faults"], len(again), len(then)) == (0, cell.info.run_id, {}, 12, 6)
        assert all(alike(again[name], then[name]) for name in then)
        assert told["method"] == "toy" and told["fold"] == cell.data.tags["bench.fold"] and cell.info.run_id in err
    (row,) = bench.kept("row")
    with bench.artifact(row, "cells.csv").open() as table:
        first = next(csv.DictReader(table))
    file = spoken(bench.data, 1, "03")
    code, told, err = asked(bench, file, row.info.run_id)
    assert (code, told["run_id"]) == (0, first["run_id"]) and first["run_id"] in err
    (answer,) = by_clip(told).values()
    best = max(answer, key=answer.__getitem__)
    code, out, err = bench.call("predict", file, "--run", row.info.run_id)
    assert code == 0 and file.name in out and f"{answer[best]:.1%}" in out and best in out and "STAND-IN" not in err


@pytest.mark.parametrize("method", ["vgg16-gru"])
def test_a_published_method_answers_sound_and_picture_as_in_the_run(method: str, bench: Bench) -> None:
    """Two people of a stand-in, which is told."""
    data = bench.folder / "films"
    kind = load("datasets", "rml")

    def plan(self: Any, full: bool) -> Iterator[Planned]:
        """Of two people, the first clip of two emotions."""
        kept: dict[tuple[str, str | None], Planned] = {}
        for planned in kind.plan(self, full):
            entry = planned.scenes[0].entry
            if entry.subject in ("s1", "s2") and entry.label in ("anger", "sadness"):
                kept.setdefault((str(entry.subject), entry.label), planned)
        yield from kept.values()

    corpus: Dataset = type(kind.__name__, (kind,), {"__module__": kind.__module__, "plan": plan})(data / "rml")
    render(corpus, processes=1)
    kept = corpus.index()
    assert len(kept) == 4
    code, _, err = bench.call(
        "run", "--method", method, "--dataset", "rml", "--protocol", "subject-holdout", "--preset", "quick",
        "--data-root", data, "--device", "cpu", "--set", "schedule.epochs=2",
    )  # fmt: skip
    assert code == 0, err
    (cell,) = bench.kept()
    then = answered(bench, cell)
    clips = {clip.name: clip for clip in kept if clip.name in then}
    assert len(clips) == len(then) == 2
    for name, clip in clips.items():
        file = clip.media._tracks["video"].file
        code, told, err = asked(bench, file, cell.info.run_id, "--figure", bench.folder / "figure.svg")
        assert (code, told["standin"], told["modality"]) == (0, True, "av") and "STAND-IN" in err
        assert alike(told["clips"][0]["probabilities"], then[name])
    text = (bench.folder / "figure.svg").read_text()
    assert file.name in text and "STAND-IN of rml" in text
    assert all(f">{label}<" in text or f"<!-- {label} -->" in text for label in told["classes"])
    code, told, err = asked(bench, spoken(bench.data, 1, "03"), cell.info.run_id)
    assert (code, told) == (2, {}) and "no video" in err and "Traceback" not in err


@given(st.floats(0, 200), st.floats(0.05, 20), st.floats(0.05, 20))
def test_windows_cover_the_clip_and_nothing_else(seconds: float, length: float, every: float) -> None:
    spans = Windows(length, every).of(seconds)
    starts, ends = zip(*spans, strict=True)
    assert starts[0] == 0 and ends[-1] == pytest.approx(seconds)
    assert all(end - start == pytest.approx(min(length, seconds)) for start, end in spans)
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps[:-1] == pytest.approx(every)) and (steps < 1.5 * every + 1e-6).all()
    assert (len(spans) == 1) == (seconds <= length + 1e-6)


@pytest.mark.parametrize("wrong", [(0.0, 0.5), (2.0, 0.0), (-1.0, 1.0), (float("inf"), 1.0), (2.0, float("nan"))])
def test_windows_without_length_or_step_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(PluginError, match="above 0"):
        Windows(*wrong)


def test_a_step_that_makes_too_many_windows_is_refused() -> None:
    with pytest.raises(PluginError, match="more than 100000 windows"):
        Windows(1.0, 1e-9).of(60.0)
    assert len(Windows(1.0, 0.001).of(60.0)) == 59_001


def test_a_served_model_asks_for_no_package_by_its_bare_name(bench: Bench) -> None:
    assert bench.run()[0] == 0
    for cell in bench.kept():
        lines = bench.artifact(cell, "model/requirements.txt").read_text().splitlines()
        assert lines and all("==" in line for line in lines) and "av-emotion" not in " ".join(lines)


def test_a_window_is_answered_as_a_file_of_that_part(bench: Bench) -> None:
    """Sadness for two seconds, then anger: the answer changes, and each is that of a file cut by hand."""
    assert bench.run(protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    sad, angry = (np.tile(noise(7, emotion), 8) for emotion in ("04", "05"))
    sound = np.clip(np.concatenate([0.8 * sad, angry]), -1, 1)
    file = wav(bench.folder / "changing.wav", sound)
    code, told, _ = asked(bench, file, cell.info.run_id, "--window", 1, "--step", 0.75)
    (clip,) = told["clips"]
    assert (code, clip["seconds"], clip["of"]) == (0, 4.0, "the whole clip")
    assert [window["start"] for window in clip["windows"]] == [0, 0.75, 1.5, 2.25, 3.0]
    assert clip["windows"][0]["probabilities"] != clip["windows"][-1]["probabilities"]
    assert clip["windows"][0]["answer"] != clip["windows"][-1]["answer"]
    for window in clip["windows"]:
        start, end = (round(8_000 * window[side]) for side in ("start", "end"))
        part = wav(bench.folder / "part.wav", sound[start:end])
        _, alone, _ = asked(bench, part, cell.info.run_id, "--window", 1)
        assert alike(alone["clips"][0]["probabilities"], window["probabilities"])
        assert len(alone["clips"][0]["windows"]) == 1
    code, out, _ = bench.call("predict", file, "--run", cell.info.run_id, "--window", 1)
    assert code == 0 and "over time" in out and clip["windows"][-1]["answer"] in out.partition("over time")[2]


def test_a_long_file_is_never_held_as_a_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two minutes no more than a window is decoded at once, and the clip's answer is the mean of them."""
    from datasets import media as decoding

    assert bench.run(protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    file = wav(bench.folder / "long.wav", np.random.default_rng(0).uniform(-0.4, 0.4, 8_000 * 120))
    longest, read = [0], decoding.read_audio

    def spied(track: Any, rate: int) -> npt.NDArray[np.float32]:
        sound = read(track, rate)
        longest[0] = max(longest[0], len(sound))
        return sound

    monkeypatch.setattr(decoding, "read_audio", spied)
    code, told, _ = asked(bench, file, cell.info.run_id, "--step", 2, "--figure", bench.folder / "long.png")
    (clip,) = told["clips"]
    rows = [list(window["probabilities"].values()) for window in clip["windows"]]
    assert code == 0 and len(rows) == 60 and clip["of"] == "the mean of 60 windows"
    assert list(clip["probabilities"].values()) == pytest.approx(np.mean(rows, axis=0))
    assert longest[0] <= 8_000 * LONGEST / 2
    assert (bench.folder / "long.png").stat().st_size > 10_000


def test_a_folder_with_broken_files_answers_the_others_and_names_them(bench: Bench) -> None:
    assert bench.run(protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    folder = bench.folder / "mixed"
    for person in (1, 2):
        wav(folder / f"deep/{person}.wav", noise(person))
    (folder / "broken.wav").write_bytes(b"RIFF but not really")
    (folder / "notes.txt").write_text("no media")
    code, told, err = asked(bench, folder, cell.info.run_id)
    assert code == 1 and "Traceback" not in err
    assert [Path(clip["file"]).name for clip in told["clips"]] == ["1.wav", "2.wav"]
    assert list(told["faults"]) == [str(folder / "broken.wav")] and "broken.wav cannot be decoded" in err
    code, out, err = bench.call("predict", folder, "--run", cell.info.run_id)
    assert code == 1 and "1.wav" in out and "2.wav" in out and "broken.wav" in err
    code, out, err = bench.call("predict", folder / "broken.wav", "--run", cell.info.run_id)
    assert (code, out) == (2, "") and "broken.wav cannot be decoded" in err


def test_a_method_that_breaks_on_a_file_is_told_in_a_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.run(protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    monkeypatch.setenv("TOY_PREPARE", "method")
    code, out, err = bench.call("predict", spoken(bench.data, 1, "03"), "--run", cell.info.run_id)
    assert (code, out) == (2, "") and "the toy's own fault" in err and "Traceback" not in err


def test_what_cannot_be_asked_is_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "2")
    assert bench.run()[0] == 1
    good, bad = sorted(bench.kept(), key=lambda cell: str(cell.info.status), reverse=True)
    assert (good.info.status, bad.info.status) == ("FINISHED", "FAILED")
    file, run = spoken(bench.data, 1, "03"), str(good.info.run_id)
    (bench.folder / "empty").mkdir()
    cases: list[tuple[Path, str, tuple[object, ...], str]] = [
        (file, "0" * 32, (), "no run begins with"),
        (file, "abc", (), "no run is called 'abc'"),
        (file, "% ' or 1", (), "no run is called"),
        (file, str(bad.info.run_id), (), "has no finished model (its status is FAILED)"),
        (file, "ravdess-emotion@champion", (), "no model 'ravdess-emotion' is registered"),
        (bench.folder / "nowhere.mp4", run, (), "there is no file"),
        (bench.folder / "empty", run, (), "holds no media file"),
        (file, run, ("--figure", "x.doc"), "a figure is one of .png"),
        (file, run, ("--figure", "nowhere/x.png"), "nowhere/x.png cannot be written"),
        (bench.data, run, ("--figure", "x.png"), "--figure draws one file"),
        (file, run, ("--window", 0), "must be above 0"),
        (file, run, ("--weights", "nowhere"), "there is no such folder"),
    ]
    for clip, asks, more, why in cases:
        code, out, err = bench.call("predict", clip, "--run", asks, *more)
        assert (code, out) == (2, ""), (asks, more)
        assert why in err and len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    (row,) = bench.kept("row")
    assert asked(bench, file, row.info.run_id)[1]["run_id"] == run  # the fold that is finished


def test_what_changed_since_the_run_is_told(bench: Bench) -> None:
    assert bench.run(protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    file, run = spoken(bench.data, 1, "03"), cell.info.run_id
    assert asked(bench, file, run)[1]["changed_since"] == ""
    toy(bench.plugins, "toy", ("version = 1", "version = 1  # the same"))
    assert "another source" in asked(bench, file, run)[1]["changed_since"]
    toy(bench.plugins, "toy", ("version = 1", "version = 2"))
    code, out, err = bench.call("predict", file, "--run", run)
    assert code == 0 and out and "version 1 of toy, today's is 2" in err
    toy(bench.plugins, "toy", ("scale: float = 1.0", "size: float = 1.0"), ('"scale": 2.0', '"size": 2.0'))
    code, out, err = bench.call("predict", file, "--run", run)
    assert (code, out) == (2, "") and "other settings today" in err
    toy(bench.plugins)
    (facts,) = (bench.folder / "mlruns").rglob(f"{run}/artifacts/cell.json")
    facts.write_text(json.dumps({"key": "k", "config": {}}))
    code, out, err = bench.call("predict", file, "--run", run)
    assert (code, out) == (2, "") and "run it --fresh" in err
    facts.unlink()
    code, out, err = bench.call("predict", file, "--run", run)
    assert (code, out) == (2, "") and "its cell.json is gone" in err


def test_a_file_that_lacks_a_track_is_refused(bench: Bench) -> None:
    made = load("methods", "toy")()
    model = Model(made, None, {"modality": "av", "method": "toy", "classes": ["a"]})
    file = wav(bench.folder / "sound.wav", noise(1))
    with pytest.raises(DatasetError, match=r"sound.wav has audio but no video, which toy av needs"):
        predicted(model, file, Windows(), silent)  # type: ignore[arg-type]


def test_a_file_tells_what_it_holds_and_how_long(bench: Bench) -> None:
    clip = loose(wav(bench.folder / "sound.wav", noise(1), rate=4_000))
    assert clip.media.has == {"audio"} and clip.seconds == {"audio": pytest.approx(0.5, abs=1e-3)}
    assert len(clip.part(0.1, 0.35).audio(4_000)) == 1_000
    assert np.array_equal(clip.part(0.1, 0.35).audio(4_000), clip.media.audio(4_000)[400:1_400])
    assert "sound" not in repr(clip.media)


@pytest.mark.parametrize("method", names("methods"))
def test_settings_come_back_from_json(method: str) -> None:
    from dataclasses import asdict

    kind = load("methods", method)
    for variant in ("", *kind.variants):
        for preset in PRESETS:
            config, _ = configured(method, kind, Wish(preset, variant=variant))
            again = restored(kind.Config(), json.loads(json.dumps(asdict(config))))
            assert again == config and repr(again) == repr(config)


def test_mlflow_serves_a_kept_model(bench: Bench) -> None:
    """As anybody does who knows MLflow alone: `mlflow models predict` in a process of its own."""
    pytest.importorskip("opensmile")
    assert bench.run("--set", "kernel=linear", method="egemaps-svm", protocol="subject-holdout")[0] == 0
    (cell,) = bench.kept()
    kept = bench.artifact(cell, "model")
    suffixes = {file.suffix for file in kept.rglob("*") if file.is_file()}
    assert suffixes == {"", ".yaml", ".txt", ".py", ".json", ".skops"}  # nothing pickled
    then = answered(bench, cell)
    files = {name: bench.data / f"ravdess/Actor_{name[-2:]}/03-{name}.wav" for name in then}
    asks = {"dataframe_split": {"columns": ["path"], "data": [[str(file)] for file in files.values()]}}
    (bench.folder / "asks.json").write_text(json.dumps(asks))
    mlflow = Path(sys.executable).with_name("mlflow")
    done = subprocess.run(
        [mlflow, "models", "predict", "-m", f"runs:/{cell.info.run_id}/model", "-i", "asks.json", "-t", "json",
         "--env-manager", "local", "-o", "said.json"],
        cwd=bench.folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads((bench.folder / "said.json").read_text())["predictions"]
    assert len(said) == len(then) and all(alike(one, then[name]) for name, one in zip(files, said, strict=True))


@pytest.fixture
def whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose copy of RAVDESS is all that there is, under its own protocol."""
    kind = load("datasets", "ravdess")
    monkeypatch.setattr(kind, "expected", Expected((12, 12)))
    monkeypatch.setattr(kind, "default_protocol", HALVES)
    return bench


def promoted(bench: Bench) -> list[dict[str, Any]]:
    code, out, _ = bench.call("promote", "--json")
    assert code == 0
    told: list[dict[str, Any]] = json.loads(out)
    return told


def test_the_best_honest_row_is_champion_and_gives_way_to_a_better_one(whole: Bench) -> None:
    toy(whole.plugins, "worse", ("return near / near.sum(axis=1, keepdims=True)", "return near[:, ::-1] / near.sum()"))
    worse = (whole.plugins / "worse.py").read_text().replace("/ near.sum()", "/ near.sum(axis=1, keepdims=True)")
    (whole.plugins / "worse.py").write_text(worse)
    paper = ("--preset", "paper")
    assert whole.run(*paper, method="worse")[0] == 0
    (first,) = promoted(whole)
    assert (first["name"], first["method"], first["version"], first["moved"]) == ("ravdess-emotion", "worse", "1", True)
    assert promoted(whole) == [{**first, "moved": False}]
    assert whole.run(*paper)[0] == 0
    (second,) = promoted(whole)
    assert (second["method"], second["version"], second["moved"]) == ("toy", "2", True)
    assert second["uar"] > first["uar"]
    version = whole.client.get_model_version_by_alias("ravdess-emotion", "champion")
    assert (str(version.version), version.run_id) == ("2", second["run_id"])
    assert (Path(version.source) / "MLmodel").is_file()
    code, told, _ = asked(whole, spoken(whole.data, 1, "03"), "ravdess-emotion@champion")
    assert (code, told["run_id"], told["method"]) == (0, second["run_id"], "toy")
    code, _, err = asked(whole, spoken(whole.data, 1, "03"), "ravdess-emotion@looser")
    assert code == 2 and "choose from champion" in err
    code, out, _ = whole.call("promote")
    assert code == 0 and "ravdess-emotion" in out


def test_a_row_that_is_not_honest_is_never_champion(whole: Bench) -> None:
    assert whole.run("--preset", "quick")[0] == 0
    assert whole.run("--preset", "paper", "--set", "scale=3.0")[0] == 0
    assert whole.run("--preset", "paper", protocol="random-holdout")[0] == 0
    assert whole.run("--preset", "paper", protocol="leave-one-subject-out")[0] == 0
    (whole.data / "ravdess/standin.json").write_text("{}")
    assert whole.run("--preset", "paper")[0] == 0
    assert len(whole.kept("row")) == 5 and promoted(whole) == []
    code, out, _ = whole.call("promote")
    assert code == 0 and "no row may be champion" in out
    assert whole.client.search_registered_models() == []


def test_a_row_without_its_model_and_a_server_without_a_registry_are_warnings(
    whole: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is told first, and the run ends well."""
    from mlflow.exceptions import MlflowException

    monkeypatch.delenv("BENCH_LEADERBOARD")
    monkeypatch.setattr("benchmarks.report.write", lambda results, facts, out, advance: out / "index.html")
    code, _, err = whole.run("--preset", "paper")
    assert code == 0 and err.index("leaderboard: ") < err.index("toy is now the champion of ravdess-emotion")
    for file in (whole.folder / "mlruns").rglob("MLmodel"):
        file.unlink()
    code, _, err = whole.run("--preset", "paper")
    (line,) = (line for line in err.splitlines() if "ravdess-emotion gets no champion" in line)
    assert code == 0 and "keeps no model" in line

    def no_registry(*facts: object, **more: object) -> None:
        raise MlflowException("http://me:hunter2@there has no registry")

    for name in ("search_registered_models", "get_model_version"):
        monkeypatch.setattr(f"mlflow.MlflowClient.{name}", no_registry)
    code, _, err = whole.run("--preset", "paper", "--fresh")
    assert code == 0 and "leaderboard: " in err and "ravdess-emotion gets no champion" in err
    assert "hunter2" not in err and "Traceback" not in err


def test_an_old_lucky_run_is_no_champion_and_an_alias_without_a_row_is_dropped(whole: Bench) -> None:
    assert whole.run("--preset", "paper")[0] == 0
    (lucky,) = promoted(whole)
    toy(whole.plugins, "toy", ("version = 1", "version = 2"), ("near = np.exp(-50 * far)", "near = far + 1e-9"))
    assert whole.run("--preset", "paper")[0] == 0  # the same system, newer and worse
    (now,) = promoted(whole)
    assert now["row"] != lucky["row"] and now["uar"] < lucky["uar"] and now["moved"]
    whole.client.create_registered_model("ravdess-somebodys")
    for row in whole.kept("row"):
        whole.client.set_tag(row.info.run_id, "bench.independence", "violated")
    assert promoted(whole) == []
    (model,) = whole.client.search_registered_models("name='ravdess-emotion'")
    assert model.aliases == {}


def test_a_champion_is_found_among_many_models(whole: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry tells its models a page at a time; here, of two."""
    from mlflow import MlflowClient

    search = MlflowClient.search_registered_models
    monkeypatch.setattr(MlflowClient, "search_registered_models", partialmethod(search, max_results=2))
    for name in "abcde":
        whole.client.create_registered_model(f"another-{name}")
    assert whole.run("--preset", "paper")[0] == 0
    (champion,) = promoted(whole)
    code, told, _ = asked(whole, spoken(whole.data, 1, "03"), "ravdess-emotion@champion")
    assert (code, told["run_id"]) == (0, champion["run_id"])
    code, _, err = asked(whole, spoken(whole.data, 1, "03"), "nobodys@champion")
    assert code == 2 and "another-a, another-b, another-c, another-d, another-e, ravdess-emotion" in err
    for row in whole.kept("row"):
        whole.client.set_tag(row.info.run_id, "bench.independence", "violated")
    assert promoted(whole) == []
    (model,) = search(whole.client, "name='ravdess-emotion'")
    assert model.aliases == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_keep_their_order_and_do_not_touch(wanted: list[float]) -> None:
    placed = _apart(np.array(wanted))
    assert placed.min() > -1e-9 and placed.max() < 1 + 1e-9
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= APART - 1e-9).all()
    if len(wanted) == 1 or np.diff(np.sort(wanted)).min() >= APART:
        assert placed == pytest.approx(np.array(wanted))


@pytest.mark.parametrize("windows", [1, 7, 150, 151, 1_207])
def test_lines_are_the_windows_or_means_of_them(windows: int) -> None:
    """Of many windows, as many points as can be told apart; equal shares of them keep the mean."""
    rows = np.random.default_rng(windows).dirichlet(np.ones(3), windows)
    spans = Windows(2, 0.5).of(2 + 0.5 * (windows - 1))
    told = Timeline(spans[-1][1], (), np.zeros(0, np.float32), ("a", "b", "c"), spans, rows, rows.mean(axis=0))
    moments, points, what = _points(told)
    assert len(moments) == len(points) <= 150 and len(points) >= max(2, min(windows, 76))
    assert (np.diff(moments) > 0).all() and points.sum(axis=1) == pytest.approx(1)
    assert points.mean(axis=0) == pytest.approx(rows.mean(axis=0), abs=0.01)
    assert ("mean" in what) == (windows > 150)
    drawn = draw(told, "title", "below").axes[-1]
    assert {text.get_text() for text in drawn.texts} == {"a", "b", "c"}
    assert len({line.get_color() for line in drawn.lines}) == 4  # and chance
