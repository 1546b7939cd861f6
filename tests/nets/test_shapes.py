"""Shape arithmetic against PyTorch's own layers, autograd, and numbers worked out by hand."""

import itertools

import pytest
import torch
from torch import nn

from resnet_edu.nets import shapes


@pytest.mark.parametrize("size", [1, 2, 7, 8, 32, 33])
def test_conv_output_size_is_pytorchs(size):
    for kernel, stride, padding, dilation in itertools.product((1, 2, 3, 7), (1, 2, 3), (0, 1, 3), (1, 2)):
        layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
        try:
            expected = layer(torch.zeros(1, 1, size)).shape[-1]
        except RuntimeError:
            expected = None
        try:
            ours = shapes.conv_output_size(size, kernel, stride, padding, dilation)
        except ValueError:
            ours = None
        assert ours == expected, (size, kernel, stride, padding, dilation)


@pytest.mark.parametrize("size", [3, 7, 8, 13, 32])
def test_pool_output_size_is_pytorchs(size):
    for kernel, stride, padding in itertools.product((2, 3), (None, 1, 2, 3), (0, 1)):
        layer = nn.MaxPool1d(kernel, stride, padding)
        expected = layer(torch.zeros(1, 1, size)).shape[-1]
        assert shapes.pool_output_size(size, kernel, stride, padding) == expected


def test_known_sizes_of_resnet():
    assert shapes.conv_output_size(224, 7, 2, 3) == 112
    assert shapes.pool_output_size(112, 3, 2, 1) == 56
    assert [shapes.conv_output_size(s, 3, 2, 1) for s in (56, 28, 14)] == [28, 14, 7]


@pytest.mark.parametrize(
    "stack",
    [
        [(7, 2, 3, 1), (3, 2, 1, 1)],
        [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 1, 1)],
        [(3, 1, 2, 2), (1, 2, 0, 1), (5, 1, 0, 1)],
    ],
)
def test_receptive_field_is_where_autograd_finds_a_gradient(stack):
    field, layers = shapes.ReceptiveField(), []
    for kernel, stride, padding, dilation in stack:
        field = field.after(kernel, stride, padding, dilation)
        layers.append(nn.Conv1d(1, 1, kernel, stride, padding, dilation, bias=False))
        nn.init.ones_(layers[-1].weight)
    image = torch.zeros(1, 1, 101, requires_grad=True)
    output = nn.Sequential(*layers)(image)
    for position in (output.shape[-1] // 2, output.shape[-1] // 2 + 1):  # far from the borders
        (gradient,) = torch.autograd.grad(output[0, 0, position], image, retain_graph=True)
        touched = gradient[0, 0].nonzero().flatten()
        assert touched[-1] - touched[0] + 1 == field.size
        assert (touched[0] + touched[-1]).item() / 2 == field.start + position * field.jump


def test_the_union_of_two_fields_is_where_autograd_finds_the_gradient_of_a_sum():
    first, second = (shapes.ReceptiveField().after(*window) for window in [(5, 2, 0), (3, 2, 2)])
    layers = nn.Conv1d(1, 1, 5, 2, 0, bias=False), nn.Conv1d(1, 1, 3, 2, 2, bias=False)
    image = torch.zeros(1, 1, 40, requires_grad=True)
    for layer in layers:
        nn.init.ones_(layer.weight)
    sum(layer(image)[0, 0, 7] for layer in layers).backward()
    touched = image.grad[0, 0].nonzero().flatten()
    for field in (first.union(second), second.union(first)):
        assert touched[-1] - touched[0] + 1 == field.size == 7
        assert (touched[0] + touched[-1]).item() / 2 == field.start + 7 * field.jump
    with pytest.raises(ValueError, match="jumps 2 and 1"):
        first.union(shapes.ReceptiveField())


@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (20, 3), (32, 5), (44, 7), (56, 9), (110, 18), (1202, 200)])
def test_blocks_per_stage_of_the_papers_depths(depth, blocks):
    assert shapes.cifar_blocks_per_stage(depth) == blocks


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shapes.cifar_blocks_per_stage(21), r"6n\+2.*but it is 21.*20 and 26"),
        (lambda: shapes.cifar_blocks_per_stage(2), "8 and 14"),
        (lambda: shapes.conv_output_size(2, 7), "has 2 pixels.*reaches over 7"),
        (lambda: shapes.conv_output_size(0, 1), "`size` must be at least 1, but it is 0"),
        (lambda: shapes.conv_output_size(8, 3, stride=0), "`stride` must be at least 1"),
        (lambda: shapes.pool_output_size(8, 3, padding=2), "at most half of the kernel"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", [3.0, "3", None, True])
def test_only_whole_numbers_count(value):
    with pytest.raises(TypeError, match="whole number"):
        shapes.conv_output_size(8, value)
