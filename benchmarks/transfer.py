"""Transfer: which other corpora a method's fits begin with, what must not be among them, and the models of them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.abroad import BusyError
from benchmarks.arenas import Arena
from benchmarks.cellrun import CellRun
from benchmarks.checkpoints import forget, kept_at
from benchmarks.claims import PAUSE, claims
from benchmarks.console import Progress, Tell
from benchmarks.content import Contents, Texts
from benchmarks.corpora import AbsentCorpusError
from benchmarks.determinism import in_force
from benchmarks.files import explained
from benchmarks.handed import handed, line
from benchmarks.plan import Initial, available, bare
from benchmarks.plugins import PluginError, load
from benchmarks.prepare import Store, fill, reason
from benchmarks.record import initial_tags, provenance
from benchmarks.settings import Wish, configured
from benchmarks.track import Done, Tracker
from datasets.clips import DatasetError
from datasets.roll import Clips
from methods.base import AbsentError, Examples, Method, MethodError, RunContext, Source, Weights


class TransferError(PluginError):
    """A corpus must not be begun with here."""


class NoSourceError(PluginError):
    """A method begins with no other corpus."""


Material = Callable[[str], Arena]  # a corpus by name, its clips without folds


def initials(name: str, wish: Wish, target: Arena | None, weights: Weights, material: Material) -> dict[str, Initial]:
    """By the method's own names. Without a target: for whatever it is run on later."""
    kind = load("methods", name)
    config, modality = configured(name, kind, wish)
    method: Method = kind(config, modality)
    there = replace(wish, modality="", variant="", pretrain_on=None)
    sources, found = method.sources(), {}
    if wish.pretrain_on and len(sources) > 1:
        raise TransferError(
            f"{name} begins with {len(sources)} models here ({', '.join(sources)}), and --pretrain-on would make them "
            "one; leave it out, or choose another --variant"
        )
    for part, source in sources.items():
        if corpora := _corpora(source, wish, target):
            made = bare(name, source.config, source.modality, there, weights)
            arenas = tuple(_opened(corpus, material) for corpus in sorted(corpora))
            for arena in arenas:
                available(arena, source.modality)
                _apart(arena, target or arenas[0])
            found[part] = Initial(made, arenas)
    return found


def _corpora(source: Source, wish: Wish, target: Arena | None) -> tuple[str, ...]:
    """Those that the user names, else those of the paper but for the target."""
    here = target.dataset.name if target else ""
    if wish.pretrain_on is None:
        return tuple(name for name in source.corpora if name != here)
    if here in wish.pretrain_on:
        raise TransferError(f"{here} is what is tested on; leave it out of --pretrain-on")
    return wish.pretrain_on


def _opened(name: str, material: Material) -> Arena:
    try:
        return material(name)
    except DatasetError as error:
        kind = AbsentError if isinstance(error, AbsentCorpusError) else DatasetError
        raise kind(f"{error}; or go without it: --pretrain-on none") from None


def _apart(source: Arena, target: Arena) -> None:
    """No clip of the target may be learnt from beforehand, whatever its name and container."""
    if source.dataset.standin != target.dataset.standin:
        rendered, real = (source, target) if source.dataset.standin else (target, source)
        raise AbsentError(
            f"{rendered.dataset.root} is a stand-in, {real.dataset.name} is not: get {rendered.dataset.title}, "
            "or go without it: --pretrain-on none"
        )
    if source is target:
        return
    held, heard = zip(_digests(source), _digests(target), strict=True)
    both = [np.isin(ours, theirs) & (ours != b"") for ours, theirs in (held, heard)]
    for clip in np.flatnonzero(both[0] | both[1]).tolist():
        ours, theirs = held if both[0][clip] else heard
        twin = target.clips[int(np.argmax(theirs == ours[clip]))].name
        raise DatasetError(
            f"{source.clips[clip].name} of {source.dataset.name} is the same recording as {twin} of "
            f"{target.dataset.name}, which is tested on; exclude one with --exclude FILE, or choose another "
            "--pretrain-on"
        )


def _digests(arena: Arena) -> tuple[Texts, Texts]:
    """Of what clips hold, and of what they sound like."""
    media = arena.clips.media
    return arena.contents.media(media), arena.contents.sounds(media)


def known(initial: Initial, seed: int, tracker: Tracker) -> Done | None:
    """The model, if it was made before."""
    experiment = tracker.experiment(initial.experiment)
    return tracker.finished(experiment, "bench.key", key := initial.key(seed), "initial").get(key)


def taught(initial: Initial, seed: int, tracker: Tracker, device: str, progress: Progress, fresh: bool = False) -> Done:
    """The run that holds the model; it is fitted unless it was before, or another process fits it now."""
    own, key, experiment = claims(tracker.place), initial.key(seed), tracker.experiment(initial.experiment)
    claim = f"{tracker.spool.mark} {key}"
    while True:
        with own.holding(claim) as ours:
            if ours:
                before = known(initial, seed, tracker)
                if before and not fresh:
                    return before
                if not tracker.abroad.busy(experiment, key):
                    if fresh:
                        forget(tracker.place, key)
                    with suppress(BusyError):
                        return _fitted(initial, seed, tracker, device, progress, before)
        near = own.holder(claim)
        with progress(f"{initial.title}: waiting for {near or tracker.abroad.busy(experiment, key)}"):
            time.sleep(PAUSE if near else 5 * PAUSE)


def _fitted(
    initial: Initial, seed: int, tracker: Tracker, device: str, progress: Progress, before: Done | None
) -> Done:
    """It is kept in the place of the one before."""
    experiment, tags = tracker.experiment(initial.experiment), initial_tags(initial, seed, device)
    clips = Clips.joined(*(arena.clips for arena in initial.arenas))
    contents = Contents.joined([arena.contents for arena in initial.arenas])
    try:
        store = fill(initial.row, clips, contents, device, progress)
        with (
            tracker.cell(experiment, "", initial.title, tags, before.run_id if before else "") as run,
            progress(initial.title) as advance,
        ):
            _learn(initial, seed, device, store, clips, run, advance)
    except BusyError:
        raise
    except Exception as error:  # whatever it is, it must reach the user as what failed, and cost no other method
        raise MethodError(f"{initial.title}: {reason(explained(error))}") from error
    return Done(run.run_id, {}, initial.row.source)


@contextmanager
def folders(runs: Mapping[str, str], tracker: Tracker) -> Iterator[Mapping[str, Path]]:
    """Of the models in some runs, by the method's own names, as long as a fit begins with them."""
    with TemporaryDirectory() as folder:
        yield {part: tracker.model(run_id, Path(folder) / part) for part, run_id in runs.items()}


def _learn(initial: Initial, seed: int, device: str, store: Store, clips: Clips, run: CellRun, advance: Tell) -> None:
    def log(name: str, value: float, step: int) -> None:
        run.log(name, value, step)
        advance(0, 1, f"epoch {step}: {name} {value:.3f}")

    method = initial.row.method()
    examples = Examples(handed(store, clips.media), tuple(sorted(clips.classes)), clips.labels)
    made_with = (store.folder.name, initial.row.source, initial.row.config, device, in_force())
    checkpoints = kept_at(run.tracker.place, initial.key(seed), made_with, lambda line: advance(0, 1, line))
    with line(log) as told:
        method.fit(examples, None, RunContext(seed, device, told, initial.row.pretrained, checkpoints=checkpoints))
    with TemporaryDirectory() as folder:
        method.save(Path(folder))
        run.finish_model(Path(folder), provenance(initial, seed))
    checkpoints.discard()
