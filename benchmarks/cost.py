"""What a Cell costs: parameters, operations, memory, energy; what cannot be measured here is left out."""

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.placing import most_held
from methods.base import Examples, Frozen, Method, Prepared

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

FORGET = Path("/proc/self/clear_refs")  # Linux
POWERCAP = Path("/sys/class/powercap")
MEGA = 1e6


def networks(method: Method) -> list["nn.Module"]:
    """What it trained; a support vector machine is none."""
    if "torch" not in sys.modules:  # then nothing of it was used
        return []
    from torch import nn

    return [part for part in vars(method).values() if isinstance(part, nn.Module)]


def parameters(method: Method) -> dict[str, float]:
    """Of the networks that it trained; a method without any has none to tell."""
    trained = networks(method)
    return {"parameters": float(sum(p.numel() for part in trained for p in part.parameters()))} if trained else {}


def operations(
    method: Method, frozen: Frozen | None, raw: Sequence[Prepared], ready: Examples, device: str
) -> dict[str, float]:
    """Floating-point operations of products of matrices and convolutions, the mean over some prepared clips."""
    if "torch" not in sys.modules:  # then nothing of it was used
        return {}
    with counted(networks(method)) as counter:
        if frozen:
            for inputs in raw:
                frozen(inputs, device)
        method.predict_proba(ready)
    total = counter.get_total_flops()
    return {"flops_per_clip": total / len(ready)} if total else {}


@contextmanager
def counted(used: Sequence["nn.Module"]) -> Iterator["FlopCounterMode"]:
    """What some networks do meanwhile.

    Recurrent layers are counted where they are made of products, so their faster kernels are put aside; not those of
    others, for without them large networks take minutes.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    recurrent = any(isinstance(layer, torch.nn.RNNBase) for part in used for layer in part.modules())
    with warnings.catch_warnings(), FlopCounterMode(display=False) as counter, ExitStack() as plain:
        warnings.simplefilter("ignore", UserWarning)  # to touch oneDNN's flags warns of Intel's GPUs
        for kernels in (torch.backends.cudnn, torch.backends.mkldnn) if recurrent else ():
            plain.enter_context(kernels.flags(enabled=False))
        yield counter


@contextmanager
def metered(device: str) -> Iterator[dict[str, float]]:
    """Filled at the end: the highest memory meanwhile, and the energy of processor or GPU."""
    found: dict[str, float] = {}
    _forget_peak(device)
    before = _energy(device)
    yield found
    if peak := _peak(device):
        found["peak_memory_mb"] = peak / MEGA
    for part, joules in _energy(device).items():
        if joules >= before.get(part, joules):  # a counter that began anew says nothing
            found["energy_joules"] = found.get("energy_joules", 0.0) + joules - before.get(part, joules)


def _forget_peak(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif FORGET.exists():
        try:
            FORGET.write_text("5")
        except OSError:  # not allowed here: then the peak is that of the whole process so far
            return


def _peak(device: str) -> float:
    """Bytes: on a GPU those allocated there, else those of this process."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated())
    return float(most_held())


def _energy(device: str) -> Mapping[str, float]:
    """Joules so far, by counter."""
    if device == "cuda":
        return _gpu_energy()
    found = {}
    for file in sorted(POWERCAP.glob("intel-rapl:?/energy_uj")):
        try:
            found[file.parent.name] = int(file.read_text()) / MEGA
        except (OSError, ValueError):  # for the administrator alone
            return {}
    return found


def _gpu_energy() -> Mapping[str, float]:
    try:
        import pynvml
    except ImportError:  # nvidia-ml-py, which nobody must have
        return {}
    import torch

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}")
        return {"gpu": pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3}
    except pynvml.NVMLError:  # it has no such counter, or may not be asked
        return {}
