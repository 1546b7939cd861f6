"""Checkers of sizes, receptive fields and stage tables. Each slip is named."""

import math

import numpy as np
import pytest
import torch
import torchvision
from refusal import refusal
from torch import nn

from resnet_edu import check
from resnet_edu.check.shapes import SIZES, STACKS

# ---------------------------------------------------------------- output size


def by_torch(n, k, s, p):
    return nn.Conv1d(1, 1, k, s, p)(torch.zeros(1, 1, n)).shape[2]


WRONG_SIZE = {
    (lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1): "rounds up",
    (lambda n, k, s, p: round((n + 2 * p - k) / s) + 1): "rounds to the nearest",
    (lambda n, k, s, p: (n + 2 * p - k) // s): "where the kernel begins is not counted",
    (lambda n, k, s, p: (n + p - k) // s + 1): "at one end only",
    (lambda n, k, s, p: (n - k) // s + 1): "padding is not used",
    (lambda n, k, s, p: (n - 2 * p - k) // s + 1): "makes the map smaller",
    (lambda n, k, s, p: n + 2 * p - k + 1): "stride is not used",
    (lambda n, k, s, p: (n + 2 * p - k + 1) // s): "1 is inside the division",
    (lambda n, k, s, p: (n + 2 * p) // s): "kernel is not used",
    (lambda n, k, s, p: -(-n // s)): "only where the padding keeps the size",
    (lambda n, k, s, p: (n + 2 * p - k) / s + 1): "whole numbers",
    (lambda n, k, s, p: 112): "112 in all cases",
    (lambda n, k, s, p: None): "returns None",
    (lambda n, k, s, p: by_torch(n, k, s, p) + (n == 33)): "1 of 14 are wrong. The first is (33, 5, 2, 0)",
    (lambda n, k: n - k): "raised TypeError",
    (lambda n, k, s, p: n // 0): "raised ZeroDivisionError",
}


def test_output_size(capsys):
    check.output_size(by_torch)
    assert capsys.readouterr().out.startswith("✓ by_torch")
    check.output_size(lambda n, k, s, p: np.int64(by_torch(n, k, s, p)))
    check.output_size(lambda n, k, s, p: torch.tensor(by_torch(n, k, s, p)))
    with pytest.raises(check.NotYet, match=r"float64\. Pixels are counted in whole numbers"):
        check.output_size(lambda n, k, s, p: np.floor((n + 2 * p - k) / s) + 1)
    assert len(SIZES) == 14
    with pytest.raises(TypeError, match="function itself"):
        check.output_size(16)


@pytest.mark.parametrize("wrong", WRONG_SIZE)
def test_wrong_sizes_are_named(wrong):
    assert WRONG_SIZE[wrong] in refusal(check.output_size, wrong)


# ---------------------------------------------------------------- receptive field


def by_gradient(layers):
    """From the first to the last pixel that has a gradient from one value, asked of autograd."""
    net = nn.Sequential(*(nn.Conv1d(1, 1, k, s, bias=False) for k, s in layers))
    for p in net.parameters():
        nn.init.ones_(p)
    x = torch.ones(1, 1, 200, requires_grad=True)
    (net(x)[0, 0, 0] * 1).backward()
    touched = x.grad[0, 0].nonzero()
    return int(touched[-1] - touched[0]) + 1


def field(layers, early=False, reverse=False, start=1):
    size, jump = start, 1
    for k, s in layers[::-1] if reverse else layers:
        jump *= s if early else 1
        size += (k - 1) * jump
        jump *= 1 if early else s
    return size


WRONG_FIELD = {
    (lambda v: 1 + sum(k - 1 for k, _ in v)): "strides are not used",
    (lambda v: field(v, early=True)): "own stride is used for its own kernel",
    (lambda v: sum(k for k, _ in v)): "summed up",
    (lambda v: math.prod(k for k, _ in v)): "kernels are multiplied",
    (lambda v: field(v, start=0)): "too small by one",
    (lambda v: field(v, reverse=True)): "reverse order",
    (lambda v: math.prod(s for _, s in v)): "how far apart",
    (lambda v: float(field(v))): "whole numbers",
    (lambda v: v[0][0]): "raised IndexError",
    (lambda v: 1 + v[0][0] - 1 + (field(v) - v[0][0])): "There may be no layer at all",
    (lambda v: field(v) if v else 0): "The first is []: 0 is too small",
    (lambda v: v[1][0]): "[(3, 1)]) raised IndexError",
}


def test_receptive_field():
    check.receptive_field(by_gradient)
    check.receptive_field(field)
    assert all(by_gradient(s) == field(s) for s in STACKS)


@pytest.mark.parametrize("wrong", WRONG_FIELD)
def test_wrong_fields_are_named(wrong):
    assert WRONG_FIELD[wrong] in refusal(check.receptive_field, wrong)


def test_the_learners_list_is_not_the_checkers():
    def empties(layers):
        size = field(layers)
        layers.clear()
        return size

    check.receptive_field(empties)
    assert STACKS[1] == [(3, 1), (3, 1)]


# ---------------------------------------------------------------- stages


def table_of(net):
    """Channels, size, blocks and parameters of each stage, asked of torchvision's net with an image of 224 pixels."""
    rows, x = [], net.maxpool(net.relu(net.bn1(net.conv1(torch.zeros(1, 3, 224, 224, device="meta")))))
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        rows.append((x.shape[1], x.shape[2], len(stage), sum(p.numel() for p in stage.parameters())))
    return rows


@pytest.fixture(scope="module")
def right():
    with torch.device("meta"):
        return {n: table_of(getattr(torchvision.models, n)()) for n in ("resnet34", "resnet50")}


def test_stage_tables(right, capsys):
    check.stage_table(right["resnet34"])
    check.stage_table([row[:3] for row in right["resnet34"]])
    check.stage_table([list(row) for row in right["resnet50"]], net="resnet50")
    check.stage_table(np.array(right["resnet34"]))
    check.stage_table([np.array(row) for row in right["resnet34"]])
    check.stage_table(torch.tensor([row[:3] for row in right["resnet34"]]))
    assert capsys.readouterr().out.count("✓") == 6


def column(rows, index, values):
    return [(*row[:index], value, *row[index + 1 :]) for row, value in zip(rows, values, strict=True)]


def test_wrong_stage_tables_are_named(right):
    rows, deep = right["resnet34"], right["resnet50"]
    for table, words in {
        tuple(column(rows, 1, (28, 14, 7, 4))): "every stage halves the map here",
        tuple(column(rows, 1, (112, 56, 28, 14))): "maps that reach a stage",
        tuple(column(rows, 1, (56, 56, 56, 56))): "never made smaller",
        tuple(column(rows, 0, (64, 64, 128, 256))): "channels that reach a stage",
        tuple(column(rows, 2, (6, 8, 12, 6))): "these are convolutions",
        tuple(column(rows, 2, (2, 3, 5, 2))): "all blocks but the first",
        tuple(column(rows, 2, (3, 4, 7, 3))): "blocks: 1 of 4 are wrong. The first is conv4_x: 7 is too large",
        tuple(column(rows, 1, (56, 27, 13, 7))): "2 of 4 are wrong. The first is conv3_x: 27 is too small",
        tuple(column(rows, 1, ((56, 56), (28, 28), (14, 14), (7, 7)))): "conv2_x has (56, 56), and one whole number",
        tuple(column(rows, 1, ("56x56", "28x28", "14x14", "7x7"))): "conv2_x has '56x56', and one whole number",
        tuple(column(rows, 1, (56, 28.0, 14, 7))): "conv3_x has 28.0, and one whole number",
        tuple(rows[:3]): "3 rows",
        tuple((*row, 1) for row in rows): "each row has",
        (1, 2, 3, 4): "each row has",
    }.items():
        assert words in refusal(check.stage_table, list(table)), table
    assert "3x3 convolutions" in refusal(check.stage_table, column(deep, 0, (64, 128, 256, 512)), net="resnet50")
    assert "for an image of 224 pixels" in refusal(check.stage_table, rows, size=160)
    assert "array" not in refusal(check.stage_table, np.array(rows)[:, :2])
    with pytest.raises(ValueError, match="net"):
        check.stage_table(rows, net="resnet19")


def test_wrong_parameters_are_named(right):
    rows = right["resnet34"]
    net = torchvision.models.resnet34()
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]

    def count(keep):
        return [sum(p.numel() for n, p in s.named_parameters() if keep(n, p)) for s in stages]

    for counts, words in (
        (count(lambda n, p: p.dim() > 1), "scales and shifts of batch normalisation are left out"),
        (count(lambda n, p: "downsample" not in n), "projections are left out"),
        (count(lambda n, p: p.dim() > 1 and "downsample" not in n), "projections and all of batch normalisation"),
        (count(lambda n, p: p.dim() > 1 or "weight" in n), "two learnt numbers a channel"),
        (
            [sum(t.numel() for t in s.state_dict().values() if t.is_floating_point()) for s in stages],
            "running mean and variance are counted",
        ),
        ([1, 2, 3, 4], "4 of 4 are wrong. The first is conv2_x: 1 is too small"),
    ):
        message = refusal(check.stage_table, column(rows, 3, counts))
        assert words in message
        assert str(rows[0][3]) not in message
