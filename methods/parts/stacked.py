"""Networks alike whose numbers lie side by side, so that one pass asks or teaches all; each stays a network of its own.

What changes one of them changes its part of the whole, and the other way round: optimisers, checkpoints and judges see
nothing but networks.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from methods.parts.gru import Gru
from methods.parts.ragged import Packed
from methods.parts.recurrent import BiLstm
from methods.parts.training import sent

Inputs = Mapping[str, Any]  # of one network, or of several alike: tensors, or packed sequences
Chance = Mapping[str, Generator]  # by kind of device


class Stacked:
    """`networks` get their numbers back for themselves by `part`."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self._networks = networks
        self._shell = _shell(networks[0])
        self._weights = {name: _stack(networks, name, "parameter") for name, _ in networks[0].named_parameters()}
        self._running = {name: _stack(networks, name, "buffer") for name, _ in networks[0].named_buffers()}
        for tensor in self._weights.values():
            tensor.grad = torch.zeros_like(tensor)
        for number, network in enumerate(networks):
            for name, buffer in network.named_buffers():
                buffer.data = self._running[name][number]
            for name, parameter in network.named_parameters():
                parameter.data = self._weights[name].data[number]
            self.link(number)

    def link(self, number: int) -> None:
        """A network's gradients are its part of the whole."""
        for name, parameter in self._networks[number].named_parameters():
            whole = self._weights[name].grad
            assert whole is not None
            parameter.grad = whole[number]

    @torch.no_grad()
    def forget(self, numbers: Sequence[int]) -> None:
        """No gradients of these networks."""
        there = self._there(numbers)
        for tensor in self._weights.values():
            assert tensor.grad is not None
            tensor.grad.zero_() if there is None else tensor.grad.index_fill_(0, there, 0)

    def __call__(self, numbers: Sequence[int], inputs: Inputs, chances: Sequence[Chance]) -> Tensor:
        """Logits [networks, B, classes] of some of them in training; running statistics are changed in place."""
        there = self._there(numbers)
        weights = {name: tensor if there is None else tensor[there] for name, tensor in self._weights.items()}
        running = {name: tensor if there is None else tensor[there] for name, tensor in self._running.items()}
        tensors = {name: _tensors(part) for name, part in inputs.items()}

        def one(weights: Any, running: Any, tensors: Any, place: Tensor) -> Tensor:
            given = {name: _again(inputs[name], parts) for name, parts in tensors.items()}
            with Drawn(chances, place):
                logits: Tensor = functional_call(self._shell, (weights, running), (given,))
            return logits

        logits: Tensor = vmap(one)(weights, running, tensors, torch.arange(len(numbers)))
        if there is not None:
            for name, tensor in running.items():
                self._running[name][there] = tensor
        return logits

    def _there(self, numbers: Sequence[int]) -> Tensor | None:
        """On the device; None: all of them."""
        if list(numbers) == list(range(len(self._networks))):
            return None
        return sent(torch.tensor(numbers), next(iter(self._weights.values())).device)

    @torch.no_grad()
    def part(self) -> None:
        """Each has numbers for itself."""
        for network in self._networks:
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.data, tensor.grad = tensor.data.clone(), None
            for layer in network.modules():
                if isinstance(layer, nn.RNNBase):
                    layer.flatten_parameters()


def _shell(network: nn.Module) -> nn.Module:
    """The network's shape without weights, in training, for several at once."""
    model = deepcopy(network).to("meta").train()
    for layer in model.modules():
        if isinstance(layer, Gru | BiLstm):
            layer.several = True
    return model


def _stack(networks: Sequence[nn.Module], name: str, kind: str) -> Tensor:
    """[networks, ...], each in the order in which its numbers lie."""
    parts = [getattr(network, f"get_{kind}")(name).detach() for network in networks]
    if parts[0].is_contiguous():
        whole = torch.stack(parts)
    else:  # of convolutions, channels last
        whole = torch.stack([part.movedim(1, -1) for part in parts]).movedim(-1, 2)
    return whole.requires_grad_(kind == "parameter" and networks[0].get_parameter(name).requires_grad)


