"""Commands that train and test."""

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import console
from benchmarks.common import announce, asked_gate, excluded_names, refresh_leaderboard
from benchmarks.options import (
    STUDIES,
    DataRoot,
    DatasetNames,
    Deciding,
    Deterministic,
    Device,
    Exclude,
    Executor,
    Fresh,
    Jobs,
    Json,
    MethodNames,
    Modality,
    Params,
    Permutations,
    Preset,
    PretrainOn,
    Protocol,
    RayAddress,
    Sanity,
    Seeds,
    Settings,
    Storage,
    Task,
    Together,
    Tolerance,
    TrackingUri,
    TrialJobs,
    Tune,
    Variant,
    WeightsFrom,
)

commands = typer.Typer()


@commands.command()
def run(
    method: MethodNames,
    dataset: DatasetNames,
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
    fresh: Fresh = False,
    tune: Tune = 0,
    storage: Storage = STUDIES,
    trial_jobs: TrialJobs = 1,
    params: Params = None,
    baseline: Annotated[Path | None, typer.Option(help="Also judge the run against this file; see: regress.")] = None,
    tolerance: Tolerance = 0.0,
    metric: Deciding = "uar",
    sanity: Sanity = False,
    permutations: Permutations = 0,
    executor: Executor = "local",
    ray_address: RayAddress = "",
    jobs: Jobs = 0,
    together: Together = "auto",
    json: Json = False,
) -> None:
    """Compare methods on corpora; what is finished is not run again.

    Exit code 1 if a Cell failed, or is not sent, or one of all methods begins with what is not there.
    """
    from benchmarks import sanity as permuting
    from benchmarks.address import absolute
    from benchmarks.engine import Engine
    from benchmarks.execute import Place
    from benchmarks.inner import Tuning
    from benchmarks.outcomes import as_json, show, show_arena
    from benchmarks.run import Request, plan
    from benchmarks.track import Tracker
    from datasets.clips import UserError

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, excluded_names(exclude), pretrain_on, trials=tune, params=params,
    )  # fmt: skip
    if not tune and (storage, trial_jobs) != (STUDIES, 1):
        raise UserError("--storage and --trial-jobs are about trials; add --tune N")
    times = permuting.times(sanity, permutations, tune)
    gate = asked_gate(baseline, metric, tolerance)
    place = Place(executor, ray_address, jobs, together)
    tracker = Tracker(tracking_uri)
    planned = plan(request, console.progress)
    announce(planned)
    if gate:
        gate.present(planned)
    for arena in planned.arenas:
        show_arena(arena)
    trials = Tuning(absolute(storage), trial_jobs)
    execute = place.on(tracker.uri, planned.device, trials.storage if tune else "")
    engine = Engine(tracker, planned.device, console.progress, fresh, console.warn, execute, trials, deterministic)
    ended = engine.run_all([*planned.rows, *permuting.permuted(planned.rows, times)])
    outcomes, permuted = ended[: len(planned.rows)], ended[len(planned.rows) :]
    tested = permuting.tested(outcomes, permuted, tracker) if times else []
    judged = {
        outcome.run_id: gate.judged(outcome, tracker)
        for outcome in outcomes
        if gate and gate.names(outcome.row, outcome.arena)
    }
    if json:
        told: dict[str, dict[str, Any]] = {
            run_id: {"regression": judgement.told()} for run_id, judgement in judged.items()
        }
        for one in tested:
            told.setdefault(one.outcome.run_id, {})["sanity"] = one.told()
        console.write_json([as_json(outcome) | told.get(outcome.run_id, {}) for outcome in outcomes])
    else:
        show(outcomes, tracker.shown)
    permuting.show(tested, table=not json)
    for judgement in judged.values():
        judgement.refuse() if json else judgement.show()
    refresh_leaderboard(tracker)
    for line in planned.absent:
        console.warn(line)
    failed = int(
        any(outcome.waiting or not outcome.complete for outcome in outcomes)
        or any(one.failed for one in tested)
        or bool(planned.absent)
    )
    raise typer.Exit(max([failed, *(judgement.code for judgement in judged.values())]))


