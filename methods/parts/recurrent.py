"""A bidirectional LSTM with recurrent dropout, which PyTorch's own does not have."""

from typing import Any

import torch
from torch import Tensor, nn

from methods.parts.training import precise


class BiLstm(nn.Module):
    """One layer. In training a clip's mask hides the same units of the last state at every step.

    Y. Gal, Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks", NIPS 2016;
    `recurrent_dropout` of Keras, whose one mask serves all four gates too.
    """

    several = False  # whether this stands for several networks in training, under vmap

    def __init__(self, width: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, units, batch_first=True, bidirectional=True)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, 2 * units], forwards before backwards.

        In single precision at least: autocast would have cuDNN do it in float16, in which small gradients are nothing.
        """
        with torch.autocast(rows.device.type, enabled=False):
            rows = precise(rows)
            if self.several or (self.training and self.dropout):
                return self._masked(rows)
            states: Tensor = self.lstm(rows)[0]
            return states

    def _masked(self, rows: Tensor) -> Tensor:
        seen, kept, bias, second = (torch.stack(pair) for pair in zip(*self.lstm.all_weights, strict=True))
        steps = rows.transpose(0, 1)  # [T, B, width]
        both = torch.stack([steps, steps.flip(0)]).flatten(1, 2)
        inputs = torch.baddbmm((bias + second)[:, None], both, seen.mT).view(2, *steps.shape[:2], -1)
        mask = nn.functional.dropout(rows.new_ones(2, len(rows), self.lstm.hidden_size), self.dropout)
        states: Tensor = _Recurrence.apply(inputs, kept, mask)[0]  # type: ignore[no-untyped-call]
        forwards, backwards = states.transpose(1, 2)  # [B, T, units] each
        return torch.cat([forwards, backwards.flip(1)], dim=-1)


class _Recurrence(torch.autograd.Function):
    """All steps of both directions, differentiated at once: [2, T, B, 4 * units] -> states [2, T, B, units]."""

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States, and what the way back needs: gates and cells."""
        units = mask.shape[-1]
        turned, gates = weight.mT.contiguous(), inputs.clone()
        states, cells = inputs.new_empty(2, *inputs.shape[:-1], units)
        state = cell = torch.zeros_like(mask)
        for whole, after, filled in zip(gates.unbind(1), states.unbind(1), cells.unbind(1), strict=True):
            whole.add_((state * mask) @ turned)
            whole[..., : 2 * units].sigmoid_()
            whole[..., 2 * units : 3 * units].tanh_()
            whole[..., 3 * units :].sigmoid_()
            enter, forget, update, leave = whole.chunk(4, dim=-1)
            cell = torch.addcmul(enter * update, forget, cell, out=filled)
            state = torch.mul(leave, cell.tanh(), out=after)
        return states, gates, cells

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, weight, mask = inputs
        states, gates, cells = output
        ctx.mark_non_differentiable(gates, cells)
        ctx.save_for_backward(gates, states, cells, weight, mask)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Any, Any]:
        """The directions of all networks are as many directions."""
        parts = [
            (part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)).flatten(0, 1)
            for part, dim in zip(inputs, dims, strict=True)
        ]
        told = _Recurrence.apply(*parts)  # type: ignore[no-untyped-call]
        return tuple(part.unflatten(0, (info.batch_size, 2)) for part in told), (0, 0, 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, None]:
        """A gate's gradient is its slope by the cell's, or by the state's; the weights' is one product of all steps."""
        gates, states, cells, weight, mask = ctx.saved_tensors
        enter, forget, update, leave = gates.chunk(4, dim=-1)
        seen, shown = _before(cells), cells.tanh()
        of_cell = torch.stack(
            [update * enter * (1 - enter), seen * forget * (1 - forget), enter * (1 - update * update)], dim=-2
        )  # [2, T, B, 3, units]
        of_state, within = shown * leave * (1 - leave), leave * (1 - shown * shown)
        error, moved = gradient.clone(), torch.empty_like(gates).view(*states.shape[:-1], 4, -1)
        parts = (part.unbind(1) for part in (error, moved, of_cell, of_state, within, forget))
        carried = kept = torch.zeros_like(mask)  # the gradients of the state and of the cell
        for now, told, slopes, slope, through, stays in reversed(list(zip(*parts, strict=True))):
            now += carried
            cell = torch.addcmul(kept, now, through)
            torch.mul(slopes, cell.unsqueeze(-2), out=told[..., :3, :])
            torch.mul(slope, now, out=told[..., 3, :])
            carried = (told.flatten(-2) @ weight).mul_(mask)
            kept = cell * stays
        to_inputs = moved.flatten(-2)
        heard = _before(states) * mask.unsqueeze(1)
        return to_inputs, to_inputs.flatten(1, 2).mT @ heard.flatten(1, 2), None


def _before(series: Tensor) -> Tensor:
    """[2, T, B, units] one step later, after zeros."""
    return torch.cat([torch.zeros_like(series[:, :1]), series[:, :-1]], dim=1)
