"""VGG16-GRU (Song et al. 2021) at the paper's size: its tables, its shapes, its frozen network."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from benchmarks.settings import Wish, configured
from methods.base import Examples, RunContext
from methods.parts.ragged import Packed, Ragged
from methods.parts.training import Schedule
from methods.parts.vgg16 import ImagenetVgg16
from methods.parts.weights import WeightStore
from methods.vgg16_gru import Branch, Config, Fusion, Vgg16Gru
from tests.toys import Toy, ToySet, one_thread, stored, toy_set

PRINTED = """
I    VGG16 and 1 layer GRU (256 units) with batch normalization 78%
I    VGG16 and 3 layer GRU (256 units) with batch normalization 74%
I    VGG16 and 1 layer GRU (512 units) without batch normalization 76%
I    VGG16 and 1 layer GRU (512 units) with batch normalization 79%
I    VGG16 and 3 layer GRU (512 units) without batch normalization 74%
I    VGG16 and 3 layer GRU (512 units) with batch normalization 76%
I    VGG16 and 1 layer GRU (1024 units) without batch normalization 77%
I    VGG16 and 1 layer GRU (1024 units) With batch normalization 78%
II   MFCC and 1 layer GRU (256 units) without batch normalization 69%
II   MFCC and 1 layer GRU (256 units) with batch normalization 75%
II   MFCC and 3 layer GRU (256 units) without batch normalization 75%
II   MFCC and 3 layer GRU (256 units) with batch normalization 80%
II   MFCC and 1 layer GRU (512 units) with batch normalization 75%
II   MFCC and 3 layer GRU (512 units) with batch normalization 79%
""".strip().splitlines()
ROW = re.compile(r"(I+) +(VGG16|MFCC) and (\d) layer GRU \((\d+) units\) (with|without) .* (\d+)%", re.IGNORECASE)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    torch.manual_seed(0)
    with one_thread():
        yield


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    return toy_set(tmp_path_factory)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> ImagenetVgg16:
    frozen = Vgg16Gru(modality="av").frozen(WeightStore(tmp_path_factory.getbasetemp(), none=True))
    assert isinstance(frozen, ImagenetVgg16)
    return frozen


@pytest.mark.parametrize("line", PRINTED)
def test_each_printed_row_is_one_variant(line: str) -> None:
    match = ROW.fullmatch(line)
    assert match
    table, network, layers, units, normalised, accuracy = match.groups()
    branch = Branch(int(layers), int(units), normalised.lower() == "with")
    modality = "video" if network == "VGG16" else "audio"
    fitting = [
        variant
        for variant in Vgg16Gru.variants.values()
        if variant.modality == modality and getattr(variant.config, modality) == branch
    ]
    assert len(fitting) == 1
    assert fitting[0].row.startswith(f"Table {table}, ")
    assert fitting[0].row.endswith(f": {accuracy} %")
    assert branch.dense == 256


def test_the_fusion_joins_the_best_rows() -> None:
    """Table III: ours (AO) 80 %, ours (VO) 79 %, ours (AV) 90 %; nothing else in the paper can be run."""
    assert len(Vgg16Gru.variants) == len(PRINTED) + 1
    fusion = Vgg16Gru.variants["fusion"]
    assert (fusion.modality, fusion.config) == ("av", Config())
    assert "Table III" in fusion.row and "90 %" in fusion.row
    best = {
        modality: max(
            (v for v in Vgg16Gru.variants.values() if v.modality == modality),
            key=lambda variant: int(variant.row.split()[-2]),
        )
        for modality in ("audio", "video")
    }
    assert best["audio"].config.audio == fusion.config.audio and best["audio"].row.endswith("80 %")
    assert best["video"].config.video == fusion.config.video and best["video"].row.endswith("79 %")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_network_is_as_large_as_the_paper_says() -> None:
    """A GRU of n units on m numbers has 3 (n m + n n + 2 n) weights: two bias vectors, as cuDNN has them."""

    def gru(m: int, n: int, layers: int) -> int:
        return sum(3 * (n * (n if layer else m) + n * n + 2 * n) for layer in range(layers))

    network = Fusion(Config(), {"features": 512, "mfcc": 13}, 8)
    assert network.eyes is None
    video, audio = network.subsystems["features"], network.subsystems["mfcc"]
    assert parameters(video.get_submodule("gru")) == gru(512, 512, 1)
    assert parameters(audio.get_submodule("gru")) == gru(13, 256, 3)
    assert parameters(video) == gru(512, 512, 1) + 512 * 256 + 256 + 2 * 256
    assert parameters(audio) == gru(13, 256, 3) + 256 * 256 + 256 + 2 * 256
    assert (network.classify.in_features, network.classify.out_features) == (512, 8)


def test_frozen_features_are_those_of_torchvision(vgg: ImagenetVgg16) -> None:
    from torchvision.models import VGG16_Weights, vgg16

    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    found = vgg({"faces": faces, "mfcc": np.ones((2, 13), np.float32)}, "cpu")
    assert set(found) == {"features", "mfcc"}
    assert found["features"].shape == (3, 512)
    network = vgg16(weights=None).eval()
    network.features.load_state_dict(vgg.blocks.state_dict())
    published = VGG16_Weights.IMAGENET1K_V1.transforms()
    scaled = transforms.to_dtype(torch.from_numpy(faces).permute(0, 3, 1, 2), torch.float32, scale=True)
    with torch.no_grad():
        expected = network.features(transforms.normalize(scaled, published.mean, published.std))
    assert expected.shape == (3, 512, 1, 1)
    assert found["features"] == pytest.approx(expected.flatten(1).numpy(), rel=1e-4, abs=1e-6)
    nobody = vgg({"faces": faces[:0]}, "cpu")["features"]
    assert nobody.shape == (0, 512)


def test_random_weights_are_the_same_every_time_and_say_so(vgg: ImagenetVgg16) -> None:
    assert vgg.key == "vgg16 random"
    assert ImagenetVgg16(Path("vgg16-397923af.pth")).key != vgg.key
    torch.manual_seed(1)
    other = ImagenetVgg16(None).blocks.state_dict()
    assert all(torch.equal(other[name], tensor) for name, tensor in vgg.blocks.state_dict().items())


def test_only_pictures_pass_through_vgg16(tmp_path: Path) -> None:
    weights = WeightStore(tmp_path, none=True)
    assert Vgg16Gru(modality="audio").frozen(weights) is None
    assert Vgg16Gru(Config(channels=(8,)), "video").frozen(weights) is None


def test_faces_and_mfcc_of_a_clip(toys: ToySet) -> None:
    """A quarter of 30 pictures a second, 48 x 48; 13 coefficients of frames of 4096 samples at 48 kHz."""
    clip = toys.clips[0]  # 0.7 s
    inputs = Vgg16Gru(modality="av").preparation()(clip.media("av"))
    assert inputs["faces"].dtype == np.uint8
    assert inputs["faces"].shape == (6, 48, 48, 3)
    assert inputs["mfcc"].shape == (1 + (int(0.7 * 48_000) - 4096) // 2048, 13)
    assert set(Vgg16Gru(modality="audio").preparation()(clip.media("audio"))) == {"mfcc"}
    assert set(Vgg16Gru(modality="video").preparation()(clip.media("video"))) == {"faces"}
    assert Vgg16Gru(modality="video").preparation()(toys.odd["without face"].media("video"))["faces"].shape == (
        0, 48, 48, 3,
    )  # fmt: skip


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_frame_of_sound_lasts_85_ms_at_any_rate(rate: int) -> None:
    """One window of noise is one frame; one hop more is two, and none has looked further."""
    mfcc = Config().mfcc.__class__(rate=rate)
    window, hop = round(4096 / 48_000 * rate), round(2048 / 48_000 * rate)
    assert window / rate == pytest.approx(0.0853, abs=1e-4)
    noise = np.random.default_rng(0).normal(0, 0.1, window + 3 * hop).astype(np.float32)
    for frames in (1, 2, 3, 4):
        assert mfcc(noise[: window + (frames - 1) * hop]).shape == (frames, 13)
        assert mfcc(noise[: window + frames * hop - 1]).shape == (frames, 13)


@pytest.fixture(scope="module")
def trained(toys: ToySet) -> tuple[Vgg16Gru, list[dict[str, np.ndarray]]]:
    """At the paper's width, of one epoch, on random features."""
    rng = np.random.default_rng(0)
    clips = [
        {
            "features": rng.normal(size=(length, 512)).astype(np.float32),
            "mfcc": rng.normal(size=(2 * length, 13)).astype(np.float32),
        }
        for length in (3, 7, 0, 4)
    ]
    method = Vgg16Gru(Config(schedule=Schedule(1, 4, 1e-3)), "av")
    method.fit(Examples(clips, ("a", "b"), ("a", "b", "a", "b")), None, RunContext())
    return method, clips


