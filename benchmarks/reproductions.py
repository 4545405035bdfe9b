"""What became of a paper's numbers as tables: shown, and kept."""

from collections.abc import Sequence

from benchmarks import console
from benchmarks.reproduce import Line
from benchmarks.track import Tracker
from reports.formats import bounds

EXPERIMENT = "reproductions"


def show(lines: Sequence[Line]) -> None:
    """One table for each of the paper's, then why some numbers are missing."""
    for table in dict.fromkeys(line.number.where for line in lines):
        here = [line for line in lines if line.number.where == table]
        console.out.print(f"{here[0].number.method}, {table}, {_settings(here)}", style="bold", markup=False)
        console.table([_shown(line) for line in here])
    for status, dataset, why in dict.fromkeys((line.status, line.number.dataset, line.why) for line in lines):
        if why:
            console.out.print(f"{status} ({dataset}): {why}", style="dim", markup=False)
    for dataset, caveat in dict.fromkeys((line.number.dataset, told) for line in lines for told in line.caveats):
        console.out.print(f"protocol partly the paper's ({dataset}): {caveat}", style="dim", markup=False)
    over = " and ".join(dict.fromkeys(f"all test {line.number.over}" for line in lines))
    console.out.print(
        f"% over {over}, as in the paper, with 95 % interval or ± standard deviation over folds and seeds",
        style="dim",
        markup=False,
    )


def _settings(lines: Sequence[Line]) -> str:
    rows = [line.outcome.row for line in lines if line.outcome]
    told = dict.fromkeys(" ".join((f"preset {row.wish.preset}", *row.stamps)) for row in rows)
    return ", ".join(told) or "not run"


def _shown(line: Line) -> dict[str, object]:
    number, (value, spread), told = line.number, line.values(), line.told()
    difference, sure = told["difference"], "" if spread is None else f" ± {100 * spread:.1f}"
    if line.interval and (limits := bounds(line.interval)):
        sure = f" [{limits}]"
    return {
        "row": number.row,
        "column": number.column,
        "dataset": f"STAND-IN of {number.dataset}" if line.standin else number.dataset,
        "protocol (the paper's?)": f"{told['protocol']} ({line.match})" if line.match else number.protocol,
        "subjects": told["independence"] or "-",
        "published": f"{100 * number.value:.2f}",
        "reproduced": line.status if value is None else f"{100 * value:.2f}{sure}",
        "difference": f"{100 * difference:+.2f}" if isinstance(difference, float) else "",
    }


def keep(tracker: Tracker, lines: Sequence[Line]) -> str:
    """The table in a run of its own; where it is."""
    standin = any(line.standin for line in lines)
    experiment = EXPERIMENT + (" (STAND-IN)" if standin else "")
    tables = ", ".join(dict.fromkeys(line.number.where for line in lines))
    tags = {
        "bench.kind": "reproduction",
        "bench.method": lines[0].number.method,
        "bench.tables": tables,
        "bench.standin": standin,
    }
    run_id = tracker.keep_table(
        experiment, f"{lines[0].number.method}, {tables}", tags, [line.told() for line in lines]
    )
    return f"table.csv and table.json: run {run_id} of experiment {experiment!r} at {tracker.shown}"
