"""What `speed` does and says."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import console
from benchmarks.corpora import opened
from benchmarks.plugins import resolve
from benchmarks.run import Request, usable_device
from benchmarks.speed.estimate import Estimate, estimates
from benchmarks.speed.machine import Machine, measured
from benchmarks.speed.measure import Measure
from benchmarks.speed.memory import peak
from benchmarks.track import Tracker

EXPERIMENT = "speed"  # which neither the leaderboard nor a run reads
GIGA = 1e9


def measure(parts: Sequence[str], request: Request, uri: str, json: bool) -> None:
    """The parts, one after the other, shown as they are done; all of it is kept."""
    resolve("datasets", request.dataset)  # a mistake is told before anything is measured
    tracker, device, found = Tracker(uri), usable_device(request.device), list[Measure]()
    with peak() as memory:
        with console.progress("the machine's ceiling") as advance:
            advance(0, 1, "products of matrices, copies of memory")
            machine = measured(device)
        if not json:
            show_machine(machine)
        for part in parts:
            some = list(_measures(part, request, device))
            found += some
            if some and not json:
                console.table([_line(one) for one in some])
    rows = [one.told() for one in found]
    tags = {f"bench.machine_{name}": value for name, value in machine.told().items()}
    about = {"bench.kind": "speed", "bench.dataset": request.dataset, "bench.peak_memory_bytes": int(memory["bytes"])}
    run_id = tracker.keep_table(EXPERIMENT, ", ".join(parts), tags | about, rows)
    if json:
        told = {"run_id": run_id, "machine": machine.told(), "peak_memory_bytes": int(memory["bytes"])}
        console.write_json(told | {"measures": rows})
        return
    console.out.print(f"peak memory of this process and its children: {memory['bytes'] / GIGA:.2f} GB")
    console.note(f"kept as run {run_id} in experiment {EXPERIMENT!r} at {tracker.shown}; compare ratios, not seconds")


def _measures(part: str, request: Request, device: str) -> Iterator[Measure]:
    """Imported when it is asked for."""
    if part == "prepare":
        from benchmarks.speed import preparing

        corpus = opened(request.dataset, request.data_root, request.exclude, console.progress)
        yield from preparing.measures(corpus, console.progress)
    elif part == "train":
        from benchmarks.speed import training

        yield from training.measures(console.progress, device)
    elif part == "predict":
        from benchmarks.speed import predicting

        yield from predicting.measures(request, console.progress)
    else:
        from benchmarks.speed import overhead

        yield from overhead.measures(request.dataset, request.data_root, device, console.progress)


def show_machine(machine: Machine) -> None:
    """The ceiling, before what is held against it."""
    bf16 = f"{machine.bfloat16 / GIGA:,.0f}" if machine.bfloat16 else "emulated, not measured"
    console.out.print(
        f"ceiling of {machine.device} ({machine.name}, {machine.threads} threads), GFLOP/s of products of matrices: "
        f"float32 {machine.float32 / GIGA:,.0f}, bfloat16 {bf16}; memory copy {machine.copy / GIGA:,.1f} GB/s",
        markup=False,
    )


def _line(one: Measure) -> dict[str, object]:
    return {
        "part": one.part,
        "what": one.what,
        "seconds": f"{one.seconds:.3g}",
        "plain_way": f"{one.plain}: {one.plain_seconds:.3g} s" if one.plain else "-",
        "times_faster": _told(one.faster, "{:.2g}x"),
        "of_real_time": _told(one.real_time, "{:.1%}"),
        "of_ceiling": _told(one.of_ceiling, "{:.0%}"),
        "note": one.note,
    }


def _told(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)


def estimate(request: Request, uri: str, json: bool) -> None:
    """How long a run as it is asked for will take."""
    from benchmarks.run import plan

    planned = plan(request, console.progress)
    for line in planned.notes:
        console.note(line)
    found = estimates(planned, Tracker(uri), console.progress)
    total = sum(one.seconds for one in found)
    if json:
        told: dict[str, Any] = {"estimate": True, "seconds": total, "rows": [one.told() for one in found]}
        console.write_json(told)
        return
    console.table([_row(one) for one in found])
    console.out.print(
        f"an estimate: about {lasting(total)} on {planned.device}, from a few clips and short fits of each row as this "
        "machine is now; loading, keeping results and the page come on top"
    )


def _row(one: Estimate) -> dict[str, object]:
    return {
        "row": one.row,
        "corpus": one.corpus,
        "clips": one.clips,
        "media": lasting(3600 * one.media_hours),
        "fits_to_run": f"{one.to_run} of {one.cells}",
        "preparing": lasting(one.preparing),
        "fitting": lasting(one.fitting),
        "predicting": lasting(one.predicting),
        "together": lasting(one.seconds),
    }


def lasting(seconds: float) -> str:
    """As people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