def test_padding_changes_no_answer(trained: tuple[Vgg16Gru, list[dict[str, np.ndarray]]]) -> None:
    method, clips = trained
    longer = {name: np.repeat(array, 9, axis=0) for name, array in clips[1].items()}
    for clip in clips:
        alone = method.predict_proba(Examples([clip], ("a", "b")))
        padded = method.predict_proba(Examples([clip, longer], ("a", "b")))[:1]
        assert padded == pytest.approx(alone, abs=1e-6)


def packed(rows: torch.Tensor, lengths: torch.Tensor) -> Packed:
    sequences = [sequence[:length].numpy() for sequence, length in zip(rows, lengths.tolist(), strict=True)]
    return Ragged(sequences, "cpu").packed(torch.arange(len(sequences)))


def test_padding_does_not_count_in_training_either() -> None:
    """Batch statistics of the small network are those of the pictures that there are."""
    config, _ = configured("vgg16-gru", Vgg16Gru, Wish("quick", "video"))
    network = Fusion(config, {"faces": 3}, 2).train()
    faces = torch.randint(0, 256, (3, 4, 32, 32, 3), dtype=torch.uint8)
    lengths = torch.tensor([4, 2, 3])
    more = torch.cat([faces, torch.full((3, 5, 32, 32, 3), 255, dtype=torch.uint8)], dim=1)
    told = [network({"faces": packed(rows, lengths)}).detach() for rows in (faces, more)]
    assert torch.allclose(told[0], told[1], rtol=1e-4, atol=1e-5)


