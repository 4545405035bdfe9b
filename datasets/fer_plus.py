"""FER+: the 48 x 48 faces of FER2013, each labelled anew by ten people; eight classes and an official split.

E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016. Row i of fer2013new.csv holds the votes on row i of fer2013.csv, the table
of I. Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013. A picture has the label with most votes;
of labels with equally many, the first in the order of the columns, which puts emotions before unknown and not a face.
Microsoft's own code strikes out single votes and then wants more than half of the others: it keeps fewer pictures.
Pictures without a name, and those that most people took for unknown or for no face, are left out. FER2013 holds some
pictures twice, also in training and in test: such pictures are one recording.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded, Scene
from datasets.clips import DatasetError, Track

VOTES = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip  # the order of the columns
LABELS = VOTES[:8]
LEFT_OUT = {"unknown": "most votes are for unknown", "NF": "most votes are for not a face"}
NAMELESS = "without an image name in fer2013new.csv"
USAGES = {"Training": ("train", 28_709), "PublicTest": ("val", 3_589), "PrivateTest": ("test", 3_589)}
ROWS = sum(count for _, count in USAGES.values())
PIXELS = 48 * 48
IMAGE = re.compile(r"(fer\d{7})(\.png)?", re.IGNORECASE)
TABLES = ("fer2013.csv", "fer2013new.csv")
UNUSED = re.compile(  # of the two releases, and of Microsoft's tools, what this reader has no use for
    r"(.*/|)(readme[^/]*|licen[cs]e[^/]*|[^/]*\.(bib|md|py|gz|zip)|fer2013(train|valid|test)/.*)", re.IGNORECASE
)
Picture = tuple[int, str, int, str]  # line, usage, the byte at which the row begins, digest of its pixels
Votes = tuple[int, str, str, tuple[int, ...]]  # line, usage, image name, votes


class FerPlus(Dataset):
    """A clip is one row of the table."""

    title = "FER+"
    labels = LABELS
    licence = "labels MIT; images by the rules of the Kaggle challenge FER2013"
    citation = "Barsoum, Zhang, Canton Ferrer & Zhang, ICMI 2016, doi:10.1145/2993148.2993165"
    how_to_get = (
        "fer2013.csv from Kaggle's challenges-in-representation-learning-facial-expression-recognition-challenge, "
        "fer2013new.csv from github.com/microsoft/FERPlus"
    )
    layout = "fer2013.csv beside fer2013new.csv"
    expected = Expected(clips=(0, ROWS))  # less what the votes leave out: `entries` counts that
    recorded = Recorded(rate=0, width=48, height=48)
    default_protocol = "official-split"
    collected = True

    def read(self, path: PurePosixPath) -> Entry | None:
        match = IMAGE.fullmatch(path.name)
        return Entry(match[1].lower(), None, None) if match else None

    def entries(self) -> Iterator[Entry | Problem]:
        """One entry a row, both tables read side by side."""
        pixels, votes = (self._table(name) for name in TABLES)
        first: dict[str, Entry] = {}
        counts: Counter[str] = Counter()
        left_out = 0
        twins: Counter[str] = Counter()
        for picture, voted in zip_longest(_pictures(self.root / pixels), _votes(self.root / votes)):
            entry = self._row(pixels, picture, votes, voted)
            counts[picture[1]] += 1
            left_out += bool(entry.left_out)
            if not entry.left_out:
                original = first.setdefault(picture[3], entry)
                entry = replace(entry, recording=original.name)
                twins["alike"] += original.name != entry.name
                twins["apart"] += (original.split == "test") != (entry.split == "test")
                twins["at odds"] += original.label != entry.label
                twins["tied"] += bool(voted) and voted[3].count(max(voted[3])) > 1
            yield entry
        self.expected = Expected(clips=(ROWS - left_out, ROWS - left_out))
        if twins["tied"]:
            what = f"{twins['tied']} pictures have another label with as many votes: the first of the columns is taken"
            yield Problem("note", self.name, what)
        if twins["alike"]:
            yield Problem(
                "note",
                self.name,
                f"{twins['alike']} pictures have the pixels of an earlier one and are one recording with it: "
                f"{twins['apart']} on the other side of the official split, {twins['at odds']} under another label",
            )
        yield from self._beside(pixels, votes, counts)

    def _beside(self, pixels: PurePosixPath, votes: PurePosixPath, counts: Mapping[str, int]) -> Iterator[Problem]:
        """Files that are not read, and rows that the whole corpus has and this copy lacks."""
        for path in self.files:
            if path not in (pixels, votes) and not UNUSED.fullmatch(path.as_posix()):
                yield Problem("unexpected", str(path), f"does not fit the layout {self.layout}")
        for usage, (_, whole) in USAGES.items():
            if counts[usage] != whole and not self.standin:
                kind = "missing" if counts[usage] < whole else "unexpected"
                yield Problem(kind, self.name, f"{counts[usage]} rows of {usage} are there, {whole} are known")  # type: ignore[arg-type]

    def _table(self, name: str) -> PurePosixPath:
        found = [path for path in self.files if path.name.lower() == name]
        if not found:
            raise DatasetError(f"{self.root} holds no {name}; get {self.how_to_get}; layout: {self.layout}")
        return found[0]

    def _row(self, pixels: PurePosixPath, picture: Picture | None, votes: PurePosixPath, voted: Votes | None) -> Entry:
        if picture is None or voted is None:
            short, line = (votes, picture[0]) if picture else (pixels, voted[0] if voted else 0)
            other = pixels if short == votes else votes
            raise DatasetError(
                f"{self.root / short} ends before row {line} of {other}, but row i of one is row i of the other; "
                "restore both originals"
            )
        line, usage, offset, _ = picture
        if usage != voted[1]:
            raise DatasetError(
                f"{self.root / votes} row {voted[0]} says {voted[1]}, yet row {line} of {pixels} says {usage}: "
                "they are not the same pictures; restore both originals"
            )
        top = VOTES[voted[3].index(max(voted[3]))]
        named = IMAGE.fullmatch(voted[2])
        return Entry(
            name=named[1].lower() if named else f"row{line}",
            subject=None,
            label=top if top in LABELS else None,
            split=USAGES[usage][0],
            kinds={"video": 0},
            tracks={"video": Track(str(self.root / pixels), offset=offset, framed=True)},
            left_out="" if named and top in LABELS else LEFT_OUT[top] if named else NAMELESS,
        )

    def plan(self, full: bool) -> Iterator[Planned]:
        """One table; each person shows every emotion once, and one picture stands in training and in test."""
        sides = USAGES.values() if full else (("train", 160), ("val", 16), ("test", 160))
        scenes: list[Scene] = []
        for split, count in sides:
            for number in range(count + (0 if full else 5)):
                outside = number % 90 == 89 if full else number >= count
                label = None if outside else LABELS[number % len(LABELS)]
                left_out = "no emotion" if outside else ""
                entry = Entry(f"fer{len(scenes):07d}", None, label, split=split, left_out=left_out)
                scenes.append(Scene(entry, f"{split} person {number // len(LABELS)}", 1.0))
        again = next(scene for scene in scenes if scene.entry.split == "test")
        copy = replace(again.entry, recording=scenes[0].entry.name, label=scenes[0].entry.label)
        scenes[scenes.index(again)] = replace(again, entry=copy, person=scenes[0].person)
        yield Planned(TABLES[0], tuple(scenes), close=True)

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        usage = {split: name for name, (split, _) in USAGES.items()}
        rows = [",".join(("Usage", "Image name", *VOTES))]
        for number, scene in enumerate(scene for plan in planned for scene in plan.scenes):
            entry, votes = scene.entry, dict.fromkeys(VOTES, 0)
            name = f"{entry.name}.png"
            if not entry.left_out:
                votes[str(entry.label)], votes["unknown"] = 5 + number % 6, 5 - number % 6  # from a tie to all ten
            elif number % 3:
                votes[("unknown", "NF")[number % 3 - 1]] = 10
            else:
                name, votes["NF"] = "", 10
            rows.append(",".join((usage[str(entry.split)], name, *map(str, votes.values()))))
        yield TABLES[1], ("\n".join(rows) + "\n").encode()


def _pictures(table: Path) -> Iterator[Picture]:
    """The rows of fer2013.csv, read as they come: the table has 300 MB."""
    with table.open("rb") as stream:
        header = stream.readline()
        columns = [cell.strip(' "\r\n\ufeff').lower() for cell in header.decode("utf-8", "replace").split(",")]
        if not {"pixels", "usage"} <= {*columns}:
            raise DatasetError(f"{table} lacks the columns pixels and Usage in its first row; restore the original")
        shown, used = columns.index("pixels"), columns.index("usage")
        offset = len(header)
        for line, row in enumerate(stream, start=2):
            cells = [cell.strip(b' "\r\n') for cell in row.split(b",")]
            if any(cells):
                yield _picture(table, line, cells, (shown, used), offset)
            offset += len(row)


def _picture(table: Path, line: int, cells: Sequence[bytes], columns: tuple[int, int], offset: int) -> Picture:
    shown, used = (cells[column] if column < len(cells) else b"" for column in columns)
    usage = used.decode("ascii", "replace")
    if usage not in USAGES:
        raise DatasetError(f"{table} row {line} has the Usage {usage!r}; {', '.join(USAGES)} are right")
    if shown.count(b" ") != PIXELS - 1 or shown.translate(None, b"0123456789 "):
        there = len(shown.split())
        raise DatasetError(f"{table} row {line} holds {there} grey levels, {PIXELS} numbers are right; restore it")
    return line, usage, offset, blake2b(shown, digest_size=16).hexdigest()


def _votes(table: Path) -> Iterator[Votes]:
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = csv.reader(stream)
        columns = [cell.strip().lower() for cell in next(rows, [])]
        wanted = ("usage", "image name", *(vote.lower() for vote in VOTES))
        if missing := [column for column in wanted if column not in columns]:
            raise DatasetError(f"{table} lacks the column {missing[0]} in its first row; restore the original")
        places = [columns.index(column) for column in wanted]
        for row in rows:
            if not any(row):
                continue
            usage, name, *votes = (row[place].strip() if place < len(row) else "" for place in places)
            if not all(vote.isdecimal() for vote in votes) or not sum(map(int, votes)):
                told = ",".join(votes)
                raise DatasetError(f"{table} row {rows.line_num} has the votes {told}; {len(VOTES)} counts are right")
            if name and not IMAGE.fullmatch(name):
                raise DatasetError(f"{table} row {rows.line_num} names {name!r}; fer0000000.png or nothing is right")
            yield rows.line_num, usage, name, tuple(map(int, votes))
