"""Dtypes and devices on meta: held against the same model on the processor."""

import operator
import threading

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from resnet_edu.tracing.run import TraceError, trace


class Call(nn.Module):
    """A module whose forward is a function; it has a child, so that it is no leaf."""

    def __init__(self, function, **children):
        super().__init__()
        self.function, self.seat = function, nn.Identity()
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args):
        return self.function(self, *args)


def one_gpu(net):
    """Return `net` in a DataParallel as it is where there is one GPU."""
    net = nn.DataParallel(net)
    net.device_ids, net.src_device_obj = [0], torch.device("cuda:0")
    return net


@pytest.mark.parametrize("wrap", [one_gpu, lambda net: nn.Sequential(one_gpu(net))])
def test_data_parallel_is_what_it_wraps(wrap):
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    wrapped = wrap(net)
    assert [r.outputs for r in trace(wrapped, (2, 3)).rows] == [r.outputs for r in trace(net, (2, 3)).rows]
    assert not any("forward" in vars(m) for m in wrapped.modules())


@pytest.mark.skipif(torch.cuda.is_available(), reason="what there is without a GPU")
@pytest.mark.parametrize(
    "move",
    [
        lambda x: torch.ones(4).cuda(),
        lambda x: torch.ones(4).to("cuda"),
        lambda x: torch.ones(4).to(device="cuda:0", dtype=torch.float32),
        lambda x: torch.ones(4, device="cuda"),
        lambda x: torch.ones_like(torch.zeros(4), device="cuda"),
        lambda x: torch.zeros(2).new_ones(4, device="cuda"),
        lambda x: x.new_ones(4, device="cuda"),
        lambda x: torch.ones(4).pin_memory(),
    ],
)
def test_nothing_is_moved_to_a_gpu_on_meta(move):
    def forward(self, x):
        if not (ones := move(x)).is_meta:
            assert ones.sum() == 4  # a constant keeps its values
        return self.f(x.cuda()) + ones

    assert trace(Call(forward, f=nn.Linear(3, 4)), (2, 3)).rows[-1].outputs == ((2, 4),)


def test_a_complex_model_gets_complex_inputs():
    net = nn.Conv2d(3, 4, 3, dtype=torch.complex64)
    (row,) = trace(net, (2, 3, 8, 8)).rows
    assert row.activation_bytes == 2 * 4 * 36 * 8
    assert trace(net, (2, 3, 8, 8), device="cpu").rows == [row]


LAYERS = {
    "linear": (nn.Linear(4, 4), (2, 4)),
    "conv": (nn.Conv2d(4, 4, 1), (2, 4, 2, 2)),
    "transposed": (nn.ConvTranspose1d(4, 4, 1), (2, 4, 2)),
    "batch norm": (nn.BatchNorm2d(4), (2, 4, 2, 2)),
    "layer norm": (nn.LayerNorm(4), (2, 4)),
    "group norm": (nn.GroupNorm(2, 4), (2, 4, 2)),
    "prelu": (nn.PReLU(), (2, 4)),
    "lstm": (nn.LSTM(4, 4), (2, 3, 4)),
    "attention": (Call(lambda s, x: s.a(x, x, x), a=nn.MultiheadAttention(4, 2)), (2, 3, 4)),
    "product": (Call(lambda s, x: x @ s.f.weight, f=nn.Linear(4, 4)), (2, 4)),
    "sum": (Call(lambda s, x: x + s.f.bias, f=nn.Linear(4, 4)), (2, 4)),
    "join": (Call(lambda s, x: torch.cat([x, s.f.weight]), f=nn.Linear(4, 4)), (2, 4)),
}
LAYERS["grid"] = (Call(lambda s, x: F.grid_sample(x, s.f.weight[None, None]), f=nn.Linear(2, 2)), (1, 2, 2, 2))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("given", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("own", [torch.float32, torch.float16])
def test_dtypes_are_refused_where_the_processor_refuses(layer, given, own):
    net, shape = LAYERS[layer]
    net, x = net.eval().to(own), torch.ones(shape, dtype=given)
    try:
        rows = trace(net, x).rows
    except TraceError:
        with pytest.raises(TraceError):
            trace(net, x, device="meta")
    else:
        assert [r.activation_bytes for r in trace(net, x, device="meta").rows] == [r.activation_bytes for r in rows]


@pytest.mark.parametrize("where", [lambda x: "cpu", lambda x: x.device.type])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_bytes_under_autocast_are_those_of_the_processor(where, dtype):
    def forward(self, x):
        with torch.autocast(where(x), dtype):
            x = self.norm(self.conv(x)).relu_()
            with torch.autocast(where(x), enabled=False):
                x = x.float() * 2
            x = torch.cat([x, self.conv(x)], 1).flatten(2).mT
            return F.scaled_dot_product_attention(x, x, x).chunk(2, -1), self.out(x).softmax(-1)

    net = Call(forward, conv=nn.Conv2d(3, 3, 1), norm=nn.BatchNorm2d(3), out=nn.Linear(6, 5))
    meta, real = trace(net, (2, 3, 4, 4)), trace(net, (2, 3, 4, 4), device="cpu")
    assert meta.rows == real.rows
    assert meta.rows[0].activation_bytes == 2 * 3 * 16 * 2
    with torch.autocast("cpu", dtype):
        plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(64, 2))
        assert trace(plain, (2, 3, 4, 4)).rows == trace(plain, (2, 3, 4, 4), device="cpu").rows


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    "add",
    [
        lambda a, b: torch.add(a, b, out=torch.empty(2, 4)),
        lambda a, b: torch.add(a, b, out=torch.empty_like(b)),
        lambda a, b: torch.add(a, b, out=b),
        lambda a, b: torch.ops.aten.add.out(a, b, out=torch.empty(2, 4)),
        lambda a, b: a.add_(b),
        lambda a, b: operator.iadd(a, b),
        lambda a, b: torch.add(other=b, input=a),
    ],
)
def test_the_place_for_a_result_is_no_operand(add, device):
    (sum_,) = trace(Call(lambda s, x: add(s.f(x), x), f=nn.Linear(4, 4)), (2, 4), device=device).additions
    assert set(sum_.sources) == {0, "input"}
    assert len(sum_.inputs) == 2


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    "write",
    [
        lambda y, room: torch.mul(y, y, out=room),
        lambda y, room: torch.mm(y, y, out=room),
        lambda y, room: torch.cat([y, y], out=room.resize_(8, 4)),
        lambda y, room: room.add_(y),
        lambda y, room: operator.setitem(room, slice(None), y),
    ],
)
def test_what_was_written_into_a_constant_is_followed(write, device):
    def forward(self, x):
        room = torch.zeros(4, 4)
        write(self.f(x), room)
        return room[:4] + x

    result = trace(Call(forward, f=nn.Linear(4, 4)), (4, 4), device=device)
    assert [r.kind for r in result.rows][-1] == "add"
    assert result.total_macs in (64, 128)
    if device == "meta":  # the constant has other values by now, which nobody knows

        def look(self, x):
            room = torch.zeros(4, 4)
            write(self.f(x), room)
            return x * room.sum().item()

        with pytest.raises(TraceError, match="device='cpu'"):
            trace(Call(look, f=nn.Linear(4, 4)), (4, 4))


