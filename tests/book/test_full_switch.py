"""The other side of each chapter's switch: with FULL = True its code runs to the end, here on a handful of images."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"

# Noise of CIFAR-10's shape in its place: what is tested is that the code fits such images, not what is learnt.
PHOTOGRAPHS = """
import torch
from resnet_edu import data


def load(name="digits", *arguments, real=data.load, **options):
    if name != "cifar10":
        return real(name, *arguments, **options)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (192, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.arange(192) % 10
    classes = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    return data.Dataset("cifar10", pixels[:128], labels[:128], pixels[128:], labels[128:], classes)


data.load = load
"""
# What is made shorter in a chapter, and nothing else is: (its words, the words in their place).
SHORTER = {
    "01-deeper-is-not-better": [("Recipe.scaled(3000).replace(eval_every=500)", "Recipe.scaled(4)")],
    "02-the-residual-block": [("3000 if FULL", "4 if FULL")],
    "06-training-recipe": [("default_recipe(data, 8000, depth=20)", "default_recipe(data, 4, depth=20)")],
    "07-the-degradation-experiment": [
        (
            'degradation.NETS, "cifar10", Recipe.paper(), 1',
            'degradation.NETS, data.load("cifar10"), Recipe.scaled(4), 1',
        )
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("chapter", SHORTER)
def test_a_chapter_runs_with_its_switch_on(chapter: str, tmp_path: Path):
    notebook = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    for words in ["FULL = False", *(old for old, _ in SHORTER[chapter])]:
        assert text.count(words) == 1, f"{words!r} is not in the chapter, or more than once"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace("FULL = False", "FULL = True")
            for old, new in SHORTER[chapter]:
                cell.source = cell.source.replace(old, new)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PHOTOGRAPHS))
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()


def test_every_chapter_with_a_switch_is_here():
    """But for chapter 5, whose switch downloads trained weights: tests/test_pretrained.py has its functions."""
    with_switch = {p.stem for p in NOTEBOOKS.glob("*.ipynb") if "FULL = False" in p.read_text(encoding="utf-8")}
    assert with_switch == {*SHORTER, "05-bottlenecks"}
