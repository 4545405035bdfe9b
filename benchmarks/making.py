"""Prepared inputs in the making: what is to be made of which clips, and how a process makes it of one."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import overload

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from benchmarks.content import Texts
from benchmarks.files import FileError, whole
from datasets.clips import DatasetError, Media, Track
from datasets.roll import Clips
from datasets.together import together
from methods.base import MethodError, Preparation, Prepared

Fault = tuple[str, str] | None  # whose it is, "clip", "method" or "disk", and what
Work = tuple[Media, Sequence[tuple[Path, Preparation]]]


@dataclass(frozen=True, eq=False)
class Lacking:
    """Contents of clips that a folder of inputs lacks, and what makes them."""

    folder: Path
    preparation: Preparation
    contents: Texts


@dataclass(frozen=True, eq=False)
class Todo(Sequence[Work]):
    """What is to be made, clip by clip; told when it is asked for, for there may be a million."""

    clips: Clips
    contents: Texts  # of each
    lacking: Sequence[Lacking]

    def __len__(self) -> int:
        return len(self.clips)

    @overload
    def __getitem__(self, place: int) -> Work: ...
    @overload
    def __getitem__(self, place: slice) -> list[Work]: ...
    def __getitem__(self, place: int | slice) -> Work | list[Work]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        content, asked = self.contents[place].decode(), zip(self.lacking, self._wanted, strict=True)
        jobs = {inputs_file(one.folder, content): one.preparation for one, wanted in asked if wanted[place]}
        return self.clips[place].media, list(jobs.items())

    @cached_property
    def _wanted(self) -> list[npt.NDArray[np.bool_]]:
        """Of each folder, which contents it lacks."""
        return [np.isin(self.contents, one.contents) for one in self.lacking]


def inputs_file(folder: Path, content: str) -> Path:
    """The file of what was made of a clip with that content."""
    return folder / f"{content}.safetensors"


def make(work: Work) -> list[Fault]:
    """Of one clip, all that is wanted."""
    media, jobs = work
    with _one_thread(), TemporaryDirectory() as folder:
        return together(_nameless(media, Path(folder)), [partial(_make_one, *job) for job in jobs])


def _make_one(file: Path, preparation: Preparation, media: Media) -> Fault:
    try:
        write(preparation(media), file)
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


def write(inputs: Prepared, file: Path) -> None:
    """A reader, or a second run, never meets half a file."""
    with whole(file) as beside:
        save_file({name: np.ascontiguousarray(array) for name, array in inputs.items()}, beside)
