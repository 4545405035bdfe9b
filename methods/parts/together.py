"""Folds of one small network trained together: one batched network, in which each learns what it learns alone.

A GPU is idle most of the time while one small network is trained; a benchmark trains the same one once a fold.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from methods.base import MethodError, RunContext
from methods.parts.gru import Gru
from methods.parts.ragged import Packed, Ragged
from methods.parts.training import Schedule, batches, mixed_precision, precise, report, sent

State = dict[str, Tensor]  # of all networks, by a parameter's name [networks, ...]


@dataclass(frozen=True)
class Learner:
    """One fold: its network as it begins, what it learns from, and its own seed and curves."""

    network: nn.Module
    sequences: Mapping[str, Ragged]
    targets: Tensor
    run: RunContext


def steps(learner: Learner, schedule: Schedule) -> int:
    """Of an epoch; only those with as many are taught together."""
    return len(list(batches(torch.arange(len(learner.targets)), schedule.batch)))


def fit_together(learners: Sequence[Learner], schedule: Schedule) -> None:
    """Networks alike, without dropout, as `fit` teaches each; the last epoch is kept."""
    counts = {steps(learner, schedule) for learner in learners}
    if len(counts) != 1:
        raise MethodError(f"all must have as many batches an epoch, but they have {sorted(counts)}; group them")
    device = learners[0].targets.device
    networks = [learner.network for learner in learners]
    parameters, buffers = stack_module_state(networks)
    model = _shell(networks[0])
    optimiser = _optimiser(parameters, schedule)
    shufflers = [torch.Generator().manual_seed(learner.run.seed) for learner in learners]
    for epoch in range(1, schedule.epochs + 1):
        told: list[list[tuple[Tensor, Tensor]]] = [[] for _ in learners]
        parts = [
            batches(torch.randperm(len(learner.targets), generator=shuffler), schedule.batch)
            for learner, shuffler in zip(learners, shufflers, strict=True)
        ]
        for chosen in zip(*parts, strict=True):
            losses = []
            for numbers in _alike(chosen):
                some = [learners[number] for number in numbers]
                rows = [chosen[number] for number in numbers]
                with mixed_precision(device):
                    logits = _answers(model, parameters, buffers, numbers, _packed(some, rows))
                wanted = torch.stack([one.targets[sent(row, device)] for one, row in zip(some, rows, strict=True)])
                each = nn.functional.cross_entropy(precise(logits).mT, wanted, reduction="none").mean(dim=1)
                losses.append(each.sum())
                hits = (logits.detach().argmax(dim=2) == wanted).sum(dim=1)
                for number, loss, hit in zip(numbers, each.detach().unbind(), hits.unbind(), strict=True):
                    told[number].append((loss * wanted.shape[1], hit))
            optimiser.zero_grad()
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            _clip(parameters, schedule.clip_norm)
            optimiser.step()
        for learner, points in zip(learners, told, strict=True):
            lost, hit = (torch.stack(values).cpu() for values in zip(*points, strict=True))
            report(lost, hit, len(learner.targets), epoch, learner.run)
    _unstack(networks, {**parameters, **buffers})


def _shell(network: nn.Module) -> nn.Module:
    """The network's shape without weights, in training, for several at once."""
    model = deepcopy(network).to("meta").train()
    for layer in model.modules():
        if isinstance(layer, Gru):
            layer.several = True
    return model


def _optimiser(parameters: State, schedule: Schedule) -> torch.optim.Optimizer:
    """Both rules treat each number by itself, so stacked networks do not meet in them."""
    weights = list(parameters.values())
    if schedule.momentum is None:
        return torch.optim.Adam(weights, lr=schedule.learning_rate, fused=True)
    return torch.optim.SGD(weights, lr=schedule.learning_rate, momentum=schedule.momentum, fused=True)


def _alike(chosen: Sequence[Tensor]) -> list[list[int]]:
    """Networks by the size of their batches: last ones may differ."""
    sizes: dict[int, list[int]] = {}
    for number, rows in enumerate(chosen):
        sizes.setdefault(len(rows), []).append(number)
    return list(sizes.values())


def _answers(
    model: nn.Module, parameters: State, buffers: State, numbers: Sequence[int], batch: Mapping[str, Packed]
) -> Tensor:
    """Logits [networks, B, classes]; running statistics are changed in place."""
    everyone = len(numbers) == len(next(iter(parameters.values())))
    weights = parameters if everyone else {name: tensor[numbers] for name, tensor in parameters.items()}
    running = buffers if everyone else {name: tensor[numbers] for name, tensor in buffers.items()}
    tensors = {name: (part.rows, part.ends) for name, part in batch.items()}

    def one(weights: State, running: State, tensors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        given = {name: Packed(rows, batch[name].sizes, ends) for name, (rows, ends) in tensors.items()}
        logits: Tensor = functional_call(model, (weights, running), (given,))
        return logits

    ask: Callable[..., Tensor] = vmap(one)
    logits = ask(weights, running, tensors)
    if not everyone:
        for name, tensor in running.items():
            buffers[name][numbers] = tensor
    return logits


def _packed(learners: Sequence[Learner], chosen: Sequence[Tensor]) -> dict[str, Packed]:
    """A batch of each, laid out alike: at each step as many rows as whoever has most; surplus ones lead nowhere."""
    return {
        name: _laid_out([learner.sequences[name].packed(rows) for learner, rows in zip(learners, chosen, strict=True)])
        for name in learners[0].sequences
    }


def _laid_out(parts: Sequence[Packed]) -> Packed:
    device, longest = parts[0].rows.device, max(len(part.sizes) for part in parts)
    counts = torch.stack([nn.functional.pad(part.sizes, (0, longest - len(part.sizes))) for part in parts])
    sizes = counts.amax(dim=0)
    firsts = sizes.cumsum(0) - sizes
    rows = parts[0].rows.new_zeros(len(parts), int(sizes.sum()), *parts[0].rows.shape[1:])
    ends = []
    for place, part in zip(rows, parts, strict=True):
        moved = torch.repeat_interleave(firsts[: len(part.sizes)] - (part.sizes.cumsum(0) - part.sizes), part.sizes)
        there = sent(moved + torch.arange(len(moved)), device)  # where each of its rows goes
        place[there] = part.rows
        ends.append(there[part.ends])
    return Packed(rows, sizes, torch.stack(ends))


def _clip(parameters: State, most: float) -> None:
    """Each network's gradient by its own length."""
    if most:
        gradients = [tensor.grad for tensor in parameters.values() if tensor.grad is not None]
        length = torch.stack([part.flatten(1).norm(dim=1) for part in gradients]).norm(dim=0)  # [networks]
        shrunk = (most / (length + 1e-6)).clamp_max(1.0)
        for part in gradients:
            part.mul_(shrunk.view(-1, *[1] * (part.dim() - 1)))


@torch.no_grad()
def _unstack(networks: Sequence[nn.Module], state: State) -> None:
    for number, network in enumerate(networks):
        for name, tensor in network.state_dict().items():
            tensor.copy_(state[name][number])
        network.eval()
