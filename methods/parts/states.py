"""Files of published weights into networks: what does not fit is one line, never half a network."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from methods.base import MethodError
from methods.parts.weights import PUBLISHED

COUNTER = "num_batches_tracked"  # files older than PyTorch 0.4.1 lack it


def read(file: Path) -> dict[str, Tensor]:
    """A layer's name to its weights."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file that is no file of PyTorch's: the error below says it
            found = torch.load(file, weights_only=True, map_location="cpu")
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise MethodError(f"{file} holds no weights ({type(error).__name__}); {_remedy(file)}") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not found or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise MethodError(f"{file} holds no weights by name; {_remedy(file)}")
    return dict(found)


def fill(network: nn.Module, found: dict[str, Tensor], file: Path, fresh: Sequence[str] = ()) -> None:
    """All of the network but what begins with one of the names `fresh`, and nothing besides."""
    ours = network.state_dict()
    wanted = {name for name in ours if not name.startswith(tuple(fresh)) and not name.endswith(COUNTER)}
    for what, names in (("lacks", wanted - found.keys()), ("has the unknown", found.keys() - ours.keys())):
        if names:
            raise MethodError(f"{file} {what} {_some(names)}, so it is of another network; {_remedy(file)}")
    for name, tensor in found.items():
        if tensor.shape != ours[name].shape:
            sizes = f"{_size(tensor)}, not {_size(ours[name])}"
            raise MethodError(f"{file} has {name} of size {sizes}, so it is of another network; {_remedy(file)}")
    network.load_state_dict(ours | found)


def _some(names: set[str]) -> str:
    return min(names) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "1"


def _remedy(file: Path) -> str:
    """Where the file is to be had, if its name is that of a published one."""
    place = next((f" from {told.url}" for told in PUBLISHED if told.name == file.name), "")
    return f"get it{place} again, or ask for --weights none"
