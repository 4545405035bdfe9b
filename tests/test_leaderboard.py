"""The leaderboard's tables: who is ranked, who never is, what is compared, and files that hold nasty names."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from benchmarks import report
from benchmarks.commands_results import NO_CHAMPION
from benchmarks.papers import Papers
from benchmarks.report import ELSEWHERE, collect
from benchmarks.track import Tracker
from protocols.scores import Scores
from reports import charts, files
from reports import summary as summaries
from reports.comparisons import across, inflations, pairs
from reports.formats import bibtex, comma_separated, cost, latex, markdown
from reports.leaderboard import board
from reports.page import page
from reports.ranking import tables
from reports.results import METRICS, Arena, Asked, CorpusFacts, Facts, Material, MethodFacts, Published, Result
from reports.statistics import measure
from reports.summary import Bin, Step, Summary, answers, read, summarise
from tests.conftest import Run
from tests.manyrows import LABELS, OWN, Made, several, write
from tests.tinybench import Bench, make_bench  # noqa: F401  a fixture

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a & b_c #1 50% $x$ {y} \\z ~^ | `q`",
    "=1+1",
    "-",
)
PLACE = Arena("rml", "emotion", "leave-one-subject-out", False)


def a_summary(right: float = 0.6, seed: int = 0, cells: int = 4) -> Summary:
    random = np.random.default_rng(seed)
    counts = np.array([np.diag(random.binomial(10, right, 3)) for _ in range(6)], dtype=float)
    for matrix in counts:
        for true in range(3):
            matrix[true, (true + 1) % 3] = 10 - matrix[true, true]
    return Summary(("a", "b", "c"), "subject", tuple(f"s{i}" for i in range(6)), counts[None], 180, cells)


def a_result(number: int, right: float = 0.6, **changes: object) -> Result:
    made = Result(
        run_id=f"{number:032x}",
        link="",
        asked=Asked(f"method-{number}", "", "av", "paper", "", ""),
        arena=PLACE,
        material=Material("digest", 180, "180", False, 0, 1 / 3),
        independence="verified",
        planned=4,
        begun=number,
        version="1",
        summary=a_summary(right, number),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def facts(*methods: MethodFacts, corpora: Sequence[CorpusFacts] = ()) -> Facts:
    return Facts("sqlite:///x.db", "today", methods, corpora)


GOOD = a_result(0)
SPOILT: dict[str, dict[str, Any]] = {
    "STAND-IN": {"arena": replace(PLACE, standin=True)},
    "independence of subjects violated": {"independence": "violated"},
    "independence of subjects unknown": {"independence": "unknown"},
    "incomplete": {"planned": 5},
    "partial corpus": {"material": replace(GOOD.material, partial=True)},
    "3 clips excluded by name": {"material": replace(GOOD.material, excluded=3)},
    "another copy of the corpus": {"material": replace(GOOD.material, digest="other", clips=170)},
    "quick": {"asked": replace(GOOD.asked, preset="quick")},
    "imported": {"asked": replace(GOOD.asked, preset="imported")},
    "from scratch": {"asked": replace(GOOD.asked, stamps="weights none")},
    "rate=2": {"asked": replace(GOOD.asked, stamps="rate=2")},
    "preset unknown": {"asked": replace(GOOD.asked, preset="")},
    "cannot be read": {"summary": None, "fault": "cannot be read: gone"},
}


@pytest.mark.parametrize("why", SPOILT)
def test_what_must_not_be_ranked_says_why_and_takes_no_part(why: str) -> None:
    """However good it is: neither a rank, nor a comparison, nor a mean."""
    spoilt = replace(GOOD, **SPOILT[why], run_id="f" * 32)
    honest = [a_result(1, 0.5), a_result(2, 0.4)]
    made = tables([spoilt, *honest])
    (line,) = (line for table in made for line in table.others)
    assert line.result is spoilt and line.rank is None
    assert why in "; ".join(reason.text for reason in line.reasons)
    assert [line.rank for line in made[0].ranked] == [1, 2]
    assert not any(spoilt in (pair.a, pair.b) for pair in pairs(made))
    elsewhere = [replace(one, arena=replace(one.arena, corpus="ravdess")) for one in (spoilt, *honest)]
    (mean,) = across(tables([spoilt, *honest, *elsewhere]), [], facts())
    assert "method-0 av" not in mean.scores.columns and mean.scores.shape == (2, 2)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.1, 0.9), st.sampled_from([None, *SPOILT])), min_size=1, max_size=12))
def test_every_row_is_shown_once_and_ranks_follow_the_score(rows: list[tuple[float, str | None]]) -> None:
    results = [
        replace(a_result(i, right), **(SPOILT[why] if why else {}), run_id=f"{i:032x}")
        for i, (right, why) in enumerate(rows)
    ]
    made = tables(results)
    assert sorted(line.result.run_id for table in made for line in table.lines) == sorted(r.run_id for r in results)
    for table in made:
        scores = [line.result.scores["uar"].estimate for line in table.ranked]
        assert [line.rank for line in table.ranked] == [1 + sum(other > score for other in scores) for score in scores]
        assert all(bool(line.reasons) != bool(line.rank) for line in table.lines)
        assert len({line.result.material.digest for line in table.ranked}) < 2
        assert not any(line.result.material.excluded for line in table.ranked)


def test_substituted_tracks_are_marked_but_ranked() -> None:
    asked = replace(GOOD.asked, stamps="tracked landmarks for mocap", substituted="tracked landmarks for mocap")
    (line,) = tables([replace(GOOD, asked=asked)])[0].ranked
    assert [mark.text for mark in line.marks] == ["tracked landmarks for mocap"]
    both = replace(asked, stamps="rate=2, weights none, tracked landmarks for mocap")
    (line,) = tables([replace(GOOD, asked=both)])[0].others
    assert [reason.text for reason in line.reasons] == ["from scratch: weights none", "rate=2"]


def test_of_rows_of_one_system_the_fullest_then_the_newest_counts() -> None:
    """Not the best: whoever runs often must not win by luck."""
    older, newer = a_result(0, 0.9), replace(a_result(1, 0.5), asked=GOOD.asked)
    fuller = replace(a_result(2, 0.4), asked=GOOD.asked, planned=8, summary=a_summary(0.4, cells=8), begun=-1)
    assert tables([older, newer])[0].ranked[0].result is newer
    (ranked,) = tables([older, newer, fuller])[0].ranked
    assert ranked.result is fuller
    named = replace(a_result(3, 0.4), asked=replace(GOOD.asked, variant="its-defaults"), default=True)
    assert len(tables([replace(older, default=True), named])[0].ranked) == 1


def test_a_newer_version_stands_for_an_older_one_with_more_seeds() -> None:
    """Versions are numbers: the tenth is newer than the ninth."""
    older = replace(a_result(0, 0.9), version="9", planned=8, summary=a_summary(0.9, cells=8), begun=99)
    newer = replace(a_result(1, 0.5), asked=older.asked, version="10")
    (table,) = tables([older, newer])
    assert [line.result for line in table.ranked] == [newer]
    assert [reason.text for line in table.others for reason in line.reasons] == ["older version"]


def test_the_fullest_then_the_newest_copy_of_a_corpus_is_ranked() -> None:
    def of(number: int, digest: str, clips: int) -> Result:
        return replace(a_result(number), material=Material(digest, clips, str(clips), False, 0, 1 / 3))

    full, thin, late = of(0, "full", 180), of(2, "thin", 179), of(1, "late", 180)
    for some, kept in (([full, thin], full), ([full, thin, late], late)):
        (table,) = tables(some)
        assert [line.result for line in table.ranked] == [kept]
        assert {reason.kind for line in table.others for reason in line.reasons} == {"copy"}
    spoilt = replace(of(3, "most", 999), independence="violated")  # its copy is of no account
    assert [line.result for line in tables([full, spoilt])[0].ranked] == [full]


def test_a_mean_is_over_the_same_corpora_or_there_is_none() -> None:
    def on(corpus: str, *methods: int) -> list[Result]:
        arena = replace(PLACE, corpus=corpus)
        return [replace(a_result(n, 0.2 + n / 10), arena=arena) for n in methods]

    assert across(tables([*on("a", 1, 2), *on("b", 3, 4)]), [], facts()) == []
    made = across(tables([*on("a", 1, 2, 3), *on("b", 1, 2), *on("c", 1, 2, 3)]), [], facts())
    found = {(tuple(one.scores.index), tuple(sorted(one.scores.columns))) for one in made}
    assert found == {
        (("a", "b", "c"), ("method-1 av", "method-2 av")),
        (("a", "c"), ("method-1 av", "method-2 av", "method-3 av")),
    }
    assert all(one.ranks.descriptive and one.ranks.reason for one in made)  # two or three corpora prove nothing
    assert not any(one.scores.isna().any(axis=None) for one in made)


def drawn(results: Sequence[Result], folder: Path) -> dict[str, str]:
    """The text of each figure."""
    charts.draw(board(results, facts()), folder)
    return {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.svg")}


def test_figures_are_drawn_again_where_answers_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is run afresh has the same number and as many Cells."""
    before = drawn([GOOD], tmp_path)
    assert drawn([GOOD], tmp_path) == before
    after = drawn([replace(GOOD, summary=a_summary(0.9, 7))], tmp_path)
    assert set(after) == set(before) and all(after[name] != before[name] for name in before)
    saved: list[str] = []
    monkeypatch.setattr(charts, "_save", lambda one, folder: saved.append(one.name))
    drawn([GOOD], tmp_path)
    assert set(saved) == set(before)
    saved.clear()
    monkeypatch.setattr(charts, "DRAWING", charts.DRAWING + 1)
    drawn([replace(GOOD, summary=a_summary(0.9, 7))], tmp_path)
    assert set(saved) == set(before)


