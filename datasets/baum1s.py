"""BAUM-1s: 31 Turkish speakers, spontaneous emotions and mental states; the six basic emotions are 521 of 1222 clips.

S. Zhalehpour, O. Onder, Z. Akhtar, C. E. Erdem, "BAUM-1: A Spontaneous Audio-Visual Face Database of Affective and
Mental States", IEEE Trans. Affective Computing 8(3), 2017. Labels stand in Annotations_BAUM1s.xlsx (or a .csv export):
where the emotion's text and its code disagree (S015_007 is one), the code is trusted and the row is reported.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path, PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded
from datasets.clips import SIX_EMOTIONS, DatasetError

STATES = (
    "anger", "boredom", "bothered", "concentrating", "contempt", "disgust", "fear",
    "happiness", "neutral", "sadness", "surprise", "thinking", "unsure",
)  # fmt: skip  # codes 1 to 13
NAME = re.compile(r"S(\d{3})_(\d{3})", re.IGNORECASE)
TABLE = re.compile(r"annotations?[ _]*baum-?1s?\.(xlsx|csv)", re.IGNORECASE)
MOST, MOST_COLUMNS = 20_000, 50  # rows and columns that are read: a damaged workbook may claim millions
HEADER = ("No", "Subject No", "Gender", "Clip Name", "Emotion", "Emotion Code")


class Baum1s(Dataset):
    """The clip's name gives the speaker, the annotation's code gives the label."""

    title = "BAUM-1s"
    labels = SIX_EMOTIONS
    licence = "research only, by agreement"
    citation = (
        "Zhalehpour, Onder, Akhtar & Erdem, IEEE Trans. Affective Computing 8(3), 2017, doi:10.1109/TAFFC.2016.2553038"
    )
    how_to_get = "ask the authors of the paper for BAUM-1 and sign their agreement"
    layout = "BAUM1s_MP4 - All/s001/S001_015.mp4 beside Annotations_BAUM1s.xlsx"
    expected = Expected(clips=(521, 521), subjects=(31, 31), left_out=701)
    recorded = Recorded(rate=48_000, width=854, height=480, frames_per_second=30)
    default_protocol = "leave-one-speaker-group-out"
    companions = Dataset.companions + "|" + TABLE.pattern

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        folder = path.parent.name.upper()
        subject = f"S{match[1]}"
        elsewhere = re.fullmatch(r"S\d{3}", folder) and folder != subject
        return Entry(
            name=path.stem.upper(),
            subject=subject,
            label=None,
            contradiction=f"its name says {subject}, its folder {folder}" if elsewhere else "",
        )

    def entries(self) -> Iterator[Entry | Problem]:
        table, *others = self._tables()
        for other in others:
            yield Problem("note", str(other), f"a second annotation, not read: {table} is used")
        unread = _rows(self.root / table)
        for found in super().entries():
            if isinstance(found, Problem) or found.name in unread:
                yield from [found] if isinstance(found, Problem) else _labelled(found, unread[found.name])
            else:
                yield Problem("unexpected", found.name, "has no row in the annotation")
        there = {path.stem.upper() for path in self.files}
        for name in unread.keys() - there:
            yield Problem("missing", name, "stands in the annotation, but there is no such file")

    def _tables(self) -> list[PurePosixPath]:
        """The annotations, the one to use first: of an original and its export, the original."""
        tables = [path for path in self.files if TABLE.fullmatch(path.name)]
        if not tables:
            raise DatasetError(
                f"{self.root} holds no Annotations_BAUM1s.xlsx (or .csv); put it beside the clips' folder"
            )
        return sorted(tables, key=lambda path: (path.suffix.lower() != ".xlsx", path))

    def plan(self, full: bool) -> Iterator[Planned]:
        speakers, others = (31, 701) if full else (10, 12)
        states = [*islice(cycle(SIX_EMOTIONS), 521 if full else 6 * 3 * speakers)]
        states += islice(cycle(sorted({*STATES} - {*SIX_EMOTIONS})), others)
        for position, state in enumerate(states):
            speaker, take = (position // 6) % speakers + 1, position // (6 * speakers) * 6 + position % 6 + 1
            folder = f"{'S' if speaker == 4 else 's'}{speaker:03d}"
            yield self.planned(f"BAUM1s_MP4 - All/{folder}/S{speaker:03d}_{take:03d}.mp4", full, label=state)

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        from openpyxl import Workbook

        book = Workbook()
        sheet = book.active
        sheet.append(HEADER)
        for number, plan in enumerate(planned, start=1):
            entry = plan.scenes[0].entry
            label, subject = str(entry.label), int(str(entry.subject)[1:])
            text = "sadness" if entry.name == "S001_001" else label  # a text that disagrees with its code
            gender = "female" if subject % 2 else "male"
            sheet.append((number, subject, gender, entry.name, text.title(), STATES.index(label) + 1))
        content = io.BytesIO()
        book.save(content)
        yield "Annotations_BAUM1s.xlsx", content.getvalue()


def _labelled(entry: Entry, rows: Sequence[tuple[str, str]]) -> Iterator[Entry | Problem]:
    codes = sorted({code for _, code in rows})
    known = codes[0].isdigit() and 1 <= int(codes[0]) <= len(STATES)
    label = STATES[int(codes[0]) - 1] if known else SIX_EMOTIONS[0]
    if len(codes) > 1 or not known:
        what = f"the annotation gives it the emotion code {' and '.join(codes)}; 1 to {len(STATES)}, once, is right"
        yield replace(entry, label=label, contradiction=entry.contradiction or what)
        return
    if (text := rows[0][0]) and label not in text and text[:4] not in label:
        yield Problem(
            "note", entry.name, f"its text says {text}, its code {codes[0]} says {label}: the code is trusted"
        )
    yield replace(entry, label=label)


def _rows(table: Path) -> dict[str, list[tuple[str, str]]]:
    """Each clip's rows in the annotation, as (text, code)."""
    columns: dict[str, int] = {}
    clips: dict[str, list[tuple[str, str]]] = {}
    for row in _cells(table):
        if not columns:
            columns = _columns(row)
        elif any(row):
            clip, text, code = (row[columns[key]] if columns[key] < len(row) else "" for key in columns)
            name = PurePosixPath(clip).stem if clip.lower().endswith((".mp4", ".avi")) else clip
            clips.setdefault(name.upper(), []).append((text.lower(), code.removesuffix(".0")))
    if not clips:
        raise DatasetError(f"{table} has no rows under a header with clip, emotion and code; restore the original")
    return clips


