"""Tuning meets nothing but the training clips of a fold; what it finds is used for that fold and told."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial
from safetensors.numpy import save_file

from benchmarks import tune as tuning
from benchmarks.arenas import Arena, arena
from benchmarks.borrowed import overlaps, read
from benchmarks.claims import claims
from benchmarks.console import progress
from benchmarks.inner import Tuning, inner_folds
from benchmarks.placing import _available, at_once, free_memory, peak_memory, roomy
from benchmarks.plan import Row, row
from benchmarks.prepare import Store, fill
from benchmarks.settings import Wish, space
from benchmarks.study import opened
from benchmarks.work import Job
from datasets.clips import Clip
from methods.base import Examples
from methods.parts.resident import Resident, once
from methods.parts.weights import WeightStore
from protocols.base import Fold
from tests.servers import PATIENCE, until
from tests.test_claims import SLOW, rival
from tests.tinybench import HALVES, Bench, corpus, diary, make_bench, toy  # noqa: F401  a fixture

TUNED = (
    ("Paper, Variant", "Paper, Variant, tuned\nfrom optuna.distributions import FloatDistribution"),
    ("scale: float = 1.0", "scale: float = tuned(1.0, FloatDistribution(0.0, 4.0))\n    depth_of: float = 0.0"),
    ("depth: int = 2", "depth: int = tuned(2, __import__('optuna').distributions.IntDistribution(1, 12))"),
    ("for epoch in range(3):", "note(f'settings {self.config.scale!r} {self.config.inner.depth}')\n        "
     "if self.config.scale > float(os.environ.get('TOY_BURSTS', 9)):\n            "
     "raise MemoryError('no room')\n        "
     "for epoch in range(3):\n            "
     "if validation: run.prune('validation_score', 1 / (1 + self.config.scale), epoch + 1)"),
    ("inputs, targets = np.stack([clip[\"level\"] for clip in train.inputs])",
     "inputs, targets = np.stack([clip[\"level\"] for clip in train.inputs]) * [1, self.config.scale]"),
    ("inputs = np.stack([clip[\"level\"] for clip in examples.inputs])\n        far",
     "inputs = np.stack([clip[\"level\"] for clip in examples.inputs]) * [1, self.config.scale]\n        far"),
)  # fmt: skip
PEOPLE = "leave-one-subject-out"


@pytest.fixture(autouse=True)
def tunable(bench: Bench) -> None:
    toy(bench.plugins, "toy", *TUNED)


def options(bench: Bench) -> tuple[object, ...]:
    return "--storage", f"sqlite:///{bench.folder / 'optuna.db'}"


def prepared(bench: Bench, trials: int = 5, at: str = PEOPLE) -> tuple[Row, Arena, Store]:
    there = arena(corpus(bench.data), "emotion", at, progress)
    planned = row("toy", Wish("quick", trials=trials), there, 1, WeightStore(Path("nowhere"), none=True))
    return planned, there, fill(planned, there.clips, there.contents, "cpu", progress)


def test_each_fold_is_fitted_with_what_was_found_inside_it(bench: Bench) -> None:
    code, _ = bench.json("--tune", 5, *options(bench), protocol=HALVES)
    assert code == 0
    cells = {run.data.tags["bench.fold"]: run for run in bench.kept()}
    assert len(cells) == 2
    for run in cells.values():
        kept = json.loads(bench.artifact(run, "cell.json").read_text())
        found = kept["tuned"]
        best = max((t for t in found["trials"] if t["state"] == "COMPLETE"), key=lambda t: (t["value"], -t["number"]))
        assert found["chosen"] == best["number"] and found["params"] == best["params"]
        assert kept["config"]["scale"] == best["params"]["scale"]
        assert kept["config"]["inner"]["depth"] == best["params"]["inner.depth"]
        assert found["trials"][0]["params"] == {"scale": 2.0, "inner.depth": 2}  # as the preset has it
        assert run.data.params["tuned.scale"] == str(best["params"]["scale"])
    assert len(diary("fit")) == 2 * (5 * 2 + 1)  # five trials on two inner folds, and the fit that is tested
    assert all(run.data.tags["bench.stamps"] == "tuned 5" for run in (*cells.values(), *bench.kept("row")))
    (row_run,) = bench.kept("row")
    kept = json.loads(bench.artifact(row_run, "tuning.json").read_text())
    assert {one["fold"] for one in kept} == set(cells) and all(len(one["trials"]) == 5 for one in kept)


def test_every_trial_is_a_child_of_its_cells_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BURSTS", "2.5")
    code, _ = bench.json("--tune", 6, *options(bench), protocol=HALVES)
    assert code == 0
    cells = {run.info.run_id for run in bench.kept()}
    trials = bench.kept("trial")
    assert len(trials) == 6 * len(cells)
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials} == cells
    failed = [trial for trial in trials if float(trial.data.params["scale"]) > 2.5]
    assert failed and all(trial.info.status == "FAILED" for trial in failed)
    assert {trial.data.tags["bench.error"] for trial in failed} == {"MemoryError: no room"}
    ended = [trial for trial in trials if trial.info.status == "FINISHED"]
    assert ended and all(0 <= trial.data.metrics["inner_uar"] <= 1 for trial in ended)
    curve = bench.client.get_metric_history(ended[0].info.run_id, "inner_uar_so_far")
    assert [point.step for point in curve] == list(range(1, 8))  # three epochs twice, and the mean after the first fold
    again, _ = bench.json("--tune", 6, *options(bench), protocol=HALVES)
    assert again == 0 and len(bench.kept("trial")) == len(trials)


def test_where_all_trials_fail_the_cell_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BURSTS", "-1")
    code, _, err = bench.run("--tune", 3, *options(bench))
    assert code == 1
    assert "all 3 trials failed; the first: MemoryError: no room" in err
    assert bench.statuses() == ["FAILED", "FAILED"] and bench.statuses("trial") == ["FAILED"] * 6


def trials(bench: Bench, planned: Row, store: Store, name: str) -> list[Any]:
    """What a study of the first Cell comes to, in a store of its own."""
    place = Tuning(f"sqlite:///{bench.folder}/{name}.db")
    tuned = tuning.tune(
        tuning.task(planned, planned.cells[0], store, "cpu", {}, bench.folder / "cache"), place, lambda now: None
    )
    return [(trial.params, trial.value, trial.intermediate_values) for trial in tuned.trials]


def permuted(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The next clip's label for each; the classes stay."""
    moved = tuple(replace(clip, label=clips[(n + 1) % len(clips)].label) for n, clip in enumerate(clips))
    assert [clip.label for clip in moved] != [clip.label for clip in clips]
    return moved


