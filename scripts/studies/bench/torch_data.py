"""The usual way in PyTorch: a Dataset that decodes, scales, crops and flips, two workers."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

WORKERS = 2


class Patches(Dataset):
    """Random patches of image files: what `input_pipeline` makes of packed ones."""

    def __init__(self, paths: Sequence[str], side: int):
        """`side` of a patch, pixels; the shorter side of an image is scaled to it."""
        self._paths, self._side = list(paths), side

    def __len__(self) -> int:
        """How many images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """uint8 [3, S, S]."""
        side = self._side
        with Image.open(self._paths[index]) as image:
            scale = side / min(image.size)
            size = tuple(max(side, round(length * scale)) for length in image.size)
            pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        top, left = (int(torch.randint(length - side + 1, ())) for length in pixels.shape[:2])
        patch = torch.from_numpy(pixels[top:top + side, left:left + side].copy())
        patch = patch.permute(2, 0, 1)
        return patch.flip(2) if torch.rand(()) < 0.5 else patch


def epoch_seconds(paths: Sequence[str], side: int, batch: int, repeats: int) -> list[float]:
    """Seconds of epochs over `paths`; the workers live on from one to the next."""
    loader = DataLoader(Patches(paths, side), batch, shuffle=True, num_workers=WORKERS,
                        persistent_workers=True, multiprocessing_context="spawn")
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for _ in loader:
            pass
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
