"""Cells are run once, stay visible where they fail, and show a method nothing that it must not know."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import pool
from benchmarks.arenas import arena
from benchmarks.console import progress
from benchmarks.content import contents
from benchmarks.engine import Engine
from benchmarks.handed import Handed
from benchmarks.plan import row
from benchmarks.plugins import build
from benchmarks.prepare import Store
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from benchmarks.training import training
from datasets.processes import in_processes
from methods.parts.weights import WeightStore
from protocols.base import ProtocolError
from tests.tinybench import Bench, corpus, diary, make_bench, noise, ravdess, silent, spoken, toy, wav  # noqa: F401  a fixture


def test_a_second_run_trains_nothing_and_says_the_same(bench: Bench) -> None:
    code, (first,) = bench.json()
    assert (code, first["trained_now"], first["cells"], first["complete"]) == (0, 2, 2, True)
    assert 0.4 < first["metrics"]["uar"] <= 1
    code, (second,) = bench.json()
    assert (code, second["trained_now"]) == (0, 0)
    assert {**second, "trained_now": 2} == first
    assert (len(diary("prepare")), len(diary("fit")), len(bench.kept())) == (12, 2, 2)


def test_fresh_trains_again(bench: Bench) -> None:
    _, (first,) = bench.json()
    code, (again,) = bench.json("--fresh")
    assert (code, again["trained_now"], again["metrics"]) == (0, 2, first["metrics"])
    assert (len(diary("prepare")), len(diary("fit")), len(bench.kept())) == (12, 4, 4)
    assert len(bench.kept("row")) == 1
    assert bench.json()[1][0]["trained_now"] == 0


def test_neither_device_nor_store_is_in_a_key(bench: Bench) -> None:
    assert bench.run("--device", "cpu")[0] == 0
    assert bench.json("--device", "auto")[1][0]["trained_now"] == 0


def test_only_new_cells_of_another_protocol_are_run(bench: Bench) -> None:
    assert bench.json(protocol="leave-one-subject-out")[1][0]["trained_now"] == 4
    _, (row,) = bench.json(protocol="subject-k-fold:k=4")
    assert (row["trained_now"], row["finished"], row["protocol"]) == (0, 4, "subject-k-fold:k=4")
    assert len(bench.kept("row")) == 2


def test_a_cell_that_fails_stays_visible_and_is_run_again_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "2")
    code, out, err = bench.run(protocol="leave-one-subject-out")
    assert code == 1
    assert "3 of 4: INCOMPLETE" in out
    assert "ValueError: was meant to fail" in err and "Traceback" not in out + err
    assert bench.statuses() == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    (row,) = bench.kept("row")
    assert row.info.status == "FAILED"
    (failed,) = bench.kept(query=" and attributes.status = 'FAILED'")
    assert failed.data.tags["bench.error"] == "ValueError: this fit\nwas meant to fail"
    assert 'raise ValueError("this fit' in bench.artifact(failed, "error.txt").read_text()
    lines = bench.artifact(row, "cells.csv").read_text().splitlines()[1:]
    assert [line for line in lines if line.endswith("was meant to fail")] == [
        line for line in lines if line.startswith(failed.data.tags["bench.fold"])
    ]
    monkeypatch.delenv("TOY_FAILS_AT")
    code, (told,) = bench.json(protocol="leave-one-subject-out")
    assert (code, told["trained_now"], told["complete"], told["failures"]) == (0, 1, True, {})
    assert len(diary("fit")) == 5
    (row,) = bench.kept("row")
    assert row.info.status == "FINISHED"
    bench.folder.joinpath("diary.txt").unlink()
    _, (fresh,) = bench.json("--fresh", protocol="leave-one-subject-out")
    assert fresh["metrics"] == told["metrics"]


def test_a_failure_is_told_in_json_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "1")
    code, (told,) = bench.json()
    assert (code, told["complete"], told["finished"], told["trained_now"]) == (1, False, 1, 1)
    assert list(told["failures"].values()) == ["ValueError: was meant to fail"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("near[:, :2]", "probabilities must be"), ("near * 2", "must sum to 1"), ("near * np.nan", "must be finite")],
)
def test_answers_that_are_no_probabilities_fail_the_cell(wrong: str, told: str, bench: Bench) -> None:
    toy(bench.plugins, "toy", ("return near / near.sum(axis=1, keepdims=True)", f"return {wrong}"))
    code, out, err = bench.run()
    assert code == 1 and "0 of 2: INCOMPLETE" in out and told in err
    assert bench.statuses() == ["FAILED", "FAILED"]


def test_a_method_sees_no_name_no_label_of_test_and_no_subject(bench: Bench) -> None:
    assert bench.run()[0] == 0
    prepared = diary("prepare")
    assert len(prepared) == 12
    for line in prepared:
        assert re.fullmatch(
            r"prepare Media\(clip_id='[0-9a-f]{16}', has=frozenset\(\{'audio'\}\)\) \['clip_id', 'has'\]", line
        )
    assert diary("predict") == ["predict 6 labels=()", "predict 3 labels=()"] * 2  # of three the operations are counted
    assert diary("fit") == ["fit 0 cpu 6 -"] * 2
    for text in ("happiness", "sadness", "anger", "Actor", "03-01", str(bench.data)):
        assert not [line for line in diary() if text in line]


def test_each_seed_is_a_cell_of_each_fold(bench: Bench) -> None:
    code, (told,) = bench.json("--seeds", 2)
    assert (code, told["cells"], told["trained_now"]) == (0, 4, 4)
    assert sorted(line.split()[1] for line in diary("fit")) == ["0", "0", "1", "1"]
    found = sorted((cell.data.tags["bench.fold"], cell.data.tags["bench.seed"]) for cell in bench.kept())
    assert [seed for _, seed in found] == ["0", "1", "0", "1"] and len({fold for fold, _ in found}) == 2
    _, (more,) = bench.json("--seeds", 3)
    assert (more["cells"], more["trained_now"]) == (6, 2)


def test_a_random_split_is_called_violated_everywhere(bench: Bench) -> None:
    code, out, err = bench.run(protocol="random-holdout")
    assert code == 0
    assert "subjects: violated" in out and "independence of subjects: violated" in err
    (row,) = bench.kept("row")
    (cell,) = bench.kept()
    assert row.data.tags["bench.independence"] == cell.data.tags["bench.independence"] == "violated"
    assert bench.json(protocol="random-holdout")[1][0]["independence"] == "violated"
    assert bench.json()[1][0]["independence"] == "verified"


def test_a_partial_copy_and_what_was_excluded_are_on_record(bench: Bench) -> None:
    (bench.folder / "names.txt").write_text("01-03-01-01-01-01\n03-01-04-01-01-01-02  # noisy\n")
    code, _, err = bench.run("--exclude", "names.txt")
    assert code == 0
    assert "10 clips (partial copy: 10 of 1440) (2 excluded by name)" in err
    (row,) = bench.kept("row")
    tags = row.data.tags
    assert tags["bench.excluded"] == "2"
    facts = [json.loads(bench.artifact(cell, "cell.json").read_text()) for cell in bench.kept()]
    assert all(fact["excluded"] == ["01-03-01-01-01-01", "03-01-04-01-01-01-02"] for fact in facts) and facts
    assert (tags["bench.partial"], tags["bench.clips"], tags["bench.clips_of_the_whole_corpus"]) == (
        "True",
        "10",
        "1440",
    )
    assert bench.json()[1][0]["trained_now"] == 2  # another corpus, other Cells
    assert len(diary("prepare")) == 12  # yet only two more clips


def test_a_standin_is_stamped_and_kept_apart(bench: Bench) -> None:
    assert bench.run()[0] == 0
    (bench.data / "ravdess/standin.json").write_text("{}")
    code, out, err = bench.run()
    assert code == 0
    assert "STAND-IN of RAVDESS" in out and "STAND-IN" in err and "partial" not in err
    names = {bench.client.get_experiment(row.info.experiment_id).name: row.data.tags for row in bench.kept("row")}
    assert set(names) == {"ravdess", "ravdess (STAND-IN)"}
    assert {name: tags["bench.standin"] for name, tags in names.items()} == {
        "ravdess": "False", "ravdess (STAND-IN)": "True"
    }  # fmt: skip
    assert names["ravdess (STAND-IN)"]["bench.partial"] == "False"
    assert len(diary("fit")) == 4  # a real result never stands in for a stand-in's
    assert bench.json()[1][0]["standin"] is True


def test_choosing_is_done_on_unseen_people_of_the_training_set(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("validates = False", "validates = True"))
    ravdess(bench.data, people=10)
    assert bench.run()[0] == 0
    assert diary("fit") == ["fit 0 cpu 12 3"] * 2  # of five people one, 20 %, apart


@pytest.mark.parametrize("seed", range(4))
def test_validation_shares_no_person_with_training_or_test(seed: int, bench: Bench) -> None:
    toy(bench.plugins, "toy", ("validates = False", "validates = True"))
    ravdess(bench.data, people=12)
    here = arena(corpus(bench.data), "emotion", "leave-one-subject-out", progress)
    one = row("toy", Wish("quick"), here, 1, WeightStore(Path("nowhere"), none=True))
    person = {clip.media.clip_id: clip.subject for clip in here.clips}
    own = {content.media: clip_id for clip_id, content in here.contents.items()}
    label = {clip.media.clip_id: clip.label for clip in here.clips}
    chosen = set()
    for fold in here.folds:
        train, validation = training(one.method(), fold, Store(bench.folder, here.contents), seed)
        assert validation is not None
        assert isinstance(train.inputs, Handed) and isinstance(validation.inputs, Handed)
        ids = [[own[digest] for digest in part.inputs.digests.astype(str)] for part in (train, validation)]  # type: ignore[attr-defined]
        sides = [{person[one] for one in some} for some in (*ids, [media.clip_id for media in fold.test_media])]
        assert sum(map(len, sides)) == len(set().union(*sides)) == 12
        assert abs(len(ids[1]) / (len(ids[0]) + len(ids[1])) - 0.2) < 0.1
        for part, names in zip((train, validation), ids, strict=True):
            assert part.labels == tuple(label[one] for one in names) and part.classes == fold.labels
        chosen.add(tuple(sorted(map(str, sides[1]))))
    assert len(chosen) > 1


def test_a_protocol_without_folds_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(build("protocols", "leave-one-subject-out")), "held_out", lambda self, clips: iter(()))
    with pytest.raises(ProtocolError, match="makes no fold of the 12 clips of ravdess"):
        arena(corpus(bench.data), "emotion", "leave-one-subject-out", progress)


def test_an_interrupt_marks_the_row_and_is_passed_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    here = arena(corpus(bench.data), "emotion", "leave-one-subject-out", progress)
    one = row("toy", Wish("quick"), here, 1, WeightStore(Path("nowhere"), none=True))
    monkeypatch.setattr(one.kind, "predict_proba", lambda self, examples: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Engine(Tracker(bench.uri), "cpu", progress).run(one, here)
    assert (bench.statuses(), bench.statuses("row")) == (["KILLED"], ["KILLED"])


def test_a_clip_that_sounds_as_another_is_never_parted_from_it(bench: Bench) -> None:
    """Person 2 repeats what person 1 said, to the sample: a contradiction, which the run names and refuses."""
    wav(spoken(bench.data, 2, "03"), noise(103))
    code, out, err = bench.run()
    assert (code, out) == (2, "")
    assert "01-03-01-01-01-01" in err and "01-03-01-01-01-02" in err and "--exclude" in err


def test_a_published_method_runs_in_parallel_processes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opensmile")
    contents(corpus(bench.data).index(), silent)  # in this process: one pool is enough to try
    monkeypatch.setattr(pool, "in_processes", in_processes)
    code, (told,) = bench.json("--set", "kernel=linear", method="egemaps-svm")
    assert (code, told["trained_now"], told["modality"], told["complete"]) == (0, 2, "audio", True)
    assert told["metrics"]["uar"] > 0.4
    (cell, _) = bench.kept()
    assert bench.artifact(cell, "model/artifacts/model/model.skops").stat().st_size > 0
    assert bench.json("--set", "kernel=linear", method="egemaps-svm")[1][0]["trained_now"] == 0
