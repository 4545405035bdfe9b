"""A synthetic corpus in the layout of a real one, for trying, testing and comparing where the real one is absent.

Deterministic by seed. No result on it says anything about the real corpus: its manifest marks it, and everything that
reads it repeats the mark.
"""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.base import MANIFEST, Dataset, Planned, Recorded
from datasets.clips import Advance, file_digest

if TYPE_CHECKING:
    from datasets.rendering.film import Studio

VERSION = 1  # raised when anything that a stand-in shows changes
SMALL_HEIGHT = 240


def recorded_as(dataset: Dataset, full: bool) -> Recorded:
    """As the real corpus was recorded; the small one in small pictures."""
    real = dataset.recorded
    if full or real.height <= SMALL_HEIGHT:
        return real
    return replace(real, width=round(real.width * SMALL_HEIGHT / real.height / 4) * 4, height=SMALL_HEIGHT)


def manifest(dataset: Dataset) -> tuple[int, int, bool]:
    """Version, seed and size of a stand-in that is there."""
    made = json.loads((dataset.root / MANIFEST).read_text())
    return made["version"], made["seed"], made["full"]


def render(
    dataset: Dataset,
    full: bool = False,
    seed: int = 0,
    processes: int | None = None,
    advance: Advance | None = None,
) -> None:
    """Render into the dataset's root, which appears only when everything in it is complete."""
    from datasets.rendering.film import Studio, write  # here, for what is there already needs nothing of it

    plans = list(dataset.plan(full))
    studio = Studio(dataset.name, seed, recorded_as(dataset, full))
    unfinished = dataset.root.with_name(f".{dataset.root.name}-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
            by_person = sorted(plans, key=lambda plan: (plan.scenes[0].person, plan.path))
            for done, _ in enumerate(
                pool.map(partial(write, folder=unfinished, studio=studio), by_person, chunksize=4)
            ):
                if advance:
                    advance(done + 1, len(plans))
        for path, content in dataset.annotations(plans):
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_bytes(content)
        (unfinished / MANIFEST).write_text(_manifest(dataset, plans, unfinished, studio, full))
        _settle(unfinished, dataset)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _settle(unfinished: Path, dataset: Dataset) -> None:
    """Into place at once; where another process was faster, its copy is the same."""
    try:
        unfinished.rename(dataset.root)
    except OSError:
        if not dataset.standin:
            raise


def _manifest(dataset: Dataset, plans: list[Planned], folder: Path, studio: "Studio", full: bool) -> str:
    entries = {scene.entry.name: scene.entry for plan in plans for scene in plan.scenes}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {
        "standin": "a synthetic stand-in: no result on it says anything about the real corpus",
        "corpus": dataset.name,
        "version": VERSION,
        "seed": studio.seed,
        "full": full,
        "recorded": asdict(studio.recorded),
        "clips": sum(not entry.left_out and entry.label in dataset.labels for entry in entries.values()),
        "files": {path.relative_to(folder).as_posix(): file_digest(path) for path in files},
    }
    return json.dumps(content, indent=1)