def _cells(table: Path) -> Iterator[list[str]]:
    """The rows of the table as text; an export may use commas or semicolons."""
    if table.suffix.lower() == ".csv":
        text = table.read_text(encoding="utf-8-sig", errors="replace")
        delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            yield [cell.strip() for cell in row]
        return
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(table.read_bytes()), read_only=True, data_only=True)
        rows = list(book.active.iter_rows(max_row=MOST, max_col=MOST_COLUMNS, values_only=True))
        book.close()
    except Exception as error:  # of a damaged one openpyxl raises whatever its parts do
        raise DatasetError(
            f"{table} is no Excel workbook ({type(error).__name__}: {str(error)[:200]}); restore the original or "
            "export it to .csv"
        ) from None
    for values in rows:
        yield ["" if value is None else str(value).strip() for value in values]


def _columns(row: Sequence[str]) -> dict[str, int]:
    """Where clip, emotion and code stand; empty until the header row is met."""
    lowered = [cell.lower() for cell in row]
    code = next((i for i, cell in enumerate(lowered) if "code" in cell), None)
    clip = next((i for i, cell in enumerate(lowered) if "clip" in cell), None)
    emotion = next((i for i, cell in enumerate(lowered) if "emotion" in cell and i != code), None)
    if code is None or clip is None or emotion is None:
        return {}
    return {"clip": clip, "emotion": emotion, "code": code}
