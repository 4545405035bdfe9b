"""Studies of a tuned row, as the store of results keeps them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST = 200_000  # trials of a row that are read at most


@dataclass(frozen=True)
class Trial:
    """One try of some settings; a value only where it ended, or how far it came."""

    state: str  # COMPLETE, PRUNED or FAIL
    value: float | None


@dataclass(frozen=True)
class Study:
    """All trials inside one fold."""

    fold: str
    trials: tuple[Trial, ...]
    default: float | None  # the value of the settings as they stood
    value: float
    params: Mapping[str, object]
    importances: Mapping[str, float]

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class Tuning:
    """One study for each fold and seed."""

    studies: tuple[Study, ...]

    @property
    def default(self) -> float | None:
        """The mean value of the settings as they stood; None where one of them failed."""
        told = [study.default for study in self.studies if study.default is not None]
        return sum(told) / len(told) if told and len(told) == len(self.studies) else None

    def count(self, state: str) -> int:
        """Trials that came to that end."""
        return sum(study.count(state) for study in self.studies)


def read(told: Sequence[Mapping[str, Any]]) -> Tuning:
    """What was kept, or an error where that is nothing of the kind."""
    if sum(len(one["trials"]) for one in told) > MOST:
        raise ValueError(f"a tuned row has {MOST} trials at most")
    return Tuning(tuple(_study(one) for one in told))


def _study(told: Mapping[str, Any]) -> Study:
    value = _number(told["value"])
    if value is None:
        raise ValueError("a study has a best value")
    shares = {str(name): _number(share) for name, share in told["importances"].items()}
    return Study(
        fold=str(told["fold"]),
        trials=tuple(Trial(str(trial["state"]), _number(trial["value"])) for trial in told["trials"]),
        default=_number(told["default"]),
        value=value,
        params={str(name): setting for name, setting in dict(told["params"]).items()},
        importances={name: share for name, share in shares.items() if share is not None},
    )


def _number(told: Any) -> float | None:
    if told is None:
        return None
    value = float(told)
    if not math.isfinite(value):
        raise ValueError("a score is a number")
    return value
