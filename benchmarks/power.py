"""How well would the regression gate see with a baseline of yours? By simulation on the subjects that it holds.

`python -m benchmarks.power FILE` draws people anew from those of a frozen baseline, with their own numbers of clips and
their own ways of erring, for 8, 24 and 43 of them and for as many as there are, and prints how often the gate stops
runs that lost nothing, and runs that lost five points. The exit code is 1 if false alarms exceed 5 %.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from benchmarks import console
from benchmarks.baseline import BaselineError, read
from datasets.clips import UserError
from reports.coverage import AGREEMENTS, ALARMS, LOSSES, alarms
from reports.gate import DECIDES, LEVEL
from reports.statistics import measure

Floats = npt.NDArray[np.float64]
SIZES = (8, 24, 43)
LENT = 5.0  # clips of each class that a person answers as everybody does: of few clips, shares say little


@dataclass(frozen=True, eq=False)
class Stored:
    """People like those of a baseline: `answers` [stored, true, answered] by chance, `clips` [stored, true]."""

    answers: Floats
    clips: npt.NDArray[np.int64]
    subjects: int

    @cached_property
    def expected(self) -> Floats:
        """The confusion matrix, were everybody asked for ever."""
        matrix: Floats = (self.answers * self.clips[..., None]).sum(0)
        matrix /= matrix.sum()
        return matrix

    def draw(self, corpora: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Each corpus gets its people with replacement."""
        who = random.integers(len(self.answers), size=(corpora, self.subjects))
        return self.answers[who], self.clips[who]


def stored(counts: Floats, subjects: int) -> Stored:
    """People from their counts, whose shares are drawn towards those of all by LENT clips of each class."""
    everybody = counts.sum(0) / np.maximum(counts.sum((0, 2)), 1)[:, None]
    lent = counts + LENT * everybody
    clips = np.rint(counts.sum(-1)).astype(np.int64)
    return Stored(lent / np.maximum(lent.sum(-1, keepdims=True), 1e-9), clips, subjects)


def main(
    file: Annotated[Path, typer.Argument(help="A frozen baseline.")],
    runs: Annotated[int, typer.Option(help="Simulated pairs of runs in each row.")] = 4000,
) -> None:
    """Print the table."""
    try:
        tally = read(file).tally
        if tally.unit != "subject" or len(tally.names) < 2:
            raise BaselineError(f"{file} is of {len(tally.names)} {tally.unit}s; the simulation needs two subjects")
    except UserError as error:
        console.fail(str(error))
        raise typer.Exit(2) from None
    before, sizes = float(measure(tally.counts.sum(0), DECIDES)), sorted({*SIZES, len(tally.names)})
    typer.echo(f"{file}: {len(tally.names)} subjects, {DECIDES} {100 * before:.1f}; the gate at {LEVEL:.1%}, of {runs}")
    typer.echo("points lost / tolerated\nsubjects  agreement" + "".join(f"{_head(*one):>9}" for one in LOSSES))
    most = 0.0
    for subjects in sizes:
        for agreement in AGREEMENTS:
            people = stored(tally.counts, subjects)
            rates = [alarms(people, DECIDES, runs, *one, agreement=agreement) for one in LOSSES]
            typer.echo(f"{subjects:8}  {agreement:9.0%}" + "".join(f"{rate:9.1%}" for rate in rates))
            most = max(most, *rates[:2])
    raise typer.Exit(int(most > ALARMS))


def _head(loss: float, tolerance: float) -> str:
    return f"{100 * loss:.0f} / {100 * tolerance:.0f}"


if __name__ == "__main__":
    typer.run(main)
