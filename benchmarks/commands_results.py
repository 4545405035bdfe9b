"""Commands about finished results, and about predictions made elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import console
from benchmarks.common import excluded_names, refresh_leaderboard
from benchmarks.options import (
    DataRoot,
    DatasetName,
    Device,
    Exclude,
    Json,
    Task,
    TrackingUri,
    WeightsFrom,
)

commands = typer.Typer()
NO_CHAMPION = (
    "no row may be champion yet: it takes one that the leaderboard ranks, on a real corpus under its own protocol; "
    "the page says why each other row is not ranked"
)


@commands.command()
def report(
    out: Annotated[Path | None, typer.Option(help="Folder to write into; default: leaderboard.")] = None,
    tracking_uri: TrackingUri = "",
    json: Json = False,
) -> None:
    """The leaderboard of all that the store holds: one page; beside it CSV, Markdown, LaTeX, BibTeX and figures."""
    from benchmarks.report import FOLDER
    from benchmarks.report import report as make
    from benchmarks.track import Tracker

    page, _ = make(Tracker(tracking_uri), out or Path(FOLDER), console.progress)
    if json:
        console.write_json({"page": str(page), "files": sorted(str(file) for file in page.parent.iterdir())})
    else:
        console.out.print(f"leaderboard: {page}", markup=False)


@commands.command()
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


@commands.command()
def promote(tracking_uri: TrackingUri = "", json: Json = False) -> None:
    """Register the best honest row of each corpus and task in MLflow's registry, as champion."""
    from benchmarks.registry import champions
    from benchmarks.report import collect
    from benchmarks.track import Tracker

    tracker = Tracker(tracking_uri)
    found = [champion.told() for champion in champions(tracker, collect(tracker, Path(), console.progress))]
    if json:
        console.write_json(found)
    elif found:
        console.table(found)
    else:
        console.out.print(NO_CHAMPION)


@commands.command("import")
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
    corpus = opened(dataset, data_root, excluded_names(exclude), console.progress)
    found = judged(asked, table, folds, listed, corpus, console.progress)
    show_arena(found.arena)
    outcome = found.keep(tracker, fresh)
    refresh_leaderboard(tracker)
    if not outcome.trained:
        console.note(f"{asked.name}: {predictions} was imported before; nothing is changed")
    if json:
        console.write_json([as_json(outcome) | {"findings": console.audit_json(found.audit)["findings"]}])
    else:
        console.show_audit(found.audit)
        console.note("training is as claimed: who was trained on cannot be seen from here")
        show([outcome], tracker.shown)


@commands.command()
def sync(tracking_uri: TrackingUri = "", json: Json = False) -> None:
    """Send results that wait here because the store could not take them. Exit code 1 if some still wait."""
    from benchmarks.spool import deliver
    from benchmarks.track import Tracker

    tracker = Tracker(tracking_uri)
    spool = tracker.spool
    sent, why = deliver(tracker)
    left = len(spool.waiting())
    if json:
        console.write_json({"sent": sent, "waiting": left, "why": why, "elsewhere": spool.elsewhere()})
        raise typer.Exit(int(bool(left)))
    console.out.print(f"{sent} results sent to {tracker.shown}, {left} wait{f': {why}' if why else ''}", markup=False)
    if sent and not left:
        console.note("the run command that made them, given again, completes their rows and the leaderboard")
    for address, count in spool.elsewhere().items():
        console.note(f"{count} wait for {address}; name it with --tracking-uri")
    raise typer.Exit(int(bool(left)))
