"""The regression gate as a user meets it: the same passes, a defect is named, what cannot be compared is refused."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import confusion_matrix, recall_score

from benchmarks import environment
from benchmarks.baseline import MAY_DIFFER, MUST_MATCH, Baseline, BaselineError, read
from benchmarks.engine import Engine
from benchmarks.track import ENVIRONMENT, HELD, Done
from reports.gate import LEVEL, METRICS, judge
from reports.tally import Tally
from tests.tinybench import HALVES, Bench, diary, make_bench, ravdess, spoken, toy  # noqa: F401  a fixture

PEOPLE = 8
LABELS = ["anger", "happiness", "sadness"]
HEADS = "return near / near.sum(axis=1, keepdims=True)"
MUTE = "near[:, :2] = 0; " + HEADS  # everybody is sad
VERSION = ("version = 1", "version = 2")
ERRING = ("np.abs(inputs[:, None] - self", "np.abs(1.1 * inputs[:, None] - self")


@pytest.fixture(name="held")
def make_held(bench: Bench) -> Bench:
    """A bench with eight people and a frozen baseline."""
    ravdess(bench.data, PEOPLE)
    toy(bench.plugins, "toy", ERRING)
    assert regress(bench, "--freeze")[0] == 0
    return bench


def regress(bench: Bench, *more: object, protocol: str = HALVES, file: str = "held.json") -> tuple[int, str, str]:
    words = ("regress", "--method", "toy", "--dataset", "ravdess", "--baseline", bench.folder / file)
    return bench.call(*words, "--protocol", protocol, "--data-root", bench.data, *more)


def answers(bench: Bench) -> list[dict[str, str]]:
    """Of all Cells, from the files that the engine kept."""
    rows: list[dict[str, str]] = []
    for run in bench.kept():
        with bench.artifact(run, "predictions.csv").open(newline="") as stream:
            rows += csv.DictReader(stream)
    return rows


def document(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.folder / "held.json").read_text())
    return found


def test_a_baseline_holds_the_answers_that_were_kept(held: Bench) -> None:
    told, rows = document(held), answers(held)
    assert len(rows) == 3 * PEOPLE and 0.4 < told["scores"]["uar"] < 1
    for person in {row["subject"] for row in rows}:
        own = [row for row in rows if row["subject"] == person]
        counts = confusion_matrix([row["truth"] for row in own], [row["answer"] for row in own], labels=LABELS)
        named = told["counts"].pop(person)
        assert [[named.get(true, {}).get(said, 0) for said in LABELS] for true in LABELS] == counts.tolist()
    assert told["counts"] == {} and told["unit"] == "subject"
    truth, said = [row["truth"] for row in rows], [row["answer"] for row in rows]
    assert told["scores"]["uar"] == pytest.approx(recall_score(truth, said, average="macro"), abs=1e-4)
    (row,) = held.kept("row")
    kept = {cell.data.tags["bench.key"] for cell in held.kept()}
    assert {cell["key"] for cell in told["may_differ"]["cells"]} == kept
    assert told["may_differ"]["environment"] == json.loads(held.artifact(row, ENVIRONMENT).read_text())


def test_the_same_code_passes_and_trains_nothing(held: Bench) -> None:
    code, out, err = regress(held)
    assert code == 0 and "no regression" in out and "different" not in err
    assert len(diary("fit")) == 2
    code, out, _ = regress(held, "--json")
    told = json.loads(out)
    assert (code, told["verdict"], told["fell"], told["different"]) == (0, "no regression", [], [])


def test_a_defect_is_named_with_the_people_and_classes_that_fell(held: Bench) -> None:
    before = answers(held)
    toy(held.plugins, "toy", ERRING, VERSION, (HEADS, MUTE))
    code, out, _ = regress(held, "--json")
    told = json.loads(out)
    now = answers(held)[: 3 * PEOPLE]  # the latest first
    assert code == 1 and told["verdict"] == "regression"
    assert [line for line in told["different"] if line.startswith("version: 1 in the baseline, 2 here")]

    def fell(rows: list[dict[str, str]], key: str, name: str) -> float:
        own = [row for row in rows if row[key] == name]
        here = sorted({row["truth"] for row in own})
        truth, said = [row["truth"] for row in own], [row["answer"] for row in own]
        return float(recall_score(truth, said, labels=here, average="macro", zero_division=0))

    for fall in told["fell"]:
        key = "subject" if fall["what"] == "subject" else "truth"
        old, new = fell(before, key, fall["name"]), fell(now, key, fall["name"])
        assert (fall["before"], fall["now"]) == (pytest.approx(old), pytest.approx(new))
    assert {fall["name"] for fall in told["fell"] if fall["what"] == "class"} == {"anger", "happiness"}
    falls = [fall["change"] for fall in told["fell"] if fall["what"] == "subject"]
    assert falls == sorted(falls) and falls
    code, out, _ = regress(held)
    assert code == 1 and "REGRESSION" in out and "class anger" in out and f"subject {told['fell'][0]['name']}" in out
    assert re.search(r"uar \(decides\).* worse", out)


def test_what_is_tolerated_is_no_regression(held: Bench) -> None:
    toy(held.plugins, "toy", ERRING, VERSION, (HEADS, MUTE))
    assert regress(held, "--tolerance", 100)[0] == 0
    assert regress(held, "--tolerance", 1)[0] == 1
    assert regress(held, "--tolerance", 1, "--metric", "accuracy")[0] == 1
    for wrong in (("--tolerance", -1), ("--tolerance", "nan"), ("--metric", "mood")):
        code, _, err = regress(held, *wrong)
        assert code == 2 and len(err.splitlines()) == 1 and "error" in err


def test_a_better_run_passes(held: Bench) -> None:
    toy(held.plugins, "toy", VERSION)
    code, out, _ = regress(held, "--json")
    told = json.loads(out)
    assert code == 0 and told["changes"]["uar"]["difference"] > 0 and told["fell"] == []


def test_results_of_another_source_are_not_judged(held: Bench) -> None:
    toy(held.plugins, "toy", ERRING, (HEADS, MUTE))  # under the same version
    code, out, err = regress(held)
    assert code == 2 and out == "" and "--fresh runs them again" in err
    assert regress(held, "--fresh")[0] == 1
    code, _, err = regress(held, "--freeze", file="other.json")
    assert code == 0 and (held.folder / "other.json").exists()  # the fresh ones are of this source


def test_results_of_other_code_anywhere_are_not_judged(held: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the engine or a protocol changes nothing of the method's own source."""
    with monkeypatch.context() as patch:
        patch.setattr("benchmarks.engine.code", lambda: "another")
        code, out, err = regress(held)
        assert code == 2 and out == "" and "not of today's code; --fresh" in err and len(diary("fit")) == 2
        assert regress(held, "--freeze", "--force")[0] == 2
    assert regress(held, "--fresh")[0] == 0 and regress(held)[0] == 0
    for run, tag in ((held.kept()[0], "bench.git_code"), (held.kept("row")[0], HELD)):
        held.client.delete_tag(run.info.run_id, tag)  # as kept by an earlier version
    assert regress(held)[0] == 2


