"""Simulations of strong subject effects: the full ones of intervals, shorter ones of the gate.

`python -m reports.coverage` runs them all in full, 4,000 a row.
"""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from reports import coverage, statistics
from reports.coverage import AGREEMENTS, ALARMS, CAUGHT, CORPORA, HELD, LOSSES, NAIVE, Corpus, alarms
from reports.gate import DECIDES, judge
from reports.statistics import Metric, measure
from reports.tally import Tally

NOTE = Path(__file__).parent.parent / "docs" / "regression.md"
RUNS = 4000


@pytest.mark.parametrize(("subjects", "clips"), CORPORA)
@pytest.mark.parametrize("uneven", [False, True])
def test_intervals_hold_the_truth_where_naive_ones_fail(subjects: int, clips: int, uneven: bool) -> None:
    corpus = Corpus(subjects, clips, uneven=uneven)
    assert HELD <= coverage.coverage(corpus, DECIDES, RUNS) < 0.97
    assert coverage.coverage(corpus, DECIDES, 200, unit="clip") < NAIVE


def rate(subjects: int, clips: int, uneven: bool, agreement: float, place: int, runs: int) -> float:
    """Of a cell in the note's table."""
    return alarms(Corpus(subjects, clips, uneven=uneven), DECIDES, runs, *LOSSES[place], agreement=agreement)


@pytest.mark.parametrize(("subjects", "clips"), CORPORA)
@pytest.mark.parametrize("uneven", [False, True])
def test_the_gate_sees_what_the_note_states(subjects: int, clips: int, uneven: bool) -> None:
    """Shares of RUNS and of fewer differ by chance alone: by less than 4 standard errors of a binomial."""
    kind, runs = Corpus(subjects, clips, uneven=uneven).kind, 80
    for agreement, least in zip(AGREEMENTS, CAUGHT[subjects], strict=True):
        (line,) = re.findall(rf"^\| {subjects} \({clips}\) \| {kind} \| {agreement:.0%} \|(.*)\|$".replace("%", " %"),
                             NOTE.read_text(), re.MULTILINE)  # fmt: skip
        stated = [float(share.strip(" %")) / 100 for share in line.split("|")]
        assert max(stated[:2]) <= ALARMS and stated[2] >= least
        for place, share in enumerate(stated):
            slack = 4 * np.sqrt(max(share * (1 - share), 0.01) * (1 / runs + 1 / RUNS)) + 0.005
            assert rate(subjects, clips, uneven, agreement, place, runs) == pytest.approx(share, abs=slack)


def test_the_simulated_gate_decides_as_the_gate_does() -> None:
    corpus, labels = Corpus(8, 90), [str(number) for number in range(coverage.CLASSES)]
    pairs = coverage.changed(corpus, DECIDES, 150, 0.05, 0.5, 0)
    sides = [[Tally(counts, tuple("abcdefgh"), "subject") for counts in pair] for pair in pairs]
    stopped = sum(judge(old, new, labels, DECIDES, 0.02).worse for old, new in sides)
    assert 0 < stopped == round(150 * alarms(corpus, DECIDES, 150, 0.05, 0.02)) < 150


def test_a_tolerated_loss_is_no_alarm_under_any_metric() -> None:
    """Macro F1 falls faster than accuracy where classes are uneven; the simulated loss is of the metric itself."""
    corpus = Corpus(43, 30, uneven=True)
    most = ALARMS + 3.5 * np.sqrt(0.95 * 0.05 / 400)
    for metric in get_args(Metric):
        assert alarms(corpus, metric, 400, loss=0.05, tolerance=0.05) < most
        assert alarms(corpus, metric, 400, loss=0.05, tolerance=0.0) > 0.6


@pytest.mark.parametrize("uneven", [False, True])
def test_simulated_corpora_have_the_truth_that_is_told(uneven: bool) -> None:
    corpus = Corpus(40_000, 30, uneven=uneven)
    random = np.random.default_rng(1)
    answers, clips = corpus.draw(1, random)
    drawn = random.multinomial(clips, answers).sum((0, 1))
    for metric in get_args(Metric):
        assert measure(drawn, metric) == pytest.approx(measure(corpus.expected, metric), abs=0.01)


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_simulated_runs_lose_as_much_as_they_are_told_to(agreement: float) -> None:
    """All pairs pooled; chance moves that by the standard error of their own differences."""
    pairs = list(coverage.changed(Corpus(24, 60, uneven=True), DECIDES, 400, 0.05, agreement, 3))
    old, new = (measure(np.array(side).sum(1), DECIDES) for side in zip(*pairs, strict=True))
    assert np.mean(old - new) == pytest.approx(0.05, abs=4 * stats.sem(old - new))


def test_the_command_fails_where_a_claim_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the normal's quantile in place of Student's t, intervals of 8 subjects are too short."""
    monkeypatch.setattr(coverage, "CORPORA", ((8, 90),))
    monkeypatch.setattr(coverage, "CENTRES", (0.6,))
    monkeypatch.setattr(coverage, "AGREEMENTS", (0.8,))
    monkeypatch.setattr(coverage, "CAUGHT", {8: (0.8,)})
    app = typer.Typer()
    app.command()(coverage.main)
    words = ["--metric", "uar", "--runs", "400"]
    fine = CliRunner().invoke(app, words)
    assert fine.exit_code == 0 and fine.output.endswith("All claims hold.\n"), fine.output
    monkeypatch.setattr(statistics, "stdtrit", lambda freedom, level: stats.norm.ppf(level))
    broken = CliRunner().invoke(app, words)
    assert broken.exit_code == 1 and "DOES NOT HOLD: uar,        8" in broken.output, broken.output
