"""The GRU without padding, and the bidirectional LSTM with recurrent dropout, beside PyTorch's own and step by step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from methods.parts import networks
from methods.parts.gru import Gru, recurrence
from methods.parts.ragged import Packed, Ragged
from methods.parts.recurrent import BiLstm


def gradients(made: Tensor, *of: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad((made * torch.linspace(-1, 2, made.numel()).view(made.shape)).sum(), of))


def packed(rows: list[Tensor]) -> Packed:
    """By PyTorch's own."""
    told = pack_sequence(rows, enforce_sorted=False)
    order, lengths = told.unsorted_indices, torch.tensor([len(sequence) for sequence in rows])
    assert order is not None
    return Packed(told.data, told.batch_sizes, (told.batch_sizes.cumsum(0) - told.batch_sizes)[lengths - 1] + order)


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7), layers=st.integers(1, 3))
def test_last_states_and_gradients_are_those_of_nn_gru(lengths: list[int], layers: int) -> None:
    """Sequences of any lengths, in any order; every parameter, and the rows themselves."""
    with networks.seeded(0):
        gru = Gru(3, 5, layers, batch_first=True).double()
        rows = [torch.randn(length, 3, dtype=torch.float64, requires_grad=True) for length in lengths]
    of = (*gru.parameters(), *rows)
    found = gru.last(packed(rows))
    expected = torch.stack([gru(sequence[None])[0][0, -1] for sequence in rows])  # each alone
    assert torch.allclose(found, expected)
    for one, other in zip(gradients(found, *of), gradients(expected, *of), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_what_a_gpu_is_given_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same function on the host: `nn.GRU` on packed sequences instead of our own steps."""
    with networks.seeded(0):
        gru = Gru(3, 5, 2, batch_first=True)
        rows = packed([torch.randn(length, 3) for length in (2, 7, 1, 4)])
    ours = gru.last(rows)
    monkeypatch.setattr("methods.parts.gru.accelerated", lambda device: True)
    assert torch.allclose(gru.last(rows), ours, atol=1e-6)


def test_the_recurrence_is_differentiated_rightly() -> None:
    with networks.seeded(1):
        inputs, weight, bias = (torch.randn(*size, dtype=torch.float64) for size in ((9, 6), (6, 2), (6,)))
    assert torch.autograd.gradcheck(
        lambda one, two, three: recurrence(one, two, three, [4, 3, 2]),
        [part.requires_grad_() for part in (inputs, weight, bias)],
    )


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    layers=st.integers(1, 4),
    count=st.integers(1, 3),
)
def test_several_stacks_of_layers_at_once_are_those_of_nn_gru(lengths: list[int], layers: int, count: int) -> None:
    """States and gradients of every parameter and row, each network as if it were alone."""
    with networks.seeded(count):
        grus = [Gru(3, 4, layers, batch_first=True).double() for _ in range(count)]
        each = [[torch.randn(length, 3, dtype=torch.float64) for length in lengths] for _ in range(count)]
    shell = Gru(3, 4, layers, batch_first=True, device="meta")
    shell.several = True
    of, _ = torch.func.stack_module_state(grus)
    batches = [packed(rows) for rows in each]
    inputs = torch.stack([batch.rows for batch in batches]).requires_grad_()

    def one(weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        batch = Packed(rows, batches[0].sizes, batches[0].ends)
        shown: Tensor = torch.func.functional_call(_Last(shell), {f"gru.{n}": w for n, w in weights.items()}, (batch,))
        return shown

    for number, gru in enumerate(grus):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("methods.parts.gru.accelerated", lambda device: True)
            found = torch.func.vmap(one)(of, inputs)
        rows = batches[number].rows.clone().requires_grad_()
        expected = gru.last(Packed(rows, batches[0].sizes, batches[0].ends))
        assert torch.allclose(found[number], expected)
        ours = gradients(found[number], *of.values(), inputs)
        theirs = gradients(expected, *gru.parameters(), rows)
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.allclose(mine[number], other, atol=1e-12)


class _Last(nn.Module):
    def __init__(self, gru: Gru) -> None:
        super().__init__()
        self.gru = gru

    def forward(self, batch: Packed) -> Tensor:
        return self.gru.last(batch)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_mixed_precision_leaves_a_gru_in_single(layers: int, gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone and of several networks, there and back, also of rows that came in half precision."""
    with networks.seeded(0):
        gru = Gru(13, 32, layers, batch_first=True)
        batch = packed([torch.randn(length, 13).bfloat16().float() for length in (9, 4, 12)])
    of, _ = torch.func.stack_module_state([gru, gru])
    shell = Gru(13, 32, layers, batch_first=True, device="meta")
    shell.several = True
    halved = replace(batch, rows=batch.rows.bfloat16())

    def one(weights: dict[str, Tensor]) -> Tensor:
        named = {f"gru.{n}": w for n, w in weights.items()}
        shown: Tensor = torch.func.functional_call(_Last(shell), named, (halved,))
        return shown

    monkeypatch.setattr("methods.parts.gru.accelerated", lambda device: gpu)
    expected = gru.last(batch)
    with torch.autocast("cpu", torch.bfloat16):
        alone, found = gru.last(halved), torch.func.vmap(one)(of)
    assert alone.dtype == found.dtype == torch.float32 and torch.equal(alone, expected)
    assert torch.allclose(found, expected.expand_as(found), atol=1e-6)
    theirs = gradients(expected, *gru.parameters())
    for own, mine, other in zip(gradients(alone, *gru.parameters()), gradients(found[0], *of.values()), theirs,
                                strict=True):  # fmt: skip
        assert torch.equal(own, other) and not mine[1].any()
        assert torch.allclose(mine[0], other, atol=1e-4 * float(other.abs().max()))


def test_several_networks_at_once() -> None:
    """A dimension of networks in front changes none of them."""
    with networks.seeded(2):
        inputs, weight, bias = parts = [
            torch.randn(3, *size, dtype=torch.float64, requires_grad=True) for size in ((7, 9), (9, 3), (9,))
        ]
    sizes = [3, 2, 2]
    for number in range(3):
        together = recurrence(inputs, weight, bias, sizes)
        alone = [part.detach()[number].requires_grad_() for part in parts]
        states = recurrence(alone[0], alone[1], alone[2], sizes)
        assert torch.allclose(together[number], states)
        grown = gradients(together[number], *parts)
        for one, other in zip(grown, gradients(states, *alone), strict=True):
            assert torch.allclose(one[number], other)


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8), data=st.data())
def test_ragged_sequences_without_padding(lengths: list[int], data: st.DataObject) -> None:
    """Packed as PyTorch packs them; in parts of like lengths, each gets its own rows and its own place."""
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 2)).astype(np.float32) for length in lengths]
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9))
    ragged = Ragged(sequences, "cpu")
    told = [torch.from_numpy(sequences[n] if lengths[n] else np.zeros((1, 2), np.float32)) for n in chosen]
    found, expected = ragged.packed(torch.tensor(chosen)), packed(told)
    assert torch.equal(found.sizes, expected.sizes)
    assert torch.equal(found.rows[found.ends], torch.stack([rows[-1] for rows in told]))
    assert torch.equal(found.rows.sort(dim=0)[0], expected.rows.sort(dim=0)[0])
    size = data.draw(st.integers(1, 9))
    summed = ragged.alike(torch.tensor(chosen), size).each(lambda rows, real: _sums(rows, real))
    assert torch.allclose(summed, torch.stack([rows.sum(dim=0) for rows in told]), atol=1e-5)
    assert all(len(rows) <= size for rows, _ in ragged.alike(torch.tensor(chosen), size).parts)


