"""The other side of each chapter's switch: with FULL = True its code runs to the end, here on a handful of images.

The cell with the tag `parameters` sets the switch; a cell behind it sets it otherwise, as papermill would do it.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent.parent / "notebooks").glob("*.ipynb"))

# Noise of CIFAR-10's shape in its place: what is tested is that the code fits such images, not what is learnt.
PHOTOGRAPHS = """
import torch
from resnet_edu import data
from resnet_edu.data import dataset


def load(name="digits", *arguments, real=data.load, **options):
    if name != "cifar10":
        return real(name, *arguments, **options)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (192, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.arange(192) % 10
    classes = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    return data.Dataset("cifar10", pixels[:128], labels[:128], pixels[128:], labels[128:], classes)


data.load = dataset.load = load  # the name of the room, and the one that a study asks
"""


def switch(notebook: nbformat.NotebookNode) -> int | None:
    """The place of the cell that sets the switch."""
    return next((i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])), None)


def with_switch() -> list[Path]:
    return [p for p in NOTEBOOKS if switch(nbformat.read(p, as_version=4)) is not None]


@pytest.mark.slow
@pytest.mark.parametrize("path", with_switch(), ids=lambda path: path.stem)
def test_a_chapter_runs_with_its_switch_on(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(switch(notebook) + 1, nbformat.v4.new_code_cell("FULL, STEPS = True, 4"))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PHOTOGRAPHS))
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
