"""What a result was computed with: recorded beside it, never part of its key."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("av-emotion-benchmarks", "av", "dlib-bin", "librosa", "mlflow", "numpy", "opensmile", "scikit-learn",
             "scipy", "silero-vad", "torch", "torchaudio", "torchvision")  # fmt: skip


def describe(device: str) -> dict[str, Any]:
    """Machine, libraries, and the state of the source."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": device_name(device),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "git": git(),
    }


def device_name(device: str) -> str:
    """What the hardware calls itself."""
    if device != "cuda":
        return platform.processor() or platform.machine()
    import torch

    return str(torch.cuda.get_device_name())


def git() -> dict[str, Any]:
    """Commit of our own checkout, and whether it was changed since."""
    here = Path(__file__).parent
    command = shutil.which("git")
    if not command or not (here.parent / ".git").exists():
        return {}

    def ask(*words: str) -> str:
        return subprocess.run([command, *words], cwd=here, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    return {"commit": ask("rev-parse", "HEAD"), "changed": bool(ask("status", "--porcelain", "--untracked-files=no"))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
