"""Everything that reads what strangers write, for `tests.fuzzing`: how it is asked, and files that it should know."""

import atexit
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from datasets.base import Dataset, Planned
from datasets.clips import Clip, Media, UserError

LONGEST = 3000  # bytes of an input
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
FACES = 3  # rows of a table of pictures


@dataclass(frozen=True)
class Target:
    """A reader, what it may raise, and files that it should know."""

    read: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    longest: int = LONGEST

    def __call__(self, content: bytes) -> None:
        try:
            self.read(content)
        except UserError as error:
            lines = str(error).splitlines()
            if len(lines) != 1:
                raise AssertionError(f"an error is one line, but this one has {len(lines)}: {lines[:3]}") from error


@cache
def folder() -> Path:
    made = mkdtemp()
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def file(name: str, content: bytes) -> Path:
    made = folder() / name
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_bytes(content)
    return made


@cache
def corpus(name: str, few: int = 2) -> tuple[Dataset, list[tuple[str, bytes]]]:
    """An empty copy of a corpus in which a few files are as they are called, and its annotations."""
    from benchmarks.plugins import load

    kind = load("datasets", name)
    root = folder() / name
    planned: list[Planned] = []
    for plan in kind(root).plan(False):
        if len(planned) < few and not plan.path.endswith(".csv"):
            planned.append(plan)
            file(f"{name}/{plan.path}", plan.path.encode())
    return kind(root), list(kind(root).annotations(planned))


def annotated(name: str, at: str = "", few: int = 2) -> Target:
    """The scan of a corpus with an annotation that holds anything."""

    def seeds() -> Sequence[bytes]:
        return [content for path, content in corpus(name, few)[1] if not at or path == at]

    def read(content: bytes) -> None:
        made, annotations = corpus(name, few)
        for path, usual in annotations:
            file(f"{name}/{path}", content if not at or path == at else usual)
        type(made)(made.root).index()

    return Target(read, seeds)


def baum1s_export() -> Target:
    def read(content: bytes) -> None:
        made, _ = corpus("baum1s")
        (made.root / "Annotations_BAUM1s.xlsx").unlink(missing_ok=True)
        export = file("baum1s/Annotations_BAUM1s.csv", content)
        try:
            type(made)(made.root).index()
        finally:
            export.unlink()

    rows = (
        "No;Subject No;Gender;Clip Name;Emotion;Emotion Code\n1;1;female;S001_001;Anger;1\n2;2;male;S002_001;Fear;7.0\n"
    )
    return Target(read, lambda: [rows.encode(), rows.replace(";", ",").encode()])


def baum1s_workbook() -> Target:
    """A letter first: w for a whole file, s for the sheet in one that is well else."""

    def read(content: bytes) -> None:
        made, ((path, usual),) = corpus("baum1s")
        whole = content[1:] if content[:1] == b"w" else _with_sheet(usual, content[1:])
        file(f"baum1s/{path}", whole)
        type(made)(made.root).index()

    def seeds() -> Sequence[bytes]:
        usual = corpus("baum1s")[1][0][1]
        with zipfile.ZipFile(io.BytesIO(usual)) as book:
            return [b"w" + usual, b"s" + book.read("xl/worksheets/sheet1.xml")]

    return Target(read, seeds, 8000)


def _with_sheet(book: bytes, sheet: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, sheet if name == "xl/worksheets/sheet1.xml" else old.read(name))
    return made.getvalue()


def fer(table: str) -> Target:
    """Either of the two tables of FER+ beside a usual other one."""
    votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    usual = {
        "fer2013new.csv": votes + "".join(f"Training,fer{n:07}.png,4,0,0,1,3,2,0,0,0,0\n" for n in range(FACES)),
        "fer2013.csv": "emotion,pixels,Usage\n" + f"0,{' '.join(['9'] * 48 * 48)},Training\n" * FACES,
    }

    def read(content: bytes) -> None:
        from datasets.fer_plus import FerPlus

        for name, text in usual.items():
            file(f"fer-plus/{name}", content if name == table else text.encode())
        for clip in FerPlus(folder() / "fer-plus").index():
            next(clip.media.frames())

    return Target(read, lambda: [usual[table].encode()], 20_000)


def affectnet_code() -> Target:
    """A label in a .npy file."""

    def read(content: bytes) -> None:
        from datasets.affectnet import Affectnet

        file("faces/train_set/images/1.jpg", b"a picture")
        file("faces/train_set/annotations/1_exp.npy", content)
        Affectnet(folder() / "faces").index()

    def seeds() -> Sequence[bytes]:
        import numpy as np

        made = [io.BytesIO(), io.BytesIO()]
        np.save(made[0], np.array("3"))
        np.save(made[1], np.array([3], dtype=np.int64))
        return [one.getvalue() for one in made]

    return Target(read, seeds, 300)


def mocap() -> Target:
    def read(content: bytes) -> None:
        from datasets.clips import Track
        from datasets.media import read_mocap

        assert read_mocap(Track(str(file("markers.txt", content)))).ndim == 2

    return Target(read, lambda: [b"Frame# Time A\nX Y Z\n1 0.0 1.5 -2.5 3.5\n2 0.1 NaN NaN NaN\n"])


