"""Tuned rows on the leaderboard: systems of their own, beside the same untuned, and apart from a paper's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports import charts
from reports.leaderboard import board
from reports.page import page
from reports.ranking import tables
from reports.results import Published
from reports.statistics import compare
from reports.studies import Tuning, read
from reports.tuning import history, importances, tunings
from tests.test_leaderboard import a_result, a_summary, facts

PLAIN = a_result(0, 0.5, published=Published(0.6, "Table I", "leave-one-subject-out", "yes"))


def study(fold: str, values: Sequence[float | None], shares: Mapping[str, float]) -> dict[str, Any]:
    """`None`: failed; negative: pruned at that value."""
    states = ["FAIL" if value is None else "PRUNED" if value < 0 else "COMPLETE" for value in values]
    told = [None if value is None else abs(value) for value in values]
    ended = [value for value, state in zip(told, states, strict=True) if state == "COMPLETE" and value is not None]
    return {
        "fold": fold,
        "trials": [{"state": state, "value": value} for state, value in zip(states, told, strict=True)],
        "default": told[0],
        "value": max(ended),
        "params": {"rate": 0.1},
        "importances": shares,
    }


FOUND = [
    study("one", [0.4, None, 0.6, -0.9], {"rate": 0.8, "depth": 0.2}),
    study("two", [0.2, 0.3, 0.1], {"rate": 0.4}),
]


def tuned(number: int, **changes: Any) -> Any:
    asked = replace(PLAIN.asked, stamps="tuned 4")
    more: dict[str, Any] = {
        "asked": asked,
        "tuning": read(FOUND),
        "summary": a_summary(0.7, 1),
        "published": PLAIN.published,
    } | changes
    return a_result(number, **more)


def test_history_and_importances() -> None:
    """The best of what ended by then, over the folds; the shares' mean."""
    found = read(FOUND)
    points = history(found)
    assert [point.trial for point in points] == [0, 1, 2, 3]
    assert [point.mean for point in points] == pytest.approx([0.3, 0.35, 0.45, 0.45])
    assert [(point.low, point.high) for point in points] == [(0.2, 0.4), (0.3, 0.4), (0.3, 0.6), (0.3, 0.6)]
    assert dict(importances(found)) == pytest.approx({"rate": 0.6, "depth": 0.2})
    assert [name for name, _ in importances(found)] == ["rate", "depth"]
    assert found.default == pytest.approx(0.3)
    assert [found.count(state) for state in ("COMPLETE", "PRUNED", "FAIL")] == [5, 1, 1]
    assert read([study("one", [None, 0.5], {})]).default is None
    assert history(Tuning(())) == []


def test_a_tuned_row_is_ranked_as_a_system_of_its_own_and_takes_no_published_number() -> None:
    (table,) = tables([PLAIN, tuned(1)])
    assert [line.result.title for line in table.ranked] == ["method-0 av tuned 4", "method-0 av"]
    assert [mark.text for mark in table.ranked[0].marks] == ["tuned 4"]
    assert PLAIN.difference is not None and tuned(1).difference is None


def test_settings_found_on_who_is_tested_are_never_ranked() -> None:
    stamps = "rate=0.1, tuned_on_test_subjects"
    (table,) = tables([PLAIN, a_result(1, 0.99, asked=replace(PLAIN.asked, stamps=stamps))])
    assert [line.result.run_id for line in table.ranked] == [PLAIN.run_id]
    assert {reason.kind for reason in table.others[0].reasons} == {"tuned_on_test_subjects", "changed"}


def test_the_difference_is_from_the_same_row_untuned() -> None:
    older = replace(PLAIN, run_id="older", begun=-1, summary=a_summary(0.2, 3))
    others = [
        replace(PLAIN, run_id="changed", asked=replace(PLAIN.asked, stamps="rate=2")),
        replace(PLAIN, run_id="version", version="2", begun=9),
        replace(PLAIN, run_id="incomplete", planned=9, begun=9),
        replace(PLAIN, run_id="variant", asked=replace(PLAIN.asked, variant="other"), begun=9),
    ]
    (one,) = tunings(tables([older, PLAIN, *others, tuned(1)]))
    assert one.untuned is PLAIN and one.found and one.result.summary and PLAIN.summary
    expected = compare(one.result.summary.counts, PLAIN.summary.counts, "uar")
    assert (one.found.difference, one.found.low, one.found.high) == (expected.difference, expected.low, expected.high)
    (alone,) = tunings(tables([*others, tuned(1)]))
    assert alone.untuned is None and alone.found is None


@pytest.mark.parametrize("standin", [False, True])
def test_the_page_and_a_figure_show_it(standin: bool, tmp_path: Path) -> None:
    arena = replace(PLAIN.arena, standin=standin)
    made = board([replace(PLAIN, arena=arena), tuned(1, arena=arena)], facts())
    names = {one.name for one in charts.draw(made, tmp_path)}
    assert "tuning-0" in names and (tmp_path / "tuning-0.svg").stat().st_size > 1000
    text = page(made, [])
    section = text.split('id="tuning"')[1].split("</section>")[0]
    assert "5 ended, 1 pruned, 1 failed in 2 folds" in section and "rate 60.0 %, depth 20.0 %" in section
    assert ("STAND-IN" in section) is standin
    assert f"{100 * made.tunings[0].found.difference:+.1f}" in section if made.tunings[0].found else False
    assert 'id="tuning"' not in page(board([PLAIN], facts()), [])


@pytest.mark.parametrize(
    "spoilt", [{"value": float("nan")}, {"value": None}, {"trials": 3}, {"trials": [{}]}, {"params": None}]
)
def test_what_is_no_study_is_refused(spoilt: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read([{**FOUND[0], **spoilt}])
