"""The `run` and `prepare` commands: names to plugins, plugins to rows, rows through the engine."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from benchmarks.arenas import Arena, arena, material
from benchmarks.borrowed import read
from benchmarks.console import Progress
from benchmarks.corpora import AbsentCorpusError, opened
from benchmarks.inner import sensible
from benchmarks.plan import Initial, Row, row
from benchmarks.plugins import PluginError, build, canonical, load, names, resolve
from benchmarks.settings import Borrowed, Wish, configured, usual_preset
from benchmarks.transfer import NoSourceError, initials
from datasets.base import Dataset
from datasets.clips import TASKS
from methods.base import AbsentError, Method, Modality
from methods.parts.weights import WeightStore
from methods.parts.weights import folder as weights_folder

ALL = "all"  # every method


@dataclass(frozen=True)
class Request:
    """What the command line asked for, as it was written."""

    method: str
    dataset: str
    protocol: str = ""
    task: str = "emotion"
    modality: str = ""
    variant: str = ""  # or several, with commas between
    preset: str = ""
    weights: str = ""
    seeds: int = 1
    settings: Sequence[str] = ()
    device: str = "auto"
    data_root: Path | None = None
    exclude: frozenset[str] = field(default_factory=frozenset)
    pretrain_on: str = ""
    first_seed: int = 0
    trials: int = 0
    params: Path | None = None


@dataclass(frozen=True)
class Absent:
    """A row that is left out, for it begins with what is not there."""

    method: str
    variant: str
    corpus: str
    why: str

    def __str__(self) -> str:
        return f"{self.method} is left out on {self.corpus}: {self.why}"


@dataclass(frozen=True)
class Plan:
    """All that a request comes to; nothing of it has begun."""

    arenas: Sequence[Arena]
    rows: Sequence[tuple[Row, Arena]]
    notes: Sequence[str]
    device: str
    absent: Sequence[Absent] = ()


def plan(request: Request, progress: Progress, forgiving: bool = False) -> Plan:
    """Rows for every method and corpus, or an error that names the choices.

    What begins with what is not there is left out if all methods are asked for, or `forgiving`, then even if all do.
    """
    _sensible(request)
    methods = _chosen("methods", request.method)
    corpora = _chosen("datasets", request.dataset)
    device = usable_device(request.device)
    wishes, notes = _wishes(request, device)
    if request.protocol:
        build("protocols", canonical(request.protocol))
    fitting = [name for name in methods if _fits(name, request)]
    if skipped := [name for name in methods if name not in fitting]:
        notes.append(f"left out, for they have no modality {request.modality}: {', '.join(skipped)}")
    if not fitting:
        raise PluginError(f"no method has the modality {request.modality}; choose another, or leave --modality out")
    asked = [(name, wish) for name in fitting for wish in wishes]
    if request.pretrain_on:  # a wrong wish is told before anything is rendered or read
        notes += _transferable(asked)
    for name, wish in asked:
        _set(name, wish)
    weights, sources = store(request.weights), Sources(request, progress)
    arenas, rows, absent = list[Arena](), list[tuple[Row, Arena]](), list[Absent]()
    for corpus in corpora:
        arenas.append(here := arena(_corpus(corpus, request, progress), request.task, request.protocol, progress))
        for made in _rows(asked, here, request, weights, sources, forgiving or _all(request)):
            absent.append(made) if isinstance(made, Absent) else rows.append((made, here))
    if not (rows or forgiving):
        raise AbsentError("; ".join(map(str, absent)))
    if any("weights none" in row_.stamps for row_, _ in rows):
        notes.append("weights none: what a paper took pretrained is random here, and the results are stamped so")
    return Plan(arenas, rows, notes, device, absent)


@dataclass(frozen=True)
class Lessons:
    """Models of other corpora that are to be made; nothing of it has begun."""

    initials: Sequence[Initial]
    notes: Sequence[str]
    device: str


def _sensible(request: Request) -> None:
    """What can be told without any method or corpus."""
    if request.task not in TASKS:
        raise PluginError(f"no task is called {request.task!r}; choose from {', '.join(TASKS)}")
    if request.seeds < 1:
        raise PluginError(f"--seeds must be at least 1, but is {request.seeds}")
    if request.trials:
        sensible(request.trials)
    if request.trials and request.params:
        raise PluginError("--params are settings that were found before, --tune finds others; leave one of them out")
    if request.first_seed < 0:
        raise PluginError(f"--first-seed must be 0 or more, but is {request.first_seed}")
    if request.modality and request.modality not in get_args(Modality):
        raise PluginError(f"no modality is called {request.modality!r}; choose from {', '.join(get_args(Modality))}")


def lessons(request: Request, progress: Progress) -> Lessons:
    """What a method learns from `request.pretrain_on`, whatever it is run on later."""
    _sensible(request)
    name, device = resolve("methods", request.method), usable_device(request.device)
    wishes, notes = _wishes(request, device)
    if not wishes[0].pretrain_on:
        raise PluginError("--on must name a corpus at least; see: list datasets")
    _transferable([(name, wish) for wish in wishes])
    weights, sources = store(request.weights), Sources(request, progress)
    found = {id_: made for wish in wishes for id_, made in _lessons(name, wish, weights, sources)}
    return Lessons(list(found.values()), notes, device)


def _lessons(name: str, wish: Wish, weights: WeightStore, sources: "Sources") -> Iterator[tuple[str, Initial]]:
    """By key, for two variants may begin alike."""
    yield from ((initial.key(0), initial) for initial in initials(name, wish, None, weights, sources).values())


def _corpus(name: str, request: Request, progress: Progress) -> Dataset:
    try:
        return opened(name, request.data_root, request.exclude, progress)
    except AbsentCorpusError as error:
        raise AbsentCorpusError(
            f"{error}; or try a stand-in: standin --dataset {name} --out DIR, then --data-root DIR"
        ) from None


def _rows(
    asked: Sequence[tuple[str, Wish]],
    here: Arena,
    request: Request,
    weights: WeightStore,
    sources: "Sources",
    forgiving: bool,
) -> Iterator[Row | Absent]:
    for name, wish in asked:
        try:
            taught = initials(name, wish, here, weights, sources)
            yield row(name, wish, here, request.seeds, weights, taught, request.first_seed)
        except AbsentError as error:
            if not forgiving:
                raise
            yield Absent(name, wish.variant, here.dataset.name, str(error))


def _chosen(kind: Any, asked: str) -> list[str]:
    """Plugins by a comma-separated list of names, or all."""
    if kind == "methods" and asked.strip() == ALL:
        return list(names("methods"))
    return list(dict.fromkeys(resolve(kind, name) for name in asked.strip(" ,").split(",")))


def _all(request: Request) -> bool:
    return request.method.strip() == ALL


def _fits(name: str, request: Request) -> bool:
    """With `all`, methods without the modality are left out, and said so; one that is asked for by name is an error."""
    return not _all(request) or not request.modality or request.modality in load("methods", name).modalities


def _wishes(request: Request, device: str) -> tuple[list[Wish], list[str]]:
    """One for each variant, and what the user should know."""
    preset, notes = usual_preset(request.preset, device), []
    if not request.preset and preset == "quick":
        notes.append("preset quick: no GPU was found; the papers' sizes are --preset paper")
    named = [name for name in request.pretrain_on.split(",") if name.strip() != "none"]
    sources = tuple(dict.fromkeys(resolve("datasets", name) for name in named)) if request.pretrain_on else None
    variants = dict.fromkeys(name.strip() for name in request.variant.split(","))
    settings, none = _settings(request.settings), request.weights == "none"
    params, borrowed = _found(request) if request.params else ({}, None)
    rest = ({**params, **settings}, none, sources, request.trials, borrowed)
    return [Wish(preset, request.modality, variant, *rest) for variant in variants], notes


def _found(request: Request) -> tuple[dict[str, Any], Borrowed]:
    """Settings of a file, which are of one method alone."""
    methods = _chosen("methods", request.method)
    if request.params is None or len(methods) > 1:
        raise PluginError(f"--params are settings of one method, but this names {len(methods)}")
    return read(request.params, methods[0])


@dataclass(frozen=True)
class Sources:
    """Corpora to begin with, each opened once."""

    request: Request
    progress: Progress
    known: dict[str, Arena] = field(default_factory=dict)

    def __call__(self, name: str) -> Arena:
        if name not in self.known:
            dataset = opened(name, self.request.data_root, self._excluded(), self.progress)
            self.known[name] = material(dataset, self.request.task, self.progress)
        return self.known[name]

    def _excluded(self) -> frozenset[str]:
        """Names without a corpus before them are of the one that is run on."""
        return frozenset(line for line in self.request.exclude if line.partition(":")[0] in names("datasets"))


def _transferable(asked: Sequence[tuple[str, Wish]]) -> list[str]:
    """Methods that begin with no other corpus stay as they are, and that is said; if all do, it is an error."""
    alone = [(name, wish) for name, wish in asked if wish.pretrain_on and not _set(name, wish).sources()]
    told = list(dict.fromkeys(" ".join(filter(None, (name, wish.variant))) for name, wish in alone))
    if alone and len(alone) == len(asked):
        raise NoSourceError(f"{told[0]} begins with no other corpus; leave --pretrain-on out")
    return [f"begin with no other corpus whatever --pretrain-on says: {', '.join(told)}"] if told else []


def _set(name: str, wish: Wish) -> Method:
    kind: type[Method] = load("methods", name)
    return kind(*configured(name, kind, wish))


def _settings(given: Sequence[str]) -> Mapping[str, Any]:
    """key=value; a value that is no Python literal is text."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise PluginError(f"--set takes key=value, but got {text!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


def store(asked: str) -> WeightStore:
    """Where published weights are looked for."""
    if asked and asked != "none" and not Path(asked).is_dir():
        raise PluginError(f"--weights {asked}: there is no such folder; name one, or none")
    return WeightStore(Path(asked) if asked and asked != "none" else weights_folder(), none=asked == "none")


def usable_device(asked: str) -> str:
    """The device that is asked for, if it is there."""
    import torch

    if asked not in ("auto", "cpu", "cuda"):
        raise PluginError(f"no device is called {asked!r}; choose from auto, cpu, cuda")
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise PluginError("no GPU was found that PyTorch can use; choose --device cpu")
    return "cuda" if there and asked != "cpu" else "cpu"
