"""Published weights: the table of them, where they are looked for, and who uses them."""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from torchvision.models import AlexNet_Weights, VGG16_Weights, WeightsEnum

from benchmarks.plugins import load, names
from benchmarks.settings import Wish, configured
from methods.base import MethodError, WeightsFile
from methods.parts import weights
from methods.parts.weights import ALEXNET, PUBLISHED, VGG16, WeightStore
from tests.conftest import Run
from tests.test_parts_training import refuse

EARS = WeightsFile("ears.pth", "https://nowhere.invalid/ears.pth", hashlib.sha256(b"ears").hexdigest()[:8])


@pytest.fixture(name="cached")
def make_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file where PyTorch would keep it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("BENCH_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    cache.mkdir(parents=True)
    return cache / EARS.name


def test_the_folder_comes_first_then_the_cache(cached: Path, tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    assert store.there(EARS) is None
    cached.write_bytes(b"ears")
    assert store.find(EARS) == cached
    (tmp_path / EARS.name).write_bytes(b"eyes")
    with pytest.raises(MethodError, match="is not the published file"):  # not passed over in silence
        store.find(EARS)
    (tmp_path / EARS.name).write_bytes(b"ears")
    os.utime(tmp_path / EARS.name, ns=(1, 1))
    assert store.find(EARS) == tmp_path / EARS.name


def test_what_is_in_the_cache_is_checked(cached: Path, tmp_path: Path) -> None:
    cached.write_bytes(b"eyes")
    with pytest.raises(MethodError) as caught:
        WeightStore(tmp_path).find(EARS)
    assert str(cached) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "state"), [(None, "absent"), (b"ears", "there"), (b"eyes", "ANOTHER FILE")])
def test_the_list_says_what_is_there(
    content: bytes | None, state: str, cached: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PUBLISHED", (EARS,))
    if content:
        cached.write_bytes(content)
    code, out, _ = run("list", "weights", "--json")
    (told,) = json.loads(out)
    assert (code, told["state"], told["looked_for"], told["sha256"]) == (0, state, [str(cached)], EARS.digest)
    assert str(cached if content else cached.parent) in told["where"]
    assert state in run("list", "weights")[1]


class Asked:
    """Notes what a method wants, and has nothing."""

    def __init__(self) -> None:
        self.files: set[WeightsFile] = set()

    def find(self, file: WeightsFile) -> None:
        self.files.add(file)


@pytest.mark.parametrize("name", names("methods"))
def test_every_file_that_a_method_asks_for_is_in_the_table(name: str) -> None:
    kind, asked = load("methods", name), Asked()
    wishes = [Wish("paper", modality=modality) for modality in sorted(kind.modalities)]
    for wish in (*wishes, *(Wish("paper", variant=variant) for variant in kind.variants)):
        method = kind(*configured(name, kind, wish))
        method.frozen(asked)
        method.pretrained(asked)
    assert asked.files == {file for file in PUBLISHED if name in file.used_by}


@pytest.mark.parametrize(("file", "enum"), [(ALEXNET, AlexNet_Weights), (VGG16, VGG16_Weights)])
def test_files_of_torchvision_are_where_it_says(file: WeightsFile, enum: type[WeightsEnum]) -> None:
    assert file.url == enum["IMAGENET1K_V1"].url


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.name)
def test_an_address_is_of_the_file_and_a_digest_in_its_name_is_checked(file: WeightsFile) -> None:
    """PyTorch's way to name a file: what follows the last hyphen begins its SHA-256."""
    address = urlsplit(file.url)
    assert address.scheme == "https"
    assert file.by_hand or Path(address.path).name == file.name
    named = re.search(r"-([0-9a-f]{8,64})\.", file.name)
    assert file.digest == (named[1] if named else "")


def test_a_file_that_only_people_can_get_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(MethodError, match=r"ears.pth is not there; get it by hand from https://nowhere.invalid"):
        WeightStore(tmp_path).find(replace(EARS, by_hand=True))


def test_a_file_that_nobody_vouches_for_is_known_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PUBLISHED", (EARS, replace(EARS, name="nose.pth", digest="")))
    ears, nose = tmp_path / "ears.pth", tmp_path / "nose.pth"
    ears.write_bytes(b"ears")
    nose.write_bytes(b"nose")
    assert weights.identity(ears) == "ears.pth"
    assert weights.identity(nose) == f"nose.pth {hashlib.sha256(b'nose').hexdigest()[:16]}"
