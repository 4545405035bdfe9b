"""A tracking server of MLflow's own, and PostgreSQL, on this machine."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest

PATIENCE = 600  # seconds that tests wait for whatever comes within a few, before they say that it does not come
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
FIRST = 20_000 + 3_000 * WORKER  # each worker has ports of its own, below those that systems hand out by themselves
PORTS = iter(range(FIRST + os.getpid() % 2_000, FIRST + 3_000))


def until(true: Callable[[], object]) -> None:
    """Or an error instead of waiting forever."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "what a test waits for does not come"
        time.sleep(0.05)


def free_port() -> int:
    """One that nobody has, nor is given before it is used here."""
    for port in PORTS:
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@contextmanager
def mlflow_server(backend_uri: str, artifacts_folder: Path) -> Iterator[str]:
    """The address of a server that keeps runs at a database's address and artifacts, which it hands out, in a folder.

    What it says is in server.log beside the folder.
    """
    port = free_port()
    command = [
        "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", backend_uri, "--serve-artifacts", "--artifacts-destination", str(artifacts_folder),
    ]  # fmt: skip
    with mlflow(command, port, artifacts_folder) as address:
        yield address


@contextmanager
def mlflow(
    command: Sequence[str], port: int, artifacts_folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address at which a command of MLflow's serves, once it answers."""
    address = f"http://127.0.0.1:{port}"
    artifacts_folder.mkdir(parents=True, exist_ok=True)
    own = {name: told for name, told in os.environ.items() if not name.startswith("MLFLOW_")}
    log = artifacts_folder.with_name("server.log")
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            stdout=said,
            stderr=said,
            cwd=artifacts_folder,
            env=own | dict(environment or {}),
            start_new_session=True,
        )
    try:
        _wait(server, lambda: _healthy(address), log)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # with its workers; asked politely it waits for idle clients
        server.wait(PATIENCE)


@contextmanager
def postgres(password: str, setup: str, database: str) -> Iterator[int]:
    """The port of a PostgreSQL whose user is bench: one database, and whatever `setup`, in SQL, makes beside it."""
    initdb, server_, ready, psql = map(_program, ("initdb", "postgres", "pg_isready", "psql"))
    owner, folder, port = _owner(), Path(mkdtemp(prefix="postgres-")), free_port()
    there = ["--host=127.0.0.1", f"--port={port}"]
    log = folder / "server.log"
    try:
        (folder / "password").write_text(password)
        with log.open("w") as said:
            words = ["--username=bench", f"--pwfile={folder}/password", "--auth=scram-sha-256", "--no-locale"]
            line: list[str | Path] = [initdb, *words, "--encoding=UTF8", "--no-sync", folder / "data"]
            try:
                if owner:
                    shutil.chown(folder, owner)
                    shutil.chown(folder / "password", owner)
                subprocess.run(line, check=True, user=owner, cwd=folder, stdout=said, stderr=said)
            except (PermissionError, subprocess.CalledProcessError) as error:
                pytest.skip(f"PostgreSQL cannot be set up here: {error}: {log.read_text()[-500:]}")
            line = [server_, "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
            server = subprocess.Popen(line, user=owner, cwd=folder, stdout=said, stderr=said)
        try:
            _wait(server, lambda: subprocess.run([ready, "--quiet", *there]).returncode == 0, log)
            for name, told in (("postgres", f"CREATE DATABASE {database};"), (database, setup)):
                line = [psql, "--quiet", "--set=ON_ERROR_STOP=1", *there, "--username=bench", f"--command={told}", name]
                subprocess.run(line, check=True, env=os.environ | {"PGPASSWORD": password})
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # at once, but in order
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    """One of PostgreSQL's; Debian keeps those of the server out of the path."""
    places = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    return shutil.which(name, path=os.pathsep.join(places)) or pytest.skip(f"PostgreSQL is not installed: no {name}")


def _owner() -> str | None:
    """Who runs it: PostgreSQL refuses root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return pytest.skip("PostgreSQL refuses root, and there is no user postgres or nobody to run it")


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(server: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path) -> None:
    until(lambda: server.poll() is not None or answers())
    if server.poll() is not None:
        raise RuntimeError(f"{server.args!r} has ended: {log.read_text()[-2000:]}")


class Door:
    """Stands before a server: whoever comes by way of it finds nobody while it is shut."""

    def __init__(self, address: str) -> None:
        self.behind, self.port = int(address.rpartition(":")[2]), free_port()
        self.inside: list[socket.socket] = []
        self.lock = threading.Lock()
        self.open()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._let_in, args=(self.listening,), daemon=True).start()

    def shut(self) -> None:
        """Who is inside is thrown out."""
        with self.lock:
            for each in (self.listening, *self.inside):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self.inside.clear()

    def _let_in(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listening.accept()
                with self.lock:
                    self.inside.append(here)
                    try:
                        listening.getsockname()  # an error where it was shut meanwhile
                        there = socket.create_connection(("127.0.0.1", self.behind))
                    except OSError:
                        self.inside.remove(here)
                        here.close()
                        continue
                    self.inside.append(there)
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while told := one.recv(65536):
                other.sendall(told)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
