"""The contract of a corpus: how its files become clips.

A corpus is one file beside this one: a subclass of `Dataset` that says how to read the facts of a clip from the
path of its file (`read`), and which paths there are (`plan`, from which the stand-in corpus is rendered too).
Everything else is alike for every corpus: walking the folder here, joining what is found into clips (`clips.py`) in
`scan.py`, the check in `check.py`.
"""

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal

from datasets.clips import PICTURES, SOUND_ONLY, Advance, DatasetError, Side, Track

if TYPE_CHECKING:
    from datasets.check import Report
    from datasets.records import Records
    from datasets.roll import Clips

MANIFEST = "standin.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one file, or one row of an annotation, says of the clip that it belongs to.

    Entries of one name become one clip: RAVDESS releases the same performance with and without picture.
    `kinds` ranks what the file offers; the lowest rank gives the sound, and likewise the picture.
    """

    name: str
    subject: str | None
    label: str | None
    session: str | None = None
    sentence: str | None = None
    split: str | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)  # empty: by the file's suffix
    tracks: Mapping[str, Track] = field(default_factory=dict)
    recording: str | None = None  # what else shows the same; None: nothing else does, as far as names and tables tell
    left_out: str = ""  # why this is no clip of the benchmark ("a song, not speech"); it is counted
    contradiction: str = ""  # what its sources disagree on


Kind = Literal["missing", "unreadable", "duplicated", "unexpected", "contradictory", "altered", "note"]


@dataclass(frozen=True)
class Problem:
    """One line of the check. A note is a known quirk, settled by a stated rule; any other kind is a fault."""

    kind: Kind
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.what}"


@dataclass(frozen=True)
class Listing:
    """Everything found under a corpus' root: nothing is dropped without standing in one of these."""

    clips: "Clips"
    problems: tuple[Problem, ...]
    left_out: "Mapping[str, Clips]"  # by reason
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What the whole corpus holds; pairs are the lowest and highest number in circulation."""

    clips: tuple[int, int]
    subjects: tuple[int, int] = (0, 0)  # (0, 0): the corpus has no person ids
    labels: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0  # further clips that are in circulation but in no class of the benchmark


@dataclass(frozen=True)
class Recorded:
    """How the corpus was recorded, as its papers say; its stand-in is rendered so."""

    rate: int  # 0: without sound
    width: int = 0
    height: int = 0
    frames_per_second: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Part of a stand-in's file: who shows which emotion, when, and on which side of the picture."""

    entry: Entry
    person: str
    seconds: float
    start: float = 0.0
    side: Side = "whole"


@dataclass(frozen=True)
class Planned:
    """A media file that the corpus' layout calls for."""

    path: str
    scenes: tuple[Scene, ...]
    channels: int = 1
    silent: bool = False
    close: bool = False  # of a picture: the face fills it


