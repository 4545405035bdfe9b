"""Files that are there whole or not at all; what keeps one from being written is one line."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from benchmarks.processes import alive, here
from datasets.clips import UserError

FULL = (errno.ENOSPC, errno.EDQUOT), ("StorageFull", "disk is full", "No space left", "QuotaExceeded")
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM), ("ReadOnlyFilesystem", "PermissionDenied", "readonly database")
PLACES = errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG
FIGURES = (".png", ".svg", ".pdf")
HIDDEN = "."  # how names of unfinished files begin
REMEDY = "make it writable, or name another folder with BENCH_CACHE (the cache) or --tracking-uri (results)"


class FileError(UserError):
    """The disk does not take a file."""


def writable(file: Path) -> None:
    """An error, before anything is computed, if a file could not be written there."""
    folder = file.resolve().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FileError(f"{file} cannot be written; name a file in a folder that is there and writable")


def drawable(file: Path, option: str) -> None:
    """The same of a picture."""
    if file.suffix.lower() not in FIGURES:
        raise FileError(f"a figure is one of {', '.join(FIGURES)}, but {option} is {file}")
    writable(file)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place beside the file for what is to be written; it becomes the file once all of it is there."""
    beside = file.with_name(f"{HIDDEN}{file.name}.{here()}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(file)
    except (OSError, SafetensorError) as error:
        raise explained(error, file) from None
    finally:
        remove(beside)


def sweep(folder: Path) -> int:
    """How many unfinished files were removed that processes of this machine began and no longer can finish."""
    beginning, count = f"{here()}-", 0
    for file in folder.glob(f"{HIDDEN}*.{beginning}*"):
        number = file.name.rpartition(beginning)[2]
        if number.isdigit() and not alive(int(number)):
            remove(file)
            count += 1
    return count


def remove(place: Path) -> None:
    """A file or a folder, if it is there; a disk that refuses that keeps it."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
        return
    try:
        place.unlink(missing_ok=True)
    except OSError:  # the disk is read-only: then it was not written either
        return


def explained(error: Exception, place: Path | str = "") -> Exception:
    """The same as a line with a remedy, if it is about the disk; else as it is."""
    where = place or getattr(error, "filename", "") or "a file"
    if _is(error, *FULL):
        return FileError(f"{where} cannot be written: the disk is full; make room there, then give the same command")
    if _is(error, *CLOSED):
        return FileError(f"{where} cannot be written: it is read-only here; {REMEDY}")
    if _is(error, PLACES, ()):
        return FileError(f"{where} cannot be made: there is a file where a folder should be, or its name is too long")
    return error


def _is(error: Exception, numbers: Sequence[int], signs: Sequence[str]) -> bool:
    """By the system's number; SQLite and safetensors tell it in words."""
    return getattr(error, "errno", None) in numbers or any(sign in str(error) for sign in signs)


def damaged(error: Exception, file: Path) -> Exception:
    """The same of a file of SQLite's in the cache, which may be no database any more."""
    if any(sign in str(error) for sign in ("malformed", "not a database")):
        return FileError(f"{file} is damaged; delete it: it is made again")
    if "unable to open database file" in str(error):
        return FileError(f"{file} cannot be opened or made; {REMEDY}")
    return explained(error, file)
