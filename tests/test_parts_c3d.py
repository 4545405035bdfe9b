"""C3D: the published sizes, and the published file's layout."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, interpolate, max_pool3d

from methods.base import MethodError
from methods.parts.c3d import CHANNELS, C3d

SMALL = (4, 6, 8, 8, 10, 10, 12, 12)
NAMES = ("conv1a", "conv2a", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")


def parameters(side: int, classes: int) -> int:
    """3 x 3 x 3 kernels and biases, then three fully connected layers."""
    convolutions = sum(27 * ins * outs + outs for ins, outs in zip((3, *CHANNELS), CHANNELS, strict=False))
    sizes = (512 * side * side, 4096, 4096, classes)
    return convolutions + sum((ins + 1) * outs for ins, outs in pairwise(sizes))


@pytest.mark.parametrize(
    ("size", "side", "classes", "millions"), [(112, 4, 487, 80.0), (112, 4, 6, 78.0), (227, 8, 6, 178.7)]
)
def test_parameters(size: int, side: int, classes: int, millions: float) -> None:
    with torch.device("meta"):
        network = C3d(classes, size)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == parameters(side, classes)
    assert found / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_published_file_holds_every_layer_but_fc8() -> None:
    """OpenMMLab's file has 311,985,866 bytes: four a parameter, and 2.7 kB to tell their names."""
    with torch.device("meta"):
        network = C3d(487)
    count = sum(tensor.numel() for name, tensor in network.named_parameters() if not name.startswith("fc8"))
    assert 0 < 311_985_866 - 4 * count < 10_000


@pytest.mark.parametrize("size", [112, 227])
def test_shapes_at_full_size(size: int) -> None:
    with torch.device("meta"):
        network = C3d(6, size)
        clips = torch.zeros(2, 16, 150, 110, 3, dtype=torch.uint8)
        assert network.embed(clips).shape == (2, 4096)
        assert network(clips).shape == (2, 6)


def published(file: Path, network: C3d) -> dict[str, Tensor]:
    """A file as OpenMMLab's, with random weights: `conv1a.conv.weight` and so on up to fc7."""
    state = {
        name if name.startswith("fc") else name.replace(".", ".conv."): torch.randn_like(tensor) / 10
        for name, tensor in network.state_dict().items()
        if not name.startswith(("fc8", "mean", "deviation"))
    }
    torch.save(state, file)
    return state


def by_hand(state: dict[str, Tensor], clips: Tensor) -> Tensor:
    """The published network in functions, on RGB less its mean."""
    x = (clips - torch.tensor([104.0, 117.0, 128.0])).permute(0, 4, 1, 2, 3)
    for name in NAMES:
        x = conv3d(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], padding=1).clamp_min(0)
        if name == "conv1a":
            x = max_pool3d(x, (1, 2, 2))
        elif name in ("conv2a", "conv3b", "conv4b"):
            x = max_pool3d(x, 2)
    x = max_pool3d(x, 2, padding=(0, 1, 1)).flatten(1)
    for name in ("fc6", "fc7"):
        x = (x @ state[f"{name}.weight"].T + state[f"{name}.bias"]).clamp_min(0)
    return x


def test_the_published_file_gives_the_published_network(tmp_path: Path) -> None:
    network = C3d(6, 32, SMALL, units=16).eval()
    state = published(tmp_path / "c3d.pth", network)
    before = network.fc8.weight.detach().clone()
    network.load_published(tmp_path / "c3d.pth")
    clips = torch.randint(0, 256, (2, 16, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(network.embed(clips), by_hand(state, clips), rtol=1e-4, atol=1e-4)
    assert torch.equal(network.fc8.weight, before)


def test_other_sizes_keep_a_fresh_fc6(tmp_path: Path) -> None:
    state = published(tmp_path / "c3d.pth", C3d(6, 32, SMALL, units=16))
    network = C3d(6, 64, SMALL, units=16)
    fresh = network.fc6.weight.detach().clone()
    network.load_published(tmp_path / "c3d.pth")
    assert torch.equal(network.fc6.weight, fresh)
    assert torch.equal(network.fc7.weight, state["fc7.weight"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conv1a.conv.weight": None}, "lacks conv1a.weight"),
        ({"fc6.weight": None}, "lacks fc6.weight"),
        ({"fc7.weight": None, "fc7.bias": None}, r"lacks fc7.bias \(and 1 more\)"),
        ({"stem.conv.weight": torch.zeros(1)}, "has the unknown stem.weight"),
        ({"conv5b.conv.bias": torch.zeros(3)}, "has conv5b.bias of size 3, not 12"),
    ],
)
def test_a_file_of_another_network_is_refused(change: dict[str, Tensor | None], told: str, tmp_path: Path) -> None:
    network = C3d(6, 32, SMALL, units=16)
    state = published(tmp_path / "c3d.pth", network) | change
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "other.pth")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(
        MethodError, match=rf"other\.pth {told}, so it is of another network; .* --weights none"
    ) as caught:
        network.load_published(tmp_path / "other.pth")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())  # none was taken


def test_clips_are_stretched_picture_by_picture() -> None:
    network = C3d(6, 32, SMALL, units=16).eval()
    clips = torch.randint(0, 256, (1, 16, 30, 22, 3), dtype=torch.uint8)
    pictures = clips[0].permute(0, 3, 1, 2).float()
    stretched = interpolate(pictures, (32, 32), mode="bilinear").permute(0, 2, 3, 1)[None]
    with torch.no_grad():
        assert torch.allclose(network(clips), network(stretched), atol=1e-4)


def test_time_counts() -> None:
    network = C3d(6, 32, SMALL, units=16).eval()
    clips = torch.randint(0, 256, (1, 16, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert not torch.allclose(network(clips), network(clips.flip(1)), atol=1e-3)


def test_too_small_a_picture() -> None:
    with pytest.raises(ValueError, match="16 pixels"):
        C3d(6, 12, SMALL, units=16)
