"""Folders of images, a folder a class."""

from pathlib import Path


def draw(folder: Path, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """A folder of class folders with images in it."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder
