"""Boltzmann machines against scikit-learn, autograd, finite differences and exact enumeration."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from methods.base import MethodError, RunContext
from methods.parts.dbn import Dbn, Rbm, pretrain
from methods.parts.training import Schedule, fit

CHANCE = torch.Generator()


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    CHANCE.manual_seed(7)


def machine(visible: int, hidden: int, gaussian: bool = False) -> Rbm:
    """With all parameters away from zero, in double precision."""
    rbm = Rbm(visible, hidden, gaussian).double()
    with torch.no_grad():
        for parameter in rbm.state():
            parameter.copy_(torch.randn(parameter.shape, generator=CHANCE, dtype=torch.double) / 2)
    return rbm


def like(rbm: Rbm, **settings: float) -> BernoulliRBM:
    """Scikit-learn's machine with the same parameters, about to train."""
    other = BernoulliRBM(n_components=rbm.weight.shape[1], random_state=0, **settings)
    other.components_ = rbm.weight.detach().numpy().T.copy()
    other.intercept_visible_ = rbm.visible_bias.detach().numpy().copy()
    other.intercept_hidden_ = rbm.hidden_bias.detach().numpy().copy()
    return other


def states(units: int) -> Tensor:
    """All of them [2^units, units]."""
    return torch.tensor(list(product((0.0, 1.0), repeat=units)), dtype=torch.double)


def log_likelihood(rbm: Rbm, data: Tensor) -> float:
    """Exact, of a machine with few visible units: log p(v) = -F(v) - log Z."""
    log_z = torch.logsumexp(-rbm.free_energy(states(data.shape[1])), dim=0)
    return float((-rbm.free_energy(data) - log_z).mean().detach())


def patterns(count: int, units: int = 6) -> Tensor:
    """Noisy copies of two opposite patterns."""
    clean = (torch.rand(count, 1, generator=CHANCE) < 0.5).double().repeat(1, units)
    clean[:, ::2] = 1 - clean[:, ::2]
    flipped = torch.rand(clean.shape, generator=CHANCE) < 0.05
    return torch.where(flipped, 1 - clean, clean)


def steps(rbm: Rbm, data: Tensor, schedule: Schedule, count: int) -> list[float]:
    weight, visible_bias, hidden_bias = (torch.zeros_like(p) for p in rbm.state())
    speed = weight, visible_bias, hidden_bias
    chance = torch.Generator().manual_seed(0)
    return [float(rbm.step(data, speed, schedule, chance).mean()) for _ in range(count)]


def test_free_energy_is_scikit_learns() -> None:
    rbm = machine(5, 4)
    data = states(5)
    expected = like(rbm)._free_energy(data.numpy())
    assert rbm.free_energy(data).detach().numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gaussian", [False, True])
def test_free_energy_sums_the_hidden_states_of_the_energy(gaussian: bool) -> None:
    rbm, hidden = machine(3, 4, gaussian), states(4)
    visible = torch.randn(6, 3, generator=CHANCE, dtype=torch.double)
    own = (visible - rbm.visible_bias).square().sum(1) / 2 if gaussian else -visible @ rbm.visible_bias
    energy = own[:, None] - visible @ rbm.weight @ hidden.T - hidden @ rbm.hidden_bias  # [6, 16]
    assert torch.allclose(rbm.free_energy(visible), -torch.logsumexp(-energy, dim=1), rtol=1e-12)


