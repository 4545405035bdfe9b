"""The command about time: what this machine needs, and what a run will need."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.common import excluded_names
from benchmarks.options import (
    DataRoot,
    DatasetNames,
    Deterministic,
    Device,
    Exclude,
    Json,
    Modality,
    Preset,
    PretrainOn,
    Protocol,
    Seeds,
    Settings,
    Task,
    TrackingUri,
    Variant,
    WeightsFrom,
)

commands = typer.Typer()


class Part(StrEnum):
    """What there is to measure."""

    prepare = "prepare"
    train = "train"
    predict = "predict"
    overhead = "overhead"


@commands.command()
def speed(
    part: Annotated[list[Part] | None, typer.Option(help="What to measure; repeatable. Default: all.")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="With --part train: two steps of each network, profiled, into this text file.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="Instead: how long will its run take? Methods, with commas between, or all.")
    ] = "",
    dataset: DatasetNames = "baum1s",
    protocol: Protocol = "",
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
    """This machine beside the plain way and beside its own ceiling; or, with --method, how long a run will take.

    What is measured is kept in the store, in the experiment "speed"; what fails costs its own line, and exit code 1.
    With --method nothing is run or kept but a few prepared clips: name method, corpus and settings as for run, and what
    is finished already counts as nothing to do.
    """
    from benchmarks import determinism
    from benchmarks.run import Request
    from benchmarks.speed import asked
    from datasets.clips import UserError

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, excluded_names(exclude), pretrain_on,
    )  # fmt: skip
    if method and (part or profile):
        raise UserError(
            "--part and --profile measure this machine, --method asks how long a run takes; leave one of them out"
        )
    if method:
        with determinism.deterministic(deterministic):
            raise typer.Exit(asked.estimate(request, tracking_uri, json))
    if "," in dataset or request != Request("", dataset, preset=preset, device=device, data_root=data_root):
        raise UserError(
            "without --method, only --part, --profile, --preset, --dataset (one), --data-root, --device, "
            "--deterministic, --tracking-uri and --json are for speed"
        )
    parts = [one.value for one in part or Part]
    if profile and Part.train not in parts:
        raise UserError("--profile tells of training; add --part train, or leave it out")
    with determinism.deterministic(deterministic):
        raise typer.Exit(asked.measure(parts, request, tracking_uri, json, profile))
