"""Write the digits as the training laboratory takes them along: resnet_edu/widgets/src/workers/digits.txt.

    python tools/book/pack_digits.py

The package's own split, training images first. A pixel that is 0 is one bit, 0; one of 1 to 16 is a 1 and four bits of
its value less one; half of the pixels are 0, so this takes three bits a pixel. After the pixels comes the label, four
bits. Everything in base64.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from resnet_edu.data import load

ROOT = Path(__file__).resolve().parent.parent.parent
PACKED = ROOT / "resnet_edu" / "widgets" / "src" / "workers" / "digits.txt"


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (1797, 64) from 0 to 16 and labels (1797,): 1,437 training images, then 360 test images."""
    digits = load("digits")
    images = np.concatenate([digits.train_images.numpy(), digits.test_images.numpy()])
    pixels = np.rint(images.reshape(len(images), 64) * (16 / 255)).astype(int)
    return pixels, np.concatenate([digits.train_labels.numpy(), digits.test_labels.numpy()])


def packed() -> str:
    """Return the text of the file."""
    pixels, labels = arrays()
    bits = [
        "".join("0" if v == 0 else f"1{v - 1:04b}" for v in row) + f"{label:04b}"
        for row, label in zip(pixels, labels, strict=True)
    ]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return base64.b64encode(int(text, 2).to_bytes(len(text) // 8, "big")).decode()


if __name__ == "__main__":
    PACKED.write_text(packed(), encoding="ascii")
