"""What commands have in common on the command line."""

from pathlib import Path
from typing import Annotated

import typer

STUDIES = "sqlite:///optuna.db"
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document instead.")]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of the corpora, one folder each; default $BENCH_DATA, else ./data.")
]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name of a corpus; see: list datasets.")]
DatasetNames = Annotated[str, typer.Option("--dataset", help="Corpora, with commas between; see: list datasets.")]
MethodNames = Annotated[str, typer.Option("--method", help="Methods, with commas between, or all; see: list methods.")]
Exclude = Annotated[
    Path | None,
    typer.Option(
        help="File of clip or file names to leave out, one a line; corpus:name where several corpora are read."
    ),
]
Modality = Annotated[str, typer.Option(help="av, audio or video; default: the richest that the method has.")]
Preset = Annotated[str, typer.Option(help="paper or quick; default: paper on a GPU, quick without.")]
Variant = Annotated[str, typer.Option(help="Rows of the method's own tables, with commas between; see: list variants.")]
WeightsFrom = Annotated[str, typer.Option("--weights", help="Folder of pretrained weights, or none to go without.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value in the method's Config; repeatable.")]
PretrainOn = Annotated[
    str,
    typer.Option(
        help="Corpora to begin with, for methods that do, or none; default: as the paper did, but none at quick."
    ),
]
Seeds = Annotated[int, typer.Option(help="Repeat everything with so many seeds.")]
FirstSeed = Annotated[int, typer.Option(help="The first of the seeds: another luck of training, and stamped so.")]
Task = Annotated[str, typer.Option(help="emotion, arousal or valence.")]
TrackingUri = Annotated[str, typer.Option(help="Default $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="On a GPU: ask for the same numbers each time; see docs/reliability.md."),
]
Fresh = Annotated[bool, typer.Option(help="Run finished Cells again.")]
Tune = Annotated[
    int, typer.Option(help="Trials of the method's settings inside each fold; the best is used for that fold alone.")
]
Storage = Annotated[str, typer.Option(help="Where trials are kept and shared: any address that Optuna understands.")]
TrialJobs = Annotated[
    int,
    typer.Option(
        "--trial-jobs", min=1, help="Trials at once: as far as memory allows; with run --executor ray, as tasks."
    ),
]
Params = Annotated[Path | None, typer.Option(help="Settings that tune --out wrote, for all folds.")]
Sanity = Annotated[
    bool,
    typer.Option(
        "--sanity", help="Also teach permuted labels; exit code 1 if that is better than chance; see docs/sanity.md."
    ),
]
Permutations = Annotated[
    int, typer.Option(show_default=False, help="With --sanity: how many; 5 at least, 10 if nothing is said.")
]
Deciding = Annotated[str, typer.Option(help="Which metric decides: uar, accuracy or macro_f1.")]
Tolerance = Annotated[float, typer.Option(help="Points of the deciding metric that may be lost.")]
Executor = Annotated[
    str, typer.Option(help="local: one Cell after the other; ray: many at once; see docs/clusters.md.")
]
Together = Annotated[
    str,
    typer.Option(help="Folds of a small network trained as one: auto (on a GPU), always or never; see docs/speed.md."),
]
RayAddress = Annotated[
    str, typer.Option(help="Of a Ray cluster; default $RAY_ADDRESS, else one is started on this machine.")
]
Jobs = Annotated[
    int,
    typer.Option(
        show_default=False,
        help="With Ray: Cells at once on this machine, or on each GPU; default: as cores allow, or 1.",
    ),
]
Protocol = Annotated[str, typer.Option(help="Who is held out; default: the corpus' own. NAME or NAME:k=3.")]
