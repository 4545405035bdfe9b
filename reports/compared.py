"""Rows beside rows as CSV, Markdown and LaTeX: pairs within an arena, and what leaks are worth."""

import csv
import io
from collections.abc import Sequence

from reports.comparisons import Inflation, Pair
from reports.formats import NARROW, NONE, percent, signed, where
from reports.markup import harmless, pipes, plain, row, tex
from reports.results import FIRST, Arena, Facts, Result
from reports.statistics import Comparison

PAIRS = ("First", "Second", "Difference", "95 %", "p", "p (Holm)", "Effect", "First better with")
LEAKS = ("Corpus, task", "Method", "Leaking split", "UAR", "Honest split", "UAR", "Difference", "95 %",
         "p, uncorrected", "Effect", "Clips in both", "Notes")  # fmt: skip
TOLD_OF_PAIRS = (
    "Differences of UAR in points, first less second; p by swapping answers unit by unit, corrected after Holm within "
    "each arena; the effect is the mean of the differences within units over their standard deviation."
)
TOLD_OF_LEAKS = (
    "Differences of UAR in points, the same method on the same clips: under a split with people on both sides less "
    "under one without; with other numbers of folds there was more or less to learn from."
)


def comma_separated(pairs: Sequence[Pair], leaks: Sequence[Inflation], facts: Facts) -> str:
    """One line a comparison, as numbers; `kind` is pair, or leakage: a is then the row whose split leaks."""
    rows = [*(_pair(one, facts) for one in pairs), *(_leak(one, facts) for one in leaks)]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else harmless(value) for key, value in row_.items()} for row_ in rows)
    return text.getvalue()


COLUMNS = (
    "kind", "corpus", "corpus_title", "standin", "task", "protocol_a", "protocol_b", "a", "b", "metric", "score_a",
    "score_b", "difference", "low", "high", "p", "p_holm", "p_exact", "effect", "a_better", "units", "unit", "clips",
    "notes", "run_a", "run_b",
)  # fmt: skip


def _pair(one: Pair, facts: Facts) -> dict[str, object]:
    scores = [result.scores[FIRST].estimate for result in (one.a, one.b)]
    return {
        **_sides("pair", one.arena, one.a, one.b, facts),
        **_found(one.found, scores[0], scores[1]),
        "p_holm": one.holm,
        "clips": one.a.summary.clips if one.a.summary else None,
    }


def _leak(one: Inflation, facts: Facts) -> dict[str, object]:
    return {
        **_sides("leakage", one.leaking.arena, one.leaking, one.honest, facts),
        **_found(one.found, one.with_leak, one.without),
        "clips": one.clips,
        "notes": _notes(one),
    }


def _sides(kind: str, arena: Arena, a: Result, b: Result, facts: Facts) -> dict[str, object]:
    return {
        "kind": kind,
        "corpus": arena.corpus,
        "corpus_title": facts.title(arena.corpus),
        "standin": arena.standin,
        "task": arena.task,
        "protocol_a": a.arena.protocol,
        "protocol_b": b.arena.protocol,
        "a": a.title,
        "b": b.title,
        "metric": FIRST,
        "run_a": a.run_id,
        "run_b": b.run_id,
    }


def _found(found: Comparison, a: float, b: float) -> dict[str, object]:
    return {
        "score_a": a,
        "score_b": b,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "p_exact": found.exact,
        "effect": found.effect,
        "a_better": found.better,
        "units": found.units,
        "unit": found.unit,
    }


def _notes(one: Inflation) -> str:
    """How the two were made, and what else keeps them from being ranked."""
    return "; ".join(filter(None, (one.leaking.asked.preset, *(mark.text for mark in one.marks))))


def markdown(pairs: Sequence[Pair], leaks: Sequence[Inflation], facts: Facts) -> str:
    """A section for each; none where nothing was compared."""
    parts = []
    if pairs:
        parts += ["## Pairs on one corpus", "", TOLD_OF_PAIRS, ""]
        for arena, some in by_arena(pairs):
            parts += [f"### {plain(where(arena, facts))}", "", *_table(PAIRS, [_compared(one) for one in some])]
    if leaks:
        rows = [_leaking(one, facts) for one in leaks]
        parts += ["## Leakage inflation", "", TOLD_OF_LEAKS, "", *_table(LEAKS, rows)]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [pipes(header), pipes(["---"] * len(header)), *(pipes(cells) for cells in rows), ""]


def latex(pairs: Sequence[Pair], leaks: Sequence[Inflation], facts: Facts) -> str:
    """booktabs, like the rows themselves."""
    tables = [
        _booktabs(
            f"Pairs on {where(arena, facts)}. {TOLD_OF_PAIRS}", "ll" + "r" * 6, PAIRS, [_compared(one) for one in some]
        )
        for arena, some in by_arena(pairs)
    ]
    if leaks:
        rows = [_leaking(one, facts) for one in leaks]
        tables.append(_booktabs(f"Leakage inflation. {TOLD_OF_LEAKS}", "lllrlrrrrrrl", LEAKS, rows))
    return "\n".join(tables)


def _booktabs(caption: str, columns: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    begin = ["\\begin{table*}", "\\centering\\footnotesize", f"\\caption{{{tex(caption)}}}"]
    begin += [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", row(header), "\\midrule"]
    return "\n".join([*begin, *(row(cells) for cells in rows), "\\bottomrule", "\\end{tabular}", "\\end{table*}", ""])


def by_arena(pairs: Sequence[Pair]) -> list[tuple[Arena, list[Pair]]]:
    """The pairs of each arena."""
    arenas = dict.fromkeys(one.arena for one in pairs)
    return [(arena, [one for one in pairs if one.arena == arena]) for arena in arenas]


def _compared(one: Pair) -> list[str]:
    found = one.found
    better = f"{percent(found.better)} % of {found.units} {found.unit}s"
    told = [signed(found.difference), limits(found), f"{found.p:.3g}", f"{one.holm:.3g}", effect(found), better]
    return [one.a.title, one.b.title, *told]


def _leaking(one: Inflation, facts: Facts) -> list[str]:
    arena, found = one.leaking.arena, one.found
    return [
        where(arena, facts).rpartition(",")[0],
        one.leaking.title,
        f"{arena.protocol}, {one.leaking.folds}",
        percent(one.with_leak),
        f"{one.honest.arena.protocol}, {one.honest.folds}",
        percent(one.without),
        signed(found.difference),
        limits(found),
        f"{found.p:.3g}",
        effect(found),
        str(one.clips),
        _notes(one),
    ]


def limits(found: Comparison) -> str:
    """A difference's interval in points; over clips it takes those of one person for independent."""
    if found.low is None or found.high is None:
        return NONE
    told = f"{signed(found.low)} to {signed(found.high)}"
    return f"{told}, {NARROW}" if found.unit == "clip" else told


def effect(found: Comparison) -> str:
    """An effect size; none where units do not vary."""
    return NONE if found.effect is None else f"{found.effect:+.2f}".replace("-", "\N{MINUS SIGN}")
