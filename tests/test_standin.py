"""The stand-in's difficulty is what docs/stand-ins.md says, and its faces can be found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.oracle import oracle
from datasets.base import Dataset

DOCUMENTED = Path(__file__).parents[1] / "docs" / "stand-ins.md"


@pytest.mark.parametrize("name", ["baum1s", "raf-db", "ravdess", "rml"])
def test_difficulty_is_as_documented(name: str) -> None:
    told = oracle(name)
    text = DOCUMENTED.read_text()
    for split, row in told.items():
        line = next(
            line
            for line in text.splitlines()
            if line.startswith(f"| {name} |") and split.removesuffix(" split") in line
        )
        documented = [float(cell) for cell in line.split("|")[4:7] if cell.strip()]
        assert documented == pytest.approx(list(row.values()), abs=0.02)  # libraries may break ties differently
    if name == "raf-db":  # pictures alone
        return
    unseen, random = told["unseen speakers"], told["random split"]
    assert unseen["both"] > max(unseen["sound"], unseen["picture"]) + 0.1
    assert random["both"] > unseen["both"] + 0.05


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("affectnet", "enterface05", "raf-db")]
)
def test_dlib_finds_the_face(name: str, rendered: Callable[[str], Dataset]) -> None:
    import dlib

    detector = dlib.get_frontal_face_detector()
    clips = rendered(name).index()[::6]
    found = [len(detector(frame, 0)) == 1 for clip in clips for frame in clip.media.frames(4)]
    assert sum(found) >= 0.99 * len(found)