@contextmanager
def unparted() -> Iterator[None]:
    """cuDNN would like a network's weights to lie side by side; here networks do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        yield


class Drawn(TorchFunctionMode):
    """Dropout by each network's own chance, so that it hides what it would hide alone.

    `place` is which of them it is, under vmap all at once: there each of them gets its own, whatever `rows` are.
    """

    def __init__(self, chances: Sequence[Chance], place: Tensor) -> None:
        super().__init__()
        self._chances, self._place = chances, place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not nn.functional.dropout:
            return func(*args, **(kwargs or {}))
        return self._dropout(*args, **(kwargs or {}))

    def _dropout(self, rows: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        del inplace
        if not training or p == 0:
            return rows
        mask: Tensor = _Masks.apply(rows, self._place, p, self._chances)  # type: ignore[no-untyped-call]
        return rows * mask


class _Masks(torch.autograd.Function):
    """Zeros and, so that the mean stays, numbers above one."""

    @staticmethod
    def forward(rows: Tensor, place: Tensor, share: float, chances: Sequence[Chance]) -> Tensor:  # noqa: ARG004
        (chance,) = chances
        return _scaled(_drawn(rows, share, chance), share)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del inputs
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], rows: Tensor, place: Tensor, share: float, chances: Sequence[Chance]
    ) -> tuple[Tensor, int]:
        """Of each network its own."""
        del place
        each = rows.expand(info.batch_size, *rows.shape) if dims[0] is None else rows.movedim(dims[0], 0)
        parts = [_drawn(part, share, chance) for part, chance in zip(each, chances, strict=True)]
        return _scaled(torch.stack(parts), share), 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        del ctx, gradient
        return None, None, None, None


def _drawn(rows: Tensor, share: float, chance: Chance) -> Tensor:
    noise = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    return noise.bernoulli_(1 - share, generator=chance[rows.device.type])


def _scaled(ones: Tensor, share: float) -> Tensor:
    return ones.div_(1 - share) if share < 1 else ones


def drawn_from(seed: int, device: torch.device) -> Chance:
    """As `seeded` would have everybody draw."""
    return {kind: Generator(kind).manual_seed(seed) for kind in dict.fromkeys(("cpu", device.type))}


def likeness(inputs: Inputs) -> tuple[Any, ...]:
    """What inputs must have in common for several networks to get theirs at once."""
    return tuple(
        (name, "packed", len(part.ends), part.rows.shape[1:])
        if isinstance(part, Packed)
        else (name, "rows", *part.shape)
        for name, part in sorted(inputs.items())
    )


def laid_out(each: Sequence[Inputs]) -> dict[str, Any]:
    """Inputs alike as those of several networks."""
    found: dict[str, Any] = {}
    for name, first in each[0].items():
        parts = [inputs[name] for inputs in each]
        found[name] = _packed(parts) if isinstance(first, Packed) else torch.stack(parts)
    return found


def _packed(parts: Sequence[Packed]) -> Packed:
    """At each step as many rows as whoever has most; surplus ones lead nowhere. Few operations, however many parts."""
    device = parts[0].rows.device
    counts = nn.utils.rnn.pad_sequence([part.sizes for part in parts], batch_first=True)  # [parts, steps]
    sizes = counts.amax(dim=0)
    each, many = int(sizes.sum()), counts.sum(dim=1)
    ahead = many.cumsum(0) - many  # of each part's rows
    room = torch.arange(len(parts))[:, None] * each + sizes.cumsum(0) - sizes  # where a step's rows begin
    flat = counts.flatten()
    moved = room.flatten() - (flat.cumsum(0) - flat)
    there = sent(torch.repeat_interleave(moved, flat) + torch.arange(int(many.sum())), device)
    rows = parts[0].rows.new_zeros(len(parts) * each, *parts[0].rows.shape[1:])
    rows.index_copy_(0, there, torch.cat([part.rows for part in parts]))
    real = torch.zeros(len(rows), dtype=torch.bool, device=device).index_fill_(0, there, True)
    begun = sent(torch.stack([ahead, torch.arange(len(parts)) * each])[..., None], device)
    ends = there[torch.stack([part.ends for part in parts]) + begun[0]] - begun[1]
    return Packed(rows.view(len(parts), each, *rows.shape[1:]), sizes, ends, real.view(len(parts), each))


def _tensors(part: Tensor | Packed) -> tuple[Tensor, ...]:
    """What of it is of one network each."""
    if isinstance(part, Tensor):
        return (part,)
    assert part.real is not None
    return part.rows, part.ends, part.real


def _again(part: Tensor | Packed, tensors: tuple[Tensor, ...]) -> Tensor | Packed:
    """Of one network."""
    return tensors[0] if isinstance(part, Tensor) else Packed(tensors[0], part.sizes, *tensors[1:])
