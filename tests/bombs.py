"""Files that would run what they hold, if anything that reads them let them."""

import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import FunctionTransformer


class Bomb:
    """Whoever unpickles it finds a folder made."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def bombs(mark: Path) -> Iterator[bytes]:
    """As pickle, as PyTorch, NumPy and skops write it."""
    import skops.io

    yield pickle.dumps(Bomb(mark))
    file = io.BytesIO()
    torch.save({"layer.weight": Bomb(mark)}, file)
    yield file.getvalue()
    for save in (np.save, np.savez):
        file = io.BytesIO()
        save(file, np.array([Bomb(mark)], dtype=object))
        yield file.getvalue()
    yield skops.io.dumps(FunctionTransformer(os.system))
