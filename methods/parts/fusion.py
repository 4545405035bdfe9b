"""How two modalities' segment features become one: a deep belief network, fully connected layers, or no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from methods.base import RunContext
from methods.parts.dbn import Dbn
from methods.parts.networks import he_initialised, seeded
from methods.parts.training import Schedule, fit


@dataclass(frozen=True)
class Fusing:
    """The DBN and its rivals. Hidden layers: 4096, then each half of the one below."""

    by: Literal["dbn", "fc", "feature", "score", "majority", "max", "sum", "min", "average", "product"] = "dbn"
    layers: int = 2
    units: int = 4096
    dropout: float = 0.3  # of fc, before the softmax
    pretraining: Schedule = Schedule(epochs=100, batch=30, learning_rate=0.001, momentum=0.9)  # of each RBM
    schedule: Schedule = Schedule(epochs=100, batch=30, learning_rate=0.001, momentum=0.9)

    @property
    def network(self) -> bool:
        """Whether there is one."""
        return self.by in ("dbn", "fc")

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(self.units >> layer for layer in range(self.layers))


class Fc(nn.Module):
    """The earlier work's fusion: fully connected layers, and dropout before the softmax."""

    def __init__(self, visible: int, hidden: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        sizes = pairwise((visible, *hidden))
        self.hidden = nn.Sequential(*(layer for ins, outs in sizes for layer in (nn.Linear(ins, outs), nn.ReLU())))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden[-1], classes))
        he_initialised(self)

    def embed(self, inputs: Tensor) -> Tensor:
        """The last hidden layer."""
        hidden: Tensor = self.hidden(inputs)
        return hidden

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.embed(inputs))
        return logits


class FusionNetwork(nn.Module):
    """A DBN or fully connected layers on standardised features."""

    def __init__(self, visible: int, fusing: Fusing, classes: int) -> None:
        super().__init__()
        self.layers: Dbn | Fc = (
            Dbn(visible, fusing.hidden, classes)
            if fusing.by == "dbn"
            else Fc(visible, fusing.hidden, classes, fusing.dropout)
        )
        self.mean, self.deviation = nn.Buffer(torch.zeros(visible)), nn.Buffer(torch.ones(visible))

    def embed(self, features: Tensor) -> Tensor:
        """The last hidden layer."""
        return self.layers.embed((features - self.mean) / self.deviation)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers((features - self.mean) / self.deviation)
        return logits

    def train_on(
        self,
        features: Tensor,
        targets: Tensor,
        fusing: Fusing,
        run: RunContext,
        watch: Callable[[], float] | None = None,
    ) -> None:
        """The DBN first without labels, layer by layer; then either with them. The last epoch is kept."""
        fit_scale(self, features)
        inputs = (features - self.mean) / self.deviation
        with seeded(run.seed):
            if isinstance(self.layers, Dbn):
                self.layers.pretrain(inputs, fusing.pretraining, run)
            fit(
                self.layers,
                self.layers,
                targets,
                fusing.schedule,
                run,
                watch,
                keep="last",
                gather=lambda rows: inputs[rows],
            )


def fit_scale(network: nn.Module, rows: Tensor) -> None:
    """Mean and deviation of the columns, by which the network scales its inputs."""
    network.get_buffer("mean").copy_(rows.mean(dim=0))
    network.get_buffer("deviation").copy_(rows.std(dim=0, correction=0).clamp_min(1e-6))
