"""Results on their way to the store: written whole in a folder first, then sent; one that cannot be sent waits there.

A parcel is a folder with `run.json` (tags, metrics, parameters, trials of one run) and `artifacts`. It is there as soon
as all of it is written, and gone when the store has all of it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.address import absolute, shown
from benchmarks.claims import claims
from benchmarks.files import explained, remove, whole
from benchmarks.processes import alive, here
from datasets.clips import UserError

if TYPE_CHECKING:
    from benchmarks.track import Tracker

FACTS, ARTIFACTS = "run.json", "artifacts"
UNFINISHED = "."  # how names of folders begin in which something is still being written


@dataclass(frozen=True)
class Parcel:
    """One run, complete."""

    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / FACTS).read_text(encoding="utf-8"))
        return found

    def note(self, **told: Any) -> None:
        """Something else about it."""
        with whole(self.folder / FACTS) as beside:
            beside.write_text(json.dumps(self.facts | told, default=str), encoding="utf-8")


@dataclass(frozen=True)
class Spool:
    """Parcels for the store at an address."""

    folder: Path
    uri: str

    @property
    def mark(self) -> str:
        """Tells the store from others; the address itself may hold secrets."""
        return hashlib.sha256(absolute(self.uri).encode()).hexdigest()[:12]

    @contextmanager
    def packing(self) -> Iterator[Path]:
        """A folder for what is not complete; nothing is left of it where that fails."""
        place = self.folder / f"{UNFINISHED}{here()}-{os.getpid()}-{uuid4().hex[:8]}"
        try:
            (place / ARTIFACTS).mkdir(parents=True)
            yield place
        except Exception as error:
            raise explained(error, place) from error
        finally:
            remove(place)

    def pack(self, place: Path, facts: Mapping[str, Any]) -> Parcel:
        """What was packed, complete from now on."""
        (place / FACTS).write_text(json.dumps(facts, default=str), encoding="utf-8")
        return Parcel(place.rename(self.there(place, facts)))

    def there(self, place: Path, facts: Mapping[str, Any]) -> Path:
        """Where it will lie."""
        return self.folder / f"{self.mark}-{facts['tags']['bench.key']}-{place.name.lstrip(UNFINISHED)}"

    def waiting(self, key: str = "") -> list[Parcel]:
        """Parcels that are not sent, the oldest first; of one Cell, or of all."""
        found = dict[Path, float]()
        for folder in self.folder.glob(f"{self.mark}-{key}*"):
            with suppress(FileNotFoundError):  # sent a moment ago
                found[folder] = (folder / FACTS).stat().st_mtime
        return [Parcel(folder) for folder in sorted(found, key=found.__getitem__)]

    def names(self) -> frozenset[str]:
        """Of all that wait."""
        return frozenset(parcel.folder.name for parcel in self.waiting())

    def elsewhere(self) -> dict[str, int]:
        """How many wait for other stores, by their addresses as they may be shown."""
        found: dict[str, int] = {}
        for file in self.folder.glob(f"[!{UNFINISHED}]*/{FACTS}"):
            if not file.parent.name.startswith(f"{self.mark}-"):
                where = shown(json.loads(file.read_text(encoding="utf-8"))["store"], True)
                found[where] = found.get(where, 0) + 1
        return found

    def sweep(self) -> None:
        """What processes that were killed had not completed, and what is left of parcels that were sent."""
        for folder in self.folder.glob("*"):
            machine, number, *_ = [*folder.name.lstrip(UNFINISHED).split("-"), ""]
            own = folder.name.startswith(UNFINISHED) and machine == here() and number.isdigit()
            dead = own and not alive(int(number))
            if dead or (not folder.name.startswith(UNFINISHED) and not (folder / FACTS).is_file()):
                remove(folder)


def send(tracker: "Tracker", parcel: Parcel) -> str:
    """All of a parcel into the store, finished as the last act; its run. Sent by half before, it is sent again."""
    facts = parcel.facts
    run_id = facts["run_id"]
    status = tracker.status(run_id) if run_id else None
    if status is None:
        run_id = tracker.begun_run(facts)
        parcel.note(run_id=run_id)
    if status != facts["status"]:
        if facts.get("tried"):
            tracker.forget_trials(run_id)
        elif facts["trials"]:
            parcel.note(run_id=run_id, tried=True)
        for title, told, curve, span in facts["trials"]:
            tracker.trial(facts["experiment"], run_id, title, told, curve, span)
        tracker.params(run_id, facts["params"])
        tracker.points(run_id, facts["points"])
        tracker.client.log_artifacts(run_id, str(parcel.folder / ARTIFACTS))
        tracker.tag(run_id, facts["tags"] | tracker.outrun(facts, run_id))
        tracker.client.set_terminated(run_id, facts["status"], end_time=facts["ended"])
    if facts["instead"]:
        tracker.supersede(facts["instead"])
    remove(tracker.place / "checkpoints" / facts["tags"]["bench.key"])  # its process may have died before it did so
    (parcel.folder / FACTS).unlink()  # from now on it is no parcel
    shutil.rmtree(parcel.folder, ignore_errors=True)
    return str(run_id)


def deliver(tracker: "Tracker") -> tuple[int, str]:
    """Send all that waits: how many were sent, and why the rest was not."""
    sent, spool = 0, tracker.spool
    for parcel in spool.waiting():
        with claims(tracker.place).holding(parcel_claim(parcel.folder)) as ours:
            if not ours or not (parcel.folder / FACTS).is_file():  # another process sends it
                continue
            _, reason = attempt(tracker, parcel)
            if reason:
                return sent, reason
            sent += 1
    return sent, ""


def parcel_claim(folder: Path) -> str:
    """Who holds it sends it."""
    return f"parcel {folder.name}"


def attempt(tracker: "Tracker", parcel: Parcel) -> tuple[str, str]:
    """The run in the store, or why the parcel could not be sent."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return send(tracker, parcel), ""
    except (UserError, MlflowException, SQLAlchemyError, OSError) as error:
        told = explained(error)
        line = (str(told).splitlines() or [""])[0][:300]
        return "", line if isinstance(told, UserError) else f"{type(told).__name__}: {line}"
