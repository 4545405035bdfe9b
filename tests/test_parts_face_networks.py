"""IR50, ResNet18 and VGGFace: the published names and sizes, torchvision beside two of them, and a step of each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18
from torchvision.models.vgg import make_layers

from methods.base import MethodError, RunContext
from methods.parts.face_networks import (
    IR50,
    PUBLISHED,
    RESNET18,
    VGGFACE,
    FaceShape,
    IrBlock,
    build,
    published_file,
)
from methods.parts.face_teaching import FaceModel
from methods.parts.training import Schedule, fit

SHAPES = [IR50, RESNET18, VGGFACE]
SMALL = [
    FaceShape(shape.kind, 32, tuple(w // 16 for w in shape.widths), (1, 1, 1, 1, 1), 8) for shape in SHAPES
]  # fmt: skip


def kind(shape: FaceShape) -> str:
    return shape.kind


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def sequence(prefix: str, *layers: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of a sequence's layers."""
    for number, layer in enumerate(layers):
        yield from ((f"{prefix}.{number}.{name}", size) for name, size in layer.items())


def ir50_file() -> dict[str, tuple[int, ...]]:
    """What backbone_ir50_ms1m_epoch120.pth holds, written down from the description of IR-50 with 112 x 112 pixels:
    stages of 3, 4, 14 and 3 units with 64, 128, 256 and 512 channels, of which the first halves the picture."""

    def norm(n: int) -> dict[str, tuple[int, ...]]:
        ends = ("weight", "bias", "running_mean", "running_var")
        return {**dict.fromkeys(ends, (n,)), "num_batches_tracked": ()}

    def conv(ins: int, outs: int, side: int = 3) -> dict[str, tuple[int, ...]]:
        return {"weight": (outs, ins, side, side)}

    def linear(ins: int, outs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (outs, ins), "bias": (outs,)}

    found = dict(sequence("input_layer", conv(3, 64), norm(64), {"weight": (64,)}))
    ins, unit = 64, 0
    for outs, units in ((64, 3), (128, 4), (256, 14), (512, 3)):
        for _ in range(units):
            layers = (norm(ins), conv(ins, outs), {"weight": (outs,)}, conv(outs, outs), norm(outs))
            found |= dict(sequence(f"body.{unit}.res_layer", *layers))
            if ins != outs:
                found |= dict(sequence(f"body.{unit}.shortcut_layer", conv(ins, outs, 1), norm(outs)))
            ins, unit = outs, unit + 1
    return found | dict(sequence("output_layer", norm(512), {}, {}, linear(512 * 49, 512), norm(512)))


def test_the_published_file_of_ir50_fits(tmp_path: Path) -> None:
    """Layer by layer; InsightFace's r50 has 43.59 million parameters, for its blocks have one normalisation more."""
    state = {
        name: torch.zeros(size, dtype=torch.long if name.endswith("tracked") else torch.float32).add_(number)
        for number, (name, size) in enumerate(ir50_file().items())
    }
    torch.save(state, tmp_path / "ir50.pth")
    network = build(IR50)
    network.load_published(tmp_path / "ir50.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    weights = {name: size for name, size in ir50_file().items() if not name.endswith(("mean", "var", "tracked"))}
    assert count(network) == sum(math.prod(size) for size in weights.values()) == 43_574_976


def test_torchvisions_resnet18_is_ours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, ours = resnet18(weights=None).eval(), build(RESNET18).eval()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "resnet18.pth")
    ours.load_published(tmp_path / "resnet18.pth")
    theirs.fc = nn.Identity()
    pictures = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert_close(ours.embed(pictures), theirs(pictures), rtol=1e-4, atol=1e-4)
    assert count(ours) == 11_689_512 - 513_000  # torchvision's documented number, less its last layer


