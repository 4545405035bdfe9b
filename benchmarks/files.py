"""Files that are there whole or not at all; what keeps one from being written is one line."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from datasets.base import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class FileError(UserError):
    """The disk does not take a file."""


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place beside the file for what is to be written; it becomes the file once all of it is there."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(file)
    except (OSError, SafetensorError) as error:
        raise explained(error, file) from None
    finally:
        remove(beside)


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
    number = getattr(error, "errno", None)
    where = place or getattr(error, "filename", "") or "a file"
    text = str(error)
    if number in FULL or any(sign in text for sign in ("StorageFull", "disk is full", "No space left")):
        return FileError(f"{where} cannot be written: the disk is full; make room there, then give the same command")
    if number in CLOSED or any(
        sign in text for sign in ("ReadOnlyFilesystem", "PermissionDenied", "readonly database")
    ):
        return FileError(
            f"{where} cannot be written ({getattr(error, 'strerror', '') or 'not writable'}); make it writable, or name "
            "another folder for the cache with BENCH_CACHE, for results with --tracking-uri"
        )
    return error
