"""What a figure shows, of what, of how many, and what its marks mean: a caption that a paper can take as it stands."""

from collections.abc import Sequence

from reports.comparisons import Across, Inflation
from reports.formats import percent, where
from reports.ranking import Line, Table
from reports.results import Facts, Result


def document(note: str, told: Sequence[tuple[str, str, str]]) -> str:
    """All captions by the figures' names."""
    parts = ["# Figures", "", *([f"Of all results these are drawn: {note}.", ""] if note else [])]
    for name, title, caption in told:
        parts += [f"## {name}", "", f"{' / '.join(map(str.strip, title.splitlines()))}", "", caption, ""]
    return "\n".join(parts)


def scores(table: Table, lines: Sequence[Line], facts: Facts) -> str:
    """Of the rows of an arena."""
    chance = lines[0].result.material.chance
    dotted = f" Dotted line: chance, {percent(chance)} %." if chance else ""
    marks = "Dots" if table.ranked else "Dots (open: not ranked, each for the reason that it shows)"
    return (
        f"UAR of {_some(table, lines)} on {where(table.arena, facts)}: {_material(lines)}. {marks} are "
        f"{_pooled(lines)}; bars are its 95 % interval{_over(lines)}.{dotted}"
    )


def subjects(table: Table, lines: Sequence[Line], facts: Facts) -> str:
    """Of the people in the rows of an arena."""
    return (
        f"UAR of each subject in {_some(table, lines)} on {where(table.arena, facts)}: {_material(lines)}. A dot is a "
        "subject, moved up or down where it would hide another; the black bar is the mean of subjects, who weigh alike "
        "whatever their number of clips, so that it is not the UAR of the table."
    )


def ranks(across: Across) -> str:
    """Of systems over corpora."""
    names = ", ".join(map(str, across.scores.index))
    told = f" Descriptive: {across.ranks.reason}." if across.ranks.descriptive else ""
    return (
        f"Mean ranks by UAR of {len(across.scores.columns)} systems over {len(across.scores)} corpora ({names}); "
        f"{across.task}, {across.protocol}; 1 is the best. Thick bars join systems whose mean ranks differ by less "
        f"than the critical difference of Nemenyi's test at 5 %.{told}"
    )


def leakage(some: Sequence[Inflation], there: int) -> str:
    """Of pairs of splits."""
    return (
        f"UAR under a split with the same people on both sides less UAR under one without, the same method on the same "
        f"clips: {_of(len(some), there, 'pair', 'pairs')}, {_range([one.clips for one in some])} clips. Dots are the "
        f"difference in points, bars its 95 % interval over {_range([one.found.units for one in some])} "
        f"{' or '.join(sorted({f'{one.found.unit}s' for one in some}))}; right of 0 the leak flatters."
    )


def confusion(line: Line, facts: Facts) -> str:
    """Of a row."""
    return (
        f"Confusion matrix: the share of each true class' clips (rows) by answer (columns), in %. {_row(line, facts)}"
    )


def calibration(line: Line, facts: Facts) -> str:
    """Of a row."""
    bins = line.result.summary.calibration if line.result.summary else ()
    return (
        f"How often answers are right by how sure they are: {sum(one.answers for one in bins)} answers in "
        f"{_of(len(bins), len(bins), 'bin', 'bins')} of confidence. A dot is a bin, the larger the more answers; on "
        f"the dashed line as many are right as are claimed. {_row(line, facts)}"
    )


def curves(line: Line, facts: Facts, most: int) -> str:
    """Of a row."""
    summary = line.result.summary
    count = len(summary.curves) if summary else 0
    return (
        f"What was logged in training, by step: {_of(min(count, most), count, 'curve', 'curves')}. Lines are means "
        f"over {line.result.done} trained folds, bands reach from the least to the largest. {_row(line, facts)}"
    )


def _row(line: Line, facts: Facts) -> str:
    why = "; ".join(mark.text for mark in line.marks)
    told = f" Not ranked: {why}." if line.rank is None and why else f" Note: {why}." if why else ""
    return f"{line.result.title} on {where(line.result.arena, facts)}: {_material([line])}.{told}"


def _some(table: Table, lines: Sequence[Line]) -> str:
    """How many of how many, and which."""
    if table.ranked:
        best = "the best " if len(lines) < len(table.ranked) else ""
        return f"{best}{_of(len(lines), len(table.ranked), 'ranked row', 'ranked rows')}"
    there = sum(bool(line.result.scores) for line in table.others)
    which = " (each system once before any twice)" if len(lines) < there else ""
    return f"{_of(len(lines), there, 'row', 'rows')} without a rank{which}"


def _of(some: int, there: int, one: str, many: str) -> str:
    count = f"{some} of {there}" if some < there else str(some)
    return f"{count} {one if there == 1 else many}"


def _material(lines: Sequence[Line]) -> str:
    """Clips and people."""
    kept = [line.result.summary for line in lines if line.result.summary]
    people = [len(one.counts) for one in kept if one.unit == "subject"]
    known = f" of {_range(people)} subjects" if people else ""
    unknown = "" if len(people) == len(kept) else ", people unknown" + (" in some rows" if people else "")
    return f"{_range([one.clips for one in kept])} clips{known}{unknown}"


def _over(lines: Sequence[Line]) -> str:
    units = sorted({found.unit for line in lines for found in line.result.scores.values()}, reverse=True)
    return f" over {' or '.join(f'{unit}s' for unit in units)}" if units else ""


def _pooled(lines: Sequence[Line]) -> str:
    seeds = [_seeds(line.result) for line in lines]
    over = f", the mean over {_range(seeds)} seeds" if max(seeds) > 1 else ""
    return f"the score over all test clips{over}"


def _seeds(result: Result) -> int:
    return len(result.summary.by_seed) if result.summary else 1


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
