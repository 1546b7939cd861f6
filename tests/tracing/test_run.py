"""What a trace records, on small models worked out by hand."""

import dataclasses
import doctest
import sys
import threading
import warnings
from collections import OrderedDict, UserDict
from types import MappingProxyType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_edu.nets import models
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PreActBlock, ZeroPadShortcut
from resnet_edu.tracing.run import Row, Trace, trace


def rows_of(module, *inputs, **words) -> dict[str, Row]:
    return {r.path: r for r in trace(module, *inputs, **words).rows}


def paths(module, *inputs, **words) -> list[str]:
    return [r.path for r in trace(module, *inputs, **words).rows]


class Call(nn.Module):
    """A module whose forward is a function; it has a child, so that it is no leaf."""

    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        self.seat = nn.Identity()
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args, **words):
        return self.function(self, *args, **words)


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_basic_block_row_by_row():
    result = trace(BasicBlock(4, 8, 2), (2, 4, 6, 6))
    assert [(r.path, r.kind, r.call) for r in result.rows] == [
        ("downsample.0", "Conv2d", 0),
        ("downsample.1", "BatchNorm2d", 0),
        ("conv1", "Conv2d", 0),
        ("bn1", "BatchNorm2d", 0),
        ("relu", "ReLU", 0),
        ("conv2", "Conv2d", 0),
        ("bn2", "BatchNorm2d", 0),
        ("add()", "add", 0),
        ("relu", "ReLU", 1),
    ]
    conv = result.rows[2]
    assert conv.inputs == ((2, 4, 6, 6),)
    assert conv.outputs == ((2, 8, 3, 3),)
    assert (conv.kernel, conv.stride, conv.padding, conv.dilation) == ((3, 3), (2, 2), (1, 1), (1, 1))
    assert (conv.groups, conv.bias) == (1, False)
    assert conv.params == 8 * 4 * 9
    assert conv.macs == 2 * 9 * 8 * 4 * 9
    assert conv.activation_bytes == 2 * 8 * 9 * 4
    add = result.rows[7]
    assert (add.main, add.shortcut, add.shortcut_kind) == (6, 1, "projection")
    assert [r.path for r in result.rows if r.on_shortcut] == ["downsample.0", "downsample.1"]
    assert result.total_activation_bytes == 9 * 2 * 8 * 9 * 4


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (BasicBlock(4, 4), "identity"),
        (BasicBlock(4, 8, 2), "projection"),
        (BasicBlock(4, 8, 2, shortcut="zero_pad"), "zero_pad"),
        (BasicBlock(4, 4, shortcut="projection_all"), "projection"),
        (Bottleneck(4, 4), "projection"),
        (Bottleneck(16, 4), "identity"),
        (PreActBlock(4, 4), "identity"),
        (PreActBlock(4, 8, 2), "projection"),
        (PreActBlock(4, 8, 2, shortcut="zero_pad"), "zero_pad"),
    ],
)
def test_kind_of_shortcut(block, kind):
    result = trace(block, (1, block.conv1.in_channels, 8, 8))
    (add,) = result.additions
    assert add.shortcut_kind == kind
    if kind == "identity":
        assert add.shortcut == "input"
    main = result.rows[add.main].path
    assert main == {BasicBlock: "bn2", Bottleneck: "bn3", PreActBlock: "conv2"}[type(block)]


def test_zero_pad_is_one_row():
    row = rows_of(ZeroPadShortcut(4, 8, 2), (1, 4, 6, 6))[""]
    assert (row.kind, row.params, row.outputs) == ("zero_pad", 0, ((1, 8, 3, 3),))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda s, x: s.conv(x) + x, "add"),
        (lambda s, x: x + s.conv(x), "add"),
        (lambda s, x: torch.add(s.conv(x), x), "add"),
        (lambda s, x: s.conv(x).add(x), "add"),
        (lambda s, x: s.conv(x).add_(x), "add"),
        (lambda s, x: s.conv(x).__iadd__(x), "add"),
        (lambda s, x: s.conv(x) + 1, "add_constant"),
        (lambda s, x: 1 + s.conv(x), "add_constant"),
        (lambda s, x: s.conv(x) + torch.ones(2, 8, 8), "add_constant"),
        (lambda s, x: s.conv(x) + s.conv.weight[0, 0, 0, 0], "add_constant"),
        (lambda s, x: s.conv(x) + x.mean((2, 3), keepdim=True), "add_broadcast"),
    ],
)
def test_what_is_a_residual_addition(function, kind):
    result = trace(Call(function, conv=nn.Conv2d(2, 2, 3, padding=1)), (1, 2, 8, 8))
    row = next(r for r in result.rows if "add()" in r.path)
    assert row.kind == kind
    if kind == "add":
        assert (result.rows[row.main].path, row.shortcut, row.shortcut_kind) == ("conv", "input", "identity")


