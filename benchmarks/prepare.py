"""The two caches: prepared inputs, and what frozen networks make of them; keyed by content, written whole or not."""

import hashlib
import inspect
import pickle
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from benchmarks import making
from benchmarks.arenas import Arena
from benchmarks.console import Progress
from benchmarks.content import Contents
from benchmarks.corpora import cache
from benchmarks.determinism import refused
from benchmarks.environment import decoders, source
from benchmarks.files import FileError, remove, sweep
from benchmarks.making import Fault, Lacking, Todo, inputs_file, make, write
from benchmarks.plan import Row
from benchmarks.pool import EndedError, each
from datasets.clips import Advance, Clip, DatasetError, Media, UserError
from datasets.roll import Clips
from methods.base import Frozen, Preparation, Prepared


class PreparationError(Exception):
    """A method's preparation failed on a clip: a fault of the method, not of the user."""


class DamagedError(PreparationError):
    """A file of the cache is not what was written there."""


def reason(error: Exception) -> str:
    """Why something failed, in a line."""
    if told := refused(error):
        return told
    lines = str(error).strip().splitlines() or [type(error).__name__]
    known = isinstance(error, UserError | PreparationError)
    return lines[-1] if known else f"{type(error).__name__}: {lines[-1]}"


def read(file: Path) -> Prepared:
    """A clip's inputs. A file that is damaged is removed, so that it is made again."""
    try:
        inputs: Prepared = load_file(file)
    except SafetensorError as error:
        remove(file)
        raise DamagedError(f"{file} was damaged ({error}), and is removed; the same command makes it again") from None
    return inputs


@dataclass(frozen=True)
class Store:
    """Inputs of one kind, a file a clip."""

    folder: Path
    contents: Contents
    source: "Store | None" = None  # what a frozen network made these of

    def file(self, media: Media) -> Path:
        return inputs_file(self.folder, self.contents[media.clip_id].media)

    def read(self, media: Media) -> Prepared:
        return read(self.file(media))

    def size(self, media: Sequence[Media]) -> int:
        """In bytes, of clips with the same content once."""
        found = np.unique(self.contents.media(media))
        return sum(inputs_file(self.folder, one.decode()).stat().st_size for one in found)

    def purge(self, clips: Sequence[Clip]) -> int:
        """How many damaged files were removed, here and where these were made from."""
        removed = self.source.purge(clips) if self.source else 0
        for file in (self.file(clip.media) for clip in clips):
            try:
                if file.is_file():
                    with safe_open(file, "numpy"):
                        pass
            except SafetensorError:
                remove(file)
                removed += 1
        return removed

    def missing(self, clips: Sequence[Clip]) -> Clips:
        """Clips that have none yet; of clips with the same content, one."""
        clips = Clips.of(clips)
        digests, places = np.unique(self.contents.media(clips.media), return_index=True)
        absent = [not inputs_file(self.folder, one.decode()).is_file() for one in digests]
        return clips.take(np.sort(places[np.array(absent, bool)]))


@dataclass(frozen=True)
class Wanted:
    """What a method gets of some clips."""

    preparation: Preparation
    version: int
    clips: Sequence[Clip]
    contents: Contents

    @classmethod
    def by(cls, row: Row, clips: Sequence[Clip], contents: Contents) -> "Wanted":
        """By a row."""
        return cls(row.method().preparation(), row.kind.version, clips, contents)

    def store(self) -> Store:
        """Where it is kept, under a name that hashes all that it depends on."""
        kind = type(self.preparation)
        code = source(inspect.getfile(kind), __file__, making.__file__)
        key = f"{kind.__module__} v{self.version} {self.preparation!r}\nsource {code}\n{decoders()}"
        return Store(_folder("prepared", key), self.contents)


def fill(row: Row, clips: Sequence[Clip], contents: Contents, device: str, progress: Progress) -> Store:
    """Everything that a row's method gets of these clips."""
    with progress(f"preparing {len(clips)} clips for {row.name}") as advance:
        store = prepared(Wanted.by(row, clips, contents), advance)
    if row.frozen:
        with progress(f"{row.name}: frozen network on {device}") as advance:
            store = passed_through(row.frozen, store, clips, device, advance)
    return store


