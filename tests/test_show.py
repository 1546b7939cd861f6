"""The source that a chapter shows is the source that runs."""

import doctest
import inspect

import pytest
import torch

from resnet_edu import notebook as show
from resnet_edu.nets.blocks import BasicBlock, PlainBlock
from resnet_edu.notebook import show_source


def test_shows_what_runs():
    text = str(show_source(BasicBlock.forward))
    assert text.startswith("def forward(self, x: Tensor) -> Tensor:\n    ")
    assert "".join(text.split()) == "".join(inspect.getsource(BasicBlock.forward).split())
    assert repr(show_source(BasicBlock.forward)) == text


def test_is_markdown_in_a_notebook():
    source = show_source(PlainBlock.forward, BasicBlock.forward)
    assert source._repr_markdown_() == f"```python\n{source}\n```"
    assert str(source) == f"{show_source(PlainBlock.forward)}\n\n{show_source(BasicBlock.forward)}"


def test_an_object_stands_for_its_class():
    assert str(show_source(BasicBlock(8, 8))) == inspect.getsource(BasicBlock).rstrip()


def test_says_what_cannot_be_shown():
    with pytest.raises(TypeError, match=r"relu.* has no Python source to show"):
        show_source(torch.relu)
    with pytest.raises(TypeError, match="got none"):
        show_source()


def test_the_example_holds():
    assert doctest.testmod(show) == (0, 2)
