"""Published beside reproduced: the same measures, of the answers that the engine kept."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support, recall_score

import methods
from benchmarks.outcome import Outcome
from benchmarks.plan import Cell
from benchmarks.plugins import build, canonical, load, names
from benchmarks.published import UNSTATED, Number, PublishedError, measured, numbers, of_table
from benchmarks.reproduce import Line
from benchmarks.result import Result
from datasets.base import Dataset, Expected
from datasets.clips import AVEF_TABLE_2, TASKS
from protocols.scores import Scores
from reports.statistics import interval
from tests.test_plan import BY_HAND
from tests.tinybench import HALVES, Bench, diary, make_bench, toy  # noqa: F401  a fixture

HEADER = "table,row,column,dataset,protocol,modality,task,metric,value,variant,reason,over,doubt"
RECALLS = f"""I,Deep,All,ravdess,{HALVES},audio,emotion,accuracy,0.5,deep,
I,Deep,UAR,ravdess,{HALVES},audio,emotion,uar,0.5,deep,
I,Deep,Angry,ravdess,{HALVES},audio,emotion,recall,0.5,deep,
I,Joy,Precision,ravdess,{HALVES},audio,emotion,precision,0.5,deep,
I,SAD,F-score,ravdess,{HALVES},audio,emotion,f1,0.5,deep,
Fig. 2,joy,sadness,ravdess,{HALVES},audio,emotion,confusion,0.1,deep,
Fig. 2,joy,happy,ravdess,{HALVES},audio,emotion,confusion,0.9,deep,
"""
UNTOLD = "III,Deep,Macro F1,ravdess,unstated,audio,emotion,macro_f1,0.5,deep,\n"
ELSEWHERE = f"I,Deep,CREMA-D,crema-d,{HALVES},audio,emotion,accuracy,0.5,deep,\n"
QUOTED = f"IV,Human,All,ravdess,{HALVES},audio,emotion,accuracy,0.8,,people are no method\n"


UNEVEN = "leave-one-speaker-group-out:groups=3"  # four people: two folds of one person, one of two
AVERAGED = f"""II,Deep,All,ravdess,{UNEVEN},audio,emotion,uar,0.5,deep,,clips,
II,Deep,Mean,ravdess,{UNEVEN},audio,emotion,uar,0.5,deep,,folds,its groups are not listed
"""


def published(bench: Bench, *rows: str) -> None:
    folder = bench.plugins / "published"
    folder.mkdir(exist_ok=True)
    (folder / "toy.csv").write_text(f"{HEADER}\n{''.join(rows)}")


def reproduce(bench: Bench, *more: object) -> tuple[int, list[dict[str, Any]], str]:
    code, out, err = bench.call("reproduce", "toy", "--data-root", bench.data, "--json", *more)
    return code, json.loads(out), err


def test_a_paper_that_averages_its_test_runs_is_compared_with_the_average_of_ours(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("np.abs(inputs[:, None] - self", "np.abs(1.3 * inputs[:, None] - self"))
    published(bench, AVERAGED)
    _, (pooled, averaged), _ = reproduce(bench)
    truth, answer = answers(bench, UNEVEN)
    folds = []
    for run in bench.kept():
        with bench.artifact(run, "predictions.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        folds.append(recall_score([row["truth"] for row in rows], [row["answer"] for row in rows], average="macro"))
    assert pooled["reproduced"] == pytest.approx(recall_score(truth, answer, average="macro"))
    assert averaged["reproduced"] == pytest.approx(np.mean(folds))
    assert pooled["reproduced"] != pytest.approx(averaged["reproduced"])
    assert (pooled["caveats"], averaged["caveats"]) == (
        "of a partial copy",
        "its groups are not listed; of a partial copy",
    )


def test_corpora_to_begin_with_are_for_the_rows_that_begin_with_some(bench: Bench) -> None:
    published(bench, ELSEWHERE.replace("crema-d", "ravdess"))
    code, (told,), _ = reproduce(bench, "--pretrain-on", "crema-d")  # the toy begins with none
    assert (code, told["status"], told["stamps"]) == (0, "run", "")


def answers(bench: Bench, protocol: str) -> tuple[list[str], list[str]]:
    """Truth and answer of all clips, from the files that the engine kept."""
    pairs = []
    for run in bench.kept("cell", f" and tags.`bench.protocol` = '{protocol}'"):
        with bench.artifact(run, "predictions.csv").open(newline="") as stream:
            pairs += [(row["truth"], row["answer"]) for row in csv.DictReader(stream)]
    truth, answer = zip(*pairs, strict=True)
    return list(truth), list(answer)


def test_reproduced_values_are_those_of_the_kept_answers(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("np.abs(inputs[:, None] - self", "np.abs(1.3 * inputs[:, None] - self"))  # it errs
    published(bench, RECALLS, UNTOLD)
    code, told, _ = reproduce(bench)
    truth, answer = answers(bench, HALVES)
    labels = ["anger", "happiness", "sadness"]
    precision, recall, f1, _ = precision_recall_fscore_support(truth, answer, labels=labels, zero_division=0)
    shares = confusion_matrix(truth, answer, labels=labels, normalize="true")
    right = np.mean([a == b for a, b in zip(truth, answer, strict=True)])
    whole = f1_score(*answers(bench, "subject-k-fold"), average="macro")
    uar = recall_score(truth, answer, average="macro")
    expected = [right, uar, recall[0], precision[1], f1[2], shares[1, 2], shares[1, 1], whole]
    assert [row["reproduced"] for row in told] == pytest.approx(expected)
    assert len(set(expected)) > 3 and code == 0
    assert {(row["protocol"], row["match"]) for row in told} == {
        (HALVES, "partly"),
        ("subject-k-fold", "paper does not say"),
    }
    assert {row["caveats"] for row in told} == {"of a partial copy"}  # 12 of RAVDESS' 1440 clips
    assert all((row["independence"], row["standin"], row["preset"]) == ("verified", False, "quick") for row in told)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench's copy of RAVDESS is all that there is."""
    monkeypatch.setattr(load("datasets", "ravdess"), "expected", Expected((12, 12)))


