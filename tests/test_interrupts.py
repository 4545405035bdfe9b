"""Ctrl-C, and being asked to end: within seconds, with one line that says what there is, and nothing left running."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.servers import PATIENCE, until
from tests.test_claims import rival
from tests.tinybench import Bench, diary, make_bench  # noqa: F401  a fixture


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_interrupted_ends_in_order_and_says_what_there_is(
    how: signal.Signals, code: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SLEEPS_FROM", "3")
    process = rival(bench)
    until(lambda: diary("asleep") or process.poll() is not None)
    begun = time.monotonic()
    process.send_signal(how)
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < 300  # seconds, of the 600 that the toy sleeps
    assert (process.returncode, out) == (code, ""), err
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert "2 of 4 Cells are finished and kept" in line and "the same command goes on" in line
    assert "Traceback" not in err
    assert bench.statuses() == ["FINISHED", "FINISHED", "KILLED"] and bench.statuses("row") == ["KILLED"]
    cache = bench.folder / "cache"
    assert not [file for file in cache.rglob("*") if re.search(r"^\.|\.\d+$", file.name)]
    assert not list((cache / "spool").iterdir()) and not list(Path(bench.folder).glob(".benchmarks"))
    monkeypatch.delenv("TOY_SLEEPS_FROM")
    _, (told,) = bench.json(protocol="leave-one-subject-out")
    assert (told["trained_now"], told["complete"]) == (2, True)


def test_who_is_interrupted_after_a_cell_was_kept_keeps_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its last act and the next Cell."""
    from benchmarks.checkpoints import OnDisk

    def interrupted(self: OnDisk) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(OnDisk, "discard", interrupted)
        assert bench.run()[0] == 130
    assert bench.statuses() == ["FINISHED"]
    _, (told,) = bench.json()
    assert (told["trained_now"], told["complete"]) == (1, True)