def test_only_the_last_state_goes_on(trained: tuple[Vgg16Gru, list[dict[str, np.ndarray]]]) -> None:
    """PyTorch's own padded sequences are the oracle."""
    method, _ = trained
    subsystem = method.network.subsystems["mfcc"]
    rows, lengths = torch.randn(3, 6, 13), torch.tensor([6, 1, 4])
    with torch.no_grad():
        states = subsystem.get_submodule("gru")(rows)[0]  # [B, T, units]
        last = states[torch.arange(3), lengths - 1]
        expected = subsystem.get_submodule("normalise")(subsystem.get_submodule("dense")(last))
        assert torch.allclose(subsystem(packed(rows, lengths)), expected, atol=1e-6)


def test_a_whole_clip_at_the_papers_size(toys: ToySet, vgg: ImagenetVgg16) -> None:
    method = Vgg16Gru(Config(schedule=Schedule(1, 4, 1e-3)), "av")
    chosen: list[Toy] = [toys.clips[0], toys.clips[2], toys.odd["without face"]]
    inputs = [stored(vgg(method.preparation()(toy.media("av")), "cpu")) for toy in chosen]
    assert [len(clip["features"]) for clip in inputs] == [6, 6, 0]
    method.fit(Examples(inputs, ("a", "b"), ("a", "b", "a")), None, RunContext())
    assert method.predict_proba(Examples(inputs, ("a", "b"))).sum(axis=1) == pytest.approx(1)
