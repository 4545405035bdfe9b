"""The convolutions of VGG16 with ImageNet's weights, which stay as they are."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from methods.base import Prepared
from methods.parts import networks, states
from methods.parts.weights import VGG16

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures


class ImagenetVgg16:
    """Fig. 3: the five blocks of VGG16 up to the last pooling, never trained here; faces become rows of numbers."""

    def __init__(self, file: Path | None) -> None:
        self.key = f"vgg16 {VGG16.digest if file else 'random'}"
        self.file = file

    @cached_property
    def blocks(self) -> nn.Module:
        from torchvision.models import vgg16  # slow, and what is prepared already does without

        with networks.seeded(0):
            network = vgg16(weights=None)
        if self.file:
            states.fill(network, states.read(self.file), self.file)
        blocks: nn.Module = network.features.eval()
        return blocks

    @torch.inference_mode()
    def __call__(self, inputs: Prepared, device: str) -> Prepared:
        network = self.blocks.to(device)
        mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
        faces = torch.from_numpy(np.array(inputs["faces"])).to(device).permute(0, 3, 1, 2)  # [T, 3, 48, 48]
        features = [network((part / 255 - mean) / deviation).flatten(1) for part in faces.split(64)]  # type: ignore[no-untyped-call]
        others = {name: array for name, array in inputs.items() if name != "faces"}
        return {**others, "features": torch.cat(features).cpu().numpy()}  # [T, 512]
