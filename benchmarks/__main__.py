"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import console
from benchmarks.options import (
    DataRoot,
    DatasetName,
    DatasetNames,
    Device,
    Exclude,
    Json,
    MethodNames,
    Modality,
    Preset,
    PretrainOn,
    Seeds,
    Settings,
    Task,
    TrackingUri,
    Variant,
    WeightsFrom,
)

if TYPE_CHECKING:
    from benchmarks.track import Tracker

app = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Published audio-visual emotion-recognition methods under the same, subject-independent rules.",
)
INTERRUPTED = 130  # as shells count: 128 and the number of the signal


class Kind(StrEnum):
    """What there is to list."""

    methods = "methods"
    datasets = "datasets"
    protocols = "protocols"
    variants = "variants"
    published = "published"
    weights = "weights"


class New(StrEnum):
    """What there is to start."""

    method = "method"
    dataset = "dataset"
    protocol = "protocol"


@app.command()
def run(
    method: MethodNames,
    dataset: DatasetNames,
    protocol: Annotated[str, typer.Option(help="Who is held out; default: the corpus' own. NAME or NAME:k=3.")] = "",
    modality: Modality = "",
    task: Task = "emotion",
    variant: Variant = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    seeds: Seeds = 1,
    settings: Settings = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Annotated[bool, typer.Option(help="Run finished Cells again.")] = False,
    json: Json = False,
) -> None:
    """Compare methods on corpora; what is finished is not run again. Exit code 1 if a Cell failed."""
    from benchmarks.engine import Engine
    from benchmarks.outcomes import as_json, show, show_arena
    from benchmarks.run import Request, plan
    from benchmarks.track import Tracker

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, _excluded(exclude), pretrain_on,
    )  # fmt: skip
    tracker = Tracker(tracking_uri)
    planned = plan(request, console.progress)
    for note in planned.notes:
        console.note(note)
    for arena in planned.arenas:
        show_arena(arena)
    engine = Engine(tracker, planned.device, console.progress, fresh, console.warn)
    outcomes = [engine.run(row, arena) for row, arena in planned.rows]
    if json:
        console.write_json([as_json(outcome) for outcome in outcomes])
    else:
        show(outcomes, tracker.shown)
    _refresh(tracker)
    raise typer.Exit(0 if all(outcome.complete for outcome in outcomes) else 1)


@app.command()
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
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Annotated[bool, typer.Option(help="Make it again.")] = False,
    json: Json = False,
) -> None:
    """An initial model from other corpora, for `run --pretrain-on`; one that is there is not made again."""
    from benchmarks.outcomes import initial_json, show_initials
    from benchmarks.run import Request, lessons
    from benchmarks.track import Tracker
    from benchmarks.transfer import taught

    request = Request(
        method, "", "", task, modality, variant, preset, weights, seeds, tuple(settings or ()), device, data_root,
        _excluded(exclude), on,
    )  # fmt: skip
    tracker = Tracker(tracking_uri)
    planned = lessons(request, console.progress)
    for note in planned.notes:
        console.note(note)
    made = [
        initial_json(initial, seed, taught(initial, seed, tracker, planned.device, console.progress, fresh))
        for seed in range(seeds)
        for initial in planned.initials
    ]
    if json:
        console.write_json(made)
    else:
        show_initials(made, tracker.shown)


