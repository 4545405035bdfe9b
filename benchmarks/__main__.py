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
    Deciding,
    Device,
    Exclude,
    Fresh,
    Json,
    MethodNames,
    Modality,
    Preset,
    PretrainOn,
    Protocol,
    Seeds,
    Settings,
    Task,
    Tolerance,
    TrackingUri,
    Variant,
    WeightsFrom,
)

if TYPE_CHECKING:
    from benchmarks.regress import Gate
    from benchmarks.track import Tracker

app = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Published audio-visual emotion-recognition methods under the same, subject-independent rules.",
)
NO_CHAMPION = (
    "no row may be champion yet: it takes preset paper, verified subjects, a whole corpus under its own protocol, "
    "every fold finished, and nothing that a result must be stamped with"
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
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Fresh = False,
    baseline: Annotated[Path | None, typer.Option(help="Also judge the run against this file; see: regress.")] = None,
    tolerance: Tolerance = 0.0,
    metric: Deciding = "uar",
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
    gate = _gate(baseline, metric, tolerance)
    tracker = Tracker(tracking_uri)
    planned = plan(request, console.progress)
    if gate:
        gate.present(planned)
    for note in planned.notes:
        console.note(note)
    for arena in planned.arenas:
        show_arena(arena)
    engine = Engine(tracker, planned.device, console.progress, fresh, console.warn)
    outcomes = [engine.run(row, arena) for row, arena in planned.rows]
    judged = {
        outcome.run_id: gate.judged(outcome, tracker)
        for outcome in outcomes
        if gate and gate.names(outcome.row, outcome.arena)
    }
    if json:
        told = {run_id: {"regression": judgement.told()} for run_id, judgement in judged.items()}
        console.write_json([as_json(outcome) | told.get(outcome.run_id, {}) for outcome in outcomes])
    else:
        show(outcomes, tracker.shown)
    for judgement in judged.values():
        judgement.refuse() if json else judgement.show()
    _refresh(tracker)
    failed = int(not all(outcome.complete for outcome in outcomes))
    raise typer.Exit(max([failed, *(judgement.code for judgement in judged.values())]))


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
        initial_json(initial, seed, taught(initial, seed, tracker, planned.device, console.progress, fresh).run_id)
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
        Path | None,
        typer.Option(help="Also draw what a method gets of some clips into a PNG named like this and the row."),
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
            from benchmarks.sheet import beside, draw_inputs, spread

            shown = [(clip.name, store.read(clip.media)) for clip in spread(arena.clips)]
            draw_inputs(shown, beside(sheet, row.title, arena.dataset.name), row.title)
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
def predict(
    clip: Annotated[Path, typer.Argument(help="A film, a sound or a picture, or a folder of them; of no corpus.")],
    run: Annotated[str, typer.Option(help="Id of a finished run, or how it begins, or like baum1s-emotion@champion.")],
    window: Annotated[float, typer.Option(help="Seconds of a window.")] = 2.0,
    step: Annotated[float, typer.Option(help="Seconds from one window to the next.")] = 0.5,
    figure: Annotated[Path | None, typer.Option(help="Draw face, sound and answers over time (PNG, SVG, PDF).")] = None,
    weights: WeightsFrom = "",
    device: Device = "auto",
    tracking_uri: TrackingUri = "",
    json: Json = False,
) -> None:
    """A clip, or a folder of them, through a finished model: probabilities of the clip and over time.

    A window's answer is the method's answer to a clip that short. A file of more than a minute is answered by the mean
    of its windows. Of a row, the model of its first fold answers. Exit code 1 if a file of a folder has no answer.
    """
    from benchmarks import answers, model
    from benchmarks.predict import Answer, Windows, asked, finished
    from benchmarks.run import store, usable_device
    from benchmarks.track import Tracker

    request = asked(clip, Windows(window, step), figure)
    run_id, used = finished(Tracker(tracking_uri), run, store(weights), usable_device(device))
    console.note(f"run {run_id}: {used.title}")
    if used.facts["standin"]:
        console.warn(console.STANDIN_MODEL)
    if news := model.news(used.facts):
        console.warn(news)
    found = list(request.answers(used, console.progress))
    told = [answer for answer in found if isinstance(answer, Answer)]
    for fault in found:
        if not isinstance(fault, Answer):
            console.warn(fault.why)
    if json:
        console.write_json(answers.as_json(run_id, used, found, news))
    elif told:
        answers.show(told)
    if figure:
        answers.figure(told[0], used, figure)
    raise typer.Exit(0 if len(told) == len(found) else 1)


@app.command()
def promote(tracking_uri: TrackingUri = "", json: Json = False) -> None:
    """Register the best honest row of each corpus and task in MLflow's registry, as champion."""
    from benchmarks.registry import champions
    from benchmarks.track import Tracker

    found = [champion.told() for champion in champions(Tracker(tracking_uri))]
    if json:
        console.write_json(found)
    elif found:
        console.table(found)
    else:
        console.out.print(NO_CHAMPION)


@app.command()
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
    settings: Settings = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Has a method become worse than its frozen baseline? Exit code 1 if so, 2 if they cannot be compared."""
    from benchmarks import regress as gates
    from benchmarks.engine import Engine
    from benchmarks.outcomes import show_arena
    from benchmarks.run import Request, plan
    from benchmarks.track import Tracker

    request = Request(
        method, dataset, protocol, task, modality, variant, preset, weights, seeds, tuple(settings or ()), device,
        data_root, _excluded(exclude), pretrain_on,
    )  # fmt: skip
    if freeze:
        gates.writable(baseline, force)
    gate = None if freeze else _gate(baseline, metric, tolerance)
    tracker = Tracker(tracking_uri)
    planned = plan(request, console.progress)
    row, arena = gates.only(planned)
    for note in planned.notes:
        console.note(note)
    show_arena(arena)
    engine = Engine(tracker, planned.device, console.progress, fresh, console.warn)
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
    from benchmarks.registry import champions
    from benchmarks.report import refresh
    from datasets.base import UserError

    try:
        page = refresh(tracker, console.progress)
        for champion in champions(tracker) if page else ():
            if champion.moved:
                console.note(f"{champion.method} is now the champion of {champion.name}")
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


def _gate(file: Path | None, metric: str, points: float) -> "Gate | None":
    from datasets.base import UserError

    if file is None:
        if (metric, points) != ("uar", 0.0):
            raise UserError("--metric and --tolerance are about a baseline; name it with --baseline FILE")
        return None
    from benchmarks.regress import gate

    return gate(file, metric, points)


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


@app.command("import")
def import_(
    predictions: Annotated[
        Path, typer.Argument(help="CSV with the header clip,fold and either label or a column for each class.")
    ],
    name: Annotated[str, typer.Option(help="The row's name on the leaderboard.")],
    dataset: DatasetName,
    folds: Annotated[
        Path | None, typer.Option(help="CSV with the header clip,fold,role: who was trained on and tested.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="Without --folds: whose folds were predicted; default: the corpus' own.")
    ] = "",
    task: Task = "emotion",
    modality: Annotated[str, typer.Option(help="What the predictor used: av, audio or video.")] = "av",
    data_root: DataRoot = None,
    exclude: Exclude = None,
    tracking_uri: TrackingUri = "",
    fresh: Annotated[bool, typer.Option(help="Import again what is there already.")] = False,
    json: Json = False,
) -> None:
    """Predictions made elsewhere, scored by the same guard and marked as imported.

    Labels, people and recordings are the corpus' own; of PREDICTIONS only the answers are read. A clip is a file name
    without extension, as in audit.

    Without --folds, each fold's clips must be exactly the test set of one fold of the protocol, whatever the fold is
    called. With --folds, they must be the test clips of the fold of that name, and the file is audited: if somebody
    tested was trained on, the row is marked violated. Who was really trained on cannot be seen from here: training is
    as claimed, and every imported row says so.
    """
    from benchmarks.audits import read_folds
    from benchmarks.corpora import opened
    from benchmarks.importing import Asked, judged
    from benchmarks.outcomes import as_json, show, show_arena
    from benchmarks.predictions import read_predictions
    from benchmarks.track import Tracker

    asked = Asked(name, modality, task, protocol).checked(folds)
    table, listed = read_predictions(predictions), read_folds(folds) if folds else []
    tracker = Tracker(tracking_uri)
    corpus = opened(dataset, data_root, _excluded(exclude), console.progress)
    found = judged(asked, table, folds, listed, corpus, console.progress)
    show_arena(found.arena)
    outcome = found.keep(tracker, fresh)
    _refresh(tracker)
    if not outcome.trained:
        console.note(f"{asked.name}: {predictions} was imported before; nothing is changed")
    if json:
        console.write_json([as_json(outcome) | {"findings": console.audit_json(found.audit)["findings"]}])
    else:
        console.show_audit(found.audit)
        console.note("training is as claimed: who was trained on cannot be seen from here")
        show([outcome], tracker.shown)


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