@pytest.mark.usefixtures("whole")
def test_only_what_the_paper_did_on_the_whole_corpus_has_a_difference(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("np.abs(inputs[:, None] - self", "np.abs(1.3 * inputs[:, None] - self"))
    published(bench, RECALLS)
    code, told, _ = reproduce(bench, "--preset", "paper")
    assert code == 0 and {(row["status"], row["why"]) for row in told} == {("reproduced", "")}
    assert [row["difference"] for row in told] == pytest.approx([row["reproduced"] - row["published"] for row in told])
    one = next((bench.data / "ravdess").rglob("*.wav")).stem
    (bench.folder / "names.txt").write_text(one)
    for more, why in (
        (("--preset", "quick"), "preset quick"),
        (("--preset", "paper", "--exclude", bench.folder / "names.txt"), "a partial copy, 1 excluded by name"),
    ):
        _, told, _ = reproduce(bench, *more)
        assert {(row["status"], row["why"]) for row in told} == {("run", f"no difference beside {why}")}
        assert all(row["difference"] is None and row["reproduced"] is not None for row in told)


@pytest.mark.usefixtures("whole")
def test_a_score_over_clips_has_an_interval_over_people(bench: Bench) -> None:
    toy(bench.plugins, "toy", ("np.abs(inputs[:, None] - self", "np.abs(1.3 * inputs[:, None] - self"))
    published(bench, RECALLS)
    _, told, _ = reproduce(bench)
    answered = []
    for run in bench.kept("cell"):
        with bench.artifact(run, "predictions.csv").open(newline="") as stream:
            answered += list(csv.DictReader(stream))
    people = sorted({row["subject"] for row in answered})
    labels = ["anger", "happiness", "sadness"]
    counts = [
        confusion_matrix(
            *zip(*((row["truth"], row["answer"]) for row in answered if row["subject"] == one), strict=True),
            labels=labels,
        )
        for one in people
    ]
    for row, metric in zip(told[:2], ("accuracy", "uar"), strict=True):
        expected = interval(np.array(counts, float), cast(Any, metric))
        assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
        assert (row["unit"], row["units"]) == ("subject", len(people))
    assert all(row["low"] is None for row in told[2:])


