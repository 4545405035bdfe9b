"""The same rows as CSV, Markdown, LaTeX and BibTeX."""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from reports.markup import harmless, pipes, plain, row, tex
from reports.ranking import Line, Table
from reports.results import METRICS, Arena, Facts, Result
from reports.statistics import Interval
from reports.summary import COSTS

NONE = "-"
NARROW = "by clip: too narrow"  # where no people are known
TITLES: Mapping[str, str] = {"accuracy": "Accuracy", "uar": "UAR", "macro_f1": "Macro F1", "weighted_f1": "Weighted F1"}
OF_ALL_SEEDS = ("fit_seconds", "energy_joules")
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(value: float | None) -> str:
    """A share with one decimal."""
    return NONE if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    """A difference in points, with a true minus."""
    return NONE if value is None else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def span(low: float | None, high: float | None) -> str:
    """An interval of shares."""
    return "" if low is None or high is None else f"{100 * low:.1f}\N{EN DASH}{100 * high:.1f}"


def bounds(found: Interval) -> str:
    """A score's interval; over clips it takes those of one person for independent."""
    told = span(found.low, found.high)
    return f"{told}, {NARROW}" if told and found.unit == "clip" else told


def scaled(value: float | None) -> str:
    """Large numbers with a prefix."""
    if value is None:
        return NONE
    for size, prefix in PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A time as people say it."""
    if value is None:
        return NONE
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"


def cost(result: Result, name: str) -> float | None:
    """What was measured of it; None where it could not be. What is spent again by each seed is of one of them."""
    found = result.summary.costs.get(name) if result.summary else None
    if found is None or name not in OF_ALL_SEEDS or result.summary is None:
        return found
    return found / len(result.summary.by_seed)


def shown_cost(result: Result, name: str) -> str:
    """The same for a reader."""
    value = cost(result, name)
    if name.endswith("seconds") or "seconds_" in name:
        return seconds(value)
    if name == "peak_memory_mb":
        return NONE if value is None else f"{value:.4g} MB"
    return scaled(value) + (" J" if name == "energy_joules" and value is not None else "")


def folds(result: Result) -> str:
    """How much of it was run; several seeds are several runs over the same folds."""
    told = f"{result.done}/{result.planned or '?'}"
    return f"{told}, {result.seeds} seeds" if result.seeds > 1 else told


def where(arena: Arena, facts: Facts) -> str:
    """An arena in words; a stand-in's says so first."""
    return f"{'STAND-IN of ' if arena.standin else ''}{facts.title(arena.corpus)}, {arena.task}, {arena.protocol}"


def comma_separated(tables: Sequence[Table], facts: Facts) -> str:
    """All rows with all figures, as numbers; text that a spreadsheet would take for a formula is quoted."""
    rows = [_record(line, facts) for table in tables for line in table.lines]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _record(line: Line, facts: Facts) -> dict[str, object]:
    result = line.result
    arena, asked, material, published = result.arena, result.asked, result.material, result.published
    record: dict[str, object] = {
        "corpus": arena.corpus,
        "corpus_title": facts.title(arena.corpus),
        "standin": arena.standin,
        "task": arena.task,
        "protocol": arena.protocol,
        "rank": line.rank or "",
        "method": asked.method,
        "variant": asked.variant,
        "modality": asked.modality,
        "preset": asked.preset,
        "stamps": asked.stamps,
        "independence": result.independence,
        "not_ranked_because": "; ".join(reason.text for reason in line.reasons),
    }
    for metric in METRICS:
        found = result.scores.get(metric)
        record[metric] = found.estimate if found else ""
        record[f"{metric}_low"] = "" if found is None or found.low is None else found.low
        record[f"{metric}_high"] = "" if found is None or found.high is None else found.high
    return record | {
        "interval": result.scores["uar"].how if result.scores else "",
        "published_accuracy": published.value if published else "",
        "published_where": published.where if published else "",
        "published_over": published.over if published else "",
        "published_protocol": published.protocol if published else "",
        "protocol_matches": published.matches if published else "",
        "difference": "" if result.difference is None else result.difference,
        "folds_done": result.done,
        "folds_planned": result.planned,
        "seeds": result.seeds,
        "clips": material.clips,
        "clips_of_the_whole_corpus": material.whole,
        "excluded": material.excluded,
        **{name: "" if (value := cost(result, name)) is None else value for name in COSTS},
        "run": result.run_id,
    }


