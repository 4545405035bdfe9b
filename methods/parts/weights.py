"""Published weights: found on disk, else downloaded, else one line that says what to put where."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from methods.base import MethodError

FOLDER = "BENCH_WEIGHTS"


@dataclass(frozen=True)
class WeightStore:
    """Files of weights in a folder; `none` is the user's explicit wish to go without."""

    folder: Path
    none: bool = False

    def find(self, name: str, url: str, digest: str) -> Path | None:
        """A file whose SHA-256 starts with `digest`."""
        if self.none:
            return None
        file = self.folder / name
        if not file.is_file():
            _download(url, file)
        found = _sha256(file)
        if not found.startswith(digest):
            raise MethodError(
                f"{file} is not the published file (SHA-256 {found[:16]}, not {digest}…); get {url} again"
            )
        return file


def folder() -> Path:
    """Where weights lie unless asked otherwise: $BENCH_WEIGHTS, else the cache of PyTorch's own downloads."""
    home = Path(os.environ.get("TORCH_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"))
    return Path(os.environ.get(FOLDER, home / "hub" / "checkpoints")).expanduser()


def _download(url: str, file: Path) -> None:
    from torch.hub import download_url_to_file

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(file), progress=False)  # writes beside it, then renames
    except (URLError, OSError) as error:
        raise MethodError(
            f"{file} is not there and cannot be downloaded ({getattr(error, 'reason', error)}); "
            f"get {url}, put it there (or name its folder with --weights DIR), or ask for --weights none"
        ) from None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
