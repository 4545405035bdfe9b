"""Ctrl-C, and being asked to end: both end what is running in order, and say what there is of it."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NOTHING = "interrupted; what is finished is kept"
told = NOTHING  # the last words of what was interrupted
number = signal.SIGINT  # by which signal


@contextmanager
def heeded() -> Iterator[None]:
    """A process that is asked to end (SIGTERM) ends as by Ctrl-C."""
    global told, number
    told, number = NOTHING, signal.SIGINT
    try:
        before = signal.signal(signal.SIGTERM, _asked_to_end)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _asked_to_end(signum: int, frame: FrameType | None) -> None:
    """Whoever works for this process is interrupted too, as a terminal would do."""
    global number
    del frame
    number = signal.Signals(signum)
    for child in multiprocessing.active_children():
        if child.pid:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGINT)
    raise KeyboardInterrupt
