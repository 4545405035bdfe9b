"""A store of made-up rows, written straight into SQLite: `python -m tests.manyrows 2000 FOLDER` for a large one."""

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.track import ANSWERS, SUMMARISED, SUMMARY
from reports.summary import VERSION, summarise
from tests.tinybench import store

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
OWN = {
    "rml": "leave-one-subject-out",
    "enterface05": "leave-one-subject-out",
    "baum1s": "leave-one-speaker-group-out",
    "ravdess": "leave-one-speaker-group-out",
}
PEOPLE = 12
METHODS = (
    ("hybrid-dbn", "av", ""),
    ("avef", "av", "case-2-av"),
    ("vgg16-gru", "video", ""),
    ("attention-fbp", "av", ""),
    ("egemaps-svm", "audio", ""),
    ("hybrid-dbn", "av", "dbn-2"),
    ("cnn-lstm-dnn", "av", ""),
)


@dataclass(frozen=True)
class Made:
    """A row as it is to be found in the store."""

    method: str = "hybrid-dbn"
    modality: str = "av"
    variant: str = ""
    corpus: str = "rml"
    protocol: str = ""  # empty: the corpus' own
    preset: str = "paper"
    skill: float = 0.5  # the share of right answers
    planned: int = 4
    seed: int = 0
    tags: Mapping[str, object] = field(default_factory=dict)

    def answers(self) -> pd.DataFrame:
        """Of people who differ; a random split tests every third clip."""
        random = np.random.default_rng([self.seed, sum(map(ord, self.corpus))])
        own = random.normal(0, 0.12, PEOPLE)
        luck = np.random.default_rng([self.seed, sum(map(ord, self.method + self.variant)), int(1000 * self.skill)])
        clips = [(person, label, take) for person in range(PEOPLE) for label in range(6) for take in range(3)]
        if self.protocol.startswith("random"):
            clips = clips[::3]
        person, truth, _ = np.array(clips).T
        right = luck.random(len(clips)) < np.clip(self.skill + own[person], 0.02, 0.98)
        said = np.where(right, truth, luck.integers(0, 6, len(clips)))
        sure = luck.uniform(0.3, 0.95, len(clips))
        table = pd.DataFrame(
            {f"p_{label}": np.where(said == i, sure, (1 - sure) / 5) for i, label in enumerate(LABELS)}
        )
        table.insert(0, "answer", [LABELS[i] for i in said])
        table.insert(0, "truth", [LABELS[i] for i in truth])
        table.insert(0, "subject", [f"s{i:02}" for i in person])
        table.insert(0, "clip", [f"s{p:02}/{LABELS[t]}-{n}" for p, t, n in clips])
        table.insert(0, "seed", 0)
        table.insert(0, "fold", [f"group {i % self.planned + 1}" for i in person])
        return table

    def told(self, done: int | None = None) -> dict[str, Any]:
        answers = self.answers().rename(columns={"answer": "predicted"})
        cell = {"fit_seconds": 300.0 + self.seed, "predict_seconds": 2.0, "test_clips": 54.0, "parameters": 6.1e7}
        random = np.random.default_rng(self.seed)
        fall = [1.8 * 0.93**step for step in range(40)]
        curves = [
            [("loss", float(v + random.normal(0, 0.03)), i) for i, v in enumerate(fall)] for _ in range(self.planned)
        ]
        cells = [cell] * (self.planned if done is None else done)
        return summarise(answers, LABELS, cells, curves).told()

    def all_tags(self) -> dict[str, str]:
        random = self.protocol.startswith("random")
        tags = {
            "bench.kind": "row",
            "bench.row": f"row-{self.seed} {self.protocol}",
            "bench.method": self.method,
            "bench.modality": self.modality,
            "bench.variant": self.variant,
            "bench.preset": self.preset,
            "bench.stamps": "",
            "bench.substituted": "",
            "bench.protocol": self.protocol or OWN.get(self.corpus, "leave-one-subject-out"),
            "bench.task": "emotion",
            "bench.standin": False,
            "bench.corpus": f"digest of {self.corpus}",
            "bench.clips": 216,
            "bench.clips_of_the_whole_corpus": 216,
            "bench.partial": False,
            "bench.excluded": 0,
            "bench.chance": 1 / 6,
            "bench.independence": "violated" if random else "verified",
            "bench.cells": self.planned,
            "bench.dataset": self.corpus,
            "bench.method_version": 1,
            SUMMARISED: VERSION,
        }
        return {name: str(value) for name, value in (tags | dict(self.tags)).items()}