def test_torchvisions_vgg16_under_other_names_is_vggface(tmp_path: Path) -> None:
    """In a sixteenth of its widths, on pictures of 32 pixels."""
    torch.manual_seed(0)
    shape = FaceShape("vggface", 32, (4, 8, 16, 32, 32), (2, 2, 3, 3, 3), 12)
    widths: list[str | int] = [4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M"]
    theirs = make_layers(widths)
    dense = [nn.Linear(32, 12), nn.Linear(12, 12), nn.Linear(12, 2622)]
    convolutions = [layer for layer in theirs if isinstance(layer, nn.Conv2d)]
    names = [f"conv{part}_{unit}" for part, units in enumerate(shape.units, 1) for unit in range(1, units + 1)]
    state = {
        f"{name}.{end}": tensor
        for name, layer in zip([*names, "fc6", "fc7", "fc8"], [*convolutions, *dense], strict=True)
        for end, tensor in layer.state_dict().items()
    }
    torch.save(state, tmp_path / "vgg.pth")
    ours = build(shape).eval()
    ours.load_published(tmp_path / "vgg.pth")
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = dense[1](dense[0](theirs(pictures).flatten(1)).relu()).relu()
        assert_close(ours.embed(pictures), expected)


@pytest.mark.parametrize(
    ("shape", "parameters", "billions"), [(IR50, 43.575, 12.6), (RESNET18, 11.18, 3.63), (VGGFACE, 134.26, 30.9)]
)
def test_the_cost_of_a_picture(shape: FaceShape, parameters: float, billions: float) -> None:
    """Operations, two a multiplication: 6.3 billion multiplications of IR50, 1.8 of ResNet18, 15.5 of VGG16."""
    with torch.device("meta"):
        network = build(shape).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            assert network(torch.zeros(1, 3, shape.size, shape.size)).shape == (1, shape.features)
    print(f"{shape.kind}: {count(network):,} parameters, {counter.get_total_flops() / 1e9:.2f} GFLOP")  # noqa: T201
    assert count(network) / 1e6 == pytest.approx(parameters, abs=0.005)  # VGG16's 138,357,544, less its last layer
    assert counter.get_total_flops() / 1e9 == pytest.approx(billions, rel=0.01)


@pytest.mark.xdist_group("large")  # one after the other, with whatever else needs gigabytes
@pytest.mark.parametrize("shape", SHAPES, ids=kind)
def test_one_step_of_the_papers_size(shape: FaceShape) -> None:
    """End to end: every layer moves."""
    torch.manual_seed(0)
    model = FaceModel(shape, 7)
    pictures = torch.randint(0, 256, (2, 3, 224, 224)).float()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    fit(model, lambda rows: model(pictures[rows]), torch.arange(2), Schedule(1, 2, 0.01, momentum=0.9), RunContext())
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not still
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("shape", SMALL, ids=kind)
def test_pictures_of_any_size_are_stretched_and_scaled(shape: FaceShape) -> None:
    torch.manual_seed(0)
    network = build(shape).eval()
    large = torch.rand(2, 3, 64, 64) * 255
    small = nn.functional.interpolate(large, (32, 32), mode="bilinear", antialias=True)
    mean, deviation = (
        torch.tensor(v)[:, None, None] for v in (PUBLISHED[shape.kind].mean, PUBLISHED[shape.kind].deviation)
    )
    with torch.no_grad():
        assert network(large).shape == (2, 8)
        assert_close(network(large), network(small))
        assert_close(network(small), network.embed((small - mean) / deviation))


def test_only_published_sizes_have_a_file() -> None:
    assert [published_file(shape) for shape in SHAPES] == [PUBLISHED[shape.kind] for shape in SHAPES]
    assert [published_file(shape) for shape in SMALL] == [None] * 3


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Sign in</html>", b""])
def test_what_is_no_file_of_weights_is_told(tmp_path: Path, content: bytes) -> None:
    """A download page instead of the file."""
    (tmp_path / "page.pth").write_bytes(content)
    with pytest.raises(MethodError, match=r"page\.pth holds no weights.*again"):
        build(SMALL[0]).load_published(tmp_path / "page.pth")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {}, {"state_dict": {}}, {"epoch": 3}])
def test_a_file_without_layers_is_told(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(MethodError, match=r"other\.pth holds no weights by name; .* --weights none"):
        build(SMALL[0]).load_published(tmp_path / "other.pth")


@pytest.mark.parametrize("shape", SMALL, ids=kind)
def test_a_file_of_another_network_is_refused(shape: FaceShape, tmp_path: Path) -> None:
    """Of each other kind, and of the same kind in other sizes."""
    wider = replace(shape, widths=(8, 8, 8, 8, 8), features=9)
    for other in (wider, *(one for one in SMALL if one != shape)):
        torch.save(build(other).state_dict(), tmp_path / "other.pth")
        with pytest.raises(MethodError, match="so it is of another network") as caught:
            build(shape).load_published(tmp_path / "other.pth")
        assert "\n" not in str(caught.value)


def test_files_from_before_batches_were_counted_fit(tmp_path: Path) -> None:
    donor, network = build(SMALL[0]), build(SMALL[0])
    state = {name: tensor for name, tensor in donor.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(donor.state_dict())
    torch.save(state, tmp_path / "old.pth")
    network.load_published(tmp_path / "old.pth")
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("change", [{"size": 31}, {"widths": (1, 2)}, {"units": (1, 1, 0, 1, 1)}])
def test_sizes_that_cannot_be(change: dict[str, object]) -> None:
    values = {"kind": "ir50", "size": 32, "widths": (4,) * 5, "units": (1,) * 5, "features": 8} | change
    with pytest.raises(ValueError, match="but got"):
        FaceShape(**values)  # type: ignore[arg-type]


def test_an_ir_block_is_its_two_ways() -> None:
    """Where nothing changes size the short way is the picture itself, else every second pixel of it."""
    block = IrBlock(4, 4, stride=2).eval()
    block.res_layer.get_parameter("4.weight").data.zero_()
    x: Tensor = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(x), x[:, :, ::2, ::2])
    assert math.isclose(count(block), 4 * 2 * 2 + 4 + 2 * 4 * 4 * 9)
