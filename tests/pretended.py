"""A GPU that is not there: what is on it has shapes, but no values.

Tensors of the host are real, those of the GPU are PyTorch's fake ones. So it is told who mixes the two in one
operation, and who waits for the GPU. Not told are values, gradients (all are zero), memory, and what cuDNN
makes of a GRU, of which only the shape is known.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from methods.parts import stacked

aten = torch.ops.aten
COPIES = aten.to, aten._to_copy, aten.copy_


class Gpu(TorchDispatchMode):
    """While it is entered, `device="cuda"` is there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = 0  # how often the host did
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        here = [one for one in tensors if not _there(one)]
        asked = any(one.type == "cuda" for one in leaves if isinstance(one, torch.device))
        if len(here) == len(tensors) and not asked:
            return func(*args, **kwargs)
        if func is aten._local_scalar_dense.default:
            self.waits += 1
            return 1
        if here and func.overloadpacket in (*COPIES, aten.index):  # numbers of the host are taken as an index
            if not kwargs.get("non_blocking") and not any(one is True for one in args):
                self.waits += 1
        elif any(one.dim() for one in here):
            raise RuntimeError(f"{func} mixes tensors of the host and of the GPU")
        return tree_map(self._home, self._faked(func, args, kwargs))

    def _faked(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func is aten._fused_sgd_.default:  # nobody knows it, but it tells nothing
            return None
        with self._fakes:
            if func is aten.bincount.default:  # as many as are told
                self.waits += 1
                return torch.zeros((*args, *kwargs.values())[-1], dtype=torch.int64, device="cuda")
            known = {name: value for name, value in kwargs.items() if name != "pin_memory"}
            known |= {"generator": None} if "generator" in kwargs else {}
            args, known = tree_map(self._fake, (args, known))
            return func(*args, **known)

    def _fake(self, one: Any) -> Any:
        return self._fakes.from_tensor(one) if isinstance(one, Tensor) and not _there(one) else one

    def _home(self, one: Any) -> Any:
        """What was fetched from the GPU: numbers that distributions could be made of."""
        if not (_there(one) and one.device.type == "cpu"):
            return one
        self.waits += 1
        return torch.full(one.shape, 1 / max(1, *one.shape[-1:]) if one.is_floating_point() else 1, dtype=one.dtype)


@contextmanager
def pretended(patch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """What asks for a driver is answered here."""
    made: Callable[..., Tensor] = torch.tensor
    gru = torch._VF.gru

    def tensor(*args: Any, device: Any = None, **options: Any) -> Tensor:
        return made(*args, **options).to(device or "cpu")

    def recurrent(rows: Tensor, *others: Any) -> Any:
        if not _there(rows):
            return gru(rows, *others)
        state = next(one for one in others if isinstance(one, Tensor) and _there(one))
        return rows.new_zeros(*rows.shape[:-1], state.shape[-1]), torch.zeros_like(state)

    torch._C._ensureCUDADeviceGuardSet()
    patch.setattr(torch.cuda, "_lazy_init", lambda: None)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    patch.setattr(torch, "tensor", tensor)
    for module in (torch, stacked):
        patch.setattr(module, "Generator", _Generator)
    patch.setattr(Tensor, "pin_memory", lambda one: one)
    patch.setattr(Tensor, "backward", lambda loss: None)
    patch.setattr(torch.optim.Optimizer, "zero_grad", _differentiated)
    patch.setattr(nn.Module, "to", _moved)
    patch.setattr(torch._VF, "gru", recurrent)
    with torch.no_grad(), Gpu() as gpu:
        yield gpu


class _Generator(torch.Generator):
    def __new__(cls, device: object = "cpu") -> Any:
        return super().__new__(torch._C.Generator)


def _differentiated(optimiser: torch.optim.Optimizer, set_to_none: bool = True) -> None:
    """Gradients are there before they are asked for."""
    del set_to_none
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)


def _there(one: object) -> bool:
    return isinstance(one, FakeTensor)


def _moved(network: nn.Module, device: str) -> nn.Module:
    """PyTorch's own would exchange the insides of real and of fake tensors."""
    for module in network.modules():
        for name, own in module._parameters.items():
            module._parameters[name] = own if own is None else nn.Parameter(own.detach().to(device))
        for name, held in module._buffers.items():
            module._buffers[name] = held if held is None else held.to(device)
        if isinstance(module, nn.RNNBase):
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    return network
