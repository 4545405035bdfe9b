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
Attempt = Generator["Lesson | None", None, "Result | None"]  # None: it wants to fit by itself, after the others
Steps = Generator["Lesson | None", None, "Result"]


@dataclass
class Company:
    """Those that are trained together."""

    members: int = 1
    seconds: float = 0.0  # that each of them took: as long as all, divided

    def fitted(
        self, method: "Method", train: "Examples", validation: "Examples | None", context: "RunContext"
    ) -> Generator["Lesson | None", None, tuple[float, dict[str, float]]]:
        """One of them: its seconds, and what is to be told of the others.

        What memory does not hold beside the others is fitted by itself, when they are through.
        """
        from torch import OutOfMemoryError

        started, lesson = time.perf_counter(), None
        with suppress(OutOfMemoryError):
            lesson = method.lesson(train, validation, context)
        own = time.perf_counter() - started
        yield lesson
        if lesson:
            return own + self.seconds, {TOGETHER: self.members} if self.members > 1 else {}
        started = time.perf_counter()
        method.fit(train, validation, context)
        return time.perf_counter() - started, {}


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
        while begun:
            one = begun[0]
            one.lesson = None  # what it learnt from is let go
            reached = _advanced(one.attempt, errors.pop(0) if errors else None)
            assert isinstance(reached, Ended), "a Cell fits once"
            begun.remove(one)
            yield one.cell, reached.result
    except BaseException as error:
        for one in begun:
            with suppress(BaseException):  # what is to be told is the first error
                one.attempt.throw(KeyboardInterrupt() if isinstance(error, GeneratorExit) else error)
        raise


def _taught(lessons: Sequence["Lesson"], company: Company) -> list[Exception | None]:
    """Of each, why it failed, if it did."""
    if not lessons:
        return []
    from methods.parts.together import learn_together

    company.members, started = len(lessons), time.perf_counter()
    try:
        return learn_together(lessons)
    except Exception as error:  # of all of them, but of no other row
        return [error] * len(lessons)
    finally:
        company.seconds = (time.perf_counter() - started) / len(lessons)


def _advanced(attempt: Attempt, error: Exception | None = None) -> "Lesson | Ended | None":
    """Up to its fit, or to its end."""
    try:
        return attempt.throw(error) if error else next(attempt)
    except StopIteration as stop:
        return Ended(stop.value)