def test_a_figure_that_fails_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no half file beside it; what is drawn next time is all that changed."""
    drawn([GOOD], tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.name != charts.INDEX}

    def fails(canvas: object, file: Path, **settings: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", fails)
        with pytest.raises(OSError, match="no space"):
            drawn([replace(GOOD, summary=a_summary(0.9, 7))], tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.name != charts.INDEX} == before
    again = drawn([replace(GOOD, summary=a_summary(0.9, 7))], tmp_path)
    assert all(again[file.stem] != before[file].decode() for file in before if file.suffix == ".svg")


def test_two_that_write_a_file_do_not_meet(tmp_path: Path) -> None:
    """One begins while the other is at it: the last to end is there, whole."""
    file = tmp_path / "index.html"

    def slow(half: Path) -> None:
        half.write_text("slow")
        files.text(file, "fast")
        assert file.read_text() == "fast" and half.read_text() == "slow"

    files.whole(file, slow)
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"] and file.read_text() == "slow"


MARKS = {"quick": "quick", "partial corpus": "partial corpus", "imported": "imported", "from scratch": "from scratch"}
MARKS |= {"incomplete": "incomplete", "rate=2": "changed", "independence of subjects violated": "people on both sides"}


@pytest.mark.parametrize("why", MARKS)
def test_every_figure_of_a_row_says_what_it_is(why: str, tmp_path: Path) -> None:
    texts = drawn([replace(GOOD, **SPOILT[why])], tmp_path)
    assert {name.partition("-")[0] for name in texts} == {"scores", "subjects", "confusion"}
    for text in texts.values():
        assert MARKS[why] in " ".join(re.findall(r">([^<>]+)</text>", text))


def lines(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text(encoding="utf-8"))))


def answered(made: Made) -> Result:
    table = made.answers().rename(columns={"answer": "predicted"})
    asked = Asked(made.method, "", "av", "paper", "", "")
    short = read(made.told())
    return replace(GOOD, asked=asked, summary=short, answers=lambda: table, planned=short.cells)


def test_leakage_is_measured_on_the_clips_of_both_splits() -> None:
    leaking, honest = Made(protocol="random-holdout", skill=0.8), Made(skill=0.5)
    other = replace(answered(leaking), arena=replace(PLACE, protocol="random-holdout"), independence="violated")
    (found,), left_out = inflations([other, answered(honest)], facts())
    both = pd.merge(leaking.answers(), honest.answers(), on="clip", suffixes=("_leak", "_honest"))
    assert found.clips == len(both) == 72 and left_out == []

    def recall(side: str) -> float:
        right = both[f"answer_{side}"] == both["truth_leak"]
        return float(right.groupby(both["truth_leak"]).mean().mean())

    assert found.with_leak == pytest.approx(recall("leak")) and found.without == pytest.approx(recall("honest"))
    assert found.found.difference == pytest.approx(recall("leak") - recall("honest"))
    assert found.found.low is not None and found.found.low < found.found.difference
    assert [mark.kind for mark in replace(found, honest=replace(found.honest, **SPOILT["quick"])).marks] == ["quick"]
    changed = replace(other, asked=replace(other.asked, preset="quick"))
    assert inflations([changed, answered(honest)], facts()) == ([], [])  # not the same method


def seeded(result: Result, seeds: int) -> Result:
    """The same answers by some seeds."""
    table = result.answers() if result.answers else pd.DataFrame()
    whole = pd.concat([table.assign(seed=seed) for seed in range(seeds)])
    return replace(result, answers=lambda: whole, seeds=seeds)


def test_a_leak_is_measured_against_the_like() -> None:
    """As many seeds, about as many folds, then the corpus' own protocol; never what was made elsewhere."""
    leaking = replace(
        answered(Made(protocol="random-holdout", skill=0.8)),
        arena=replace(PLACE, protocol="random-holdout"), independence="violated",
    )  # fmt: skip
    own = [CorpusFacts("rml", "RML", "", "leave-one-subject-out")]
    usual = answered(Made(skill=0.5))
    first, near = (replace(usual, arena=replace(PLACE, protocol=name)) for name in ("a-split", "subject-k-fold:k=5"))
    far = replace(first, planned=40, summary=replace(usual.summary, cells=40) if usual.summary else None)

    def against(*honest: Result) -> list[str]:
        return [one.honest.arena.protocol for one in inflations([leaking, *honest], facts(corpora=own))[0]]

    assert against(first, near, usual) == ["leave-one-subject-out"]
    assert against(far, near) == ["subject-k-fold:k=5"]
    assert against(replace(usual, planned=40), near) == ["subject-k-fold:k=5"]  # of another share of training
    assert against(seeded(usual, 2), near) == ["subject-k-fold:k=5"]
    assert against(seeded(usual, 2)) == []
    for standin in (False, True):
        rows = [replace(one, arena=replace(one.arena, standin=standin)) for one in (leaking, seeded(usual, 2))]
        alone = board(rows, facts(corpora=own))
        assert (alone.uncompared(standin), alone.uncompared(not standin)) == (1, 0)
        assert ("so that none are compared" in page(alone, [])) is not standin
    imported = [replace(one, asked=replace(one.asked, preset="imported")) for one in (leaking, usual)]
    assert inflations(imported, facts(corpora=own)) == ([], [])