@app.command()
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
        Path | None, typer.Option(help="Also draw what the method gets of some clips into this PNG.")
    ] = None,
) -> None:
    """Fill the cache ahead of a run."""
    from benchmarks.prepare import PreparationError, fill
    from benchmarks.run import Request, plan

    request = Request(
        method, dataset, "", "emotion", modality, variant, preset, weights, 1, tuple(settings or ()), device, data_root,
        _excluded(exclude), pretrain_on,
    )  # fmt: skip
    planned = plan(request, console.progress)
    for note in planned.notes:
        console.note(note)
    failed = 0
    lessons = [
        (initial.row, arena) for row, _ in planned.rows for initial in row.initials.values() for arena in initial.arenas
    ]
    for row, arena in [*lessons, *planned.rows]:
        try:
            store = fill(row, arena.clips, arena.contents, planned.device, console.progress)
        except PreparationError as error:
            failed = 1
            console.warn(f"{row.title}: {str(error).strip()}")
            continue
        console.out.print(
            f"{row.title}, {arena.dataset.name}: {len(arena.clips)} clips in {store.folder}", markup=False
        )
        if sheet:
            from benchmarks.sheet import draw_inputs, spread

            shown = [(clip.name, store.read(clip.media)) for clip in spread(arena.clips)]
            draw_inputs(shown, sheet.with_stem(f"{sheet.stem}-{row.name}-{arena.dataset.name}"), row.title)
    raise typer.Exit(failed)


@app.command()
def reproduce(
    method: Annotated[str, typer.Argument(help="A method with published numbers; see: list published.")],
    table: Annotated[str, typer.Option(help="One table of its paper, like VI or 'Fig. 6'; default: all.")] = "",
    preset: Preset = "",
    weights: WeightsFrom = "",
    pretrain_on: PretrainOn = "",
    seeds: Seeds = 1,
    device: Device = "auto",
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    json: Json = False,
) -> None:
    """A paper's tables, published beside reproduced, on the corpora that are there. Exit code 1 if a Cell failed."""
    from benchmarks.engine import Engine
    from benchmarks.reproduce import keep, show, stage
    from benchmarks.run import Request
    from benchmarks.track import Tracker

    request = Request(
        method, "", preset=preset, weights=weights, seeds=seeds, device=device, data_root=data_root,
        exclude=_excluded(exclude), pretrain_on=pretrain_on,
    )  # fmt: skip
    tracker = Tracker(tracking_uri)
    staged = stage(request, table, console.progress)
    staged.announce()
    lines = staged.run(Engine(tracker, staged.device, console.progress, tell=console.warn))
    if json:
        console.write_json([line.told() for line in lines])
    else:
        show(lines)
    if staged.plans:
        console.note(keep(tracker, lines))
        _refresh(tracker)
    raise typer.Exit(1 if any(line.failed for line in lines) else 0)


@app.command()
def report(
    out: Annotated[Path | None, typer.Option(help="Folder to write into; default: leaderboard.")] = None,
    tracking_uri: TrackingUri = "",
    json: Json = False,
) -> None:
    """The leaderboard of all that the store holds: one page; beside it CSV, Markdown, LaTeX, BibTeX and figures."""
    from benchmarks.report import FOLDER
    from benchmarks.report import report as make
    from benchmarks.track import Tracker

    page = make(Tracker(tracking_uri), out or Path(FOLDER), console.progress)
    if json:
        console.write_json({"page": str(page), "files": sorted(str(file) for file in page.parent.iterdir())})
    else:
        console.out.print(f"leaderboard: {page}", markup=False)


def _refresh(tracker: "Tracker") -> None:
    """The last act of a run; what it was to show is kept, whatever becomes of the page."""
    from benchmarks.report import refresh
    from datasets.base import UserError

    try:
        page = refresh(tracker, console.progress)
    except UserError as error:
        console.warn(error)
        return
    if page:
        console.note(f"leaderboard: {page}")


@app.command("list")
def list_(kind: Kind, json: Json = False) -> None:
    """What there is: methods, datasets, protocols, weights; rows of papers that can be run, and papers' numbers."""
    from benchmarks.listing import IN_FULL, JSON_ONLY, ROWS

    rows = (IN_FULL if json else ROWS).get(kind.value, ROWS[kind.value])()
    if json:
        console.write_json(rows)
    elif rows:
        console.table([{key: row[key] for key in row if key not in JSON_ONLY} for row in rows])
    else:
        console.out.print(f"no {kind.value} yet; python -m benchmarks new {kind.value[:-1]} NAME starts one")


