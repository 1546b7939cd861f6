"""A trace leaves nothing behind, and a failing model is explained."""

import copy
import functools
import random
from collections import Counter, defaultdict, deque

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from model_state import state, surroundings
from torch import nn

from resnet_edu.nets import models
from resnet_edu.nets.blocks import BasicBlock, ShapeMismatchError
from resnet_edu.tracing.run import TraceError, trace

PLACES = [{"device": "meta"}, {"device": "cpu"}]


class Messy(nn.Module):
    """Changes everything that it can reach while it runs."""

    def __init__(self, fail: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(1))
        self.calls, self.seen, self.plain = 0, [], torch.zeros(2)
        self.fail = fail

    def forward(self, x):
        self.calls += 1
        self.count += 1
        self.plain.add_(1)
        self.scale.mul_(2)
        x = F.dropout(self.bn(self.conv(x)), 0.5, training=True)
        random.random(), np.random.rand()
        self.mean = self.mean + x.mean((0, 2, 3))
        self.seen.append(x)
        self.extra = x
        torch.set_grad_enabled(True)
        if self.fail:
            raise ValueError("on purpose")
        return x * torch.rand(1, device=x.device) * self.scale


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("mode", ["eval", "train", "keep"])
def test_nothing_is_left_behind(place, fail, mode):
    net = Messy(fail)
    net.bn.eval()
    for p in net.bn.parameters():
        p.requires_grad_(False)
    values, before, outside = copy.deepcopy(net.state_dict()), state(net), surroundings()
    if fail:
        with pytest.raises(TraceError, match="on purpose"):
            trace(net, (2, 3, 8, 8), mode=mode, **place)
    else:
        trace(net, (2, 3, 8, 8), mode=mode, **place)
    assert state(net) == before
    assert surroundings() == outside
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in values.items())
    assert (net.calls, net.seen, net.plain.tolist()) == (0, [], [0, 0])
    assert not hasattr(net, "extra")


class Writer(nn.Module):
    """Writes to its own tensors in the way that it is given, each of which the tracer cannot see as one."""

    def __init__(self, write):
        super().__init__()
        self.write, self.layer = write, nn.Linear(4, 4)
        self.p = nn.Parameter(torch.rand(4, 4))
        self.register_buffer("b", torch.rand(2, 4, 3, 3).to(memory_format=torch.channels_last))
        self.mem, self.part, self.wide = torch.rand(4, 4), torch.rand(6, 6)[1:3, ::2], torch.rand(1).expand(3, 4)
        self.kept = {"list": [torch.rand(2)], "tuple": (torch.rand(2), [])}
        self.tie = self.layer.weight
        self.part[0, 0] = float("nan")

    def forward(self, x):
        x = self.layer(x)
        self.write(self, x)
        return x

    def tensors(self):
        return [*self.parameters(), self.b, self.mem, self.part, self.wide, *self.kept["list"], self.kept["tuple"][0]]


def _temporary(net, x):
    [x - 1 for _ in range(100)]  # tensors that are gone: `.data` may well get the id of one
    net.layer.weight.data.mul_(0.9)


