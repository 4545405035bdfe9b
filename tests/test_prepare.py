"""The caches: each clip is prepared once, whole or not at all, whoever else is at it; the command that fills them."""

import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file as whole

from benchmarks import environment, making, pool
from benchmarks.content import Contents, contents
from benchmarks.handed import handed
from benchmarks.prepare import PreparationError, Store, Wanted, passed_through
from benchmarks.prepare import prepared as prepared_for
from benchmarks.processes import here
from datasets.clips import Advance, Clip, DatasetError, Media
from datasets.processes import in_processes
from methods.base import Preparation, Prepared
from tests.servers import PATIENCE
from tests.tinybench import Bench, at_home, clips, diary, make_bench, ravdess, silent, spoken, toy  # noqa: F401  a fixture

ASKED: list[str] = []


@dataclass(frozen=True)
class Sums:
    """The sum of the sound's magnitude, and an input of which there is nothing."""

    rate: int = 8_000
    breaks: str = ""

    def __call__(self, media: Media) -> Prepared:
        ASKED.append(media.clip_id)
        if self.breaks == "clip" and len(ASKED) == 3:
            raise DatasetError("is out of tune")
        if self.breaks == "method" and len(ASKED) == 3:
            raise ZeroDivisionError("of my own")
        return {"sum": np.abs(media.audio(self.rate)).sum(keepdims=True), "nothing": np.empty((0, 4), np.float32)}


