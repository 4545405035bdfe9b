"""Cells whose networks are trained as one: begun one after the other up to their fit, taught together, then ended.

Each has its own claim, run in the store, checkpoints, curves, scores and model, and may fail by itself.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.plan import Cell

if TYPE_CHECKING:
    from benchmarks.result import Result
    from benchmarks.work import Job
    from methods.base import Examples, Method, RunContext
    from methods.parts.training import Lesson

MOST = 32  # Cells at once: more would hardly be faster, and hold more memory
TOGETHER = "trained_together"  # the metric that tells how many were
Attempt = Generator["Lesson | None", bool, "Result | None"]  # it stops once, where others may teach it: did they?
Steps = Generator["Lesson | None", bool, "Result"]


@dataclass
class Company:
    """Those that are trained together."""

    members: int = 1
    seconds: float = 0.0  # that each of them took: as long as all, divided

    def fitted(
        self, method: "Method", train: "Examples", validation: "Examples | None", context: "RunContext"
    ) -> Generator["Lesson | None", bool, float | None]:
        """The seconds of one of them; None where memory does not hold it beside the others, and it must fit by itself.

        Nothing of its lesson is kept here, so that memory is free when the others are through.
        """
        started = time.perf_counter()
        offered = [_offered(method, train, validation, context)]
        own = time.perf_counter() - started
        taught = yield offered.pop()
        return own + self.seconds if taught else None


def _offered(
    method: "Method", train: "Examples", validation: "Examples | None", context: "RunContext"
) -> "Lesson | None":
    """None: there is no room for it."""
    from methods.parts.memory import exhausted

    try:
        return method.lesson(train, validation, context)
    except RuntimeError as error:
        if not exhausted(error):
            raise
        return None


@dataclass(eq=False)
class Begun:
    """A Cell that has come as far as its fit."""

    cell: Cell
    attempt: Attempt
    lesson: "Lesson | None"


@dataclass(frozen=True)
class Ended:
    """What became of a Cell; None: another process is at it."""

    result: "Result | None"


def alone(attempt: Attempt) -> "Result | None":
    """What becomes of a Cell that fits by itself."""
    ended = _advanced(attempt)
    assert isinstance(ended, Ended), "a Cell without company waits for nobody"
    return ended.result


def in_company(job: "Job", told: Callable[[str], None]) -> Iterator[tuple[Cell, "Result | None"]]:
    """All Cells of a job, each as `Job.attempt` has it."""
    left = list(job.todo)
    groups = -(-len(left) // MOST)
    while left:
        yield from _group(job, left, -(-len(job.todo) // groups), told)


def _group(
    job: "Job", left: list[Cell], most: int, told: Callable[[str], None]
) -> Iterator[tuple[Cell, "Result | None"]]:
    """As many as there may be, taken from those that are left."""
    company, begun = Company(), list[Begun]()
    try:
        while left and len(begun) < most and all(one.lesson for one in begun):
            cell = left.pop(0)
            told(cell.title)
            one = Begun(cell, job.begun(cell, told, company), None)
            begun.append(one)
            reached = _advanced(one.attempt)
            if isinstance(reached, Ended):
                begun.remove(one)
                yield cell, reached.result
            else:
                one.lesson = reached
        errors = _taught([one.lesson for one in begun if one.lesson], company)
        for one in begun:
            one.lesson = None  # what it learnt from is let go
        while begun:
            one, taught = begun[0], bool(errors)
            reached = _advanced(one.attempt, taught, errors.pop(0) if taught else None)
            assert isinstance(reached, Ended), "a Cell stops once"
            begun.remove(one)
            yield one.cell, reached.result
    except BaseException as error:
        for one in begun:
            with suppress(BaseException):  # what is to be told is the first error
                one.attempt.throw(KeyboardInterrupt() if isinstance(error, GeneratorExit) else error)
        raise


def _taught(lessons: Sequence["Lesson"], company: Company) -> list[Exception | None]:
    """Of each, why it failed, if it did; of none, where memory does not hold them: then each is to fit by itself."""
    if not lessons:
        return []
    from methods.parts.memory import exhausted
    from methods.parts.together import learn_together

    company.members, started = len(lessons), time.perf_counter()
    try:
        return learn_together(lessons)
    except Exception as error:  # of all of them, but of no other row
        return [] if exhausted(error) else [error] * len(lessons)
    finally:
        company.seconds = (time.perf_counter() - started) / len(lessons)


def _advanced(attempt: Attempt, taught: bool | None = None, error: Exception | None = None) -> "Lesson | Ended | None":
    """Up to its fit, or to its end."""
    try:
        if taught is None:
            return next(attempt)
        return attempt.throw(error) if error else attempt.send(taught)
    except StopIteration as stop:
        return Ended(stop.value)
