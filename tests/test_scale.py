"""Many rows: what a page of thousands costs grows with the rows and no faster. The clock itself: tests/pagespeed.py."""

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.report import report
from benchmarks.track import SUMMARY, Tracker
from reports import charts, page
from tests.manyrows import many, write
from tests.test_leaderboard import silent

FEW, MORE, LIMIT = 20, 60, 2000
OTHERS = 84  # rows that are ranked or compared, whose number is limited


@pytest.fixture
def pictureless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is limited, whatever that of rows."""
    monkeypatch.setattr(charts, "draw", lambda board, folder: [])
    monkeypatch.setattr(page, "DETAILED", 0)


def built(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Counter[str]]:
    """The bytes of the page of so many rows; how often the store was asked, and which documents were read."""
    uri, asked = write(list(many(OTHERS + count))[OTHERS:], folder / f"store-{count}"), Counter[str]()
    reading = Tracker.text

    def counted(tracker: Tracker, run_id: str, name: str, at: str = "", most: int | None = None) -> str:
        asked[name] += 1
        return reading(tracker, run_id, name, at, most)

    def questioned(*told: object) -> None:
        asked["questions"] += 1

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "text", counted)
        tracker = Tracker(uri)  # to open a store takes some questions of its own
        event.listen(Engine, "before_cursor_execute", questioned)
        try:
            made, rows = report(tracker, folder / f"board-{count}", silent)
        finally:
            event.remove(Engine, "before_cursor_execute", questioned)
    assert len(rows) == count
    return made.stat().st_size, asked


@pytest.mark.usefixtures("pictureless")
def test_the_store_is_asked_as_often_for_many_rows_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each row's document is read once, its answers not at all unless it is compared clip by clip."""
    (small, few), (large, more) = (built(count, tmp_path, monkeypatch) for count in (FEW, MORE))
    assert few["questions"] == more["questions"] < 100
    assert (few[SUMMARY], more[SUMMARY]) == (FEW, MORE)
    assert set(few) == set(more) == {"questions", SUMMARY}
    each = (large - small) / (MORE - FEW)
    assert small + each * (LIMIT - FEW) < page.LARGEST, f"{each:.0f} bytes a row"
