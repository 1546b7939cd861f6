"""The network explorer's arithmetic in JavaScript against the tracer: every row, and where and how a net fails."""

import math
import random

import javascript
import pytest
import torch
from torch import nn

from resnet_edu.nets import models
from resnet_edu.tracing.run import TraceError, trace
from resnet_edu.widgets import NetworkExplorer
from resnet_edu.widgets.network import DEFAULTS, DEPTHS, SHORTCUTS, build_net

NETS = 100


@pytest.fixture(scope="module")
def engine() -> javascript.Module:
    return javascript.load("network")


def setting(family: str = "imagenet", **changes: object) -> dict:
    start = {"family": family, "residual": True, "stride_on": "3x3", "pool": 0, "mode": "eval", "batch": 1}
    return {**start, **DEFAULTS[family], **changes}


def compare(engine: javascript.Module, config: dict, device: str = "meta") -> str:
    """Compare rows, totals, and the path, type and shapes of an error; return the path at which both fail, or ""."""
    said = engine.call("runNet", config)
    with torch.device(device):
        net = build_net(config)
    error = None
    try:
        result = trace(net, (config["batch"], *config["input"]), mode=config["mode"], device=device)
        rows, totals = result.rows, (result.total_params, result.total_macs, result.total_activation_bytes)
        assert (said["params"], said["macs"], said["bytes"]) == totals
    except TraceError as caught:
        rows, error = caught.rows, caught
    for ours, theirs in zip(said["rows"], rows, strict=True):
        assert ours == theirs.to_dict(), (config, theirs.path)
    if error is None:
        assert said["error"] is None, config
        return ""
    assert said["error"]["path"] == error.path
    assert [tuple(shape) for shape in said["error"]["shapes"]] == list(error.shapes)
    assert said["error"]["type"] == type(error.__cause__).__name__
    assert error.path in said["error"]["message"]
    return error.path


def most(name: str) -> int:
    """The largest value that the explorer takes."""
    return NetworkExplorer.class_traits()[name].most


def draw(random: random.Random) -> dict:
    """A random setting, up to the limits of what is allowed; deep nets, which take long to trace, are rarer."""
    family = random.choice(["imagenet", "cifar"])
    depths = DEPTHS[family]
    depth = random.choices(depths, [1 / d**1.2 for d in depths])[0]
    residual = random.random() < 0.8 or (family == "imagenet" and depth >= 50)
    side = random.choice([8, 12, 16, 31, 32, 33, 64, 96, 100, 224, 225, 512]) if random.random() < 0.6 else None
    return {
        "family": family,
        "depth": depth,
        "residual": residual,
        "shortcut": random.choices(SHORTCUTS, [1, 3, 3, 2])[0],
        "stride_on": random.choice(["1x1", "3x3"]),
        "stem": random.choice(["imagenet", "cifar"]),
        "width": random.choice([1, 3, 8, 16, 48, 64, 100, most("width")]),
        "pool": random.choices([0, 7, 8, most("pool")], [8, 2, 2, 1])[0],
        "num_classes": random.choice([1, 2, 10, 1000, most("num_classes")]),
        "mode": random.choice(["eval", "train"]),
        "batch": random.choice([1, 1, 2, 7, 128, most("batch")]),
        "input": [random.choice([1, 3, 4, 64]), side or random.randint(8, 512), side or random.randint(8, 512)],
    }


@pytest.mark.parametrize("name", [f"resnet{d}" for d in DEPTHS["imagenet"]] + ["plain18", "plain34", "resnet20"])
def test_the_nets_of_the_paper(engine: javascript.Module, name: str):
    kind, depth = models.split_name(name)
    family = "cifar" if models.is_cifar_name(name) else "imagenet"
    said = engine.call("runNet", setting(family, depth=depth, residual=kind == "resnet"))
    net = models.get_model(name)
    assert said["params"] == sum(p.numel() for p in net.parameters())
    assert [row["path"] for row in said["rows"] if row["kind"] == "add"] == [
        f"{path}.add()" for path, block in net.named_modules() if kind == "resnet" and hasattr(block, "expansion")
    ]


@pytest.mark.slow
def test_rows_and_errors_are_those_of_the_tracer(engine: javascript.Module):
    chance = random.Random(20151210)  # the day on which the paper appeared
    configs = [draw(chance) for _ in range(NETS)]
    configs += [setting(family, depth=depth) for family, depths in DEPTHS.items() for depth in depths]
    failed = [compare(engine, config) for config in configs]
    assert {c["shortcut"] for c in configs if c["residual"]} == set(SHORTCUTS)  # the draw is fair, or it proves nothing
    assert NETS / 10 < sum(map(bool, failed)) < NETS * 0.6
    assert {"avgpool", "fc"} < set(failed)
    assert any("add" not in path and path.endswith(("bn1", "bn2", "downsample.1")) for path in failed)
    assert any(path.count(".") == 1 and "layer" in path for path in failed)  # a block whose branches do not fit