def test_tuning_does_not_see_the_outer_test(bench: Bench) -> None:
    """With labels permuted in the fold's scorer alone, it finds the same; with those of training, it does not."""
    planned, _, store = prepared(bench, 6)
    fold = planned.cells[0].fold
    before, answers = trials(bench, planned, store, "before"), np.eye(3)[[0] * len(fold.test_media)]
    score = fold.score(answers).truth
    vars(fold)["_test"] = permuted(fold._test)
    assert fold.score(answers).truth != score
    assert trials(bench, planned, store, "test-permuted") == before
    vars(fold)["train"] = permuted(fold.train)
    assert trials(bench, planned, store, "training-permuted") != before


def test_what_tuning_gets_holds_no_test_clip(bench: Bench) -> None:
    planned, there, store = prepared(bench)
    for cell in planned.cells:
        frozen: Any = object()  # what it makes of clips is in the store, and it may be large
        given = tuning.task(replace(planned, frozen=frozen), cell, store, "cpu", {}, bench.folder / "cache")
        assert given.row.frozen is None
        tested = {media.clip_id for media in cell.fold.test_media}
        assert not given.row.cells
        assert not any(tested & {clip.media.clip_id for clip in fold.train} for fold in given.inner)
        assert not any(tested & {media.clip_id for media in fold.test_media} for fold in given.inner)
        known = [clip for fold in given.inner for clip in fold._others if clip.media.clip_id in tested]
        assert len(known) == 3 * len(tested) and not any(clip.label or clip.media._tracks for clip in known)
        assert {fold.labels for fold in given.inner} == {cell.fold.labels}
        for train, watched, held in given.material:
            seen = {digest for part in (train, watched, held) for digest in part.inputs._inputs.digests.tolist()}  # type: ignore[attr-defined]
            assert seen and not {there.contents[one].media.encode() for one in tested} & seen and not held.labels
        people = [{clip.subject for clip in fold.train} for fold in given.inner]
        assert len(given.inner) == 3 and all(len(found) == 2 for found in people)  # of three, one is held out
    assert there.independence == "verified"