@pytest.mark.parametrize("people", [True, False])
def test_a_summary_comes_back_and_tells_what_the_answers_tell(people: bool) -> None:
    """Through JSON: the scores are those of protocols/scores.py, the bins scikit-learn's."""
    told = Made(skill=0.6).answers()
    table = told.assign(subject=told["subject"] if people else "")
    kept = answers(table.to_csv(index=False))
    curve = [[("loss", 1 / (1 + step + cell), step) for step in range(200)] for cell in range(2)]
    cells = [{"parameters": 5.0, "fit_seconds": 1.0, "predict_seconds": 3.0, "test_clips": 6.0}, {"fit_seconds": 2.0}]
    first = summarise(kept, LABELS, cells, curve)
    again = read(json.loads(json.dumps(first.told())))
    assert (again.unit, len(again.names)) == (("subject", 12) if people else ("clip", 0))
    scores = Scores(
        LABELS, tuple(kept["clip"]), tuple([None] * len(kept)), tuple(kept["truth"]),
        kept[[f"p_{label}" for label in LABELS]].to_numpy(),
    )  # fmt: skip
    for metric in METRICS:
        assert measure(again.counts.sum(0), metric) == pytest.approx(getattr(scores, metric))
    right = np.array(scores.truth) == np.array(scores.predicted)
    accuracy, confidence = calibration_curve(right, scores.probabilities.max(1), n_bins=summaries.BINS)
    assert [one.accuracy for one in again.calibration] == pytest.approx(accuracy)
    assert [one.confidence for one in again.calibration] == pytest.approx(confidence)
    assert again.costs == {"fit_seconds": 3.0}  # what only one Cell measured is told of neither
    steps = again.curves["loss"]
    assert (len(steps), steps[0].step, steps[-1].step) == (summaries.POINTS, 0, 199)
    assert steps[0].mean == pytest.approx(0.75) and (steps[0].low, steps[0].high) == (0.5, 1.0)


