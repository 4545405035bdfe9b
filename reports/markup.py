"""Text from anywhere as it stands in CSV, Markdown and LaTeX: none of it is taken for markup."""

import re
from collections.abc import Sequence


def harmless(value: object) -> object:
    """For CSV: text that a spreadsheet would take for a formula is quoted."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def pipes(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cell if set(cell) == {'-'} else plain(cell) for cell in cells)} |"


def plain(text: str) -> str:
    """Markdown takes nothing in it for its own."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", " ".join(text.split()))


def row(cells: Sequence[str]) -> str:
    """A row of a table in LaTeX."""
    return " & ".join(tex(cell) for cell in cells) + " \\\\"


TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # after a line's end it would be taken for a length
    "]": "{]}",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
} | {letter: f"\\{letter}" for letter in "&%$#_"}


def tex(text: str) -> str:
    """LaTeX prints it as it stands."""
    return "".join(TEX.get(letter, letter) for letter in " ".join(text.split()))
