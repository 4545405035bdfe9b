"""Commands about what there is: plugins, copies of corpora, splits, stand-ins."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import console
from benchmarks.common import excluded_names
from benchmarks.options import (
    DataRoot,
    DatasetName,
    Exclude,
    Json,
    TrackingUri,
)

commands = typer.Typer()


class Kind(StrEnum):
    """What there is to list."""

    methods = "methods"
    datasets = "datasets"
    protocols = "protocols"
    variants = "variants"
    published = "published"
    weights = "weights"
    runs = "runs"


class New(StrEnum):
    """What there is to start."""

    method = "method"
    dataset = "dataset"
    protocol = "protocol"


@commands.command("list")
def list_(kind: Kind, tracking_uri: TrackingUri = "", json: Json = False) -> None:
    """What there is: methods, datasets, protocols, weights, finished runs; rows of papers, and papers' numbers."""
    from benchmarks.listing import IN_FULL, JSON_ONLY, ROWS

    if kind is Kind.runs:
        _runs(tracking_uri, json)
        return
    rows = (IN_FULL if json else ROWS).get(kind.value, ROWS[kind.value])()
    if json:
        console.write_json(rows)
    elif rows:
        console.table([{key: row[key] for key in row if key not in JSON_ONLY} for row in rows])
    else:
        console.out.print(f"no {kind.value} yet; python -m benchmarks new {kind.value[:-1]} NAME starts one")


def _runs(tracking_uri: str, json: bool) -> None:
    from benchmarks.listing import runs, short
    from benchmarks.track import Tracker

    tracker = Tracker(tracking_uri)
    rows = runs(tracker)
    if json:
        console.write_json(rows)
    elif rows:
        console.table([short(row) for row in rows])
    else:
        console.out.print(f"{tracker.shown} holds no runs yet; python -m benchmarks run makes some", markup=False)


@commands.command()
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
    from benchmarks.files import drawable

    if sheet:
        drawable(sheet, "--sheet")
    corpus = opened(dataset, data_root, excluded_names(exclude), console.progress, full)
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


@commands.command()
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


@commands.command()
def new(kind: New, name: str) -> None:
    """A working plugin file to start from, written beside the others of its kind."""
    from benchmarks.new import write

    path = write(kind.value, name)
    console.out.print(f"{path} is there and works; CONTRIBUTING.md says how to go on", markup=False)


@commands.command()
def standin(
    dataset: DatasetName,
    out: Annotated[Path, typer.Option(help="Folder to render into; it can then serve as --data-root.")],
    full: Annotated[bool, typer.Option(help="With the real counts and picture sizes.")] = False,
    seed: Annotated[int, typer.Option(help="Other people, voices and moods.")] = 0,
    json: Json = False,
) -> None:
    """Render a synthetic stand-in of a corpus in its exact layout."""
    from benchmarks.corpora import standin as render

    with console.progress(f"rendering a stand-in of {dataset}") as advance:
        corpus = render(dataset, out, full, seed, advance, frozenset())
    if json:
        console.write_json({"dataset": corpus.name, "root": str(corpus.root), "seed": seed, "full": full})
    else:
        console.out.print(f"STAND-IN of {corpus.title} at {corpus.root}", markup=False)
