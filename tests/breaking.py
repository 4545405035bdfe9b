"""What bad files do to a process: `python -m tests.breaking FOLDER` reads each; what came of it, and the cost."""

import ctypes
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.placing import peak_memory
from datasets.clips import Clip, DatasetError, Media, Track
from datasets.media import read_audio, read_frames
from datasets.probe import probe


def read(file: Path) -> dict[str, Any]:
    """All that the suite does to a file before a method sees it: what came of it, its seconds and megabytes."""
    began, track = perf_counter(), Track(str(file))
    ways: Mapping[str, Callable[[], object]] = {
        "audio": lambda: len(read_audio(track, 48_000)),
        "video": lambda: sum(1 for _ in read_frames(track, 30.0)),
        "part": lambda: sum(1 for _ in read_frames(Track(str(file), 3500.0, 3502.0), 30.0)),
        "check audio": lambda: probe(track, "audio").seconds,
        "check video": lambda: probe(track, "video").seconds,
    }
    told: dict[str, Any] = {}
    for name, way in ways.items():
        try:
            told[name] = way()
        except DatasetError as error:
            told[name] = str(error)
    return {**told, "seconds": perf_counter() - began, "megabytes": peak_memory("cpu") / 2**20}


def doubled(number: int) -> int:
    """Of 5, a crash such as a decoder's."""
    if number == 5:
        ctypes.string_at(0)
    return 2 * number


def decoded(clip: Clip) -> dict[str, str]:
    """A crash in a film of two faces."""
    return {"video": str(doubled(5 if clip.name.startswith("two-faces") else 1))}


@dataclass(frozen=True)
class Crashing:
    """A preparation that a clip brings down."""

    clip_id: str

    def __call__(self, media: Media) -> dict[str, npt.NDArray[np.int64]]:
        return {"number": np.array([doubled(5 if media.clip_id == self.clip_id else 1)])}


if __name__ == "__main__":
    found = {file.name: read(file) for file in sorted(Path(sys.argv[1]).iterdir())}
    sys.stdout.write(json.dumps(found))
