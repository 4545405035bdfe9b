"""A clip of five seconds through a fitted method, as `predict` does it: in a fresh process, then in a warm one."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arenas import Arena
from benchmarks.console import Progress
from benchmarks.model import Model
from benchmarks.plan import Row
from benchmarks.predict import Windows, predicted
from benchmarks.record import cell_tags, membership, model_facts
from benchmarks.run import Request, plan
from benchmarks.settings import assigned
from benchmarks.speed.measure import Measure, Told, alternating, attempted, taken
from benchmarks.speed.media import looped, spread
from benchmarks.speed.memory import gpu_peak
from benchmarks.speed.short import APART, stages
from benchmarks.track import MODEL, Tracker
from datasets.clips import Clip
from datasets.loose import loose
from methods.base import Examples, Method, MethodError, Prepared, RunContext

CLIP = 5.0  # seconds
TIMES = 3  # the best counts
TAUGHT = 2  # clips of each class


@dataclass(frozen=True)
class Ready:
    """A method that has learnt a little, as a run would keep it, and a film to ask it about."""

    row: Row
    arena: Arena
    method: Method
    film: Path
    device: str

    @property
    def model(self) -> Model:
        return Model(self.method, self.row.frozen, self.facts, self.device)

    @property
    def facts(self) -> dict[str, object]:
        return membership(self.row, self.arena, self.row.cells[0]) | model_facts(self.row)

    def keep(self, tracker: Tracker) -> str:
        """In a store, for `predict`; the run's id."""
        cell, experiment = self.row.cells[0], tracker.experiment("speed")
        tags = cell_tags(self.row, self.arena, cell, self.device)
        with tracker.cell(experiment, "", self.row.title, tags) as run, TemporaryDirectory() as folder:
            place = Path(folder, MODEL).relative_to(folder).relative_to("model")
            (Path(folder) / place).mkdir(parents=True)
            self.method.save(Path(folder) / place)
            run.finish_model(Path(folder), self.facts)
        return run.run_id


def measures(request: Request, progress: Progress) -> Iterator[Told]:
    """Of each method, at the preset that a run would take; random weights take as long as published ones."""
    planned = plan(replace(request, method="all", weights="none", pretrain_on="none"), progress)
    with TemporaryDirectory() as folder:
        tracker = Tracker(f"sqlite:///{folder}/results.db")
        for number, (row, arena) in enumerate(planned.rows):
            place = Path(folder) / row.name
            place.mkdir()
            with progress(f"predicting with {row.name}") as advance:
                tell = partial(advance, number, len(planned.rows))
                yield from attempted(
                    "predict", row.name, partial(_asked, row, arena, planned.device, place, tracker, tell)
                )


def _asked(
    row: Row, arena: Arena, device: str, folder: Path, tracker: Tracker, tell: Callable[[str], None]
) -> Iterator[Told]:
    tell("learning from a few clips")
    ready = taught(row, arena, device, folder)
    tell("first clip of a fresh process")
    yield from attempted("predict", f"{row.name}: first clip", lambda: [cold(ready, tracker)])
    tell("next clips")
    yield from warm(ready)


def taught(row: Row, arena: Arena, device: str, folder: Path) -> Ready:
    """One epoch of a few clips, prepared for it; and a film made of one that was not among them."""
    short = replace(row, config=assigned(row.name, row.config, dict.fromkeys(stages(row.config), 1)))
    fold = row.cells[0].fold
    some = spread(arena.clips, TAUGHT * len(fold.labels) + 1)
    method, (shown, *learnt) = short.method(), some
    film = looped(shown.media, folder / "clip.avi", CLIP)

    def examples(clips: Sequence[Clip]) -> Examples:
        inputs = [_prepared(short, clip, device) for clip in clips]
        return Examples(inputs, fold.labels, tuple(clip.label for clip in clips))

    apart = examples(learnt[::APART]) if row.kind.validates else None
    method.fit(examples(learnt), apart, RunContext(0, device, pretrained=row.pretrained))
    return Ready(short, arena, method, film, device)


def cold(ready: Ready, tracker: Tracker) -> Measure:
    """The command itself, with all that a process loads before its first answer."""
    words = (str(ready.film), "--run", ready.keep(tracker), "--tracking-uri", tracker.uri, "--json")
    command = [sys.executable, "-m", "benchmarks", "predict", *words, "--device", ready.device]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise MethodError(f"predict with {ready.row.name} failed: {done.stderr.strip().splitlines()[-1]}")
    return Measure(
        "predict", f"{ready.row.name}: first clip, in a fresh process, with windows", seconds, media_seconds=CLIP
    )


def warm(ready: Ready) -> Iterator[Measure]:
    """The answer to the whole clip, and the answers over time beside windows that are asked about one by one."""
    model, clip, windows = ready.model, loose(ready.film), Windows()
    gpu_peak(ready.device)
    whole = min(taken(lambda: predicted(model, ready.film, windows, _silent, over_time=False)) for _ in range(TIMES))
    what, memory = f"{ready.row.name}: next clips, as a whole", gpu_peak(ready.device)
    yield Measure("predict", what, whole, media_seconds=CLIP, gpu_memory=memory)

    def one_by_one() -> None:
        for media in (clip.media, *(clip.part(*span) for span in windows.of(CLIP))):
            model.probabilities(media)

    def ours() -> None:
        predicted(model, ready.film, windows, _silent)

    ours()
    what, memory = f"{ready.row.name}: next clips, with windows", gpu_peak(ready.device)
    seconds, plain = alternating(ours, one_by_one, TIMES)
    yield Measure("predict", what, seconds, "preparation and method one by one", plain, CLIP, gpu_memory=memory)


def _prepared(row: Row, clip: Clip, device: str) -> Prepared:
    inputs = row.method().preparation()(clip.media)
    return row.frozen(inputs, device) if row.frozen else inputs


def _silent(done: int, total: int, now: str = "") -> None:
    """Nobody watches each window."""