def test_a_model_of_other_corpora_by_other_code_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    row = SimpleNamespace(name="toy", source="s")
    initial = SimpleNamespace(row=row, experiment="models", key=lambda seed: f"key {seed}")
    entrant: Any = SimpleNamespace(cells=[SimpleNamespace(seed=0), SimpleNamespace(seed=1)], initials={"a": initial})
    kept = {"key 0": Done("r", {}, "s", environment.code()), "key 1": Done("r", {}, "s", "another")}
    tracker: Any = SimpleNamespace(experiment=str, finished=lambda *_: kept)
    watched: Any = None
    assert Engine(tracker, "cpu", watched)._stale_models(entrant) == 1
    kept["key 0"] = Done("r", {}, "another", environment.code())
    assert Engine(tracker, "cpu", watched)._stale_models(entrant) == 2


@pytest.mark.parametrize("file", ["benchmarks/engine.py", "protocols/base.py", "datasets/scan.py", "reports/gate.py"])
def test_the_digest_is_of_all_our_code(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("benchmarks/environment.py", file):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "benchmarks/environment.py"))
    before = environment.code.__wrapped__()
    assert before == environment.code.__wrapped__()
    (tmp_path / file).write_text("after")
    assert environment.code.__wrapped__() != before


SCARCE = spoken(Path(), 3, "04")


