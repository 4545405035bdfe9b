"""All layers of a GRU in one pass, of several networks: while one layer is at a step, the next is at the step before.

That takes as many products one after the other as there are steps, not as many for each layer; a GPU waits for the host
to start each. Meanwhile sequences are padded, for a step that is started costs more than one that is larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.parts.training import sent


@dataclass(frozen=True)
class Layers:
    """Weights as `nn.GRU` has them, of all layers but those that the inputs of the first go through."""

    seen: Tensor  # of the states below [layers - 1, 3 units, units]
    bias: Tensor  # [layers - 1, 3 units]
    kept: Tensor  # of the own state [layers, 3 units, units]
    second: Tensor  # [layers, 3 units]


def last_states(inputs: Tensor, layers: Layers, sizes: Sequence[int]) -> Tensor:
    """The last layer's states [N, units], of the first's inputs' part of the gates [N, 3 units], under vmap.

    The N rows are `sizes[0]` first rows of sequences, then `sizes[1]` second ones, of the longest sequences first.
    """
    weights = (layers.seen, layers.bias, layers.kept, layers.second)
    states: Tensor = _Wavefront.apply(inputs, *weights, list(sizes))[0]  # type: ignore[no-untyped-call]
    return states


class _Wavefront(torch.autograd.Function):
    """In front of all stands a dimension of networks. At moment m layer l is at step m - l.

    What it computes before its first step, or behind the end of a sequence, leads nowhere, and has no gradient.
    """

    @staticmethod
    def forward(
        inputs: Tensor, seen: Tensor, bias: Tensor, kept: Tensor, second: Tensor, sizes: list[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States, and what the way back needs of all moments: gates, what is heard of the states, and all states."""
        (several, count), units = kept.shape[:2], kept.shape[-1]
        moments, rows = len(sizes) + count - 1, sizes[0]
        one, two = (part.transpose(0, 1).unsqueeze(2) for part in (bias, second))
        gates = inputs.new_zeros(moments, count, several, rows, 3 * units)
        gates[:, 1:], gates[: len(sizes), 0] = one, _dense(inputs, sizes)
        heard = two.expand_as(gates).contiguous()
        states = inputs.new_zeros(moments + 1, count, several, rows, units)
        up, turned = (part.transpose(0, 1).mT.flatten(0, 1).contiguous() for part in (seen, kept))
        whole = (gates, heard, states[:-1], states[1:])
        for moment, (gate, told, state, after) in enumerate(zip(*(part.unbind(0) for part in whole), strict=True)):
            gate[1:].flatten(0, 1).baddbmm_(state[:-1].flatten(0, 1), up)
            told.flatten(0, 1).baddbmm_(state.flatten(0, 1), turned)
            both, new = gate[..., : 2 * units], gate[..., 2 * units :]
            both.add_(told[..., : 2 * units]).sigmoid_()
            new.addcmul_(both[..., :units], told[..., 2 * units :]).tanh_()
            torch.lerp(new, state, both[..., units:], out=after)
            if moment < count - 1:
                after[moment + 1 :] = 0
        return _packed(states[count:, -1], sizes), gates, heard, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, seen, _, kept, _, ctx.sizes = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(seen, kept, *output[1:])

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        """A dimension of networks goes in front."""
        parts = [
            part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)
            for part, dim in zip(inputs[:-1], dims, strict=False)
        ]
        return _Wavefront.apply(*parts, inputs[-1]), (0, None, None, None)  # type: ignore[no-untyped-call]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Of the last moment first; all weights' are one product each."""
        seen, kept, gates, heard, states = ctx.saved_tensors
        count, before = kept.shape[1], states[:-1]
        r, z, new = gates.chunk(3, dim=-1)
        units = new.shape[-1]
        of_new = (1 - z) * (1 - new * new)
        slopes = [of_new * heard[..., 2 * units :] * r * (1 - r), (before - new) * z * (1 - z), of_new, of_new * r]
        slope = torch.stack(slopes, dim=-2)  # of r, z, and of what n sees and hears [moments, layers, n, B, 4, units]
        error = torch.zeros_like(z)
        error[count - 1 :, -1] = _dense(gradient, ctx.sizes)
        moved, back, carried = torch.empty_like(slope), _back(seen, kept), torch.zeros_like(error[0])
        for moment in reversed(range(len(error))):
            now = error[moment].add_(carried)
            if moment < count - 1:
                now[moment + 1 :] = 0
            torch.mul(slope[moment], now.unsqueeze(-2), out=moved[moment])
            told = torch.bmm(moved[moment].flatten(-2).flatten(0, 1), back).view(*now.shape[:-1], 2 * units)
            carried = torch.addcmul(told[..., :units], now, z[moment])
            carried[:-1] += told[1:, ..., units:]
        sees = moved[..., :3, :].flatten(-2)
        hears = torch.cat([moved[..., :2, :], moved[..., 3:, :]], dim=-2).flatten(-2)
        return (
            _packed(sees[: len(ctx.sizes), 0], ctx.sizes),
            _product(sees[:, 1:], before[:, :-1]),
            sees[:, 1:].sum(dim=(0, 3)).transpose(0, 1),
            _product(hears, before),
            hears.sum(dim=(0, 3)).transpose(0, 1),
            None,
        )


def _back(seen: Tensor, kept: Tensor) -> Tensor:
    """From gradients of gates to those of the own state before, and of the state below [layers n, 4 units, 2 units]."""
    units = kept.shape[-1]
    nothing = torch.zeros_like(kept[..., :units, :])
    own = torch.cat([kept[..., : 2 * units, :], nothing, kept[..., 2 * units :, :]], dim=-2)
    below = torch.cat([seen, nothing[:, 1:]], dim=-2)
    both = torch.cat([own, torch.cat([torch.zeros_like(below[:, :1]), below], dim=1)], dim=-1)
    return both.transpose(0, 1).flatten(0, 1).contiguous()


def _product(moved: Tensor, rows: Tensor) -> Tensor:
    """[moments, layers, n, B, ...] each -> the sum over moments and rows [n, layers, ..., ...]"""
    one, other = (part.permute(2, 1, 0, 3, 4).flatten(2, 3) for part in (moved, rows))
    return one.mT @ other


def _there(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Where each of the rows is among steps times sequences."""
    real = torch.arange(sizes[0]) < torch.tensor(sizes)[:, None]
    return sent(real.flatten().nonzero().squeeze(1), device)


def _dense(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """[n, N, ...] -> [steps, n, B, ...], zeros where a sequence has ended."""
    whole = rows.new_zeros(len(rows), len(sizes) * sizes[0], *rows.shape[2:])
    whole.index_copy_(1, _there(sizes, rows.device), rows)
    return whole.view(len(rows), len(sizes), sizes[0], *rows.shape[2:]).transpose(0, 1)


def _packed(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """[steps, n, B, ...] -> [n, N, ...]"""
    return rows.transpose(0, 1).flatten(1, 2).index_select(1, _there(sizes, rows.device))
