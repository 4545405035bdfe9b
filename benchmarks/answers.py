"""What `predict` says: a table, a document, a figure."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import console
from benchmarks.model import Model
from benchmarks.predict import Answer, Fault
from datasets.clips import Media
from datasets.loose import Loose
from reports.timeline import Look, Timeline, draw

MOMENTS = 10  # at which the face is looked for
SIDE = 160  # pixels of a face
MARGIN = 0.35  # of the face's box that is shown around it
BINS = 1200  # of the drawn sound
RATE = 8_000
PIECE = 30.0  # seconds of sound that are held at once


def show(answers: Sequence[Answer]) -> None:
    """One line a file; of a single one also how the answer changes."""
    console.table([_line(answer) for answer in answers])
    if len(answers) == 1 and len(answers[0].windows) > 1:
        console.out.print("over time:", style="bold")
        console.table(list(_stretches(answers[0])))


def as_json(run_id: str, model: Model, found: Sequence[Answer | Fault], news: str) -> dict[str, Any]:
    """The model, the answers and the faults as a document."""
    told = model.facts
    names = ("method", "modality", "variant", "preset", "stamps", "dataset", "standin", "task", "protocol",
             "independence", "fold", "seed", "classes")  # fmt: skip
    return {
        "run_id": run_id,
        **{name: told[name] for name in names},
        "changed_since": news,
        "clips": [_document(answer) for answer in found if isinstance(answer, Answer)],
        "faults": {str(fault.file): fault.why for fault in found if isinstance(fault, Fault)},
    }


def figure(answer: Answer, model: Model, file: Path) -> None:
    """Face, sound and probabilities over time."""
    seconds, clip = answer.seconds, answer.clip
    told = Timeline(
        seconds,
        list(_looks(clip, seconds)) if "video" in clip.media.has else [],
        _outline(clip, seconds) if "audio" in clip.media.has else np.zeros(0, np.float32),
        answer.classes,
        answer.windows,
        answer.over_time,
        answer.probabilities,
    )
    title = f"{clip.file.name}: {answer.answer} {answer.probabilities.max():.0%} ({answer.basis})"
    draw(told, title, f"{model.title}; dotted: chance").savefig(file, dpi=130)


def _line(answer: Answer) -> dict[str, object]:
    shares = zip(answer.classes, answer.probabilities, strict=True)
    return {
        "clip": answer.clip.file.name,
        "seconds": f"{answer.seconds:.1f}",
        "answer": answer.answer,
        **{label: f"{share:.1%}" for label, share in shares},
        "basis": answer.basis,
    }


def _stretches(answer: Answer) -> Iterator[dict[str, object]]:
    """Windows in a row with the same answer, as one; its probability is their mean."""
    told = answer.over_time.argmax(axis=1).tolist()
    for best, numbers in groupby(range(len(told)), key=told.__getitem__):
        span = list(numbers)
        yield {
            "from": f"{answer.windows[span[0]][0]:.1f} s",
            "to": f"{answer.windows[span[-1]][1]:.1f} s",
            "answer": answer.classes[best],
            "probability": f"{answer.over_time[span, best].mean():.1%}",
            "windows": len(span),
        }


def _document(answer: Answer) -> dict[str, Any]:
    def shares(row: npt.NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(answer.classes, row.tolist(), strict=True))

    return {
        "file": str(answer.clip.file),
        "seconds": answer.seconds,
        "answer": answer.answer,
        "probabilities": shares(answer.probabilities),
        "of": answer.basis,
        "windows": [
            {
                "start": start,
                "end": end,
                "answer": answer.classes[int(row.argmax())],
                "probabilities": shares(row),
            }
            for (start, end), row in zip(answer.windows, answer.over_time, strict=True)
        ],
    }


def _looks(clip: Loose, seconds: float) -> Iterator[Look]:
    """The face at some moments, each found by itself, so that a long film is not read through."""
    from methods.parts.faces import FaceTracker, crop_box

    count = MOMENTS if seconds else 1
    for number in range(count):
        moment = (number + 0.5) * seconds / count
        media = clip.part(moment, moment + 1e-3) if seconds else clip.media
        for picture, face in FaceTracker().follow(_first(media)):
            if face:
                yield Look(crop_box(picture, face.box, SIDE, MARGIN), True)
            else:
                (height, width), half = picture.shape[:2], min(picture.shape[:2]) / 2
                box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
                yield Look(crop_box(picture, box, SIDE), False)


def _first(media: Media) -> Iterator[npt.NDArray[np.uint8]]:
    for picture in media.frames():
        yield picture
        return


def _outline(clip: Loose, seconds: float) -> npt.NDArray[np.float32]:
    """The loudest sample of each even part of the time, read piece by piece."""
    loudest = np.zeros(BINS, np.float32)
    for start in np.arange(0, seconds, PIECE).tolist():
        sound = np.abs(clip.part(start, min(start + PIECE, seconds)).audio(RATE))
        places = ((start + np.arange(len(sound)) / RATE) / seconds * BINS).astype(np.intp)
        np.maximum.at(loudest, places.clip(0, BINS - 1), sound)
    return loudest