@pytest.mark.parametrize(
    ("more", "protocol", "named"),
    [
        ((), "leave-one-subject-out", "protocol: leave-one-speaker-group-out:groups=2 in the baseline"),
        (("--variant", "deep"), HALVES, "variant: nothing in the baseline, deep here"),
        (("--preset", "paper"), HALVES, "preset: quick in the baseline, paper here"),
        (("--exclude", "names.txt"), HALVES, "corpus: "),
    ],
)
def test_what_cannot_be_compared_is_not_trained(more: tuple[str, ...], protocol: str, named: str, held: Bench) -> None:
    (held.folder / "names.txt").write_text(SCARCE.stem)
    code, out, err = regress(held, *more, protocol=protocol)
    assert (code, out) == (2, "") and named in err.splitlines()[-1]
    assert len(diary("fit")) == 2
    code, out, _ = regress(held, *more, "--json", protocol=protocol)
    told = json.loads(out)
    assert (code, told["verdict"], told["changes"]) == (2, "not comparable", {})
    assert any(named in line for line in told["not_comparable"])


def test_the_same_folds_under_another_name_are_compared(held: Bench) -> None:
    assert regress(held, "--freeze", protocol="leave-one-subject-out", file="alone.json")[0] == 0
    code, _, err = regress(held, protocol=f"subject-k-fold:k={PEOPLE}", file="alone.json")
    assert code == 0 and "different: protocol: leave-one-subject-out in the baseline" in err


def test_settings_may_differ_and_are_told(held: Bench) -> None:
    code, _, err = regress(held, "--set", "scale=3.0", "--seeds", 2)
    assert code == 0
    for told in ("config.scale: 2.0 in the baseline, 3.0 here", "seeds: 1 in the baseline, 2 here", "stamps: "):
        assert f"different: {told}" in err


def test_answers_of_several_seeds_are_averaged(held: Bench) -> None:
    assert regress(held, "--freeze", "--seeds", 3, file="three.json")[0] == 0
    three, one = read(held.folder / "three.json"), read(held.folder / "held.json")
    assert (three.answers, one.answers) == (3, 1)
    assert np.array_equal(three.tally.counts, one.tally.counts)  # the toy has no chance in it
    assert regress(held, file="three.json")[0] == 0
    assert regress(held, "--freeze", "--seeds", 2, file="two.json")[0] == 0  # nothing is trained for that row
    environment = read(held.folder / "two.json").may_differ["environment"]
    assert environment and environment == one.may_differ["environment"]


def test_what_is_incomplete_is_neither_frozen_nor_judged(held: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "3")
    code, out, err = regress(held, "--fresh")
    assert (code, out) == (2, "") and "incomplete: 1 of 2 Cells failed" in err and "was meant to fail" in err
    monkeypatch.setenv("TOY_FAILS_AT", "5")
    code, _, err = regress(held, "--fresh", "--freeze", file="other.json")
    assert code == 2 and "cannot be frozen: incomplete" in err and not (held.folder / "other.json").exists()


def test_a_baseline_is_frozen_over_only_by_force(held: Bench) -> None:
    before = (held.folder / "held.json").read_bytes()
    toy(held.plugins, "toy", VERSION)
    code, _, err = regress(held, "--freeze")
    assert code == 2 and "--force" in err and (held.folder / "held.json").read_bytes() == before
    assert len(diary("fit")) == 2
    code, out, _ = regress(held, "--freeze", "--force", "--json")
    assert code == 0 and json.loads(out)["scores"] == document(held)["scores"]
    assert document(held)["may_differ"]["version"] == 2
    assert regress(held, "--freeze", file="no/where.json")[0] == 2


def test_what_would_be_ignored_is_refused(held: Bench) -> None:
    """Nothing is judged when a file is frozen, and nothing frozen when a run is judged."""
    before = (held.folder / "held.json").read_bytes()
    for wrong, told in (
        (("--freeze", "--force", "--tolerance", 3), "--tolerance"),
        (("--freeze", "--force", "--metric", "accuracy"), "--metric"),
        (("--force",), "give --freeze too"),
    ):
        code, out, err = regress(held, *wrong)
        assert (code, out) == (2, "") and told in err and len(err.splitlines()) == 1
    assert (held.folder / "held.json").read_bytes() == before and len(diary("fit")) == 2


def test_several_methods_or_variants_are_refused(held: Bench) -> None:
    toy(held.plugins, "second")
    call = ("--dataset", "ravdess", "--baseline", held.folder / "held.json", "--data-root", held.data)
    code, _, err = held.call("regress", "--method", "toy,second", *call)
    assert code == 2 and "one method" in err
    code, _, err = held.call("regress", "--method", "second", *call, "--protocol", HALVES)
    assert code == 2 and "method: toy in the baseline, second here" in err


