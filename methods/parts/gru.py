"""A GRU on sequences of different lengths laid out step by step, without padding; several networks' at once too.

K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", EMNLP
2014, as PyTorch's `nn.GRU` has it, whose parameters these are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, autocast, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from methods.parts.ragged import Packed
from methods.parts.training import accelerated, precise
from methods.parts.wavefront import Layers, last_states


class Gru(nn.GRU):
    """`nn.GRU`, asked for its last states; on a CPU all steps are differentiated at once, which takes half the time."""

    several = False  # whether this stands for several networks, under vmap

    def last(self, packed: Packed) -> Tensor:
        """The last layer's state behind the last row of each sequence [B, units].

        In single precision at least: autocast would have cuDNN do it in float16, in which small gradients are nothing.
        """
        with autocast(packed.rows.device.type, enabled=False):
            return self._states(precise(packed.rows), packed.sizes)[packed.ends]

    def _states(self, rows: Tensor, sizes: Tensor) -> Tensor:
        """The last layer's, of all rows."""
        steps = sizes.tolist()
        if accelerated(rows.device) and not self.several:  # cuDNN
            states: Tensor = self(PackedSequence(rows, sizes))[0].data
            return states
        if accelerated(rows.device) and self.num_layers > 1:
            return self._at_once(rows, steps)
        for seen, kept, bias, second in self.all_weights:
            rows = recurrence(linear(rows, seen, bias), kept, second, steps)
        return rows

    def _at_once(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """All layers'."""
        seen, kept, bias, second = zip(*self.all_weights, strict=True)
        layers = Layers(*(torch.stack(part) for part in (seen[1:], bias[1:], kept, second)))
        return last_states(linear(rows, seen[0], bias[0]), layers, sizes)


def recurrence(inputs: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
    """One layer's states [..., N, units], from its inputs' part of the gates [..., N, 3 units].

    The N rows are `sizes[0]` first rows of sequences, then `sizes[1]` second ones, of the longest sequences first. In
    front may stand a dimension of networks: weight [..., 3 units, units], bias [..., 3 units].
    """
    states: Tensor = _Recurrence.apply(inputs, weight, bias, list(sizes))[0]  # type: ignore[no-untyped-call]
    return states


class _Recurrence(torch.autograd.Function):
    """h' = n + z (h - n), n = tanh(input + r v), where r and z are gates and v is what n hears of the state h."""

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """States, and what the way back needs: gates and v."""
        units = weight.shape[-1]
        turned, second = weight.mT.contiguous(), bias.unsqueeze(-2)
        gates = inputs.clone()  # r, z and n
        gates[..., : 2 * units] += second[..., : 2 * units]
        heard, states = inputs.new_empty(2, *inputs.shape[:-1], units)
        state = inputs.new_zeros(*inputs.shape[:-2], sizes[0], units)
        whole = (gates[..., : 2 * units], *gates.chunk(3, dim=-1), heard, states)
        for both, r, z, n, v, after in zip(*(_parted(part, sizes, -2) for part in whole), strict=True):
            state = state[..., : both.shape[-2], :]
            told = state @ turned
            both.add_(told[..., : 2 * units]).sigmoid_()
            torch.add(told[..., 2 * units :], second[..., 2 * units :], out=v)
            n.addcmul_(r, v).tanh_()
            state = torch.lerp(n, state, z, out=after)
        return states, gates, heard

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, weight, _, ctx.sizes = inputs
        states, gates, heard = output
        ctx.mark_non_differentiable(gates, heard)
        ctx.save_for_backward(gates, heard, states, weight)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]
    ) -> tuple[Any, Any]:
        """A dimension of networks goes in front."""
        parts = [
            part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)
            for part, dim in zip((inputs, weight, bias), dims[:3], strict=True)
        ]
        return _Recurrence.apply(*parts, sizes), (0, 0, 0)  # type: ignore[no-untyped-call]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        """A gate's gradient is the state's by its slope, so a step is a product; the weights' is one for all steps."""
        gates, heard, states, weight = ctx.saved_tensors
        before = _before(states, ctx.sizes)
        r, z, n = gates.chunk(3, dim=-1)
        of_n = (1 - z) * (1 - n * n)
        slopes = torch.stack([of_n * heard * r * (1 - r), (before - n) * z * (1 - z), of_n * r], dim=-2)
        error = gradient.clone()
        told = torch.empty_like(slopes)  # the gradient of what is heard of the state before
        parts = (_parted(part, ctx.sizes, -2) for part in (error, z))
        thirds = (_parted(part, ctx.sizes, -3) for part in (slopes, told))
        carried = error[..., :0, :]
        for now, stays, slope, moved in reversed(list(zip(*parts, *thirds, strict=True))):
            now[..., : carried.shape[-2], :] += carried
            torch.mul(slope, now.unsqueeze(-2), out=moved)
            carried = torch.addcmul(moved.flatten(-2) @ weight, now, stays)
        moved = told.flatten(-2)  # [..., N, 3 units]
        to_inputs = torch.cat([moved[..., : -n.shape[-1]], error * of_n], dim=-1)
        return to_inputs, moved.mT @ before, moved.sum(dim=-2), None


def _parted(rows: Tensor, sizes: Sequence[int], axis: int) -> Sequence[Tensor]:
    parts: Sequence[Tensor] = rows.split(list(sizes), dim=axis)  # type: ignore[no-untyped-call]
    return parts


def _before(states: Tensor, sizes: Sequence[int]) -> Tensor:
    """The state before each row's; before the first, zero."""
    parts = _parted(states, sizes, -2)
    again = [last[..., :size, :] for last, size in zip(parts, sizes[1:], strict=False)]
    return torch.cat([torch.zeros_like(parts[0]), *again], dim=-2)