def test_labels_alone_say_nothing_of_how_sure_they_are() -> None:
    """Told as 0 and 1, they are no claim; one answer that is less than sure is."""
    table = Made(skill=0.6).answers().rename(columns={"answer": "predicted"})
    chances = [f"p_{label}" for label in LABELS]
    hard = table.assign(**{f"p_{label}": (table["predicted"] == label) * 1.0 for label in LABELS})
    assert summarise(hard, LABELS, [{}], []).calibration == ()
    hard.loc[0, chances] = table.loc[0, chances]
    assert sum(one.answers for one in summarise(hard, LABELS, [{}], []).calibration) == len(table)


def nasty() -> tuple[list[Result], Facts]:
    results = [
        replace(
            a_result(number, 0.5 + number / 20),
            asked=Asked(name, name, name, "paper", "", name),
            arena=Arena(name, name, name, False),
            link="javascript:alert(1)",
            published=Published(0.5, name, name, "no", {("a", "b"): 0.5}),
        )
        for number, name in enumerate(NASTY)
    ]
    told = [MethodFacts(name, name, f"{name}, Doe", 2020, name, {name: name}, {name: name}) for name in NASTY]
    return results, facts(
        *told, corpora=[CorpusFacts(name, name, f"{name} & Doe, 2001, doi:10.1/{name}", "") for name in NASTY]
    )