def test_a_row_is_run_once_and_never_again(bench: Bench) -> None:
    published(bench, RECALLS)
    code, first, _ = reproduce(bench)
    assert len(diary("fit")) == 2
    assert bench.json("--variant", "deep")[1][0]["trained_now"] == 0
    assert reproduce(bench)[:2] == (code, first)
    assert len(diary("fit")) == 2
    assert bench.json("--variant", "deep")[1][0]["metrics"]["accuracy"] == first[0]["reproduced"]
    assert bench.json("--variant", "deep")[1][0]["metrics"]["accuracy_fold_sd"] == pytest.approx(first[0]["fold_sd"])


def test_each_number_is_of_its_own_variant(bench: Bench) -> None:
    more = '"wide": Variant(Config(rate=4_000), "audio", "Table 1"), '
    toy(bench.plugins, "toy", ("variants = {", "variants = {" + more))
    published(bench, RECALLS, RECALLS.replace("deep,", "wide,").replace("I,", "V,").replace("Fig. 2", "Fig. 3"))
    code, told, _ = reproduce(bench)
    assert (code, len(diary("fit"))) == (0, 4)
    for row in told:
        assert bench.client.get_run(row["run_id"]).data.params["variant"] == row["variant"]
    again = bench.json("--variant", "wide, deep")[1]
    assert [(row["variant"], row["trained_now"]) for row in again] == [("wide", 0), ("deep", 0)]


def test_the_table_is_kept(bench: Bench) -> None:
    published(bench, RECALLS, QUOTED)
    _, told, err = reproduce(bench)
    (run,) = bench.kept("reproduction")
    assert run.info.status == "FINISHED" and run.data.tags["bench.standin"] == "False"
    assert run.info.run_id in err and bench.client.get_experiment(run.info.experiment_id).name == "reproductions"
    assert json.loads(bench.artifact(run, "table.json").read_text()) == told
    with bench.artifact(run, "table.csv").open(newline="") as stream:
        kept = list(csv.DictReader(stream))
    assert [row["reproduced"] for row in kept] == [
        "" if row["reproduced"] is None else repr(row["reproduced"]) for row in told
    ]
    assert {run.data.tags["bench.method"] for run in bench.kept("row")} == {"toy"}


def test_a_table_for_readers(bench: Bench) -> None:
    published(bench, RECALLS, ELSEWHERE, QUOTED)
    code, out, _ = bench.call("reproduce", "toy", "--data-root", bench.data)
    (run,) = bench.kept("row")
    value, spread = (100 * run.data.metrics[name] for name in ("accuracy", "accuracy_fold_sd"))
    lines = [line for line in out.splitlines() if "All" in line]
    assert code == 0 and "toy, Table I, preset quick" in out and "toy, Fig. 2, preset quick" in out
    assert f"50.00      {value:.2f} [" in lines[0] and f"{value - 50:+.2f}" not in lines[0]
    assert f"{value:.2f} ± {spread:.1f}" in next(line for line in out.splitlines() if "Precision" in line)
    assert "run (ravdess): no difference beside preset quick, a partial copy" in " ".join(out.split())
    assert "quoted" in lines[1] and "toy, Table IV, not run" in out and "people are no method" in out
    assert "corpus absent (crema-d): CREMA-D is not at" in out


def test_an_absent_corpus_costs_the_others_nothing(bench: Bench) -> None:
    published(bench, RECALLS, ELSEWHERE)
    code, told, _ = reproduce(bench, "--table", "I")
    assert code == 0
    assert [row["status"] for row in told] == ["run"] * 5 + ["corpus absent"]
    assert load("datasets", "crema-d").how_to_get in told[-1]["why"] and told[-1]["reproduced"] is None


