"""The drawings of predictions: what is on the sheet, read from its axes."""

import numpy as np
import pytest
import torch

from resnet_edu.figures.predictions import maps, mistakes
from resnet_edu.probes import Addition
from resnet_edu.training.predictions import Predictions


def predictions(truth: list[int] | None) -> Predictions:
    """Four images, of which each is all of one grey: 0, 10, 20, 30."""
    pixels = torch.arange(0, 40, 10, dtype=torch.uint8)[:, None, None, None].expand(4, 1, 2, 2)
    chances = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    truth = None if truth is None else torch.tensor(truth)
    return Predictions(("cat", "dog"), list("abcd"), chances, pixels, torch.zeros(4, dtype=torch.bool), truth)


def drawn(picture) -> list[tuple[str, np.ndarray]]:
    return [(ax.get_title(), ax.images[0].get_array()) for ax in picture.fig.axes]


def test_mistakes_are_drawn_the_worst_first():
    sheet = drawn(mistakes(predictions([1, 1, 1, 0])))
    assert [title for title, _ in sheet] == ["dog: cat 90%", "cat: dog 70%", "dog: cat 60%"]
    assert [int(pixels[0, 0]) for _, pixels in sheet] == [0, 30, 20]
    assert len(drawn(mistakes(predictions([1, 1, 1, 0]), 2))) == 2
    with pytest.raises(ValueError, match="there is no mistake to draw"):
        mistakes(predictions([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="no images with labels"):
        mistakes(predictions(None))


def test_the_three_maps_of_an_addition_have_one_scale():
    x, branch = torch.full((1, 2, 4, 4), 3.0), torch.full((1, 2, 4, 4), -1.0)
    branch[0, :, 0, 0] = 2.0
    small = Addition("layer2.0", x[:, :, :2, :2], x[:, :, :2, :2], 2 * x[:, :, :2, :2])
    picture = maps([Addition("layer1.0", x, branch, x + branch), small])
    (x1, f1, s1, x2, _, s2) = (pixels for _, pixels in drawn(picture))
    assert np.allclose(x1, 3 / 5)
    assert np.allclose(f1[1:], 1 / 5)
    assert (f1[0, 0], s1[0, 0]) == pytest.approx((2 / 5, 1))
    assert x2.shape == (4, 4)
    assert (x2[0, 0], s2[0, 0]) == pytest.approx((0.5, 1))
    assert [title for title, _ in drawn(picture)][3:] == ["layer2.0: x 3", "F(x) 3", "sum 6"]
    with pytest.raises(ValueError, match="no addition"):
        maps([])
