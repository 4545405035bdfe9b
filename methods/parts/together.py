"""Folds of one small network trained together: one batched network, in which each learns what it learns alone.

A GPU is idle most of the time while one small network is trained; a benchmark trains the same one once a fold.

Each has its own shuffling, dropout, optimiser's state, curves, judge and checkpoints, as if it were alone; one step
moves all. One that is cut short goes on alone, or together. Whoever has fewer batches an epoch sits the last one out,
whoever goes on at a later epoch waits until the others are there, and whoever fails, with a loss that is no number,
costs the others nothing. Where memory does not hold all at once, or a library's kernel takes no network of that size,
half of them are asked at a time, in the end each in the usual way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from warnings import warn

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from methods.base import MethodError
from methods.parts.course import Course
from methods.parts.memory import exhausted
from methods.parts.stacked import Chance, Drawn, Inputs, Stacked, drawn_from, laid_out, likeness, unparted
from methods.parts.training import (
    Lesson,
    Step,
    accelerated,
    batches,
    channels_last,
    enough,
    finish,
    in_brief,
    judge,
    learn,
    mixed_precision,
    optimiser_of,
    precise,
    report,
    sent,
)


def learn_together(lessons: Sequence[Lesson]) -> list[Exception | None]:
    """Networks alike, by schedules alike, each as `learn` teaches it; of each, why it failed, if it did.

    Where memory does not even hold their numbers side by side it raises, and what they learnt counts for nothing.
    """
    if len(lessons) == 1:
        return [_alone(lessons[0])]
    if len({lesson.schedule for lesson in lessons}) != 1:
        raise MethodError("networks are taught together by one schedule, but these have several; group them")
    if accelerated(lessons[0].targets.device):
        for lesson in lessons:
            channels_last(lesson.network)
    stacked = Stacked([lesson.network for lesson in lessons])
    learners = [Learner(number, lesson) for number, lesson in enumerate(lessons)]
    company = Company(stacked, learners)
    with unparted():
        for epoch in range(1, lessons[0].schedule.epochs + 1):
            if present := [learner for learner in learners if learner.epoch == epoch]:
                company.teach(present)
    stacked.part()
    for learner in learners:
        finish(learner.lesson.network, learner.course)
    return [learner.error for learner in learners]


def _alone(lesson: Lesson) -> Exception | None:
    try:
        learn(lesson)
    except Exception as error:
        return error
    return None


class Learner:
    """One of several: all that is its own."""

    def __init__(self, number: int, lesson: Lesson) -> None:
        self.number, self.lesson = number, lesson
        network, schedule, run = lesson.network, lesson.schedule, lesson.run
        optimiser = optimiser_of(network.parameters(), schedule)
        self.shuffler = Generator().manual_seed(run.seed)
        self.chance: Chance = drawn_from(run.seed, lesson.targets.device)
        self.course = Course(run, network, (self.shuffler,), optimiser)
        self.course.chance = self.chance
        self.step = Step(network, lesson.forward, lesson.targets, optimiser, schedule.clip_norm)
        self.epoch: int | None = None  # which is to be learnt; None: it is through, or has failed
        self.error: Exception | None = None
        self._epochs = self.course.epochs(schedule.epochs)
        try:
            enough(lesson.targets)
            self.epoch = next(self._epochs, None)
        except Exception as error:  # one's fault must not cost the others
            self.failed(error)

    def batches(self) -> Iterator[Tensor]:
        """Of an epoch, the numbers of examples."""
        order = torch.randperm(len(self.lesson.targets), generator=self.shuffler)
        yield from batches(order, self.lesson.schedule.batch)

    def ended(self, losses: Tensor, hits: Tensor) -> None:
        """An epoch: it is told, judged and kept."""
        lesson, course, epoch = self.lesson, self.course, self.epoch
        assert epoch is not None
        try:
            self.step.tell(course, epoch)
            report(losses, hits, len(lesson.targets), epoch, course.run)
            judge(lesson.network, course, epoch, lesson.validate, lesson.keep)
            self.epoch = next(self._epochs, None)
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """It is taught no more."""
        self.epoch, self.error = None, error


@dataclass(frozen=True)
class Turn:
    """A learner and its next batch."""

    learner: Learner
    rows: Tensor  # the numbers of its examples
    inputs: Inputs  # none where each is asked by itself


Taught = tuple[list[int], Tensor, Tensor]  # whose batches, the sums of their losses, how many were recognised


class Company:
    """Several learners in one stack."""

    def __init__(self, stacked: Stacked, learners: Sequence[Learner]) -> None:
        self._stacked, self._device = stacked, learners[0].lesson.targets.device
        self._all = self._most = len(learners)  # that memory holds at once
        self._targets = nn.utils.rnn.pad_sequence([one.lesson.targets for one in learners], batch_first=True)
        self._optimisers = dict[tuple[int, ...], Optimizer]()  # of those who go together

    def teach(self, present: Sequence[Learner]) -> None:
        """An epoch; the device is looked at once, at its end."""
        who, losses, hits = list[int](), list[Tensor](), list[Tensor]()
        for learner in present:
            learner.lesson.network.train()
        orders = [learner.batches() for learner in present]
        for chosen in zip_longest(*orders):
            turns = zip(present, chosen, strict=True)
            busy = [(one, rows) for one, rows in turns if rows is not None and not one.error]
            for some, lost, hit in self._taught(busy):
                who += some
                losses.append(lost)
                hits.append(hit)
        going = [learner for learner in present if not learner.error]
        if not going:
            return
        owners, lost, hit = torch.tensor(who), torch.cat(losses).cpu(), torch.cat(hits).cpu()
        for learner in going:
            own = owners == learner.number
            if self._most < self._all:
                learner.course.run.log("networks_at_once", self._most, learner.epoch or 0)
            learner.ended(lost[own], hit[own])

    def _taught(self, busy: Sequence[tuple[Learner, Tensor]]) -> Iterator[Taught]:
        """A batch of each."""
        waiting = self._alike(busy)
        while waiting:
            some = waiting.pop()
            if len(some) == 1:
                yield from self._one(some[0])
            elif len(some) > self._most:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
            elif told := self._several(some):
                yield told
            else:
                self._most = (len(some) + 1) // 2
                waiting.append(some)
                if accelerated(self._device):
                    torch.cuda.empty_cache()

    def _alike(self, busy: Sequence[tuple[Learner, Tensor]]) -> list[list[Turn]]:
        """By what their inputs have in common: last batches may differ in size. At worst each by itself."""
        found: dict[object, list[Turn]] = {}
        if self._most > 1:
            try:
                for one, rows in busy:
                    turn = Turn(one, rows, one.lesson.inputs(rows))
                    found.setdefault(likeness(turn.inputs), []).append(turn)
                return list(found.values())
            except RuntimeError as error:
                if not exhausted(error):
                    raise
                self._most = 1
        return [[Turn(one, rows, {})] for one, rows in busy]

    def _one(self, turn: Turn) -> Iterator[Taught]:
        """As if it were alone; nothing, where it fails."""
        learner = turn.learner
        try:
            with Drawn([learner.chance], torch.tensor(0)):
                loss, hit = learner.step(turn.rows)
        except MethodError as error:
            learner.failed(error)
            return
        self._stacked.link(learner.number)
        yield [learner.number], (loss * len(turn.rows))[None], hit[None]

    def _several(self, some: Sequence[Turn]) -> Taught | None:
        """At once; None: memory ran out, or a library cannot do so many."""
        learners = [turn.learner for turn in some]
        numbers = [learner.number for learner in learners]
        self._stacked.forget(numbers)
        try:
            inputs = laid_out([turn.inputs for turn in some])
            places = torch.stack([turn.rows + turn.learner.number * self._targets.shape[1] for turn in some])
            wanted = self._targets.flatten()[sent(places, self._device)]
            with mixed_precision(self._device):
                logits = self._stacked(numbers, inputs, [learner.chance for learner in learners])
            losses = nn.functional.cross_entropy(precise(logits).mT, wanted, reduction="none").mean(dim=1)
            losses.sum().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not exhausted(error):
                if not accelerated(self._device):
                    raise  # there one alone would raise it as well
                told = f"{len(some)} networks are not trained at once, for that failed: {in_brief(error)}"
                warn(told, RuntimeWarning, stacklevel=2)
            return None
        for learner in learners:
            learner.step.clip()
        self._optimiser(learners).step()
        hits = (logits.detach().argmax(dim=2) == wanted).sum(dim=1)
        return numbers, losses.detach() * wanted.shape[1], hits

    def _optimiser(self, learners: Sequence[Learner]) -> Optimizer:
        """One for all of them, for each start costs; what it keeps of a weight is what the learner's own keeps.

        All of them have made a step before, or none has: fused SGD wants that.
        """
        numbers = tuple(learner.number for learner in learners)
        if numbers not in self._optimisers:
            kept: dict[Tensor, dict[str, Tensor]] = {
                weight: learner.step.optimiser.state[weight]
                for learner in learners
                for weight in learner.lesson.network.parameters()
            }
            self._optimisers[numbers] = optimiser_of(kept, learners[0].lesson.schedule)
            self._optimisers[numbers].state.update(kept)
        return self._optimisers[numbers]