def test_inner_folds_hold_out_whole_subjects_or_else_clips(bench: Bench) -> None:
    clips = corpus(bench.data).index()
    for fold in prepared(bench)[1].folds:
        assert all(inner.independence == "verified" for inner in inner_folds(fold))
    strangers = [replace(clip, subject=None) for clip in clips]
    some = Fold(strangers, {"clip": [clips[0].name]}, "some")
    assert sum(len(inner.test_media) for inner in inner_folds(some)) == len(some.train)


def test_a_finished_study_is_read_and_shared_with_tune_alone(bench: Bench) -> None:
    arguments = ("--method", "toy", "--dataset", "ravdess", "--protocol", HALVES, "--data-root", bench.data)
    out = bench.folder / "found.json"
    code, text, _ = bench.call("tune", *arguments, "--trials", 5, *options(bench), "--out", out, "--json")
    assert code == 0
    told = json.loads(text)
    assert [one["fold"] for one in told] == [cell.fold.name for cell in prepared(bench, at=HALVES)[0].cells]
    assert json.loads(out.read_text()) == told
    before = len(diary("fit"))
    code, _ = bench.json("--tune", 5, *options(bench), protocol=HALVES)
    assert code == 0 and len(diary("fit")) == before + 2  # no trial was run again
    cells = [json.loads(bench.artifact(run, "cell.json").read_text()) for run in bench.kept()]
    assert {cell["fold"]: cell["tuned"]["params"] for cell in cells} == {one["fold"]: one["params"] for one in told}


def test_fresh_fits_again_with_what_was_found_and_a_finished_row_is_only_read(bench: Bench) -> None:
    code, (first,) = bench.json("--tune", 3, *options(bench))
    before = len(diary("fit"))
    again, (second,) = bench.json("--tune", 3, *options(bench), "--fresh")
    assert (code, again) == (0, 0) and len(diary("fit")) == before + 2  # a fit for each fold, no trial
    last, (third,) = bench.json("--tune", 3, *options(bench))
    assert last == 0 and len(diary("fit")) == before + 2 and third["trained_now"] == 0
    assert first["metrics"] == second["metrics"] == third["metrics"]
    (row_run,) = bench.kept("row")
    counted = {run.info.run_id for run in bench.kept() if "bench.superseded" not in run.data.tags}
    assert len(bench.kept()) == 4 and len(counted) == 2
    assert len(json.loads(bench.artifact(row_run, "tuning.json").read_text())) == 2