def write(rows: Sequence[Made], folder: Path, done: Mapping[int, int] | None = None) -> str:
    """A store of these rows; the address. `done` are finished Cells of rows by number, where not all are."""
    folder.mkdir(parents=True, exist_ok=True)
    uri = store(folder / "results.db")
    base = sqlite3.connect(folder / "results.db")
    names = list(dict.fromkeys(_experiment(row) for row in rows))
    ids = {name: number for number, name in enumerate(names, 100)}
    base.executemany(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
        "last_update_time) VALUES (?, ?, ?, 'active', 0, 0)",
        [(number, name, str(folder / "runs")) for name, number in ids.items()],
    )
    for number, row in enumerate(rows):
        run_id, at = f"{number:032x}", folder / "runs" / f"{number:032x}"
        at.mkdir(parents=True)
        (at / SUMMARY).write_text(json.dumps(row.told((done or {}).get(number)), separators=(",", ":")))
        (at / ANSWERS).write_text(row.answers().to_csv(index=False))
        base.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
            "start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
            "VALUES (?, ?, 'LOCAL', '', '', '', 'FINISHED', ?, ?, '', 'active', ?, ?)",
            (run_id, row.method, number, number, str(at), ids[_experiment(row)]),
        )
        base.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(k, v, run_id) for k, v in row.all_tags().items()])
        params = {"method": row.method, "dataset": row.corpus, "epochs": row.seed}
        base.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(k, str(v), run_id) for k, v in params.items()],
        )
    base.commit()
    base.close()
    return uri


def _experiment(row: Made) -> str:
    return row.corpus + (" (STAND-IN)" if row.tags.get("bench.standin") else "")


def several() -> list[Made]:
    """A little of everything: ranked on all corpora, and one of each kind that must not be ranked."""
    rows = []
    for number, (corpus, (method, modality, variant)) in enumerate(product(OWN, METHODS)):
        rows.append(Made(method, modality, variant, corpus, skill=0.72 - 0.07 * (number % len(METHODS)), seed=number))
    first = rows[0]
    rows += [replace(row, protocol="random-holdout", skill=row.skill + 0.15, planned=1) for row in rows[:4]]
    spoilt: tuple[Mapping[str, object], ...] = (
        {"bench.standin": True},
        {"bench.independence": "unknown"},
        {"bench.partial": True, "bench.corpus": "another", "bench.clips_of_the_whole_corpus": 720},
        {"bench.preset": "quick"},
        {"bench.preset": "imported"},
        {"bench.stamps": "weights none"},
        {"bench.stamps": "audio.size=64, weights none"},
        {"bench.cells": 8},
    )
    rows += [replace(first, tags=tags, skill=0.95, seed=90 + number) for number, tags in enumerate(spoilt)]
    return rows


def many(count: int) -> Iterator[Made]:
    """Rows of twelve arenas, most of them of settings that somebody tried."""
    kinds = cycle(product(OWN, ("", "subject-k-fold:k=5", "random-holdout"), METHODS))
    for number, (corpus, protocol, (method, modality, variant)) in enumerate(islice(kinds, count)):
        tags = {} if number < len(OWN) * 3 * len(METHODS) else {"bench.stamps": f"rate={number}"}
        skill = 0.3 + number % 97 / 200
        yield Made(method, modality, variant, corpus, protocol, "paper", skill, 4, number, tags)


if __name__ == "__main__":
    print(write(list(many(int(sys.argv[1]))), Path(sys.argv[2]).resolve()))  # noqa: T201
