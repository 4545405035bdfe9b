"""One Cell, one trainer: who trains what, in one small file of the cache, so that no two processes train the same.

It covers all processes that share a cache: those of a machine, or of several with a common disk. A claim whose process
is gone from this machine is free at once; one of elsewhere, when nothing has been heard of it for a while. Times are
never compared between machines: a heartbeat is a number that grows.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

from benchmarks.files import damaged
from benchmarks.processes import Owner, me

BEAT = 5.0  # seconds between two signs of life
PAUSE = 1.0  # seconds between two looks at what another process is at
HELP = 30.0  # seconds between two looks for trials of it that wait
PATIENCE = 60.0  # seconds without one after which a process elsewhere counts as gone


@dataclass
class Claims:
    """Who is at what, by key."""

    folder: Path
    patience: float = PATIENCE
    beat: float = BEAT
    seen: dict[str, tuple[str, int, float]] = field(default_factory=dict)  # by key: token, beat, when it was so first
    held: dict[str, str] = field(default_factory=dict)  # tokens by key, of this process
    heart: threading.Thread | None = None
    buried: dict[str, str] = field(default_factory=dict)  # by key, the dead process that had it before

    def take(self, key: str) -> bool:
        """Whether it is ours now: nobody had it, or who had it is gone."""
        token = uuid4().hex
        with self._database() as database:
            found = self._found(database, key)
            if found is not None and not self._stale(key, *found):
                return False
            row = (key, token, 0, *vars(me()).values())
            database.execute("insert or replace into claims values (?, ?, ?, ?, ?, ?)", row)
        if found is not None:
            self.buried[key] = found[2].process
        self.seen.pop(key, None)
        self.held[key] = token
        if self.heart is None or not self.heart.is_alive():
            self.heart = threading.Thread(target=self._live, daemon=True, name="heartbeat")
            self.heart.start()
        return True

    def release(self, key: str) -> None:
        """Others may have it; a disk that takes no more keeps it, and it is free when this process has ended."""
        token = self.held.pop(key)
        with suppress(Exception), self._database() as database:
            database.execute("delete from claims where key = ? and token = ?", (key, token))

    @contextmanager
    def holding(self, key: str) -> Iterator[bool]:
        """As long as it is ours; False: somebody else is at it."""
        if not self.take(key):
            yield False
            return
        try:
            yield True
        finally:
            self.release(key)

    def taken(self, key: str) -> str:
        """The dead process from which it was taken over, told once; empty: nobody had it."""
        return self.buried.pop(key, "")

    def holder(self, key: str) -> str:
        """Who is at it, as the store of results names processes; empty: nobody."""
        with self._database() as database:
            found = self._found(database, key)
        return found[2].process if found else ""

    def _stale(self, key: str, token: str, beat: int, owner: Owner) -> bool:
        """Whether its process is gone, or has not been heard of for so long as it was watched from here."""
        if (gone := owner.gone) is not None:
            return gone
        before = self.seen.get(key)
        if before is None or before[:2] != (token, beat):
            self.seen[key] = (token, beat, time.monotonic())
            return False
        return time.monotonic() - before[2] > self.patience

    @staticmethod
    def _found(database: sqlite3.Connection, key: str) -> tuple[str, int, Owner] | None:
        row = database.execute("select * from claims where key = ?", (key,)).fetchone()
        return (row[1], row[2], Owner(*row[3:])) if row else None

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone in the file."""
        file = self.folder / "claims.sqlite"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as database:
                database.execute("pragma synchronous = off")  # after a crash of the machine nobody holds anything
                database.execute("begin immediate")
                database.execute(
                    "create table if not exists claims "
                    "(key text primary key, token text, beat int, machine text, process text, started text)"
                )
                yield database
                database.execute("commit")
        except (sqlite3.Error, OSError) as error:
            raise damaged(error, file) from None

    def _live(self) -> None:
        """A sign of life, now and then, of all that is held."""
        while True:
            time.sleep(self.beat)
            if not (told := list(self.held.items())):
                continue
            with suppress(Exception), self._database() as database:  # a disk that is full for a while costs a beat
                database.executemany("update claims set beat = beat + 1 where key = ? and token = ?", told)


@cache
def claims(place: Path) -> Claims:
    """Those of a cache."""
    return Claims(place / "claims")
