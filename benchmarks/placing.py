"""How many trials find room on a machine at once, by the memory that the first one took."""

import os
import re
import resource
import sys
from pathlib import Path

MARGIN = 0.9  # of the memory that is free; the rest is for what no measure sees
CONTEXT = 2**29  # bytes of a GPU that a process takes before its first tensor, and that PyTorch does not count
STATUS = Path("/proc/self/status")  # Linux
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of a process' peak


def at_once(most: int, needed: int, free: int) -> int:
    """The one that was measured, and as many more as what is free holds; not more than asked for."""
    if needed <= 0:
        return max(1, most)
    return max(1, min(most, 1 + int(MARGIN * free // needed)))


def roomy(needed: int, free: int) -> bool:
    """Whether inputs may stay in memory: half of what is free is left to the fits."""
    return 2 * needed <= free


def peak_memory(device: str) -> int:
    """Bytes that this process has held at most: on the device, or of the machine's own memory."""
    if device == "cpu":
        return most_held() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    import torch

    return int(torch.cuda.max_memory_reserved(device)) + CONTEXT


def free_memory(device: str) -> int:
    """Bytes that others may still have; what this process keeps is not among them."""
    if device == "cpu":
        return _available()
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def most_held() -> int:
    """Bytes, since it began to be this program: what it was forked from may have held more. 0: nobody tells."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE) if STATUS.exists() else None
    return int(found[1]) * 1024 if found else 0


def _available(told: Path = Path("/proc/meminfo")) -> int:
    """Files that the system keeps in memory make room; half of all there is, where nobody tells what is free."""
    found = re.search(r"^MemAvailable: *(\d+) kB$", told.read_text(), re.MULTILINE) if told.exists() else None
    return int(found[1]) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
