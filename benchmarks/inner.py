"""What tuning may see: folds made of an outer fold's training clips alone; and what is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.plugins import PluginError, build
from benchmarks.settings import space
from methods.base import Distribution, Method
from protocols.base import Fold, Judged, ProtocolError
from protocols.grouping import blocks

GROUPS = 3
SAMPLER = "TPE, the first 10 at random, constant liar, seeded by study and trial"
PRUNER = "median, after 5 trials and 3 epochs, never the first"
TUNED_ON_TEST = "tuned_on_test_subjects"  # a stamp


@dataclass(frozen=True)
class Tuning:
    """How trials are run; nothing of it changes what is found, but for the order in which several workers draw."""

    storage: str
    jobs: int = 1  # processes at once for each study, if memory allows


def inner_folds(fold: Judged) -> tuple[Fold, ...]:
    """Whole subjects in three groups, each held out once; of clips without subjects, the clips."""
    if not isinstance(fold, Fold):
        raise ProtocolError(f"{fold.name} is no fold of the guard, and only on those is anything tuned")
    known = all(clip.subject for clip in fold.train)
    units = len(blocks(fold.train, "subject" if known else "clip"))
    if units < 2:
        raise ProtocolError(
            f"{fold.name} trains on one {'subject' if known else 'clip'} alone, and tuning holds some out; "
            "choose a protocol that holds out less, or go without --tune"
        )
    kind = "leave-one-speaker-group-out:groups" if known else "random-k-fold:k"
    return tuple(fold.inner(build("protocols", f"{kind}={min(GROUPS, units)}")))


def searched(method: Method, name: str, fixed: Mapping[str, Any]) -> dict[str, Distribution]:
    """Where trials look; what the user set stays as it is set."""
    found = {key: where for key, where in space(method).items() if key not in fixed}
    if not found:
        raise PluginError(f"{name} declares nothing to tune, but for what is set; go without --tune")
    return found


def sensible(trials: int) -> None:
    """An error for a number of trials among which nothing could be chosen."""
    if trials < 2:
        raise PluginError(f"tuning takes two trials at least, the first of which is untuned, but got {trials}")


def asked(method: Method, name: str, trials: int, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """All that the found settings depend on besides what any result does."""
    where = {key: repr(told) for key, told in sorted(searched(method, name, fixed).items())}
    return {"trials": trials, "space": where, "sampler": SAMPLER, "pruner": PRUNER, "groups": GROUPS}
