"""What a Cell costs: parameters, operations, memory, energy; what cannot be measured here is left out."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path

from safetensors import safe_open

from methods.base import Examples, Frozen, Method, Prepared

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux
POWERCAP = Path("/sys/class/powercap")
MEGA = 1e6


def parameters(model: Path) -> dict[str, float]:
    """Numbers in the saved networks; a model without any (a support vector machine) has none to tell."""
    count = 0
    for file in model.rglob("*.safetensors"):
        with safe_open(file, "numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118  it is no mapping
                count += prod(tensors.get_slice(name).get_shape())
    return {"parameters": float(count)} if count else {}


def operations(method: Method, frozen: Frozen | None, raw: Prepared, ready: Examples, device: str) -> dict[str, float]:
    """Floating-point operations that PyTorch counts (products of matrices, convolutions) for one prepared clip."""
    if "torch" not in sys.modules:  # then nothing of it was used
        return {}
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        if frozen:
            frozen(raw, device)
        method.predict_proba(ready)
    total = counter.get_total_flops()
    return {"flops_per_clip": float(total)} if total else {}


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
    if not STATUS.exists():
        return 0.0
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next((1024.0 * float(words[1]) for words in lines if words[0] == "VmHWM:"), 0.0)


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
    except ImportError:
        return {}
    import torch

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
    return {"gpu": pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3}