def test_settings_of_another_fold_are_stamped_where_their_people_are_tested(bench: Bench) -> None:
    arguments = ("--method", "toy", "--dataset", "ravdess", "--protocol", PEOPLE, "--data-root", bench.data)
    fold = prepared(bench)[0].cells[0].fold.name
    out = bench.folder / "found.json"
    code, _, err = bench.call("tune", *arguments, "--trials", 5, *options(bench), "--out", out, "--fold", fold)
    assert code == 0, err
    code, _ = bench.json("--params", out, protocol=PEOPLE)
    assert code == 0
    (kept,) = bench.kept("row")
    assert "tuned_on_test_subjects" in kept.data.tags["bench.stamps"]
    told = json.loads(out.read_text())
    apart = told[0] | {"subjects": ["99"], "media": ["nothing"], "sounds": []}
    out.write_text(json.dumps([apart]))
    code, _ = bench.json("--params", out, protocol=PEOPLE)
    assert code == 0 and len(bench.kept("row")) == 2
    assert sum("tuned_on_test" in run.data.tags["bench.stamps"] for run in bench.kept("row")) == 1
    there = prepared(bench)[1]
    for same in ({"subjects": [f" {told[0]['subjects'][0]} "]}, {"sounds": told[0]["sounds"][:1]}):
        out.write_text(json.dumps([apart | same]))
        assert overlaps(read(out, "toy")[1], there), same
    out.write_text(json.dumps([apart]))
    assert not overlaps(read(out, "toy")[1], there)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tune", 1), "two trials at least"),
        (
            ("--tune", 3, "--set", "scale=2.0", "--set", "inner.depth=3"),
            "declares nothing to tune, but for what is set",
        ),
        (("--tune", 3, "--params", "x.json"), "leave one of them out"),
        (("--params", "nowhere.json"), "tune --out writes such a file"),
        (("--trial-jobs", 3), "add --tune N"),
        (("--storage", "sqlite:///mine.db"), "add --tune N"),
    ],
)
def test_refusals(bench: Bench, arguments: tuple[object, ...], told: str) -> None:
    code, _, err = bench.run(*arguments)
    assert code == 2 and told in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--trials", 0), "two trials at least, the first of which is untuned, but got 0"),
        (("--trials", 3, "--fold", "nowhere"), "no fold is called 'nowhere'; choose from group 1, group 2"),
        (("--trials", 3, "--out", "nowhere/found.json"), "nowhere/found.json cannot be written"),
    ],
)
def test_refusals_of_tune_alone(bench: Bench, arguments: tuple[object, ...], told: str) -> None:
    """Before anything is tried."""
    words = ("--method", "toy", "--dataset", "ravdess", "--protocol", HALVES, "--data-root", bench.data)
    code, _, err = bench.call("tune", *words, *options(bench), *arguments)
    assert code == 2 and told in err.splitlines()[-1] and "Traceback" not in err and not diary("fit")


STEADY = """
        found = run.checkpoints.load("")
        for epoch in range(found.facts["epoch"] + 1 if found else 0, 4):
            note(f"epoch {epoch} {self.config.scale!r} {train.inputs[0]['level'].sum()} {len(train)}")
            if noted("epoch") == int(os.environ.get("TOY_SLEEPS_AT", 0)):
                time.sleep(600)
            if run.checkpoints.due("", epoch == 3):
                run.checkpoints.save("", Checkpoint({"x": __import__("torch").zeros(1)}, {"epoch": epoch}))
        for epoch in range(3):"""