@pytest.mark.parametrize("depth", [DEPTHS["imagenet"][-1], DEPTHS["cifar"][-1]])
def test_the_largest_net_of_all_is_counted_exactly(engine: javascript.Module, depth: int):
    """A number of JavaScript is exact up to 2 ** 53; that is why a batch has no more images."""
    family = "cifar" if depth in DEPTHS["cifar"] else "imagenet"
    names = ("width", "num_classes", "batch")
    large = {"stem": "cifar", "shortcut": "projection_all", "depth": depth, "input": [64, 512, 512]}
    config = setting(family, **large, **{name: most(name) for name in names})
    compare(engine, config)
    assert engine.call("runNet", config)["macs"] < 2**53


@pytest.mark.parametrize(
    "changes",
    [
        {"shortcut": "identity"},
        {"shortcut": "identity", "input": [3, 9, 33]},
        {"shortcut": "identity", "depth": 50},
        {"shortcut": "identity", "depth": 50, "input": [3, 8, 8], "batch": 2},
        {"mode": "train", "input": [3, 32, 32]},
        {"mode": "train", "input": [3, 32, 32], "depth": 50, "stride_on": "1x1"},
        {"pool": 7, "input": [3, 64, 250]},
        {"pool": 7, "input": [3, 8, 8], "depth": 50},
        {"pool": 7, "input": [3, 256, 256]},
        {"pool": 8, "family": "cifar", "input": [1, 40, 32], "batch": 3},
    ],
)
def test_a_real_device_fails_where_the_engine_says(engine: javascript.Module, changes: dict):
    family = changes.pop("family", "imagenet")
    config = setting(family, **{"depth": 18 if family == "imagenet" else 20, "width": 4, "num_classes": 5, **changes})
    assert compare(engine, config, "cpu")


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (5, 5, "no change"),
        (1_234, 1_000, "+234 (+23.4%)"),
        (999, 1_000, "−1 (−0.1%)"),
        (9_999, 1_000, "+8,999 (+900%)"),
        (32_000, 1_000, "+31,000 (× 32)"),
        (1_024_000, 1, "+1,023,999 (× 1,020,000)"),
        (1_000, 32_000, "−31,000 (÷ 32)"),
        (10**15 + 1, 10**15, "+1 (less than 0.01%)"),
        (8, 0, "+8"),
        (0, 8, "−8"),
    ],
)
def test_a_difference_can_be_read(engine: javascript.Module, now: int, before: int, words: str):
    assert engine.call("difference", now, before) == words


def evaluated(formula: str) -> tuple[int, int]:
    """What the two sides of a formula such as ⌊(8 + 2·1 − 3) / 2⌋ + 1 = 4 come to."""
    for sign, plain in (("⌊", "floor("), ("⌈", "ceil("), ("⌋", ")"), ("⌉", ")"), ("·", "*"), ("−", "-")):
        formula = formula.replace(sign, plain)
    left, right = formula.split(" = ")
    return eval(left, {"floor": math.floor, "ceil": math.ceil}), int(right)


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
def test_the_formula_of_a_size_is_true_with_ceil_mode_too(engine: javascript.Module, pool: type[nn.Module]):
    chance, up = random.Random(7), 0
    for _ in range(200):
        kernel = [chance.randint(1, 5), chance.randint(1, 5)]
        padding = [chance.randint(0, k // 2) for k in kernel]
        layer = pool(kernel, chance.randint(1, 6), padding, ceil_mode=chance.random() < 0.8)
        row = trace(layer, (1, 2, chance.randint(5, 20), chance.randint(5, 20))).rows[0].to_dict()
        lines = dict(engine.call("explain", row, [row])["lines"])
        lines = [lines[name] for name in ("each side", "height", "width") if name in lines]
        assert lines
        for line, out in zip(lines, row["outputs"][0][-len(lines) :], strict=True):
            assert evaluated(line) == (out, out), (layer, line)
        up += any("⌈" in line for line in lines)
    assert up > 20


def test_a_size_that_no_formula_gives_has_none(engine: javascript.Module):
    row = trace(nn.MaxPool2d(2), (1, 2, 8, 8)).rows[0].to_dict()
    row["outputs"] = [[1, 2, 6, 4]]
    assert engine.call("explain", row, [row])["lines"][0][0] == "memory"
