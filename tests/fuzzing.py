"""Coverage-guided fuzzing of everything that reads what strangers write: `python -m tests.fuzzing SECONDS [TARGET …]`.

Whatever the bytes, a reader answers, or raises the error that it documents. Each target runs for some seconds in a
process of its own, from a fixed seed and a few files as our own writers make them. Exit 1 on a finding, with the input
kept in ./fuzzing; 0 with a word where atheris is not to be had.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.readers import TARGETS

SLOWEST, MOST = 60, 3000  # seconds and megabytes that one input may cost
FOUND = Path("fuzzing")


def fuzz(name: str, seconds: int, corpus_folder: Path) -> None:
    """In this process, until the time is over or something is found."""
    import atheris

    with atheris.instrument_imports(include=["benchmarks", "datasets", "protocols", "reports"]):
        target = TARGETS[name]()
        for number, seed in enumerate(target.seeds()):
            (corpus_folder / f"seed-{number}").write_bytes(seed)
            target(seed)
    flags = {
        "seed": 1, "max_total_time": seconds, "max_len": target.longest, "timeout": SLOWEST, "rss_limit_mb": MOST,
        "artifact_prefix": f"{FOUND / name}-", "verbosity": 1, "print_final_stats": 1,
    }  # fmt: skip
    arguments = [sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(corpus_folder)]
    atheris.Setup(arguments, target, enable_python_coverage=True)
    atheris.Fuzz()


def _apart(name: str, seconds: int) -> tuple[str, bool, str]:
    """A target in a process of its own: whether it held, and what there is to say."""
    with TemporaryDirectory() as place:
        (corpus := Path(place) / "corpus").mkdir()
        command = [sys.executable, "-m", "tests.fuzzing", "--one", name, str(seconds), str(corpus)]
        around = os.environ | {
            "PYTHONHASHSEED": "0",  # or the order of sets is chance beside the fuzzer's seed
            "TMPDIR": place,  # the fuzzer ends without tidying up
        }
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=seconds + 600, env=around
            )
        except subprocess.TimeoutExpired:
            return name, False, "hangs: no input was given back in time"
    runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    return (
        name,
        done.returncode == 0,
        f"{runs[0] if runs else '?'} inputs" if not done.returncode else done.stdout + done.stderr,
    )


def main(arguments: Sequence[str]) -> int:
    """The command."""
    if arguments[:1] == ["--one"]:
        fuzz(arguments[1], int(arguments[2]), Path(arguments[3]))
        return 0
    if not find_spec("atheris"):
        sys.stdout.write(
            "fuzzing is skipped: atheris is not installed (pip install '.[fuzz]'; Linux on x86-64 has wheels)\n"
        )
        return 0
    FOUND.mkdir(exist_ok=True)
    seconds, asked = int(arguments[0]), arguments[1:] or list(TARGETS)
    held = True
    with ThreadPoolExecutor(2) as pool:
        for name, well, told in pool.map(lambda name: _apart(name, seconds), asked):
            sys.stdout.write(f"{name}: {'held' if well else 'FOUND'}: {told}\n")
            held &= well
    if held and not any(FOUND.iterdir()):
        FOUND.rmdir()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
