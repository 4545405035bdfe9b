"""Every bad file gives a result or one line that names it, in bounded time and memory; none ends or stops a run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from benchmarks import pool
from benchmarks.content import contents
from benchmarks.model import Model
from benchmarks.plugins import names
from benchmarks.predict import Windows, predicted
from benchmarks.prepare import PreparationError, Wanted, prepared
from datasets import check
from datasets.base import Dataset, Entry, Expected, Planned
from datasets.clips import DatasetError, Media, Track, UserError
from datasets.loose import SUFFIXES, loose
from datasets.media import LONGEST, read_audio, read_frames, read_mocap
from datasets.processes import Ended, in_processes
from methods.parts.weights import WeightStore
from tests import breaking, broken
from tests.conftest import shared
from tests.servers import PATIENCE
from tests.tinybench import Bench, clips, make_bench, ravdess, silent, toy  # noqa: F401  make_bench is a fixture
from tests.toys import CLASSES, ToySet, cases, one_thread, toy_set
from tests.toys import Bench as MethodBench

DECODED, NO_SOUND, NO_PICTURE = "cannot be decoded", "no audio track", "no video track"
UNREADABLE = {  # to `check`, where a clip must have sound and picture (of .wav, sound)
    **{f"mp4-cut-at-{tenths}-tenths.mp4": DECODED for tenths in broken.CUTS},
    **{f"wav-cut-at-{tenths}-tenths.wav": r"ends after \d+ of \d+ bytes" for tenths in broken.CUTS},
    **{f"avi-cut-at-{tenths}-tenths.avi": r"ends after \d" for tenths in broken.CUTS if tenths > 1},
    "avi-cut-at-1-tenths.avi": DECODED,
    "mp4-zeroed-header.mp4": DECODED,
    "wav-zeroed-header.wav": DECODED,
    "avi-zeroed-header.avi": NO_SOUND,
    "mp4-zeroed-middle.mp4": r"cannot be decoded|damaged",
    "mp4-zeroed-end.mp4": DECODED,
    "empty.mp4": DECODED,
    "text.mp4": DECODED,
    "noise.avi": DECODED,
    "playlist-of-itself.mp4": DECODED,
    "sound-called-film.mp4": NO_PICTURE,
    "picture-called-film.mp4": NO_SOUND,
    "raw-h264-called-avi.avi": NO_SOUND,
    "no-audio.mp4": NO_SOUND,
    "no-video.mp4": NO_PICTURE,
    "no-sample.wav": "without a single sample",
    "not-a-number.wav": "a sample of nan",
    "infinite.wav": "a sample of inf",
    "far-too-loud.wav": r"a sample of 1e\+30",
    "gap-of-hours.mkv": "10800 seconds in, but a clip lasts 600 at most",
    "gap-of-hours.mp4": "10800 seconds in, but a clip lasts 600 at most",
    "sound-hours-late.mkv": "10801 seconds in, but a clip lasts 600 at most",
    "sound-hours-late.mp4": "10800 seconds in, but a clip lasts 600 at most",
    "12000-x-9000.avi": "12000 x 9000 pixels",
    "an-hour.mkv": "a clip lasts 600 at most",
}
SAME = re.compile("cut-at-[2-8]|called-(avi|sound)|zeroed-(middle|end)")  # to a method as others of these
SILENT = {"silence.mp4", "silence.wav", "one-sample.wav"}


class Heap(Dataset):
    """A folder of anything."""

    title, labels = "Heap", ("anger",)
    licence = citation = how_to_get = layout = default_protocol = ""
    expected = Expected((0, 1000))
    suffixes = frozenset(SUFFIXES)

    def read(self, path: PurePosixPath) -> Entry:
        return Entry(path.name, "Ann", "anger")

    def plan(self, full: bool) -> Iterator[Planned]:
        return iter(())


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once; of several workers one writes and the others wait."""
    made = shared(tmp_path_factory, "broken")
    with FileLock(made.with_suffix(".lock")):
        if not any(made.iterdir()):
            broken.written(made)
    return made


