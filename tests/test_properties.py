"""Properties that hold for whatever hypothesis draws, against PyTorch's own layers and counters, and strict JSON.

What is drawn is the same in every run, so that no test fails by chance.
"""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from run_records import make
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_edu.experiment import records
from resnet_edu.nets import BasicBlock, PreActBlock, shapes
from resnet_edu.tracing import trace

few = settings(derandomize=True, deadline=None, database=None, max_examples=30)
many = settings(few, max_examples=200)
small = st.integers(1, 8)


@many
@given(st.integers(1, 40), small, small, st.integers(0, 5), st.integers(1, 4), st.booleans())
def test_sizes_are_those_of_pytorchs_layers(size, kernel, stride, padding, dilation, pooling):
    ours = shapes.pool_output_size if pooling else shapes.conv_output_size
    try:
        if pooling:
            layer = nn.MaxPool1d(kernel, stride, padding, dilation)
        else:
            layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation)  # not on meta, where torch 2.6 takes all
        wanted = layer(torch.zeros(1, 1, size)).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match=r"reaches over|at most half of the kernel"):
            ours(size, kernel, stride, padding, dilation)
    else:
        assert ours(size, kernel, stride, padding, dilation) == wanted


@st.composite
def nets(draw):
    """A small net of random layers, and the shape of its input."""
    channels = first = draw(st.sampled_from([1, 2, 4, 6]))
    layers = []
    for kind in draw(st.lists(st.sampled_from(["conv", "transposed", "basic", "preact", "norm", "relu"]), max_size=5)):
        out, stride, kernel = draw(st.sampled_from([2, 4, 6])), draw(st.integers(1, 2)), draw(st.sampled_from([1, 3]))
        if kind == "conv":
            groups = draw(st.sampled_from([g for g in (1, 2) if channels % g == out % g == 0]))
            window = {"padding": kernel, "dilation": draw(st.integers(1, 2)), "bias": draw(st.booleans())}
            layers.append(nn.Conv2d(channels, out, kernel, stride, groups=groups, **window))
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(channels, out, kernel, stride))
        elif kind in ("basic", "preact"):
            layers.append((BasicBlock if kind == "basic" else PreActBlock)(channels, out, stride))
        else:
            layers.append(nn.BatchNorm2d(channels) if kind == "norm" else nn.ReLU(inplace=draw(st.booleans())))
            continue
        channels = out
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, draw(small))]
    return nn.Sequential(*layers).eval(), (draw(st.integers(1, 3)), first, draw(st.integers(5, 9)), 7)


@few
@given(nets())
def test_the_tracer_counts_what_torch_counts(drawn):
    net, shape = drawn
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = net(torch.zeros(shape))
    for device in ("meta", "cpu"):
        traced = trace(net, shape, device=device)
        assert 2 * traced.total_macs == counter.get_total_flops()
        assert traced.total_params == sum(p.numel() for p in net.parameters())
        assert traced.rows[-1].outputs == (tuple(out.shape),)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


numbers = st.floats() | st.integers(0, 2**60)
words = st.text(max_size=8)
points = st.fixed_dictionaries({"step": st.integers(1, 99), "lr": numbers} | dict.fromkeys(records.METRICS, numbers))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | words, lambda s: st.lists(s) | st.dictionaries(words, s)
)


def no_constant(name: str) -> None:
    pytest.fail(f"{name} is no JSON")


@few
@given(st.data())
def test_a_record_is_read_as_it_was_written(tmp_path_factory, data):
    fields = {"net": words, "seed": st.integers(0, 2**63), "curves": st.lists(points, min_size=1, max_size=3)}
    fields |= {
        "recipe": st.dictionaries(words, plain, max_size=3),
        "options": st.dictionaries(words, plain, max_size=2),
    }
    before = make(**data.draw(st.fixed_dictionaries(fields)))
    path = before.save(tmp_path_factory.mktemp("record") / "r.json")
    after = records.load(path)
    json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
    assert (after.net, after.seed, after.recipe, after.options) == (
        before.net,
        before.seed,
        before.recipe,
        before.options,
    )
    for mine, theirs in zip(after.curves, before.curves, strict=True):
        for name, value in theirs.items():  # a number that is not finite becomes NaN
            assert mine[name] == value if math.isfinite(value) else math.isnan(mine[name])
    assert after.same_result(before)
