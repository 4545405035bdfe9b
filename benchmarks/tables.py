"""Tables that other people's programs write: CSV as spreadsheets leave it, or a line that says what to mend."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.clips import DatasetError


@dataclass(frozen=True)
class Table:
    """Cells as text without blanks around them; columns in small letters. Rows without any text are no rows."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]  # line, and its cells by column
    sha256: str  # of the file


def read_table(file: Path, needed: Sequence[str]) -> Table:
    """A CSV whose header holds the needed columns."""
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"there is no file {file}; give a CSV file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read as UTF-8 text ({error}); give a CSV file") from None
    try:
        reader = csv.reader(io.StringIO(text, newline=""))
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise DatasetError(f"{file} is no CSV that can be read ({error}); save it as comma-separated UTF-8") from None
    full = [(line, cells) for line, cells in lines if any(cells)]
    columns = _columns(file, full[0][1] if full else [], needed)
    if len(full) < 2:
        raise DatasetError(f"{file} has no rows below its header")
    rows = []
    for line, cells in full[1:]:
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            raise DatasetError(
                f"{file} line {line} has {len(cells)} cells, but the header {len(columns)}; write decimals with a "
                "point, and text that holds a comma in quotes"
            )
        padded = cells + [""] * (len(columns) - len(cells))
        rows.append((line, {column: cell for column, cell in zip(columns, padded, strict=False) if column}))
    return Table(file, tuple(filter(None, columns)), tuple(rows), hashlib.sha256(content).hexdigest())


def _columns(file: Path, header: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
    """In small letters without blanks; those without a name are there too."""
    columns = tuple("".join(cell.split()).lower() for cell in header)
    if missing := [column for column in needed if column not in columns]:
        for mark, called in ((";", "semicolons"), ("\t", "tabs")):
            if any(mark in cell for cell in header):
                raise DatasetError(f"{file} has {called} between its columns; save it with commas and decimal points")
        raise DatasetError(f"{file} lacks the column {missing[0]}; its header must hold {','.join(needed)}")
    if twice := [column for column, times in Counter(filter(None, columns)).items() if times > 1]:
        raise DatasetError(f"{file} has two columns {twice[0]!r}; keep one")
    return columns
