"""Rows beside rows: pairs within an arena, systems over corpora, and how much a leaking split inflates a score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from reports.across import Beliefs, Pooled, Ranks, pooled, ranks, signed_rank
from reports.ranking import Reason, Table, reasons, system
from reports.results import FIRST, Arena, Facts, Result
from reports.statistics import Comparison, compare, holm, measure
from reports.tally import pair

BEST = 6  # rows of an arena that are compared with one another: a pair costs a tenth of a second
INFLATIONS = 30  # pairs under two protocols; each reads all answers of two rows
TRIED = 4  # honest rows for each of them
ROPE = 0.01  # a difference of one point is no difference in practice
OWN = "each corpus' own protocol"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two ranked rows of an arena, the better first; `holm` is the p corrected for the arena's other pairs."""

    arena: Arena
    a: Result
    b: Result
    found: Comparison
    holm: float


@dataclass(frozen=True, eq=False)
class Inflation:
    """The same method under a split that leaks subjects and one that does not, on the clips that both answered."""

    leaking: Result
    honest: Result
    found: Comparison
    clips: int
    with_leak: float  # the scores on these clips
    without: float

    @property
    def marks(self) -> tuple[Reason, ...]:
        """What else than the leak would keep either row from being ranked."""
        both = dict.fromkeys((*reasons(self.leaking), *reasons(self.honest)))
        return tuple(reason for reason in both if reason.kind != "violated")


@dataclass(frozen=True, eq=False)
class Across:
    """Systems that are all ranked on all of these corpora; only here is there a mean over corpora."""

    task: str
    protocol: str
    scores: pd.DataFrame  # [corpora, systems]
    ranks: Ranks
    pairs: tuple["AcrossPair", ...]


@dataclass(frozen=True)
class AcrossPair:
    """Two systems over corpora."""

    a: str
    b: str
    pooled: Pooled | None
    beliefs: Beliefs


def pairs(tables: Sequence[Table]) -> list[Pair]:
    """The best rows of each arena, each against each."""
    return [found for table in tables for found in _pairs(table)]


def _pairs(table: Table) -> list[Pair]:
    best = [line.result for line in table.ranked[:BEST]]
    found = [(a, b, made) for a, b in combinations(best, 2) if (made := compared(a, b))]
    corrected = holm([made.p for _, _, made in found])
    return [Pair(table.arena, a, b, made, p) for (a, b, made), p in zip(found, corrected, strict=True)]


def compared(a: Result, b: Result) -> Comparison | None:
    """None where they have not answered the same clips of the same people."""
    one, other = a.summary, b.summary
    if one is None or other is None or a.material.digest != b.material.digest:
        return None
    if one.unit == "subject":
        alike = one.names == other.names and one.labels == other.labels
        alike = alike and np.allclose(one.counts.sum(2), other.counts.sum(2), atol=1e-6)
        return compare(one.counts, other.counts, FIRST) if alike else None
    if not a.answers or not b.answers:
        return None
    try:
        both = pair(a.answers(), b.answers(), one.labels)
    except ValueError:  # not of the same clips, or not to be read any more
        return None
    return compare(both.a, both.b, FIRST, both.unit)


def inflations(results: Sequence[Result], facts: Facts) -> tuple[list[Inflation], list[Result]]:
    """Those that matter most, and the leaking rows left out; what was made elsewhere takes no part."""
    own = {corpus.name: corpus.protocol for corpus in facts.corpora}
    whole = [result for result in results if result.complete and result.asked.preset != "imported"]
    honest: dict[object, list[Result]] = {}
    for result in whole:
        if result.independence == "verified":
            honest.setdefault(_same(result), []).append(result)
    newest = {
        (_same(leaking), leaking.arena): leaking
        for leaking in sorted(whole, key=lambda result: result.begun)
        if leaking.independence == "violated" and _same(leaking) in honest
    }
    order = sorted(newest.values(), key=lambda one: (one.arena.standin, one.asked.preset != "paper"))
    tried = (_inflated(one, _nearest(one, honest[_same(one)], own)) for one in order[:INFLATIONS])
    kept = [made for made in tried if made]
    compared = {made.leaking.run_id for made in kept}
    return kept, [one for one in order if one.run_id not in compared]


