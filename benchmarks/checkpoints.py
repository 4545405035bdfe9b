"""How far the trainings of a Cell are, on disk: written whole, at most every few seconds, gone when it is finished."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from benchmarks.environment import code, libraries
from benchmarks.files import remove, whole
from datasets.clips import UserError
from methods.base import Checkpoint

EVERY = 10.0  # seconds between two checkpoints at least: what is faster than that is sooner done again
SHARE = 0.05  # of the time goes into writing them at most
FACTS, SPENT = "facts", "seconds"


@dataclass
class OnDisk:
    """A file for each training of a fit. What cannot be written costs no more than a later start."""

    folder: Path
    tell: Callable[[str], None]
    every: float = EVERY
    share: float = SHARE
    saved: set[str] = field(default_factory=set)
    since: float = field(default_factory=lambda: time.monotonic())
    took: float = 0.0
    begun: float = field(default_factory=lambda: time.monotonic())
    earlier: float = 0.0  # seconds that were spent until the latest checkpoint that was read
    sharers: Callable[[], int] = lambda: 1  # Cells that are trained at once, which share the time

    def restart(self) -> None:
        """The fit begins now, and shares its time with no other."""
        self.begun = self.since = time.monotonic()
        self.sharers = lambda: 1

    def load(self, stage: str) -> Checkpoint | None:
        """One that is damaged is said and made again."""
        file = self._file(stage)
        if not file.is_file():
            return None
        try:
            with safe_open(file, "pt") as opened:
                facts = json.loads(opened.metadata()[FACTS])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  it is no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            self.tell(f"{file} is damaged ({type(error).__name__}): this training begins anew")
            remove(file)
            return None
        self.saved.add(stage)
        self.earlier = max(self.earlier, facts.pop(SPENT))
        self.tell(f"goes on after epoch {facts['epoch']}{f' of {stage}' if stage else ''}")
        return Checkpoint(tensors, facts)

    def due(self, stage: str, last: bool) -> bool:
        """Whether enough has been done since the last one; of a training that has one, its end is kept as well."""
        passed = time.monotonic() - self.since
        return passed >= max(self.every, self.sharers() * self.took / self.share) or (last and stage in self.saved)

    def save(self, stage: str, checkpoint: Checkpoint) -> None:
        """Tensors with what is told of them beside, in one file."""
        begun = time.monotonic()
        try:
            with whole(self._file(stage)) as beside:
                tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
                spent = {SPENT: self.earlier + (begun - self.begun) / self.sharers()}
                save_file(tensors, beside, {FACTS: json.dumps({**checkpoint.facts, **spent})})
        except UserError as error:
            self.tell(f"no checkpoint was kept: {error}")
        else:
            self.saved.add(stage)
        self.since = time.monotonic()
        self.took = self.since - begun

    def discard(self) -> None:
        """The Cell is finished."""
        remove(self.folder.parent)

    def _file(self, stage: str) -> Path:
        return self.folder / f"{stage or 'training'}.safetensors"


def kept_at(place: Path, key: str, made_with: Sequence[object], tell: Callable[[str], None], part: str = "") -> OnDisk:
    """Of a Cell, or of a model to begin with; other code, settings or libraries begin anew.

    A fit that is a `part` of a trial for the Cell: all parts of the trial are discarded together.
    """
    told = hashlib.sha256(repr((made_with, code(), sorted(libraries().items()))).encode()).hexdigest()[:16]
    return OnDisk(place / "checkpoints" / key / told / part, tell, EVERY, SHARE)


def forget(place: Path, key: str) -> None:
    """Whoever asks for everything anew begins at the beginning."""
    remove(place / "checkpoints" / key)