WRITES = {
    "slice": lambda s, x: s.p[: len(x)].__iadd__(x),
    "item": lambda s, x: s.p.__setitem__(0, 7),
    "row": lambda s, x: s.mem[0].add_(1),
    "view": lambda s, x: s.p.view(-1).mul_(3),
    "transposed": lambda s, x: s.mem.t().fill_(7),
    "out": lambda s, x: torch.add(s.mem, 1, out=s.mem),
    "foreach": lambda s, x: torch._foreach_add_([s.mem, s.p], 1),
    "numpy": lambda s, x: s.mem.numpy().fill(9),
    "channels last": lambda s, x: s.b[0].mul_(2),
    "strides": lambda s, x: s.part.zero_(),
    "expanded": lambda s, x: s.wide[0, :1].mul_(2),
    "in containers": lambda s, x: (s.kept["list"][0].add_(1), s.kept["tuple"][0][:1].add_(1)),
    "tied": lambda s, x: s.tie[0].zero_(),
    "temporary": _temporary,
    "other memory": lambda s, x: setattr(s.p, "data", s.p.data[:2] * 2),
    "init": lambda s, x: nn.init.zeros_(s.p),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_values_are_kept_however_forward_writes(write, mode):
    net = Writer(write)
    memory = [(id(t), t.data_ptr(), t.stride(), t.requires_grad) for t in net.tensors()]
    before = [t.detach().clone() for t in net.tensors()]
    trace(net, (3, 4), device="cpu", mode=mode)
    assert [(id(t), t.data_ptr(), t.stride(), t.requires_grad) for t in net.tensors()] == memory
    torch.testing.assert_close(net.tensors(), before, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        write(net, torch.ones(3, 4))
    with pytest.raises(AssertionError):  # it does write, where nobody puts it back
        torch.testing.assert_close(net.tensors(), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_a_layer_of_pytorch_that_writes_to_its_weights(layer):
    net = layer(10, 4, max_norm=0.1)
    before, tokens = net.weight.detach().clone(), torch.tensor([[1, 2, 3]])
    trace(net, tokens)
    assert torch.equal(net.weight, before)
    net(tokens)
    assert not torch.equal(net.weight, before)


def test_a_backward_pass_that_is_to_come_does_not_notice_the_copy_back():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    x = torch.rand(4, 3)
    net(x).sum().backward()
    wanted = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    loss = net(x).sum()
    trace(net, x, mode="train")
    loss.backward()
    assert all(torch.allclose(p.grad, g) for p, g in zip(net.parameters(), wanted, strict=True))


@pytest.mark.parametrize("place", PLACES)
def test_containers_are_put_back_to_any_depth(place):
    class Hoarder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.acts = {"f": [], "g": [{"seen": {1}}]}
            self.last, self.empty = deque([1, 2], maxlen=3), deque()
            self.pair = ([], {"a": 1})
            self.counts, self.lists = Counter(a=2), defaultdict(list, x=[1])
            self.acts["self"] = self.acts  # a cycle

        def forward(self, x):
            x = self.layer(x)
            self.acts["f"].append(x)
            self.acts["g"][0]["seen"].add(2)
            self.acts["g"].pop()
            self.last.extend([7, 8]), self.empty.append(x)
            self.pair[0].append(x), self.pair[1].clear()
            self.counts["a"] += 1
            self.lists["x"].append(x), self.lists["y"].append(x)
            return x

    net = Hoarder()
    trace(net, (2, 4), **place)
    assert net.acts.pop("self") is net.acts
    assert net.acts == {"f": [], "g": [{"seen": {1}}]}
    assert (net.last, net.last.maxlen, net.empty) == (deque([1, 2]), 3, deque())
    assert net.pair == ([], {"a": 1})
    assert (net.counts, net.lists) == (Counter(a=2), {"x": [1]})


@pytest.mark.parametrize("place", PLACES)
def test_mixed_flags_and_a_frozen_batch_norm_stay(place):
    net = models.resnet20().train()
    net.layer2.eval()
    net.layer2[0].bn1.train()
    net.train = None  # a trace must not go through .train() or .eval(), which models override
    flags = {n: m.training for n, m in net.named_modules()}
    buffers = {n: b.clone() for n, b in net.named_buffers()}
    for mode in ("eval", "train", "keep"):
        trace(net, (2, 3, 32, 32), mode=mode, **place)
        assert {n: m.training for n, m in net.named_modules()} == flags
        assert all(torch.equal(b, buffers[n]) for n, b in net.named_buffers())


@pytest.mark.parametrize("place", PLACES)
def test_the_callers_tensor_is_not_written_to(place):
    x = -torch.ones(1, 2)
    trace(nn.Sequential(nn.ReLU(inplace=True)), x, **place)
    assert x.tolist() == [[-1, -1]]


def test_grad_mode_of_the_caller_is_kept():
    for outside in (torch.no_grad(), torch.enable_grad()):
        with outside:
            before = torch.is_grad_enabled()
            trace(models.resnet20(), (1, 3, 32, 32))
            assert torch.is_grad_enabled() == before


def test_gradients_flow_after_a_trace_between_forward_and_backward():
    net = models.resnet20().train()
    loss = net(torch.randn(2, 3, 8, 8)).sum()
    trace(net, (1, 3, 8, 8))
    trace(net, (1, 3, 8, 8), device="cpu")
    loss.backward()
    assert net.conv1.weight.grad is not None


def test_hooks_of_the_user_run_and_stay():
    net, seen = nn.Sequential(nn.Linear(3, 4)), []
    handle = net[0].register_forward_hook(lambda m, a, out: seen.append(tuple(out.shape)))
    trace(net, (2, 3))
    assert seen == [(2, 4)]
    assert list(net[0]._forward_hooks) == [handle.id]


def test_modes_decide_what_runs():
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    views = {m: trace(net, (1, 3), mode=m).rows[1].activation_bytes for m in ("eval", "train", "keep")}
    assert views == {"eval": 0, "train": 12, "keep": 12}  # dropout in eval mode hands its input on


def test_a_model_that_catches_its_own_error_is_traced_on():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 5), nn.Linear(3, 3)

        def forward(self, x):
            try:
                return self.a(x)
            except RuntimeError:
                return self.b(x)

    assert [r.path for r in trace(Net(), (1, 3)).rows if r.kind == "Linear"] == ["b"]


def test_trace_inside_an_except_block():
    try:
        raise KeyError("outer")
    except KeyError:
        assert len(trace(nn.Sequential(nn.Linear(3, 3)), (1, 3)).rows) == 1


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_too_small_input_names_the_layer_and_its_shape():
    with pytest.raises(TraceError) as caught:
        trace(torchvision.models.vgg11().features, (1, 3, 16, 16))
    text = str(caught.value)
    assert text.startswith("input 3x16x16 is too small: 20 (MaxPool2d) got 512x1x1")
    assert caught.value.path == "20"
    assert caught.value.shapes == ((1, 512, 1, 1),)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_advice_of_the_block_is_kept():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), BasicBlock(4, 8, 2, shortcut="identity"))
    with pytest.raises(TraceError, match=r"in 1 \(BasicBlock\), which got 1x4x6x6: .*shortcut='projection'") as caught:
        trace(net, (1, 3, 8, 8))
    assert isinstance(caught.value.__cause__, ShapeMismatchError)


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 1, 8, 8), "takes 3 channels, not 1"),
        (nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), (1, 3, 4, 4), "takes 10 values, not 48"),
        (nn.Sequential(nn.BatchNorm2d(4)), (1, 3, 4, 4), "takes 4 channels, not 3"),
    ],
)
def test_wrong_sizes_are_explained(net, shape, words):
    with pytest.raises(TraceError, match=words):
        trace(net, shape)