def test_csv_holds_all_rows_and_no_formula() -> None:
    results, told = nasty()
    found = list(csv.DictReader(io.StringIO(comma_separated(board(results, told).tables, told))))
    assert sorted(row["method"].removeprefix("'") for row in found) == sorted(NASTY)
    assert not any(value[:1] in ("=", "+", "@") for row in found for value in row.values())
    by_run = {row["run"]: row for row in found}
    for result in results:
        row = by_run[result.run_id]
        assert float(row["uar"]) == pytest.approx(result.scores["uar"].estimate)
        assert float(row["difference"]) == pytest.approx(result.scores["accuracy"].estimate - 0.5)


def test_latex_is_balanced_and_every_row_has_its_cells() -> None:
    results, told = nasty()
    text = latex(board(results, told).tables, told)
    bare = re.sub(r"\\\\|\\[{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\begin\{(.+?)\}", text).count("tabular") == text.count(r"\end{tabular}") == len(NASTY)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 2 * len(NASTY)
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == 10
        assert not re.findall(r"(?<!\\)[#%_~^<>|]", line.replace("\\\\", ""))
        assert re.findall(r"(?<!\\)\$[^$]*(?<!\\)\$", line) == ["$-$"] * line.count("$-$")


def test_markdown_rows_have_their_cells_and_no_markup() -> None:
    results, told = nasty()
    text = markdown(board(results, told).tables, told)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {12}
    assert not re.search(r"(?<!\\)[<>`]", text)


@pytest.mark.parametrize("unit", ["subject", "clip"])
def test_intervals_by_clip_say_that_they_are_too_narrow(unit: str) -> None:
    """Beside every interval of the row, and of no other."""
    found = replace(GOOD, summary=replace(a_summary(), unit=unit, names=() if unit == "clip" else a_summary().names))
    made = board([found], facts())
    files = {"page": page(made, []), "md": markdown(made.tables, made.facts), "tex": latex(made.tables, made.facts)}
    counted = {name: text.count("by clip: too narrow") for name, text in files.items()}
    several = {"page": len(METRICS) + 1, "md": len(METRICS), "tex": len(METRICS)}  # the page tells UAR's twice
    assert counted == (several if unit == "clip" else dict.fromkeys(several, 0))


def large(number: int) -> Summary:
    """Of 91 people, 8 classes and 6 curves."""
    random = np.random.default_rng(number)
    counts = random.poisson(1.5, (91, 8, 8)).astype(float)
    curve = tuple(Step(10 * step, float(random.random()), 0.0, 1.0) for step in range(60))
    return Summary(
        tuple(f"emotion {n}" for n in range(8)), "subject", tuple(f"person-{n:03}" for n in range(91)), counts[None],
        int(counts.sum()), 4, tuple(Bin(9, n / 10, 0.5) for n in range(10)), {"parameters": 6e7},
        {f"curve {n}": curve for n in range(6)},
    )  # fmt: skip


def test_a_page_of_two_thousand_rows_stays_below_five_megabytes() -> None:
    """Also where figures and reasons take a part of it; what has no pictures is said."""
    some = [large(number) for number in range(3)]
    first = a_result(0, summary=some[0])
    assert first.scores  # as all others share it
    changed = Asked("method", "", "av", "paper", "a setting that somebody tried=2, weights none", "")
    rows = [replace(a_result(n), summary=some[n % 3], asked=changed, link="../" + "x" * 60) for n in range(2000)]
    for row in rows:
        row.__dict__["scores"] = first.scores
    picture = charts.Figure("f", "t", "c", "a", "x" * 900_000, 1, 1)
    made = board(rows, facts())
    text = page(made, [picture])
    detailed = text.count('<details id="d')
    assert len(text.encode()) < 5e6 and 0 < detailed < 100
    assert f"{2000 - detailed} more rows are in the tables, without pictures" in text
    assert len(re.findall("<tr data-method", text)) == 2000
    assert len(set(re.findall('href="#(d[0-9]+)"', text))) == detailed
    assert len(page(made, []).encode()) < 5e6


