"""Where the time of a step of training goes: of each network of a fit two, by PyTorch's profiler."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from methods.parts.training import Step

WARM = 4  # steps before; compiled ones are recorded in the second
LOOKED_AT = 2
NEEDED = WARM + LOOKED_AT  # epochs of a fit in which every network takes so many steps
ROWS, LETTERS = 30, 90  # of a table, of a name in it


@contextmanager
def profiled(file: Path, title: str, device: str) -> Iterator[None]:
    """Of the fits that are made meanwhile; what is found is added to the file."""
    plain, looks = Step.__call__, list[_Look]()

    def looked_at(own: Step, chosen: Tensor) -> tuple[Tensor, Tensor]:
        look = next((look for look in looks if look.step is own), None)
        if look is None:
            looks.append(look := _Look(own, device))
        look.before(len(chosen))
        told = plain(own, chosen)
        if table := look.after():
            with file.open("a", encoding="utf-8") as stream:
                stream.write(f"{title}: {table}\n\n")
        return told

    Step.__call__ = looked_at  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Step.__call__ = plain  # type: ignore[method-assign]


class _Look:
    """At the steps of one network."""

    def __init__(self, step: Step, device: str) -> None:
        self.step, self._device, self._sizes = step, device, list[int]()
        kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
        self._profile = profile(activities=kinds, acc_events=True)  # else it warns of cycles, which are not here

    def before(self, size: int) -> None:
        self._sizes.append(size)
        if len(self._sizes) == WARM + 1:
            self._settle()
            self._profile.start()
            self._begun = time.perf_counter()

    def after(self) -> str:
        """What was found, at the end of the last of them."""
        if len(self._sizes) != NEEDED:
            return ""
        self._settle()
        spent = time.perf_counter() - self._begun
        self._profile.stop()
        sort = f"self_{'device' if self._device == 'cuda' else 'cpu'}_time_total"
        table = self._profile.key_averages().table(sort_by=sort, row_limit=ROWS, max_name_column_width=LETTERS)
        sizes = " and ".join(map(str, self._sizes[-LOOKED_AT:]))
        return f"{type(self.step.network).__name__}, steps of {sizes} examples, {spent:.4g} s in all\n{table}"

    def _settle(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
