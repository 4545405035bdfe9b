"""Python's search for garbage, in a process that has loaded large libraries: hundreds of thousands of objects stay."""

import gc
import sys
from collections.abc import Callable
from typing import NoReturn

RARELY = 100  # searches among younger objects before the old ones, ten by default: to load all takes a fifth less time


def process(command: Callable[[], int]) -> NoReturn:
    """A command that is all that its process is for, and the end of it, with the command's answer.

    Cycles that are left then go with the process: to look for them several times takes a second.
    """
    gc.set_threshold(*gc.get_threshold()[:2], RARELY)
    code = command()
    gc.freeze()
    sys.exit(code)
