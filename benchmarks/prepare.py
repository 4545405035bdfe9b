"""The two caches: prepared inputs, and what frozen networks make of them; keyed by content, written whole or not."""

import hashlib
import inspect
import pickle
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from benchmarks.arenas import Arena
from benchmarks.console import Progress
from benchmarks.content import Contents
from benchmarks.corpora import cache
from benchmarks.determinism import refused
from benchmarks.environment import decoders, source
from benchmarks.files import FileError, remove, sweep, whole
from benchmarks.plan import Row
from benchmarks.pool import EndedError, each
from datasets.clips import Advance, Clip, DatasetError, Media, Track, UserError
from datasets.roll import Clips
from datasets.together import together
from methods.base import Frozen, MethodError, Preparation, Prepared


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


def inputs_file(folder: Path, content: str) -> Path:
    """The file of what was made of a clip with that content."""
    return folder / f"{content}.safetensors"


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
        code = source(inspect.getfile(kind), __file__)
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
    todo, clips = _shared([one for _, one in lacking.values()])
    names = list(dict.fromkeys(name for name, _ in lacking.values()))
    with progress(f"preparing {len(todo)} clips for {_listed(names)}") as advance, suppress(EndedError):
        for number, faults in enumerate(each(_prepare, todo), start=1):
            for fault in faults:
                if fault and fault[0] != "method":
                    _raise(fault, clips[number - 1])
            advance(number, len(todo))


def prepared(wanted: Wanted, advance: Advance) -> Store:
    """Inputs for all clips, each prepared once, in parallel processes."""
    store = wanted.store()
    todo, clips = _shared([wanted])
    number = 0
    with _blamed("preparing"):  # what cannot be sent to a process
        if todo:
            pickle.dumps(wanted.preparation)
        try:
            for number, (fault,) in enumerate(each(_prepare, todo), start=1):
                _raise(fault, clips[number - 1])
                advance(number, len(todo))
        except EndedError as error:
            _raise(("method", f"it {error}; if it is the file, exclude it with --exclude FILE"), clips[number])
    return store


def _shared(wanted: Sequence[Wanted]) -> tuple[list["Work"], list[Clip]]:
    """What is to be made of each clip for those that have not got it yet; of clips with the same content, of one."""
    clips: dict[str, Clip] = {}
    jobs: dict[str, dict[Path, Preparation]] = {}
    for one in wanted:
        store = one.store()
        sweep(store.folder)
        for clip in store.missing(one.clips):
            content = one.contents[clip.media.clip_id].media
            clips.setdefault(content, clip)
            jobs.setdefault(content, {})[store.file(clip.media)] = one.preparation
    return [(clips[content].media, list(job.items())) for content, job in jobs.items()], list(clips.values())


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
            _write(frozen(inputs.read(clip.media), device), store.file(clip.media))
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


Fault = tuple[str, str] | None  # whose it is, "clip", "method" or "disk", and what
Work = tuple[Media, Sequence[tuple[Path, Preparation]]]


def _prepare(work: Work) -> list[Fault]:
    """Of one clip, all that is wanted."""
    media, jobs = work
    with _one_thread(), TemporaryDirectory() as folder:
        return together(_nameless(media, Path(folder)), [partial(_prepare_one, *job) for job in jobs])


def _prepare_one(file: Path, preparation: Preparation, media: Media) -> Fault:
    try:
        _write(preparation(media), file)
    except DatasetError as error:
        return "clip", str(error)
    except MethodError as error:
        return "method", str(error)
    except FileError as error:
        return "disk", str(error)
    except Exception:  # whatever a stranger's method raises must reach the user with its clip
        return "method", traceback.format_exc()
    return None


def _nameless(media: Media, folder: Path) -> Media:
    """The clip under links that bear its digest, for names of files and folders name emotions and people."""
    tracks = dict[str, Track]()
    for kind, track in media._tracks.items():
        link = folder / f"{media.clip_id}-{kind}{track.file.suffix}"
        link.symlink_to(track.file.absolute())
        tracks[kind] = replace(track, place=str(link))
    return replace(media, _tracks=tracks)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For torch, where it is used: inputs must not depend on where they are prepared."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


def _raise(fault: Fault, clip: Clip) -> None:
    if fault and fault[0] == "disk":
        raise FileError(fault[1])
    if fault and fault[0] == "clip":
        raise DatasetError(f"unreadable: {clip.name}: {fault[1]}; or exclude it by name with --exclude FILE")
    if fault:
        raise PreparationError(f"preparing {clip.name} failed: {fault[1]}")


def _write(inputs: Prepared, file: Path) -> None:
    """A reader, or a second run, never meets half a file."""
    with whole(file) as beside:
        save_file({name: np.ascontiguousarray(array) for name, array in inputs.items()}, beside)
