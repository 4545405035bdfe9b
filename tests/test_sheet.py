"""Contact sheets of what a method gets: which clips, which parts of them, drawn where, into which files."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from benchmarks.sheet import beside, draw_inputs, spread
from datasets.clips import Clip
from methods.base import Prepared
from tests.tinybench import Bench, make_bench, toy  # noqa: F401  a fixture

Drawn = Callable[..., list[list[Any]]]


def clips(count: int) -> list[Clip]:
    """In no order."""
    found = [SimpleNamespace(name=f"clip {number:03}") for number in range(count)]
    return cast(list[Clip], found[::2] + found[1::2])


@pytest.mark.parametrize(("count", "shown"), [(1, [0]), (3, [0, 1, 2]), (7, range(7)), (25, range(0, 25, 4))])
def test_clips_are_shown_at_even_distances(count: int, shown: list[int]) -> None:
    assert [clip.name for clip in spread(clips(count))] == [f"clip {number:03}" for number in shown]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drawn:
    """The cells of a sheet, row by row, as they are when it is written."""
    figures: list[Figure] = []
    write = Figure.savefig

    def watched(figure: Figure, *told: Any, **more: Any) -> None:
        figures.append(figure)
        write(figure, *told, **more)

    monkeypatch.setattr(Figure, "savefig", watched)

    def draw(*inputs: Prepared) -> list[list[Any]]:
        draw_inputs([(f"clip {number}", one) for number, one in enumerate(inputs)], tmp_path / "a.png", "A title")
        assert imread(tmp_path / "a.png").std() > 0
        [figure] = figures
        figures.clear()
        assert figure.get_suptitle() == "A title"
        wide = len(figure.axes) // len(inputs)
        return [figure.axes[first : first + wide] for first in range(0, len(figure.axes), wide)]

    return draw


def shown(cell: Any) -> npt.NDArray[Any]:
    """What is drawn in a cell."""
    [image] = cell.get_images()
    return np.asarray(image.get_array())


def test_pictures_are_drawn_as_they_are(drawn: Drawn) -> None:
    """Four of seven, first and last among them; upright."""
    faces = np.random.default_rng(0).integers(0, 256, (7, 8, 6, 3), np.uint8)
    [row] = drawn({"faces": faces})
    assert [cell.get_title(loc="left") for cell in row] == ["clip 0: faces [7, 8, 6, 3]", "", "", ""]
    assert all(np.array_equal(shown(cell), faces[number]) for cell, number in zip(row, (0, 2, 4, 6), strict=True))
    assert {cell.get_images()[0].origin for cell in row} == {"upper"}


def test_a_series_is_one_map_in_which_each_value_has_its_own_scale(drawn: Drawn) -> None:
    """Time goes to the right; a value that never changes is 0."""
    times = np.arange(5.0)
    [[cell]] = drawn({"series": np.stack([1000 * times, -times, 0 * times + 7], axis=1)})
    assert shown(cell) == pytest.approx(np.stack([times / 4, 1 - times / 4, 0 * times]))
    assert cell.get_images()[0].origin == "lower"


def test_of_channels_the_first_is_drawn(drawn: Drawn) -> None:
    spectrum = np.random.default_rng(0).normal(size=(9, 4, 3))  # [time, values, channels]
    segments = np.random.default_rng(0).normal(size=(2, 4, 9, 3))  # [segments, values, time, channels]
    [[cell]] = drawn({"spectrum": spectrum})
    assert shown(cell) == pytest.approx(spectrum[..., 0].T)
    [row] = drawn({"segments": segments})
    assert [shown(cell) == pytest.approx(one[..., 0]) for cell, one in zip(row, segments, strict=True)] == [True, True]


def test_a_clip_in_which_nothing_was_found_leaves_its_row_empty(drawn: Drawn) -> None:
    faces = np.zeros((2, 8, 8, 3), np.uint8)
    full, empty, without = drawn({"faces": faces}, {"faces": faces[:0]}, {"level": np.arange(3.0)})
    assert [len(cell.get_images()) for cell in full] == [1, 1, 0]  # two faces; level is the third column
    assert [len(cell.get_images()) for cell in empty] == [0, 0, 0]
    assert [len(cell.get_images()) for cell in without] == [0, 0, 1]
    assert empty[0].get_title(loc="left") == "clip 1: faces [0, 8, 8, 3]"
    assert (without[0].get_title(loc="left"), without[2].get_title(loc="left")) == (
        "clip 2: no faces", "clip 2: level [3]",
    )  # fmt: skip


def test_a_sheet_is_named_after_what_it_shows() -> None:
    told = beside(Path("a/my.sheet.png"), "toy av deep quick rate=0.5 pretrain-on rml,afew ../x", "ravdess")
    assert told == Path("a/my.sheet-toy-av-deep-quick-rate-0.5-pretrain-on-rml-afew-..-x-ravdess.png")


def test_every_row_that_is_prepared_has_its_own_sheet(bench: Bench) -> None:
    """Of one name only, the last variant or modality would be left."""
    grey = '{"faces": np.full((3, 8, 8, 3), 200, np.uint8), "level": np.array('
    toy(bench.plugins, "toy", ('{"level": np.array(', grey))
    where = ("--method", "toy", "--dataset", "ravdess", "--data-root", bench.data, "--sheet", bench.folder / "s.png")
    for more in ((), ("--variant", "deep"), ("--preset", "paper")):
        assert bench.call("prepare", *where, *more)[0] == 0
    sheets = {"s-toy-audio-quick-ravdess.png", "s-toy-audio-deep-quick-ravdess.png", "s-toy-audio-paper-ravdess.png"}
    assert {file.name for file in bench.folder.glob("*.png")} == sheets
    for name in sheets:
        grey_share = np.isclose(imread(bench.folder / name)[..., :3], 200 / 255, atol=0.01).all(axis=2).mean()
        assert grey_share > 0.1  # 7 rows of 3 grey pictures