def test_a_broken_corpus_costs_the_others_nothing(bench: Bench) -> None:
    broken = bench.data / "crema-d/AudioWAV/1001_TAI_HAP_XX.wav"
    broken.parent.mkdir(parents=True)
    broken.write_text("no sound")
    published(bench, RECALLS, ELSEWHERE)
    code, told, _ = reproduce(bench, "--table", "I")
    assert code == 1
    assert [row["status"] for row in told] == ["run"] * 5 + ["cannot be run"]
    assert "1001_TAI_HAP_XX" in told[-1]["why"]


def test_absent_weights_cost_the_rows_that_begin_with_them(bench: Bench) -> None:
    """Those of the other variants are run."""
    published(bench, RECALLS, f"V,Usual,All,ravdess,{HALVES},audio,emotion,accuracy,0.5,usual,\n")
    deep = '        if self.config.inner.depth == 2:\n            return {}\n        return {"ears"'
    again = ('"Table 1")}', '"Table 1"), "usual": Variant(Config(), "audio", "Table 1")}')
    toy(bench.plugins, "toy", BY_HAND, ('        return {"ears"', deep), again)
    nowhere = bench.folder / "weights"
    nowhere.mkdir()
    code, told, _ = reproduce(bench, "--weights", nowhere)
    assert code == 1 and [row["status"] for row in told] == ["cannot be run"] * 7 + ["run"]
    assert all("get it by hand from https://nowhere.invalid/ears.pth" in row["why"] for row in told[:7])


def test_a_failed_cell_leaves_a_blank(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "2")
    published(bench, RECALLS, UNTOLD)
    code, told, _ = reproduce(bench)
    assert code == 1
    assert [row["status"] for row in told] == ["incomplete"] * 7 + ["run"]
    assert all(row["reproduced"] is None and "was meant to fail" in row["why"] for row in told[:7])


def test_a_class_that_a_copy_lacks_leaves_a_blank(bench: Bench) -> None:
    published(bench, RECALLS, RECALLS.splitlines(keepends=True)[2].replace("Angry", "Surprised"))
    code, told, _ = reproduce(bench, "--table", "I")
    assert (code, told[-1]["status"], told[-1]["reproduced"], told[-1]["difference"]) == (0, "no clip", None, None)
    assert [row["status"] for row in told[:-1]] == ["run"] * 5


def test_a_standin_is_said_and_not_compared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "standin", property(lambda corpus: True))
    published(bench, RECALLS)
    code, told, err = reproduce(bench)
    assert code == 0 and "STAND-IN" in err
    assert all(row["standin"] and row["difference"] is None and row["reproduced"] is not None for row in told)
    (run,) = bench.kept("reproduction")
    assert bench.client.get_experiment(run.info.experiment_id).name == "reproductions (STAND-IN)"
    _, out, _ = bench.call("reproduce", "toy", "--data-root", bench.data, "--table", "I")
    assert out.count("STAND-IN of ravdess") == 5


def test_nothing_to_run_is_no_fault(bench: Bench) -> None:
    published(bench, QUOTED, ELSEWHERE)
    code, told, _ = reproduce(bench, "--table", "iv")
    assert (code, [row["status"] for row in told]) == (0, ["quoted"])
    code, out, _ = bench.call("reproduce", "toy", "--data-root", bench.data)
    assert code == 0 and "80.00" in out and "corpus absent" in out
    assert bench.kept("reproduction") == [] and diary() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["toy", "--table", "VII"], "choose from I, Fig. 2"),
        (["nothing"], "no method is called 'nothing'; choose from "),
        (["egemaps-svm"], "has no published numbers"),
        (["toy", "--preset", "slow"], "choose from paper, quick"),
        (["toy", "--device", "tpu"], "choose from auto, cpu, cuda"),
        (["toy", "--seeds", "0"], "at least 1"),
        (["toy", "--data-root", "nowhere"], "no folder nowhere"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], told: str, bench: Bench) -> None:
    published(bench, RECALLS)
    code, out, err = bench.call("reproduce", "--data-root", bench.data, *arguments)
    assert (code, out) == (2, "")
    assert told in err and len(err.strip().splitlines()) == 1


