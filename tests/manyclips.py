"""A made-up corpus of as many clips as you like, planned for real: what a clip costs in memory and in time.

By hand: `python -m tests.manyclips FOLDER [CLIPS]`; a million where nothing is said. Their names, people, places and
labels are told by an annotation, as IEMOCAP's are, and what they hold is made up: nothing is decoded.
"""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Event, Thread
from unittest.mock import patch

from benchmarks import content
from benchmarks.arenas import arena
from benchmarks.console import progress
from benchmarks.content import Content
from datasets.base import Dataset, Entry, Expected, Planned, Recorded
from datasets.clips import Clip, Track
from tests.manycells import timed

PEOPLE, SENTENCES = 200, 50


class Made(Dataset):
    """Parts of one film."""

    title = "Made up"
    labels = ("anger", "fear", "sadness")
    licence = citation = how_to_get = layout = "made up"
    recorded = Recorded(8_000)
    default_protocol = "subject-k-fold:k=5"

    def __init__(self, root: Path, count: int) -> None:
        super().__init__(root)
        self.expected = Expected((count, count))

    def read(self, path: PurePosixPath) -> Entry | None:
        raise NotImplementedError(f"{path}: an annotation tells")

    def plan(self, full: bool) -> Iterator[Planned]:
        return iter(())

    def entries(self) -> Iterator[Entry]:
        film = str(self.root / "sessions/one-film-of-them-all.avi")
        for number in range(self.expected.clips[0]):
            person, label, track = number % PEOPLE, self.labels[number % 3], Track(film, number * 2.5, number * 2.5 + 2)
            yield Entry(
                f"session-{person // 2:02}/utterance-{number:08}", f"person-{person:03}", label, f"{person // 2:02}",
                f"{number % SENTENCES:02}", kinds={"audio": 0, "video": 0}, tracks={"audio": track, "video": track},
            )  # fmt: skip


@contextmanager
def made_up(root: Path, count: int) -> Iterator[Dataset]:
    """Such a corpus; of what its clips hold digests are made up as long as this lasts."""
    (root / "sessions").mkdir(parents=True, exist_ok=True)
    (root / "sessions/one-film-of-them-all.avi").touch()

    def digests(work: Callable[[Clip], object], clips: Sequence[Clip]) -> Iterator[tuple[str, Content]]:
        for clip in clips:
            sha = hashlib.sha256(clip.name.encode()).hexdigest()
            yield clip.name, Content(sha, sha[::-1])

    with patch.object(content, "each", digests):
        yield Made(root, count)


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Tell the most memory that it took meanwhile: its own, and the files that the system may take out of memory."""
    before, most, ended = memory(), Counter(memory()), Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for kind, size in memory().items():
                most[kind] = max(most[kind], size)

    watcher = Thread(target=watch)
    watcher.start()
    yield
    ended.set()
    watcher.join()
    told = ", ".join(f"{kind} {before[kind]} MiB before, {most[kind] - before[kind]} more" for kind in before)
    print(f"{what}: {told}")  # noqa: T201


def memory() -> dict[str, int]:
    """In MiB, as Linux tells it of this process."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {kind: int(lines[name].split()[0]) // 1024 for kind, name in (("own", "RssAnon"), ("mapped", "RssFile"))}


def main(folder: Path, count: int = 1_000_000) -> None:
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    with made_up(folder / "few", 1000) as few:
        arena(few, "emotion", "", progress)  # all that is imported for it
    with made_up(folder / "many", count) as many, watched(f"{count} clips"), timed(f"planning {count} clips"):
        planned = arena(many, "emotion", "", progress)
        assert len(planned.clips) == count and len(planned.members) == 5


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:]))
