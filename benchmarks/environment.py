"""What a result was computed with: recorded beside it, never part of its key."""

import hashlib
import inspect
import json
import os
import platform
import shutil
import subprocess
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.determinism import in_force
from datasets import base, clips, media, shots, stills, together
from methods import parts

PACKAGES = ("benchmarks", "datasets", "methods", "protocols", "reports")
LIBRARIES = ("av-emotion-benchmarks", "av", "dlib-bin", "librosa", "mlflow", "numpy", "opensmile", "scikit-learn",
             "scipy", "silero-vad", "torch", "torchaudio", "torchvision")  # fmt: skip
COPY = "copy_of.json"  # beside packages that were copied to another machine: what they are a copy of
DECODERS = ("av", "dlib-bin", "numpy", "opensmile", "pillow", "scipy", "silero-vad", "torch", "torchaudio")


def describe(device: str) -> dict[str, Any]:
    """Machine, libraries, and the state of the source."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": device_name(device),
        "deterministic": in_force(),
        "libraries": libraries(),
        "git": git(),
    }


@cache
def libraries() -> dict[str, str]:
    """Versions of those that results depend on and that are here."""
    return {name: found for name in LIBRARIES if (found := _version(name))}


def device_name(device: str) -> str:
    """What the hardware calls itself."""
    if device != "cuda":
        return platform.processor() or platform.machine()
    import torch

    return str(torch.cuda.get_device_name())


@cache
def code() -> str:
    """Digest of all of our packages, asked once: what runs was loaded at the start."""
    return digest(Path(__file__).parent.parent)


def digest(top: Path) -> str:
    """Of our packages in a folder."""
    told = hashlib.sha256()
    for file in sorted(file for name in PACKAGES for file in (top / name).rglob("*.py")):
        told.update(f"{file.relative_to(top).as_posix()}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return told.hexdigest()[:16]


@cache
def git() -> dict[str, Any]:
    """Digest of our code; commit of our own checkout, and whether it was changed since; asked once."""
    here = Path(__file__).parent
    command = shutil.which("git")
    if (told := here.parent / COPY).exists():
        copied: dict[str, Any] = json.loads(told.read_text())
        return copied
    if not command or not (here.parent / ".git").exists():
        return {"code": code()}

    def ask(*words: str) -> str:
        line = [command, *words]
        done = subprocess.run(line, cwd=here.parent, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip()

    changed = bool(ask("status", "--porcelain", *PACKAGES))
    return {"code": code(), "commit": ask("rev-parse", "HEAD"), "changed": changed}


def source(*files: str) -> str:
    """Digest of a plugin's files, and of everything shared that stands between media and results."""
    shared = [
        *Path(parts.__path__[0]).glob("*.py"),
        *(Path(inspect.getfile(module)) for module in (base, clips, media, shots, stills, together)),
    ]
    stats = ((name, Path(name).stat()) for name in (*files, *sorted(map(str, shared))))
    texts = [_read(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


@lru_cache(maxsize=256)
def _read(file: str, size: int, changed: int) -> bytes:  # noqa: ARG001  they tell a file changed in place
    return Path(file).read_bytes()


def decoders() -> str:
    """Versions of the libraries that prepared inputs depend on."""
    return ", ".join(f"{name} {_version(name)}" for name in DECODERS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
