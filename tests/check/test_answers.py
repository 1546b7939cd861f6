"""Answers that are handed in: the right ones, worked out here by other means, and every slip with its own words."""

import copy
import fractions
import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from run_records import make
from torch import nn

from resnet_edu import check
from resnet_edu.check.answers import EXERCISES
from resnet_edu.data.dataset import load
from resnet_edu.experiment.shipped import load_records, load_trained
from resnet_edu.nets.blocks import BasicBlock, PlainBlock
from resnet_edu.nets.models import ResNet, cifar_net, plain34, resnet34, resnet50
from resnet_edu.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")


class Halve(nn.Module):
    """The block of exercise 2.3, mended, or as it was."""

    def __init__(self, channels: int, norm: bool = True, stride: int = 2) -> None:
        super().__init__()
        out = 2 * channels
        self.branch = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False))
        if norm:
            self.shortcut.append(nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))


class PreAct(nn.Module):
    """The block of exercise 14.3, or with a mistake: where or when the projection starts, or a ReLU at the end."""

    def __init__(self, inside: int, out: int, stride: int, early=True, last=False, by_stride=False, bias=False) -> None:
        super().__init__()
        self.early, self.end = early, nn.ReLU() if last else nn.Identity()
        self.first = nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU())
        self.rest = nn.Sequential(
            nn.Conv2d(inside, out, 3, stride, padding=1, bias=bias),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
        )
        same = stride == 1 and (by_stride or inside == out)
        self.shortcut = None if same else nn.Conv2d(inside, out, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.first(x)
        if self.shortcut is not None:
            x = self.shortcut(out if self.early else x)
        return self.end(self.rest(out) + x)


def pooled_shortcut(pool: type[nn.Module] = nn.AvgPool2d, norm=True, bias=False, size=2, late=False) -> Callable:
    """The shortcut of exercise 5.2, right or with a mistake in it, as a function that builds it."""

    def build(in_channels: int, out_channels: int) -> nn.Module:
        layers = [pool(size), nn.Conv2d(in_channels, out_channels, 1, bias=bias), nn.BatchNorm2d(out_channels)]
        layers[:2] = layers[1::-1] if late else layers[:2]
        return nn.Sequential(*layers[: 3 if norm else 2])

    return build


class EverySecond(nn.Module):
    """What a 1x1 with stride 2 reads of a map."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :: self.stride, :: self.stride]


def grid(**changes: dict[float, tuple[float, float]]) -> dict:
    """Rate -> runs, two a net: (training, held-out) errors of plain-56 by rate, and of plain-20 the same for all."""
    deep = {0.003: (4.0, 30.0), 0.01: (5.0, 20.0), 0.1: (80.0, 81.0)} | changes.get("deep", {})
    nets = {"plain56": deep, "plain20": {rate: (1.0, 5.0 + (rate < 0.1)) for rate in deep}}
    found = {}
    for net, errors in nets.items():
        for rate, (train, held) in errors.items():
            for seed, off in enumerate((-0.5, 0.5)):
                run = make(net, seed)
                run.curves[-1].update(train_error=train + off, test_error=held + off)
                found.setdefault(rate, []).append(run)
    return found


def depths(*errors: float, first: str = "plain", **changes: object) -> list:
    recipe = Recipe.digits().to_dict() | changes
    nets = zip((8, 14, 20, 26, 32), errors, strict=True)
    return [make(f"{first}{depth}", 0, (99.0, error), recipe=recipe) for depth, error in nets]


def same(images: torch.Tensor) -> torch.Tensor:
    return images


def twice(images: torch.Tensor) -> torch.Tensor:
    return 2 * images + 0.5


class Later:
    """A part of an answer that is built when a test hands it in: whole nets would stay in memory to the last test."""

    def __init__(self, build: Callable[[], object]) -> None:
        self.build = build


def built(answer: dict) -> dict:
    return {name: value.build() if isinstance(value, Later) else value for name, value in answer.items()}


def one_by_one(blocks: list[int], widths: list[int]) -> nn.Module:
    net = ResNet(PlainBlock, blocks, widths)
    for block in (b for name in net.stages for b in getattr(net, name)):
        block.conv1 = nn.Conv2d(block.conv1.in_channels, 64, 1, block.conv1.stride, bias=False)
        block.conv2 = nn.Conv2d(64, 64, 1, bias=False)
    return net


@functools.cache
def fifty(training: bool) -> nn.Module:
    return resnet50().train(training)


@pytest.fixture(scope="module", autouse=True)
def _nets_go_with_the_last_test() -> Iterator[None]:
    yield
    fifty.cache_clear()


TWINS = [(kind, seed, 4, 10.0 + seed, 5.0) for seed in range(3) for kind in ("plain", "resnet")]
SGD = [10.0, 11.0, 12.0, 10.0, 11.0]
ADAM = [10.5, 10.5, 12.5, 10.0, 10.5]
HELD_OUT = {
    "SGD": {0.3: [14.0, 14.0], 0.1: [11.0, 13.0], 0.03: [13.0, 13.0]},
    "Adam": {1e-4: [80, 60], 1e-3: [12, 14], 1e-2: [11, 12]},
}
RATES = {"SGD": 0.1, "Adam": 1e-2}
WEIGHTS, LATE = 64 * 64 * 9, 512 * 512 * 9
VARIANCE = sum((x - 45.35 / 6) ** 2 for x in (7.4, 7.29, 7.4, 6.89, 8.42, 7.95)) / 5  # their sum is 45.35
S, AWAY = VARIANCE**0.5, 45.35 / 6 - 6.61


def right_ends() -> tuple[float, float]:
    a, b, c = (r.final["train_error"] for r in load_records("digits") if r.net == "plain56" and r.seed < 3)
    means = sorted(sum(t) / 3 for t in [(x, y, z) for x in (a, b, c) for y in (a, b, c) for z in (a, b, c)])
    # The 2.5% quantile of 27 sorted values stands at place 0.65, counted from 0, and the 97.5% one at 25.35.
    return means[0] + 0.65 * (means[1] - means[0]), means[25] + 0.35 * (means[26] - means[25])


def needless(t) -> int:
    """Blocks that keep their shape, and have something on the shortcut."""
    first = {}  # addition -> the first row of its shortcut
    for a in t.additions:
        if a.shortcut_kind != "identity":
            row = t.rows[a.shortcut]
            while isinstance(row.sources[0], int) and t.rows[row.sources[0]].on_shortcut:
                row = t.rows[row.sources[0]]
            first[a.index] = row
    return sum(row.input_shape == t.rows[index].output_shape for index, row in first.items())


@functools.cache
def turned_round(turn: bool = True) -> dict[str, float]:
    """Test errors of the trained nets of 56 layers, the weights of layer3.1 to layer3.8 in the opposite order."""
    digits, found = load("digits"), {}
    images = digits.test_images / 255 - (digits.train_images / 255).mean(0)
    for answer, name in (("plain", "plain56"), ("residual", "resnet56")):
        net = load_trained(name, study="digits")
        other = {k: re.sub(r"(?<=layer3\.)[1-8]", lambda m: str(9 - int(m[0])), k) for k in net.state_dict()}
        net.load_state_dict({other[k] if turn else k: v.clone() for k, v in net.state_dict().items()})
        with torch.no_grad():
            found[answer] = 100 * (net(images).argmax(1) != digits.test_labels).double().mean().item()
    return found


REPORTS = ["steps on test", "no eval", "strict=False", "last epoch", "training transforms"]


def loader(cut: Callable[[str], str] = lambda name: name.removeprefix("module."), strict: bool = True) -> Callable:
    """The function of exercise 10.3, right or with a mistake in it."""

    def load(net: nn.Module, saved: dict[str, torch.Tensor]) -> None:
        net.load_state_dict({cut(name): tensor for name, tensor in saved.items()}, strict=strict)

    return load


def loads_if_as_many(net: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    if len(saved) != len(net.state_dict()):
        raise ValueError
    net.load_state_dict({name.removeprefix("module."): t for name, t in saved.items()}, strict=False)


def loads_what_fits(net: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Nothing may be missing, but anything left over."""
    left = net.load_state_dict({n.removeprefix("module."): t for n, t in saved.items()}, strict=False)
    assert not left.missing_keys


RIGHT = {
    "1.1": {"cases": ["overfitting", "degradation", "unknown"]},
    "1.2": {"grid": grid(), "rate": 0.01, "left": 4.0},
    "1.3": {"runs": depths(0.0, 0.5, 0.9, 1.1, 5.0), "begins": 26},
    "2.2": {"conv1": (128, 4, 4), "conv2": [1, 128, 4, 4], "shortcut": torch.Size([128, 4, 4])},
    "2.3": {"block": Halve},
    "2.4": {"plain": 0, "residual": torch.tensor(10)},
    "3.2": {"imagenet": (512, 1, 1), "cifar": (512, 4, 4)},
    "3.3": {"sizes": [28, 14, 7, 4], "share": 0.29},
    "3.4": {"kernel": 7, "stride": 3, "padding": 3},
    "4.1": {
        "early_weights": WEIGHTS,
        "early_macs": WEIGHTS * 50_176,
        "late_weights": LATE,
        "late_macs": LATE * 196,
    },
    "4.3": {"net": Later(lambda: ResNet(PlainBlock, [3, 4, 6, 3], [64] * 4)), "falls_more": "parameters"},
    "5.2": {"shortcut": pooled_shortcut()},
    "5.3": {
        "changes": Later(lambda: [(resnet50(stride_on="1x1").eval(), same), (fifty(True), same), (fifty(False), twice)])
    },
    "5.4": {"block": 33, "parameters": 0.570, "macs": 0.603},
    "6.4": {"held_out": HELD_OUT, "rates": RATES, "test": {"SGD": SGD, "Adam": ADAM}, "verdict": "not told apart"},
    "7.1": {
        "mean": 7.56,
        "deviation": 0.54,
        "error": 0.22,
        "deviations_away": AWAY / S,
        "errors_away": AWAY / S * 6**0.5,
    },
    "7.2": {"runs": TWINS},
    "7.4": {"draws": 27, "means": 10, "ends": right_ends(), "right": 0.68},
    "9.1": {"depth": 20, "option": "B"},
    "9.2": {"reader": needless},
    "9.3": {"net": Later(lambda: cifar_net(20, shortcut="projection"))},
    "8.1": {"paths": 134_217_728, "left": 0.03125, "branches": 13.5},
    "8.2": turned_round(),
    "8.3": {"share": 0.0342},
    "13.1": {"overwritten": ["bn2", "bn1"]},
    "13.2": {"block": "layer3.4", "field": 235},
    "13.3": {"cam": lambda maps, weight, kind: torch.einsum("c,chw->hw", weight[kind], maps) / maps[0].numel()},
    "11.1": {"per_second": 219.5, "hours": 10.37},
    "11.3": {"as_published": (71, 166), "padded": [65, 160]},  # those that a trace passes: see the solution
    "14.1": {"parameters": 2_530_992, "macs": 2_514_944},  # +2.5 million: Hu et al., section 4
    "14.2": {"blocks": 54 - 0.5 * 55 / 2, "factor": torch.tensor(1.25)},
    "14.3": {"block": PreAct},
    "12.1": {"error": 10, "mean_of_classes": 50},
    "12.2": {"images": 381},
    "12.3": {"confusion": lambda t, s, k: torch.bincount(t * k + s, minlength=k * k).view(k, k)},
    "10.1": {"bugs": REPORTS},
    "10.3": {"load": loader()},
}

WRONG = [  # exercise, what is handed in instead, and words of the message
    ("1.1", {"cases": ["degradation", "degradation", "unknown"]}, "case i` is 'degradation': its training error"),
    ("1.1", {"cases": ["unknown", "degradation", "unknown"]}, "compare it with its test error"),
    ("1.1", {"cases": ["overfitting", "overfitting", "unknown"]}, "are its training images learnt"),
    ("1.1", {"cases": ["overfitting", "unknown", "unknown"]}, "Compare its training error with the smaller network's"),
    ("1.1", {"cases": ["overfitting", "degradation", "degradation"]}, "against which shallower network?"),
    ("1.1", {"cases": ["overfit", "degradation", "unknown"]}, "must be one of 'degradation', 'overfitting', 'unknown'"),
    ("1.1", {"cases": "overfitting"}, "a list of words is expected"),
    ("1.1", {"cases": ["overfitting"]}, "has 1 entries, and 3 words are expected"),
    ("1.2", {"grid": load_records("digits")}, "three learning rates or more"),
    ("1.2", {"grid": {rate: runs for rate, runs in grid().items() if rate < 0.1}}, "three learning rates or more"),
    ("1.2", {"grid": {rate: runs[:2] for rate, runs in grid().items()}}, "has no run of plain20"),
    ("1.2", {"grid": {rate: [1, 2] for rate in grid()}}, "holds 1, and the records"),
    ("1.2", {"rate": 0.1}, "the best one for plain-20"),
    ("1.2", {"rate": 0.003}, "the best one on the training images"),
    ("1.2", {"rate": 0.02}, "must be one of 0.003, 0.01, 0.1"),
    ("1.2", {"grid": grid(deep={0.3: (70.0, 71.0)}), "rate": 0.3}, "a lower mean error on the held-out images"),
    ("1.2", {"left": 15.0}, "those are the held-out images"),
    ("1.2", {"left": -4.0}, "plain-56 minus plain-20"),
    ("1.2", {"left": 5.0}, "too large"),
    ("1.3", {"begins": 20}, "the first with more than one point above plain-8"),
    ("1.3", {"begins": None}, r"26: 1.10%"),
    ("1.3", {"runs": depths(0.0, 0.5, 0.9, 1.0, 0.8), "begins": None}, "32 is the deepest: go on"),
    ("1.3", {"runs": depths(0.0, 0.5, 0.9, 1.1, 5.0, steps=1)}, "1 steps at 0.003, and the recipe"),
    ("1.3", {"runs": depths(0.0, 0.0, 0.0, 0.1, 5.0)}, r"`begins` is 26"),
    ("1.3", {"runs": depths(0.0, 0.0, 0.0, 0.1, 5.0, first="resnet")}, "holds resnet8, and plain networks"),
    ("1.3", {"runs": depths(0.0, 0.5, 0.9, 1.1, 5.0)[1:]}, "plain-8, to compare with, is missing"),
    ("2.2", {"conv1": (128, 3, 3)}, "rounded down"),
    ("2.2", {"conv2": (64, 4, 4)}, "the channels of the input"),
    ("2.2", {"shortcut": (64, 3, 3)}, "rounded down.* And these are the channels"),
    ("2.2", {"conv1": (128, 4, 5)}, "not right in place 3"),
    ("2.2", {"conv1": (4, 4)}, "with 2 numbers, and 3 are expected"),
    ("2.2", {"conv1": "128x4x4"}, "whole numbers are expected"),
    ("2.2", {"conv1": (128, 3.5, 3.5)}, "whole numbers are expected"),
    ("2.3", {"block": lambda channels: Halve(channels, norm=False)}, r"\(8\).*no batch normalisation"),
    ("2.3", {"block": lambda channels: Halve(channels, stride=1)}, r"\(8\).*"),
    ("2.4", {"plain": 10}, "what does a plain block pass on"),
    ("2.4", {"residual": 0}, "no other way around the blocks"),
    ("2.4", {"plain": "none"}, "a number is expected"),
    ("2.4", {"plain": False}, "a number is expected"),
    ("3.2", {"imagenet": (512, 7, 7)}, "an image of 224×224"),
    ("3.2", {"cifar": (10,)}, "those are the classes"),
    ("3.2", {"cifar": (512, 2, 2)}, "not right in place 2 and 3"),
    ("3.3", {"sizes": [56, 28, 14, 7]}, "maps of the right network"),
    ("3.3", {"sizes": [112, 56, 28, 14]}, "with which stride"),
    ("3.3", {"share": 3.46}, "wrong by right"),
    ("3.3", {"share": 0.71}, "what is saved"),
    ("3.3", {"share": 29}, "in percent"),
    ("3.4", {"kernel": -7, "stride": 3, "padding": -4}, "padding none or more"),
    ("3.3", {"share": 1.0}, "those are parameters"),
    ("3.4", {"kernel": 3, "padding": 1}, "has 224 parameters"),
    ("3.4", {"stride": 2}, "makes 5 pixels of 9, and the one in the box makes 3"),
    ("3.4", {"stride": 0}, "makes 0 pixels of 9"),
    ("3.4", {"padding": 2}, "makes 3 pixels of 10, and the one in the box makes 4"),
    ("3.4", {"kernel": "7x7"}, "a number is expected"),
    ("4.1", {"early_weights": WEIGHTS + 64}, "the biases"),
    ("4.1", {"early_weights": 64 * 64}, "more than one weight"),
    ("4.1", {"late_weights": 512 * 9}, "a kernel for every input channel"),
    ("4.1", {"early_macs": WEIGHTS * 224}, "height and width"),
    ("4.1", {"early_macs": 2 * WEIGHTS * 50_176}, "counts as one"),
    ("4.1", {"late_macs": LATE}, "each is used at every pixel"),
    ("4.1", {"late_macs": LATE * 144}, "with padding 1"),
    ("4.1", {"late_macs": 1}, "too small"),
    ("4.3", {"net": Later(plain34)}, "plain-34 as it was"),
    ("4.3", {"net": Later(resnet34)}, "16 additions"),
    ("4.3", {"net": Later(lambda: ResNet(PlainBlock, [2, 2, 2, 2], [64] * 4))}, "has 18 layers, and plain-34 has 34"),
    ("4.3", {"net": Later(lambda: ResNet(PlainBlock, [3, 4, 6, 3], [32] * 4))}, "not all have the channels"),
    ("4.3", {"net": ResNet}, "not its class"),
    ("4.3", {"net": Later(lambda: one_by_one([3, 4, 6, 3], [64] * 4))}, "not all have the channels"),
    ("4.3", {"falls_more": "multiply-adds"}, "divide what plain-34 has"),
    ("5.2", {"shortcut": pooled_shortcut(EverySecond)}, "three quarters"),
    ("5.2", {"shortcut": pooled_shortcut(nn.MaxPool2d)}, "takes their mean"),
    ("5.2", {"shortcut": pooled_shortcut(bias=True)}, "without bias"),
    ("5.2", {"shortcut": pooled_shortcut(norm=False)}, "its batch norm"),
    ("5.2", {"shortcut": pooled_shortcut(size=1)}, "it should become"),
    ("5.2", {"shortcut": pooled_shortcut(late=True)}, "four times the places"),
    ("5.3", {"changes": Later(lambda: 3 * [(fifty(True), same)])}, "changes 1 and 2 give the same output"),
    ("5.3", {"changes": Later(lambda: [(fifty(False), twice), (fifty(False), lambda x: x + 3)] * 2)}, "has 4 entries"),
    (
        "5.3",
        {"changes": Later(lambda: [(fifty(False), change) for change in (twice, torch.neg, same)])},
        "both of the images",
    ),
    ("5.3", {"changes": Later(lambda: 3 * [(fifty(False), same)])}, "it has no effect"),
    ("5.3", {"changes": Later(lambda: 3 * [(fifty(True), twice)])}, "the images and the mode at once"),
    ("5.3", {"changes": Later(lambda: 3 * [(resnet34().eval(), same)])}, "load_state_dict"),
    ("5.3", {"changes": Later(lambda: 3 * [fifty(False)])}, "a list of things"),
    ("5.4", {"block": 17}, "still to be added"),
    ("5.4", {"block": 16}, "the projection alone"),
    ("5.4", {"parameters": 57.0}, "in percent"),
    ("5.4", {"parameters": 1.570}, "how many times as many"),
    ("5.4", {"macs": 1 - 1 / 1.603}, "share of the larger network"),
    ("6.4", {"test": {"SGD": [0.1] * 5, "Adam": ADAM}}, "nothing above 1"),
    ("6.4", {"test": {"SGD": SGD[:3], "Adam": ADAM}}, "has 3 entries, and 5"),
    ("6.4", {"test": {"SGD": [120.0] * 5, "Adam": ADAM}}, "lie between 0 and 100"),
    ("6.4", {"test": {"SGD": SGD}}, "with the keys 'SGD' and 'Adam'"),
    ("6.4", {"held_out": {**HELD_OUT, "SGD": {0.1: [12.0]}}}, "three rates or more"),
    ("6.4", {"held_out": {**HELD_OUT, "SGD": {0.3: [20.0], 0.1: [12.0], 0.03: [13.0]}}}, "two starts"),
    ("6.4", {"held_out": {**HELD_OUT, "SGD": {0.3: [], 0.1: [12.0], 0.03: [13.0]}}}, "is empty"),
    ("6.4", {"rates": {"SGD": 0.1, "Adam": 1e-3}}, "0.01 has the lowest mean error on the held-out images, 11.5%"),
    ("6.4", {"verdict": "worse"}, "Is 0 in it"),
    ("6.4", {"test": {"SGD": SGD, "Adam": [e + 5 for e in SGD]}, "verdict": "better"}, "is a larger error better"),
    ("7.1", {"mean": 7.4}, "the median"),
    ("7.1", {"deviation": 0.49}, "divided by 6"),
    ("7.1", {"deviation": VARIANCE}, "the variance"),
    ("7.1", {"error": S / 6}, "not by its root"),
    ("7.1", {"error": S / 5**0.5}, "the root of how many"),
    ("7.1", {"error": S}, "that is the deviation"),
    ("7.1", {"error": S * (5 / 6) ** 0.5 / 6**0.5}, "on the way here"),
    ("7.1", {"deviations_away": AWAY / S * 6**0.5}, "the other yardstick"),
    ("7.1", {"errors_away": AWAY}, "in percentage points"),
    ("7.1", {"deviations_away": 1.8}, "rounded too far"),
    ("7.1", {"deviations_away": 1.7}, "rounded too far"),  # cut off
    ("7.1", {"deviations_away": 1.9}, "too large"),
    ("7.1", {"errors_away": 5}, "what the letter says"),
    ("7.1", {"deviation": 0.22, "error": 0.54}, "`deviation` and `error` are exchanged"),
    ("7.1", {"deviations_away": AWAY / S * 6**0.5, "errors_away": AWAY / S}, "`errors_away` are exchanged"),
    ("7.2", {"runs": TWINS[:4]}, "there are 2 seeds"),
    ("7.2", {"runs": TWINS[:5]}, "seed 2 has one run, plain"),
    ("7.2", {"runs": [*TWINS[:5], ("resnet", 2, 6, 12.0, 5.0)]}, "4 steps for one and 6"),
    ("7.2", {"runs": [*TWINS[:5], ("resnet", 2, 4, 13.0, 5.0)]}, "the weights at the start differ"),
    ("7.2", {"runs": [*TWINS, TWINS[0]]}, "two runs of kind 'plain'"),
    ("7.2", {"runs": [(k, s, 4, 1.0, 5.0) for k, s, *_ in TWINS]}, "the same for every seed"),
    ("7.2", {"runs": [(k, s, 4 + s, b, 5.0) for k, s, _, b, _ in TWINS]}, "the same number of steps"),
    ("7.2", {"runs": [("Plain", 0, 4, 1.0, 5.0)]}, "must be 'plain' or 'resnet'"),
    ("7.2", {"runs": [("plain", 0, 4, 1.0, 500.0)]}, "it is a percentage"),
    ("7.4", {"draws": 9}, "three values are drawn"),
    ("7.4", {"means": 27}, "the order of the draws"),
    ("7.4", {"means": 7}, "is not one of"),
    ("7.4", {"right": 0.95}, "what it promises"),
    ("7.4", {"right": 0.325}, "how often it is wrong"),
    ("7.4", {"right": 68}, "in percent"),
    ("7.4", {"ends": (1.0, 2.0)}, "low end"),
    ("9.1", {"depth": 18}, "that is its name"),
    ("9.1", {"option": "A"}, "with each option"),
    ("9.1", {"option": "D"}, "must be one of"),
    ("9.2", {"reader": lambda t: sum(a.shortcut_kind != "identity" for a in t.additions)}, "every shortcut"),
    ("9.2", {"reader": lambda t: 6}, "too large"),
    ("9.2", {"reader": lambda t: t.missing}, "raised AttributeError"),
    ("9.3", {"net": Later(lambda: cifar_net(20))}, "differs in"),
    ("9.3", {"net": Later(lambda: cifar_net(26, shortcut="projection"))}, "number of layers` is 26"),
    ("8.1", {"paths": 54}, "doubles the ways"),
    ("8.1", {"paths": 28}, "too small"),
    ("8.1", {"left": 22 / 27}, "the share of the blocks"),
    ("8.1", {"left": 31 / 32}, "what is gone"),
    ("8.1", {"left": 3.125}, "in percent"),
    ("8.1", {"branches": 27}, "the longest way"),
    ("8.1", {"branches": 14}, "too large"),
    ("8.2", {"plain": turned_round(turn=False)["plain"]}, "the network as it was"),
    ("8.2", {"residual": turned_round(turn=False)["residual"]}, "the network as it was"),
    ("8.2", {"residual": 50.0}, "too large"),
    ("8.2", {"plain": "high"}, "a number"),
    ("8.3", {"share": 0.7135}, "ten times as strong"),
    ("8.3", {"share": 3.42}, "in percent"),
    ("8.3", {"share": 0.05}, "too large"),
    ("8.3", {"share": 0.03474}, "too large"),  # without the steps at the lowest rate
    ("10.1", {"bugs": REPORTS[1::-1] + REPORTS[2:]}, "report i` is 'no eval': which images does it know"),
    ("10.1", {"bugs": [*REPORTS[:4], "no eval"]}, "report v` .*Are the images"),
    ("10.1", {"bugs": ["luck", *REPORTS[1:]]}, "must be one of 'last epoch', 'no eval'"),
    ("10.1", {"bugs": REPORTS[:4]}, "has 4 entries, and 5 words"),
    ("10.3", {"load": loader(str)}, "Missing key"),
    ("10.3", {"load": loader(lambda name: name.lstrip("module."))}, "Missing key"),
    ("12.3", {"confusion": lambda t, s, k: torch.bincount(t * 5 + s, minlength=25).view(5, 5)}, "not right in place"),
    ("12.3", {"confusion": lambda t, s, k: torch.zeros(k, k).index_put((t, s), torch.ones(()))}, "counted once"),
    ("1.2", {"rate": {"plain56": 0.01}}, "a number is expected"),
    ("1.3", {"begins": np.array([20, 26])}, "a number is expected"),
    ("7.2", {"runs": [(k, s, n, torch.tensor(1.0), e) for k, s, n, _, e in TWINS]}, "the same for every seed"),
    ("8.1", {"left": fractions.Fraction(1, 31)}, "too large"),
    ("14.3", {"block": lambda *args: nn.Sequential(PreAct(*args), nn.Threshold(9.0, math.nan))}, "NaN or infinity"),
    ("10.3", {"load": loader(strict=False, cut=str)}, "is silent if a file lacks"),
    ("10.3", {"load": loader(lambda name: name.replace("module.", ""))}, "Missing key"),
    ("10.3", {"load": loader(lambda name: name.partition(".")[2])}, "Missing key"),
    ("10.3", {"load": loader(strict=False)}, "is silent if a file lacks"),
    ("10.3", {"load": loads_if_as_many}, "names otherwise"),
    ("10.3", {"load": loads_what_fits}, "is silent if a file has more than"),
    ("10.3", {"load": lambda net, saved: None}, "not all tensors arrive"),
    ("13.1", {"overwritten": ["bn1"]}, "what comes after bn2"),
    ("13.1", {"overwritten": ["bn1", "bn2", "conv1"]}, "what comes after conv1"),
    ("13.1", {"overwritten": ["relu"]}, "must be one of 'bn1', 'bn2', 'conv1'"),
    ("13.1", {"overwritten": []}, "what comes after bn1"),
    ("13.2", {"block": "layer3.3"}, "a field of 203 pixels; the image has 224"),
    ("13.2", {"block": "layer4.0"}, "a field of 299 pixels"),
    ("13.2", {"block": ["layer3.4"]}, "must be one of"),
    ("13.2", {"field": 224}, "that is the image"),
    ("13.3", {"cam": lambda maps, weight, kind: torch.einsum("c,chw->hw", weight[kind], maps)}, "not the sum"),
    ("13.3", {"cam": lambda maps, weight, kind: np.ones((3, 5))}, "one tensor is expected"),
    ("13.3", {"cam": lambda maps, weight, kind: torch.einsum("c,chw->hw", weight[0], maps) / 15}, "for class 1"),
    ("13.3", {"cam": lambda maps, weight, kind: weight[kind] @ maps.mean((1, 2))}, "a value for each place"),
    ("11.1", {"per_second": 10.98}, "there are 20 epochs"),
    ("11.1", {"per_second": 263.4}, "not trained on"),
    ("11.1", {"hours": 0.081}, "a step is 128 images"),
    ("11.3", {"as_published": (72, 166)}, "one pixel less"),
    ("11.3", {"as_published": (65, 166)}, "padding in that stem"),
    ("11.3", {"padded": (65, 159)}, "one pixel more"),
    ("11.3", {"padded": (96, 160)}, "too large"),
    ("14.1", {"parameters": 2_514_944}, "have biases"),
    ("14.1", {"macs": 2_530_992}, "no multiply-add"),
    ("14.2", {"blocks": 27}, "for all blocks"),
    ("14.2", {"blocks": 40.5}, "number 1, and not 0"),
    ("14.2", {"factor": 0.8}, "how many are kept"),
    ("14.3", {"block": functools.partial(PreAct, early=False)}, "8, 16, 2"),
    ("14.3", {"block": functools.partial(PreAct, last=True)}, "8, 8, 1"),
    ("14.3", {"block": functools.partial(PreAct, by_stride=True)}, "8, 16, 1"),
    ("14.3", {"block": functools.partial(PreAct, bias=True)}, "without bias"),
    ("14.3", {"block": lambda a, b, stride: BasicBlock(a, b, stride)}, "8, 8, 1"),
    ("12.2", {"images": 380}, "one picture less"),
    ("12.2", {"images": 368}, "exact interval"),
    ("12.2", {"images": 100}, "images"),
    ("12.3", {"confusion": lambda t, s, k: torch.bincount(s * k + t, minlength=k * k).view(k, k)}, "exchanged"),
    ("12.3", {"confusion": lambda t, s, k: torch.eye(k)}, "counts are not right"),
    ("12.3", {"confusion": lambda t, s, k: torch.bincount(t * 4 + s, minlength=16).view(4, 4)}, r"\(4, 4\)"),
    ("12.3", {"confusion": lambda t, s, k: np.zeros((k, k))}, "gives ndarray, and a tensor is due"),
    ("12.1", {"error": 0.1}, "percent"),
    ("12.1", {"mean_of_classes": 10}, "counts once"),
]


def test_every_exercise_is_tried():
    assert set(RIGHT) == set(EXERCISES)
    assert {exercise for exercise, _, _ in WRONG} == set(EXERCISES)


@pytest.mark.parametrize("exercise", RIGHT)
def test_right_answers(exercise, capsys):
    check.answer(exercise, **built(RIGHT[exercise]))
    assert capsys.readouterr().out.startswith(f"✓ exercise {exercise}: ")


@pytest.mark.parametrize(
    ("exercise", "changes"),
    [
        ("1.2", {"rate": np.float64(0.01)}),
        ("7.2", {"runs": [(*twin, 0.5) for *twin, _ in TWINS]}),  # good twins have errors below 1%
        ("7.4", {"ends": (31.106, 43.424), "right": 0.75}),  # quantiles without interpolation
        ("13.2", {"block": "layer3.4.add()"}),
    ],
)
def test_other_right_answers(exercise, changes, capsys):
    check.answer(exercise, **RIGHT[exercise] | changes)
    assert "✓" in capsys.readouterr().out


def test_networks_may_both_be_built_wrongly_and_stay_as_they_were(capsys):
    training, pooled, leaky = fifty(True), copy.deepcopy(fifty(False)), copy.deepcopy(fifty(False))
    pooled.avgpool = nn.AdaptiveMaxPool2d(1)
    for block in (m for m in leaky.modules() if hasattr(m, "relu")):
        block.relu = nn.LeakyReLU(0.5)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    check.answer("5.3", changes=[(net, same) for net in (training, pooled, leaky)])
    assert capsys.readouterr().out.startswith("✓ exercise 5.3: ")
    assert training.training
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


@pytest.mark.parametrize(("exercise", "change", "words"), WRONG, ids=[f"{e} {w[:30]}" for e, _, w in WRONG])
def test_wrong_answers(exercise, change, words):
    with pytest.raises(check.NotYet, match=words):
        check.answer(exercise, **built({**RIGHT[exercise], **change}))


@pytest.mark.parametrize("exercise", RIGHT)
def test_two_exchanged_answers_are_named(exercise):
    right = built(RIGHT[exercise])
    for a, b in itertools.combinations(right, 2):
        try:
            check.answer(exercise, **{**right, a: right[b], b: right[a]})
        except check.NotYet as verdict:
            assert str(verdict).startswith(f"`{a}` and `{b}` are exchanged")  # noqa: PT017 - equal ones pass


def dotted(value: object) -> object:
    """What the exercise prints: a dot for everything inside."""
    if isinstance(value, dict):
        return {name: dotted(entry) for name, entry in value.items()}
    return [dotted(entry) for entry in value] if isinstance(value, (list, tuple)) else ...


@pytest.mark.parametrize("exercise", RIGHT)
def test_dots_that_were_left_standing(exercise):
    answer = built(RIGHT[exercise])
    for name, value in answer.items():
        for left in (..., dotted(value)):
            with pytest.raises(check.NotYet, match=r"\.\.\.|Ellipsis"):
                check.answer(exercise, **{**answer, name: left})


NONSENSE = (None, "x", math.nan, 10**400, torch.tensor(2), [None] * 3, [[None] * 5] * 6, nn.Linear(2, 2), 9 * ["word"])


@pytest.mark.parametrize("exercise", RIGHT)
@pytest.mark.parametrize("thing", NONSENSE, ids=lambda thing: type(thing).__name__)
def test_nonsense_gets_a_verdict_too(exercise, thing):
    """Not the traceback of a checker that does not know what to do with it."""
    with pytest.raises((check.NotYet, TypeError)) as told:
        check.answer(exercise, **dict.fromkeys(RIGHT[exercise], thing))
    assert told.type is check.NotYet or "itself, without parentheses after it" in str(told.value)
    assert len(str(told.value)) < 400


def test_what_cannot_be_handed_in():
    with pytest.raises(ValueError, match=r"no exercise '3\.1' to hand in; there are 1\.1, 1\.2"):
        check.answer("3.1", value=1)
    with pytest.raises(TypeError, match=r'takes all of `check.answer\("2.4", plain=..., residual=...\)`'):
        check.answer("2.4", plain=0)
