"""What MLflow runs to serve a kept model: this file is copied beside it as code, and nothing is pickled.

Our package must be importable where the model is served.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow import pyfunc
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema

PUBLIC = ("mlflow", "numpy", "pandas")  # ours is on no index: whoever owns its name there must not be run


class Served(PythonModel):
    """File names in a column `path`; a column of probabilities for each class comes back."""

    def load_context(self, context: Any) -> None:
        """The method with what it had learnt."""
        from benchmarks.model import rebuilt
        from methods.parts.weights import WeightStore, folder

        facts = json.loads(Path(context.artifacts["cell"]).read_text(encoding="utf-8"))
        weights = WeightStore(folder(), none=facts.get("weightless", False))
        self.model = rebuilt(facts, Path(context.artifacts["model"]), weights)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """A row a file: the method's answer to the whole clip; of a long one, the mean of its windows."""
        from benchmarks.predict import Windows, predicted

        def unwatched(done: int, total: int, now: str = "") -> None:
            pass

        del context, params
        files = map(Path, model_input["path"])
        told = [predicted(self.model, file, Windows(), unwatched, over_time=False) for file in files]
        return pd.DataFrame([answer.probabilities for answer in told], columns=list(self.model.classes))


def save(folder: Path, model: Path, facts: str, labels: Sequence[str]) -> None:
    """What a method saved into a folder called model, with the facts that make the method again."""
    assert model.name == "model", model  # its name is its place below the artifacts
    outputs = Schema([ColSpec(DataType.double, label) for label in labels])
    with TemporaryDirectory() as beside:
        cell = Path(beside) / "cell.json"
        cell.write_text(facts, encoding="utf-8")
        pyfunc.save_model(
            str(folder),
            python_model=__file__,
            artifacts={"model": str(model), "cell": str(cell)},
            signature=ModelSignature(Schema([ColSpec(DataType.string, "path")]), outputs),
            pip_requirements=[f"{name}=={version(name)}" for name in PUBLIC],
        )


set_model(Served())