def _cells(line: Line) -> list[str]:
    """A row for people, in text."""
    result = line.result
    scores = [_scored(result, metric) for metric in METRICS]
    published = result.published
    return [
        str(line.rank or NONE),
        result.title,
        *scores,
        "; ".join(filter(None, (percent(published.value), published.averaged))) if published else NONE,
        signed(result.difference),
        published.matches if published else NONE,
        folds(result),
        "; ".join(mark.text for mark in line.marks),
    ]


def _scored(result: Result, metric: str) -> str:
    if metric not in result.scores:
        return NONE
    found = result.scores[metric]
    interval = bounds(found)
    return percent(found.estimate) + (f" [{interval}]" if interval else "")


HEADER = (
    "#", "Method", *TITLES.values(), "Published accuracy", "Difference", "Protocol as published", "Folds", "Notes",
)  # fmt: skip


def _parts(tables: Sequence[Table]) -> list[tuple[Table, bool, Sequence[Line]]]:
    """Ranked and others apart, the empty left out."""
    both = [
        (table, ranked, lines) for table in tables for ranked, lines in ((True, table.ranked), (False, table.others))
    ]
    return [part for part in both if part[2]]


def markdown(tables: Sequence[Table], facts: Facts) -> str:
    """One table an arena; what is not ranked stands apart."""
    parts = ["# Leaderboard", "", "% with 95 % intervals over subjects, or as they say; ranked by UAR.", ""]
    for table, ranked, lines in _parts(tables):
        parts += [f"## {plain(where(table.arena, facts))}{'' if ranked else ': not ranked'}", ""]
        parts += [pipes(HEADER), pipes(["---"] * len(HEADER)), *(pipes(_cells(line)) for line in lines), ""]
    return "\n".join(parts)


def latex(tables: Sequence[Table], facts: Facts) -> str:
    """booktabs; the ranked rows of each arena, then all others in tables that say why."""
    lines = ["% \\usepackage{booktabs} and \\usepackage[T1]{fontenc}; generated, do not edit"]
    for table, ranked, some in _parts(tables):
        caption = (
            tex(where(table.arena, facts) + ("" if ranked else " (not ranked)")) + ": \\% with 95\\,\\% intervals."
        )
        lines += ["\\begin{table*}", "\\centering\\footnotesize", f"\\caption{{{caption}}}"]
        lines += [f"\\begin{{tabular}}{{rl{'c' * len(METRICS)}rrlll}}", "\\toprule", row(HEADER), "\\midrule"]
        lines += [row(_cells(line)) for line in some]
        lines += ["\\bottomrule", "\\end{tabular}", "\\end{table*}", ""]
    return "\n".join(lines)


def bibtex(facts: Facts) -> str:
    """The methods' papers and the corpora's."""
    entries = [
        _entry(
            "article",
            one.name,
            {"title": one.title, "author": _authors(one.authors), "year": str(one.year), "doi": one.doi},
        )
        for one in facts.methods
    ]
    for one in facts.corpora:
        doi = re.search(r"doi:\s*(\S+)", one.citation)
        year = re.search(r"\b(19|20)\d\d\b", one.citation)
        fields = {"title": one.title, "author": _authors(_before_venue(one.citation))}
        fields |= {"year": year[0] if year else "", "doi": doi[1].rstrip(".,;") if doi else "", "note": one.citation}
        entries.append(_entry("misc", f"corpus-{one.name}", fields))
    return "\n".join(entries)


def _before_venue(citation: str) -> str:
    """The people at the start of a citation: up to the name after an ampersand or "et al."."""
    found = re.match(r"(.+?\bet al\.|.+?& [^,]+|[^,]+)", citation)
    return found[1] if found else citation


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    told = [f"  {name} = {{{_bib(value, name)}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{re.sub(r'[^A-Za-z0-9:.-]', '-', key)},", *told, "}", ""])


def _bib(value: str, name: str) -> str:
    """Braces keep capitals; a DOI stays as it is but for what would end the field."""
    if name == "doi":
        return re.sub(r"[{}\\%#]", "", value)
    return f"{{{tex(value)}}}" if name == "title" else tex(value)


def _authors(told: str) -> str:
    """'A, B & C' as BibTeX wants it."""
    some = re.split(r"\s*,\s*|\s*&\s*|\s+and\s+", told.replace(" et al.", ", others").replace(" et al", ", others"))
    return " and ".join(one for one in some if one)
