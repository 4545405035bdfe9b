"""What we read was written by a stranger: it is refused or inert; and what is secret stays so."""

import json
import sqlite3
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file

from benchmarks.baseline import BaselineError
from benchmarks.baseline import read as read_baseline
from benchmarks.model import rebuilt
from benchmarks.predictions import read_predictions
from datasets.check import _against_manifest
from datasets.clips import UserError
from methods.base import MethodError
from methods.parts.states import read as read_weights
from methods.parts.weights import WeightStore
from tests.bombs import bombs
from tests.servers import mlflow_server
from tests.tinybench import Bench, corpus, make_bench, store  # noqa: F401  a fixture

HTML = "<img src=x onerror=alert(1)>"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """There as soon as anything ran that should not."""
    yield tmp_path / "exploded"
    assert not (tmp_path / "exploded").exists()


def test_weights(mark: Path, tmp_path: Path) -> None:
    for number, bomb in enumerate(bombs(mark)):
        (tmp_path / f"{number}.pth").write_bytes(bomb)
        with pytest.raises(MethodError, match="holds no weights"):
            read_weights(tmp_path / f"{number}.pth")


def test_prepared_inputs(mark: Path, bench: Bench) -> None:
    """In the cache, under the names of ours."""
    assert bench.run()[0] == 0
    files = list((bench.folder / "cache").rglob("*.safetensors"))
    assert files
    for bomb in bombs(mark):
        for file in files:
            file.write_bytes(bomb)
        bench.run("--fresh")


def test_a_model_in_the_store(mark: Path, bench: Bench) -> None:
    """Neither what it learnt nor the code that lies beside it for MLflow's own servers is run."""
    assert bench.run()[0] == 0
    cell = bench.kept()[0]
    kept = Path(cell.info.artifact_uri.removeprefix("file://")) / "model"
    clip = next((bench.data / "ravdess").rglob("*.wav"))
    for file in kept.rglob("*"):
        if file.suffix == ".py":
            file.write_text(f"import os; os.mkdir({str(mark)!r})")
    assert bench.call("predict", clip, "--run", cell.info.run_id)[0] == 0
    for bomb in bombs(mark):
        (kept / "artifacts/model/means.npy").write_bytes(bomb)
        code, _, err = bench.call("predict", clip, "--run", cell.info.run_id)
        assert code == 2 and err.splitlines()[-1].startswith("error: ") and "Traceback" not in err


@pytest.mark.parametrize("name", ["../../../evil", "os", "/etc/passwd", "toy.py", ""])
def test_a_model_s_facts_name_no_code(name: str, mark: Path, bench: Bench) -> None:
    (bench.folder / "evil.py").write_text(f"import os; os.mkdir({str(mark)!r})")
    with pytest.raises(UserError, match="no method is called"):
        rebuilt({"method": name}, bench.folder, WeightStore(bench.folder))


def test_baselines_and_predictions(mark: Path, tmp_path: Path) -> None:
    for number, bomb in enumerate(bombs(mark)):
        (tmp_path / f"{number}").write_bytes(bomb)
        with pytest.raises(BaselineError):
            read_baseline(tmp_path / f"{number}")
        with pytest.raises(UserError):
            read_predictions(tmp_path / f"{number}")


def test_an_import_names_clips_not_files(bench: Bench) -> None:
    """Whatever a clip is called there, no file of that name is opened."""
    (bench.folder / "mine.csv").write_text("clip,fold,label\n../../../../etc/passwd,1,anger\n")
    told = bench.call("import", bench.folder / "mine.csv", "--name", "mine", "--dataset", "ravdess",
                      "--data-root", bench.data)  # fmt: skip
    assert told[0] == 2 and "passwd" in told[2] and len(told[2].splitlines()) == 1


def test_a_stand_in_s_manifest_names_no_file_outside(bench: Bench) -> None:
    """Its digest would tell what is there."""
    (bench.folder / "secret").write_text("hush")
    told = {"files": {"../../secret": sha256(b"hush").hexdigest()}, "clips": 1, "version": 1, "seed": 0}
    (bench.data / "ravdess/standin.json").write_text(json.dumps(told))
    missing = [problem.name for problem in _against_manifest(corpus(bench.data)) if problem.kind == "missing"]
    assert missing == ["../../secret"]


def test_a_workbook_that_grows_without_end(tmp_path: Path) -> None:
    """A billion laughs: entities that name entities."""
    from datasets.baum1s import Baum1s

    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x>&a11;</x>'
    with zipfile.ZipFile(tmp_path / "Annotations BAUM-1s.xlsx", "w") as book:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "_rels/.rels"):
            book.writestr(name, text)
    with pytest.raises(UserError):
        Baum1s(tmp_path).index()


def test_the_page_shows_what_strangers_wrote_as_text(bench: Bench) -> None:
    """Tags, parameters and documents of the store, which anybody who reaches it may have written."""
    assert bench.run("--preset", "paper")[0] == 0
    store_ = sqlite3.connect(bench.folder / "results.db")
    with store_:
        store_.execute(
            "update tags set value = ? where key in ('bench.protocol', 'bench.variant', 'bench.stamps')", (HTML,)
        )
        store_.execute("update params set value = ?", (HTML,))
    for file in (bench.folder).rglob("summary.json"):
        told = json.loads(file.read_text())
        file.write_text(json.dumps(told).replace("anger", HTML))
    assert bench.call("report", "--out", bench.folder / "board")[0] == 0
    for file in (bench.folder / "board").rglob("*.html"):
        assert "<img src=x" not in file.read_text(encoding="utf-8")


def test_a_password_goes_nowhere_but_to_its_server(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into output, pages and stored results nor into what a failure leaves behind."""
    (bench.folder / "results.db").unlink()
    with mlflow_server(store(bench.folder / "server.db"), bench.folder / "artifacts") as address:
        secret = address.replace("//", "//me:hunter2@")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
        monkeypatch.setenv("TOY_FAILS_AT", "2")
        told = [bench.run("--preset", "paper", "--tune", "2"), bench.run("--preset", "paper")]
        told += [bench.call("report", "--out", bench.folder / "board"), bench.call("promote")]
    told += [bench.run("--fresh")]
    assert told[-1][0] == 2, "the server is away"
    assert all("hunter2" not in out + err for _, out, err in told)
    for file in (file for file in bench.folder.rglob("*") if file.is_file()):
        assert b"hunter2" not in file.read_bytes(), file


def test_tensors_of_any_size_are_not_believed(tmp_path: Path) -> None:
    """A header that promises more than the file holds."""
    save_file({"x": torch.zeros(2).numpy()}, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes().replace(b'"shape":[2]', b'"shape":[9]')
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(MethodError, match="holds no weights"):
        read_weights(tmp_path / "x.pth")
