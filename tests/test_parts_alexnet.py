"""AlexNet beside torchvision's."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import alexnet

from methods.base import MethodError
from methods.parts.alexnet import SMALLEST, AlexNet, convolutions, feature_maps
from methods.parts.weights import ALEXNET


def test_sizes() -> None:
    with torch.device("meta"):
        network = AlexNet(6)
        pictures = torch.zeros(2, 64, 64, 3)
        assert network.embed(pictures).shape == (2, 4096)
        assert network(pictures).shape == (2, 6)
    expected = 61_100_840 - 994 * 4097  # torchvision's documented 61,100,840 for 1000 classes
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_torchvisions_file_gives_torchvisions_network(tmp_path: Path) -> None:
    theirs = alexnet(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "alexnet.pth")
    ours = AlexNet(6).eval()
    fresh = ours.state_dict()["classifier.6.weight"].clone()
    ours.load_published(tmp_path / "alexnet.pth")
    pictures = torch.randn(1, 3, 227, 227)
    with torch.no_grad():
        found = ours.embed(pictures.permute(0, 2, 3, 1))
        expected = theirs.classifier[:6](theirs.avgpool(theirs.features(pictures)).flatten(1))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.state_dict()["classifier.6.weight"], fresh)


@pytest.mark.parametrize(
    ("name", "file", "told"),
    [
        ("features.0.weight", None, "lacks features.0.weight"),
        ("features.0.bias", torch.zeros(2, 2), "has features.0.bias of size 2 x 2, not 4"),
        ("stem.bias", torch.zeros(4), "has the unknown stem.bias"),
    ],
)
def test_a_file_of_another_network_is_refused(name: str, file: Tensor | None, told: str, tmp_path: Path) -> None:
    network = AlexNet(3, size=63, channels=(4, 4, 4, 4, 4), units=8)
    state = {**AlexNet(10, size=63, channels=(4, 4, 4, 4, 4), units=8).state_dict(), name: file}
    kept = {key: tensor for key, tensor in state.items() if tensor is not None and key not in ("mean", "deviation")}
    torch.save(kept, tmp_path / ALEXNET.name)
    with pytest.raises(
        MethodError, match=f"{told}, so it is of another network; get it from {ALEXNET.url} again"
    ) as caught:
        network.load_published(tmp_path / ALEXNET.name)
    assert "\n" not in str(caught.value)


def test_channels_are_scaled_and_stretched() -> None:
    network = AlexNet(3, size=67, channels=(4, 4, 4, 4, 4), units=8).eval()
    pictures = torch.randn(2, 64, 15, 3)
    with torch.no_grad():
        plain = network(pictures)
        mean, deviation = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
        network.mean.copy_(mean)
        network.deviation.copy_(deviation)
        assert torch.allclose(network(pictures * deviation + mean), plain, atol=1e-5)


def test_too_small_a_picture() -> None:
    AlexNet(3, size=63, channels=(4, 4, 4, 4, 4), units=8)
    with pytest.raises(ValueError, match="63 pixels"):
        AlexNet(3, size=62, channels=(4, 4, 4, 4, 4), units=8)


def test_feature_maps_of_pictures_of_different_lengths_are_what_each_gives_alone() -> None:
    torch.manual_seed(0)
    network = convolutions((4, 6, 8, 8, 5)).eval()
    lengths = torch.tensor([SMALLEST, 90, 128, 200])
    pictures = torch.randn(4, 3, 200, 70)  # what lies beyond a length is noise
    with torch.no_grad():
        maps, rows = feature_maps(network, pictures, lengths)
        for number, length in enumerate(lengths.tolist()):
            alone = network(pictures[number : number + 1, :, :length])[0]
            assert alone.shape[1] == rows[number]
            assert torch.allclose(maps[number, :, : alone.shape[1]], alone, atol=1e-6)
    assert rows[0] == 1


def test_the_spectrogram_of_a_clip_gives_so_many_vectors() -> None:
    """2.4 s, the middle of AFEW's clips: 237 windows of 200 bins."""
    with torch.device("meta"):
        maps, rows = feature_maps(convolutions(), torch.zeros(1, 3, 237, 200), torch.full((1,), 237, device="meta"))
    assert maps.shape == (1, 256, 6, 5)
    assert rows.shape == (1,)
