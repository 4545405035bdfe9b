"""What a paper published beside a row of results: the same variant, corpus, task and tracks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.plugins import PluginError, canonical, load, names
from benchmarks.published import OF_A_CLASS, UNSTATED, Number, class_of, classes, numbers
from reports.results import Arena, Asked, Published


@dataclass(frozen=True)
class Papers:
    """All methods' numbers, each file read once."""

    methods: tuple[str, ...] = field(default_factory=lambda: names("methods"))
    known: dict[str, list[Number]] = field(default_factory=dict)
    variants: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    found: dict[object, Published | None] = field(default_factory=dict)  # thousands of rows ask for a few

    def published(self, asked: Asked, arena: Arena) -> Published | None:
        """The paper's number; under the row's own protocol if the paper has one."""
        if asked.method not in self.methods or asked.preset == "imported":
            return None
        key = asked.method, asked.variant, asked.modality, arena
        if key not in self.found:
            self.found[key] = self._published(asked, arena)
        return self.found[key]

    def _published(self, asked: Asked, arena: Arena) -> Published | None:
        same = self._defaults(asked) if self.default(asked) else {asked.variant}
        fitting = [
            number
            for number in self._numbers(asked.method)
            if number.variant in same
            and (number.dataset, number.task, number.modality) == (arena.corpus, arena.task, asked.modality)
        ]
        found = sorted((number for number in fitting if number.metric == "accuracy"), key=lambda one: _far(one, arena))
        if not found:
            return None
        first = found[0]
        where = f"{first.where}, {first.row}, {first.column}"
        matrix = [one for one in fitting if one.metric == "confusion" and one.protocol == first.protocol]
        of_classes = [one for one in fitting if one.metric in OF_A_CLASS and one.protocol == first.protocol]
        matches = _matches(first, arena)
        return Published(
            first.value, where, first.protocol, matches, _confusion(matrix), _per_class(of_classes), first.over
        )

    def _numbers(self, method: str) -> list[Number]:
        if method not in self.known:
            self.known[method] = numbers(method)
        return self.known[method]

    def default(self, asked: Asked) -> bool:
        """Whether a row is of the method's defaults, under whatever name."""
        return not asked.variant or asked.variant in self._defaults(asked)

    def _defaults(self, asked: Asked) -> frozenset[str]:
        """Variants that are the method's defaults."""
        if asked.method not in self.methods:
            return frozenset()
        key = asked.method, asked.modality
        if key not in self.variants:
            kind = load("methods", asked.method)
            told = {name: one for name, one in kind.variants.items() if one.modality == asked.modality}
            self.variants[key] = frozenset(name for name, one in told.items() if one.config == kind.Config())
        return self.variants[key]


def _matches(number: Number, arena: Arena) -> str:
    if number.protocol == UNSTATED:
        return "paper does not say"
    try:
        same = canonical(number.protocol, load("datasets", number.dataset).protocol_settings) == arena.protocol
    except PluginError:
        return "no"
    if not same:
        return "no"
    return f"in doubt: {number.doubt}" if number.doubt else "yes"


def _far(number: Number, arena: Arena) -> int:
    """The row's own protocol, then what may be it, then the rest."""
    told = _matches(number, arena)
    return 0 if told == "yes" else 1 if told.startswith("in doubt") else 2


def _confusion(found: Sequence[Number]) -> dict[tuple[str, str], float]:
    """Shares by true class and answer, of the first table alone."""
    first = [number for number in found if number.table == found[0].table]
    return {classes(number): number.value for number in first}


def _per_class(found: Sequence[Number]) -> dict[tuple[str, str], float]:
    """By label and metric, of the first table alone."""
    first = [number for number in found if number.table == found[0].table]
    return {(class_of(number), number.metric): number.value for number in first}
