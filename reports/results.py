"""The tables that a leaderboard is made of; whoever reads the store of results fills them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import get_args

import pandas as pd

from reports.statistics import Interval, Metric, interval
from reports.studies import Tuning
from reports.summary import Summary

METRICS: tuple[Metric, ...] = get_args(Metric)
FIRST: Metric = "uar"  # rows are ranked by it: classes weigh alike, however many clips they have


@dataclass(frozen=True)
class Published:
    """A paper's own number for the same variant, corpus, task and modality."""

    value: float
    where: str
    protocol: str  # the paper's
    matches: str  # yes, no, in doubt and why, or that the paper does not say
    confusion: Mapping[tuple[str, str], float] = field(default_factory=dict)  # shares of true classes
    per_class: Mapping[tuple[str, str], float] = field(default_factory=dict)  # by label and precision, recall or f1
    over: str = "clips"  # or folds: the paper averages its test runs

    @property
    def averaged(self) -> str:
        """What must be said beside the number; ours pools all clips."""
        return "the paper averages its test runs" if self.over == "folds" else ""


UNCONFIRMED = "weights unconfirmed"  # a stamp: of these files no digest is published


@dataclass(frozen=True)
class Asked:
    """What a row was asked to be: the same in two rows, and they are about the same thing."""

    method: str
    variant: str
    modality: str
    preset: str
    stamps: str  # what was changed, in words
    substituted: str  # what took the place of tracks that the corpus lacks

    @property
    def changed(self) -> str:
        """The stamps less what is only noted, and less what the preset says."""
        return ", ".join(part for part in self.stamps.split(", ") if part and part not in (*self.noted, self.preset))

    @property
    def tuned(self) -> str:
        """As it is stamped; empty where nothing was tuned inside the folds."""
        return next((part for part in self.stamps.split(", ") if re.fullmatch(r"tuned \d+", part)), "")

    @property
    def untuned(self) -> str:
        """The stamps of the same row without tuning."""
        return ", ".join(part for part in self.stamps.split(", ") if part != self.tuned)

    @property
    def departs(self) -> str:
        """From what the paper did, how far; empty where it is that."""
        preset = "" if self.preset == "paper" else f"preset {self.preset}"
        return ", ".join(filter(None, (preset, self.changed, self.tuned)))

    @property
    def noted(self) -> list[str]:
        """What must be seen, though it is no fault: substitutes, tuning within folds, files that nobody vouches for."""
        unconfirmed = [UNCONFIRMED] if UNCONFIRMED in self.stamps.split(", ") else []
        return [*filter(None, [*self.substituted.split(", "), self.tuned]), *unconfirmed]


@dataclass(frozen=True)
class Arena:
    """Where rows may be compared."""

    corpus: str
    task: str
    protocol: str
    standin: bool


@dataclass(frozen=True)
class Material:
    """What there was of the corpus."""

    digest: str
    clips: int
    whole: str  # clips that the whole corpus has
    partial: bool
    excluded: int
    chance: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """A row of results."""

    run_id: str
    link: str
    asked: Asked
    arena: Arena
    material: Material
    independence: str
    planned: int  # Cells
    begun: int  # milliseconds, to tell the newer of two
    version: str
    summary: Summary | None = None
    published: Published | None = None
    answers: Callable[[], pd.DataFrame] | None = None  # read only where two rows are compared clip by clip
    default: bool = False  # whether the variant is the method's defaults
    seeds: int = 1  # that were planned: each is a run over all folds, and scores are their mean
    fault: str = ""  # why there is no summary, though something was answered
    tuning: Tuning | None = None  # what was found for its folds

    @property
    def done(self) -> int:
        return self.summary.cells if self.summary else 0

    @property
    def folds(self) -> str:
        """How many its protocol makes."""
        count = self.planned // self.seeds
        return f"{count} fold{'s' if count > 1 else ''}"

    @property
    def complete(self) -> bool:
        return 0 < self.planned <= self.done

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.asked.method, self.asked.variant, self.asked.modality, self.asked.tuned)))

    @cached_property
    def scores(self) -> Mapping[str, Interval]:
        """Each metric with its interval; none where nothing was answered."""
        if self.summary is None or not self.summary.counts.sum():
            return {}
        return {metric: interval(self.summary.by_seed, metric, self.summary.unit) for metric in METRICS}

    @property
    def comparable(self) -> bool:
        """Whether a paper's number may be taken from ours: only from what the paper did, whole, on the real corpus."""
        whole = self.complete and not self.material.partial and not self.material.excluded
        return not self.asked.departs and whole and not self.arena.standin and bool(self.scores)

    @property
    def difference(self) -> float | None:
        """Accuracy less the published one."""
        if self.published is None or not self.comparable:
            return None
        return self.scores["accuracy"].estimate - self.published.value


@dataclass(frozen=True)
class MethodFacts:
    """What a method's paper is, and how far ours departs from it."""

    name: str
    title: str
    authors: str
    year: int
    doi: str
    left_unsaid: Mapping[str, str] = field(default_factory=dict)
    departures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CorpusFacts:
    """What a corpus is called, how to cite it, and the protocol that is its own."""

    name: str
    title: str
    citation: str
    protocol: str


@dataclass(frozen=True)
class Facts:
    """All that is not in the store."""

    store: str  # its address, without a password
    made: str  # when, and by which version
    methods: Sequence[MethodFacts] = ()
    corpora: Sequence[CorpusFacts] = ()

    def title(self, corpus: str) -> str:
        return next((one.title for one in self.corpora if one.name == corpus), corpus)
