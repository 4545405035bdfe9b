"""Rows that share clips: each clip is decoded once for all of them, before the first is fitted; faults stay apart."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks import pool
from benchmarks.arenas import Arena
from benchmarks.content import Contents, contents
from benchmarks.plan import Row
from benchmarks.prepare import PreparationError, Store, Wanted, fill_together, prepared
from datasets.clips import Clip, DatasetError, Media
from datasets.media import listen
from datasets.processes import in_processes
from methods.base import MethodError, Prepared
from tests.tinybench import Bench, at_home, clips, diary, make_bench, ravdess, silent, toy  # noqa: F401  a fixture

Found = tuple[Sequence[Clip], Contents]
BARS: list[str] = []


@dataclass(frozen=True)
class Loudness:
    """Of the sound at a rate."""

    rate: int = 8_000
    breaks: str = ""

    def __call__(self, media: Media) -> Prepared:
        if self.breaks == "clip":
            raise DatasetError("is out of tune")
        if self.breaks == "method":
            raise MethodError("a package is missing")
        if self.breaks == "bug":
            raise ZeroDivisionError("of my own")
        return {"loudness": np.abs(media.audio(self.rate)).sum(keepdims=True)}


@contextmanager
def progress(what: str) -> Iterator[Any]:
    BARS.append(what)
    yield lambda done, total, now="": None


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "in_processes", at_home)  # other processes would not count here
    BARS.clear()
    some = clips(ravdess(tmp_path / "data"))
    return some, contents(some, silent)


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def counting(track: Any) -> Any:
        counted[str(track.file)] += 1
        return listen(track)

    monkeypatch.setattr("datasets.together.listen", counting)
    return counted


def row(name: str, preparation: Any, found: Found) -> tuple[Row, Arena]:
    kind = SimpleNamespace(version=1)
    made = SimpleNamespace(name=name, kind=kind, method=lambda: SimpleNamespace(preparation=lambda: preparation))
    digest = " ".join(clip.name for clip in found[0])
    return cast(Row, made), cast(Arena, SimpleNamespace(clips=found[0], contents=found[1], digest=digest))


def store(preparation: Any, found: Found) -> Store:
    return Wanted(preparation, 1, *found).store()


def test_a_clip_is_decoded_once_for_all(found: Found, listened: Counter[str]) -> None:
    some, _ = found
    wanted = [Loudness(8_000), Loudness(16_000), Loudness(48_000)]
    rows = [row(name, one, found) for name, one in zip("abc", wanted, strict=True)]
    fill_together([*rows, row("a", Loudness(8_000), found)], progress)
    assert BARS == ["preparing 12 clips for a, b and c"]
    assert set(listened.values()) == {1} and len(listened) == 12
    for one in wanted:
        for clip in some:
            assert store(one, found).read(clip.media)["loudness"] == one(clip.media)["loudness"]


def test_several_corpora_are_prepared_together(found: Found, listened: Counter[str]) -> None:
    some, told = found
    corpora = (some[:5], told), (some[5:], told)
    fill_together([row(f"at {rate}", Loudness(rate), one) for one in corpora for rate in (8_000, 16_000)], progress)
    assert BARS == ["preparing 12 clips for at 8000 and at 16000"]
    assert set(listened.values()) == {1} and len(listened) == 12
    assert not any(store(Loudness(rate), found).missing(some) for rate in (8_000, 16_000))


def test_only_what_is_missing_is_prepared(found: Found, listened: Counter[str]) -> None:
    some, told = found
    first, second = Loudness(8_000), Loudness(16_000)
    prepared(Wanted(first, 1, some[:5], told), silent)
    fill_together([row("a", first, found), row("b", second, (some[3:], told))], progress)
    assert BARS == ["preparing 9 clips for a and b"]
    assert len(listened) == 7  # of the others one method has its inputs, or one is not asked
    assert not store(first, found).missing(some) and len(store(second, found).missing(some)) == 3
    fill_together([row("a", first, found), row("b", second, (some[3:], told))], progress)
    fill_together([row("a", first, found), row("b", second, found)], progress)  # one alone is left to its own turn
    assert len(BARS) == 1


@pytest.mark.parametrize("fault", ["bug", "method", "cannot be sent"])
def test_a_methods_fault_is_told_in_its_own_turn(fault: str, found: Found) -> None:
    some, _ = found
    faulty: Any = Loudness(breaks=fault)
    if fault == "cannot be sent":
        faulty = type("Local", (Loudness,), {})()
    good = [Loudness(8_000), Loudness(16_000)]
    fill_together([row("bad", faulty, found), *(row("good", one, found) for one in good)], progress)
    assert all(not store(one, found).missing(some) for one in good)
    with pytest.raises(PreparationError, match=r"of my own|a package is missing|Can't pickle|Can't get|attribute"):
        prepared(Wanted(faulty, 1, *found), silent)


def test_a_clips_fault_names_the_clip(found: Found) -> None:
    rows = [row("a", Loudness(), found), row("b", Loudness(breaks="clip"), found)]
    with pytest.raises(DatasetError, match=rf"unreadable: {found[0][0].name}: is out of tune; .*--exclude"):
        fill_together(rows, progress)


def test_processes_make_the_same(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Loudness(8_000), Loudness(16_000)]
    fill_together([row(str(one.rate), one, found) for one in wanted], progress)
    here = [store(one, found).file(clip.media).read_bytes() for one in wanted for clip in found[0]]
    shutil.rmtree(store(wanted[0], found).folder.parent)
    monkeypatch.setattr(pool, "in_processes", in_processes)
    fill_together([row(str(one.rate), one, found) for one in wanted], progress)
    assert here == [store(one, found).file(clip.media).read_bytes() for one in wanted for clip in found[0]]


def test_a_run_prepares_all_rows_before_it_fits_the_first(bench: Bench) -> None:
    toy(bench.plugins, "steady", ("self.config.rate", "2 * self.config.rate"))
    assert bench.run(method="toy,steady")[0] == 0
    told = [line.split()[0] for line in diary() if line.startswith(("prepare", "fit"))]
    assert told == ["prepare"] * 24 + ["fit"] * 4
    shutil.rmtree(bench.folder / "cache" / "prepared")
    assert bench.run(method="toy,steady")[0] == 0
    assert len(diary("prepare")) == 24


def test_a_row_that_is_finished_is_not_prepared_along(bench: Bench) -> None:
    toy(bench.plugins, "steady", ("self.config.rate", "2 * self.config.rate"))
    assert bench.run()[0] == 0
    shutil.rmtree(bench.folder / "cache" / "prepared")
    assert bench.run(method="toy,steady")[0] == 0
    assert len(diary("prepare")) == 24  # twelve for each, never again for the first


def test_the_command_prepares_all_together(bench: Bench) -> None:
    toy(bench.plugins, "steady", ("self.config.rate", "2 * self.config.rate"))
    code, out, _ = bench.call("prepare", "--method", "toy,steady", "--dataset", "ravdess", "--data-root", bench.data)
    assert code == 0 and out.count("12 clips in") == 2
    media = [line.split("clip_id=")[1].split(",")[0] for line in diary("prepare")]
    assert len(media) == 24
    first = media.index(media[0], 1)
    assert first < 12  # the other method had the first clip before this one had them all
