"""Published weights: which there are, and where: found on disk, else downloaded, else one line that says what to do."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.error import URLError

from datasets.clips import file_digest
from methods.base import AbsentError, MethodError, Weights, WeightsFile

FOLDER = "BENCH_WEIGHTS"

ALEXNET = WeightsFile(
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be79",
    used_by=("attention-fbp", "hybrid-dbn"),
    what="AlexNet on ImageNet, trained by torchvision",
    licence="BSD-3-Clause (torchvision); ImageNet's pictures are for research that is not commercial",
    differs="channels 64-192-384-256-256 on one GPU ('one weird trick'), not normalised; Caffe's and MatConvNet's have "
    "96-256-384-384-256, convolutions in two groups and local response normalisation; all layers but fc8 are taken",
)
_C3D = "c3d_sports1m_pretrain_20201016-dcc47ddc.pth"
C3D = WeightsFile(
    _C3D,
    f"https://download.openmmlab.com/mmaction/recognition/c3d/{_C3D}",
    "dcc47ddc",
    used_by=("hybrid-dbn",),
    what="C3D on Sports-1M, OpenMMLab's conversion of the authors' Caffe file; the digest in its name is not confirmed",
    licence="Apache-2.0 (MMAction2); none is known of the authors' own file",
    differs="Caffe's takes BGR less a mean clip, ours RGB less a mean colour; it ends with fc7, so fc8 is fresh, and "
    "so is fc6 where pictures are not 112 x 112",
)
VGG16 = WeightsFile(
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af",
    used_by=("vgg16-gru",),
    what="VGG16 on ImageNet, trained by torchvision",
    licence="BSD-3-Clause (torchvision); ImageNet's pictures are for research that is not commercial",
    differs="Keras' are the authors' Caffe weights for BGR less a mean colour; these were trained anew, for RGB of "
    "mean 0 and deviation 1; the layers before the last pooling are taken",
)
IR50 = WeightsFile(
    "backbone_ir50_ms1m_epoch120.pth",
    "https://drive.google.com/drive/folders/1omzvXV_djVIW2A7I09DWMe9JR-9o_MYh",
    "",
    used_by=("attention-fbp",),
    what="IR50 on MS-Celeb-1M with ArcFace, of ZhaoJ9014/face.evoLVe",
    licence="MIT (code); the pictures are for research only",
    differs="takes RGB of 112 x 112, where the paper cuts faces of 224 x 224; it ends with the 512 features",
    by_hand=True,
)
RESNET18 = WeightsFile(
    "resnet18_msceleb.pth",
    "https://drive.google.com/file/d/1u2NtY-5DVlTunfN4yxfxys5n8uh7sc3n/view",
    "",
    used_by=("attention-fbp",),
    what="ResNet18 on MS-Celeb-1M, of kaiwang960112/Self-Cure-Network and many after it",
    licence="none stated; the pictures are for research only",
    differs="scaled as ImageNet's pictures, as later users of the file do; its fc is left out",
    by_hand=True,
)
VGGFACE = WeightsFile(
    "vgg_face_dag.pth",
    "https://www.robots.ox.ac.uk/~albanie/models/pytorch-mcn/vgg_face_dag.pth",
    "",
    used_by=("attention-fbp",),
    what="VGGFace, S. Albanie's conversion of the authors' MatConvNet file. A vgg_face_dag.pt of 580,015,466 bytes in "
    "circulation has the SHA-256 f070b241e3faf17a08c78f8700d334413230bac5de7fbcfd01b3cf05ce10de1a; nobody says "
    "whether it is this one",
    licence="for research that is not commercial",
    differs="takes RGB in 0..255 less a mean colour; its fc8 is left out",
)
PUBLISHED = (ALEXNET, C3D, VGG16, IR50, RESNET18, VGGFACE)


@dataclass(frozen=True)
class WeightStore:
    """Files of weights in a folder; `none` is the user's explicit wish to go without."""

    folder: Path
    none: bool = False
    unreached: dict[str, str] = field(default_factory=dict, compare=False)  # why, by address: it is not tried again

    def find(self, file: WeightsFile) -> Path | None:
        """The file as it was published, from the folder, PyTorch's cache or the net."""
        if self.none:
            return None
        found = self.there(file)
        if found is None and file.by_hand:
            raise AbsentError(
                f"{self.folder / file.name} is not there; get it by hand from {file.url} and put it there (or name its "
                "folder with --weights DIR), or ask for --weights none"
            )
        found = found or self._downloaded(file)
        if not genuine(file, found):
            raise MethodError(
                f"{found} is not the published file (SHA-256 {sha256(found)[:16]}, not {file.digest}…); "
                f"get {file.url} again"
            )
        return found

    def _downloaded(self, file: WeightsFile) -> Path:
        from torch.hub import download_url_to_file

        there = self.folder / file.name
        try:
            if file.url not in self.unreached:
                there.parent.mkdir(parents=True, exist_ok=True)
                download_url_to_file(file.url, str(there), progress=False)  # writes beside it, then renames
                return there
        except (URLError, OSError) as error:
            self.unreached[file.url] = str(getattr(error, "reason", error))
        raise AbsentError(
            f"{there} is not there and cannot be downloaded ({self.unreached[file.url]}); "
            f"get {file.url}, put it there (or name its folder with --weights DIR), or ask for --weights none"
        )

    def places(self, file: WeightsFile) -> tuple[Path, ...]:
        """Where it is looked for, in this order."""
        return tuple(dict.fromkeys((self.folder / file.name, torch_cache() / file.name)))

    def there(self, file: WeightsFile) -> Path | None:
        """A file of its name, whatever it holds."""
        return next((place for place in self.places(file) if place.is_file()), None)


@dataclass(frozen=True)
class Asked:
    """Published weights, and which of them were asked for."""

    weights: Weights
    found: dict[str, Path | None] = field(default_factory=dict)

    def find(self, file: WeightsFile) -> Path | None:
        self.found[file.name] = self.weights.find(file)
        return self.found[file.name]


def genuine(file: WeightsFile, found: Path) -> bool:
    """Whether a file is the published one."""
    return sha256(found).startswith(file.digest)


def identity(found: Path) -> str:
    """What a result depends on: the name of a file whose digest was checked; of another one also its digest."""
    checked = any(file.name == found.name and file.digest for file in PUBLISHED)
    return found.name if checked else f"{found.name} {sha256(found)[:16]}"


def torch_cache() -> Path:
    """The folder of PyTorch's own downloads."""
    home = Path(os.environ.get("TORCH_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"))
    return (home / "hub" / "checkpoints").expanduser()


def folder() -> Path:
    """Where weights lie unless asked otherwise: $BENCH_WEIGHTS, else the cache of PyTorch's own downloads."""
    return Path(os.environ.get(FOLDER) or torch_cache()).expanduser()


def sha256(file: Path) -> str:
    """Of a file, which is read again only if it has changed."""
    told = file.stat()
    return _digest(file, told.st_size, told.st_mtime_ns)


@cache
def _digest(file: Path, size: int, changed: int) -> str:  # noqa: ARG001  a file that changed is read again
    return file_digest(file)
