"""A real method before the gate, trained on a tiny stand-in; `python -m tests.trainings` does more."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.base import Dataset
from tests.tinybench import Bench, make_bench  # noqa: F401  a fixture
from tests.trainings import HOME, SCALING, SVM, planted


def test_a_real_training_passes_and_its_defect_is_caught(bench: Bench, rendered: Callable[[str], Dataset]) -> None:
    root, right = rendered("baum1s").root.parent, (HOME / SVM).read_text()

    def regress(text: str, *more: str) -> tuple[int, dict[str, Any]]:
        (bench.plugins / Path(SVM).name).write_text(text)
        sys.modules.pop("methods.egemaps_svm", None)
        words = ("regress", "--method", "egemaps-svm", "--dataset", "baum1s", "--data-root", root, "--device", "cpu")
        code, out, err = bench.call(
            *words, "--preset", "quick", "--baseline", bench.folder / "svm.json", *more, "--json"
        )
        assert out.startswith("{"), err
        return code, json.loads(out)

    code, frozen = regress(right, "--freeze")
    assert code == 0 and frozen["units"] == 10
    code, told = regress(right, "--fresh")
    assert (code, told["verdict"], told["fell"]) == (0, "no regression", [])
    wrong = planted(right, SCALING)
    code, told = regress(wrong)
    assert code == 2 and "--fresh runs them again" in told["not_comparable"][0]
    code, told = regress(wrong, "--fresh")
    assert (code, told["verdict"]) == (1, "regression")
    assert told["changes"]["uar"]["worse"] and told["changes"]["uar"]["now"] < frozen["scores"]["uar"] - 0.05
    assert {fall["what"] for fall in told["fell"]} == {"subject", "class"}
    assert any(line.startswith("source: ") for line in told["different"])
