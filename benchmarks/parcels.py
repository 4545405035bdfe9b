"""What a Cell needs on another machine: the driver's own files where that sees them, else copies that are sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.corpora import node_cache
from benchmarks.files import whole
from benchmarks.plan import Cell, Row
from benchmarks.prepare import Store
from benchmarks.work import Job
from methods.base import WeightsFile
from methods.parts.weights import sha256


@dataclass(frozen=True)
class Consignment:
    """A job without what must be opened anew elsewhere, and digests of the weights that it needs."""

    job: Job
    weights: Mapping[Path, str]

    def files(self, cell: Cell) -> dict[Path, str]:
        """All that a Cell reads, as the driver has it, and where a copy lies among the copies."""
        inputs = {store.file(media): _place(store, store.file(media)) for store, media in self.job.reads(cell)}
        return inputs | {file: f"weights/{digest}/{file.name}" for file, digest in self.weights.items()}

    def opened(self, cell: Cell, fetch: Callable[[str], bytes] | None) -> Job | None:
        """The job with files that are at hand. None: some are not, and there is nothing to fetch them from."""
        wanted = self.files(cell)
        absent = {file.parent for file in wanted if not self._own(file)}
        there = {file: place for file, place in wanted.items() if file.parent in absent}
        copies = node_cache() if there else Path()
        for place in there.values():
            if not (copies / place).is_file():
                if fetch is None:
                    return None
                _keep(fetch(place), copies / place)
        return _readdressed(self.job, {file: copies / place for file, place in there.items()})

    def _own(self, file: Path) -> bool:
        """Whether the driver's own file is seen here; inputs are named by what they are made of, weights are not."""
        return file.is_file() and (file not in self.weights or sha256(file) == self.weights[file])


@dataclass(frozen=True)
class Carried:
    """Published weights at hand, by name."""

    files: Mapping[str, Path | None]

    def find(self, file: WeightsFile) -> Path | None:
        return self.files[file.name]


def consigned(job: Job) -> Consignment:
    """A job to be sent: networks that were loaded here stay here; trials beside those of a Cell are sent apart."""
    rows = (job.row, *(initial.row for initial in job.row.initials.values()))
    files = {file.resolve() for row in rows for file in row.files.values() if file}
    alone = job.tuning and replace(job.tuning, jobs=1)
    return Consignment(replace(_rows(job, _unloaded), tuning=alone), {file: sha256(file) for file in sorted(files)})


def _unloaded(row: Row) -> Row:
    return replace(
        row, frozen=None, pretrained={}, files={name: file and file.resolve() for name, file in row.files.items()}
    )


def _readdressed(job: Job, places: Mapping[Path, Path]) -> Job:
    """The same with copies in the place of some files."""

    def loaded(row: Row) -> Row:
        weights = Carried({name: file and places.get(file, file) for name, file in row.files.items()})
        method = row.method()
        return replace(row, frozen=method.frozen(weights), pretrained=method.pretrained(weights))

    folders = {file.parent: place.parent for file, place in places.items()}

    def moved(store: Store | None) -> Store | None:
        if store is None:
            return None
        return replace(store, folder=folders.get(store.folder, store.folder), source=moved(store.source))

    return replace(_rows(job, loaded), store=moved(job.store))


def _rows(job: Job, change: Callable[[Row], Row]) -> Job:
    """A job with its row changed, and those that its models of other corpora come from."""
    initials = {part: replace(initial, row=change(initial.row)) for part, initial in job.row.initials.items()}
    return replace(job, row=replace(change(job.row), initials=initials))


def _place(store: Store, file: Path) -> str:
    return f"{store.folder.parent.name}/{store.folder.name}/{file.name}"


def _keep(content: bytes, file: Path) -> None:
    with whole(file) as beside:
        beside.write_bytes(content)