def test_tables_of_the_page_have_captions_and_full_heads_and_pairs_their_effect() -> None:
    """A hidden caption is told to nobody; an empty head neither."""
    results = [replace(a_result(n, 0.4 + n / 5), arena=replace(PLACE, corpus=c)) for n in range(2) for c in "ab"]
    made = board(results, facts())
    text = page(made, [])
    assert made.across and made.pairs
    assert text.count("<table") == len(re.findall("<caption class=.unseen.>[^<]", text)) + text.count("<h4>Per emotion")
    assert "caption hidden" not in text and not re.search(r"<th[^>]*>\s*</th>", text)
    for found in (pair.found for pair in made.pairs):
        assert found.effect is not None and f"<td>{found.effect:+.2f}</td>" in text
    assert "Holm within each arena" in text
    head, _, _ = latex(made.tables, made.facts).partition("\n")
    assert head.startswith("%") and "[T1]{fontenc}" in head and "booktabs" in head


@pytest.mark.parametrize("seeds", [1, 3])
def test_training_costs_are_of_one_seed(seeds: int) -> None:
    """However many were run: else the careful would look dear."""
    table = Made(skill=0.6).answers().rename(columns={"answer": "predicted"})
    told = pd.concat([table.assign(seed=seed) for seed in range(seeds)])
    cells = [{"fit_seconds": 10.0, "energy_joules": 7.0, "parameters": 5.0, "peak_memory_mb": 3.0}] * (4 * seeds)
    found = replace(GOOD, summary=summarise(told, LABELS, cells, []), planned=4 * seeds)
    costs = {name: cost(found, name) for name in cells[0]}
    assert costs == pytest.approx({"fit_seconds": 40, "energy_joules": 28, "parameters": 5, "peak_memory_mb": 3})


def test_bibtex_is_balanced_with_a_key_each() -> None:
    _, told = nasty()
    text = bibtex(told)
    assert len(re.findall(r"(?m)^@\w+\{[A-Za-z0-9:.-]+,$", text)) == 2 * len(NASTY)
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    plain = bibtex(
        facts(MethodFacts("m", "T", "Doe, Roe & Poe", 2020, "10.1/x"), MethodFacts("n", "T", "Doe et al.", 2020, ""))
    )
    assert "author = {Doe and Roe and Poe}" in plain and "author = {Doe and others}" in plain
    assert "doi = {10.1/x}" in plain and plain.count("doi") == 1


def test_published_numbers_stand_beside_the_same_thing_only(tmp_path: Path) -> None:
    """Against the papers' own tables: hybrid-dbn's DBN on RML is 80.36 %, its Table VI."""
    rows = [Made("hybrid-dbn"), Made("hybrid-dbn", variant="dbn-2"), Made("hybrid-dbn", corpus="ravdess")]
    rows += [Made("hybrid-dbn", protocol="random-holdout", planned=1), Made("unheard-of"), Made(preset="imported")]
    rows += [Made(preset="quick"), Made(tags={"bench.stamps": "rate=2"}), Made("avef", variant="case-2-av")]
    swapped = {"bench.stamps": "faces for mocap", "bench.substituted": "faces for mocap"}
    rows += [Made(tags=swapped), Made(tags=swapped | {"bench.stamps": "rate=2, faces for mocap"})]
    rows += [Made(corpus="baum1s")]
    rows = [replace(row, seed=number) for number, row in enumerate(rows)]
    uri = write(rows, tmp_path)
    found = {result.begun: result for result in collect(Tracker(uri), tmp_path / "out", silent)}
    assert found[0].published and found[0].published.value == pytest.approx(0.8036)
    assert (found[0].published.matches, found[0].default, found[1].default) == ("yes", True, True)
    assert found[0].published == found[1].published
    assert len(found[0].published.confusion) == 36
    assert found[0].difference == pytest.approx(found[0].scores["accuracy"].estimate - 0.8036)
    assert found[3].published and found[3].published.matches == "no"
    assert [found[n].published for n in (2, 4, 5)] == [None] * 3
    assert all(found[n].published for n in (6, 7, 9, 10))
    assert [found[n].difference is None for n in (6, 7, 9, 10)] == [True, True, False, True]  # only what the paper did
    spoilt = replace(found[0], material=replace(found[0].material, excluded=1))
    assert spoilt.difference is None and spoilt.published  # of fewer clips than the paper's
    assert found[11].published and found[11].published.matches.startswith("in doubt: the paper does not list its")
    assert found[8].published and found[8].published.matches.startswith("in doubt: the paper also says")
    assert found[0].published.averaged and found[0].published.over == "folds"
    assert not found[8].published.averaged
    made = board([found[0], found[11]], facts())
    for text in (page(made, []), markdown(made.tables, made.facts), latex(made.tables, made.facts)):
        assert found[0].published.averaged in text and found[11].published.matches in text