def test_a_trial_that_is_killed_goes_on_within_the_epoch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own settings, in the same inner fold; nothing of it is left in the end."""
    toy(bench.plugins, "toy", ("\n        for epoch in range(3):", STEADY), *TUNED,
        ("import Method,", "import Checkpoint, Method,"))  # fmt: skip
    monkeypatch.setenv("TOY_SLEEPS_AT", "16")  # of eight epochs a trial: the last of the second trial
    words = ("--tune", "3", *map(str, options(bench)))
    process = rival(bench, "--protocol", HALVES, *words)
    until(lambda: len(diary("epoch")) >= 16 or process.poll() is not None)
    process.kill()
    process.communicate()
    before = diary("epoch")
    assert len(before) == 16 and len(set(before)) == 16
    monkeypatch.delenv("TOY_SLEEPS_AT")
    kept = list((bench.folder / "cache/checkpoints").rglob("*.safetensors"))
    assert sorted(file.parent.name for file in kept) == ["inner_0", "inner_1"]
    assert bench.json(*words, protocol=HALVES)[0] == 0
    after = diary("epoch")[16:]
    assert after[0] == before[15] and not set(after[1:]) & set(before)
    assert not list((bench.folder / "cache/checkpoints").glob("*"))
    (row_run,) = bench.kept("row")
    first = json.loads(bench.artifact(row_run, "tuning.json").read_text())[0]
    assert [trial["state"] for trial in first["trials"]] == ["COMPLETE"] * 3


def test_who_waits_helps_by_one_trial_and_only_where_a_study_is(bench: Bench) -> None:
    planned, _, store = prepared(bench)
    task = tuning.task(planned, planned.cells[0], store, "cpu", {}, bench.folder / "cache")
    there, elsewhere = (Tuning(f"sqlite:///{bench.folder}/{name}.db") for name in ("there", "elsewhere"))
    with opened(there.storage) as storage:
        tuning._shared(task, storage).work(task.value, tuning._silent, most=2)
    before = len(diary("fit"))
    assert not tuning.helped(task, elsewhere, once=True) and len(diary("fit")) == before
    assert tuning.helped(task, there, once=True)
    assert sum(trial.state.is_finished() for trial in found_in(there)) == 3
    tuning.tune(task, there, lambda now: None)
    after = len(diary("fit"))
    assert not tuning.helped(task, there, once=True) and len(diary("fit")) == after
    assert not optuna.get_all_study_names(elsewhere.storage)


def found_in(where: Tuning) -> list[FrozenTrial]:
    return optuna.load_study(study_name=None, storage=where.storage).trials


@pytest.mark.parametrize(
    ("device", "other", "helps"),
    [("cuda", "", False), ("cpu", "", True), ("cuda", "elsewhere:1", True)],
)
def test_who_waits_does_not_fill_a_gpu_that_another_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, other: str, helps: bool
) -> None:
    """`other` is known from the store of results; without it, this machine's claims tell."""
    helped, looks, result = list[bool](), iter([None, None, None, "the result"]), "the result"
    if not other:
        assert claims(tmp_path).take("k")
    monkeypatch.setattr("benchmarks.work.PAUSE", 0.0)

    def help_out(cell: Any, once: bool) -> bool:
        helped.append(once)
        return len(helped) == 1

    job: Any = SimpleNamespace(
        tracker=SimpleNamespace(place=tmp_path, abroad=SimpleNamespace(busy=lambda *about: other)), experiment="1",
        device=device, attempt=lambda *about: next(looks), help_out=help_out, _claim=lambda key: key,
    )  # fmt: skip
    cell: Any = SimpleNamespace(key="k", title="a cell")
    assert Job.wait(job, cell, lambda now: None) == result  # type: ignore[comparison-overlap]
    assert helped == [True] * 2 * helps, "looks again after a trial; after none, not at once"


