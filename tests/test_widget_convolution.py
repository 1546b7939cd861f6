"""The convolution explorer: its arithmetic beside resnet_edu.shapes and PyTorch itself, draw by draw."""

import json
import random
from pathlib import Path

import pytest
import torch
from py_mini_racer import MiniRacer
from torch import nn

from resnet_edu.shapes import ReceptiveField, conv_output_size

SOURCES = Path(__file__).resolve().parent.parent / "resnet_edu" / "widgets" / "src"


@pytest.fixture(scope="module")
def js():
    engine = MiniRacer()
    engine.eval((SOURCES / "lib" / "conv.js").read_text(encoding="utf-8").replace("export ", ""))
    return lambda function, *values: json.loads(
        engine.eval(f"JSON.stringify({function}({','.join(map(json.dumps, values))}) ?? null)")
    )


def draw(rng: random.Random, op: str = "conv") -> dict:
    return {
        "op": op,
        "kernel": rng.randint(1, 7),
        "stride": rng.randint(1, 4),
        "padding": rng.randint(0, 4),
        "dilation": rng.randint(1, 3) if op == "conv" else 1,
    }


def torch_layer(layer: dict) -> nn.Module:
    options = {name: value for name, value in layer.items() if name not in ("op", "kernel")}
    if layer["op"] == "pool":
        return nn.MaxPool2d(layer["kernel"], **options)
    return nn.Conv2d(1, 1, layer["kernel"], **options, bias=False)


def torch_says(size: int, layer: dict) -> tuple[int | None, str | None]:
    try:
        return torch_layer(layer)(torch.zeros(1, 1, size, size)).shape[-1], None
    except RuntimeError as error:
        return None, str(error)


@pytest.mark.parametrize("op", ["conv", "pool"])
def test_sizes_and_errors_are_those_of_pytorch(js, op: str):
    rng, refused = random.Random(op), 0
    for _ in range(400):
        size, layer = rng.randint(1, 14), draw(rng, op)
        expected, error = torch_says(size, layer)
        assert js("refusal", size, layer) == error, (size, layer)
        assert js("outputSize", size, layer) == expected, (size, layer)
        refused += error is not None
    assert 40 < refused < 360  # both kinds were drawn


def test_sizes_are_those_of_the_package(js):
    rng = random.Random(1)
    for _ in range(300):
        size, layer = rng.randint(1, 512), draw(rng)
        options = {name: value for name, value in layer.items() if name != "op"}
        if js("refusal", size, layer):
            with pytest.raises(ValueError, match="the kernel reaches over"):
                conv_output_size(size, **options)
        else:
            assert js("outputSize", size, layer) == conv_output_size(size, **options)


def seen_by_autograd(size: int, layers: list[dict], index: int) -> list[int]:
    """The image pixels of one row on which an output depends: those with a gradient, all weights being 1."""
    x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in layers:
        conv = nn.Conv1d(
            1, 1, layer["kernel"], layer["stride"], layer["padding"], layer["dilation"], bias=False, dtype=torch.float64
        )
        nn.init.ones_(conv.weight)
        y = conv(y)
    (grad,) = torch.autograd.grad(y[0, 0, index], x)
    return grad[0, 0].nonzero().flatten().tolist()


def test_what_an_output_sees_is_where_autograd_finds_a_gradient(js):
    rng, compared = random.Random(2), 0
    while compared < 150:
        size, layers = rng.randint(4, 40), [draw(rng) for _ in range(rng.randint(1, 4))]
        sizes = [row["size"] for row in js("walk", size, layers)]
        if None in sizes:
            continue
        index = rng.randrange(sizes[-1])
        levels = js("seen", index, layers, sizes)
        assert levels[0] == seen_by_autograd(size, layers, index), (size, layers, index)
        assert levels[-1] == [index]
        assert len(levels) == len(layers) + 1
        compared += 1


def test_pixels_that_no_window_reaches_have_no_gradient(js):
    rng, dropped = random.Random(3), 0
    for _ in range(200):
        size, layer = rng.randint(1, 20), {**draw(rng), "dilation": 1}
        output = js("outputSize", size, layer)
        if output is None or layer["stride"] > layer["kernel"]:
            continue  # a stride above the kernel skips pixels between the windows as well
        read = {p for index in range(output) for p in seen_by_autograd(size, [layer], index)}
        assert js("unread", size, layer) == size - len(read), (size, layer)
        dropped += len(read) < size
    assert dropped > 10


def test_a_stack_walks_as_receptive_field_does(js):
    rng = random.Random(4)
    for _ in range(200):
        size, layers = rng.randint(1, 300), [draw(rng) for _ in range(rng.randint(1, 6))]
        rows, field = js("walk", size, layers), ReceptiveField()
        assert rows[0] == {"size": size, "error": None, "field": 1, "jump": 1, "start": 0}
        for below, row, layer in zip(rows, rows[1:], layers, strict=False):
            field = field.after(*(layer[name] for name in ("kernel", "stride", "padding", "dilation")))
            assert (row["field"], row["jump"], row["start"]) == (field.size, field.jump, field.start)
            assert (row["size"] is None) == (row["error"] is not None)
            assert row["size"] == js("outputSize", below["size"], layer)
        assert len(rows) == len(layers) + 1 or rows[-1]["error"]


@pytest.mark.parametrize(
    ("positions", "expected"), [([], []), ([3], [[3, 3]]), ([0, 1, 2, 5, 7, 8], [[0, 2], [5, 5], [7, 8]])]
)
def test_neighbours_make_a_run(js, positions: list[int], expected: list[list[int]]):
    assert js("runs", positions) == expected