@dataclass(frozen=True)
class Doubled:
    key: str = "one"

    def __call__(self, inputs: Prepared, device: str) -> Prepared:
        ASKED.append(self.key)
        return {"sum": 2 * inputs["sum"]}


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Sequence[Clip], Contents]:
    """Twelve clips and what they hold, and an empty cache."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "in_processes", at_home)  # other processes would not fill our list
    ASKED.clear()
    some = clips(ravdess(tmp_path / "data"))
    return some, contents(some, silent)


Found = tuple[Sequence[Clip], Contents]


def prepared(preparation: Preparation, version: int, some: Sequence[Clip], told: Contents, advance: Advance) -> Store:
    return prepared_for(Wanted(preparation, version, some, told), advance)


def test_each_clip_is_prepared_once(found: Found) -> None:
    some, told = found
    store = prepared(Sums(), 1, some, told, silent)
    assert sorted(ASKED) == sorted(clip.media.clip_id for clip in some)
    assert prepared(Sums(), 1, some[::-1], told, silent).folder == store.folder
    assert len(ASKED) == 12
    for clip in some:
        inputs = store.read(clip.media)
        assert inputs["sum"] == pytest.approx(np.abs(clip.media.audio(8_000)).sum())
        assert inputs["nothing"].shape == (0, 4) and inputs["nothing"].dtype == np.float32
    stored = handed(store, [clip.media for clip in some])
    assert [float(inputs["sum"][0]) for inputs in stored] == [float(store.read(c.media)["sum"][0]) for c in some]


@pytest.mark.parametrize(("preparation", "version"), [(Sums(), 2), (Sums(rate=16_000), 1)])
def test_another_version_or_setting_is_prepared_anew(preparation: Sums, version: int, found: Found) -> None:
    one = prepared(Sums(), 1, *found, silent)
    other = prepared(preparation, version, *found, silent)
    assert len(ASKED) == 24
    assert one.folder != other.folder


def test_more_clips_cost_only_themselves(found: Found) -> None:
    some, told = found
    prepared(Sums(), 1, some[:5], told, silent)
    assert len(ASKED) == 5
    prepared(Sums(), 1, some, told, silent)
    assert sorted(ASKED) == sorted(clip.media.clip_id for clip in some)


def test_the_same_content_under_two_names_is_prepared_once(tmp_path: Path, found: Found) -> None:
    root = tmp_path / "data"
    shutil.copy(spoken(root, 1, "03"), spoken(root, 1, "03", 2))
    some = clips(root)
    assert len(some) == 13
    store = prepared(Sums(), 1, some, contents(some, silent), silent)
    assert len(ASKED) == 12
    assert store.missing(some) == []


def test_an_interrupted_write_leaves_nothing_that_counts(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    some, told = found
    written: list[Path] = []

    def interrupted(inputs: dict[str, Any], file: Path) -> None:
        written.append(file)
        whole(inputs, file)
        if len(written) == 4:
            file.write_bytes(file.read_bytes()[:20])
            raise KeyboardInterrupt

    monkeypatch.setattr(making, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(Sums(), 1, some, told, silent)
    monkeypatch.setattr(making, "save_file", whole)
    half = written[-1]
    assert not half.exists()
    store = prepared(Sums(), 1, some, told, silent)
    assert len(ASKED) == 13  # the fourth twice
    complete = {file for file in store.folder.glob("*.safetensors") if len(load_file(file)) == 2}
    assert complete == {store.file(clip.media) for clip in some} and half not in complete


def _fill(root: Path, cache: Path) -> None:
    os.environ["BENCH_CACHE"] = str(cache)
    vars(pool)["in_processes"] = at_home
    some = clips(root)
    prepared(Sums(), 1, some, contents(some, silent), silent)


def test_two_processes_fill_one_store_at_once(tmp_path: Path, found: Found) -> None:
    some, told = found
    work = [get_context("spawn").Process(target=_fill, args=(tmp_path / "data", tmp_path / "shared")) for _ in range(2)]
    for process in work:
        process.start()
    for process in work:
        process.join(PATIENCE)
    assert [process.exitcode for process in work] == [0, 0]
    os.environ["BENCH_CACHE"] = str(tmp_path / "shared")  # the fixture's monkeypatch puts it back
    store = prepared(Sums(), 1, some, told, silent)
    assert ASKED == []  # nothing was missing
    assert {file.name for file in store.folder.iterdir()} == {store.file(c.media).name for c in some} | {"key.txt"}
    for clip in some:
        assert store.read(clip.media)["sum"] == pytest.approx(np.abs(clip.media.audio(8_000)).sum())


def _cut_short(root: Path, cache: Path) -> None:
    """It dies while the first file is being written."""
    os.environ["BENCH_CACHE"] = str(cache)
    vars(pool)["in_processes"] = at_home
    some = clips(root)

    def dies(inputs: Prepared, file: Path) -> None:
        file.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)

    vars(making)["save_file"] = dies
    prepared(Sums(), 1, some, contents(some, silent), silent)


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path: Path, found: Found) -> None:
    some, told = found
    process = get_context("spawn").Process(target=_cut_short, args=(tmp_path / "data", tmp_path / "cache"))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    (folder,) = (tmp_path / "cache/prepared").iterdir()
    (half,) = folder.glob(".*")
    assert half.read_bytes() == b"half of it" and half.name.endswith(f".{here()}-{process.pid}")
    theirs = half.with_name(half.name.replace(here(), "elsewhere"))
    ours = half.with_name(half.name.replace(str(process.pid), str(os.getppid())))  # of one that lives
    theirs.touch()
    ours.touch()
    store = prepared(Sums(), 1, some, told, silent)
    assert store.folder == folder and len(list(folder.glob("*.safetensors"))) == len(some)
    assert {file.name for file in folder.glob(".*")} == {theirs.name, ours.name}


def test_whose_fault_a_failure_is(found: Found) -> None:
    some, told = found
    with pytest.raises(DatasetError, match=rf"{some[2].name}: is out of tune; .*--exclude"):
        prepared(Sums(breaks="clip"), 1, some, told, silent)
    ASKED.clear()
    with pytest.raises(PreparationError, match=rf"preparing {some[2].name} failed[\s\S]*ZeroDivisionError: of my own"):
        prepared(Sums(breaks="method"), 1, some, told, silent)


def test_a_preparation_that_no_process_can_get_is_the_methods_fault(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "in_processes", in_processes)
    local = type("Local", (Sums,), {})
    with pytest.raises(PreparationError, match=r"Can't pickle|can't be|attribute lookup|Can't get"):
        prepared(local(), 1, *found, silent)


def test_what_a_frozen_network_makes_is_kept_by_its_key(found: Found) -> None:
    some, told = found
    inputs = prepared(Sums(), 1, some, told, silent)
    ASKED.clear()
    outputs = passed_through(Doubled(), inputs, some, "cpu", silent)
    passed_through(Doubled(), inputs, some, "cpu", silent)
    assert ASKED == ["one"] * 12
    for clip in some:
        assert outputs.read(clip.media)["sum"] == 2 * inputs.read(clip.media)["sum"]
    assert passed_through(Doubled("two"), inputs, some, "cpu", silent).folder != outputs.folder
    other = prepared(Sums(rate=16_000), 1, some, told, silent)
    ASKED.clear()
    passed_through(Doubled(), other, some, "cpu", silent)
    assert ASKED == ["one"] * 12


def test_half_a_file_of_another_process_is_not_missing_work_done(found: Found, tmp_path: Path) -> None:
    some, told = found
    store = Store(tmp_path, told)
    store.file(some[0].media).with_suffix(".4711").write_bytes(b"half")
    assert store.missing(some) == list(some)


def fill(bench: Bench, *more: object, method: str = "toy") -> tuple[int, str, str]:
    return bench.call("prepare", "--method", method, "--dataset", "ravdess", "--data-root", bench.data, *more)


def test_the_command_fills_what_a_run_needs(bench: Bench) -> None:
    code, out, _ = fill(bench, "--set", "network=vgg")
    assert code == 0
    assert "12 clips in" in out and Path(out.split()[-1]).is_dir()
    assert (len(diary("prepare")), len(diary("frozen vgg cpu")), len(diary("fit"))) == (12, 12, 0)
    assert bench.kept("row") == []
    assert bench.run("--set", "network=vgg")[0] == 0
    counted = 2 * 3  # of three clips a fold the operations are counted
    assert (len(diary("prepare")), len(diary("frozen")), len(diary("fit"))) == (12, 12 + counted, 2)
    assert fill(bench, "--set", "network=resnet")[0] == 0
    assert (len(diary("prepare")), len(diary("frozen")), len(diary("frozen resnet"))) == (12, 24 + counted, 12)


def test_the_command_goes_on_to_the_next_method(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(bench.plugins, "steady", ("TOY_PREPARE", "NOTHING"))
    monkeypatch.setenv("TOY_PREPARE", "method")
    code, out, err = fill(bench, method="toy,steady")
    assert code == 1
    assert "the toy's own fault" in err
    assert "steady" in out and "12 clips in" in out


def test_the_command_stops_at_a_broken_clip(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PREPARE", "clip")
    code, out, err = fill(bench)
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error: unreadable: 01-0") and "--exclude" in line]
    assert "Traceback" not in err


@pytest.mark.parametrize(("fault", "told"), [("method", "the toy's own fault"), ("package", "pip install it")])
def test_a_method_that_cannot_prepare_fails_alone(
    fault: str, told: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(bench.plugins, "steady", ("TOY_PREPARE", "NOTHING"))
    monkeypatch.setenv("TOY_PREPARE", fault)
    code, out, err = bench.run(method="toy,steady")
    assert code == 1
    rows = {line.split()[0]: line for line in out.splitlines() if line.split()[:1] in (["toy"], ["steady"])}
    assert "0 of 2: INCOMPLETE" in rows["toy"] and "INCOMPLETE" not in rows["steady"]
    assert told in err and "Traceback" not in out + err
    assert bench.statuses() == ["FAILED", "FAILED", "FINISHED", "FINISHED"]
    assert bench.statuses("row") == ["FAILED", "FINISHED"]
    monkeypatch.delenv("TOY_PREPARE")
    code, told_now = bench.json(method="toy,steady")
    assert code == 0
    assert [row["trained_now"] for row in told_now] == [2, 0]


def test_a_frozen_network_that_breaks_fails_its_method_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(bench.plugins, "steady", ("TOY_FROZEN", "NOTHING"))
    monkeypatch.setenv("TOY_FROZEN", "breaks")
    code, out, err = bench.run("--set", "network=vgg", method="toy,steady")
    assert code == 1
    assert "0 of 2: INCOMPLETE" in out and "out of memory" in err
    assert bench.statuses() == ["FAILED", "FAILED", "FINISHED", "FINISHED"]


def test_a_broken_clip_stops_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PREPARE", "clip")
    code, out, err = bench.run()
    assert (code, out) == (2, "")
    assert "01-03-01-01-01-0" in err and "--exclude" in err and "Traceback" not in err
    assert bench.kept() == [] and "RUNNING" not in bench.statuses("row")


@pytest.mark.parametrize(
    "file",
    [*(f"datasets/{name}.py" for name in ("base", "media", "shots", "stills", "together")), "benchmarks/prepare.py"],
)
def test_inputs_that_other_code_decoded_or_kept_are_prepared_again(
    file: str, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, told = found
    prepared(Sums(), 1, some, told, silent)
    read = environment._read
    monkeypatch.setattr(environment, "_read", lambda own, *what: read(own, *what) + b"#" * own.endswith(file))
    prepared(Sums(), 1, some, told, silent)
    assert len(ASKED) == 2 * len(some)
