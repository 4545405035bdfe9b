"""Factorized bilinear pooling: two features multiplied, every number of one by every number of the other.

Z. Yu, J. Yu, J. Fan, D. Tao, "Multi-modal Factorized Bilinear Pooling with Co-Attention Learning for Visual Question
Answering", ICCV 2017, without its power normalisation, as H. Zhou et al. (ICMI 2019) use it.
"""

from torch import Tensor, nn
from torch.nn.functional import normalize


class FactorizedBilinearPooling(nn.Module):
    """z_i = sum over k of (U~^T a)(V~^T v), of rank k for each of `width` numbers; then z / |z|."""

    def __init__(self, audio: int, video: int, width: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.width, self.rank = width, rank
        self.audio = nn.Linear(audio, width * rank, bias=False)  # U~ [m, o k]
        self.video = nn.Linear(video, width * rank, bias=False)  # V~ [n, o k]
        self.dropout = nn.Dropout(dropout)

    def pooled(self, audio: Tensor, video: Tensor) -> Tensor:
        """Equation (9): [B, m] and [B, n] -> [B, o]"""
        products = self.dropout(self.audio(audio) * self.video(video))  # [B, o k]
        z: Tensor = products.unflatten(1, (self.width, self.rank)).sum(dim=2)  # windows of k
        return z

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        return normalize(self.pooled(audio, video), dim=1)
