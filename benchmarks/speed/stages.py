"""`python -m benchmarks.speed.stages FILE run ...`: a command, and beside it, into FILE, where its time went.

A thread looks many times a second at what the command is doing; nothing of the command is changed for it.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType

EVERY = 0.01  # seconds between two looks
UNSEEN = 1.0  # second of a command that may pass between the last look and its end
WORK = ("preparing", "fitting", "predicting")  # what a run is for
RULES = {  # the first that is found among the functions that are at work, the outermost first, tells the stage
    "page": r"benchmarks/common\.py:refresh_leaderboard",
    "imports": r"importlib\._bootstrap>:_find_and_load",
    "preparing": r"benchmarks/prepare\.py:fill",
    "fitting": r"benchmarks/work\.py:_fit_and_test \S+:fit |benchmarks/company\.py:(fitted|_taught) |"
    r"benchmarks/tune\.py:tune ",
    "predicting": r"benchmarks/work\.py:_fit_and_test \S+:predict_proba |benchmarks/predict\.py:predicted ",
    "cost of a Cell": r"benchmarks/cost\.py:",
    "scores and figures": r"benchmarks/scored\.py:write_scores",
    "model saving": r"benchmarks/served\.py:save|benchmarks/work\.py:_fit_and_test \S+:save ",
    "opening the store": r"benchmarks/runs\.py:client",
    "store": r"/mlflow/",
    "corpus": r"benchmarks/arenas\.py:gathered|benchmarks/corpora\.py:opened",
    "planning": r"benchmarks/run\.py:plan ",
}
REST = "rest"


def stage(stack: str) -> str:
    """Of functions as `described` tells them."""
    return next((name for name, rule in RULES.items() if re.search(rule, stack)), REST)


def described(frame: FrameType | None) -> str:
    """Each function as file:name, the outermost first."""
    told = list[str]()
    while frame:
        told.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name} ")
        frame = frame.f_back
    return "".join(reversed(told))


def watched(command: Callable[[], int], every: float = EVERY) -> tuple[int, dict[str, float]]:
    """What a command answers, and the seconds that it spent in each stage."""
    spent, over, here = dict[str, float](), threading.Event(), threading.get_ident()

    def watch() -> None:
        last = time.perf_counter()
        while not over.wait(every):
            found, now = stage(described(sys._current_frames().get(here))), time.perf_counter()
            spent[found] = spent.get(found, 0.0) + now - last
            last = now

    watcher, begun = threading.Thread(target=watch, daemon=True), time.perf_counter()
    watcher.start()
    try:
        code = command()
    finally:
        over.set()
        watcher.join()
    whole, seen = time.perf_counter() - begun, sum(spent.values())
    if whole - seen > UNSEEN:
        raise RuntimeError(f"only {seen:.1f} of {whole:.1f} s were looked at; measure again")
    return code, spent


def outside(spent: Mapping[str, float]) -> float:
    """Share of the time in which nothing was prepared, fitted or predicted."""
    return 1 - sum(spent.get(name, 0.0) for name in WORK) / sum(spent.values())


def longest_first(spent: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Stages, those of the work before the others."""
    yield from sorted(spent.items(), key=lambda one: (one[0] not in WORK, -one[1]))


def main() -> int:
    """The command line of ours, with the file to write into before it."""
    import json

    file = Path(sys.argv.pop(1))

    def command() -> int:
        from benchmarks.__main__ import main as ours

        return ours()

    code, spent = watched(command)
    file.write_text(json.dumps(spent))
    return code


if __name__ == "__main__":
    from benchmarks.litter import process

    process(main)
