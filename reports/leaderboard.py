"""The leaderboard: a page, tables for spreadsheets and papers, and figures, in one folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports import compared, files
from reports.comparisons import Across, Inflation, Pair, across, inflations, pairs
from reports.formats import bibtex, comma_separated, latex, markdown
from reports.ranking import Line, Table, tables
from reports.results import Facts, Result
from reports.tuning import Tuned, tunings

PAGE = "index.html"
Advance = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Board:
    """All that is shown."""

    facts: Facts
    tables: Sequence[Table]
    pairs: Sequence[Pair]
    across: Sequence[Across]
    inflations: Sequence[Inflation]
    left_out: Sequence[Result]  # leaking rows with an honest twin that were not compared
    tunings: Sequence[Tuned] = ()

    @property
    def lines(self) -> list[Line]:
        return [line for table in self.tables for line in table.lines]

    def uncompared(self, standin: bool) -> int:
        """Pairs under two protocols that were not compared."""
        return sum(one.arena.standin is standin for one in self.left_out)


def board(results: Sequence[Result], facts: Facts) -> Board:
    """Ranks and comparisons."""
    made = tables(results)
    compared = pairs(made)
    inflated, left_out = inflations(results, facts)
    return Board(facts, made, compared, across(made, compared, facts), inflated, left_out, tunings(made))


def write(results: Sequence[Result], facts: Facts, out: Path, advance: Advance) -> Path:
    """Everything into a folder; the page."""
    from reports.charts import draw, drawn
    from reports.page import page

    steps = 4
    advance(0, steps, "comparing")
    made = board(results, facts)
    advance(1, steps, "tables")
    beside = made.pairs, made.inflations, facts
    texts = {
        "leaderboard.csv": comma_separated(made.tables, facts),
        "comparisons.csv": compared.comma_separated(*beside),
        "leaderboard.md": markdown(made.tables, facts) + "\n" + compared.markdown(*beside),
        "leaderboard.tex": latex(made.tables, facts) + "\n" + compared.latex(*beside),
        "references.bib": bibtex(facts),
    }
    for name, text in texts.items():
        files.text(out / name, text)
    advance(2, steps, "figures")
    figures = draw(made, out / "figures")
    advance(3, steps, "page")
    files.text(out / PAGE, page(made, figures, drawn(made)))
    advance(steps, steps, "")
    return out / PAGE