def test_tables_are_found_however_they_are_spelled() -> None:
    every = numbers("hybrid-dbn")
    for spelled, table in (
        ("vi", "VI"),
        ("Table VI", "VI"),
        ("table  vi.", "VI"),
        ("fig 6", "Fig. 6"),
        ("Figure 6", "Fig. 6"),
    ):
        assert {number.table for number in of_table(every, spelled)} == {table}
    assert of_table(every, "") == every


def number(metric: str, row: str = "", column: str = "", **more: Any) -> Number:
    return Number("toy", "I", row, column, "rml", UNSTATED, "audio", "emotion", metric, 0.5, **more)


def scores(seed: int, labels: Sequence[str] = load("datasets", "rml").labels, clips: int = 40) -> Scores:
    generator = np.random.default_rng(seed)
    truth = tuple(generator.choice(labels, clips).tolist())
    ids = tuple(map(str, range(clips)))
    return Scores(tuple(labels), ids, ids, truth, generator.random((clips, len(labels))))


def test_seeds_are_averaged_and_folds_pooled() -> None:
    parts = {(seed, fold): scores(10 * seed + fold) for seed in (0, 1) for fold in (1, 2, 3)}
    results = [Result(Cell(cast(Any, None), seed, ""), part) for (seed, _), part in parts.items()]
    outcome = Outcome(cast(Any, None), cast(Any, None), results, 0, "")
    found, spread = Line(number("recall", "Happy"), "reproduced", "", outcome).values()

    def recall(chosen: Sequence[Scores]) -> float:
        truth = [label for part in chosen for label in part.truth]
        answer = [label for part in chosen for label in part.predicted]
        return float(recall_score(truth, answer, labels=["happiness"], average=None)[0])

    pooled = [recall([part for (at, _), part in parts.items() if at == seed]) for seed in (0, 1)]
    assert found == pytest.approx(np.mean(pooled))
    assert spread == pytest.approx(np.std([recall([part]) for part in parts.values()], ddof=1))


def test_a_class_without_clips_has_no_value() -> None:
    few = scores(1, ("anger", "fear"))
    assert measured(number("recall", "Sadness"), few) is None
    assert measured(number("confusion", "Sadness", "Fear"), few) is None
    assert measured(number("confusion", "Fear", "Sadness"), few) == 0


def test_what_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(PublishedError, match="choose from accuracy, uar"):
        measured(number("kappa"), scores(1))
    with pytest.raises(PublishedError, match="no class Calm or Recall"):
        measured(number("recall", "Recall", "Calm"), scores(1))


@pytest.mark.parametrize("file", sorted(Path(methods.__path__[0]).glob("published/*.csv")), ids=lambda file: file.stem)
def test_every_published_number_means_something(file: Path) -> None:
    """Of those that are run, dataset, protocol, task, variant, modality, metric and class are there."""
    name = file.stem.replace("_", "-")
    assert name in names("methods")
    kind, every = load("methods", name), numbers(name)
    for told in every:
        assert 0 <= told.value <= 1, told
        if told.variant:
            corpus = load("datasets", told.dataset)
            assert told.dataset in names("datasets")
            assert told.protocol == UNSTATED or build("protocols", canonical(told.protocol))
            assert told.task in TASKS and told.modality == kind.variants[told.variant].modality
            labels = corpus.labels if told.task == "emotion" else tuple(set(AVEF_TABLE_2[told.task].values()))
            value = measured(told, scores(1, labels, 200))
            assert value is not None and 0 <= value <= 1
    cells = [(told.table, told.row, told.column, told.dataset, told.protocol, told.task, told.metric) for told in every]
    assert len(cells) == len(set(cells))