def test_an_addition_in_a_module_of_its_own_counts():
    class Add(nn.Module):
        def forward(self, a, b):
            return a + b

    net = Call(lambda s, x: s.join(s.conv(x), x), conv=nn.Conv2d(2, 2, 3, padding=1), join=Add())
    (add,) = trace(net, (1, 2, 8, 8)).additions
    assert (add.path, add.main, add.shortcut) == ("join", 0, "input")


@pytest.mark.parametrize(
    ("function", "shortcut"),
    [
        (lambda s, x: s.a(x) + s.b(x), "b"),  # a tie: the second operand
        (lambda s, x: s.b(x) + s.a(x), "a"),
        (lambda s, x: s.a(x) + s.b(s.c(x)), "a"),  # fewer layers with parameters
        (lambda s, x: s.b(s.c(x)) + s.a(x), "a"),
        (lambda s, x: s.a(x) + s.b(x).relu(), "a"),  # as many of these, but fewer rows
        (lambda s, x: s.a(x).relu() + s.b(x), "b"),
        (lambda s, x: s.a(x) + s.a(x).relu().relu(), "a"),
        (lambda s, x: s.a(x.relu().relu()) + s.b(x), "b"),
    ],
)
def test_which_of_two_branches_is_the_shortcut(function, shortcut):
    layers = {name: nn.Conv2d(2, 2, 1) for name in "abc"}
    result = trace(Call(function, **layers), (1, 2, 4, 4))
    (add,) = result.additions
    assert [r.path for r in result.rows if r.on_shortcut] == [shortcut]
    assert {add.main, add.shortcut} == set(add.sources)
    assert (result.rows[add.shortcut].path, add.shortcut_kind) == (shortcut, "projection")


def test_option_a_in_the_words_of_others():
    class Lambda(nn.Module):
        def forward(self, x):
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))

    net = Call(lambda s, x: s.conv(x) + s.pad(x), conv=nn.Conv2d(2, 4, 3, 2, 1), pad=Lambda())
    assert trace(net, (1, 2, 8, 8)).additions[0].shortcut_kind == "zero_pad"
    inline = Call(lambda s, x: s.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)), conv=nn.Conv2d(2, 4, 3, 2, 1))
    (add,) = trace(inline, (1, 2, 8, 8)).additions
    assert add.shortcut_kind == "zero_pad"
    pooled = Call(lambda s, x: s.conv(x) + F.avg_pool2d(x, 2), conv=nn.Conv2d(2, 2, 3, 2, 1))
    assert trace(pooled, (1, 2, 8, 8)).additions[0].shortcut_kind == "other"


def test_functions_are_rows_and_properties_are_not():
    def forward(self, x):
        assert x.shape[0] == 1
        assert x.size(1) == 2
        assert x.dtype is torch.float32
        x = F.relu(x)
        x = F.pad(x, (1, 1))
        x = F.interpolate(x, scale_factor=2)
        x = torch.cat([x, x], 1)
        x = F.max_pool2d(x, 2)
        x = x.mean((2, 3))
        return torch.flatten(x @ x.T, 0)

    result = trace(Call(forward), (1, 2, 4, 4))
    assert [r.kind for r in result.rows] == [
        *("relu", "pad", "interpolate", "cat", "max_pool2d", "mean", "T", "matmul", "flatten")
    ]
    assert [r.outputs[0] for r in result.rows[:6]] == [
        *((1, 2, 4, 4), (1, 2, 4, 6), (1, 2, 8, 12), (1, 4, 8, 12), (1, 4, 4, 6), (1, 4))
    ]
    assert result.rows[4].kernel == (2, 2)
    assert result.rows[7].macs == 4


def test_work_in_place_keeps_shapes_and_order():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten())
    conv, relu, flat = trace(net, (1, 1, 5, 5)).rows
    assert relu.sources == (conv.index,)
    assert flat.sources == (relu.index,)
    assert (conv.activation_bytes, relu.activation_bytes, flat.activation_bytes) == (2 * 9 * 4, 0, 0)


