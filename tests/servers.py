"""A tracking server of MLflow's own, on this machine."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60  # seconds; starting takes some ten of one core


@contextmanager
def mlflow_server(backend_uri: str, artifacts_folder: Path) -> Iterator[str]:
    """The address of a server that keeps runs at a database's address and artifacts, which it hands out, in a folder.

    What it says is in server.log beside the folder.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", backend_uri, "--serve-artifacts", "--artifacts-destination", str(artifacts_folder),
    ]  # fmt: skip
    artifacts_folder.mkdir(parents=True, exist_ok=True)
    environment = {name: told for name, told in os.environ.items() if not name.startswith("MLFLOW_")}
    log = artifacts_folder.with_name("server.log")
    with log.open("w") as said:
        server = subprocess.Popen(
            command, stdout=said, stderr=said, cwd=artifacts_folder, env=environment, start_new_session=True
        )
    try:
        _wait(server, f"{address}/health", log)
        yield address
    finally:
        _stop(server)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"mlflow server does not answer at {address}: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """The server and the workers that it started, which share a group of processes of its own."""
    try:
        os.killpg(server.pid, 15)
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, 9)
        server.wait(10)
    except ProcessLookupError:
        server.wait(10)
