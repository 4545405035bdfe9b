"""Attention over features: closed forms, a direct loop, and what must not matter."""

from math import exp
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from methods.parts.attention import Kind, RelationAttention, SelfAttention, TransformerAttention, attention

KINDS = get_args(Kind)


def features(clips: int = 2, rows: int = 5, width: int = 4) -> Tensor:
    return torch.randn(clips, rows, width, generator=torch.Generator().manual_seed(0))


def all_real(rows: Tensor) -> Tensor:
    return torch.ones(rows.shape[:2], dtype=torch.bool)


def fresh(kind: Kind, width: int = 4) -> torch.nn.Module:
    torch.manual_seed(1)
    module = attention(kind, width, 3)
    for parameter in module.parameters():  # away from nearly equal weights
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_one_feature_is_itself(kind: Kind) -> None:
    one = features(rows=1)
    expected = one[:, 0].repeat(1, 2 if kind == "relation" else 1)  # [f : f_s], and f_s is f
    assert_close(fresh(kind)(one, all_real(one)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_features_are_one(kind: Kind) -> None:
    one = features(rows=1)
    many = one.expand(-1, 7, -1)
    module = fresh(kind)
    assert_close(module(many, all_real(many)), module(one, all_real(one)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_real_does_not_matter(kind: Kind) -> None:
    rows, module = features(), fresh(kind)
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    spoiled = rows.clone()
    spoiled[1, 3:] = 1e4
    assert_close(module(spoiled, real)[0], module(rows, real)[0])
    assert_close(module(spoiled, real)[1], module(rows[1:, :3], real[1:, :3])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_feature_twice_is_as_each_once_in_any_order(kind: Kind) -> None:
    rows, module = features(), fresh(kind)
    twice = torch.cat([rows, rows.flip(1)], dim=1)
    assert_close(module(twice, all_real(twice)), module(rows, all_real(rows)))


def test_self_attention_is_equations_1_and_2() -> None:
    rows, module = features(), fresh("self")
    assert isinstance(module, SelfAttention)
    weight = module.weigh.weight[0].detach()
    for clip, found in zip(rows, module(rows, all_real(rows)), strict=True):
        alpha = [1 / (1 + exp(-float(f @ weight))) for f in clip]
        assert_close(found, sum(a * f for a, f in zip(alpha, clip, strict=True)) / sum(alpha))


def test_relation_attention_is_equations_3_and_4() -> None:
    rows, module = features(), fresh("relation")
    assert isinstance(module, RelationAttention)
    one, two = module.alone.weigh.weight[0].detach(), module.weigh.weight[0].detach()
    for clip, found in zip(rows, module(rows, all_real(rows)), strict=True):
        alpha = [1 / (1 + exp(-float(f @ one))) for f in clip]
        whole = sum(a * f for a, f in zip(alpha, clip, strict=True)) / sum(alpha)
        pairs = [torch.cat([f, torch.as_tensor(whole)]) for f in clip]
        beta = [1 / (1 + exp(-float(pair @ two))) for pair in pairs]
        both = [a * b for a, b in zip(alpha, beta, strict=True)]
        assert_close(found, sum(w * pair for w, pair in zip(both, pairs, strict=True)) / sum(both))


def test_transformer_attention_is_equations_5_to_7() -> None:
    rows, module = features(), fresh("transformer")
    assert isinstance(module, TransformerAttention)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for clip, found in zip(rows, module(rows, all_real(rows)), strict=True):
        scores = [float(module.weigh.weight[0] @ (module.reduce.weight @ f + module.reduce.bias).tanh()) for f in clip]
        gamma = [exp(score) for score in scores]
        assert_close(found, sum(g * f for g, f in zip(gamma, clip, strict=True)) / sum(gamma))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_weights_and_their_gradients_are_numbers(kind: Kind) -> None:
    rows, module = features(), fresh(kind)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 1e3)  # exp(3000) is no number
    for inputs in (rows.requires_grad_(), -50 * torch.ones_like(rows)):  # and sigmoid(-2e5) is nothing
        out = module(inputs, all_real(rows))
        assert out.isfinite().all()
        if out.requires_grad:
            out.sum().backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
