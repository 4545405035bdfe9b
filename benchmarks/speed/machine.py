"""The machine's own ceiling: what a product of matrices and a copy of memory reach, in this process and now."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.environment import device_name

if TYPE_CHECKING:
    import torch

ENOUGH = 0.5  # seconds of tries, of which the best counts: whatever else a machine does only takes from it
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
COPIED = {"cpu": 2**26, "cuda": 2**30}  # bytes; more than caches hold


@dataclass(frozen=True)
class Machine:
    """Operations and bytes a second."""

    device: str
    name: str
    threads: int
    float32: float  # as it is set to compute them: on a GPU perhaps with TF32
    bfloat16: float | None  # None: emulated here, if at all
    copy: float  # read and written

    @property
    def training(self) -> float:
        """What training is held against: of the numbers that it multiplies here."""
        return (self.bfloat16 if self.device == "cuda" else None) or self.float32

    def told(self) -> dict[str, Any]:
        """As a document."""
        return asdict(self)


def measured(device: str) -> Machine:
    """In a second or two."""
    import torch

    whole = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _bf16_on_cpu()
    source = torch.zeros(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Machine(
        device,
        device_name(device),
        torch.get_num_threads(),
        _products(device, torch.float32),
        _products(device, torch.bfloat16) if whole else None,
        2 * COPIED[device] / _best(lambda: target.copy_(source), device),
    )


def _products(device: str, kind: "torch.dtype") -> float:
    import torch

    side = SIDE[device]
    matrix = torch.randn(side, side, device=device).to(kind)  # of ones a GPU multiplies more, for it grows less hot
    return 2 * side**3 / _best(lambda: matrix @ matrix, device)


def _best(work: Callable[[], object], device: str) -> float:
    """Seconds; the first try is for what is loaded on first use."""
    work()
    best, begun = _timed(work, device), time.perf_counter()
    while time.perf_counter() - begun < ENOUGH:
        best = min(best, _timed(work, device))
    return best


def _timed(work: Callable[[], object], device: str) -> float:
    import torch

    begun = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def _bf16_on_cpu() -> bool:
    """Whether the processor multiplies such numbers itself."""
    import torch

    there = torch.cpu.get_capabilities()
    return any(there.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))
