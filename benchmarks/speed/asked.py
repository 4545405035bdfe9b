"""What `speed` does and says."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import console
from benchmarks.common import announce
from benchmarks.corpora import opened
from benchmarks.files import writable
from benchmarks.plugins import resolve
from benchmarks.run import Request, usable_device
from benchmarks.settings import usual_preset
from benchmarks.speed.estimate import Estimate, estimates
from benchmarks.speed.machine import Machine, measured
from benchmarks.speed.measure import Failed, Measure, Told, attempted
from benchmarks.speed.memory import peak
from benchmarks.track import Tracker

EXPERIMENT = "speed"  # which neither the leaderboard nor a run reads
GIGA = 1e9
LETTERS = 500  # of why something failed, in a tag


def measure(parts: Sequence[str], request: Request, uri: str, json: bool, profile: Path | None = None) -> int:
    """The parts, one after the other, each measure shown as it comes; exit code 1 if one failed.

    Whatever ends it, what was measured by then is kept.
    """
    resolve("datasets", request.dataset)  # a mistake is told before anything is measured
    usual_preset(request.preset, "cpu")
    if profile:
        writable(profile)
        profile.write_text("", encoding="utf-8")
    tracker, device, found = Tracker(uri), usable_device(request.device), list[Told]()
    with console.progress("the machine's ceiling") as advance:
        advance(0, 1, "products of matrices, copies of memory")
        machine = measured(device)
    if not json:
        show_machine(machine)
    memory = {"bytes": 0.0}
    try:
        with peak() as memory:
            for part in parts:
                before = len(found)
                for one in attempted(part, "all of it", partial(_measures, part, request, machine, profile)):
                    found.append(one)
                    console.note(_said(one)) if isinstance(one, Measure) else console.warn(_said(one))
                some = [one for one in found[before:] if isinstance(one, Measure)]
                if some and not json:
                    console.table([_line(one) for one in some])
    finally:
        run_id = _kept(tracker, parts, request, machine, found, memory["bytes"])
    failed = [one.told() for one in found if isinstance(one, Failed)]
    if json:
        told = {"run_id": run_id, "machine": machine.told(), "peak_memory_bytes": int(memory["bytes"])}
        rows = [one.told() for one in found if isinstance(one, Measure)]
        console.write_json(told | {"measures": rows, "failed": failed})
        return int(bool(failed))
    console.out.print(f"peak memory of this process and its children: {memory['bytes'] / GIGA:.2f} GB")
    console.note(f"kept as run {run_id} in experiment {EXPERIMENT!r} at {tracker.shown}; compare ratios, not seconds")
    return int(bool(failed))


def _kept(
    tracker: Tracker, parts: Sequence[str], request: Request, machine: Machine, found: Sequence[Told], memory: float
) -> str:
    """In a run of its own."""
    tags = {f"bench.machine_{name}": value for name, value in machine.told().items()}
    about = {"bench.kind": "speed", "bench.dataset": request.dataset, "bench.peak_memory_bytes": int(memory)}
    failed = "; ".join(_said(one)[:LETTERS] for one in found if isinstance(one, Failed))
    rows = [one.told() for one in found if isinstance(one, Measure)]
    return tracker.keep_table(EXPERIMENT, ", ".join(parts), tags | about | {"bench.failed": failed}, rows)


def _measures(part: str, request: Request, machine: Machine, profile: Path | None) -> Iterator[Told]:
    """Imported when it is asked for."""
    if part == "prepare":
        from benchmarks.speed import preparing

        corpus = opened(request.dataset, request.data_root, request.exclude, console.progress)
        yield from preparing.measures(corpus, console.progress)
    elif part == "train":
        from benchmarks.speed import training

        preset = usual_preset(request.preset, machine.device)
        where = training.Where(machine.device, preset, machine.training, profile)
        yield from training.measures(console.progress, where)
    elif part == "predict":
        from benchmarks.speed import predicting

        yield from predicting.measures(request, console.progress)
    else:
        from benchmarks.speed import overhead

        yield from overhead.measures(request.dataset, request.data_root, machine.device, console.progress)


def show_machine(machine: Machine) -> None:
    """The ceiling, before what is held against it."""
    bf16 = f"{machine.bfloat16 / GIGA:,.0f}" if machine.bfloat16 else "emulated, not measured"
    console.out.print(
        f"ceiling of {machine.device} ({machine.name}, {machine.threads} threads), GFLOP/s of products of matrices: "
        f"float32 {machine.float32 / GIGA:,.0f}, bfloat16 {bf16}; memory copy {machine.copy / GIGA:,.1f} GB/s",
        markup=False,
    )


def _said(one: Told) -> str:
    """A line of it, for whoever waits for the next."""
    if isinstance(one, Failed):
        return f"{one.part}: {one.what} FAILED: {one.why}"
    told = [f"{one.seconds:.3g} s"]
    told += [f"{one.faster:.2g} times faster than the plain way ({one.plain_seconds:.3g} s)"] if one.faster else []
    told += [f"{one.of_ceiling:.0%} of the ceiling"] if one.of_ceiling is not None else []
    told += [f"{one.gpu_memory / GIGA:.3g} GB of the GPU"] if one.gpu_memory else []
    return f"{one.part}: {one.what}: {', '.join(told)}{f'; {one.note}' if one.note else ''}"


def _line(one: Measure) -> dict[str, object]:
    return {
        "part": one.part,
        "what": one.what,
        "seconds": f"{one.seconds:.3g}",
        "plain_way": f"{one.plain}: {one.plain_seconds:.3g} s" if one.plain else "-",
        "times_faster": _told(one.faster, "{:.2g}x"),
        "of_real_time": _told(one.real_time, "{:.1%}"),
        "of_ceiling": _told(one.of_ceiling, "{:.0%}"),
        "of_gpu_memory": _told(one.gpu_memory / GIGA or None, "{:.3g} GB"),
        "note": one.note,
    }


def _told(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)


def estimate(request: Request, uri: str, json: bool) -> int:
    """How long a run as it is asked for will take. Exit code 1 if a method is left out of it."""
    from benchmarks.run import plan

    planned = plan(request, console.progress)
    announce(planned)
    found = estimates(planned, Tracker(uri), console.progress)
    total, transfer = (sum(one.seconds for one in some) for some in (found, [one for one in found if one.transfer]))
    if json:
        told = {"estimate": True, "seconds": total, "transfer_seconds": transfer}
        console.write_json(told | {"rows": [one.told() for one in found]})
        return int(bool(planned.absent))
    console.table([_row(one) for one in found])
    apart = f", {lasting(transfer)} of it for models of other corpora" if transfer else ""
    console.out.print(
        f"an estimate: about {lasting(total)} on {planned.device}{apart}, from a few clips and short fits of each row "
        "as this machine is now; loading, keeping results and the page come on top"
    )
    return int(bool(planned.absent))


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
        "one_fit": lasting(one.one_fit),
        "together": lasting(one.seconds),
    }


def lasting(seconds: float) -> str:
    """As people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
