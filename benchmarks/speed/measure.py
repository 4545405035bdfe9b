"""One thing that was measured, and the plain way of doing it, measured in the same run."""

from dataclasses import asdict, dataclass
from typing import Any


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
