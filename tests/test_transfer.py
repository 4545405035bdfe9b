"""Fits that begin with a model of other corpora: where it comes from, what may not be in it, what is said of it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.tinybench import EMOTIONS, HALVES, Bench, diary, make_bench, noise, spoken, toy, wav  # noqa: F401  a fixture

CREMA_D = ("HAP", "SAD", "ANG")
SOURCES = (
    (
        "from methods.base import Method, MethodError, Paper, Variant",
        "from methods.base import *\nfrom methods.base import Source",
    ),
    ("    scale: float = 1.0\n", "    scale: float = 1.0\n    taught_by: tuple[str, ...] = ()\n"),
    (
        "    def frozen(self, weights):",
        """    def sources(self):
        return {"toy": Source(self.config.taught_by, Config(self.config.rate), "audio")}

    def frozen(self, weights):""",
    ),
    (
        "        for epoch in range(3):",
        """        for name, folder in run.initial.items():
            note(f"initial {run.seed} {name} {np.load(folder / 'means.npy').round(3).tolist()}")
        for epoch in range(3):""",
    ),
)
AS_PUBLISHED = ("    taught_by: tuple[str, ...] = ()", '    taught_by: tuple[str, ...] = ("crema-d", "ravdess")')


def crema_d(root: Path, people: int = 2, shift: int = 7) -> None:
    for person in range(people):
        for code, emotion in zip(CREMA_D, EMOTIONS, strict=True):
            wav(root / f"crema-d/AudioWAV/{1001 + person}_DFA_{code}_XX.wav", noise(shift + person, emotion))


def afew(root: Path) -> None:
    for split, number in (("Train", 1), ("Val", 2)):
        for place, emotion in enumerate(("Happy", "Sad", "Angry")):
            name = f"{number}{place}0046280.avi"
            wav(root / f"afew/{split}_AFEW/{emotion}/{name}", noise(10 * number + place))


@pytest.fixture(name="two")
def make_two(bench: Bench) -> Bench:
    """A bench whose toy can begin with another corpus, and with one to begin with."""
    toy(bench.plugins, "toy", *SOURCES)
    crema_d(bench.data)
    return bench


def test_every_fit_begins_with_the_one_model_of_the_other_corpus(two: Bench) -> None:
    code, (told,) = two.json("--pretrain-on", "crema-d")
    assert code == 0
    assert told["initial"] == {"toy": ["crema-d"]}
    assert told["stamps"] == ["pretrain-on crema-d"]
    assert told["independence"] == "verified"
    assert [line.split()[3] for line in diary("fit")] == ["6", "6", "6"]  # all of CREMA-D, then two halves
    assert len(set(diary("initial"))) == 1
    assert len(diary("initial")) == 2
    (model,) = two.kept("initial")
    facts = json.loads(two.artifact(model, "cell.json").read_text())
    (source,) = facts["corpora"]
    assert (source["name"], source["subjects"], len(source["media"])) == ("crema-d", ["1001", "1002"], 6)
    assert not {*source["media"]} & {digest for run in two.kept() for digest in _media(two, run)}


def _media(bench: Bench, run: object) -> list[str]:
    told = json.loads(bench.artifact(run, "cell.json").read_text())
    return [*told["train"], *told["test"]]


def test_what_pretrain_made_is_not_made_again(two: Bench) -> None:
    code, out, _ = two.call("pretrain", "toy", "--on", "crema-d", "--data-root", two.data, "--json")
    (told,) = json.loads(out)
    assert (code, told["corpora"], told["clips"], told["subjects"]) == (0, ["crema-d"], 6, 2)
    assert len(diary("fit")) == 1
    two.run("--pretrain-on", "crema-d")
    assert len(diary("fit")) == 3
    two.run("--pretrain-on", "crema-d")
    assert len(diary("fit")) == 3
    assert [run.info.run_id for run in two.kept("initial")] == [told["run_id"]]
    two.call("pretrain", "toy", "--on", "crema-d", "--data-root", two.data, "--fresh")
    assert len(diary("fit")) == 4
    assert sum("bench.superseded" in run.data.tags for run in two.kept("initial")) == 1


def test_each_seed_has_a_model_and_a_key_of_its_own(two: Bench) -> None:
    two.run("--pretrain-on", "crema-d", "--seeds", "2")
    assert sorted(run.data.tags["bench.seed"] for run in two.kept("initial")) == ["0", "1"]
    with_model = {run.data.tags["bench.key"] for run in two.kept()}
    two.run("--pretrain-on", "none", "--seeds", "2")
    assert len({run.data.tags["bench.key"] for run in two.kept()} - with_model) == len(with_model) == 4


def test_the_corpora_of_the_paper_without_the_one_that_is_run_on(two: Bench) -> None:
    toy(two.plugins, "toy", *SOURCES, AS_PUBLISHED)
    code, (told,) = two.json("--preset", "paper")
    assert (code, told["initial"], told["stamps"]) == (0, {"toy": ["crema-d"]}, [])
    code, (named,) = two.json("--preset", "paper", "--pretrain-on", "crema-d")  # by name they are the same row
    assert (code, named["run_id"], named["stamps"]) == (0, told["run_id"], [])
    code, (told,) = two.json("--preset", "paper", "--pretrain-on", "none")
    assert (code, told["initial"], told["stamps"]) == (0, {}, ["pretrain-on none"])
    assert len(diary("initial")) == 2


def test_a_source_that_is_not_there_is_one_line_that_names_both_ways_out(two: Bench) -> None:
    toy(two.plugins, "toy", *SOURCES, AS_PUBLISHED)
    shutil.rmtree(two.data / "crema-d")
    code, _, err = two.run("--preset", "paper")
    assert code == 2
    assert "CREMA-D is not at" in err
    assert "--pretrain-on none" in err
    assert not two.kept("row")


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ("ravdess", "ravdess is what is tested on; leave it out of --pretrain-on"),
        ("crema-d,ravdess", "ravdess is what is tested on"),
        ("kuleshov", "no dataset is called 'kuleshov'"),
    ],
)
def test_the_target_or_an_unknown_corpus_among_the_sources_is_refused(two: Bench, on: str, told: str) -> None:
    code, _, err = two.run("--pretrain-on", on)
    assert (code, told in err) == (2, True)
    assert not diary("fit")


def test_a_method_that_begins_with_nothing_else(two: Bench) -> None:
    toy(two.plugins, "other")
    code, _, err = two.run("--pretrain-on", "crema-d", method="other")
    assert (code, "other begins with no other corpus; leave --pretrain-on out" in err) == (2, True)
    assert two.run("--pretrain-on", "none", method="other")[0] == 0  # it does so anyway
    code, _, err = two.call("pretrain", "other", "--on", "crema-d", "--data-root", two.data)
    assert (code, "other begins with no other corpus" in err) == (2, True)
    code, _, err = two.call("pretrain", "toy", "--on", "none", "--data-root", two.data)
    assert (code, "--on must name a corpus" in err) == (2, True)


@pytest.mark.parametrize("recoded", [False, True])
def test_a_recording_of_the_target_under_another_name_is_refused(two: Bench, recoded: bool) -> None:
    stolen, name = spoken(two.data, 3, "04"), two.data / "crema-d/AudioWAV/1002_IEO_SAD_HI.wav"
    if recoded:
        wav(name, noise(304, "04"))
        name.write_bytes(name.read_bytes() + b"LIST\x04\x00\x00\x00told")  # the same sound in another file
    else:
        shutil.copy(stolen, name)
    code, _, err = two.run("--pretrain-on", "crema-d")
    assert code == 2
    assert "1002_IEO_SAD_HI of crema-d is the same recording as" in err
    assert not diary("fit")


def test_faces_without_names_leave_independence_unknown_and_their_test_set_unseen(two: Bench) -> None:
    afew(two.data)
    code, (told,) = two.json("--pretrain-on", "afew,crema-d")
    assert (code, told["independence"]) == (0, "unknown")
    assert "identities in afew unknown" in told["stamps"]
    assert diary("fit")[0].split()[3] == str(3 + 6)  # the training split of AFEW, all of CREMA-D
    assert {run.data.tags["bench.independence"] for run in two.kept()} == {"unknown"}
    code, (told,) = two.json("--pretrain-on", "crema-d")
    assert told["independence"] == "verified"


def test_a_model_that_cannot_be_made_fails_the_folds_and_says_why(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PREPARE", "package")
    assert two.run("--pretrain-on", "crema-d")[0] == 1
    monkeypatch.delenv("TOY_PREPARE")
    monkeypatch.setenv("TOY_FAILS_AT", "1")
    code, (told,) = two.json("--pretrain-on", "crema-d")
    assert code == 1
    assert all("learnt from crema-d" in why and "meant to fail" in why for why in told["failures"].values())
    assert two.statuses("initial") == ["FAILED"]
    monkeypatch.delenv("TOY_FAILS_AT")
    assert two.json("--pretrain-on", "crema-d")[0] == 0


def test_prepare_fills_the_sources_too(two: Bench) -> None:
    code, _, _ = two.call(
        "prepare", "--method", "toy", "--dataset", "ravdess", "--pretrain-on", "crema-d", "--data-root", two.data
    )
    assert code == 0
    assert len(diary("prepare")) == 12 + 6
    two.run("--pretrain-on", "crema-d", protocol=HALVES)
    assert len(diary("prepare")) == 12 + 6