def test_run_judges_the_rows_that_the_file_is_about(held: Bench) -> None:
    toy(held.plugins, "second")
    file = held.folder / "held.json"
    code, rows = held.json("--baseline", file, method="second,toy")
    assert code == 0 and [row["method"] for row in rows if "regression" in row] == ["toy"]
    code, out, err = held.run("--baseline", file, method="second")
    assert (code, out) == (2, "") and "is about toy on ravdess" in err
    toy(held.plugins, "toy", ERRING, VERSION, (HEADS, MUTE))
    code, out, _ = held.run("--baseline", file, method="second,toy")
    assert code == 1 and "REGRESSION" in out and "class anger" in out
    assert held.run("--baseline", file, "--tolerance", 100)[0] == 0
    code, rows = held.json("--baseline", file, protocol="leave-one-subject-out")
    assert code == 2 and rows[0]["complete"] and rows[0]["regression"]["verdict"] == "not comparable"


Edit = Callable[[dict[str, Any]], object]
SOMEBODY = "subject 0001"
WRONG: dict[str, tuple[Edit, str]] = {
    "another format": (lambda told: told.update(format=2), "format is 2"),
    "a missing key": (lambda told: told.pop("unit"), "lacks 'unit'"),
    "a missing fact": (lambda told: told["must_match"].pop("folds"), "must_match lacks 'folds'"),
    "an unknown key": (lambda told: told.update(mood=1), "'mood'"),
    "a wrong kind": (lambda told: told["may_differ"].update(seeds="2"), "seeds in may_differ must be int"),
    "a negative count": (lambda told: told["counts"][SOMEBODY].update(anger={"anger": -1}), "is '-1'"),
    "a huge count": (lambda told: told["counts"][SOMEBODY].update(anger={"anger": 10**15}), "is '1000000000000000'"),
    "half a clip": (lambda told: told["counts"][SOMEBODY].update(anger={"anger": 0.5}), "is '0.5'"),
    "a truth": (lambda told: told["counts"][SOMEBODY].update(anger={"anger": True}), "is 'True'"),
    "no matrix": (lambda told: told["counts"].update({SOMEBODY: [1]}), "'subject 0001' has no counts"),
    "no clips": (
        lambda told: told["counts"].update({SOMEBODY: {"anger": {"anger": 0}}}),
        "'subject 0001' has no clips",
    ),
    "a strange class": (lambda told: told["counts"][SOMEBODY].update(envy={"anger": 1}), "'envy'"),
    "labels doubled": (lambda told: told["must_match"].update(labels=["anger", "anger"]), "labels must be"),
    "too many labels": (
        lambda told: told["must_match"].update(labels=[str(number) for number in range(101)]),
        "101 labels of 4 units are too many",
    ),
    "too many units": (
        lambda told: (
            told["must_match"].update(labels=[str(number) for number in range(100)]),
            told.update(counts=dict.fromkeys(map(str, range(1001)))),
        ),
        "100 labels of 1001 units are too many",
    ),
    "nobody": (lambda told: told.update(counts={}), "counts are empty"),
    "answers to nothing": (lambda told: told.update(answers=0), "answers must be"),
    "edited scores": (lambda told: told["scores"].update(uar=0.99), "the counts come to"),
    "a new person": (lambda told: told["counts"].update(Z={"anger": {"fear": 1}}), "'fear' of 'Z'"),
    "an edited count": (lambda told: told["counts"][SOMEBODY].update(anger={"sadness": 3}), "the counts come to"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    edit, told = WRONG[case]
    changed = json.loads(made(np.tile(np.diag([3, 2, 4]), (4, 1, 1)), "subject", labels=LABELS).text())
    edit(changed)
    refused(tmp_path / "held.json", json.dumps(changed).encode(), told)


NO_JSON = {
    b"not JSON": "cannot be read as JSON",
    b"\xff\xfe{": "cannot be read as JSON",
    b"[]": "names no format",
    b"3": "names no format",
    b'{"format": NaN}': "NaN is no number",
    b'{"format": ' + 5000 * b"9" + b"}": "cannot be read as JSON",
    100_000 * b"[": "cannot be read as JSON",
    b'{"format": 1, "counts": {"01": {}, "01": {}}}': "'01' is there twice",
    11_000_000 * b" ": "11000000 bytes",
}


@pytest.mark.parametrize("number", range(len(NO_JSON)))
def test_a_file_of_something_else_is_refused_in_one_line(number: int, tmp_path: Path) -> None:
    text, told = list(NO_JSON.items())[number]
    refused(tmp_path / "held.json", text, told)


def refused(file: Path, text: bytes, told: str) -> None:
    file.write_bytes(text)
    with pytest.raises(BaselineError) as caught:
        read(file)
    assert told in str(caught.value) and str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 500 + len(str(file))


def test_a_missing_file_is_told_before_anything_is_read(bench: Bench) -> None:
    code, _, err = regress(bench, file="nowhere.json")
    assert code == 2 and "--freeze makes one" in err and diary() == [] and len(err.splitlines()) == 1
    (bench.folder / "held.json").write_text('{"format": 2}')
    code, out, err = regress(bench)
    assert (code, out) == (2, "") and "format is 2" in err and len(err.splitlines()) == 1
    code, _, err = bench.run("--baseline", bench.folder)
    assert code == 2 and len(err.splitlines()) == 1
    code, _, err = bench.run("--tolerance", 3)
    assert code == 2 and "name it with --baseline FILE" in err and diary() == []


def test_edited_counts_are_found_though_the_scores_agree(held: Bench) -> None:
    told = document(held)
    one, two = sorted(told["counts"])[:2]
    told["counts"][one], told["counts"]["Z"] = told["counts"][two], told["counts"].pop(one)
    told["counts"].pop(one)
    (held.folder / "held.json").write_text(json.dumps(told))
    code, _, err = regress(held)
    assert code == 2 and "Z" in err and "edited" in err


def made(counts: npt.NDArray[np.int64], unit: str, answers: int = 1, labels: Sequence[str] = ()) -> Baseline:
    """A baseline of some counts."""
    labels = list(labels or (f"emotion {number}" for number in range(counts.shape[1])))
    match = {name: kind() for name, kind in MUST_MATCH.items()} | {"labels": labels}
    names = tuple(f"{unit} {number:04}" for number in range(len(counts)))
    differ = {name: kind() for name, kind in MAY_DIFFER.items()}
    return Baseline(match, differ, Tally(counts / answers, names, unit), answers)


@pytest.mark.parametrize(("unit", "units", "answers"), [("subject", 43, 1), ("subject", 43, 3), ("clip", 700, 1)])
def test_a_file_is_small_and_read_as_it_was_written(unit: str, units: int, answers: int, tmp_path: Path) -> None:
    random = np.random.default_rng(units)
    size = 90 if unit == "subject" else 1
    counts = random.multinomial(size * answers, np.full(64, 1 / 64), units).reshape(units, 8, 8)
    frozen = made(counts, unit, answers)
    file = tmp_path / "frozen.json"
    file.write_text(frozen.text())
    assert file.stat().st_size < 100_000
    found = read(file)
    assert np.array_equal(found.tally.counts, frozen.tally.counts) and found.tally.names == frozen.tally.names
    assert (found.text(), found.tally.unit) == (frozen.text(), unit)
    changed = counts.copy()
    changed[7] = changed[7].T
    old, new = frozen.text().splitlines(), made(changed, unit, answers).text().splitlines()
    moved = [line for line in {*old} ^ {*new} if "emotion" in line]
    assert 0 < len(moved) <= 16  # a diff shows that person's classes alone


def test_one_metric_decides_and_the_others_are_told() -> None:
    """Half of the rare class lost in everybody: recall on average falls far, accuracy within what is tolerated."""
    old = np.tile(np.diag([40, 2]), (10, 1, 1)).astype(float)
    new = np.tile(np.array([[40, 0], [1, 1]]), (10, 1, 1)).astype(float)
    names = tuple("abcdefghij")
    sides = Tally(old, names, "subject"), Tally(new, names, "subject")
    assert judge(*sides, ["much", "little"], "uar", 0.1).worse
    told = judge(*sides, ["much", "little"], "accuracy", 0.1)
    assert not told.worse and set(told.changes) == set(METRICS)
    assert [(fall.what, fall.name, fall.change) for fall in told.falls if fall.what == "class"] == [
        ("class", "little", -0.5)
    ]
    assert told.changes["uar"][1].p == pytest.approx(0.5**10) and 1 - LEVEL > 0.5**10


def test_another_seed_is_judged_and_told(held: Bench) -> None:
    code, _, err = regress(held, "--first-seed", 4, "--seeds", 2)
    assert code == 0 and "stamps: [] in the baseline, ['seeds from 4'] here" in err
    assert sorted({line.split()[1] for line in diary("fit")}) == ["0", "4", "5"]
    code, out, err = regress(held, "--first-seed", -1)
    assert (code, out) == (2, "") and "--first-seed must be 0 or more, but is -1" in err