def folds() -> Target:
    """Judged by names alone."""

    def read(content: bytes) -> None:
        from benchmarks.audits import infer, judge, read_folds
        from datasets.ravdess import Ravdess

        rows = read_folds(file("folds.csv", content))
        judge(rows, Ravdess(folder() / "ravdess"), False)
        infer(rows[:3])

    told = ("01-01-01-01-01-01-01,1,train", "01-01-01-01-01-01-02,1,test", "03-01-02-01-01-01-03.wav,1,validation")
    rows = "\n".join(("clip,fold,role", *told))
    return Target(read, lambda: [rows.encode(), rows.replace(",", ";").encode(), b'\xef\xbb\xbf"clip","fold","role"\n'])


def predictions() -> Target:
    """As far as they are judged before folds are."""
    labels = ("anger", "fear")
    clips = [Clip(Media(f"{n:016x}", frozenset(), {}), f"01-01-05-01-01-{n:02}", f"{n:02}", "anger") for n in (1, 2)]
    named = "clip,fold,label\n01-01-05-01-01-01,1,anger\n01-01-05-01-01-02,2,FEAR\n"
    shares = "clip,fold,anger,fear\n01-01-05-01-01-01,1,0.25,0.75\n01-01-05-01-01-02,2,1,0\n"

    def read(content: bytes) -> None:
        from benchmarks.predictions import read_predictions, understood
        from datasets.ravdess import Ravdess

        table = read_predictions(file("predictions.csv", content))
        found = understood(table, Ravdess(folder() / "ravdess"), clips, labels)
        for answers in found.folds.values():
            assert all(abs(sum(answer.probabilities) - 1) < 0.01 for answer in answers.values())

    return Target(read, lambda: [named.encode(), shares.encode()])


def baseline() -> Target:
    def read(content: bytes) -> None:
        from benchmarks.baseline import read as baseline

        baseline(file("baseline.json", content)).text()

    return Target(read, lambda: [BASELINE.encode()])


def exclusions() -> Target:
    def read(content: bytes) -> None:
        from benchmarks.corpora import excluded, excluded_from

        excluded_from("rml", excluded(file("exclude.txt", content)))

    return Target(read, lambda: [b"s1/an1  # twice\nrml:s2/an1\nbaum1s:S001_001\n"])


def answers() -> Target:
    """Of a Cell and of a row, as they are kept in the store."""
    table = (
        "fold,seed,clip,subject,truth,answer,p_anger,p_fear\n1,0,a,01,anger,anger,0.75,0.25\n2,0,b,,fear,fear,0.5,0.5\n"
    )

    def read(content: bytes) -> None:
        from benchmarks.scored import read_answers, read_scores

        for scores in (read_scores(file("predictions.csv", content)),):
            assert 0 <= scores.accuracy <= 1
        read_answers(content.decode("utf-8", "replace"))

    return Target(read, lambda: [table.encode()])


def summaries() -> Target:
    """Of a row, as the leaderboard reads them; their error is one of their own."""
    told = {
        "version": 2, "labels": ["anger", "fear"], "unit": "subject", "units": [["01", 1, [[0, 0, 3.0], [0, 1, 1.0]]]],
        "clips": 4, "cells": 1, "calibration": [[4, 0.5, 0.75]], "costs": {"fit_seconds": 1.5},
        "curves": {"loss": [[0, 1.0, 0.5, 1.5]]},
    }  # fmt: skip

    def read(content: bytes) -> None:
        from reports.summary import SummaryError
        from reports.summary import read as summary

        try:
            document = json.loads(content)
        except (ValueError, RecursionError):  # the page tells these apart itself
            return
        try:
            found = summary(document)
        except SummaryError:
            return
        assert found.counts.min(initial=0) >= 0

    return Target(read, lambda: [json.dumps(told).encode()])


def settings() -> Target:
    """Of a Cell, as `predict` reads them; their errors become one line there."""

    def read(content: bytes) -> None:
        from benchmarks.settings import restored
        from methods.parts.frames import Pictures

        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return
        if isinstance(document, dict):
            try:
                restored(Pictures(), document)
            except (TypeError, ValueError):
                return

    return Target(read, lambda: [b'{"per_second": 10.0, "size": 224, "margin": 0.3}'])


BASELINE = """{
 "format": 1,
 "must_match": {"method": "m", "dataset": "d", "standin": true, "corpus": "c", "task": "emotion",
  "labels": ["anger", "fear"], "folds": "f", "modality": "av", "variant": "", "preset": "quick"},
 "may_differ": {"version": 1, "source": "s", "config": {}, "weights": "w", "initial": {}, "stamps": [], "protocol": "p",
  "independence": "verified", "seeds": 1, "key": "k", "cells": [], "run_id": "r", "date": "2026-01-01",
  "environment": {}},
 "scores": {"accuracy": 0.75, "uar": 0.8333, "macro_f1": 0.7333},
 "unit": "subject", "answers": 1,
 "counts": {"01": {"anger": {"anger": 2, "fear": 1}}, "02": {"fear": {"fear": 1}}}
}
"""
TARGETS: dict[str, Callable[[], Target]] = {
    "iemocap": lambda: annotated("iemocap", few=19),
    "baum1s-workbook": baum1s_workbook,
    "baum1s-export": baum1s_export,
    "fer-plus-votes": lambda: fer("fer2013new.csv"),
    "fer-plus-pixels": lambda: fer("fer2013.csv"),
    "raf-db": lambda: annotated("raf-db"),
    "affectnet": lambda: annotated("affectnet", "training.csv"),
    "affectnet-code": affectnet_code,
    "mocap": mocap,
    "folds": folds,
    "predictions": predictions,
    "baseline": baseline,
    "exclusions": exclusions,
    "answers": answers,
    "summaries": summaries,
    "settings": settings,
}
