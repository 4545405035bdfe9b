"""Rows beside rows in files: pairs, corrected p, differences, intervals and effects; leaks; emotions."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.published import numbers
from benchmarks.report import collect
from benchmarks.track import Tracker
from reports.compared import LEAKS, PAIRS, comma_separated, latex, markdown
from reports.leaderboard import board
from reports.page import page
from reports.results import Facts, Result
from reports.sketch import per_class
from reports.statistics import compare, holm
from tests.manyrows import Made, several, write
from tests.test_leaderboard import NASTY, PLACE, a_result, answered, facts, silent


def leaky() -> list[Result]:
    """A method under two splits, and others that can be ranked beside it, one of a nasty name."""
    leaking = replace(
        answered(Made(protocol="random-holdout", skill=0.8)),
        run_id="e" * 32, arena=replace(PLACE, protocol="random-holdout"), independence="violated",
    )  # fmt: skip
    honest = replace(answered(Made(skill=0.5)), run_id="a" * 32)
    rows = [leaking, honest, *(replace(answered(Made(skill=0.4 + n / 5, seed=n)), run_id=f"{n:032x}") for n in (1, 2))]
    names = ("hybrid-dbn", "hybrid-dbn", NASTY[2], "third")
    return [replace(row, asked=replace(row.asked, method=name)) for row, name in zip(rows, names, strict=True)]


def test_a_table_tells_each_comparison_with_its_effect_and_both_its_p() -> None:
    """Those that the statistics give, pair by pair, corrected within the arena."""
    results = leaky()
    made = board(results, facts())
    rows = list(csv.DictReader(io.StringIO(comma_separated(made.pairs, made.inflations, made.facts))))
    assert [row["kind"] for row in rows] == ["pair"] * 3 + ["leakage"]
    by_run = {result.run_id: result for result in results}
    found = []
    for row in rows[:3]:
        a, b = by_run[row["run_a"]], by_run[row["run_b"]]
        assert a.summary and b.summary
        one = compare(a.summary.counts, b.summary.counts, "uar")
        told = [float(row[name]) for name in ("difference", "low", "high", "p", "effect", "a_better")]
        assert told == pytest.approx([one.difference, one.low, one.high, one.p, one.effect, one.better])
        assert float(row["score_a"]) - float(row["score_b"]) == pytest.approx(one.difference)
        found.append(one.p)
    assert [float(row["p_holm"]) for row in rows[:3]] == pytest.approx(holm(found))
    leak = rows[3]
    assert (leak["run_a"], leak["run_b"], leak["clips"]) == ("e" * 32, "a" * 32, "72")
    assert (leak["protocol_a"], leak["protocol_b"]) == ("random-holdout", "leave-one-subject-out")
    assert float(leak["score_a"]) - float(leak["score_b"]) == pytest.approx(float(leak["difference"]))
    assert leak["effect"] and not leak["p_holm"]


def test_markdown_and_latex_tell_the_same_and_take_no_name_for_markup() -> None:
    made = board(leaky(), facts())
    beside = made.pairs, made.inflations, made.facts
    lines = [line for line in markdown(*beside).splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines}
    assert cells == {len(PAIRS), len(LEAKS)} and not re.search(r"(?<!\\)[<>`]", markdown(*beside))
    text = latex(*beside)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == len(lines) - 2  # no rule of dashes below the two heads
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in body} == {len(PAIRS), len(LEAKS)}
    specified = re.findall(r"\\begin\{tabular\}\{([lrc]+)\}", text)
    assert [len(columns) for columns in specified] == [len(PAIRS), len(LEAKS)]
    bare = re.sub(r"\\\\|\\[{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}") and text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    for one in made.pairs:
        assert one.found.effect is not None
        both = f"{one.found.effect:+.2f}".replace("-", "\N{MINUS SIGN}")
        assert both in markdown(*beside) and both.replace("\N{MINUS SIGN}", "$-$") in text
        assert f"{one.holm:.3g}" in text


def test_nothing_compared_is_an_empty_table_and_no_section() -> None:
    made = board([a_result(0)], facts())
    beside = made.pairs, made.inflations, made.facts
    assert len(comma_separated(*beside).splitlines()) == 1
    assert markdown(*beside) == latex(*beside) == ""


def test_papers_figures_of_an_emotion_stand_beside_ours(tmp_path: Path) -> None:
    """hybrid-dbn's Table VII on RML; not beside another variant, corpus or tracks; subtracted only if comparable."""
    rows = [Made("hybrid-dbn", variant="dbn-2"), Made("hybrid-dbn", variant="dbn-2", preset="quick")]
    rows += [
        Made("hybrid-dbn", variant="fc-1"),
        Made("hybrid-dbn", modality="audio"),
        Made("hybrid-dbn", corpus="ravdess"),
    ]
    uri = write([replace(row, seed=number) for number, row in enumerate(rows)], tmp_path / "store")
    found = {result.begun: result for result in collect(Tracker(uri), tmp_path / "out", silent)}
    table = [one for one in numbers("hybrid-dbn") if (one.dataset, one.metric) == ("rml", "recall") and one.variant]
    papers = {one.row.lower(): one.value for one in table}
    papers = {{"joy": "happiness"}.get(label, label): value for label, value in papers.items()}
    recall = {one.label: one.measures[1] for one in per_class(found[0])}
    assert len(papers) == 6 and {label: told.published for label, told in recall.items()} == papers
    for told in recall.values():
        assert told.value is not None and told.published is not None
        assert told.difference == pytest.approx(told.value - told.published)
    quick = [told for one in per_class(found[1]) for told in one.measures]
    assert all(told.published is not None and told.difference is None for told in quick)
    others = [told.published for number in (2, 3, 4) for one in per_class(found[number]) for told in one.measures]
    assert set(others) == {None}
    text = page(board([found[0]], Facts("", "")), [])
    assert f'<td class="soft">{100 * papers["anger"]:.1f}</td>' in text and "ours, the paper" in text
    assert "ours, the paper" not in page(board([found[4]], Facts("", "")), [])


@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_link_to_a_folder_with_spaces_leads_there(kind: str, tmp_path: Path) -> None:
    """From where the page lies, as a browser reads it: a store is wherever people put it."""
    from urllib.parse import unquote, urljoin, urlsplit

    from benchmarks.address import sqlite_file
    from reports.page import link

    folder = tmp_path / "my results, 100% sure #1"
    uri = write(several()[:1], folder)
    if kind == "file":  # as MLflow writes it for what it is told as a path
        import sqlite3

        with sqlite3.connect(str(sqlite_file(uri))) as base:
            ((at,),) = base.execute("SELECT artifact_uri FROM runs")
            base.execute("UPDATE runs SET artifact_uri = ?", [Path(at).as_uri()])
    out = tmp_path / "the board"
    (result,) = collect(Tracker(uri), out, silent)
    assert result.summary is not None, result.fault
    there = urljoin((out / "index.html").as_uri(), link(result.link))
    assert Path(unquote(urlsplit(there).path)) == folder / "runs" / f"{0:032x}"