@pytest.mark.parametrize("gaussian", [False, True])
def test_contrast_is_the_difference_of_the_free_energys_gradients(gaussian: bool) -> None:
    rbm = machine(5, 4, gaussian)
    data, fantasy = (torch.rand(8, 5, generator=CHANCE, dtype=torch.double) for _ in range(2))
    gap = rbm.free_energy(fantasy).mean() - rbm.free_energy(data).mean()
    expected = torch.autograd.grad(gap, rbm.state())
    for found, gradient in zip(rbm.contrast(data, fantasy), expected, strict=True):
        assert torch.allclose(found, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gaussian", [False, True])
def test_gradient_of_the_free_energy_by_finite_differences(gaussian: bool) -> None:
    rbm = machine(3, 2, gaussian)
    visible = torch.rand(4, 3, generator=CHANCE, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(rbm.free_energy, (visible,))
    drift = torch.autograd.grad(rbm.free_energy(visible).sum(), visible)[0]
    if gaussian:  # dF/dv = v - a - W p(h | v): towards the mean-field reconstruction
        assert torch.allclose(drift, visible - rbm.down(rbm.up(visible)), rtol=1e-10)


def test_gaussian_visible_units_have_the_stated_mean_and_variance_one() -> None:
    """p(v | h) by numerical integration of the energy over one visible unit."""
    rbm = machine(1, 2, gaussian=True).requires_grad_(False)
    line = torch.linspace(-12, 12, 20_001, dtype=torch.double)
    for hidden in states(2):
        energy = (line - rbm.visible_bias).square() / 2 - line * (rbm.weight @ hidden)
        density = torch.softmax(-energy, dim=0)
        mean = float((density * line).sum())
        assert mean == pytest.approx(float(rbm.down(hidden[None]).detach()), abs=1e-9)
        assert float((density * (line - mean).square()).sum()) == pytest.approx(1.0, abs=1e-6)


def test_a_step_is_scikit_learns_on_the_same_fantasies() -> None:
    """Theirs samples the fantasies; drawn again from the same state, they give ours the same step."""
    rbm, data = machine(6, 4), patterns(10)
    other = like(rbm, learning_rate=0.1)
    other.h_samples_ = (torch.rand(10, 4, generator=CHANCE) < 0.5).double().numpy()
    fantasy = torch.from_numpy(other._sample_visibles(other.h_samples_, np.random.RandomState(3)).astype(float))
    with torch.no_grad():
        for parameter, gradient in zip(rbm.state(), rbm.contrast(data, fantasy), strict=True):
            parameter.add_(gradient, alpha=0.1)
    other._fit(data.numpy(), np.random.RandomState(3))
    assert np.allclose(rbm.weight.detach().numpy(), other.components_.T, rtol=1e-10)
    assert np.allclose(rbm.visible_bias.detach().numpy(), other.intercept_visible_, rtol=1e-10)
    assert np.allclose(rbm.hidden_bias.detach().numpy(), other.intercept_hidden_, rtol=1e-10)


class Small(Rbm):
    """On a device that holds so few rows."""

    room = 3

    def up(self, visible: Tensor) -> Tensor:
        if len(visible) > self.room:
            raise torch.OutOfMemoryError
        return super().up(visible)


def test_what_memory_does_not_hold_is_learnt_from_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hidden states that are the same whoever draws them, it becomes what it would have become."""
    data, told = patterns(20), list[tuple[str, float, int]]()
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, 0.5, dtype=torch.double))
    schedule, states = Schedule(3, 10, 0.1, momentum=0.5), list[dict[str, Tensor]]()
    for kind in (Rbm, Small):
        rbm = kind(6, 4).double()
        rbm.load_state_dict(states[0] if states else rbm.state_dict())
        states.append({name: tensor.clone() for name, tensor in rbm.state_dict().items()})
        pretrain(rbm, data, schedule, RunContext(log=lambda *line: told.append(line)))
        states.append(rbm.state_dict())
    assert all(torch.allclose(states[1][name], states[3][name], atol=1e-12) for name in states[1])
    assert not torch.equal(states[0]["weight"], states[1]["weight"])
    assert [line for line in told if line[0] == "parts_of_a_batch"] == [("parts_of_a_batch", 4, n) for n in (1, 2, 3)]
    monkeypatch.setattr(Small, "room", 0)
    with pytest.raises(MethodError, match="the memory of cpu does not hold one example of a batch"):
        pretrain(Small(6, 4).double(), data, schedule, RunContext())


def test_contrastive_divergence_makes_the_data_likelier() -> None:
    rbm, data = machine(6, 3), patterns(64)
    before = log_likelihood(rbm, data)
    steps(rbm, data, Schedule(epochs=1, batch=64, learning_rate=0.1, momentum=0.5), 150)
    after = log_likelihood(rbm, data)
    entropy = -np.log(2) + 6 * (0.05 * np.log(0.05) + 0.95 * np.log(0.95))  # of the data's true distribution
    assert before < after - 1
    assert after == pytest.approx(entropy, abs=0.5)


def test_a_likelihood_step_needs_the_models_own_fantasies() -> None:
    """With every state weighed by its exact probability, the contrast is the gradient of the log-likelihood."""
    rbm, data, everything = machine(4, 3), patterns(32, 4), states(4)
    likely = torch.softmax(-rbm.free_energy(everything), dim=0).detach()
    log_z = torch.logsumexp(-rbm.free_energy(everything), dim=0)
    expected = torch.autograd.grad((-rbm.free_energy(data)).mean() - log_z, rbm.state())
    fantasy = everything[torch.multinomial(likely, 200_000, replacement=True, generator=CHANCE)]
    repeated = data.repeat(200_000 // 32, 1)
    for found, gradient in zip(rbm.contrast(repeated, fantasy), expected, strict=True):
        assert torch.allclose(found, gradient, atol=0.01)


@pytest.mark.parametrize("gaussian", [False, True])
def test_reconstruction_error_falls(gaussian: bool) -> None:
    data = patterns(64).float()
    rbm = Rbm(6, 4, gaussian)
    errors = steps(rbm, 2 * data - 1 if gaussian else data, Schedule(1, 64, 0.05, momentum=0.5), 150)
    assert np.mean(errors[-10:]) < 0.7 * np.mean(errors[:10])


def grown(seed: int) -> tuple[Dbn, list[tuple[str, float, int]], Tensor, Tensor]:
    torch.manual_seed(0)
    logged: list[tuple[str, float, int]] = []
    data = patterns(96).float()
    targets = (data[:, 0] > 0.5).long()
    dbn = Dbn(6, (8, 4), 2)
    run = RunContext(seed, log=lambda *line: logged.append(line))
    scaled = (data - data.mean(0)) / data.std(0)
    dbn.pretrain(scaled, Schedule(10, 16, 0.05, momentum=0.9), run)
    return dbn, logged, scaled, targets


def test_a_stack_is_trained_greedily_and_then_with_labels() -> None:
    dbn, logged, data, targets = grown(0)
    assert {name for name, _, _ in logged} == {"rbm_1_reconstruction_error", "rbm_2_reconstruction_error"}
    assert [rbm.gaussian for rbm in dbn.layers()] == [True, False]
    before = [rbm.weight.detach().clone() for rbm in dbn.layers()]
    fit(dbn, lambda rows: dbn(data[rows]), targets, Schedule(30, 16, 0.1, momentum=0.9), RunContext())
    assert (dbn(data).argmax(1) == targets).float().mean() > 0.9
    assert all((rbm.weight != old).any() for rbm, old in zip(dbn.layers(), before, strict=True))
    assert dbn.embed(data).shape == (96, 4)


def test_pretraining_a_layer_leaves_those_below() -> None:
    dbn = Dbn(6, (8, 4), 2)
    data = patterns(32).float()
    first, second = dbn.layers()
    pretrain(first, data, Schedule(1, 16, 0.1), RunContext())
    kept = first.weight.detach().clone()
    pretrain(second, first.up(data).detach(), Schedule(3, 16, 0.1), RunContext())
    assert torch.equal(first.weight, kept)


def test_the_seed_decides() -> None:
    CHANCE.manual_seed(1)
    one = grown(3)[0].state_dict()
    CHANCE.manual_seed(1)
    same = grown(3)[0].state_dict()
    CHANCE.manual_seed(1)
    other = grown(4)[0].state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["rbms.0.weight"], other["rbms.0.weight"])


def test_a_diverging_machine_says_so() -> None:
    too_fast = Schedule(epochs=200, batch=8, learning_rate=10.0, momentum=0.9)
    with pytest.raises(MethodError, match="lower learning_rate"):
        pretrain(Rbm(6, 4, gaussian=True), patterns(32).float() * 100, too_fast, RunContext())


def test_a_reconstruction_that_is_no_number_is_told_so() -> None:
    """Not refused: on a GPU that would end the whole process."""
    data, rbm = torch.rand(3, 4, dtype=torch.double), Rbm(4, 2).double()
    fantasy = data.flip(0)
    expected = rbm.reconstruction_error(data, fantasy)
    assert torch.equal(expected, binary_cross_entropy(fantasy, data, reduction="none").sum(dim=1))
    fantasy[1, 2] = torch.nan
    found = rbm.reconstruction_error(data, fantasy)
    assert found.isnan().tolist() == [False, True, False] and torch.equal(found[::2], expected[::2])