def test_functional_failure_names_the_function():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Conv2d(2, 2, 3)

        def forward(self, x):
            return torch.cat([self.f(x), x], 1)

    with pytest.raises(TraceError, match=r"Net, in cat\(\), which got 1x2x6x6 and 1x2x8x8"):
        trace(Net(), (1, 2, 8, 8))


def test_a_model_that_looks_at_values_is_told_what_to_do():
    class Net(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(TraceError, match="device='cpu'"):
        trace(Net(), (1, 3))
    assert len(trace(Net(), (1, 3), device="cpu").rows) == 3


def test_a_failure_tells_what_ran_before_it():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 2))  # 4 pixels, 2, 1
    for end, mode in [(nn.Linear(9, 2), "eval"), (nn.AvgPool2d(9), "eval"), (nn.BatchNorm2d(6), "train")]:
        with pytest.raises(TraceError) as caught:
            trace(nn.Sequential(*body, end), (1, 3, 4, 4), mode=mode)
        assert caught.value.path == "2"
        assert [row.path for row in caught.value.rows] == [row.path for row in trace(body, (1, 3, 4, 4)).rows]
        if mode == "eval":
            assert caught.value.rows == trace(body, (1, 3, 4, 4)).rows


CASES = [
    (nn.Conv2d(3, 4, 5), (1, 3, 3, 3)),
    (nn.Conv2d(3, 4, 5, padding=1), (1, 3, 3, 3)),
    (nn.Conv2d(3, 4, 3, padding="same"), (1, 3, 1, 1)),
    (nn.Conv2d(3, 4, 3), (1, 4, 8, 8)),
    (nn.Conv2d(4, 4, 3, groups=2), (1, 2, 8, 8)),
    (nn.Conv2d(3, 4, 3), (3, 8)),
    (nn.Conv1d(3, 4, 5), (1, 3, 3)),
    (nn.Conv3d(3, 4, 5), (1, 3, 3, 3, 3)),
    (nn.ConvTranspose2d(3, 4, 3), (1, 4, 8, 8)),
    (nn.ConvTranspose2d(3, 4, 3), (1, 3, 1, 1)),
    (nn.MaxPool2d(5), (1, 3, 3, 3)),
    (nn.MaxPool2d(3, 2, 1), (1, 3, 1, 1)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (1, 3, 2, 2)),
    (nn.AvgPool2d(5), (1, 3, 3, 3)),
    (nn.AvgPool1d(5), (1, 3, 3)),
    (nn.AdaptiveAvgPool2d(5), (1, 3, 3, 3)),
    (nn.BatchNorm2d(4), (1, 3, 8, 8)),
    (nn.BatchNorm2d(4), (1, 4, 1, 1)),
    (nn.BatchNorm1d(4), (1, 4, 1, 1)),
    (nn.InstanceNorm2d(4), (1, 4, 1, 1)),
    (nn.GroupNorm(2, 4), (1, 6, 2, 2)),
    (nn.LayerNorm(4), (1, 5)),
    (nn.Linear(4, 4), (1, 5)),
    (nn.ReflectionPad2d(4), (1, 3, 3, 3)),
    (nn.PixelShuffle(2), (1, 3, 3, 3)),
    (nn.LSTM(3, 4), (1, 3, 4)),
    (nn.Sequential(nn.Flatten(), nn.Linear(75, 2)), (1, 3, 5, 5)),
    (torchvision.models.alexnet, (1, 3, 32, 32)),  # whole nets are built when they are needed, and do not stay
    (torchvision.models.squeezenet1_1, (1, 3, 16, 16)),
    (models.resnet18, (1, 3, 1, 1)),
    (functools.partial(models.resnet18, stem="cifar"), (1, 3, 7, 7)),
    (BasicBlock(3, 6, 2, shortcut="zero_pad"), (1, 3, 7, 7)),
    (BasicBlock(3, 6, 2, shortcut="identity"), (1, 3, 8, 8)),
]


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("net", "shape"), CASES, ids=[f"{getattr(n, '__name__', type(n).__name__)}-{i}" for i, (n, _) in enumerate(CASES)]
)
def test_meta_fails_exactly_where_the_cpu_fails(net, shape, mode):
    net = (net if isinstance(net, nn.Module) else net()).train(mode == "train")
    try:
        with torch.no_grad():
            net(torch.zeros(shape))
        works = True
    except Exception:
        works = False
    if works:
        assert trace(net, shape, mode=mode).rows == trace(net, shape, mode=mode, device="cpu").rows
    else:
        with pytest.raises(TraceError):
            trace(net, shape, mode=mode)


