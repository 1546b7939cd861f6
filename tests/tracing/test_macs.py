"""Multiply-adds of single operations, against torch's FLOP counter, which counts two where the tracer counts one."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_edu.tracing import trace


class Call(nn.Module):
    """A module whose forward is a function of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function, self.layer = function, nn.Identity()

    def forward(self, *inputs):
        return self.function(*inputs)


def einsum(equation, *shapes):
    return lambda *x: torch.einsum(equation, *x), *shapes


@torch.jit.script
def script(x, w):
    return torch.relu(x @ w)


traced = torch.jit.trace(lambda x, w: (x @ w).relu(), (torch.ones(2, 3), torch.ones(3, 4)))
CALLS = {
    "tensordot": (lambda a, b: torch.tensordot(a, b, ([1, -1], [0, 1])), (2, 3, 4), (3, 4, 5)),
    "einsum": einsum("...ij, ...jk -> ...ik", (1, 3, 4), (2, 4, 5)),
    "einsum of a diagonal": einsum("ii,ij->j", (3, 3), (3, 4)),
    "einsum that multiplies value by value": einsum("ij,ij->ij", (2, 3), (2, 3)),
    "einsum of three": einsum("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    "einsum with lists": (lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]), (2, 3), (3, 4)),
    "inner by keywords": (lambda a, b: torch.inner(other=b, input=a), (2, 3), (5, 3)),
    "matmul by keywords": (lambda a, b: torch.matmul(other=b, input=a), (2, 3, 4), (4, 5)),
    "matmul from the right": (lambda a, b: b.__rmatmul__(a), (2, 3), (3, 4)),
    "linear by keywords": (lambda a, b: F.linear(weight=b, input=a), (2, 3), (5, 3)),
    "addmm": (torch.addmm, (3, 5), (3, 4), (4, 5)),
    "multi_dot": (lambda *x: torch.linalg.multi_dot(tensors=x), (2, 30), (30, 4), (4, 50), (50, 6), (6, 3)),
    "multi_dot of vectors": (lambda *x: torch.linalg.multi_dot(x), (30,), (30, 40), (40,)),
    "matrix_power": (lambda x: torch.linalg.matrix_power(x, 3), (3, 3)),
    "convolution by keywords": (lambda a, b: F.conv2d(weight=b, input=a, groups=2), (1, 4, 6, 6), (6, 2, 3, 3)),
    "transposed convolution": (lambda a, b: F.conv_transpose2d(a, b, stride=2), (2, 4, 5, 5), (4, 6, 3, 3)),
    "vmap": (lambda a, b: torch.vmap(torch.matmul)(a, b), (5, 2, 3), (5, 3, 4)),
    "vmap over weights": (lambda a, b: torch.vmap(lambda w: a @ w)(b), (2, 3), (5, 3, 4)),
    "a function of torch.jit": (lambda a, b: script(a, b), (2, 3), (3, 4)),
    "a trace of torch.jit": (lambda a, b: traced(a, b), (2, 3), (3, 4)),
    "nothing but shapes": (lambda a: F.interpolate(a.relu(), scale_factor=2, mode="bilinear"), (1, 2, 4, 4)),
}
LAYERS = {
    "LSTMCell": (nn.LSTMCell(3, 4), (2, 3)),
    "GRUCell": (nn.GRUCell(3, 4, bias=False), (2, 3)),
    "RNNCell with relu, no batch": (nn.RNNCell(3, 4, nonlinearity="relu"), (3,)),
    "attention": (nn.MultiheadAttention(8, 2), (3, 2, 8), (4, 2, 8), (4, 2, 8)),
    "attention of other widths": (nn.MultiheadAttention(8, 2, kdim=5, vdim=6), (3, 2, 8), (4, 2, 5), (4, 2, 6)),
    "attention with learned keys": (nn.MultiheadAttention(8, 2, add_bias_kv=True), *[(3, 2, 8)] * 3),
    "attention with an empty key": (nn.MultiheadAttention(8, 2, add_zero_attn=True), *[(3, 2, 8)] * 3),
}
CASES = {name: (Call(function), *shapes) for name, (function, *shapes) in CALLS.items()} | LAYERS
DEVICES = pytest.mark.parametrize("device", ["meta", "cpu"])


def has_note(result) -> bool:
    return any("not counted" in row.note for row in result.rows)


@DEVICES
@pytest.mark.parametrize(("net", "shapes"), [(net, shapes) for net, *shapes in CASES.values()], ids=CASES)
def test_multiply_adds_are_half_of_torchs_flops(net, shapes, device):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(*map(torch.rand, shapes))
    result = trace(net, *shapes, device=device)
    assert 2 * result.total_macs == counter.get_total_flops()
    assert not has_note(result)


def scaled(a, b):
    a, b = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
    return torch._scaled_mm(a, b, torch.ones((), device=a.device), torch.ones((), device=a.device))


ENDS = torch.tensor([8, 16], dtype=torch.int32)  # of two groups of eight
BY_HAND = {
    "matrix and vector": (torch.mv, 3 * 4, (3, 4), (4,)),
    "vectors": (torch.dot, 4, (4,), (4,)),
    "batch of matrices and vector": (torch.matmul, 2 * 3 * 4, (2, 3, 4), (4,)),
    "addmm in place": (lambda a, b, c: a.clone().addmm_(b, c), 3 * 4 * 5, (3, 5), (3, 4), (4, 5)),
    "addmv": (torch.addmv, 3 * 4, (3,), (3, 4), (4,)),
    "addbmm": (torch.addbmm, 2 * 3 * 4 * 5, (3, 5), (2, 3, 4), (2, 4, 5)),
    "gradient": (lambda a, b: torch.func.grad(lambda x: (x @ b).sum())(a), 2 * 2 * 3 * 4, (2, 3), (3, 4)),
    "whole numbers": (lambda a, b: torch._int_mm(a.to(torch.int8), b.to(torch.int8)), 32**3, (32, 32), (32, 32)),
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(value=v, key=k, query=q),
        2 * 2 * 5 * 6 * (8 + 4),
        *((2, 2, 5, 8), (2, 2, 6, 8), (2, 2, 6, 4)),
    ),
    "attention with shared keys": (
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        *(4 * 5 * 6 * (8 + 8), (1, 4, 5, 8), (1, 2, 6, 8)),
    ),
}
if hasattr(F, "grouped_mm"):
    BY_HAND |= {
        "8-bit values": (scaled, 32**3, (32, 32), (32, 32)),
        "groups of rows": (
            lambda a, b: F.grouped_mm(a.bfloat16(), b.bfloat16(), offs=ENDS),
            *(16 * 8 * 24, (16, 8), (2, 8, 24)),
        ),
        "groups of columns": (
            lambda a, b: F.grouped_mm(a.bfloat16(), b.bfloat16(), offs=ENDS),
            *(24 * 8 * 16, (2, 24, 8), (8, 16)),
        ),
    }


