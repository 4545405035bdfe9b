"""One way to train a network: epochs over shuffled batches, curves logged, a loss that is no number stops it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from methods.base import MethodError, RunContext
from methods.parts.course import Course


@dataclass(frozen=True)
class Schedule:
    """How long, in which steps, how fast."""

    epochs: int
    batch: int
    learning_rate: float
    clip_norm: float = 0.0  # 0: gradients are taken as they come
    momentum: float | None = None  # of stochastic gradient descent; None: Adam

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or self.learning_rate <= 0:
            raise ValueError(
                "epochs >= 1, batch >= 2 (for batch normalisation) and learning_rate > 0 must hold, "
                f"but got {self.epochs}, {self.batch} and {self.learning_rate}"
            )


def fit(
    network: nn.Module,
    forward: Callable[[Tensor], Tensor],
    targets: Tensor,
    schedule: Schedule,
    run: RunContext,
    validate: Callable[[], float] | None = None,
    keep: Literal["best", "last"] = "best",
) -> None:
    """Cross-entropy. `forward` maps the numbers of some examples, on the host, to their logits.

    `validate`, the higher the better, is told after each epoch. With it the first of the best epochs is kept, unless
    the last shall be; without it the last. One that was cut short goes on, if `run` has kept how far it was.
    """
    optimiser = _optimiser(network, schedule, fused=targets.device.type == "cuda")
    if len(targets) < 2:
        raise MethodError(f"a network needs two training clips at least, but there is {len(targets)}; hold out less")
    shuffler = torch.Generator().manual_seed(run.seed)
    course = Course(run, network, (shuffler,), optimiser)
    for epoch in course.epochs(schedule.epochs):
        network.train()
        losses, hits = [], []
        for chosen in batches(torch.randperm(len(targets), generator=shuffler), schedule.batch):
            wanted = targets[chosen.to(targets.device)]
            with mixed_precision(targets.device):
                logits = forward(chosen)
            loss = nn.functional.cross_entropy(logits.float(), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if schedule.clip_norm:
                nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
            optimiser.step()
            losses.append(loss.detach() * len(wanted))
            hits.append((logits.detach().argmax(dim=1) == wanted).sum())
        _report(torch.stack(losses).cpu(), torch.stack(hits).cpu(), len(targets), epoch, course.run)
        network.eval()
        if validate:
            score = validate()
            course.run.log("validation_score", score, epoch)
            course.run.prune("validation_score", score, epoch)
            if keep == "best" and score > course.best:
                course.best, course.kept = score, deepcopy(network.state_dict())
    if course.kept:
        network.load_state_dict(course.kept)
    network.eval()


def _optimiser(network: nn.Module, schedule: Schedule, fused: bool) -> torch.optim.Optimizer:
    parameters, rate = network.parameters(), schedule.learning_rate
    if schedule.momentum is None:
        return torch.optim.Adam(parameters, lr=rate, fused=fused or None)
    return torch.optim.SGD(parameters, lr=rate, momentum=schedule.momentum, fused=fused or None)


def recognised(answers: npt.ArrayLike, targets: npt.NDArray[np.int64]) -> float:
    """The share of clips whose highest answer [clips, classes] is right."""
    return float((np.asarray(answers).argmax(axis=1) == targets).mean())


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of that size; a last part of one joins the one before, for batch normalisation needs two."""
    parts = list(order.split(size))  # type: ignore[no-untyped-call]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    yield from parts


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the hardware has it; emulated it would be hundreds of times slower."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


@torch.inference_mode()
def probabilities(network: nn.Module, parts: Iterable[Mapping[str, Tensor]]) -> npt.NDArray[np.float64]:
    """[clips, classes] from the inputs of some clips at a time."""
    device = next(network.parameters()).device
    told = []
    for part in parts:
        with mixed_precision(device):
            logits = network({name: rows.to(device) for name, rows in part.items()})
        told.append(logits.double().softmax(dim=1).cpu())
    return np.asarray(torch.cat(told).numpy())


def _report(losses: Tensor, hits: Tensor, examples: int, epoch: int, run: RunContext) -> None:
    """The only look at the device in an epoch."""
    wrong = (~losses.isfinite()).nonzero()
    if len(wrong):
        number = int(wrong[0]) + 1
        raise MethodError(
            f"the loss is {losses[number - 1].item()} in epoch {epoch}, batch {number}; lower learning_rate"
        )
    run.log("train_loss", losses.sum().item() / examples, epoch)
    run.log("train_accuracy", hits.sum().item() / examples, epoch)
