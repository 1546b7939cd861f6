"""The block explorer: its arithmetic beside the traces of the real blocks and PyTorch's own `+`."""

import json
import random
from pathlib import Path

import pytest
import torch
from py_mini_racer import MiniRacer

from resnet_edu.blocks import BasicBlock, Bottleneck, PlainBlock, ShapeMismatchError
from resnet_edu.trace import Trace, TraceError, trace

SOURCES = Path(__file__).resolve().parent.parent / "resnet_edu" / "widgets" / "src"
KINDS = {"Conv2d": "conv", "BatchNorm2d": "norm", "ReLU": "relu", "zero_pad": "pad"}


@pytest.fixture(scope="module")
def js():
    engine = MiniRacer()
    engine.eval((SOURCES / "lib" / "block_math.js").read_text(encoding="utf-8").replace("export ", ""))
    return lambda function, *values: json.loads(
        engine.eval(f"JSON.stringify({function}({','.join(map(json.dumps, values))}) ?? null)")
    )


def draw(rng: random.Random) -> dict:
    kind = rng.choice(["basic", "bottleneck"])
    step = 4 if kind == "bottleneck" else 1
    cin = rng.choice([1, 3, 8, 16, 64])
    cout = rng.choice([cin * step, *(step * n for n in (1, 2, 4, 16, 32))])
    return {"kind": kind, "cin": cin, "cout": cout, "size": rng.randint(1, 33), "stride": rng.choice([1, 1, 2, 2, 3])}


def real_block(spec: dict, shortcut: str) -> torch.nn.Module:
    with torch.device("meta"):
        if shortcut == "none":
            return PlainBlock(spec["cin"], spec["cout"], spec["stride"])
        if spec["kind"] == "bottleneck":
            return Bottleneck(spec["cin"], spec["cout"] // 4, spec["stride"], shortcut)
        return BasicBlock(spec["cin"], spec["cout"], spec["stride"], shortcut)


def real_trace(spec: dict, shortcut: str) -> Trace:
    return trace(real_block(spec, shortcut), (1, spec["cin"], spec["size"], spec["size"]))


def as_rows(layers: list[dict]) -> list[tuple]:
    return [(layer["op"], tuple(layer["shape"]), layer["params"], layer["macs"]) for layer in layers]


def torch_adds(a: list[int], b: list[int]) -> tuple[list[int] | None, str | None]:
    try:
        return list((torch.empty(1, *a) + torch.empty(1, *b)).shape[1:]), None
    except RuntimeError as error:
        return None, str(error)


def test_every_option_of_a_block_is_as_its_trace(js):
    rng, seen = random.Random(0), {"fits": 0, "refused": 0, "broadcast": 0}
    for _ in range(120):
        spec = draw(rng)
        for ours in js("compare", spec):
            shortcut = ours["shortcut"]
            if shortcut == "none" and spec["kind"] == "bottleneck":
                continue  # the package has no plain bottleneck
            if ours["error"] or ours["broadcast"]:
                seen["broadcast" if ours["broadcast"] else "refused"] += 1
                with pytest.raises((TraceError, ValueError)) as caught:
                    real_trace(spec, shortcut)
                if shortcut == "zero_pad":
                    assert str(caught.value) == ours["error"]
                else:
                    assert isinstance(caught.value.__cause__, ShapeMismatchError)
                    assert torch_adds(ours["mainShape"], ours["laneShape"]) == (ours["shape"], ours["error"])
                continue
            seen["fits"] += 1
            real = real_trace(spec, shortcut)
            adds = [row.index for row in real.rows if row.is_add]
            assert len(adds) == (shortcut != "none"), (spec, shortcut)
            end = adds[0] if adds else len(real.rows) - 1  # behind it there is a ReLU only
            for name, lane in (("main", False), ("lane", True)):
                rows = [
                    (KINDS[row.kind], row.output_shape[1:], row.params, row.macs)
                    for row in real.rows[:end]
                    if row.on_shortcut == lane
                ]
                assert as_rows(ours[name]) == rows, (spec, shortcut)
            assert tuple(ours["shape"]) == real.rows[-1].output_shape[1:]
            assert (ours["params"], ours["macs"]) == (real.total_params, real.total_macs)
    assert min(seen.values()) > 5, seen


def test_additions_are_those_of_pytorch(js):
    rng, refused = random.Random(1), 0
    for _ in range(400):
        a, b = ([rng.choice([1, 2, 3, 8]) for _ in range(3)] for _ in range(2))
        ours = js("add", a, b)
        assert (ours.get("shape"), ours.get("error")) == torch_adds(a, b)
        assert ours.get("broadcast", False) == (a != b and "error" not in ours)
        refused += "error" in ours
    assert 100 < refused < 390
