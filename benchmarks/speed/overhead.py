"""What the command line itself costs: its start, and a run of which everything is prepared, stage by stage."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.console import Progress
from benchmarks.report import ELSEWHERE
from benchmarks.speed.measure import Measure
from benchmarks.speed.stages import WORK, longest_first, outside
from benchmarks.track import Tracker
from datasets.clips import UserError

METHODS = "vgg16-gru,egemaps-svm"  # sound and picture by gradient; sound by a support vector machine
TIMES = 3  # the best counts
BEFORE = "starting and ending Python"


class OverheadError(UserError):
    """A command that was to be timed failed."""


def measures(dataset: str, data_root: Path | None, device: str, progress: Progress) -> Iterator[Measure]:
    """In a store of its own, which is there before, and with a page of its own."""
    with progress("overhead") as advance, TemporaryDirectory() as folder:
        advance(0, 4, "--help")
        yield Measure("overhead", "--help", min(_timed(["--help"]) for _ in range(TIMES)))
        where = ["--method", METHODS, "--dataset", dataset, "--preset", "quick", "--device", device]
        where += ["--data-root", str(data_root)] if data_root else []
        advance(1, 4, "preparing what is not prepared")
        _timed(["prepare", *where])
        store = f"sqlite:///{folder}/results.db"
        Tracker(store).experiment("speed")
        run = ["run", *where, "--tracking-uri", store]
        for number, what in enumerate(("run, all prepared", "the same again, finished"), start=2):
            advance(number, 4, what)
            yield from staged(what, run, Path(folder))


def staged(what: str, words: Sequence[str], folder: Path) -> Iterator[Measure]:
    """The whole, and each of its stages."""
    file = folder / "stages.json"
    whole = _timed(words, ("benchmarks.speed.stages", str(file)), {ELSEWHERE: str(folder / "leaderboard")})
    spent: Mapping[str, float] = json.loads(file.read_text())
    spent = dict(spent) | {BEFORE: max(0.0, whole - sum(spent.values()))}
    share = f"{outside(spent):.1%} outside {', '.join(WORK)}"
    yield Measure("overhead", what, whole, note=share)
    for name, seconds in longest_first(spent):
        yield Measure("overhead", f"{what}: {name}", seconds, note=f"{seconds / whole:.1%}")


def _timed(
    words: Sequence[str], module: Sequence[str] = ("benchmarks",), more: Mapping[str, str] | None = None
) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-m", *module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(more or {})})  # noqa: S603
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it said nothing"]
        raise OverheadError(f"{' '.join(words)} failed: {told[-1]}")
    return time.perf_counter() - begun
