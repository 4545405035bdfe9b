"""A clip's features as one: the three attentions of H. Zhou et al., "Exploring Emotion Features and Fusion Strategies
for Audio-Video Emotion Recognition", ICMI 2019, doi:10.1145/3340555.3355713, equations (1) to (7), and the plain mean.

All take features [B, n, d] and which of them are real [B, n]; what is padded has no weight.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["self", "relation", "transformer", "mean"]
TINY = 1e-12  # added to a sum of weights: sigmoids that all fade to nothing must not divide by it


class Mean(nn.Module):
    """All weights alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: Tensor, real: Tensor) -> Tensor:
        """[B, d]"""
        return weighted_mean(features, real.to(features.dtype))


class SelfAttention(nn.Module):
    """Each feature by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weigh = nn.Linear(width, 1, bias=False)  # W0 [d, 1]

    def weights(self, features: Tensor, real: Tensor) -> Tensor:
        """alpha [B, n], equation (1)"""
        alpha: Tensor = self.weigh(features).squeeze(-1).sigmoid() * real
        return alpha

    def forward(self, features: Tensor, real: Tensor) -> Tensor:
        """f_s [B, d], equation (2)"""
        return weighted_mean(features, self.weights(features, real))


class RelationAttention(nn.Module):
    """Each feature beside what self-attention makes of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width
        self.alone = SelfAttention(width)
        self.weigh = nn.Linear(2 * width, 1, bias=False)  # W1 [2 d, 1], of [f_i : f_s]

    def forward(self, features: Tensor, real: Tensor) -> Tensor:
        """f_r [B, 2 d], equation (4)"""
        alpha = self.alone.weights(features, real)  # [B, n]
        whole = weighted_mean(features, alpha)  # f_s [B, d]
        pairs = torch.cat([features, whole[:, None].expand_as(features)], dim=-1)  # [f_i : f_s] [B, n, 2 d]
        beta = self.weigh(pairs).squeeze(-1).sigmoid()  # [B, n], equation (3)
        return weighted_mean(pairs, alpha * beta)


class TransformerAttention(nn.Module):
    """Each feature in fewer dimensions beside a learned vector."""

    def __init__(self, width: int, reduced: int) -> None:
        super().__init__()
        self.width = width
        self.reduce = nn.Linear(width, reduced)  # W2 [m, d] and b, equation (5)
        self.weigh = nn.Linear(reduced, 1, bias=False)  # u

    def forward(self, features: Tensor, real: Tensor) -> Tensor:
        """f_t [B, d], equation (7)"""
        scores = self.weigh(self.reduce(features).tanh()).squeeze(-1)  # ln gamma [B, n], equation (6)
        gamma = scores.masked_fill(~real, -torch.inf).softmax(dim=1)  # gamma_i / sum of gamma, without overflow
        return weighted_mean(features, gamma)


def attention(kind: Kind, width: int, reduced: int) -> Mean | SelfAttention | RelationAttention | TransformerAttention:
    """By name; its `width` is that of what comes out."""
    match kind:
        case "self":
            return SelfAttention(width)
        case "relation":
            return RelationAttention(width)
        case "transformer":
            return TransformerAttention(width, reduced)
        case "mean":
            return Mean(width)


def weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    """[B, n, d] by weights [B, n] -> [B, d]."""
    total = weights.sum(dim=1, keepdim=True) + TINY
    return torch.einsum("bn,bnd->bd", weights / total, features)