def test_machines_with_studies_of_their_own_do_not_tune_the_same_fold(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the store of results alone; who waits for a fold does not begin it anew."""
    monkeypatch.setenv("TOY_TAKES", "0.3")
    monkeypatch.setenv("RIVAL_REMOTE", "yes")
    toy(bench.plugins, "toy", ("\n        for epoch in range(3):", SLOW), *TUNED)
    both = []
    for name in ("one", "other"):
        monkeypatch.setenv("BENCH_CACHE", str(bench.folder / name))
        both.append(
            rival(bench, "--protocol", HALVES, "--tune", "4", "--storage", f"sqlite:///{bench.folder}/{name}.db")
        )
        until(lambda: diary("fit") or both[-1].poll() is not None)
    told = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(diary("fit")) == 2 * (4 * 2 + 1) and bench.statuses() == ["FINISHED"] * 2


def test_what_the_user_sets_is_not_searched(bench: Bench) -> None:
    code, _ = bench.json("--tune", 4, "--set", "scale=3.0", *options(bench))
    assert code == 0
    assert {line.split()[1] for line in diary("settings")} == {"3.0"}
    assert len({line.split()[2] for line in diary("settings")}) > 1


def test_the_request_is_in_the_key_but_not_where_studies_are_kept(bench: Bench) -> None:
    keys = [{cell.key for cell in prepared(bench, trials)[0].cells} for trials in (5, 6, 0, 5)]
    assert keys[0] == keys[3] and not keys[0] & keys[1] and not keys[0] & keys[2]
    planned = prepared(bench)[0]
    assert set(space(planned.method())) == {"scale", "inner.depth"}


@pytest.mark.parametrize(
    ("most", "needed", "free", "places"),
    [
        (8, 10, 100, 8),
        (16, 10, 100, 10),
        (8, 10, 25, 3),
        (8, 10, 5, 1),
        (1, 10, 100, 1),
        (8, 0, 100, 8),
        (8, 200, 100, 1),
    ],
)
def test_as_many_at_once_as_find_room(most: int, needed: int, free: int, places: int) -> None:
    """The first is there already: beside it 90 % of what is free may be filled."""
    assert at_once(most, needed, free) == places


def test_memory_of_this_machine(tmp_path: Path) -> None:
    """What the system would give back counts as free; a machine that tells nothing still has room for several."""
    import psutil  # type: ignore[import-untyped]

    whole = psutil.virtual_memory()
    assert 0 < peak_memory("cpu") < whole.total
    assert abs(free_memory("cpu") - whole.available) < whole.total / 10
    assert _available(tmp_path / "nowhere") == pytest.approx(whole.total / 2, rel=1e-3)
    assert roomy(50, 100) and not roomy(51, 100)


def test_what_a_fit_makes_of_its_inputs_is_made_once() -> None:
    made = []
    inputs = [{"x": np.zeros(2)}]

    def make() -> int:
        made.append(1)
        return len(made)

    kept = Examples(Resident(inputs), ("a",))
    assert [once(kept, "table", device, make) for device in ("cpu", "cpu", "cuda", "cuda:0")] == [1, 1, 2, 2]
    assert once(replace(kept, labels=("a",)), "table", "cpu", make) == 1
    assert once(Examples(inputs, ("a",)), "table", "cpu", make) == 3
    assert once(Examples(Resident(inputs), ("a",)), "table", "cpu", make) == 4


def workers(trials: Sequence[FrozenTrial]) -> set[str]:
    return {trial.user_attrs["worker"] for trial in trials if "worker" in trial.user_attrs}


def test_several_processes_of_one_machine_share_a_study(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first trial alone, then as many processes as were asked for and find room."""
    there = arena(corpus(bench.data), "emotion", PEOPLE, progress)
    planned = row("egemaps-svm", Wish("quick", trials=9), there, 1, WeightStore(Path("nowhere"), none=True))
    store, chance = Store(bench.folder, there.contents), np.random.default_rng(0)
    for clip in there.clips:
        save_file({"functionals": chance.normal(size=88)}, store.file(clip.media))
    task = tuning.task(planned, planned.cells[0], store, "cpu", {}, bench.folder / "cache")
    asked: list[int] = []
    value = tuning.Task.value

    def placed(most: int, needed: int, free: int) -> int:
        asked.append(needed)
        return most

    def patient(self: tuning.Task, *told: Any) -> float:
        """Until another process has a trial; here alone, for the others know nothing of it."""
        end = time.monotonic() + PATIENCE
        while asked and len(workers(optuna.load_study(study_name=None, storage=place).trials)) < 2:
            assert time.monotonic() < end
            time.sleep(0.2)
        return value(self, *told)

    place = f"sqlite:///{bench.folder}/jobs.db"
    monkeypatch.setattr(tuning, "at_once", placed)
    monkeypatch.setattr(tuning.Task, "value", patient)
    found = tuning.tune(task, Tuning(place, 3), lambda now: None)
    assert len(found.trials) == 9 and {trial.state.name for trial in found.trials} <= {"COMPLETE", "PRUNED"}
    assert 2 <= len(workers(found.trials)) <= 3
    assert len(asked) == 1 and asked[0] > 0