def _sums(rows: Tensor, lengths: Tensor) -> Tensor:
    real = torch.arange(rows.shape[1]) < lengths[:, None]
    summed: Tensor = (rows * real[..., None]).sum(dim=1)
    return summed


def step_by_step(layer: BiLstm, rows: Tensor, masks: Tensor) -> Tensor:
    """PyTorch's own cell, one step after the other, with what each direction hides."""
    told: list[Tensor] = []
    for direction, mask in zip(layer.lstm.all_weights, masks, strict=True):
        cell = nn.LSTMCell(rows.shape[-1], layer.lstm.hidden_size).to(rows.dtype)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        state = memory = rows.new_zeros(len(rows), layer.lstm.hidden_size)
        states = []
        for step in rows.unbind(1) if not told else rows.flip(1).unbind(1):
            state, memory = torch.func.functional_call(
                cell, dict(zip(names, direction, strict=True)), (step, (state * mask, memory))
            )
            states.append(state)
        told.append(torch.stack(states, dim=1))
    return torch.cat([told[0], told[1].flip(1)], dim=-1)


def test_recurrent_dropout_is_that_of_cells_one_by_one() -> None:
    with networks.seeded(3):
        layer, rows = BiLstm(3, 4, dropout=0.5), torch.randn(5, 6, 3, requires_grad=True)
    with networks.seeded(4):
        found = layer(rows)
    with networks.seeded(4):
        masks = nn.functional.dropout(rows.new_ones(2, 5, 4), 0.5)
    expected = step_by_step(layer, rows, masks)
    of = (rows, *layer.parameters())
    assert torch.allclose(found, expected, atol=1e-5)
    for one, other in zip(gradients(found, *of), gradients(expected, *of), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("dropout", "training"), [(0.2, True), (0.0, True), (0.2, False)])
def test_mixed_precision_leaves_an_lstm_in_single(dropout: float, training: bool) -> None:
    """There and back, also of rows that came in half precision."""
    with networks.seeded(5):
        layer, rows = BiLstm(3, 4, dropout).train(training), torch.randn(4, 6, 3).bfloat16()
    told = []
    for enabled in (True, False):
        with networks.seeded(6), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = layer(rows if enabled else rows.float())
        assert found.dtype == torch.float32
        told.append([found, *gradients(found, *layer.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*told, strict=True))