@pytest.mark.parametrize(("tag", "experiment"), [("", "rml"), ("True", "rml"), ("False", "rml (STAND-IN)")])
def test_what_does_not_say_that_it_is_real_is_a_stand_in(tag: str, experiment: str) -> None:
    reader = report.Reader(Tracker("sqlite:///none.db"), Path(), Papers())
    tags = {"bench.method": "m", "bench.task": "emotion"} | ({"bench.standin": tag} if tag else {})
    run = SimpleNamespace(
        data=SimpleNamespace(tags=tags, params={}),
        info=SimpleNamespace(run_id="r", start_time=0, artifact_uri="runs/r", experiment_id="1", status="FINISHED"),
    )
    found = reader.result(experiment, run, report.Answered())
    assert found.arena.standin and found.arena.corpus == "rml"
    tags["bench.standin"] = "False"
    assert not reader.result("rml", run, report.Answered()).arena.standin


class _Silent:
    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *facts: object) -> None:
        return None

    def __call__(self, done: int, total: int, now: str = "") -> None:
        return None


def silent(what: str) -> _Silent:
    return _Silent()


def test_a_store_of_everything_becomes_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARENAS", "DETAILS", "ACROSS"):  # one of each figure is enough
        monkeypatch.setattr(charts, name, 1)
    uri = write(several(), tmp_path / "store", {39: 4})
    code, out, err = run("report", "--tracking-uri", uri, "--out", tmp_path / "board", "--json")
    assert code == 0, err
    folder = tmp_path / "board"
    assert json.loads(out)["page"] == str(folder / "index.html")
    rows = lines(folder)
    assert len(rows) == len(several())
    ranked = [row for row in rows if row["rank"]]
    assert {row["corpus"] for row in ranked} == set(OWN)
    assert all(row["standin"] == "False" and row["independence"] == "verified" for row in ranked)
    assert all(bool(row["rank"]) != bool(row["not_ranked_because"]) for row in rows)
    figures = {file.suffix for file in (folder / "figures").iterdir()}
    assert figures == {".png", ".svg", ".json", ".md"}
    assert {file.stem for file in (folder / "figures").glob("*.png")} == {
        f.stem for f in (folder / "figures").glob("*.svg")
    }
    drawn = {file: file.stat().st_mtime_ns for file in (folder / "figures").glob("*.png")}
    assert run("report", "--tracking-uri", uri, "--out", folder)[0] == 0
    assert {file: file.stat().st_mtime_ns for file in drawn} == drawn  # the same results are not drawn again


def test_a_run_ends_with_the_leaderboard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ELSEWHERE)
    code, _, err = bench.run("--seeds", "2")
    assert code == 0 and "leaderboard: leaderboard/index.html" in err
    page = (bench.folder / "leaderboard/index.html").read_text()
    assert "partial corpus: 12 of 1440 clips" in page and "toy" in page
    (row,) = lines(bench.folder / "leaderboard")
    (kept,) = bench.kept("row")
    assert float(row["accuracy"]) == pytest.approx(kept.data.metrics["accuracy"])
    assert (row["folds_done"], row["folds_planned"]) == ("4", "4")
    table = answers(bench.artifact(kept, "answers.csv").read_text())
    assert len(table) == 24 and set(table["seed"]) == {0, 1}
    assert "loss" in read(json.loads(bench.artifact(kept, "summary.json").read_text())).curves
    monkeypatch.setenv(ELSEWHERE, "none")
    assert "leaderboard:" not in bench.run()[2]


def test_rows_that_were_cut_off_or_lost_their_files_are_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "2")
    assert bench.run()[0] == 1
    (row,) = bench.kept("row")
    monkeypatch.delenv("TOY_FAILS_AT")
    assert bench.call("report")[0] == 0
    (told,) = lines(bench.folder / "leaderboard")
    assert "incomplete: 1 of 2 folds" in told["not_ranked_because"] and float(told["accuracy"]) >= 0
    bench.client.set_tag(row.info.run_id, "bench.summary", "0")  # as if it had never been closed
    assert bench.call("report")[0] == 0
    (again,) = lines(bench.folder / "leaderboard")
    assert again == told
    bench.client.set_tag(row.info.run_id, "bench.summary", str(summaries.VERSION))
    for file in (bench.folder / "mlruns").rglob("summary.json"):
        file.unlink()
    code, _, err = bench.call("report")
    assert code == 0 and "Traceback" not in err
    (lost,) = lines(bench.folder / "leaderboard")
    assert "cannot be read" in lost["not_ranked_because"] and lost["accuracy"] == ""
    assert "its summary.json is gone (FileNotFoundError)" in lost["not_ranked_because"]
    assert not any(str(bench.folder) in value for value in lost.values())


