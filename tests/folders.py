"""Folders of small images and tables of numbers, as somebody might bring them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, side: int = 8, mode: str = "RGB") -> Image.Image:
    """An image like no other."""
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def make_folder(root: Path, classes: Mapping[str, int], side: int = 8, mode: str = "RGB") -> Path:
    """So many images in a folder of each name; "" is the root itself."""
    seed = 0
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise(seed, side, mode).save(root / name / f"{index}.png")
            seed += 1
    return root


def make_table(path: Path, lines: int = 40, columns: int = 3, classes: tuple[str, ...] = ("red", "blue")) -> Path:
    """Columns x0, x1 …, and `kind` where there are classes; numbers of variance 1, the class's number away from 0."""
    rng = np.random.default_rng(0)
    names = [f"c{index}" for index in range(columns)] + (["kind"] if classes else [])
    text = [",".join(names)]
    for line in range(lines):
        of = line % max(1, len(classes))
        numbers = [f"{value:.4f}" for value in of + rng.normal(size=columns)]
        text.append(",".join([*numbers, *([classes[of]] if classes else [])]))
    path.write_text("\n".join(text) + "\n")
    return path
