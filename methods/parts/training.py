"""One way to train a network: epochs over shuffled batches, curves logged, a loss that is no number stops it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from warnings import warn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from methods.base import MethodError, RunContext
from methods.parts.compiled import Compiled, tried_kernels
from methods.parts.course import Course
from methods.parts.memory import exhausted
from methods.parts.networks import seeded

STEPS = 1000  # so many pay for compiling them
AT_ONCE = 64  # examples that are asked about together


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


@dataclass(frozen=True)
class Lesson:
    """All that one network learns from; several may be learnt from together, see `methods.parts.together`."""

    network: nn.Module  # gets `inputs` and answers with logits; as it begins, and changed by whoever teaches it
    inputs: Callable[[Tensor], Mapping[str, Any]]  # of some examples, by their numbers on the host
    targets: Tensor
    schedule: Schedule
    run: RunContext
    validate: Callable[[], float] | None = None
    keep: Literal["best", "last"] = "best"

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of some examples."""
        logits: Tensor = self.network(self.inputs(rows))
        return logits


def learn(lesson: Lesson) -> None:
    """`fit`; dropout is by the run's seed."""
    with seeded(lesson.run.seed):
        fit(
            lesson.network,
            lesson.forward,
            lesson.targets,
            lesson.schedule,
            lesson.run,
            lesson.validate,
            lesson.keep,
        )


