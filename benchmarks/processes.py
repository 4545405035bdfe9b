"""Processes, of this machine and of others: which one this is, and which of them still live."""

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

THERE = "there"  # nobody tells since when
PROCESS, MACHINE = "bench.process", "bench.machine"  # tags of a run: who has opened it, and where


@dataclass(frozen=True)
class Owner:
    """A process, so that others can tell whether it lives."""

    machine: str  # and which of its boots, and of its containers
    process: str  # as the store of results names it: host and number
    started: str  # tells it from a later one with the same number

    @property
    def gone(self) -> bool | None:
        """Whether it has ended; None: it is of another machine or container, and nobody here can tell."""
        if self.machine != me().machine:
            return None
        now = _started(int(self.process.rpartition(":")[2]))
        return None if now == self.started == THERE else now != self.started


@cache
def _me(number: int) -> Owner:
    boot, inside = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = (socket.gethostname(), boot.read_text().strip() if boot.exists() else "",
             str(inside.readlink()) if inside.exists() else "")  # fmt: skip
    return Owner(" ".join(parts), f"{parts[0]}:{number}", _started(number))


def me() -> Owner:
    """This process, also after a fork."""
    return _me(os.getpid())


def _started(number: int) -> str:
    """When a process began, in ticks since the boot; empty: there is none. Without /proc, whether it is there."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return THERE
    return THERE


def alive(number: int) -> bool:
    """Whether a process of this machine is there."""
    return bool(_started(number))


def beside(process: str) -> bool:
    """Whether one that `process` names is of a machine with this one's name, and may use the same GPU."""
    return process.rpartition(":")[0] == socket.gethostname()


def signed() -> dict[str, str]:
    """Tags of a run that this process opens."""
    return {PROCESS: me().process, MACHINE: here()}


def own(tags: Mapping[str, str]) -> bool:
    """Whether this process has signed."""
    return _near(tags) and tags.get(PROCESS) == me().process


def ended(tags: Mapping[str, str]) -> bool:
    """Whether who has signed is of this machine and no more; of others nobody here can tell."""
    process = tags.get(PROCESS, "")
    number = process.rpartition(":")[2]
    return _near(tags) and beside(process) and number.isdigit() and not alive(int(number))


def _near(tags: Mapping[str, str]) -> bool:
    """Containers may have one host name and numbers of their own; older versions tell no more than the name."""
    return tags.get(MACHINE, here()) == here()


def here() -> str:
    """Tells this machine, or container, from others that see the same disk."""
    return hashlib.sha256(me().machine.encode()).hexdigest()[:8]