@DEVICES
@pytest.mark.parametrize(("function", "macs", "shapes"), [(f, n, s) for f, n, *s in BY_HAND.values()], ids=BY_HAND)
def test_products_that_torch_does_not_count(function, macs, shapes, device):
    result = trace(Call(function), *shapes, device=device)
    assert result.total_macs == macs
    assert not has_note(result)


@DEVICES
@pytest.mark.parametrize(
    ("net", "shapes"),
    [
        (nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
        (Call(torch.conv_tbc), [(5, 2, 3), (3, 3, 4), (4,)]),
        (Call(lambda a, b: torch.linalg.solve(a + 9 * torch.eye(4), b)), [(4, 4), (4, 5)]),
        (Call(torch.cdist), [(40, 5), (30, 5)]),
        (Call(torchvision.ops.deform_conv2d), [(1, 3, 8, 8), (1, 18, 6, 6), (4, 3, 3, 3)]),
    ],
    ids=["a sum of products", "a rare convolution", "linear algebra", "distances", "an operator of another library"],
)
def test_a_product_without_a_formula_says_so(net, shapes, device):
    result = trace(net, *shapes, device=device)
    assert result.total_macs == 0
    assert has_note(result)
    (row,) = result.not_counted
    assert str(result).endswith(f"The total is without the MACs of {row.path or result.model}: these are not counted.")


def test_an_ensemble_under_vmap_is_counted_whole():
    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 4)
            self.weights, self.biases = nn.Parameter(torch.ones(5, 4, 3)), nn.Parameter(torch.ones(5, 4))

        def forward(self, x):
            def one(weight, bias):
                return torch.func.functional_call(self.layer, {"weight": weight, "bias": bias}, (x,))

            return torch.vmap(one)(self.weights, self.biases)

    for device in ("meta", "cpu"):
        result = trace(Ensemble(), (2, 3), device=device)
        assert result.total_macs == 5 * 2 * 3 * 4
        assert result.rows[0].params == 5 * (12 + 4)
        assert result.rows[0].activation_bytes == 5 * 2 * 4 * 4


@DEVICES
@pytest.mark.parametrize("decompose", [False, True])
def test_operators_of_an_exported_program_are_counted(decompose, device):
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(80, 4))
    shape = (1, 3, 8, 8)
    program = torch.export.export(net, (torch.rand(shape),))
    exported = (program.run_decompositions() if decompose else program).module()
    assert trace(exported, shape, device=device).total_macs == trace(net, shape).total_macs == 64 * 5 * 27 + 80 * 4


@DEVICES
@pytest.mark.parametrize(("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_every_weight_of_a_recurrent_layer_works_once_a_step(layer, gates, device):
    net = layer(5, 7, 2, bidirectional=True)
    result = trace(net, (3, 4, 5), device=device)
    assert result.total_macs == 12 * 2 * gates * 7 * ((5 + 7) + (14 + 7))
    assert result.rows[0].outputs == ((3, 4, 14), *[(4, 4, 7)] * (2 if layer is nn.LSTM else 1))
