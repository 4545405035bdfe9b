"""By hand: does a film of an hour need no more memory than one of ten minutes? `python -m tests.hour FOLDER [METHOD]`

Every method, or those with commas between, learns for an epoch from a few clips of the stand-in of BAUM-1s (quick).
Then `predict` answers for two films of what a clip shows, kept in FOLDER, each in a process of its own; a window every
so many seconds. Exit code 1 if any method's peak grows by more than LIMIT. Some ten minutes for all methods.
"""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.console import unshown
from benchmarks.placing import most_held
from benchmarks.run import Request, plan
from benchmarks.speed.media import looped
from benchmarks.speed.predicting import Ready, taught
from benchmarks.track import Tracker

SHORT, LONG = 10, 60  # minutes
EVERY = 15.0  # seconds from window to window
PICTURES = 4  # a second
LIMIT = 16.0  # megabytes that one process may hold more than another; fifty minutes' decoded sound would be 190


def asked(words: list[str]) -> tuple[int, dict[str, Any], float]:
    """What the command line answers in this process, and the megabytes that it held at most."""
    from benchmarks.__main__ import main

    sys.argv, out = ["benchmarks", *words], StringIO()
    with redirect_stdout(out):
        code = main()
    return code, json.loads(out.getvalue() or "{}"), most_held() / 2**20


def film(ready: Ready, minutes: int, folder: Path) -> Path:
    """One that is there is used again."""
    file = folder / f"{minutes}-minutes.avi"
    if not file.exists():
        looped(ready.arena.clips[0].media, beside := file.with_suffix(".part.avi"), 60.0 * minutes, PICTURES)
        beside.rename(file)
    return file


def peaks(ready: Ready, tracker: Tracker, folder: Path) -> list[float]:
    """Megabytes for the short film and for the long one."""
    run, found = ready.keep(tracker), []
    for minutes in (SHORT, LONG):
        words = ["predict", str(film(ready, minutes, folder)), "--run", run, "--tracking-uri", tracker.uri, "--json"]
        begun = time.perf_counter()
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            code, told, megabytes = pool.submit(asked, [*words, "--step", str(EVERY)]).result()
        if code:
            raise SystemExit(f"predict with {ready.row.name} failed")
        windows, taken = len(told["clips"][0]["windows"]), time.perf_counter() - begun
        print(f"{ready.row.name}: {minutes} minutes, {windows} windows, {taken:.0f} s, {megabytes:.0f} MB", flush=True)  # noqa: T201
        found.append(megabytes)
    return found


def main(folder: Path, method: str = "all") -> int:
    """0: the peak of no method grows."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = plan(Request(method, "baum1s", preset="quick", weights="none", pretrain_on="none"), unshown)
    grown = dict[str, float]()
    for row, arena in planned.rows:
        with TemporaryDirectory() as beside:
            tracker = Tracker(f"sqlite:///{beside}/results.db")
            short, long = peaks(taught(row, arena, planned.device, Path(beside)), tracker, folder)
        grown[row.name] = long - short
    for name, megabytes in grown.items():
        print(f"{name}: {megabytes:+.1f} MB{'' if megabytes <= LIMIT else ', which is too much'}")  # noqa: T201
    return int(max(grown.values()) > LIMIT)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