def fit(
    network: nn.Module,
    forward: Callable[[Any], Tensor],
    targets: Tensor,
    schedule: Schedule,
    run: RunContext,
    validate: Callable[[], float] | None = None,
    keep: Literal["best", "last"] = "best",
    gather: Callable[[Tensor], Any] | None = None,
) -> None:
    """Cross-entropy. `forward` maps the numbers of some examples, on the host, to their logits.

    `validate`, the higher the better, is told after each epoch. With it the first of the best epochs is kept, unless
    the last shall be; without it the last. One that was cut short goes on, if `run` has kept how far it was. `gather`:
    all examples are alike in shape; of their numbers on the device it makes the batch that `forward` gets instead, and
    `forward` looks at nothing but that and the network, so that it may be compiled.
    """
    enough(targets)
    device = targets.device
    if accelerated(device):
        channels_last(network)
        steps = schedule.epochs * -(-len(targets) // schedule.batch)
        forward = Compiled(forward) if gather and steps >= STEPS else forward
    optimiser = optimiser_of(network.parameters(), schedule)
    shuffler = torch.Generator().manual_seed(run.seed)
    course = Course(run, network, (shuffler,), optimiser)
    step = Step(network, forward, targets, optimiser, schedule.clip_norm, gather)
    with ExitStack() as fast:
        if gather and accelerated(device):
            fast.enter_context(tried_kernels())
        fast.callback(step.end)
        for epoch in course.epochs(schedule.epochs):
            network.train()
            losses, hits = [], []
            for chosen in batches(torch.randperm(len(targets), generator=shuffler), schedule.batch):
                loss, hit = step(chosen)
                losses.append(loss * len(chosen))
                hits.append(hit)
            step.tell(course, epoch)
            report(torch.stack(losses).cpu(), torch.stack(hits).cpu(), len(targets), epoch, course.run)
            judge(network, course, epoch, validate, keep)
    if isinstance(forward, Compiled):  # what its graphs had is nobody else's before
        torch.cuda.empty_cache()
    finish(network, course)


def enough(targets: Tensor) -> None:
    """An error for so few examples that nothing can be learnt."""
    if len(targets) < 2:
        raise MethodError(f"a network needs two training clips at least, but there is {len(targets)}; hold out less")


def judge(
    network: nn.Module, course: Course, epoch: int, validate: Callable[[], float] | None, keep: Literal["best", "last"]
) -> None:
    """At the end of an epoch."""
    network.eval()
    if validate:
        score = validate()
        course.run.log("validation_score", score, epoch)
        course.run.prune("validation_score", score, epoch)
        if keep == "best" and score > course.best:
            course.best, course.kept = score, {name: part.clone() for name, part in network.state_dict().items()}


def finish(network: nn.Module, course: Course) -> None:
    """The epoch that is kept."""
    if course.kept:
        network.load_state_dict(course.kept)
    network.eval()


def optimiser_of(parameters: Iterable[Tensor], schedule: Schedule) -> torch.optim.Optimizer:
    """Fused: one pass over all weights."""
    rate = schedule.learning_rate
    if schedule.momentum is None:
        return torch.optim.Adam(parameters, lr=rate, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=schedule.momentum, fused=True)


@dataclass
class Step:
    """What is learnt from a batch: in parts whose gradients add up, once memory did not hold a whole one."""

    network: nn.Module
    forward: Callable[[Any], Tensor]
    targets: Tensor
    optimiser: torch.optim.Optimizer
    clip_norm: float
    gather: Callable[[Tensor], Any] | None = None
    parts: int = 1
    given_up: bool = False  # whether it was compiled, and is no more
    why: str = ""  # the last try failed

    def __call__(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss, and how many were recognised, before the step."""
        while (told := self._added_up(chosen)) is None:
            if isinstance(self.forward, Compiled):
                self.end(failed=True)
                self.given_up = True
                warn(f"steps are not compiled any more, for that failed: {self.why}", RuntimeWarning, stacklevel=2)
            elif len(chosen) < 4 * self.parts:  # batch normalisation needs two
                raise MethodError(
                    f"the memory of {self.targets.device} does not hold {len(chosen) // self.parts} of a batch of "
                    f"{len(chosen)} examples; take a device with more, or --preset quick"
                )
            else:
                self.parts *= 2
            if accelerated(self.targets.device):
                torch.cuda.empty_cache()
        self.clip()
        self.optimiser.step()
        return told

    def clip(self) -> None:
        """The gradients that there are."""
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)

    def tell(self, course: Course, epoch: int) -> None:
        """In how many parts a batch is learnt from, where memory does not hold it; that it could not be compiled."""
        if self.parts > 1:
            course.run.log("parts_of_a_batch", self.parts, epoch)
        if self.given_up:
            course.run.log("steps_not_compiled", 1, epoch)

    def end(self, failed: bool = False) -> None:
        """What was compiled is let go, and with it its gradients."""
        if isinstance(self.forward, Compiled):
            self.optimiser.zero_grad(set_to_none=True)
            self.forward = self.forward.freed(failed)

    def _added_up(self, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """None: memory ran out; or compiled it does not run, for whatever reason, and must be tried as it is.

        In graphs it is not tried in parts: they have little memory left, and overwrite the gradients of the last part.
        """
        losses, hits = [], []
        self.optimiser.zero_grad(set_to_none=True)
        try:
            for part in chosen.tensor_split(max(1, min(self.parts, len(chosen) // 2))):
                there = sent(part, self.targets.device)
                wanted, batch = self.targets[there], self.gather(there) if self.gather else part
                with mixed_precision(self.targets.device):
                    logits = self.forward(batch)
                loss = nn.functional.cross_entropy(precise(logits), wanted) * (len(part) / len(chosen))
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
                hits.append((logits.detach().argmax(dim=1) == wanted).sum())
        except Exception as error:
            if not (exhausted(error) or isinstance(self.forward, Compiled)):
                raise
            self.why = in_brief(error)
            return None
        return torch.stack(losses).sum(), torch.stack(hits).sum()


def in_brief(error: Exception) -> str:
    """Compilers tell whole pages, of which the beginning says why."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def recognised(answers: npt.ArrayLike, targets: npt.NDArray[np.int64]) -> float:
    """The share of clips whose highest answer [clips, classes] is right."""
    return float((np.asarray(answers).argmax(axis=1) == targets).mean())


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of that size; a last part of one joins the one before, for batch normalisation needs two."""
    parts = list(order.split(size))  # type: ignore[no-untyped-call]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    yield from parts


def accelerated(device: torch.device) -> bool:
    """Whether steps are started on a GPU, which runs behind the host."""
    return device.type == "cuda"


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for what that is at."""
    return tensor.pin_memory().to(device, non_blocking=True) if accelerated(device) else tensor.to(device)


def precise(logits: Tensor) -> Tensor:
    """In single precision at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def channels_last(network: nn.Module) -> None:
    """Weights of convolutions in the order in which our pictures and films lie."""
    orders = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in orders:
            parameter.data = parameter.data.contiguous(memory_format=orders[parameter.dim()])


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Of a step of training: bf16 where the hardware has it; emulated it would be hundreds of times slower."""
    if accelerated(device) and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


@torch.inference_mode()
def probabilities(network: nn.Module, parts: Iterable[Any]) -> npt.NDArray[np.float64]:
    """[examples, classes] from the inputs of some at a time, in single precision: none hangs on its company."""
    return torch.cat([network(part).double().softmax(dim=1).cpu() for part in parts]).numpy()


def in_parts(examples: int) -> Sequence[Tensor]:
    """Their numbers, as many as are asked about together."""
    return torch.arange(examples).split(AT_ONCE)  # type: ignore[no-any-return,no-untyped-call]


def report(losses: Tensor, hits: Tensor, examples: int, epoch: int, run: RunContext) -> None:
    """The only look at the device in an epoch."""
    wrong = (~losses.isfinite()).nonzero()
    if len(wrong):
        number = int(wrong[0]) + 1
        raise MethodError(
            f"the loss is {losses[number - 1].item()} in epoch {epoch}, batch {number}; lower learning_rate"
        )
    run.log("train_loss", losses.sum().item() / examples, epoch)
    run.log("train_accuracy", hits.sum().item() / examples, epoch)
