"""A training's course through its epochs: one that was cut short goes on at the epoch that was not finished.

What is restored, to the last bit: the network, the optimiser, everything that chance is drawn from, the best epoch so
far, and what was told of the epochs before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from methods.base import Checkpoint, RunContext

NETWORK, BEST, OPTIMISER, SPEED, CHANCE = "network.", "best.", "optimiser.", "tensor.", "chance."


class Course:
    """The epochs of one training. What is told through `run` is told again when the training goes on."""

    def __init__(
        self,
        run: RunContext,
        network: nn.Module,
        generators: Sequence[Generator],
        optimiser: Optimizer | None = None,
        tensors: Sequence[Tensor] = (),
    ) -> None:
        self.best, self.kept = -inf, dict[str, Tensor]()  # of a training that chooses an epoch
        self._outer, self._network, self._generators = run, network, generators
        self._optimiser, self._tensors, self._told = optimiser, tensors, list[tuple[bool, str, float, int]]()
        self.chance: Mapping[str, Generator] | None = None  # for dropout, by kind of device; None: as everybody draws
        self.run = replace(run, log=self._log, prune=self._prune)

    def epochs(self, count: int) -> Iterator[int]:
        """Those that are not finished yet; each is finished when the next is asked for."""
        found = self._outer.checkpoints.load(self._outer.stage)
        done = self._restored(found) if found else 0
        for epoch in range(done + 1, count + 1):
            yield epoch
            if self._outer.checkpoints.due(self._outer.stage, epoch == count):
                facts = {"epoch": epoch, "best": self.best, "told": self._told}
                self._outer.checkpoints.save(self._outer.stage, Checkpoint(self._state(), facts))

    def _log(self, name: str, value: float, epoch: int) -> None:
        self._told.append((False, name, value, epoch))
        self._outer.log(name, value, epoch)

    def _prune(self, name: str, value: float, epoch: int) -> None:
        self._told.append((True, name, value, epoch))
        self._outer.prune(name, value, epoch)

    def _state(self) -> dict[str, Tensor]:
        told = {f"{NETWORK}{name}": tensor for name, tensor in self._network.state_dict().items()}
        told |= {f"{BEST}{name}": tensor for name, tensor in self.kept.items()}
        told |= {f"{SPEED}{number}": tensor for number, tensor in enumerate(self._tensors)}
        for number, parameter in self._optimiser.state_dict()["state"].items() if self._optimiser else ():
            told |= {f"{OPTIMISER}{number}.{name}": part for name, part in parameter.items() if part is not None}
        states = [self._drawn("cpu"), *(generator.get_state() for generator in self._generators)]
        if (device := _device(self._network)).type == "cuda":
            states.append(self._drawn(device))
        return told | {f"{CHANCE}{number}": state for number, state in enumerate(states)}

    def _drawn(self, device: torch.device | str) -> Tensor:
        """How far what dropout draws from is, on that device."""
        device = torch.device(device)
        if self.chance is not None:
            return self.chance[device.type].get_state()
        return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)

    def _draw_on(self, device: torch.device | str, state: Tensor) -> None:
        device = torch.device(device)
        if self.chance is not None:
            self.chance[device.type].set_state(state)
        elif device.type == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)

    def _restored(self, found: Checkpoint) -> int:
        """The last epoch that was finished; everything is as it was at its end."""
        self._network.load_state_dict(_part(found, NETWORK))
        self.best, self.kept = found.facts["best"], _part(found, BEST)
        for number, tensor in enumerate(self._tensors):
            tensor.copy_(found.tensors[f"{SPEED}{number}"])
        if self._optimiser:
            weights = [weight for group in self._optimiser.param_groups for weight in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for name, part in _part(found, OPTIMISER).items():
                parameter, _, what = name.partition(".")
                state.setdefault(int(parameter), {})[what] = _laid_out_as(weights[int(parameter)], part)
            groups: Any = self._optimiser.state_dict()["param_groups"]
            self._optimiser.load_state_dict({"state": state, "param_groups": groups})
        own, *generators = (found.tensors[f"{CHANCE}{n}"] for n in range(len(_part(found, CHANCE))))
        self._draw_on("cpu", own)
        for generator, chance in zip(self._generators, generators, strict=False):
            generator.set_state(chance)
        if (device := _device(self._network)).type == "cuda":
            self._draw_on(device, generators[-1])
        for is_prune, name, value, epoch in found.facts["told"]:
            (self._prune if is_prune else self._log)(name, value, epoch)
        return int(found.facts["epoch"])


def _part(found: Checkpoint, beginning: str) -> dict[str, Tensor]:
    return {name.removeprefix(beginning): each for name, each in found.tensors.items() if name.startswith(beginning)}


def _laid_out_as(weight: Tensor, part: Tensor) -> Tensor:
    """In the same order in memory, channels last or not, for a GPU's fused optimisers take no other."""
    return torch.empty_like(weight, device=part.device).copy_(part) if part.shape == weight.shape else part


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
