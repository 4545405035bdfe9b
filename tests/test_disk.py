"""A disk that is full or read-only, and files that were cut short: one line that names the place and the remedy,
nothing half-written that counts, and the same command goes on once it can."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plugins import load
from tests.tinybench import Bench, diary, make_bench, store  # noqa: F401  a fixture

SMALL = 4 * 2**20  # bytes


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    line = [mount or "mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(place)]
    if not mount or os.geteuid() or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, room: int = 0) -> Path:
    """A file that takes all but so many bytes."""
    file = place / "filler"
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    if room:
        os.truncate(file, file.stat().st_size - room)
    return file


def error(err: str) -> str:
    """The only line that is an error; there is no traceback."""
    assert "Traceback" not in err, err
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    return line


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def test_a_cache_on_a_full_disk_is_one_line_and_half_of_nothing(
    bench: Bench, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(disk / "cache"))
    filler = fill(disk, 60_000)  # room for digests and claims, not for all inputs
    code, out, err = bench.run()
    assert code, "the disk was not full"
    line = error(err)
    assert (code, out) == (2, "") and str(disk) in line and "make room" in line
    filler.unlink()
    code, (told,) = bench.json()
    assert (code, told["complete"], told["trained_now"]) == (0, True, 2)
    assert not list((disk / "cache").rglob(".*.[0-9]*"))


def test_a_store_on_a_full_disk_costs_no_result(bench: Bench, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be copied into it waits beside the cache, which is on another disk, and is trained once."""
    uri = store(disk / "results.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(disk)  # where MLflow keeps what belongs to runs
    toy = load("methods", "toy")
    fit, fits = toy.fit, iter((1, 2))

    def filling(self: Any, *facts: Any) -> None:
        if next(fits) == 2:
            fill(disk)
        fit(self, *facts)

    with monkeypatch.context() as patch:
        patch.setattr(toy, "fit", filling)
        code, out, err = bench.run("--json")
    (told,) = json.loads(out)
    assert (code, told["waiting"], told["finished"]) == (1, 1, 2), err
    assert "disk is full" in err and "1 results wait in" in err and "Traceback" not in err
    (disk / "filler").unlink()
    code, (again,) = bench.json()
    assert (code, again["complete"], again["trained_now"], again["metrics"]) == (0, True, 0, told["metrics"])
    assert len(diary("fit")) == 2
    assert list((bench.folder / "cache/spool").iterdir()) == []


def test_a_cache_that_is_read_only_is_one_line(bench: Bench, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(disk))
    remount(disk, "ro")
    code, out, err = bench.run()
    line = error(err)
    assert (code, out) == (2, "") and str(disk) in line and "BENCH_CACHE" in line
    remount(disk, "rw")
    assert bench.run()[0] == 0
    remount(disk, "ro")
    code, out, err = bench.run("--fresh")
    assert code == 2 and str(disk) in error(err) and "BENCH_CACHE" in err
    remount(disk, "rw")


def test_a_working_folder_that_is_read_only_is_one_line(
    bench: Bench, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(disk)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    remount(disk, "ro")
    code, out, err = bench.run()
    assert (code, out) == (2, "") and "mlflow.db" in error(err) and "not writable" in err


@pytest.mark.parametrize("number", [1, 12], ids=["one", "all"])
def test_inputs_that_were_cut_short_are_said_and_made_again(number: int, bench: Bench) -> None:
    assert bench.call("prepare", "--method", "toy", "--dataset", "ravdess", "--data-root", bench.data)[0] == 0
    files = sorted((bench.folder / "cache/prepared").rglob("*.safetensors"))
    whole = {file: file.read_bytes() for file in files}
    for file in files[:number]:
        os.truncate(file, len(whole[file]) - 3)
    code, _, err = bench.run()
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if "made again" in line)
    assert f"{number} damaged files" in line and str(files[0].parent) in line
    assert {file: file.read_bytes() for file in files} == whole
    assert len(diary("prepare")) == 12 + number