def test_writing_into_zeros_is_followed():
    def forward(self, x):
        wide = torch.zeros(x.shape[0], 4, *x.shape[2:], device=x.device)
        wide[:, :2] = x
        return self.conv(x) + wide

    (add,) = trace(Call(forward, conv=nn.Conv2d(2, 4, 3, padding=1)), (3, 2, 8, 8)).additions
    assert add.shortcut_kind == "zero_pad"


def test_reused_module_counts_once_and_works_twice():
    layer = nn.Linear(3, 3)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    result = trace(net, (2, 3))
    assert [(r.path, r.call, r.params, r.macs, r.reused) for r in result.rows if r.kind == "Linear"] == [
        ("0", 0, 12, 18, False),
        ("0", 1, 0, 18, True),
    ]
    assert result.total_params == 12


def test_tied_weights_count_once():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    result = trace(net, (1, 3))
    assert [r.params for r in result.rows] == [9, 3]
    assert result.rows[1].reused


def test_parameters_of_no_layer_have_rows():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 4))
            self.unused = nn.Parameter(torch.zeros(5))
            self.layer = nn.Linear(4, 4)
            self.idle = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x * self.token) * self.token

    result = trace(Net(), (3, 4))
    assert [(r.path, r.kind, r.params) for r in result.rows] == [
        ("token", "parameter", 4),
        ("mul()", "mul", 0),
        ("layer", "Linear", 20),
        ("mul()", "mul", 0),
        ("unused", "not called", 5),
        ("idle", "not called", 6),
    ]


def test_functional_model_without_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(4, 2, 3, 3))

        def forward(self, x):
            return F.relu(F.conv2d(x, self.w, stride=2, padding=1))

    w, conv, relu = trace(Net(), (1, 2, 8, 8)).rows
    assert (w.kind, w.params, conv.params) == ("parameter", 72, 0)
    assert (conv.kernel, conv.stride, conv.padding, conv.bias) == ((3, 3), (2, 2), (1, 1), False)
    assert conv.macs == 16 * 72
    assert relu.receptive_field == 3


def test_modules_in_a_plain_list_are_traced_and_marked():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(3, 3), nn.Dropout()]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    result = trace(nn.Sequential(net), (2, 3))
    assert [(r.path, r.kind) for r in result.rows] == [("0.layers[0]", "Linear"), ("0.layers[1]", "Dropout")]
    assert result.total_params == 0 == sum(p.numel() for p in net.parameters())
    assert "not registered: 12 parameters" in result.rows[0].note
    assert net.layers[1].training


# ---- inputs and outputs ---------------------------------------------------------------------------------------------


def test_several_inputs_and_nested_outputs():
    @dataclasses.dataclass
    class Out:
        a: torch.Tensor
        rest: list

    net = Call(lambda s, x, y: Out(s.f(x), [{"b": s.g(y)}]), f=nn.Linear(3, 4), g=nn.Linear(5, 6))
    words = trace(net, (1, 3), kwargs={"y": torch.ones(2, 5)}, device="meta")
    for result in (trace(net, (1, 3), (2, 5)), trace(net, [(1, 3), (2, 5)]), words):
        assert result.inputs == ((1, 3), (2, 5))
        assert [r.outputs for r in result.rows] == [((1, 4),), ((2, 6),)]


def test_keyword_inputs_and_module_keywords():
    net = Call(lambda s, x, scale=None: s.f(input=x) * scale, f=nn.Linear(3, 4))
    result = trace(net, (2, 3), kwargs={"scale": torch.ones(4)}, device="meta")
    assert result.rows[0].inputs == ((2, 3),)
    assert result.rows[1].sources == (0, "input")


def test_a_parameter_given_to_a_layer_by_keyword_has_a_row():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.f = nn.Parameter(torch.ones(2, 3)), nn.Linear(3, 4)

        def forward(self, x):
            return self.f(input=self.w) + x

    assert [(r.path, r.params) for r in trace(Net(), (2, 4)).rows] == [("w", 6), ("f", 16), ("add()", 0)]


def test_whole_numbers_for_an_embedding():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    tokens = torch.zeros(2, 3, dtype=torch.long)
    for device in (None, "meta"):
        assert [r.outputs[0] for r in trace(net, tokens, device=device).rows] == [(2, 3, 4), (2, 3, 2)]


def test_lists_and_other_values_are_passed_on():
    net = Call(lambda s, xs, flag: s.f(xs[0] + xs[1]) if flag else None, f=nn.Linear(3, 4))
    result = trace(net, [torch.ones(2, 3), torch.ones(2, 3)], True)
    assert result.rows[0].kind == "add"


