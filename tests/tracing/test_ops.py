"""Multiply-adds of single operations, against torch's FLOP counter, which counts two where the tracer counts one."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_edu.tracing.run import trace

PLACES = ["meta", "cpu"]


class Call(nn.Module):
    """A module whose forward is a function of its inputs."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer or nn.Identity()

    def forward(self, *inputs):
        return self.function(*inputs)


def einsum(equation, *shapes):
    return lambda *x: torch.einsum(equation, *x), *shapes


CALLS = {
    "tensordot": (lambda a, b: torch.tensordot(a, b), (2, 3, 4), (3, 4, 5)),
    "tensordot of lists": (lambda a, b: torch.tensordot(a, b, ([1, -1], [0, 1])), (2, 3, 4), (3, 4, 5)),
    "tensordot of tuples": (lambda a, b: torch.tensordot(a, b, dims=((-2,), (0,))), (2, 3, 4), (3, 5)),
    "tensordot over nothing": (lambda a, b: torch.tensordot(a, b, 0), (2, 3), (4,)),
    "einsum": einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    "einsum with dots": einsum("...j,jk->...k", (2, 3, 4), (4, 5)),
    "einsum with dots on both sides": einsum("...ij, ...jk -> ...ik", (1, 3, 4), (2, 4, 5)),
    "einsum over the dots": einsum("i...,j...->ij", (2, 3, 4), (5, 3, 4)),
    "einsum without arrow": einsum("ij,jk", (2, 4), (4, 5)),
    "einsum without arrow, with dots": einsum("i...,i...", (2, 3), (2, 3)),
    "einsum of a diagonal": einsum("ii,ij->j", (3, 3), (3, 4)),
    "einsum with a letter summed before": einsum("ijk,jl->il", (2, 3, 4), (3, 5)),
    "einsum that multiplies value by value": einsum("ij,ij->ij", (2, 3), (2, 3)),
    "einsum of an outer product": einsum("i,j->ij", (2,), (3,)),
    "einsum that broadcasts": einsum("ij,jk->ik", (2, 1), (4, 5)),
    "einsum of one": einsum("ij->ji", (2, 3)),
    "einsum with lists": (lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]), (2, 3), (3, 4)),
    "inner": (torch.inner, (2, 3, 4), (5, 4)),
    "inner by keywords": (lambda a, b: torch.inner(input=a, other=b), (2, 3), (5, 3)),
    "inner with a number": (lambda a, b: torch.inner(a, b.sum()), (2, 3), (5, 3)),
    "linalg.matmul": (torch.linalg.matmul, (2, 3, 4), (4, 5)),
    "multi_dot": (lambda *x: torch.linalg.multi_dot(x), (2, 30), (30, 4), (4, 50), (50, 6), (6, 3)),
    "multi_dot from the right": (lambda *x: torch.linalg.multi_dot(x), (30, 2), (2, 40), (40, 3)),
    "multi_dot of vectors": (lambda *x: torch.linalg.multi_dot(x), (30,), (30, 40), (40,)),
    "multi_dot by keyword": (lambda *x: torch.linalg.multi_dot(tensors=x), (3, 2), (2, 4), (4, 5)),
}
LAYERS = {
    "LSTMCell": (nn.LSTMCell(3, 4), (2, 3)),
    "GRUCell": (nn.GRUCell(3, 4, bias=False), (2, 3)),
    "RNNCell": (nn.RNNCell(3, 4), (2, 3)),
    "RNNCell with relu, no batch": (nn.RNNCell(3, 4, nonlinearity="relu"), (3,)),
    "attention": (nn.MultiheadAttention(8, 2), (3, 2, 8), (4, 2, 8), (4, 2, 8)),
    "attention of other widths": (nn.MultiheadAttention(8, 2, kdim=5, vdim=6), (3, 2, 8), (4, 2, 5), (4, 2, 6)),
    "attention with learned keys": (nn.MultiheadAttention(8, 2, add_bias_kv=True), *[(3, 2, 8)] * 3),
    "attention with an empty key": (nn.MultiheadAttention(8, 2, add_zero_attn=True), *[(3, 2, 8)] * 3),
}
CASES = {name: (Call(function), *shapes) for name, (function, *shapes) in CALLS.items()} | LAYERS


@pytest.mark.parametrize("device", PLACES)
@pytest.mark.parametrize(("net", "shapes"), [(net, shapes) for net, *shapes in CASES.values()], ids=CASES)
def test_multiply_adds_are_half_of_torchs_flops(net, shapes, device):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(*map(torch.rand, shapes))
    result = trace(net, *shapes, device=device)
    assert 2 * result.total_macs == counter.get_total_flops()
    assert not any("not counted" in row.note for row in result.rows)


@pytest.mark.parametrize("device", PLACES)
@pytest.mark.parametrize(
    ("net", "shapes"),
    [
        (Call(lambda *x: torch.einsum("ij,jk,kl->il", *x)), [(2, 3), (3, 4), (4, 5)]),
        (Call(lambda x: torch.linalg.matrix_power(x, 3)), [(3, 3)]),
        (nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
    ],
)
def test_a_product_that_cannot_be_counted_says_so(net, shapes, device):
    result = trace(net, *shapes, device=device)
    assert result.total_macs == 0
    assert "multiply-adds are not counted" in result.rows[0].note
    assert "multiply-adds are not counted" in result.to_text()