def fill_together(rows: Sequence[tuple[Row, Arena]], progress: Progress) -> None:
    """What several rows get of their clips, before any of them is filled: each clip is decoded once for all of them.

    A method that fails here is left out; it fails again, and is told of, when its own row is filled.
    """
    lacking: dict[tuple[Path, str], tuple[str, Wanted]] = {}
    for row, arena in rows:
        one = Wanted.by(row, arena.clips, arena.contents)
        if _can_be_sent(one.preparation) and (store := one.store()).missing(one.clips):
            lacking[store.folder, arena.digest] = row.name, one
    if len({folder for folder, _ in lacking}) < 2:
        return
    todo = _shared([one for _, one in lacking.values()])
    names = list(dict.fromkeys(name for name, _ in lacking.values()))
    with progress(f"preparing {len(todo)} clips for {_listed(names)}") as advance, suppress(EndedError):
        for number, faults in enumerate(each(make, todo), start=1):
            for fault in faults:
                if fault and fault[0] != "method":
                    _raise(fault, todo.clips[number - 1])
            advance(number, len(todo))


def prepared(wanted: Wanted, advance: Advance) -> Store:
    """Inputs for all clips, each prepared once, in parallel processes."""
    store = wanted.store()
    todo = _shared([wanted])
    number = 0
    with _blamed("preparing"):  # what cannot be sent to a process
        if todo:
            pickle.dumps(wanted.preparation)
        try:
            for number, (fault,) in enumerate(each(make, todo), start=1):
                _raise(fault, todo.clips[number - 1])
                advance(number, len(todo))
        except EndedError as error:
            _raise(("method", f"it {error}; if it is the file, exclude it with --exclude FILE"), todo.clips[number])
    return store


def _shared(wanted: Sequence[Wanted]) -> Todo:
    """What is to be made of clips for those that have not got it yet; of clips with the same content, of one."""
    lacking: list[Lacking] = []
    clips: list[Clips] = []
    for one in wanted:
        store = one.store()
        sweep(store.folder)
        clips.append(store.missing(one.clips))
        lacking.append(Lacking(store.folder, one.preparation, one.contents.media(clips[-1].media)))
    contents = np.concatenate([one.contents for one in lacking])
    once = np.sort(np.unique(contents, return_index=True)[1])
    return Todo(Clips.joined(*clips).take(once), contents[once], lacking)


def _can_be_sent(preparation: Preparation) -> bool:
    try:
        return bool(pickle.dumps(preparation))
    except Exception:  # pickle raises whatever it meets
        return False


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def passed_through(frozen: Frozen, inputs: Store, clips: Sequence[Clip], device: str, advance: Advance) -> Store:
    """What a frozen network makes of prepared inputs."""
    store = Store(
        _folder("frozen", f"{inputs.folder.name} source {source(inspect.getfile(type(frozen)))} {frozen.key}"),
        inputs.contents,
        inputs,
    )
    sweep(store.folder)
    todo = store.missing(clips)
    for number, clip in enumerate(todo, start=1):
        with _blamed(f"the frozen network on {clip.name}"):
            write(frozen(inputs.read(clip.media), device), store.file(clip.media))
        advance(number, len(todo))
    return store


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Whatever is no fault of the user's is the method's, and must not cost the other methods their turn."""
    try:
        yield
    except (UserError, PreparationError):
        raise
    except Exception as error:
        raise PreparationError(f"{what} failed: {refused(error) or traceback.format_exc()}") from error


def _folder(kind: str, key: str) -> Path:
    folder = cache().resolve() / kind / hashlib.sha256(key.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.txt").write_text(key + "\n")
    return folder


def _raise(fault: Fault, clip: Clip) -> None:
    if fault and fault[0] == "disk":
        raise FileError(fault[1])
    if fault and fault[0] == "clip":
        raise DatasetError(f"unreadable: {clip.name}: {fault[1]}; or exclude it by name with --exclude FILE")
    if fault:
        raise PreparationError(f"preparing {clip.name} failed: {fault[1]}")
