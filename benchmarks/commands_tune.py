"""The command that tunes."""

import json as documents
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import console
from benchmarks.common import announce, excluded_names
from benchmarks.options import (
    STUDIES,
    DataRoot,
    DatasetNames,
    Deterministic,
    Device,
    Exclude,
    Json,
    MethodNames,
    Modality,
    Preset,
    PretrainOn,
    Protocol,
    Seeds,
    Settings,
    Storage,
    Task,
    TrackingUri,
    TrialJobs,
    Variant,
    WeightsFrom,
)

commands = typer.Typer()


@commands.command()
def tune(
    method: MethodNames,
    dataset: DatasetNames,
    trials: Annotated[int, typer.Option(help="Trials for each fold; the first is the method as it stands.")],
    protocol: Protocol = "",
    fold: Annotated[str, typer.Option(help="One fold by its name; default: each has a study of its own.")] = "",
    storage: Storage = STUDIES,
    jobs: TrialJobs = 1,
    out: Annotated[Path | None, typer.Option(help="Also write what is found to this file; see: run --params.")] = None,
    modality: Modality = "",
    task: Task = "emotion",
    variant: Variant = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    seeds: Seeds = 1,
    settings: Settings = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    json: Json = False,
) -> None:
    """Search for better settings inside each fold's training clips; several processes with one --storage share it.

    Nothing is tested: run --tune does both. Exit code 1 if all trials of a fold failed.
    """
    from benchmarks import determinism
    from benchmarks.address import absolute
    from benchmarks.files import writable
    from benchmarks.inner import Tuning, sensible
    from benchmarks.run import Request, plan
    from benchmarks.track import Tracker
    from benchmarks.tuning import Found, chosen, found, show

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, excluded_names(exclude), pretrain_on, trials=trials,
    )  # fmt: skip
    sensible(trials)
    if out:
        writable(out)
    tracker, tuning = Tracker(tracking_uri), Tuning(absolute(storage), jobs)
    planned = plan(request, console.progress)
    announce(planned)
    cells = [(row, arena, chosen(row, fold)) for row, arena in planned.rows]
    made, failed = list[Found](), int(bool(planned.absent))
    with determinism.deterministic(deterministic):
        for row, arena, asked in cells:
            for one in found(row, arena, asked, tuning, planned.device, tracker, console.progress):
                if isinstance(one, Found):
                    made.append(one)
                else:
                    failed = 1
                    console.warn(one)
    told = [one.told() for one in made]
    if out:
        out.write_text(documents.dumps(told, indent=1) + "\n", encoding="utf-8")
    if json:
        console.write_json(told)
    else:
        show(made)
    raise typer.Exit(failed)