@dataclasses.dataclass(frozen=True)
class Point:
    """Tensors with names, in a dataclass that cannot be written to."""

    x: torch.Tensor
    rest: tuple = ()


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    ("pack", "get"),
    [
        (lambda x: {"x": x}, lambda v: v["x"]),
        (lambda x: OrderedDict(y=1, x=x), lambda v: v["x"]),
        (lambda x: UserDict(x=[x]), lambda v: v["x"][0]),
        (lambda x: MappingProxyType({"x": x}), lambda v: v["x"]),
        (lambda x: Point(x), lambda v: v.x),
        (lambda x: [Point(None, ({"x": x},))], lambda v: v[0].rest[0]["x"]),
    ],
)
def test_inputs_in_mappings_and_dataclasses_are_inputs(pack, get, device):
    types = []

    def forward(self, value):
        types.append(type(value))
        return self.f(get(value)).add_(get(value))

    given = pack(-torch.ones(2, 4))
    for inputs, kwargs in [((given, 1), None), ((), {"value": given})]:
        net = Call(lambda s, value, _=None: forward(s, value), f=nn.Linear(4, 4))
        result = trace(net, *inputs, kwargs=kwargs, device=device)
        assert result.inputs == ((2, 4),)
        (add,) = result.additions
        assert (add.main, add.shortcut) == (0, "input")
    assert set(types) == {type(given)}
    assert get(given).device.type == "cpu"


def test_attention_masks_and_multi_head_attention():
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    mask = torch.zeros(5, 5)
    result = trace(net, (3, 5, 8), kwargs={"src_mask": mask}, device="meta")
    assert result.total_params == sum(p.numel() for p in net.parameters())
    assert len(result.additions) == 2
    # four projections of 8x8, scores and values, two layers of 8x16
    assert result.total_macs == 15 * 4 * 64 + 2 * 3 * 25 * 8 + 15 * 2 * 128


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_of_the_model_is_respected(dtype):
    row = trace(nn.Conv2d(3, 4, 3).to(dtype), (1, 3, 5, 5)).rows[0]
    assert row.activation_bytes == 4 * 9 * torch.empty((), dtype=dtype).element_size()


@pytest.mark.parametrize("depth", [18, 50])
def test_meta_and_real_runs_agree(depth):
    net = models.get_model(f"resnet{depth}")
    shape = (1, 3, 64, 64)
    meta, real, given = trace(net, shape), trace(net, shape, device="cpu"), trace(net, torch.randn(shape))
    assert meta.device == "meta"
    assert real.device == given.device == "cpu"
    assert meta.rows == real.rows == given.rows


def test_numbers_scale_with_the_batch():
    one, many = trace(models.resnet20(), (1, 3, 32, 32)), trace(models.resnet20(), (4096, 3, 32, 32))
    assert many.total_macs == 4096 * one.total_macs
    assert many.total_activation_bytes == 4096 * one.total_activation_bytes
    assert many.total_params == one.total_params


def test_constants_of_forward_keep_their_values_on_meta():
    def forward(self, x):
        steps = torch.linspace(0, 1, 3)
        for step in steps.tolist():
            x = x * step
        if torch.arange(2).sum() == 1:
            x = self.f(x)
        return x.to("cpu") + torch.randn(x.shape[0], 4)

    assert paths(Call(forward, f=nn.Linear(3, 4)), (5, 3))[-4:] == ["f", "to()", "randn()", "add()"]


# ---- the Trace itself -----------------------------------------------------------------------------------------------


def test_trace_is_a_record_without_the_model():
    result = trace(models.resnet20(), (1, 3, 32, 32))
    assert isinstance(result, Trace)
    assert len(result) == len(result.rows)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.rows[0].params = 3
    assert not any(isinstance(v, (nn.Module, torch.Tensor)) for v in vars(result).values())
    assert trace(models.resnet20(), (1, 3, 32, 32)).rows == result.rows


def test_example_in_the_docstring():
    assert doctest.testmod(sys.modules[trace.__module__]).failed == 0


# ---- unusual modules ------------------------------------------------------------------------------------------------


def test_weight_that_is_computed_is_counted_once():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    result = trace(nn.Sequential(conv), (1, 3, 8, 8))
    assert result.total_params == sum(p.numel() for p in conv.parameters()) == 108 + 4 + 4
    assert result.rows[-1].kernel == (3, 3)
    assert result.rows[-1].macs == 36 * 108


