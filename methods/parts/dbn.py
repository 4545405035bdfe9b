"""Restricted Boltzmann machines, and deep belief networks made of them.

G. E. Hinton, S. Osindero, Y.-W. Teh, "A Fast Learning Algorithm for Deep Belief Nets", Neural Computation 18(7), 2006;
G. E. Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation 14(8), 2002.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from methods.base import MethodError, RunContext
from methods.parts.course import Course
from methods.parts.memory import exhausted
from methods.parts.training import Schedule, accelerated, batches, sent

State = tuple[Tensor, Tensor, Tensor]  # one for each parameter: weight, visible bias, hidden bias


class Rbm(nn.Module):
    """Visible units v and hidden units h that know each other, but not those of their own kind.

    Bernoulli-Bernoulli: E(v, h) = -v W h - a v - b h. Gaussian-Bernoulli, of visible units with variance 1:
    E(v, h) = |v - a|^2 / 2 - v W h - b h. Either way p(h | v) = sigmoid(v W + b).
    """

    def __init__(self, visible: int, hidden: int, gaussian: bool = False) -> None:
        super().__init__()
        self.gaussian = gaussian
        self.weight = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def up(self, visible: Tensor) -> Tensor:
        """Mean hidden states [B, hidden]."""
        return torch.sigmoid(visible @ self.weight + self.hidden_bias)

    def down(self, hidden: Tensor) -> Tensor:
        """Mean visible states [B, visible]."""
        drive = hidden @ self.weight.T + self.visible_bias
        return drive if self.gaussian else torch.sigmoid(drive)

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) [B], where p(v) = exp(-F(v)) / Z."""
        told = softplus(visible @ self.weight + self.hidden_bias).sum(dim=1)
        if self.gaussian:
            return (visible - self.visible_bias).square().sum(dim=1) / 2 - told
        return -visible @ self.visible_bias - told

    def reconstruction_error(self, data: Tensor, reconstructed: Tensor) -> Tensor:
        """Cross-entropy of each row; of Gaussian units, half the squared distance."""
        if self.gaussian:
            return (data - reconstructed).square().sum(dim=1) / 2
        known = reconstructed.nan_to_num(0.5)  # of what is no number it would end the whole process on a GPU
        told = nn.functional.binary_cross_entropy(known, data, reduction="none").sum(dim=1)
        return told.where(reconstructed.isfinite().all(dim=1), torch.nan)

    def contrast(self, data: Tensor, fantasy: Tensor) -> State:
        """Where the parameters should go, so that data become likelier than fantasies: -dF(data) + dF(fantasy)."""
        seen, dreamt = self.up(data), self.up(fantasy)
        weight = (data.T @ seen - fantasy.T @ dreamt) / len(data)
        return weight, (data - fantasy).mean(dim=0), (seen - dreamt).mean(dim=0)

    @torch.no_grad()
    def step(self, data: Tensor, speed: State, schedule: Schedule, chance: torch.Generator, parts: int = 1) -> Tensor:
        """One step of CD-1, in place, by the mean over all parts of the batch; its reconstruction error [B]."""
        towards, errors = [torch.zeros_like(parameter) for parameter in self.state()], []
        for part in data.tensor_split(parts):
            likely = self.up(part)
            hidden = (torch.rand(likely.shape, device=likely.device, generator=chance) < likely).to(likely.dtype)
            fantasy = self.down(hidden)  # its mean: sampling it would only add noise
            for total, gradient in zip(towards, self.contrast(part, fantasy), strict=True):
                total.add_(gradient, alpha=len(part) / len(data))
            errors.append(self.reconstruction_error(part, fantasy))
        for parameter, velocity, gradient in zip(self.state(), speed, towards, strict=True):
            velocity.mul_(schedule.momentum or 0.0).add_(gradient)
            parameter.add_(velocity, alpha=schedule.learning_rate)
        return torch.cat(errors)

    def state(self) -> State:
        """The parameters."""
        return self.weight, self.visible_bias, self.hidden_bias


def pretrain(rbm: Rbm, data: Tensor, schedule: Schedule, run: RunContext) -> None:
    """Contrastive divergence over shuffled batches of [N, visible]."""
    shuffler = torch.Generator().manual_seed(run.seed)
    chance = torch.Generator(data.device).manual_seed(run.seed)
    weight, visible_bias, hidden_bias = speed = tuple(torch.zeros_like(parameter) for parameter in rbm.state())
    course, parts = Course(run, rbm, (shuffler, chance), tensors=speed), 1

    def learnt(chosen: Tensor) -> Tensor:
        """The reconstruction error of a batch; in parts, once memory did not hold a whole one."""
        nonlocal parts
        while True:
            try:
                rows = data[sent(chosen, data.device)]
                return rbm.step(rows, (weight, visible_bias, hidden_bias), schedule, chance, min(parts, len(chosen)))
            except RuntimeError as error:
                if not exhausted(error):
                    raise
                if len(chosen) <= parts:
                    raise MethodError(f"the memory of {data.device} does not hold one example of a batch") from error
            parts *= 2
            if accelerated(data.device):
                torch.cuda.empty_cache()

    for epoch in course.epochs(schedule.epochs):
        order = torch.randperm(len(data), generator=shuffler)
        errors = [learnt(chosen) for chosen in batches(order, schedule.batch)]
        if parts > 1:
            course.run.log("parts_of_a_batch", parts, epoch)
        told = torch.stack([part.mean() for part in errors]).cpu()  # the only look at the device in an epoch
        if len(wrong := (~told.isfinite()).nonzero()):
            number = int(wrong[0]) + 1
            raise MethodError(
                f"the reconstruction error is {told[number - 1].item()} in epoch {epoch}, batch {number}; "
                "lower learning_rate"
            )
        course.run.log("reconstruction_error", told.mean().item(), epoch)


class Dbn(nn.Module):
    """A stack of RBMs, the lowest with Gaussian visible units; once pretrained, sigmoid layers below a softmax."""

    def __init__(self, visible: int, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        sizes = pairwise((visible, *hidden))
        self.rbms = nn.ModuleList(Rbm(below, above, gaussian=not n) for n, (below, above) in enumerate(sizes))
        self.classify = nn.Linear(hidden[-1], classes)

    def layers(self) -> Iterator[Rbm]:
        """From the inputs upwards."""
        for rbm in self.rbms:
            assert isinstance(rbm, Rbm)
            yield rbm

    def pretrain(self, data: Tensor, schedule: Schedule, run: RunContext) -> None:
        """Greedily, each RBM on the mean hidden states of those below. The Gaussian units expect standardised data."""
        for number, rbm in enumerate(self.layers(), start=1):
            pretrain(rbm, data, schedule, run.named(f"rbm_{number}"))
            with torch.no_grad():
                data = rbm.up(data)

    def embed(self, inputs: Tensor) -> Tensor:
        """The last hidden layer [B, hidden]."""
        for rbm in self.layers():
            inputs = rbm.up(inputs)
        return inputs

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.embed(inputs))
        return logits
