"""The command that judges a method against its frozen baseline."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import console
from benchmarks.common import announce, asked_gate, excluded_names
from benchmarks.options import (
    DataRoot,
    DatasetName,
    Deciding,
    Deterministic,
    Device,
    Exclude,
    Executor,
    FirstSeed,
    Fresh,
    Jobs,
    Json,
    Modality,
    Preset,
    PretrainOn,
    Protocol,
    RayAddress,
    Seeds,
    Settings,
    Task,
    Together,
    Tolerance,
    TrackingUri,
    Variant,
    WeightsFrom,
)

commands = typer.Typer()


@commands.command()
def regress(
    method: Annotated[str, typer.Option(help="One method; see: list methods.")],
    dataset: DatasetName,
    baseline: Annotated[Path, typer.Option(help="JSON file, frozen before.")],
    freeze: Annotated[bool, typer.Option("--freeze", help="Write the file from this run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --freeze: over a file that is there.")] = False,
    metric: Deciding = "uar",
    tolerance: Tolerance = 0.0,
    protocol: Protocol = "",
    modality: Modality = "",
    task: Task = "emotion",
    variant: Variant = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    seeds: Seeds = 1,
    first_seed: FirstSeed = 0,
    settings: Settings = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Fresh = False,
    executor: Executor = "local",
    ray_address: RayAddress = "",
    jobs: Jobs = 0,
    together: Together = "auto",
    json: Json = False,
) -> None:
    """Has a method become worse than its frozen baseline? Exit code 1 if so, 2 if they cannot be compared."""
    from benchmarks import regress as gates
    from benchmarks.engine import Engine
    from benchmarks.execute import Place
    from benchmarks.outcomes import show_arena
    from benchmarks.run import Request, plan
    from benchmarks.track import Tracker
    from datasets.clips import UserError

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, excluded_names(exclude), pretrain_on, first_seed,
    )  # fmt: skip
    if freeze:
        gates.freezable(baseline, force)
    elif force:
        raise UserError("--force is to freeze over a file; give --freeze too, or leave it out")
    gate = asked_gate(None if freeze else baseline, metric, tolerance)
    place = Place(executor, ray_address, jobs, together)
    tracker = Tracker(tracking_uri)
    planned = plan(request, console.progress)
    row, arena = gates.only(planned)
    announce(planned)
    show_arena(arena)
    execute = place.on(tracker.uri, planned.device)
    engine = Engine(
        tracker, planned.device, console.progress, fresh, console.warn, execute, deterministic=deterministic
    )
    if gate is None:
        told = gates.freeze(engine.run(row, arena), baseline, tracker)
        console.write_json(told) if json else console.out.print(gates.frozen_line(told), markup=False)
        raise typer.Exit(0)
    judged = gate.run(row, arena, engine)
    if json:
        console.write_json(judged.told())
        judged.refuse()
    else:
        judged.show()
    raise typer.Exit(judged.code)