@pytest.mark.parametrize(
    ("args", "words", "kind", "match"),
    [
        ((nn.ReLU, (1, 3)), {}, TypeError, "not its class"),
        (("resnet18", (1, 3)), {}, TypeError, "torch.nn.Module"),
        ((nn.ReLU(),), {}, TypeError, "give the shape"),
        ((nn.ReLU(), 1, 3, 4), {}, TypeError, r"one tuple.*\(1, 3, 4\)"),
        ((nn.ReLU(), (1, 0)), {}, ValueError, r"\(1, 0\).*at least 1"),
        ((nn.ReLU(), (1, -3)), {}, ValueError, r"at least 1"),
        ((nn.ReLU(), "3x224x224"), {}, TypeError, "'3x224x224'"),
        ((nn.ReLU(), (1, 3)), {"mode": "test"}, ValueError, "'eval', 'train', 'keep'"),
        ((nn.ReLU(), (1, 3)), {"mode": []}, ValueError, r"but it is \[\]"),
        ((nn.ReLU(), (1, 3)), {"kwargs": [1]}, TypeError, r"`kwargs` must be a dictionary.*but it is \[1\]"),
        ((nn.ReLU(), (1, 3)), {"kwargs": []}, TypeError, r"`kwargs` must be a dictionary"),
        ((nn.ReLU(), (2, 4.0)), {}, TypeError, r"\(2, 4.0\).*whole number"),
        ((nn.ReLU(), [2, 4.0]), {}, TypeError, r"\[2, 4.0\].*whole number"),
        ((nn.ReLU(), [(2, 4), (2, 4.0)]), {}, TypeError, r"\(2, 4.0\).*whole number"),
        ((nn.ReLU(), ()), {}, TypeError, r"an input must be a shape.*but it is \(\)"),
        ((nn.ReLU(), (1, 3)), {"device": "foo"}, ValueError, "`device` must be 'meta'.*but it is 'foo'"),
        ((nn.ReLU(), (1, 3)), {"device": "cuda:99"}, ValueError, "on this machine.*but it is 'cuda:99'"),
        ((nn.ReLU(), (1, 3)), {"device": []}, ValueError, r"`device` must be 'meta'.*but it is \[\]"),
        ((nn.Linear(2, 2).to("meta"), (1, 2)), {"device": "cpu"}, ValueError, "weight is on meta"),
    ],
)
def test_bad_arguments(args, words, kind, match):
    with pytest.raises(kind, match=match):
        trace(*args, **words)


def test_numbers_that_are_no_shape_are_passed_on():
    class Net(nn.Module):
        def forward(self, x, scale, flags):
            assert (scale, flags) == ((0.5, 2.0), [])
            return x * scale[0]

    assert trace(Net(), (1, 3), (0.5, 2.0), []).inputs == ((1, 3),)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("compiled", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(1, 3))])
def test_models_of_torch_jit_are_refused_by_name(compiled):
    net = compiled(nn.Sequential(nn.Linear(3, 3)))
    whole = nn.Sequential(nn.ReLU(), net)
    for model, words in [(net, "`model` is a torch.jit.ScriptModule"), (whole, "layer '1' is a torch.jit.Scr")]:
        before, outside = state(whole[0]), surroundings()
        with pytest.raises(TypeError, match=f"{words}.*trace the torch.nn.Module"):
            trace(model, (1, 3))
        assert (state(whole[0]), surroundings()) == (before, outside)