def test_layers_in_other_threads_are_said_to_be():
    def forward(self, x):
        found = []
        thread = threading.Thread(target=lambda: found.append(self.f(x)))
        thread.start()
        thread.join()
        return self.g(found[0])

    net = Call(forward, f=nn.Linear(3, 4), g=nn.Linear(4, 2))
    result = trace(net, (1, 3), device="cpu")
    (row,) = result.not_counted
    assert (row.path, row.kind, row.params) == ("f", "other thread", 16)
    assert result.total_macs == 8
    assert "without the MACs of f" in str(result)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_other_threads_on_meta_get_advice_that_works():
    def forward(self, x):
        found = []
        thread = threading.Thread(target=lambda: found.append(self.f(x)))
        thread.start()
        thread.join()
        return found[0]

    with pytest.raises(TraceError, match=r"another thread.*device='cpu'"):
        trace(Call(forward, f=nn.Linear(3, 4)), (1, 3))


@pytest.mark.parametrize(
    ("net", "shape", "way"),
    [
        (torchvision.models.resnet18(), (3, 224, 224), "the batch is missing: trace(model, (1, 3, 224, 224))"),
        (torchvision.models.vgg11(), (3, 224, 224), "the batch is missing: trace(model, (1, 3, 224, 224))"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), (3,), "the batch is missing: trace(model, (1, 3))"),
        (nn.Sequential(nn.Embedding(9, 4)), (2, 3), "trace(model, torch.zeros((2, 3), dtype=torch.long))"),
        (nn.EmbeddingBag(9, 4), (2, 3), "trace(model, torch.zeros((2, 3), dtype=torch.long))"),
        (Call(lambda s, x: F.one_hot(x, 5)), (2, 3), "trace(model, torch.zeros((2, 3), dtype=torch.long))"),
    ],
    ids=["resnet18", "vgg11", "vector", "embedding", "bag", "one_hot"],
)
def test_advice_for_an_input_is_one_that_works(net, shape, way):
    with pytest.raises(TraceError) as caught:
        trace(net, shape)
    text = str(caught.value)
    assert way in text
    call = text[text.index("trace(model") : -1]
    assert len(eval(call, {"trace": trace, "model": net, "torch": torch}).rows)


def test_a_model_of_a_list_of_tensors_is_told_how_to_get_it():
    def forward(self, images):
        if not isinstance(images, list) or images[0].dim() != 3:
            raise ValueError("expected a list of 3d tensors")
        return self.f(images[0])

    net = Call(forward, f=nn.Conv2d(3, 4, 3))
    for given in ([torch.zeros(3, 8, 8)], [(3, 8, 8)], [[(3, 8, 8)]]):
        with pytest.raises(TraceError) as caught:
            trace(net, given)
        text = str(caught.value)
        call = text[text.index("trace(model") : -1]
        result = eval(call, {"trace": trace, "model": net, "torch": torch})
        assert result.inputs == ((3, 8, 8),)
    with pytest.raises(TypeError, match=r"\[\['one', 'two'\]\]"):
        trace(net, ["a cat", "a dog"])