def cell(place: list[Any]) -> dict[str, Any]:
    return {"units": [["s", 1, [place]]]}


DAMAGED: dict[str, dict[str, Any]] = {
    "no number": cell([0, 0, float("nan")]),
    "infinite": cell([0, 0, float("inf")]),
    "below 0": cell([0, 0, -1]),
    "out of range": cell([0, 6, 1]),
    "from behind": cell([0, -1, 1]),
    "more than clips": cell([0, 0, 217]),
    "huge": {"units": [["", 10**9, []]], "unit": "clip"},
    "labels": {"labels": [str(number) for number in range(101)]},
    "a label twice": {"labels": ["a", "a"]},
    "costs": {"costs": [1, 2]},
    "a cost": {"costs": {"fit_seconds": float("nan")}},
    "calibration": {"calibration": [[1]]},
    "curves": {"curves": {"loss": [[0, "x", 1, 1]]}},
    "units": {"units": 3},
    "clips": {"clips": "many"},
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_summary_is_one_kind_of_error(what: str) -> None:
    told = Made().told()
    read(told)
    with pytest.raises(summaries.SummaryError):
        read(told | DAMAGED[what])


def test_one_bad_row_does_not_cost_the_others(tmp_path: Path) -> None:
    good = Made(seed=9)
    bad = [Made(seed=number) for number in range(5)]
    odd = Made(seed=5, tags={"bench.cells": "some", "bench.chance": "even", "bench.clips": "nan"})
    uri = write([good, *bad, odd], tmp_path)
    files = [tmp_path / "runs" / f"{number:032x}" / "summary.json" for number in range(1, 6)]
    files[0].write_text(json.dumps(bad[0].told() | cell([0, 0, float("nan")])))
    files[1].write_text(json.dumps(bad[1].told() | cell([0, 9, 1])))
    files[2].write_text(json.dumps(bad[2].told() | {"costs": []}))
    files[3].write_text("[" * 100_000)
    with files[4].open("wb") as stream:
        stream.truncate(summaries.BYTES + 1)
    found = {result.begun: result for result in collect(Tracker(uri), tmp_path / "out", silent)}
    assert found[0].fault == "" and found[0].scores
    assert all("cannot be read" in found[number].fault for number in range(1, 6))
    assert (found[6].fault, found[6].material.chance, found[6].material.clips) == ("", None, 0)


def test_an_empty_table_of_answers_is_told(bench: Bench) -> None:
    assert bench.run()[0] == 0
    (row,) = bench.kept("row")
    bench.client.set_tag(row.info.run_id, "bench.summary", "0")  # read from its Cells
    for file in (bench.folder / "mlruns").rglob("predictions.csv"):
        file.write_text("")
    (found,) = collect(Tracker(bench.uri), bench.folder, silent)
    assert "cannot be read" in found.fault and str(bench.folder) not in found.fault


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_store_is_one_line(there: bool, bench: Bench) -> None:
    address = bench.uri if there else f"sqlite:///{bench.folder / 'none.db'}"
    code, out, err = bench.call("report", "--tracking-uri", address)
    assert (code, out) == (2, "") and "Traceback" not in err
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert "no results are kept" in line and "python -m benchmarks run" in line
    code, out, err = bench.call("promote", "--tracking-uri", address)
    assert code == 0 and NO_CHAMPION in " ".join(out.split()), err
    assert not (bench.folder / "none.db").exists()


def test_other_kinds_of_runs_are_no_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(bench.uri)
    tracker.keep_table("reproductions", "t", {"bench.kind": "reproduction", "bench.method": "toy"}, [{"a": 1}])
    assert bench.call("report")[0] == 2
    bare = tracker.experiment("elsewhere")
    tracker.client.create_run(
        bare, tags={"bench.kind": "row", "bench.preset": "imported", "bench.method": "somebody's"}
    )
    assert bench.call("report")[0] == 0
    (row,) = lines(bench.folder / "leaderboard")
    assert (row["method"], row["corpus"], row["rank"]) == ("somebody's", "elsewhere", "")
    assert row["standin"] == "True"  # it does not say that it is real
    assert "imported" in row["not_ranked_because"] and "unknown" in row["not_ranked_because"]