class Dataset(ABC):
    """One corpus in one folder."""

    title: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    citation: ClassVar[str]
    how_to_get: ClassVar[str]
    layout: ClassVar[str]  # where the files lie below the corpus' folder, in one line
    expected: Expected  # of FER+, where a rule leaves pictures out, exact once it was read
    recorded: ClassVar[Recorded]
    default_protocol: ClassVar[str]
    protocol_settings: ClassVar[Mapping[str, Mapping[str, object]]] = {}  # by protocol, what this corpus sets
    collected: ClassVar[bool] = False  # from the web: the same picture may stand twice, even under two labels
    exact_plan: ClassVar[bool] = False  # whether plan(full=True) names exactly the files of the real corpus
    suffixes: ClassVar[frozenset[str]] = frozenset({".mp4", ".avi", ".flv", ".mov", ".mkv"})
    companions: ClassVar[str] = r"(readme|licen[cs]e)[^/]*"  # files that are neither media nor faults

    def __init__(self, root: Path, exclude: Iterable[str] = ()) -> None:
        self.root = root
        self.exclude = frozenset(exclude)

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @abstractmethod
    def read(self, path: PurePosixPath) -> Entry | None:
        """The facts of a clip from its path below the root, or from its bare name; None: not a clip of this corpus."""

    @abstractmethod
    def plan(self, full: bool) -> Iterator[Planned]:
        """The media files of the layout: all of the real corpus, or a small set with its every quirk."""

    def planned(self, path: str, full: bool, person: str = "", **facts: object) -> Planned:
        """A file of one scene, with the facts that its path tells (and `facts` that only an annotation tells)."""
        entry = self.read(PurePosixPath(path))
        assert entry is not None, path
        entry = replace(entry, **facts)  # type: ignore[arg-type]
        return Planned(path, (Scene(entry, person or entry.subject or entry.name, duration(entry.name, full)),))

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        """Path and content of the files beside the media that a stand-in needs; most corpora have none."""
        del planned
        return iter(())

    def entries(self) -> Iterator[Entry | Problem]:
        """What each file says. A corpus whose facts stand in an annotation overrides this."""
        for path in self.files:
            entry = self.read(path) if path.suffix.lower() in self.suffixes else None
            if entry:
                yield self.tracked(entry, path)
            elif not re.fullmatch(self.companions, path.name, re.IGNORECASE):
                yield Problem("unexpected", str(path), f"does not fit the layout {self.layout}")

    def tracked(self, entry: Entry, path: PurePosixPath) -> Entry:
        kinds, track = entry.kinds or offered(path), Track(str(self.root / path))
        return replace(entry, kinds=kinds, tracks=dict.fromkeys(kinds, track))

    @property
    def files(self) -> Iterator[PurePosixPath]:
        """Every file below the root, sorted, without the droppings of desktop systems."""
        return (PurePosixPath(os.fsdecode(name)) for name in self._named if name not in self._unopened)

    @property
    def unopened(self) -> Iterator[PurePosixPath]:
        """What is listed but is no file: links that lead nowhere."""
        return (PurePosixPath(os.fsdecode(name)) for name in sorted(self._unopened))

    @cached_property
    def _named(self) -> "Records":
        from datasets.records import Records
        from datasets.scan import listed

        if not self.root.is_dir():
            raise DatasetError(f"{self.title} is not at {self.root}; {self.how_to_get}; layout: {self.layout}")
        return Records(map(os.fsencode, listed(self.root)))

    @cached_property
    def _unopened(self) -> frozenset[bytes]:
        return frozenset(name for name in self._named if not (self.root / os.fsdecode(name)).is_file())

    @property
    def standin(self) -> bool:
        """Whether this copy was rendered by us: then no result on it says anything about the real corpus."""
        return bool(vars(self).get(MANIFEST, (self.root / MANIFEST).is_file()))

    def __getstate__(self) -> dict[str, object]:
        """Sent to another process it still tells whether it was rendered, though its files may not be there."""
        return {name: value for name, value in vars(self).items() if name not in ("_named", "_unopened")} | {
            MANIFEST: self.standin
        }

    def scan(self, task: str = "emotion") -> Listing:
        """Everything found, from names and annotations alone."""
        from datasets.scan import scan

        return scan(self, task)

    def index(self, task: str = "emotion") -> "Clips":
        """The labelled clips. A contradiction stops here unless the file is excluded by name."""
        listing = self.scan(task)
        faults = [problem for problem in listing.problems if problem.kind == "contradictory"]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise DatasetError(f"{faults[0]}{more}; mend the file or exclude it by name with --exclude FILE")
        return listing.clips

    def check(self, processes: int = 0, advance: Advance | None = None) -> "Report":
        """Is this copy complete and readable? Decodes every clip; in further processes, if a number is given."""
        from datasets.check import check

        return check(self, processes, advance)


def offered(path: PurePosixPath) -> Mapping[str, int]:
    """What a file of that suffix holds, where the corpus does not say."""
    suffix = path.suffix.lower()
    return {"audio": 0} if suffix in SOUND_ONLY else {"video": 0} if suffix in PICTURES else {"audio": 0, "video": 0}


def duration(name: str, full: bool) -> float:
    """How long the stand-in of a clip lasts, in seconds: varied, but always the same for a name."""
    share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest()) / 2**32
    return round(2.4 + 1.6 * share if full else 1.4 + 0.6 * share, 2)
