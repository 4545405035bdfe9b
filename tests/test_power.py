"""The gate on people whose answers were kept: egemaps-svm on RAVDESS, 18 actors."""

from pathlib import Path

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from benchmarks import power
from benchmarks.baseline import read
from reports.coverage import ALARMS, CAUGHT, alarms, changed
from reports.gate import DECIDES
from reports.statistics import measure

FILE = Path(__file__).parent / "data" / "egemaps-ravdess.json"
COUNTS = read(FILE).tally.counts


@pytest.mark.parametrize("subjects", power.SIZES)
def test_the_gate_sees_five_points_among_people_whose_answers_were_kept(subjects: int) -> None:
    people, runs = power.stored(COUNTS, subjects), 400
    slack = 3.5 * np.sqrt(ALARMS * (1 - ALARMS) / runs)
    assert alarms(people, DECIDES, runs, 0.0, 0.0) < ALARMS + slack
    assert alarms(people, DECIDES, runs, 0.05, 0.05) < ALARMS + slack
    assert alarms(people, DECIDES, runs, 0.05, 0.0) > CAUGHT[subjects][1] - 3.5 * np.sqrt(0.25 / runs)


def test_people_are_those_that_were_kept_drawn_towards_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = power.stored(1e6 * COUNTS, 5)
    np.testing.assert_allclose(whole.answers, COUNTS / COUNTS.sum(-1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(whole.expected, COUNTS.sum(0) / COUNTS.sum(), atol=1e-4)
    answers, clips = power.stored(COUNTS, 5).draw(3, np.random.default_rng(0))
    assert answers.shape[:2] == clips.shape[:2] == (3, 5)
    assert {tuple(row) for row in clips.reshape(-1, 8)} <= {tuple(row) for row in COUNTS.sum(-1).astype(int)}
    monkeypatch.setattr(power, "LENT", 1e9)
    alike = power.stored(COUNTS, 5).answers
    np.testing.assert_allclose(alike, np.broadcast_to(alike[0], alike.shape), atol=1e-6)


def test_five_points_are_lost_on_average() -> None:
    pairs = list(changed(power.stored(COUNTS, 18), DECIDES, 400, 0.05, 0.5, 0))
    old, new = (measure(np.array(side).sum(1), DECIDES) for side in zip(*pairs, strict=True))
    assert np.mean(old - new) == pytest.approx(0.05, abs=4 * stats.sem(old - new))


def test_the_command_prints_a_line_for_each_size_and_agreement(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(power.main)
    told = CliRunner().invoke(app, [str(FILE), "--runs", "20"])
    rows = [line.split() for line in told.output.splitlines()[3:]]
    assert [row[0] for row in rows] == [size for size in ("8", "18", "24", "43") for _ in range(3)]
    assert all(len(row) == 6 and row[-1].endswith("%") for row in rows)
    assert CliRunner().invoke(app, [str(tmp_path / "nothing.json")]).exit_code == 2