@commands.command()
def pretrain(
    method: Annotated[str, typer.Argument(help="A method that begins with a model of other corpora.")],
    on: Annotated[str, typer.Option(help="The corpora to learn from, with commas between.")],
    task: Task = "emotion",
    modality: Modality = "",
    variant: Variant = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    seeds: Seeds = 1,
    settings: Settings = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Annotated[bool, typer.Option(help="Make it again.")] = False,
    json: Json = False,
) -> None:
    """An initial model from other corpora, for `run --pretrain-on`; one that is there is not made again."""
    from benchmarks import determinism
    from benchmarks.outcomes import initial_json, show_initials
    from benchmarks.run import Request, lessons
    from benchmarks.track import Tracker
    from benchmarks.transfer import taught

    request = Request(
        method, "", "", task, modality, variant, preset, weights, seeds, tuple(settings or ()), device, data_root,
        excluded_names(exclude), on,
    )  # fmt: skip
    tracker = Tracker(tracking_uri)
    planned = lessons(request, console.progress)
    for note in planned.notes:
        console.note(note)
    with determinism.deterministic(deterministic):
        made = [
            initial_json(initial, seed, taught(initial, seed, tracker, planned.device, console.progress, fresh).run_id)
            for seed in range(seeds)
            for initial in planned.initials
        ]
    if json:
        console.write_json(made)
    else:
        show_initials(made, tracker.shown)


@commands.command()
def prepare(
    method: MethodNames,
    dataset: DatasetNames,
    modality: Modality = "",
    variant: Variant = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    settings: Settings = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    exclude: Exclude = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Also draw what a method gets of some clips into a PNG named like this and the row."),
    ] = None,
    json: Json = False,
) -> None:
    """Fill the cache ahead of a run. Exit code 1 if a method's inputs could not be made, or it was left out."""
    from benchmarks.files import drawable
    from benchmarks.prepare import PreparationError, fill, fill_together
    from benchmarks.run import Request, plan

    request = Request(
        method, dataset, "", "emotion", modality, variant, preset, weights, 1, tuple(settings or ()), device, data_root,
        excluded_names(exclude), pretrain_on,
    )  # fmt: skip
    if sheet:
        drawable(sheet, "--sheet")
    planned = plan(request, console.progress)
    announce(planned)
    failed, told = int(bool(planned.absent)), list[dict[str, object]]()
    lessons = [
        (initial.row, arena) for row, _ in planned.rows for initial in row.initials.values() for arena in initial.arenas
    ]
    fill_together([*lessons, *planned.rows], console.progress)
    for row, arena in [*lessons, *planned.rows]:
        try:
            store = fill(row, arena.clips, arena.contents, planned.device, console.progress)
        except PreparationError as error:
            failed = 1
            console.warn(f"{row.title}: {str(error).strip()}")
            continue
        told.append(
            {"row": row.title, "dataset": arena.dataset.name, "clips": len(arena.clips), "folder": str(store.folder)}
        )
        if not json:
            line = f"{row.title}, {arena.dataset.name}: {len(arena.clips)} clips in {store.folder}"
            console.out.print(line, markup=False)
        if sheet:
            from benchmarks.sheet import beside, draw_inputs, spread

            shown = [(clip.name, store.read(clip.media)) for clip in spread(arena.clips)]
            draw_inputs(shown, beside(sheet, row.title, arena.dataset.name), row.title)
    if json:
        console.write_json(told)
    raise typer.Exit(failed)


@commands.command()
def reproduce(
    method: Annotated[str, typer.Argument(help="A method with published numbers; see: list published.")],
    table: Annotated[str, typer.Option(help="One table of its paper, like VI or 'Fig. 6'; default: all.")] = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    seeds: Seeds = 1,
    device: Device = "auto",
    deterministic: Deterministic = False,
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    executor: Executor = "local",
    ray_address: RayAddress = "",
    jobs: Jobs = 0,
    together: Together = "auto",
    json: Json = False,
) -> None:
    """A paper's tables, published beside reproduced, on the corpora that are there. Exit code 1 if a Cell failed."""
    from benchmarks.engine import Engine
    from benchmarks.execute import Place
    from benchmarks.reproduce import stage
    from benchmarks.reproductions import keep, show
    from benchmarks.run import Request
    from benchmarks.track import Tracker

    request = Request(
        method, "", preset=preset, weights=weights, seeds=seeds, device=device, data_root=data_root,
        exclude=excluded_names(exclude), pretrain_on=pretrain_on,
    )  # fmt: skip
    place = Place(executor, ray_address, jobs, together)
    tracker = Tracker(tracking_uri)
    staged = stage(request, table, console.progress)
    staged.announce()
    execute = place.on(tracker.uri, staged.device)
    engine = Engine(
        tracker, staged.device, console.progress, tell=console.warn, execute=execute, deterministic=deterministic
    )
    lines = staged.run(engine)
    if json:
        console.write_json([line.told() for line in lines])
    else:
        show(lines)
    if staged.plans:
        console.note(keep(tracker, lines))
        refresh_leaderboard(tracker)
    raise typer.Exit(1 if any(line.failed for line in lines) else 0)
