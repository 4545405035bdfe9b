"""Made-up methods and corpora, planned for real and kept as finished straight in SQLite, with figures of both.

By hand: `python -m tests.manycells FOLDER [METHODS CORPORA FOLDS]`; 100, 10 and 50 where nothing is said.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np

from benchmarks.arenas import Arena
from benchmarks.cellrun import POINTS
from benchmarks.engine import Engine
from benchmarks.environment import code
from benchmarks.plan import Row
from benchmarks.record import cell_tags, line, row_record
from benchmarks.result import EMPTY
from benchmarks.scored import table
from benchmarks.summaries import Part, kept
from benchmarks.track import ANSWERS, CELLS, HELD, SUMMARISED, SUMMARY, Tracker, held
from protocols.scores import METRICS, Scores
from tests.tinybench import noise, store, wav

CORPUS = '''"""A made-up corpus: sounds called person-label.wav."""

from datasets.base import Dataset, Entry, Expected, Recorded


class Made(Dataset):
    title = "Made up"
    labels = ("anger", "sadness")
    licence = citation = how_to_get = "made up"
    layout = "PERSON-LABEL.wav"
    expected = Expected(({clips}, {clips}))
    recorded = Recorded(8_000)
    default_protocol = "leave-one-subject-out"
    suffixes = frozenset({{".wav"}})

    def read(self, path):
        person, _, label = path.stem.partition("-")
        return Entry(path.stem, person, label)

    def plan(self, full):
        return iter(())
'''


def plugins(folder: Path, methods: int, corpora: int, folds: int) -> tuple[list[str], list[str]]:
    """Files of methods and corpora, and the corpora's own; their names."""
    from tests.tinybench import toy

    for kind in ("methods", "datasets", "data"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    named = [f"toy-{number:03}" for number in range(methods)], [f"made-{number:02}" for number in range(corpora)]
    for name in named[0]:
        toy(folder / "methods", name.replace("-", "_"))
    for number, name in enumerate(named[1]):
        (folder / f"datasets/{name.replace('-', '_')}.py").write_text(CORPUS.format(clips=2 * folds))
        for person in range(folds):
            for loud, label in enumerate(("sadness", "anger"), 3):
                wav(folder / f"data/{name}/p{person:02}-{label}.wav", noise(folds * number + person, f"{loud}"))
    return named


def answered(row: Row, arena: Arena) -> Iterator[tuple[Scores, dict[str, float]]]:
    """Answers for each Cell, and what is measured of it."""
    truth = {clip.media.clip_id: clip for clip in arena.clips}
    luck = np.random.default_rng(int(row.key[:8], 16))
    for cell in row.cells:
        tested = [truth[media.clip_id] for media in cell.fold.test_media]
        scores = Scores(
            cell.fold.labels,
            tuple(clip.name for clip in tested),
            tuple(clip.subject for clip in tested),
            tuple(clip.label for clip in tested),
            luck.dirichlet(np.ones(len(cell.fold.labels)), len(tested)),
        )
        figures = {EMPTY: 0.0, "fit_seconds": 1.0, "predict_seconds": 0.1, "parameters": 10.0, POINTS: 0.0}
        yield scores, {name: getattr(scores, name) for name in METRICS} | figures


class Base:
    """MLflow's tables."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, store(folder / "results.db")
        self.base = sqlite3.connect(folder / "results.db")
        self.experiments: dict[str, int] = {}

    def experiment(self, name: str) -> int:
        if name not in self.experiments:
            self.experiments[name] = number = 100 + len(self.experiments)
            self.base.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
                "last_update_time) VALUES (?, ?, ?, 'active', 0, 0)",
                (number, name, str(self.folder / "runs")),
            )
        return self.experiments[name]

    def run(
        self, experiment: str, tags: dict[str, object], metrics: dict[str, float], params: dict[str, object]
    ) -> str:
        run_id, number = uuid4().hex, self.experiment(experiment)
        self.base.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
            "start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
            "VALUES (?, 'made up', 'LOCAL', '', '', '', 'FINISHED', 1, 2, '', 'active', ?, ?)",
            (run_id, str(self.at(run_id)), number),
        )
        self.base.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(k, str(v), run_id) for k, v in tags.items()])
        told = [(k, str(v), run_id) for k, v in params.items()]
        self.base.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", told)
        self.measure(run_id, metrics)
        return run_id

    def measure(self, run_id: str, metrics: dict[str, float]) -> None:
        self.base.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 2, 0, 0, ?)",
            [(k, v, run_id) for k, v in metrics.items()],
        )

    def at(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id / "artifacts"

    def keep(self, row: Row, arena: Arena) -> None:
        """A row as it is left by its end, with its Cells."""
        params, tags = row_record(row, arena, "cpu")
        parts, lines = [], []
        parent = self.run(arena.experiment, {"bench.kind": "row", "bench.row": row.key, **tags}, {}, params)
        for cell, (scores, metrics) in zip(row.cells, answered(row, arena), strict=True):
            told = {"bench.kind": "cell", "mlflow.parentRunId": parent, **cell_tags(row, arena, cell, "cpu")}
            run_id = self.run(arena.experiment, told, metrics, {})
            made = {"source": row.source, "code": code(), "empty": 0}
            lines.append(line(cell, scores, "", run_id, made))
            parts.append(Part(cell.fold.name, cell.seed, scores, metrics, []))
        self.close(parent, parts, lines)

    def close(self, parent: str, parts: Sequence[Part], lines: Sequence[dict[str, object]]) -> None:
        from benchmarks.outcome import joined

        found, whole = kept(parts), joined([part.scores for part in parts])
        texts = {CELLS: table(lines), ANSWERS: table(found.answers), SUMMARY: json.dumps(found.summary)}
        self.at(parent).mkdir(parents=True)
        for name, text in texts.items():
            (self.at(parent) / name).write_text(text)
        tags = {SUMMARISED: found.summary["version"], HELD: held(texts[CELLS], texts[ANSWERS])}
        self.base.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(k, str(v), parent) for k, v in tags.items()])
        folds = {name: [getattr(part.scores, name) for part in parts] for name in METRICS}
        spread = {f"{name}_fold_sd": float(np.std(values, ddof=1)) for name, values in folds.items()}
        self.measure(parent, {name: getattr(whole, name) for name in METRICS} | spread | {EMPTY: 0.0})


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, used = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - wall:.1f} s, of which computing {time.process_time() - used:.1f} s")  # noqa: T201


def main(folder: Path, methods: int = 100, corpora: int = 10, folds: int = 50) -> None:
    import os

    import datasets
    import methods as there
    from benchmarks.console import progress
    from benchmarks.run import Request, plan

    os.environ |= {"BENCH_CACHE": str(folder / "cache"), "TOY_DIARY": str(folder / "diary.txt")}
    named = plugins(folder, methods, corpora, folds)
    there.__path__.append(str(folder / "methods"))
    datasets.__path__.append(str(folder / "datasets"))
    request = Request(",".join(named[0]), ",".join(named[1]), data_root=folder / "data", preset="quick")
    plan(request, progress)  # decodes every clip once
    with timed(f"planning {methods} methods x {corpora} corpora x {folds} folds"):
        planned = plan(request, progress)
    base = Base(folder)
    for row, arena in planned.rows:
        base.keep(row, arena)
    base.base.commit()
    with timed(f"resuming {sum(len(row.cells) for row, _ in planned.rows)} finished Cells"):
        outcomes = Engine(Tracker(base.uri), "cpu", progress).run_all(planned.rows)
        assert all(outcome.complete and not outcome.trained and not outcome.stale for outcome in outcomes)
    with timed("their scores"):
        assert all(outcome.measured() for outcome in outcomes)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:]))
