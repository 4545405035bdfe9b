"""What a Cell reads can be sent to a machine that sees nothing of the driver's disk."""

import pickle
import shutil
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from benchmarks.arenas import arena
from benchmarks.console import Progress, progress
from benchmarks.corpora import CACHE
from benchmarks.engine import Engine
from benchmarks.execute import here
from benchmarks.parcels import Consignment, consigned
from benchmarks.plan import row
from benchmarks.result import Result
from benchmarks.settings import Wish
from benchmarks.track import Tracker
from benchmarks.work import Job
from methods.parts.weights import WeightStore
from tests.tinybench import HALVES, Bench, corpus, make_bench, toy  # noqa: F401  a fixture

BEGINS = (
    "    def frozen(self, weights):",
    """    def pretrained(self, weights):
        return {"means": weights.find(FILE)}

    def frozen(self, weights):""",
)
FILE = (
    "class Toy(Method):",
    'FILE = WeightsFile("toy.pth", "https://nowhere.invalid/toy.pth", "")\n\n\nclass Toy(Method):',
)
IMPORTS = ("import Method, MethodError, Paper, Variant", "import Method, MethodError, Paper, Variant, WeightsFile")
READS = (
    "        for epoch in range(3):",
    "        note(f\"weights {run.pretrained['means'].read_text()}\")\n        for epoch in range(3):",
)


@pytest.fixture
def run_before(bench: Bench) -> tuple[Job, list[Result]]:
    """A job of a method with a frozen network and with weights, on a stand-in; and its results here."""
    toy(bench.plugins, "toy", IMPORTS, FILE, BEGINS, READS)
    (bench.folder / "weights").mkdir()
    (bench.folder / "weights/toy.pth").write_text("published")
    (bench.data / "ravdess/standin.json").write_text("{}")
    place, jobs = arena(corpus(bench.data), "emotion", HALVES, progress), list[Job]()

    def noted(asked: Iterable[Job], progress: Progress) -> Generator[tuple[Job, Result]]:
        for job in asked:
            jobs.append(job)
            yield from here([job], progress)

    wish = Wish("quick", settings={"network": "vgg"})
    one = row("toy", wish, place, 1, WeightStore(Path("weights")))
    outcome = Engine(Tracker(bench.uri), "cpu", progress, execute=noted).run(one, place)
    assert outcome.complete
    return jobs[0], list(outcome.results)


def sent(job: Job) -> Consignment:
    found: Consignment = pickle.loads(pickle.dumps(consigned(job)))
    return found


def test_where_the_files_are_seen_nothing_is_sent(run_before: tuple[Job, list[Result]], bench: Bench) -> None:
    job, _ = run_before
    there = sent(job)
    opened = there.opened(there.job.todo[0], None)
    assert opened and opened.store and job.store and opened.store.folder == job.store.folder
    assert opened.row.pretrained["means"] == bench.folder / "weights/toy.pth"
    assert opened.row.frozen and job.row.frozen and opened.row.frozen.key == job.row.frozen.key


def test_where_they_are_not_copies_do_as_well(
    run_before: tuple[Job, list[Result]], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, results = run_before
    there = sent(job)
    cell = there.job.todo[0]
    files = {place: file.read_bytes() for file, place in there.files(cell).items()}
    assert len(files) == 12 + 3 + 1, "all clips, the frozen network's inputs of three of them, and weights"
    shutil.rmtree(bench.folder / "cache")
    shutil.rmtree(bench.folder / "weights")
    shutil.rmtree(bench.data)
    monkeypatch.setenv(CACHE, str(bench.folder / "own"))
    assert there.opened(cell, None) is None
    opened = there.opened(cell, files.__getitem__)
    assert opened and opened.row.pretrained["means"] and bench.folder / "own" in opened.row.pretrained["means"].parents
    assert there.opened(cell, None), "copies are kept"
    result = opened.run(cell, lambda now: None)
    assert result.scores and results[0].scores and result.cell.key == results[0].cell.key, result.error
    assert result.scores.probabilities.tobytes() == results[0].scores.probabilities.tobytes()
    first, second = (run.data.tags for run in bench.kept() if run.data.tags["bench.key"] == cell.key)
    assert first["bench.standin"] == "True"
    assert first.pop("bench.superseded") == "True" and "bench.superseded" not in second  # it was committed later
    assert {name: value for name, value in first.items() if name.startswith("bench.")} == {
        name: value for name, value in second.items() if name.startswith("bench.")
    }


def test_other_weights_of_the_same_name_are_not_taken(run_before: tuple[Job, list[Result]], bench: Bench) -> None:
    there = sent(run_before[0])
    (bench.folder / "weights/toy.pth").write_text("another's")
    assert there.opened(there.job.todo[0], None) is None
