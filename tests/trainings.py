"""Real trainings before the regression gate: `python -m tests.trainings FOLDER` (some three minutes on an idle core).

In FOLDER a copy of the code freezes baselines on the stand-in of BAUM-1s; then the same code is trained again, a defect
is planted in a method's file as a careless hand would, and a network is trained by other seeds. The exit code is 1 if
a verdict is another than it should be.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HOME = Path(__file__).parent.parent
PACKAGES = ("benchmarks", "datasets", "methods", "protocols", "reports")
SVM = "methods/egemaps_svm.py"
SCALING = ("make_pipeline(StandardScaler(), machine)", "make_pipeline(machine)")  # a step that is easily lost
LOST = (
    ".fit(_stack(train), train.targets())",
    ".fit(_stack(train) * (np.arange(88) % 4 == 0), train.targets())",
)  # three features of four are lost, in training alone


def planted(text: str, defect: tuple[str, str]) -> str:
    """A method's source with a defect in it."""
    right, wrong = defect
    if text.count(right) != 1:
        raise ValueError(f"no place for the defect: {right!r} is there {text.count(right)} times")
    return text.replace(right, wrong)


def copied(folder: Path) -> Path:
    """The code in a folder of its own, where it may be spoilt."""
    for name in PACKAGES:
        shutil.copytree(HOME / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def regress(code: Path, method: str, *more: str) -> tuple[int, str]:
    """The exit code of the gate as the code in this folder has it, the line of the deciding metric and the last."""
    words = [sys.executable, "-m", "benchmarks", "regress", "--method", method, "--dataset", "baum1s", "--modality",
             "audio", "--preset", "quick", "--device", "cpu", "--baseline", f"{method}.json", *more]  # fmt: skip
    cache = os.environ.get("BENCH_CACHE", ".benchmarks")
    around = {"BENCH_CACHE": str(Path(cache).resolve()), "BENCH_LEADERBOARD": "none", "COLUMNS": "200"}
    uri = f"sqlite:///{code}/results.db"
    kept = {name: value for name, value in os.environ.items() if name not in ("BENCH_DATA", "PYTHONPATH")}
    done = subprocess.run(
        words, cwd=code, env=kept | around | {"MLFLOW_TRACKING_URI": uri}, capture_output=True, text=True, check=False
    )
    lines = (done.stdout.strip() or done.stderr.strip() or "silence").splitlines()
    told = [line for line in lines if "(decides)" in line] + lines[-1:]
    return done.returncode, "\n  ".join(told)


def main(folder: Path) -> int:
    """All trainings, each told with its verdict."""
    folder.mkdir(parents=True)
    code = copied(folder.resolve())
    right = (code / SVM).read_text()
    fine = True

    def step(told: str, expected: int, method: str, *more: str) -> None:
        nonlocal fine
        got, line = regress(code, method, *more)
        fine &= got == expected
        verdict = "as it should" if got == expected else "WRONG"
        sys.stdout.write(f"{verdict}, exit code {got}: {told}\n  {line}\n")
        sys.stdout.flush()

    step("frozen", 0, "egemaps-svm", "--freeze")
    step("the same code, trained again", 0, "egemaps-svm", "--fresh")
    for name, defect in (
        ("features are not standardised", SCALING),
        ("three features of four are lost in training", LOST),
    ):
        (code / SVM).write_text(planted(right, defect))
        step(f"defect: {name}; not trained again", 2, "egemaps-svm")
        step(f"defect: {name}", 1, "egemaps-svm", "--fresh")
    (code / SVM).write_text(right)
    step("mended", 0, "egemaps-svm", "--fresh")
    step("frozen", 0, "cnn-lstm-dnn", "--freeze")
    for seed in ("1", "2"):
        step(f"another seed, {seed}", 0, "cnn-lstm-dnn", "--first-seed", seed)
    return int(not fine)


def arguments(words: Sequence[str]) -> Path:
    """The folder, which must not be there."""
    if len(words) != 1 or Path(words[0]).exists():
        raise SystemExit("python -m tests.trainings FOLDER, a new one")
    return Path(words[0])


if __name__ == "__main__":
    sys.exit(main(arguments(sys.argv[1:])))
