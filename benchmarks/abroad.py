"""What processes elsewhere are at, as far as a server of results tells: for machines that share nothing else.

Claims (benchmarks/claims.py) are seen by all that share a cache. Here a Cell's own run is the claim: who has begun one
looks who else has, and the one whose run has the lower number stays, unless another has settled before. A heartbeat is
a number that grows; times are never compared between machines.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.claims import PATIENCE, PAUSE
from benchmarks.processes import PROCESS, ended, own
from benchmarks.reach import AwayError

if TYPE_CHECKING:
    from benchmarks.track import Tracker

BEAT = 15.0  # seconds between two signs of life
ALIVE, SETTLED = "bench.beat", "bench.settled"  # tags of a run that is open
OPENING = "bench.opening"  # the tag of a row as long as another process may have begun it too


def first(rows: Iterable[Any]) -> str:
    """Of a row's runs the one that counts; empty if there is none yet."""
    sure = ((run.info.start_time, str(run.info.run_id)) for run in rows if OPENING not in run.data.tags)
    return min(sure, default=(0, ""))[1]


class BusyError(Exception):
    """Another process is at it; nothing was done here."""


@dataclass
class Abroad:
    """Who is at a key, besides this process."""

    tracker: "Tracker"
    patience: float = PATIENCE
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)  # by run: its beat, and when it was so first

    def busy(self, experiment: str, key: str) -> str:
        """The process that is at it; empty: nobody, or nobody can tell, for the server is away."""
        with suppress(AwayError):
            found = self._others(experiment, key) if self.tracker.reach.remote else []
            return next((str(run.data.tags[PROCESS]) for run in found), "")
        return ""

    @contextmanager
    def alone(self, experiment: str, key: str, run_id: str, before: str = "", kind: str = "cell") -> Iterator[None]:
        """With a run that was begun for it, alive as long as that is open; an error if another process is first.

        `before` is the finished run whose place it takes; any other that is finished was so while this one was begun.
        """
        stop = Event()
        if run_id and self.tracker.reach.remote:
            with suppress(AwayError):
                self._settle(experiment, key, run_id)
                if self.tracker.meanwhile(experiment, key, {before}, kind):
                    self._yield(run_id)
                Thread(target=self._live, args=(run_id, stop), daemon=True, name="heartbeat in the store").start()
        try:
            yield
        finally:
            stop.set()

    def stays(self, run_id: str, rows: Callable[[], Iterable[Any]], end: float) -> bool:
        """Whether a row that was begun is the one that counts: unless another is, the one of the lowest number.

        Until `end` the others are waited for: each sees who else there is before it is sure of its own.
        """
        while others := [run for run in rows() if run.info.run_id != run_id]:
            doubtful = [run for run in others if OPENING in run.data.tags and not ended(run.data.tags)]
            if time.monotonic() > end:
                doubtful = []
            if first(others) or any(run.info.run_id < run_id for run in doubtful):
                return False
            if not doubtful:
                break
            time.sleep(PAUSE)  # until those have seen that they come second
        self.tracker.client.delete_tag(run_id, OPENING)
        return True

    def _settle(self, experiment: str, key: str, run_id: str) -> None:
        while others := self._others(experiment, key, {run_id}):
            if any(SETTLED in run.data.tags or run.info.run_id < run_id for run in others):
                self._yield(run_id)
            time.sleep(PAUSE)  # until those have seen that they come second
        self.tracker.tag(run_id, {SETTLED: True})

    def _yield(self, run_id: str) -> NoReturn:
        self.tracker.client.delete_run(run_id)
        raise BusyError

    def _others(self, experiment: str, key: str, but: Collection[str] = ()) -> list[Any]:
        """Runs of this key that are open and alive; of older versions, which show no sign of life, nobody can tell."""
        found = self.tracker.running(experiment)
        same = [run for run in found if run.data.tags.get("bench.key") == key and ALIVE in run.data.tags]
        return [run for run in same if run.info.run_id not in but and self._alive(run)]

    def _alive(self, run: Any) -> bool:
        """One that has been silent as long as it was watched from here is dead, and runs no more."""
        beat, now = run.data.tags[ALIVE], time.monotonic()
        if own(run.data.tags) or ended(run.data.tags):
            return False
        before = self.seen.get(run.info.run_id)
        if before is None or before[0] != beat:
            self.seen[run.info.run_id] = (beat, now)
            return True
        if now - before[1] <= self.patience:
            return True
        self.tracker.client.set_terminated(run.info.run_id, "KILLED")
        return False

    def _live(self, run_id: str, stop: Event) -> None:
        beat = 0
        while not stop.wait(BEAT):
            beat += 1
            with suppress(Exception):  # a server that is away for a while costs a beat
                self.tracker.tag(run_id, {ALIVE: beat})
