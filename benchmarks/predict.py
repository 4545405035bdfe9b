"""The `predict` command: one file or a folder through a finished model, as a whole and window by window."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.console import Progress, Tell
from benchmarks.files import drawable
from benchmarks.model import Model, rebuilt
from benchmarks.plugins import PluginError
from benchmarks.prepare import reason
from benchmarks.registry import chosen
from benchmarks.track import MODEL, Tracker
from datasets.clips import DatasetError, Media, UserError
from datasets.loose import Loose, loose, media_files
from methods.parts.weights import WeightStore

LONGEST = 60.0  # seconds of a file that a method is asked about as a whole
MOST = 100_000  # windows of a file
TIE = 1e-6


@dataclass(frozen=True)
class Windows:
    """How a file is looked at over time: so many seconds, begun every so many."""

    seconds: float = 2.0
    every: float = 0.5

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value > 0 for value in (self.seconds, self.every)):
            raise PluginError(
                f"--window and --step must be above 0 and finite, but are {self.seconds} and {self.every}"
            )

    def of(self, seconds: float) -> list[tuple[float, float]]:
        """From and to; the last is moved to end with the file, and a file shorter than a window is one."""
        if seconds <= self.seconds + TIE:
            return [(0.0, seconds)]
        last = seconds - self.seconds
        if last / self.every > MOST:
            raise PluginError(
                f"--step {self.every:g} makes more than {MOST} windows of {seconds:g} s; give a larger one"
            )
        starts = [number * self.every for number in range(max(1, round(last / self.every)))] + [last]
        return [(start, start + self.seconds) for start in starts]


@dataclass(frozen=True)
class Answer:
    """Of one file."""

    clip: Loose
    classes: tuple[str, ...]
    seconds: float
    windows: Sequence[tuple[float, float]]
    over_time: npt.NDArray[np.float64]  # [windows, classes]
    whole: npt.NDArray[np.float64] | None  # [classes]; None where the file is too long to be one clip

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """[classes]"""
        return self.over_time.mean(axis=0) if self.whole is None else self.whole

    @property
    def basis(self) -> str:
        """What the clip's probabilities are of."""
        return f"the mean of {len(self.windows)} windows" if self.whole is None else "the whole clip"

    @property
    def answer(self) -> str:
        return self.classes[int(self.probabilities.argmax())]


def predicted(model: Model, file: Path, windows: Windows, advance: Tell, over_time: bool = True) -> Answer:
    """The answers of a model for a file, one window after another; what none needs any more is forgotten."""
    clip = loose(file)
    model.fits(clip)
    seconds = min(clip.seconds[kind] for kind in model.kinds)
    spans = windows.of(seconds) if over_time or seconds > LONGEST else [(0.0, seconds)]
    single = len(spans) == 1
    whole = _asked(model, clip, clip.media, "") if single or seconds <= LONGEST else None
    if single and whole is not None:
        return Answer(clip, model.classes, seconds, spans, whole[None], whole)
    rows = []
    for number, ((start, end), media) in enumerate(zip(spans, clip.parts(spans), strict=True)):
        advance(number, len(spans), f"{start:.1f} s")
        rows.append(_asked(model, clip, media, f"from {start:.1f} to {end:.1f} s: "))
    advance(len(spans), len(spans), "")
    return Answer(clip, model.classes, seconds, spans, np.stack(rows), whole)


@dataclass(frozen=True)
class Fault:
    """Why there is no answer of a file."""

    file: Path
    why: str


@dataclass(frozen=True)
class Asked:
    """Which files, looked at how."""

    paths: Sequence[Path]
    windows: Windows
    several: bool  # then one that is broken costs the others nothing

    def answers(self, model: Model, progress: Progress) -> Iterator[Answer | Fault]:
        """Of each file."""
        with progress(f"predicting with {model.facts['method']}") as advance:
            for number, path in enumerate(self.paths):
                try:
                    yield predicted(model, path, self.windows, self._tell(advance, number, path.name))
                except UserError as error:
                    if not self.several:
                        raise
                    yield Fault(path, str(error))

    def _tell(self, advance: Tell, number: int, name: str) -> Tell:
        """A bar of files, or of the windows of one."""

        def tell(done: int, total: int, now: str = "") -> None:
            if self.several:
                advance(number, len(self.paths), f"{name} {now}")
            else:
                advance(done, total, now)

        tell(0, 1)
        return tell


def asked(clip: Path, windows: Windows, figure: Path | None) -> Asked:
    """The file, or all media files of a folder; what cannot be is told before any model is read."""
    if figure:
        drawable(figure, "--figure")
    if not clip.is_dir():
        loose(clip)
        return Asked([clip], windows, False)
    if figure:
        raise PluginError(f"--figure draws one file, but {clip} is a folder; name a file of it")
    if not (there := media_files(clip)):
        raise DatasetError(f"{clip} holds no media file; name a film, a sound or a picture")
    return Asked(there, windows, True)


def finished(tracker: Tracker, run: str, weights: WeightStore, device: str) -> tuple[str, Model]:
    """The run's id and its model."""
    run_id = chosen(tracker, run)
    facts = tracker.document(run_id, "cell.json")
    if facts.get("weightless"):
        weights = replace(weights, none=True)
    with TemporaryDirectory() as folder:
        model = tracker.model(run_id, Path(folder) / "model", MODEL)
        return run_id, rebuilt(facts, model, weights, device)


def _asked(model: Model, clip: Loose, media: Media, when: str) -> npt.NDArray[np.float64]:
    """A method's own fault on a file is told in a line as the file's is."""
    try:
        return model.probabilities(media)
    except Exception as error:
        why = reason(error).removeprefix(f"clip {media.clip_id} ")
        raise DatasetError(f"{clip.file} {when}{why}") from error
