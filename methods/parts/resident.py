"""Inputs that several fits get one after the other, as trials of tuning do: what each makes of them is made once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from methods.base import Examples, Prepared

Made = TypeVar("Made")


class Resident(Sequence[Prepared]):
    """Inputs as they are read, and beside them what was made of them, on whatever device, as long as they live."""

    def __init__(self, inputs: Sequence[Prepared]) -> None:
        self._inputs = inputs
        self._made: dict[tuple[str, str], object] = {}

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, number: int) -> Prepared:  # type: ignore[override]
        return self._inputs[number]

    def once(self, key: tuple[str, str], make: Callable[[], Made]) -> Made:
        """What was made before, if it was."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]


def once(examples: Examples, name: str, device: str, make: Callable[[], Made]) -> Made:
    """What depends on the inputs and the device alone, and is never changed; by name."""
    inputs = examples.inputs
    return inputs.once((name, device.partition(":")[0]), make) if isinstance(inputs, Resident) else make()
