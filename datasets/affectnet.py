"""AffectNet: faces from the web, eight classes, labelled by hand; official training and validation lists.

A. Mollahosseini, B. Hasani, M. H. Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing
in the Wild", IEEE Trans. Affective Computing 10(1), 2019; the part annotated by hand. The published test set is the
validation list (the real test labels are not public), so its pictures are the split "test". The lists give the box of
each face: the clip's picture is what the box cuts out, less what of the box leaves the picture. Also read is the later
release of faces already cut out, with an annotation file each; where both are there, the lists are used.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path, PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded, Scene
from datasets.clips import PICTURES, DatasetError, Track

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")  # codes 0 to 7
LEFT_OUT = ("labelled none of the emotions", "labelled uncertain", "labelled no face")  # codes 8 to 10
TRAINING = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750)
TESTED = 500  # of each
LISTS = {"training.csv": "train", "validation.csv": "test"}
COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
HASHED = re.compile(r"(?:.*/|)(\d{1,4}/[0-9a-f]{32,64})(?:\.\w+)?", re.IGNORECASE)
CUT_OUT = re.compile(r"(?:.*/|)(train|val)_set/(?:images/)?(\d+)(?:\.\w+)?", re.IGNORECASE)
ANNOTATION = re.compile(r"(.*/|)(train|val)_set/annotations/(\d+)_(exp|aro|val|lnd)\.npy", re.IGNORECASE)
UNUSED = re.compile(
    r"(.*/|)(readme[^/]*|licen[cs]e[^/]*|[^/]*\.(zip|rar|7z|tar|gz|pdf|txt)|automatically_annotated[^/]*(/.*|))",
    re.IGNORECASE,
)


class Affectnet(Dataset):
    """A clip is named by its folder and file, 103/29a31e…; cut-out faces train_set/0."""

    title = "AffectNet (annotated by hand)"
    labels = LABELS
    licence = "research only, on request"
    citation = (
        "Mollahosseini, Hasani & Mahoor, IEEE Trans. Affective Computing 10(1), 2019, doi:10.1109/TAFFC.2017.2740923"
    )
    how_to_get = "ask for it at mohammadmahoor.com/affectnet from an address of your university"
    layout = (
        "training.csv and validation.csv beside Manually_Annotated_Images/103/29a31e….jpg, or train_set/images/0.jpg "
        "with train_set/annotations/0_exp.npy, and val_set likewise"
    )
    expected = Expected(
        clips=(291_651, 291_651),
        labels={label: count + TESTED for label, count in zip(LABELS, TRAINING, strict=True)},
        left_out=128_648,
    )
    recorded = Recorded(rate=0, width=240, height=240)  # photos of all sizes
    default_protocol = "official-split"
    collected = True

    def read(self, path: PurePosixPath) -> Entry | None:
        if cut := CUT_OUT.fullmatch(path.as_posix()):
            part = cut[1].lower()
            return Entry(f"{part}_set/{cut[2]}", None, None, split="train" if part == "train" else "test")
        hashed = HASHED.fullmatch(path.as_posix())
        return Entry(hashed[1], None, None) if hashed else None

    def entries(self) -> Iterator[Entry | Problem]:
        lists = {path.name.lower(): path for path in self.files if path.name.lower() in LISTS}
        cut_out = any(ANNOTATION.fullmatch(path.as_posix()) for path in self.files)
        if lists:
            yield from self._from_lists(lists)
        elif cut_out:
            yield from self._from_annotations()
        else:
            raise DatasetError(
                f"{self.root} holds neither training.csv and validation.csv nor train_set/annotations; "
                f"{self.how_to_get}; layout: {self.layout}"
            )

    def _from_lists(self, lists: dict[str, PurePosixPath]) -> Iterator[Entry | Problem]:
        """One entry a row; pictures without a row are reported."""
        pictures, strange = self._pictures({*lists.values()})
        seen: set[str] = set()
        for name, split in LISTS.items():
            if name in lists:
                for line, cells in self._rows(lists[name]):
                    if (key := _key(cells[0]).casefold()) in seen:
                        what = f"listed twice: again in {lists[name]} row {line}; its first row is used"
                        yield Problem("duplicated", _stem(cells[0]), what)
                    else:
                        yield self._listed((line, cells), split, lists[name], pictures)
                    seen.add(key)
            else:
                yield Problem("missing", name, "the list of that part of the corpus; put it beside the other one")
        for path in pictures.values():
            yield Problem("unexpected", str(path), f"has no row in {' or '.join(lists)}")
        for path in strange:
            yield Problem("unexpected", str(path), f"does not fit the layout {self.layout}")
        if cut_out := sum(bool(CUT_OUT.fullmatch(path.as_posix())) for path in self.files):
            yield Problem("note", self.name, f"{cut_out} faces already cut out are not read: the lists are used")

    def _pictures(self, lists: set[PurePosixPath]) -> tuple[dict[str, PurePosixPath], list[PurePosixPath]]:
        """Pictures by folder and file, as the lists name them, without case; and files of no known kind."""
        pictures: dict[str, PurePosixPath] = {}
        strange = []
        for path in self.files:
            text = path.as_posix()
            if path in lists or UNUSED.fullmatch(text) or CUT_OUT.fullmatch(text) or ANNOTATION.fullmatch(text):
                continue
            if path.suffix.lower() in PICTURES:
                pictures["/".join(path.parts[-2:]).casefold()] = path
            else:
                strange.append(path)
        return pictures, strange

    def _rows(self, table: PurePosixPath) -> Iterator[tuple[int, list[str]]]:
        """Line and cells in the order of COLUMNS; copies without a header row have them in this order."""
        with (self.root / table).open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            rows = csv.reader(stream)
            places: list[int] = []
            for row in rows:
                if not places:
                    headed = COLUMNS[0] in (cell.strip() for cell in row)
                    places = _places(self.root / table, row) if headed else [*range(len(COLUMNS))]
                    if headed:
                        continue
                if row:
                    yield rows.line_num, [row[place].strip() if place < len(row) else "" for place in places]

    def _listed(
        self, row: tuple[int, list[str]], split: str, table: PurePosixPath, pictures: dict[str, PurePosixPath]
    ) -> Entry | Problem:
        """What a row and its picture make; the picture is taken from `pictures`."""
        line, (file, *box, _, expression, _, _) = row
        where = f"{self.root / table} row {line}"
        code = _code(expression)
        if code is None or not file:
            raise DatasetError(f"{where} gives {file!r} the expression {expression!r}; 0 to 10 is right; restore it")
        name = _stem(file)
        found = pictures.pop(_key(file).casefold(), None)
        if code >= len(LABELS):
            return Entry(name, None, None, split=split, left_out=LEFT_OUT[code - len(LABELS)])
        if found is None:
            return Problem("missing", name, f"stands in {table}, but there is no such picture")
        try:
            left, top, width, height = (round(float(number)) for number in box)
        except (ValueError, OverflowError):
            raise DatasetError(
                f"{where} gives {file} the box {','.join(box)}; four whole numbers are right; restore it"
            ) from None
        track = Track(str(self.root / found), box=(left, top, left + width, top + height), framed=True)
        return Entry(name, None, LABELS[code], split=split, kinds=VIDEO, tracks={"video": track})

    def _from_annotations(self) -> Iterator[Entry | Problem]:
        """One entry a cut-out face, with the label in its annotation file."""
        codes: dict[str, PurePosixPath] = {}
        for path in self.files:
            if (told := ANNOTATION.fullmatch(path.as_posix())) and told[4].lower() == "exp":
                codes[f"{told[2].lower()}_set/{told[3]}"] = path
        for path in self.files:
            text = path.as_posix()
            if ANNOTATION.fullmatch(text) or UNUSED.fullmatch(text):
                continue
            entry = self.read(path) if path.suffix.lower() in PICTURES and CUT_OUT.fullmatch(text) else None
            if entry is None:
                yield Problem("unexpected", text, f"does not fit the layout {self.layout}")
            elif annotation := codes.pop(entry.name, None):
                yield self._annotated(entry, path, annotation)
            else:
                yield Problem("unexpected", entry.name, "has no annotations/…_exp.npy beside its images")
        for name, path in codes.items():
            yield Problem("missing", name, f"{path} is there, but its picture is not")

    def _annotated(self, entry: Entry, path: PurePosixPath, annotation: PurePosixPath) -> Entry:
        code, fault = _stored_code(self.root / annotation)
        left_out = LEFT_OUT[code - len(LABELS)] if code >= len(LABELS) else ""
        label = None if left_out else LABELS[code]
        tracks = {"video": Track(str(self.root / path), framed=True)}
        told = f"{annotation} {fault}" if fault else ""
        return Entry(
            entry.name, None, label, split=entry.split, kinds=VIDEO, tracks=tracks, left_out=left_out,
            contradiction=told,
        )  # fmt: skip

    def plan(self, full: bool) -> Iterator[Planned]:
        """Each person shows every emotion once, in training or in test; then pictures of no class."""
        whole = {"train": TRAINING, "test": (TESTED,) * len(LABELS)}
        for split, sizes in (whole if full else dict.fromkeys(whole, TWENTY)).items():
            for number, label in product(range(max(sizes)), LABELS):
                if number < sizes[LABELS.index(label)]:
                    yield _planned(split, number, label)
            for number, reason in enumerate(LEFT_OUT):
                yield _planned(split, number, None, reason)

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        """The two lists; now and then a box leaves its picture."""
        from datasets.rendering.framing import face_box

        size = self.recorded.width
        left, top, right, bottom = face_box(size, size)
        rows: dict[str, list[str]] = {split: [",".join(COLUMNS)] for split in LISTS.values()}
        for number, plan in enumerate(planned):
            entry = plan.scenes[0].entry
            code = LABELS.index(str(entry.label)) if entry.label else len(LABELS) + LEFT_OUT.index(entry.left_out)
            box = (left, top, right - left, bottom - top if number % 20 != 7 else size - top + 9)
            name = "/".join(PurePosixPath(plan.path).parts[-2:])
            rows[str(entry.split)].append(",".join(map(str, (name, *box, "", code, 0, 0))))
        for name, split in LISTS.items():
            yield name, ("\n".join(rows[split]) + "\n").encode()


VIDEO = {"video": 0}
LARGEST = 10_000  # bytes of a file that holds one number
TWENTY = (20,) * len(LABELS)


def _planned(split: str, number: int, label: str | None, left_out: str = "") -> Planned:
    digest = blake2b(f"{split}/{number}/{label or left_out}".encode(), digest_size=28).hexdigest()
    entry = Entry(f"{int(digest[:2], 16)}/{digest}", None, label, split=split, left_out=left_out)
    return Planned(f"Manually_Annotated_Images/{entry.name}.jpg", (Scene(entry, f"{split} person {number}", 1.0),))


def _places(table: Path, header: Sequence[str]) -> list[int]:
    there = [cell.strip().lower() for cell in header]
    if missing := [column for column in COLUMNS if column.lower() not in there]:
        raise DatasetError(f"{table} lacks the column {missing[0]} in its first row; restore the original")
    return [there.index(column.lower()) for column in COLUMNS]


def _key(file: str) -> str:
    """Folder and file, as the lists name a picture."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])


def _stem(file: str) -> str:
    """The clip's name."""
    return _key(file).rpartition(".")[0] or _key(file)


def _code(text: str) -> int | None:
    """0 to 10; None if it is anything else."""
    digits = text.removesuffix(".0")
    known = digits.isdecimal() and int(digits) < len(LABELS) + len(LEFT_OUT)
    return int(digits) if known else None


def _stored_code(file: Path) -> tuple[int, str]:
    """The expression in a .npy file, as a number or as text; and what is wrong with the file."""
    import numpy as np

    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        stored = np.load(file, allow_pickle=False)
        told = str(stored)[:40]
        code = _code(str(stored.reshape(-1)[0])) if stored.size == 1 else None
    except Exception as error:  # a damaged header may claim any shape and any kind of number
        return 0, f"is no plain .npy file ({type(error).__name__}: {str(error)[:200]}); get the file again"
    if code is None:
        return 0, f"holds {told!r}, one expression from 0 to 10 is right; get the file again"
    return code, ""