@pytest.fixture(scope="session")
def read(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """What a process of its own makes of all files: nothing that FFmpeg does can stop it for longer."""
    command = [sys.executable, "-m", "tests.breaking", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Mapping[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    return toy_set(tmp_path_factory)


@pytest.fixture(scope="session")
def looked_at(folder: Path) -> check.Report:
    return Heap(folder).check()


def test_every_file_is_read_or_named_at_a_bounded_cost(folder: Path, read: Mapping[str, Mapping[str, Any]]) -> None:
    assert set(read) == {f"{fault.name}{fault.suffix}" for fault in broken.FAULTS}
    for name, told in read.items():
        for way in ("audio", "video", "part", "check audio", "check video"):
            line = told[way]
            assert not isinstance(line, str) or (line.startswith(f"{folder / name} ") and "\n" not in line), (name, way)
        assert told["seconds"] < PATIENCE / 2, name
    assert max(told["megabytes"] for told in read.values()) < 600  # 260 measured, of which 100 are Python and PyAV


@pytest.mark.xdist_group("broken")
@pytest.mark.parametrize("fault", broken.FAULTS, ids=lambda fault: f"{fault.name}{fault.suffix}")
def test_check_tells_of_every_file_by_name(fault: broken.Fault, looked_at: check.Report) -> None:
    name = f"{fault.name}{fault.suffix}"
    told = [problem.what for problem in looked_at.of("unreadable") if problem.name == name]
    notes = [problem.what for problem in looked_at.of("note") if problem.name == name]
    assert any(clip.name == name for clip in looked_at.listing.clips)
    if name in UNREADABLE:
        assert any(re.search(UNREADABLE[name], what) for what in told), told
        assert all(name in what and "\n" not in what for what in told)
    else:
        assert not told
    assert ("its sound is silence" in notes) == (name in SILENT)


def _modality(media: Media, kinds: frozenset[str]) -> str:
    """In which a method that knows so many is asked: all that the file holds, as far as it can be."""
    fitting = {"audio": "audio" in media.has, "video": "video" in media.has, "av": len(media.has) == 2}
    return next((kind for kind in ("av", "video", "audio") if kind in kinds and fitting[kind]), min(kinds))


@pytest.mark.parametrize("method", [*names("methods"), "new-method"])
def test_every_method_answers_or_names_the_file(method: str, folder: Path, toys: ToySet, tmp_path: Path) -> None:
    """Probabilities, or one line; whole clips, and of what is too long for one, a window now and then."""
    models: dict[str, Model] = {}
    kinds = frozenset(modality for name, modality in cases() if name == method)
    answers = 0
    with one_thread():
        for kind in kinds:
            bench = MethodBench(method, kind, toys, tmp_path)
            fitted = bench.fit(bench.method(epochs=1), bench.train[:6])
            facts = {"classes": CLASSES, "modality": kind, "method": method}
            models[kind] = Model(fitted, bench.method().frozen(WeightStore(tmp_path, none=True)), facts)
        for file in sorted(folder.iterdir()):
            if SAME.search(file.name):
                continue
            try:
                model = models[_modality(loose(file).media, kinds)]
                answer = predicted(model, file, Windows(2.0, 20_000.0), lambda *told: None, over_time=False)
            except UserError as error:
                assert str(error).startswith(f"{file} ") and "\n" not in str(error)
                assert not re.search(r"Error:|Exception", str(error)), error  # somebody thought of it
            else:
                assert answer.probabilities.shape == (len(CLASSES),)
                assert np.isfinite(answer.probabilities).all() and answer.probabilities.min() >= 0
                assert answer.probabilities.sum() == pytest.approx(1, abs=1e-6)
                answers += 1
    assert answers > 12


def test_a_run_names_all_clips_without_sound_at_once_and_goes_on_without_them(bench: Bench, folder: Path) -> None:
    bad = ["not-a-number.wav", "no-sample.wav", "text.mp4", "wav-zeroed-header.wav"]
    there = sorted(file for file in (bench.data / "ravdess").rglob("*.wav"))
    for file, name in zip(there[::3], bad, strict=False):
        file.write_bytes((folder / name).read_bytes())
    code, out, err = bench.run()
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert (code, out) == (2, "") and "--exclude" in line and "Traceback" not in err
    named = [file.stem.removeprefix("03-") for file in there if file.stem.removeprefix("03-") in line]
    assert len(named) == 4
    (bench.folder / "without.txt").write_text("\n".join(file.stem for file in there[::3]))
    assert bench.run("--exclude", bench.folder / "without.txt")[0] == 0


def test_a_run_names_a_clip_whose_picture_is_broken(bench: Bench, folder: Path) -> None:
    """Its sound is not asked for, so that only the method's preparation meets the fault."""
    toy(
        bench.plugins, "looker",
        ("sound = media.audio(self.rate)", "sound = np.array([p.mean() for p in media.frames(5)])"),
        ('frozenset({"audio"})', 'frozenset({"video"})'), ('"audio", "Table 1"', '"video", "Table 1"'),
    )  # fmt: skip
    for number, name in enumerate(["black.mp4", "rotated.mp4", "two-faces.mp4", "gap-of-hours.mp4"], start=1):
        for emotion in ("03", "04"):
            file = bench.folder / f"films/ravdess/Actor_{number:02}/02-01-{emotion}-01-01-01-{number:02}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes((folder / name).read_bytes() + emotion.encode())
    code, out, err = bench.run("--data-root", bench.folder / "films", method="looker")
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert (code, out) == (2, "") and "Traceback" not in err
    assert "01-01-01-04" in line and "10800 seconds in" in line and "--exclude" in line


@pytest.mark.parametrize(("start", "end"), [(0.0, 1e9), (2.0, 1.0), (1e300, None), (0.0, float("inf")), (1.0, 1.0)])
def test_a_part_that_no_clip_can_be_is_refused(start: float, end: float | None, folder: Path) -> None:
    track = Track(str(folder / "rotated.mp4"), start, end)
    for read in (lambda: read_audio(track, 16_000), lambda: list(read_frames(track, 30.0))):
        with pytest.raises(DatasetError, match="cannot be cut from"):
            read()


def test_sound_before_the_first_and_behind_the_last_sample(folder: Path) -> None:
    late = folder / "sound-hours-late.mkv"
    assert (read_audio(Track(str(late), 0.0, 2.0), 16_000) == np.zeros(32_000)).all()
    part = read_audio(Track(str(late), broken.HOURS - 0.5, broken.HOURS + 0.5), 16_000)
    assert (
        len(part) == 16_000
        and not part[:8_000].any()
        and part[8_000:] == pytest.approx(broken.voice()[0, :8_000], abs=1e-3)
    )
    with pytest.raises(DatasetError, match="without a single sample from 90 seconds on"):
        read_audio(Track(str(folder / "rotated.mp4"), 90.0, 92.0), 16_000)


def test_the_last_picture_of_a_slow_film_lasts_no_longer_than_a_clip(tmp_path: Path) -> None:
    file = tmp_path / "slow.mkv"
    broken.film(file, [(0.0, broken.grey(9, 16, 16)), (LONGEST - 1, broken.grey(90, 16, 16))])
    assert sum(1 for _ in read_frames(Track(str(file)), 1.0)) <= 2 * LONGEST


def test_a_marker_that_is_infinitely_far_away_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "markers.txt"
    file.write_text("Frame#\nX\n1 0.0 3.5 NaN\n2 0.1 inf 2\n")
    with pytest.raises(DatasetError, match=r"markers\.txt has a marker that is infinitely far"):
        read_mocap(Track(str(file)))
    file.write_text("Frame#\nX\n1 0.0 3.5 NaN\n")
    assert read_mocap(Track(str(file))).shape == (1, 2)


def test_a_huge_still_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    for width, height in ((60_000, 60_000), (10_000, 9_000), (8_000, 7_000)):
        broken.still(file, width, height)
        with pytest.raises(DatasetError, match=r"huge\.png cannot be decoded \(.*pixels"):
            next(read_frames(Track(str(file)), None))


@pytest.mark.parametrize("begin", [0, -400])  # far behind those that a pool is told of at first
def test_a_process_that_crashes_costs_its_own_item_alone(begin: int) -> None:
    items = range(begin, 12)
    made = list(in_processes(breaking.doubled, items, 2))
    assert [item for item, one in zip(items, made, strict=True) if isinstance(one, Ended)] == [5]
    assert [one for one in made if not isinstance(one, Ended)] == [2 * item for item in items if item != 5]


@pytest.mark.parametrize("count", [3, 12])
def test_check_names_a_clip_that_crashes_a_decoder(
    count: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(count):
        os.link(folder / "rotated.mp4", tmp_path / f"{number}.mp4")
    os.link(folder / "two-faces.mp4", tmp_path / "two-faces.mp4")
    monkeypatch.setattr(check, "_decode", breaking.decoded)
    report = Heap(tmp_path).check(2)
    ((name, what),) = [(problem.name, problem.what) for problem in report.of("unreadable") if "ended" in problem.what]
    assert name == "two-faces.mp4" and "ended the process" in what


@pytest.mark.parametrize("people", [1, 10])
def test_a_clip_that_crashes_its_process_is_named_of_few_as_of_many(
    people: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three clips, and of thirty."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "cores", lambda: 2)
    found = clips(ravdess(tmp_path / "data", people))
    known = contents(found, silent)
    with pytest.raises(PreparationError, match=rf"{found[1].name} .*ended the process .*--exclude") as raised:
        prepared(Wanted(breaking.Crashing(found[1].media.clip_id), 1, found, known), silent)
    assert "\n" not in str(raised.value)