def _nearest(leaking: Result, honest: Sequence[Result], own: Mapping[str, str]) -> list[Result]:
    """Those of about as many Cells, so of as much training, first; then the corpus' own; of each the newest first."""
    return sorted(
        honest,
        key=lambda one: (
            abs(one.planned - leaking.planned),
            one.arena.protocol != own.get(one.arena.corpus),
            one.arena.protocol,
            -one.begun,
        ),
    )


def _inflated(leaking: Result, honest: Sequence[Result]) -> Inflation | None:
    """Against the first that fits it."""
    return next((made for other in honest[:TRIED] if (made := _inflation(leaking, other))), None)


def _same(result: Result) -> object:
    """All but the protocol."""
    arena = result.arena
    return result.asked, result.version, arena.corpus, arena.task, arena.standin, result.material.digest


def _inflation(leaking: Result, honest: Result) -> Inflation | None:
    if not leaking.answers or not honest.answers or not leaking.summary:
        return None
    if leaking.seeds != honest.seeds:  # an average of seeds is better than one of them
        return None
    try:
        with_people, apart = leaking.answers(), honest.answers()
        both = pair(with_people, apart, leaking.summary.labels)
    except ValueError:
        return None
    with_leak, without = (float(measure(counts.sum(0), FIRST)) for counts in (both.a, both.b))
    found = compare(both.a, both.b, FIRST, both.unit)
    return Inflation(leaking, honest, found, both.clips, with_leak, without)


def across(tables: Sequence[Table], made: Sequence[Pair], facts: Facts) -> list[Across]:
    """For each set of two or more corpora that a system covers: all systems that cover it."""
    own = {corpus.name: corpus.protocol for corpus in facts.corpora}
    chosen: dict[tuple[str, str], list[Table]] = {}
    for table in tables:
        if table.ranked:
            chosen.setdefault((table.arena.task, table.arena.protocol), []).append(table)
            if own.get(table.arena.corpus) == table.arena.protocol:
                chosen.setdefault((table.arena.task, OWN), []).append(table)
    found = {}
    for (task, protocol), some in chosen.items():
        for scores in _shared(some):
            arenas = frozenset(table.arena for table in some if table.arena.corpus in scores.index)
            found[arenas, tuple(scores.columns)] = Across(
                task, protocol, scores, ranks(scores), tuple(_across(scores, arenas, made))
            )
    return list(found.values())


def _shared(tables: Sequence[Table]) -> Iterator[pd.DataFrame]:
    """Scores without gaps, [corpora, systems]: two of each or more."""
    cells: dict[str, dict[str, float]] = {}
    for table in tables:
        for line in table.ranked:
            name = " ".join(filter(None, system(line.result)))
            cells.setdefault(name, {})[table.arena.corpus] = line.result.scores[FIRST].estimate
    sets = sorted({frozenset(there) for there in cells.values() if len(there) > 1}, key=lambda s: (-len(s), sorted(s)))
    for corpora in sets:
        covering = {
            name: {c: there[c] for c in sorted(corpora)} for name, there in cells.items() if corpora <= set(there)
        }
        if len(covering) > 1:
            yield pd.DataFrame(covering)


def _across(scores: pd.DataFrame, arenas: frozenset[Arena], made: Sequence[Pair]) -> Iterator[AcrossPair]:
    """Each two systems, the better first; pooled where they were compared on every corpus."""
    known: Mapping[tuple[str, str, str], Comparison] = {
        (one.arena.corpus, " ".join(filter(None, system(one.a))), " ".join(filter(None, system(one.b)))): one.found
        for one in made
        if one.arena in arenas
    }
    order = scores.mean().sort_values(ascending=False).index[:BEST]
    for a, b in combinations(order, 2):
        beliefs = signed_rank([float(d) for d in scores[a] - scores[b]], ROPE)
        yield AcrossPair(str(a), str(b), _pooled(scores, known, str(a), str(b)), beliefs)


def _pooled(scores: pd.DataFrame, known: Mapping[tuple[str, str, str], Comparison], a: str, b: str) -> Pooled | None:
    differences, variances = list[float](), list[float]()
    for corpus in scores.index:
        found = known.get((corpus, a, b)) or known.get((corpus, b, a))
        if found is None or not found.error:
            return None
        differences.append(found.difference if (corpus, a, b) in known else -found.difference)
        variances.append(found.error**2)
    return pooled(differences, variances)