class Compiled(nn.Module):
    """A block of which a method, if asked for, is compiled."""

    def __init__(self, compiler=lambda function: function):
        super().__init__()
        self.conv, self.spare = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(2, 2)
        self.branch = compiler(lambda x: self.conv(x).relu() @ x)

    def forward(self, x):
        return x + self.branch(x)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("place", ["whole", "whole in place", "layer", "layer in place", "function", "unregistered"])
def test_compiled_models_are_traced_as_they_were_written_and_stay_compiled(place, device):
    compilations = []
    torch._dynamo.reset()  # which gives up on what it has compiled eight times

    def backend(graph, example):
        compilations.append(graph)
        return graph.forward

    plain = net = nn.Sequential(Compiled(), nn.Sequential(Compiled(), nn.ReLU()))
    if place == "whole":
        net = torch.compile(plain, backend=backend)
    elif place == "whole in place":
        net.compile(backend=backend)
    elif place == "layer":
        net = nn.Sequential(torch.compile(plain[0], backend=backend), plain[1])
    elif place == "layer in place":
        net[1].compile(backend=backend)
    elif place == "function":
        net = nn.Sequential(Compiled(torch.compile(backend=backend)), plain[1])
    else:
        layers = [torch.compile(plain[0], backend=backend)]
        net = Call(lambda self, x: self.layers[0](x))
        net.layers = layers
    shape = (2, 3, 8, 8)
    result = trace(net, shape, device=device)
    assert not compilations
    if place == "unregistered":
        assert [r.path for r in result.rows if r.kind == "Conv2d"] == ["layers[0].conv"]
    else:
        expected = trace(nn.Sequential(Compiled(), nn.Sequential(Compiled(), nn.ReLU())), shape, device=device)
        assert result.rows == expected.rows
        assert result.total_macs == 2 * (2 * 64 * 3 * 27 + 2 * 3 * 8 * 8 * 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on its compiler
        net(torch.ones(shape))
    assert compilations


@pytest.mark.parametrize("compiler", [lambda function: function, torch.compile], ids=["plain", "compiled"])
def test_flex_attention(compiler):
    attention = pytest.importorskip("torch.nn.attention.flex_attention")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = trace(
            Call(lambda self, q, k: compiler(attention.flex_attention)(q, k, k, score_mod=lambda s, b, h, i, j: s + i)),
            *((2, 3, 16, 8), (2, 3, 4, 8)),
            device="cpu",
        )
    last = result.rows[-1]
    assert (last.kind, last.outputs[0]) == ("flex_attention", (2, 3, 16, 8))
    assert last.macs == 2 * 3 * 16 * 4 * (8 + 8) or "not counted" in last.note  # older torch has no formula


def test_modules_of_other_threads_are_ignored():
    other = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x):
        thread = threading.Thread(target=lambda: other(torch.ones(1, 3)))
        thread.start()
        thread.join()
        return self.f(x)

    assert paths(Call(forward, f=nn.Linear(3, 4)), (1, 3)) == ["f"]


def test_volumes_and_sequences():
    assert trace(nn.Conv3d(1, 2, (1, 3, 3)), (1, 1, 4, 5, 5)).rows[0].receptive_field == (1, 3, 3)
    row = trace(nn.Conv1d(4, 8, 3, stride=2, groups=2, bias=False), (1, 4, 9)).rows[0]
    assert (row.kernel, row.groups, row.bias, row.outputs, row.macs) == ((3,), 2, False, ((1, 8, 4),), 4 * 8 * 2 * 3)


def test_shapes_of_other_whole_numbers():
    assert trace(nn.ReLU(), tuple(np.array([2, 3]))).inputs == trace(nn.ReLU(), torch.Size([2, 3])).inputs == ((2, 3),)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x.masked_fill(x < 0, torch.tensor(0.0, dtype=torch.float64)),
        lambda x: F.mse_loss(x, x.double()),
        lambda x: x.index_fill(1, torch.tensor([0]), torch.tensor(1.0, dtype=torch.float64)),
    ],
)
def test_numbers_alone_may_have_any_dtype(forward):
    """As on a processor."""
    net = type("Net", (nn.Module,), {"forward": lambda self, x: forward(x)})()
    on_meta, real = (trace(net, (1, 3, 4, 4), device=device).rows[-1] for device in ("meta", "cpu"))
    assert on_meta.output_shape == real.output_shape
