"""Files that a reader never sees half of."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4


def whole(file: Path, write: Callable[[Path], None]) -> None:
    """Written beside its place under a name of its own, then put there; nothing is left where that fails."""
    half = file.with_name(f".{file.stem}-{uuid4().hex}{file.suffix}")  # two may write the same file
    try:
        write(half)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


def text(file: Path, told: str) -> None:
    """A text as a whole file."""

    def write(half: Path) -> None:
        half.write_text(told, encoding="utf-8")

    whole(file, write)
