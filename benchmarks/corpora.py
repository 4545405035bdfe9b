"""Where a corpus lies: the user's folder, or a stand-in rendered once."""

import os
import tempfile
from pathlib import Path

from benchmarks.console import Progress
from benchmarks.plugins import load, names, resolve
from datasets.base import Dataset
from datasets.clips import Advance, DatasetError, UserError
from datasets.standin import VERSION, manifest, render

CACHE = "BENCH_CACHE"
DATA = "BENCH_DATA"


class AbsentCorpusError(DatasetError):
    """The data root does not hold it."""


def data_root(given: Path | None) -> Path | None:
    """The parent folder of all corpora: as asked for, else $BENCH_DATA, else ./data; None: nothing is configured."""
    if given or os.environ.get(DATA):
        return given or Path(os.environ[DATA])
    return Path("data") if Path("data").is_dir() else None


def cache() -> Path:
    """The folder of everything that can be made again."""
    return Path(os.environ.get(CACHE) or ".benchmarks")


def node_cache() -> Path:
    """The same of a machine where a cluster's worker runs: its own cache, else a folder that nobody else can write."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE])
    folder = Path(tempfile.gettempdir()) / f"benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to somebody else; set {CACHE} to a folder of your own on every node")
    return folder


def excluded(file: Path | None) -> frozenset[str]:
    """Names of clips or files to leave out, one a line."""
    if file is None:
        return frozenset()
    if not file.is_file():
        raise DatasetError(f"there is no file {file} of names to exclude")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read as UTF-8 text ({error}); write one name a line") from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return frozenset(filter(None, lines))


def excluded_from(name: str, lines: frozenset[str]) -> frozenset[str]:
    """Names to leave out of a corpus: those written `corpus:name`, and those that name no corpus."""
    parts = [(line.partition(":")[0], line) for line in lines]
    return frozenset(line.removeprefix(f"{name}:") for of, line in parts if of == name or of not in names("datasets"))


def located(name: str, given: Path | None, exclude: frozenset[str] = frozenset()) -> Dataset | None:
    """The corpus in the data root; None where nothing is configured. A configured root must hold it."""
    kind, exclude = load("datasets", name), excluded_from(resolve("datasets", name), exclude)
    root = data_root(given)
    if root is None:
        return None
    folder = root / resolve("datasets", name)
    if not folder.is_dir():
        found: Dataset = kind(folder)
        raise AbsentCorpusError(f"{found.title} is not at {folder}; {found.how_to_get}; layout there: {found.layout}")
    corpus: Dataset = kind(folder, exclude)
    return corpus


def standin(name: str, out: Path | None, full: bool, seed: int, advance: Advance, exclude: frozenset[str]) -> Dataset:
    """The stand-in of a corpus, rendered on first use. Below `out` it can serve as a data root."""
    canonical = resolve("datasets", name)
    size = "full" if full else "small"
    folder = out / canonical if out else cache() / "standins" / f"{canonical}-{size}-v{VERSION}-seed{seed}"
    corpus: Dataset = load("datasets", name)(folder, excluded_from(canonical, exclude))
    if folder.exists() and not corpus.standin:
        raise DatasetError(f"{folder} holds something else; choose another folder with --out")
    if folder.exists() and (made := manifest(corpus)) != (VERSION, seed, full):
        told = f"version {made[0]}, seed {made[1]}{', full' if made[2] else ''}"
        raise DatasetError(f"{folder} holds another stand-in ({told}); delete it or choose another folder with --out")
    if not folder.exists():
        render(corpus, full, seed, advance=advance)
    return corpus


def opened(
    name: str,
    given: Path | None,
    exclude: frozenset[str],
    progress: Progress,
    full: bool = False,
) -> Dataset:
    """The corpus where it is configured; else its stand-in, rendered on first use."""
    corpus = located(name, given, exclude)
    if corpus is None:
        with progress(f"rendering a stand-in of {name}") as advance:
            corpus = standin(name, None, full, 0, advance, exclude)
    return corpus
