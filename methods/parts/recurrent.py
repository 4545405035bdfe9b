"""A bidirectional LSTM with recurrent dropout, which PyTorch's own does not have."""

import torch
from torch import Tensor, nn


class BiLstm(nn.Module):
    """One layer. In training a clip's mask hides the same units of the last state at every step.

    Y. Gal, Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks", NIPS 2016;
    `recurrent_dropout` of Keras, whose one mask serves all four gates too.
    """

    def __init__(self, width: int, units: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, units, batch_first=True, bidirectional=True)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """[B, T, width] -> [B, T, 2 * units], forwards before backwards."""
        if self.training and self.dropout:
            return self._masked(rows)
        states: Tensor = self.lstm(rows)[0]
        return states

    def _masked(self, rows: Tensor) -> Tensor:
        seen, kept, bias, second = (torch.stack(pair) for pair in zip(*self.lstm.all_weights, strict=True))
        steps = rows.transpose(0, 1)  # [T, B, width]
        both = torch.stack([steps, steps.flip(0)]).flatten(1, 2)
        inputs = torch.baddbmm((bias + second)[:, None], both, seen.mT).view(2, *steps.shape[:2], -1)
        state = cell = rows.new_zeros(2, len(rows), self.lstm.hidden_size)
        kept = kept.mT.contiguous()
        mask = nn.functional.dropout(torch.ones_like(state), self.dropout)
        states = []
        for step in inputs.unbind(1):  # [2, B, 4 * units]
            enter, forget, update, leave = (step + (state * mask) @ kept).chunk(4, dim=-1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * update.tanh()
            state = leave.sigmoid() * cell.tanh()
            states.append(state)
        forwards, backwards = torch.stack(states, dim=2)  # [B, T, units] each
        return torch.cat([forwards, backwards.flip(1)], dim=-1)
