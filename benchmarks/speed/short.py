"""A few clips prepared and short fits made, with the methods' own code, and timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.console import Progress
from benchmarks.handed import handed
from benchmarks.pool import FEW, cores
from benchmarks.prepare import Wanted, fill, passed_through, prepared
from benchmarks.settings import assigned, flat
from benchmarks.speed.media import lasting, spread
from datasets.clips import Advance, Clip
from methods.base import Examples, Method, RunContext

if TYPE_CHECKING:
    from benchmarks.speed.estimate import Work

TIMED = 4  # clips whose preparation is timed
PART = 32  # clips that the short fits learn from
LONG = 3  # epochs of the longer of two fits
APART = 5  # one clip of so many chooses an epoch, of methods that do
EPOCHS = "epochs"  # what methods that train by gradient call their number
Clock = Callable[[], float]
Fitted = tuple[float, int, Method]  # seconds, points of its curves, and what was fitted


@dataclass(frozen=True)
class Costs:
    """Seconds of a fit for each of its clips."""

    once: float = 0.0  # whatever the number of epochs
    epoch: Mapping[str, float] = field(default_factory=dict)  # by the setting that tells how many there are

    def of(self, epochs: Mapping[str, int], clips: int) -> float:
        """A fit's seconds."""
        return clips * (self.once + sum(epochs[name] * seconds for name, seconds in self.epoch.items()))


@dataclass(frozen=True)
class Found:
    """What was measured; nothing where there is nothing to do."""

    preparing: float = 0.0  # seconds, of all that is not prepared
    costs: Costs = field(default_factory=Costs)
    answer: float = 0.0  # seconds for a clip


def stages(config: object) -> dict[str, int]:
    """Trainings in a fit, by the setting that tells how many epochs each takes."""
    return {name: value for name, value in flat(config).items() if name.rpartition(".")[2] == EPOCHS}


def fit_costs(fitted: Callable[[Mapping[str, int]], Fitted], names: Sequence[str], clips: int) -> tuple[Costs, Method]:
    """From fits of one epoch a stage, and for each stage one in which it is longer.

    The first fit loads what all need, so it is not timed. A stage that tells no more points is not in use.
    """
    one = dict.fromkeys(names, 1)
    fitted(one)
    short, points, method = fitted(one)
    epoch = dict[str, float]()
    for name in names:
        longer, told, _ = fitted(one | {name: LONG})
        epoch[name] = max(0.0, longer - short) / (LONG - 1) / clips if told > points else 0.0
    return Costs(max(0.0, short / clips - sum(epoch.values())), epoch), method


@dataclass(frozen=True)
class Short:
    """Does a little of what a run does much of."""

    device: str
    progress: Progress
    clock: Clock

    def measured(self, work: "Work", initial: Mapping[str, Path] | None = None) -> Found:
        """What is prepared for it stays prepared. `initial` are the models that a fit begins with."""
        preparing = self._preparing(work)
        part = spread(work.clips, PART)
        store = fill(work.row, part, work.contents, self.device, self.progress)
        apart = part[::APART] if work.row.kind.validates else []

        def examples(clips: Sequence[Clip]) -> Examples:
            media = [clip.media for clip in clips]
            return Examples(handed(store, media), work.labels, tuple(clip.label for clip in clips))

        learnt = examples([clip for clip in part if clip not in apart])
        costs, method = self._fitting(work, learnt, examples(apart) if apart else None, initial or {})
        return Found(preparing, costs, self._answering(method, examples(part)))

    def begun(self, lesson: "Work", folder: Path) -> Path:
        """A model such as fits begin with, of an epoch: they take as long from it as from one that was taught."""
        row, some = lesson.row, spread(lesson.clips, PART)
        store = fill(row, some, lesson.contents, self.device, self.progress)
        method = row.kind(assigned(row.name, row.config, dict.fromkeys(stages(row.config), 1)), row.modality)
        inputs = handed(store, [clip.media for clip in some])
        learnt = Examples(inputs, lesson.labels, tuple(clip.label for clip in some))
        with self.progress(lesson.title) as advance:
            advance(0, 1, "a short one, to begin with")
            method.fit(learnt, None, RunContext(0, self.device, pretrained=row.pretrained))
        folder.mkdir()
        method.save(folder)
        return folder

    def _fitting(
        self, work: "Work", learnt: Examples, apart: Examples | None, initial: Mapping[str, Path]
    ) -> tuple[Costs, Method]:
        row, names = work.row, list(stages(work.row.config))

        with self.progress(f"short fits of {row.name}") as advance:

            def fitted(epochs: Mapping[str, int]) -> Fitted:
                method, told = row.kind(assigned(row.name, row.config, epochs), row.modality), list[str]()

                def log(name: str, value: float, step: int) -> None:
                    told.append(name)
                    advance(0, 1, f"epoch {step}: {name} {value:.3f}")

                begun = self.clock()
                method.fit(learnt, apart, RunContext(0, self.device, log, row.pretrained, initial))
                return self.clock() - begun, len(told), method

            return fit_costs(fitted, names, len(learnt))

    def _answering(self, method: Method, asked: Examples) -> float:
        method.predict_proba(asked)
        begun = self.clock()
        method.predict_proba(asked)
        return (self.clock() - begun) / len(asked)

    def _preparing(self, work: "Work") -> float:
        """In as many processes as a run has; a frozen network works on one clip after the other."""
        row, contents = work.row, work.contents
        store = fill(row, [], contents, self.device, self.progress)
        before, unseen = (store.source or store).missing(work.clips), store.missing(work.clips)
        with self.progress(f"preparing some clips for {row.name}") as advance:

            def prepare(clips: Sequence[Clip], done: Advance) -> None:
                prepared(Wanted.by(row, clips, contents), done)

            seconds = self._scaled(before, prepare, advance) / (cores() if len(before) > FEW else 1)
            if row.frozen:
                prepare(_timed(unseen), advance)
                passing = partial(passed_through, row.frozen, store.source or store)
                seconds += self._scaled(unseen, lambda clips, done: passing(clips, self.device, done), advance)
        return seconds

    def _scaled(
        self, missing: Sequence[Clip], work: Callable[[Sequence[Clip], Advance], object], advance: Advance
    ) -> float:
        """Seconds for all that is missing; timed from the first clip on, for which libraries are loaded."""
        chosen, moments = _timed(missing), list[float]()

        def done(number: int, most: int) -> None:
            moments.append(self.clock())
            advance(number, most)

        if chosen:
            work(chosen, done)
        if len(moments) < 2:
            return 0.0
        rest = [clip for clip in missing if clip not in chosen]
        whole, part = lasting(rest), lasting(chosen[1:])
        return (moments[-1] - moments[0]) * (whole / part if part else len(rest) / (len(chosen) - 1))


def _timed(missing: Sequence[Clip]) -> list[Clip]:
    return spread(missing, TIMED + 1)
