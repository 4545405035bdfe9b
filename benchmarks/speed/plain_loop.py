"""A training as tutorials have it, epoch by epoch; and what arithmetic there is in one."""

import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.cost import counted
from benchmarks.speed.lessons import Batch, Lesson, collated
from methods.parts import networks
from methods.parts.training import batches

PLAIN = "a plain loop of the same network: padded batches from a loader, channels first, float32, an unfused optimiser"


@dataclass
class Stage:
    """One network's training, as often as it was repeated."""

    seconds: list[float] = field(default_factory=list)  # of each epoch but the first ones, which warm up
    losses: list[float] = field(default_factory=list)  # of each epoch of the last repetition
    memory: float = 0.0  # bytes, of a GPU
    otherwise: set[str] = field(default_factory=set)  # curves that tell that steps were not as asked for

    def add(self, points: list[tuple[float, float]], memory: float = 0.0, otherwise: Iterable[str] = ()) -> None:
        """A repetition: when each epoch ended, and its loss."""
        self.otherwise.update(otherwise)
        times, losses = zip(*points, strict=True)
        self.seconds += [after - before for before, after in pairwise(times)]
        self.losses, self.memory = list(losses), max(self.memory, memory)


def plainly(lesson: Lesson, device: str, seed: int = 0) -> list[tuple[float, float]]:
    """When each epoch ended, and its loss."""
    schedule, network = lesson.schedule, lesson.network
    shuffler = torch.Generator().manual_seed(seed)
    pairs = list(zip(lesson.examples, lesson.targets, strict=True))
    optimiser: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), schedule.learning_rate)
    if schedule.momentum is not None:
        optimiser = torch.optim.SGD(network.parameters(), schedule.learning_rate, schedule.momentum)
    points = []
    with networks.seeded(seed):
        for _ in range(schedule.epochs):
            order = batches(torch.randperm(len(pairs), generator=shuffler), schedule.batch)
            loader: Any = DataLoader(
                pairs,  # type: ignore[arg-type]
                batch_sampler=[part.tolist() for part in order],
                collate_fn=collated,
                generator=torch.Generator(),
            )
            network.train()
            total = 0.0
            for batch, targets in loader:
                loss = nn.functional.cross_entropy(lesson.forward(_there(batch, device)), targets.to(device))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if schedule.clip_norm:
                    nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
                optimiser.step()
                total += loss.item() * len(targets)
            points.append((time.perf_counter(), total / len(pairs)))
    network.eval()
    return points


def float_operations(lesson: Lesson, device: str) -> float:
    """Of an epoch, forwards and backwards without padding: of some examples, and of all in proportion."""
    kept = deepcopy(lesson.network.state_dict())
    every = max(1, len(lesson.examples) // 2)  # counting is slow
    some = range(0, len(lesson.examples), every)
    lesson.network.train()
    with networks.seeded(0), counted([lesson.network]) as counter:
        for number in some:
            alike = 2 * [(lesson.examples[number], lesson.targets[number])]  # so nothing is padded
            batch, targets = collated(alike)
            told = lesson.forward(_there(batch, device))
            nn.functional.cross_entropy(told, targets.to(device)).backward()  # type: ignore[no-untyped-call]
    lesson.network.load_state_dict(kept)
    lesson.network.zero_grad()
    return float(counter.get_total_flops()) / 2 / len(some) * len(lesson.examples)


def _there(batch: Batch, device: str) -> Batch:
    return {name: (rows.to(device), lengths.to(device)) for name, (rows, lengths) in batch.items()}
