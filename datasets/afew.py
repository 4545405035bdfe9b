"""AFEW: clips from films, seven classes, with an official split by film and no person ids.

A. Dhall et al., "Collecting Large, Richly Annotated Facial-Expression Databases from Movies", IEEE MultiMedia 19(3),
2012; the edition of EmotiW 2019 (773 train, 383 validation, 653 test clips). Labels of the test clips were never
published, so they are counted and left out. A file's number is film and time, and may occur in two splits.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded

LABELS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
TRAIN = {"Angry": 133, "Disgust": 74, "Fear": 81, "Happy": 150, "Neutral": 144, "Sad": 117, "Surprise": 74}
VALIDATION = {"Angry": 64, "Disgust": 40, "Fear": 46, "Happy": 63, "Neutral": 63, "Sad": 61, "Surprise": 46}
SPLIT = re.compile(r"(train|val|test)[\w ]*", re.IGNORECASE)


class Afew(Dataset):
    """Clips are named train/000046280, because the same number can stand in two splits."""

    title = "AFEW (EmotiW 2019)"
    labels = tuple(LABELS.values())
    licence = "research only, by agreement"
    citation = "Dhall, Goecke, Lucey & Gedeon, IEEE MultiMedia 19(3), 2012, doi:10.1109/MMUL.2012.26"
    how_to_get = "ask the organisers of the EmotiW challenge for AFEW and sign the agreement"
    layout = "Train_AFEW/Angry/000046280.avi, Val_AFEW/Angry/….avi, Test_vid/….avi"
    expected = Expected(
        clips=(1156, 1156),
        labels={label: TRAIN[name.title()] + VALIDATION[name.title()] for name, label in LABELS.items()},
        left_out=653,
    )
    recorded = Recorded(rate=48_000, width=720, height=576, frames_per_second=25)
    default_protocol = "official-split"

    def read(self, path: PurePosixPath) -> Entry | None:
        splits = [found[1].lower() for part in path.parts[:-1] if (found := SPLIT.fullmatch(part))]
        if not splits or not path.stem.isdigit():
            return None
        label = LABELS.get(path.parts[-2].lower()) if len(path.parts) > 1 else None
        if splits[0] != "test" and label is None and path.suffix:  # a bare name tells no class
            return None
        return Entry(
            name=f"{splits[0]}/{path.stem}",
            subject=None,
            label=label,
            split=splits[0],
            left_out="test clips have no public labels" if splits[0] == "test" else "",
        )

    def entries(self) -> Iterator[Entry | Problem]:
        """As read; numbers on both sides of the official split are noted."""
        numbers: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
        for found in super().entries():
            if isinstance(found, Entry):
                split, _, number = found.name.partition("/")
                numbers[split].add(number)
            yield found
        if both := sorted(numbers["train"] & numbers["val"]):
            what = f"{len(both)} file names stand in train and in val ({both[0]} is one): taken for clips of two films"
            yield Problem("note", self.name, what)

    def plan(self, full: bool) -> Iterator[Planned]:
        for folder, counts, first_film in (("Train_AFEW", TRAIN, 0), ("Val_AFEW", VALIDATION, 40)):
            small = 12 if folder == "Train_AFEW" else 6
            for position, (emotion, count) in enumerate(counts.items()):
                for number in range(count if full else small):
                    film = first_film + number % 12
                    person = f"film {film} actor {number % 2}"
                    # the first clip of an emotion has the same number in both splits
                    stem = f"{film if number else 0:03d}{position:02d}{number:04d}"
                    yield self.planned(f"{folder}/{emotion}/{stem}.avi", full, person)
        for number in range(653 if full else 4):
            yield self.planned(f"Test_vid/{80 + number % 20:03d}00{number:04d}.avi", full, f"film {80 + number % 20}")
