"""What figures say of themselves: of how many, and that they show some of many; and that they fit a column."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports import captions, charts, painting
from reports.comparisons import across
from reports.leaderboard import board
from reports.page import page
from reports.ranking import tables
from reports.summary import Bin, Step
from tests.test_compared import leaky
from tests.test_leaderboard import GOOD, PLACE, a_result, a_summary, facts

SMALL = 7 - 1e-6  # points


def test_a_figure_of_some_rows_says_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = [a_result(n, 0.3 + n / 50) for n in range(20)]
    (table,) = tables(ranked)
    assert "UAR of the best 16 of 20 ranked rows on rml" in captions.scores(table, charts._drawable(table), facts())
    (other,) = tables([replace(one, independence="unknown") for one in ranked])
    shown = charts._drawable(other)
    told = captions.scores(other, shown, facts())
    assert len(shown) == 16 and "16 of 20 rows without a rank" in told and "open: not ranked" in told
    whole = captions.scores(table, list(table.ranked), facts())
    assert "UAR of 20 ranked rows" in whole and "180 clips of 6 subjects" in whole and "33.3 %" in whole


def test_a_caption_tells_seeds_units_and_why_a_row_has_no_rank() -> None:
    twice = a_summary().by_seed.repeat(2, 0)
    nameless = replace(GOOD, summary=replace(a_summary(), unit="clip", names=(), by_seed=twice))
    (table,) = tables([nameless])
    told = captions.scores(table, table.lines, facts())
    assert "people unknown" in told and "over clips" in told and "mean over 2 seeds" in told
    (table,) = tables([replace(GOOD, independence="violated")])
    assert "Not ranked: independence of subjects violated." in captions.confusion(table.lines[0], facts())
    curves = {f"curve {n}": (Step(0, 1.0, 1.0, 1.0), Step(1, 0.0, 0.0, 0.0)) for n in range(8)}
    assert GOOD.summary
    (table,) = tables([replace(GOOD, summary=replace(GOOD.summary, curves=curves))])
    assert "6 of 8 curves" in captions.curves(table.lines[0], facts(), 6)
    elsewhere = [replace(a_result(n), arena=replace(PLACE, corpus=c)) for n in range(3) for c in "ab"]
    (mean,) = across(tables(elsewhere), [], facts())
    told = captions.ranks(mean)
    assert "3 systems over 2 corpora (a, b)" in told and "Descriptive: 2 corpora" in told
    (leak,) = board(leaky(), facts()).inflations
    assert "1 of 3 pairs, 72 clips" in captions.leakage([leak], 3)


def test_captions_are_told_in_words() -> None:
    assert "\nLeaky / (imported) / RML\n" in captions.document("", [("scores-0", "Leaky\n (imported)\nRML", "It.")])
    assert GOOD.summary
    sure = (Bin(180, 0.9, 0.5),)
    (table,) = tables([replace(GOOD, summary=replace(GOOD.summary, calibration=sure))])
    assert "180 answers in 1 bin of confidence" in captions.calibration(table.lines[0], facts())


def test_every_figure_has_its_caption_and_is_legible_in_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each SVG is a column wide at most, and no letter smaller than seven points; the page and a file tell captions."""
    monkeypatch.setattr(charts, "DETAILS", 2)
    monkeypatch.setattr(charts, "ON_PAGE", 1)
    curves = {f"curve {n}": (Step(0, 1.0, 1.0, 1.0), Step(1, 0.5, 0.2, 0.6)) for n in range(7)}
    rows = [replace(a_result(n, 0.4 + n / 9), arena=replace(PLACE, corpus=c)) for n in range(3) for c in ("rml", "b")]
    rows = [replace(row, summary=replace(row.summary, curves=curves)) for row in rows if row.summary]
    made = board([*leaky(), *rows], facts())
    figures = charts.draw(made, tmp_path)
    kinds = {one.name.partition("-")[0] for one in figures}
    assert kinds == {"scores", "subjects", "ranks", "leakage", "confusion", "calibration", "curves"}
    listed = (tmp_path / charts.CAPTIONS).read_text(encoding="utf-8")
    text = page(made, figures, charts.drawn(made))
    for one in figures:
        assert one.caption and one.caption in listed and f"## {one.name}\n" in listed
        root = ET.parse(tmp_path / f"{one.name}.svg").getroot()
        assert float(root.attrib["width"].removesuffix("pt")) <= 72 * charts.COLUMN + 1e-6
        drawn = (tmp_path / f"{one.name}.svg").read_text(encoding="utf-8")
        sizes = re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", drawn)
        assert sizes and min(map(float, sizes)) >= SMALL, one.name
    assert "2 of 10 rows, in detail" in listed and "2 of 10 rows, in detail" in text
    assert sum(bool(one.image) for one in figures) < len(figures)


@pytest.mark.parametrize("people", [8, 24, 43])
def test_no_subject_hides_another(people: int) -> None:
    """Whoever is within a dot's width of another stands above or below; dots stay in their row."""
    values = np.sort(np.random.default_rng(people).normal(60, 12, people)).round(1)
    values[1] = values[0]
    moved = painting._apart(values)
    across, up = abs(values[:, None] - values), abs(moved[:, None] - moved)
    close = (across < painting.WIDE) & (up < 0.1)
    assert (close == np.eye(people, dtype=bool)).all() and abs(moved).max() < 0.5
    order = np.random.default_rng(0).permutation(people)
    assert sorted(zip(values[order], painting._apart(values[order]), strict=True)) == sorted(
        zip(values, moved, strict=True)
    )