@app.command()
def check(
    dataset: DatasetName,
    data_root: DataRoot = None,
    exclude: Exclude = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw faces and voices of each emotion into this PNG.")
    ] = None,
    full: Annotated[bool, typer.Option(help="If a stand-in is to be rendered: with the real counts.")] = False,
    json: Json = False,
) -> None:
    """Is my copy of a corpus complete and readable? Exit code 1 if not."""
    from benchmarks.corpora import opened

    corpus = opened(dataset, data_root, _excluded(exclude), console.progress, full)
    with console.progress(f"decoding {dataset}") as advance:
        report = corpus.check(os.cpu_count() or 1, advance)
    if json:
        console.write_json(console.report_json(report, corpus))
    else:
        console.show_report(report, corpus)
    if sheet:
        from benchmarks.sheet import draw

        broken = {problem.name for problem in report.of("unreadable")}
        draw([clip for clip in report.listing.clips if clip.name not in broken], sheet, corpus.title, corpus.standin)
    raise typer.Exit(1 if report.faults else 0)


def _excluded(file: Path | None) -> frozenset[str]:
    from benchmarks.corpora import excluded

    return excluded(file)


@app.command()
def audit(
    folds: Annotated[Path, typer.Argument(help="CSV with the header clip,fold,role (train, validation or test).")],
    dataset: Annotated[str, typer.Option(help="The corpus; default: the one whose naming fits.")] = "",
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Is somebody's split honest? Exit code 1 if it leaks.

    Where the corpus is in the data root, byte-identical files count as one recording whatever their names.
    """
    from benchmarks.audits import infer, judge, read_folds
    from benchmarks.corpora import data_root as configured
    from benchmarks.corpora import located
    from benchmarks.plugins import load, resolve

    rows = read_folds(folds)
    name = resolve("datasets", dataset) if dataset else infer(rows)
    root = configured(data_root)
    corpus = located(name, data_root) if root and (data_root or (root / name).is_dir()) else None
    told = judge(rows, corpus or load("datasets", name)(Path()), corpus is not None)
    if json:
        console.write_json(console.audit_json(told))
    else:
        console.show_audit(told)
    raise typer.Exit(0 if told.verdict.honest else 1)


@app.command()
def new(kind: New, name: str) -> None:
    """A working plugin file to start from."""
    from benchmarks.new import write

    path = write(kind.value, name)
    console.out.print(f"{path} is there and works; CONTRIBUTING.md says how to go on", markup=False)


@app.command()
def standin(
    dataset: DatasetName,
    out: Annotated[Path, typer.Option(help="Folder to render into; it can then serve as --data-root.")],
    full: Annotated[bool, typer.Option(help="With the real counts and picture sizes.")] = False,
    seed: Annotated[int, typer.Option(help="Other people, voices and moods.")] = 0,
) -> None:
    """Render a synthetic stand-in of a corpus in its exact layout."""
    from benchmarks.corpora import standin as render

    with console.progress(f"rendering a stand-in of {dataset}") as advance:
        corpus = render(dataset, out, full, seed, advance, frozenset())
    console.out.print(f"STAND-IN of {corpus.title} at {corpus.root}", markup=False)


def main() -> int:
    """Exit code 0: done; 1: the answer is no; 2: the request cannot be carried out, with one line that says why."""
    from typer._click.exceptions import ClickException

    from datasets.base import UserError

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait halve a shared machine
    try:
        code: int = app(standalone_mode=False) or 0
        if code == INTERRUPTED:  # Typer's answer to Ctrl-C, given without a word
            console.fail("interrupted; what is finished is kept")
        return code
    except ClickException as error:
        console.fail(error.format_message())
    except UserError as error:
        console.fail(error)
    return 2


if __name__ == "__main__":
    sys.exit(main())
