"""Factorized bilinear pooling beside the bilinear form that it is."""

import torch
from torch.testing import assert_close

from methods.parts.bilinear import FactorizedBilinearPooling

AUDIO, VIDEO, WIDTH, RANK = 3, 4, 5, 2


def pooling(dropout: float = 0.0) -> FactorizedBilinearPooling:
    torch.manual_seed(0)
    return FactorizedBilinearPooling(AUDIO, VIDEO, WIDTH, RANK, dropout)


def test_it_is_a_bilinear_form_of_rank_k() -> None:
    """z_i = a' W_i v (equation 8), with W_i the sum over k of outer products."""
    module = pooling()
    audio, video = torch.randn(6, AUDIO), torch.randn(6, VIDEO)
    u, v = module.audio.weight.view(WIDTH, RANK, AUDIO), module.video.weight.view(WIDTH, RANK, VIDEO)
    forms = torch.einsum("okm,okn->omn", u, v)  # W [o, m, n]
    z = torch.einsum("bm,omn,bn->bo", audio, forms, video)
    assert_close(module.pooled(audio, video), z)
    assert_close(module(audio, video), z / z.norm(dim=1, keepdim=True))
    assert int(torch.linalg.matrix_rank(forms).max()) == RANK


def test_it_is_linear_in_each_and_has_length_one() -> None:
    module = pooling()
    one, other, video = torch.randn(1, AUDIO), torch.randn(1, AUDIO), torch.randn(1, VIDEO)
    both = module.pooled(2 * one - other, video)
    assert_close(both, 2 * module.pooled(one, video) - module.pooled(other, video))
    assert_close(module(7 * one, video), module(one, video))
    assert_close(module(one, video).norm(dim=1), torch.ones(1))
    assert module(torch.zeros(1, AUDIO), video).isfinite().all()


def test_dropout_is_of_the_products_in_training_only() -> None:
    module, audio, video = pooling(0.5), torch.randn(1, AUDIO), torch.randn(1, VIDEO)
    kept = {tuple(module.pooled(audio, video)[0].tolist()) for _ in range(20)}
    assert len(kept) > 1
    module.eval()
    assert_close(module.pooled(audio, video), pooling().pooled(audio, video))
