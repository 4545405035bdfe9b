"""One thing that was measured, and the plain way of doing it, measured in the same run; or why it was not."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

Way = Callable[[], object]


@dataclass(frozen=True)
class Measure:
    """Compare by ratios: seconds of a machine that others use too say little."""

    part: str  # prepare, train, predict or overhead
    what: str
    seconds: float
    plain: str = ""  # what was measured beside it; empty: nothing
    plain_seconds: float = 0.0
    media_seconds: float = 0.0  # of sound or picture that was worked on
    rate: float = 0.0  # arithmetic operations, or bytes, a second
    ceiling: float = 0.0  # of the same, what the machine was measured to reach
    note: str = ""
    gpu_memory: float = 0.0  # bytes, the most that were allocated there at once; 0: not measured

    @property
    def faster(self) -> float | None:
        """How many times faster than the plain way."""
        return self.plain_seconds / self.seconds if self.plain else None

    @property
    def real_time(self) -> float | None:
        """Share of the media's duration."""
        return self.seconds / self.media_seconds if self.media_seconds else None

    @property
    def of_ceiling(self) -> float | None:
        """Share of what the machine can reach."""
        return self.rate / self.ceiling if self.ceiling else None

    def told(self) -> dict[str, Any]:
        """As a document, with the ratios."""
        return asdict(self) | {"faster": self.faster, "real_time": self.real_time, "of_ceiling": self.of_ceiling}


@dataclass(frozen=True)
class Failed:
    """What was to be measured, and why it was not, or is not to be believed."""

    part: str
    what: str
    why: str

    def told(self) -> dict[str, Any]:
        """As a document."""
        return asdict(self)


Told = Measure | Failed


def attempted(part: str, what: str, work: Callable[[], Iterable[Told]]) -> Iterator[Told]:
    """What is measured until it fails; a failure, whatever it is, costs nothing that comes after."""
    try:
        yield from work()
    except Exception as error:
        yield Failed(part, what, f"{type(error).__name__}: {error}")


def alternating(ours: Way, plain: Way, times: int) -> tuple[float, float]:
    """Of each way the best time: what else the machine does can only add to it."""
    told = [(taken(ours), taken(plain)) for _ in range(times)]
    return min(one for one, _ in told), min(other for _, other in told)


def taken(way: Way) -> float:
    """Seconds."""
    begun = time.perf_counter()
    way()
    return time.perf_counter() - begun
