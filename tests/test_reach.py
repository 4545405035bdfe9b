"""A method from a stranger that turns over all it is handed finds no name, path or label of a tested clip."""

import json
from functools import partial

import pytest

from benchmarks.arenas import arena
from benchmarks.console import progress
from benchmarks.handed import line
from tests.reach import walk
from tests.tinybench import HALVES, Bench, clips, corpus, make_bench, ravdess, toy  # noqa: F401  a fixture

SPY = (
    ("import os\n", "import os\nfrom tests import reach\nfrom methods.base import tuned, FloatDistribution\n"),
    ("    scale: float = 1.0\n", "    scale: float = tuned(1.0, FloatDistribution(0.5, 2.0))\n"),
    ("validates = False", "validates = True"),
    ("        sound = media.audio", "        reach.note('prepare', self, media)\n        sound = media.audio"),
    ("        for epoch in", "        reach.note('fit', self, train, validation, run)\n        for epoch in"),
    ("            run.log(", "            run.named('stage').prune('uar', 0.5, epoch)\n            run.log("),
    ("        inputs = np.stack(", "        reach.note('predict', self, examples)\n        inputs = np.stack("),
)  # fmt: skip
SECRETS = {"Clip", "Fold", "Cell", "Job", "Arena", "Scores", "Tracker", "CellRun", "Row", "Door", "Task", "Shared"}


@pytest.mark.parametrize("tuning", [False, True])
def test_what_a_method_is_handed_leads_to_no_tested_clip(
    tuning: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_REACHED", str(bench.folder / "reached.jsonl"))
    ravdess(bench.data, people=6)
    toy(bench.plugins, "toy", *SPY)
    more = ("--tune", 2, "--storage", f"sqlite:///{bench.folder}/studies.db") if tuning else ()
    code, _, err = bench.run(*more)
    assert code == 0, err
    found = [json.loads(told) for told in (bench.folder / "reached.jsonl").read_text().splitlines()]
    assert {one["where"] for one in found} == {"prepare", "fit", "predict"}
    names = {clip.name for clip in clips(bench.data)}
    for one in found:
        assert not SECRETS & {*one["kinds"]}
        assert not [text for text in one["texts"] if any(name in text for name in names) or str(bench.data) in text]
        assert "03-01" not in "".join(one["texts"]) and "results.db" not in "".join(one["texts"])
    predicted = [one for one in found if one["where"] == "predict"]
    assert all({"anger", "happiness"} <= {*one["texts"]} for one in predicted)  # the classes, which it must know


def test_the_walker_finds_what_is_hidden_badly(bench: Bench) -> None:
    """Else the test above says nothing."""
    here = arena(corpus(bench.data), "emotion", HALVES, progress)
    fold = here.folds[0]
    tested = fold._test[0]

    class Slotted:
        __slots__ = ("kept",)

    slotted = Slotted()
    slotted.kept = fold  # type: ignore[attr-defined]

    def closing() -> str:
        return fold.name

    hidden = [fold, slotted, closing, partial(print, fold), fold.score, {"a": [fold]}, [(fold,)], iter_of(fold)]
    for place in hidden:
        assert any(one is tested for one in walk(place)), place
    with line(lambda name, value, step: vars(fold).update(name=name)) as told:
        assert not any(one is fold for one in walk(told))


def iter_of(kept: object) -> object:
    class Held:
        @property
        def shown(self) -> object:
            return kept

    return Held()


def test_a_line_says_everything_in_order_and_passes_errors_on() -> None:
    heard: list[tuple[str, float, int]] = []

    def listen(name: str, value: float, step: int) -> None:
        if value < 0:
            raise ValueError("negative")
        heard.append((name, value, step))

    with line(listen) as say:
        for step in range(100):
            say("loss", 1 / (1 + step), step)
            assert len(heard) == step + 1  # heard before it goes on
        with pytest.raises(ValueError, match="negative") as raised:
            say("loss", -1.0, 100)
    assert [step for _, _, step in heard] == list(range(100))
    frames = [entry.name for entry in raised.traceback]
    assert "listen" not in frames  # its variables would lie open
