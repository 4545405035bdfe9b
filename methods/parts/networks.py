"""Networks as files, and their random beginnings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random initial weights and dropout by seed; what others draw afterwards is as if nothing had happened here."""
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    used = range(torch.cuda.device_count()) if begun else ()  # to ask a GPU that nobody uses would begin it
    with torch.random.fork_rng(devices=used):
        torch.manual_seed(seed)
        yield


def he_initialised(network: nn.Module) -> None:
    """Random weights under which rectified layers neither fade nor explode (He et al., ICCV 2015); biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def save(folder: Path, network: nn.Module, shape: Mapping[str, Any]) -> None:
    """The weights, and what is needed to build the network again."""
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "model.safetensors"
    )
    (folder / "shape.json").write_text(json.dumps(shape))


def shape(folder: Path) -> dict[str, Any]:
    """What `save` was told."""
    told: dict[str, Any] = json.loads((folder / "shape.json").read_text())
    return told


def restore(folder: Path, network: nn.Module) -> None:
    """The weights that `save` wrote."""
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.eval()


def keep(folder: Path, network: nn.Module, kept: Sequence[str]) -> None:
    """Of the weights that `save` wrote, those whose names begin so; they are trained no further."""
    found = {
        name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if name.startswith(tuple(kept))
    }
    network.load_state_dict(network.state_dict() | found)
    for name, parameter in network.named_parameters():
        if name in found:
            parameter.requires_grad_(False)
