"""RAF-DB, basic emotions: 15,339 faces from the web, labelled by about forty people each; an official split.

S. Li, W. Deng, J. Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017. Labels stand in list_patition_label.txt (so spelled). The aligned face is the picture, a face already;
where it is absent, the original is, in which the face is still to be found. The compound emotions are another list,
which is not read.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded
from datasets.clips import DatasetError, Track

CODES = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}
COUNTS = {
    "train": {
        "surprise": 1290, "fear": 281, "disgust": 717, "happiness": 4772, "sadness": 1982, "anger": 705, "neutral": 2524
    },
    "test": {
        "surprise": 329, "fear": 74, "disgust": 160, "happiness": 1185, "sadness": 478, "anger": 162, "neutral": 680
    },
}  # fmt: skip
NAME = re.compile(r"((train|test)_\d{4,6})(_aligned)?", re.IGNORECASE)
ALIGNED = "_aligned"
LIST = "list_patition_label.txt"
UNUSED = re.compile(r"(.*/|)(readme[^/]*|licen[cs]e[^/]*|[^/]*\.(zip|pdf)|annotation/.*|compound/.*)", re.IGNORECASE)


class RafDb(Dataset):
    """Clips are named train_00001; no person ids."""

    title = "RAF-DB (basic)"
    labels = tuple(sorted(CODES.values()))
    licence = "research only, on request"
    citation = "Li, Deng & Du, CVPR 2017, doi:10.1109/CVPR.2017.277"
    how_to_get = "ask for it at whdeng.cn/RAF from an address of your university"
    layout = "basic/EmoLabel/list_patition_label.txt, basic/Image/aligned/train_00001_aligned.jpg (or Image/original/…)"
    expected = Expected(
        clips=(15_339, 15_339),
        labels={label: sum(COUNTS[split][label] for split in COUNTS) for label in CODES.values()},
    )
    recorded = Recorded(rate=0, width=100, height=100)
    default_protocol = "official-split"
    collected = True

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        return Entry(match[1].lower(), None, None, split=match[2].lower())

    def entries(self) -> Iterator[Entry | Problem]:
        """One entry a line of the list; pictures without one are reported."""
        table, *others = self._lists()
        for other in others:
            yield Problem("note", str(other), f"a second list of labels, not read: {table} is used")
        pictures, strange = self._pictures({table, *others})
        for line, name, code in self._rows(table):
            entry = self.read(PurePosixPath(name))
            if entry is None or code not in CODES:
                raise DatasetError(f"{self.root / table} row {line} reads {name} {code}; train_00001.jpg 5 is right")
            if found := pictures.pop(entry.name, None):
                track = Track(str(self.root / found), framed=found.stem.lower().endswith(ALIGNED))
                yield replace(entry, label=CODES[code], kinds={"video": 0}, tracks={"video": track})
            else:
                yield Problem("missing", entry.name, f"stands in {table}, but there is no such picture")
        for name in pictures:
            yield Problem("unexpected", name, f"has no row in {table}")
        for path in strange:
            yield Problem("unexpected", str(path), f"does not fit the layout {self.layout}")

    def _lists(self) -> list[PurePosixPath]:
        tables = [
            path for path in self.files if path.name.lower() == LIST and "compound" not in path.as_posix().lower()
        ]
        if not tables:
            raise DatasetError(f"{self.root} holds no EmoLabel/{LIST}; {self.how_to_get}; layout: {self.layout}")
        return tables

    def _pictures(self, tables: set[PurePosixPath]) -> tuple[dict[str, PurePosixPath], list[PurePosixPath]]:
        """By the clip's name, the aligned one if there is one; and files that are nothing of RAF-DB."""
        pictures: dict[str, PurePosixPath] = {}
        strange = []
        for path in self.files:
            if path in tables or UNUSED.fullmatch(path.as_posix()):
                continue
            match = NAME.fullmatch(path.stem) if path.suffix.lower() in (".jpg", ".jpeg", ".png") else None
            if match is None:
                strange.append(path)
            elif match[3] or match[1].lower() not in pictures:
                pictures[match[1].lower()] = path
        return pictures, strange

    def _rows(self, table: PurePosixPath) -> Iterator[tuple[int, str, str]]:
        with (self.root / table).open(encoding="utf-8-sig", errors="replace") as stream:
            for line, text in enumerate(stream, start=1):
                if fields := text.split():
                    yield line, fields[0], " ".join(fields[1:])

    def plan(self, full: bool) -> Iterator[Planned]:
        """Each person shows every emotion once, in training or in test."""
        for split, counts in COUNTS.items():
            shown = product(range(20), counts) if not full else (
                (number, label) for label, count in counts.items() for number in range(count)
            )  # fmt: skip
            for position, (number, label) in enumerate(shown, start=1):
                name = f"{split}_{position:05d}"
                path = f"basic/Image/aligned/{name}_aligned.jpg"
                planned = self.planned(path, full, f"{split} person {number}", label=label)
                yield replace(planned, close=True)

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        code_of = {label: code for code, label in CODES.items()}
        entries = (plan.scenes[0].entry for plan in planned)
        rows = [f"{entry.name}.jpg {code_of[str(entry.label)]}\n" for entry in entries]
        yield f"basic/EmoLabel/{LIST}", "".join(rows).encode()
