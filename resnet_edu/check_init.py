"""The checker of first weights: `initialise`.

Scope: a learner's function draws the weights of a net; means, spreads and shapes of what it draws are compared with
those of He's law, layer by layer, on a net whose layers tell every fan from every other.

Sources
  [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2: variance 2 / n, and n of the backward pass.
  [2] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .check_tools import NotYet, ask, checker, name_of

TOLERANCE = 0.04  # of a standard deviation; that of the smallest layer here scatters by 0.6%


@checker
def initialise(function: Callable[[nn.Module], object]) -> str:
    """Check `initialise(net)`, which draws first weights in place.

    Every convolution's kernel comes from a normal law of mean 0 and He's variance 2 / fan_out, and its bias, if it has
    one, is 0; batch norms at scale 1 and shift 0; linear layers are left as they are.

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    if not callable(function):
        raise TypeError(f"give the function itself, without parentheses after it; got {function!r}")
    name = name_of(function)
    net, again = _net(), _net()
    torch.default_generator.manual_seed(1)
    ask(f"{name}(net)", function, net)
    torch.default_generator.manual_seed(2)
    ask(f"{name}(net)", function, again)
    _check_kept(name, net)
    for index, (conv, other) in enumerate(zip(_convs(net), _convs(again), strict=True)):
        _check_drawn(name, index, conv, other)
    _check_spread(name, [conv.weight.detach() for conv in _convs(net)], _convs(net))
    _check_normal(name, _convs(net))
    _check_rest(name, net)
    return f"{name}: every kernel has He's variance for its own layer, and the rest is as it should be"


def _net() -> nn.Module:
    """Return a net with weights that no law would give. Kernel size, groups of channels and strides all differ."""
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(
            nn.Conv2d(16, 192, 3, bias=False),
            nn.BatchNorm2d(192),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(192, 64, 5, stride=2), nn.BatchNorm2d(64), nn.ReLU()),
            nn.Conv2d(64, 640, 1, bias=False),
            nn.BatchNorm2d(640),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(640, 50),
        )
    with torch.no_grad():
        for place, parameter in enumerate(net.parameters()):
            parameter.fill_(0.3 + 0.01 * place)
    return net


def _convs(net: nn.Module) -> list[nn.Conv2d]:
    return [m for m in net.modules() if isinstance(m, nn.Conv2d)]


def _linear(net: nn.Module) -> nn.Linear:
    return next(m for m in net.modules() if isinstance(m, nn.Linear))


def _fans(conv: nn.Conv2d) -> tuple[int, int]:
    """Return fan_in and fan_out of a convolution without groups."""
    taps = conv.kernel_size[0] * conv.kernel_size[1]
    return conv.in_channels * taps, conv.out_channels * taps


def _check_kept(name: str, net: nn.Module) -> None:
    before = _net()
    if {n: p.shape for n, p in net.named_parameters()} != {n: p.shape for n, p in before.named_parameters()}:
        raise NotYet(f"{name}: the net has other parameters than before; values are to be filled in, in place")
    if not all(p.requires_grad for p in net.parameters()):
        raise NotYet(f"{name}: some parameters can no longer be trained: their requires_grad is False")
    if not all(p.isfinite().all() for p in net.parameters()):
        raise NotYet(f"{name}: some weights are no finite numbers")
    if all(torch.equal(a, b) for a, b in zip(net.parameters(), before.parameters(), strict=True)):
        raise NotYet(f"{name} leaves the net as it was. Does it change the net's own weights, or copies of them?")


def _check_drawn(name: str, index: int, conv: nn.Conv2d, other: nn.Conv2d) -> None:
    weight, old = conv.weight.detach(), _convs(_net())[index].weight
    where = f"{name}: the kernel of convolution {index + 1}"
    if torch.equal(weight, old.detach()):
        inside = " It sits in a block inside the net: does the loop reach it?" if index == 1 else ""
        raise NotYet(f"{where} is left as it was.{inside}")
    if weight.std() == 0:
        raise NotYet(
            f"{where} has the same value everywhere: all channels would compute the same thing, and learn the same"
        )
    if torch.equal(weight, other.weight):
        raise NotYet(f"{where} is the same each time: is there a seed set inside the function? That is the caller's")
    if weight.mean().abs() > 5 * weight.std() / weight.numel() ** 0.5:
        raise NotYet(f"{where} has a mean that is not 0: {weight.mean():.4f}")


def _check_spread(name: str, kernels: list[Tensor], convs: list[nn.Conv2d]) -> None:
    """Compare the standard deviations with the right ones, and with those of each known mistake."""
    got = [kernel.std().item() for kernel in kernels]
    laws = _laws()
    if _near(got, [laws["right"][1](conv) for conv in convs]):
        return
    for text, law in list(laws.values())[1:]:
        if _near(got, [law(conv) for conv in convs]):
            raise NotYet(f"{name}: {text}")
    if max(got) < 1.05 * min(got):
        raise NotYet(
            f"{name}: all layers get one and the same spread, {got[0]:.4f}. It should depend on how many values a "
            "layer adds up"
        )
    wrong = [i for i, (g, conv) in enumerate(zip(got, convs, strict=True)) if not _near([g], [laws["right"][1](conv)])]
    which = ", ".join(str(i + 1) for i in wrong)
    raise NotYet(
        f"{name}: the spread of the weights is not He's for convolution {which} of {len(convs)}. Work its variance out "
        "by hand for one layer, and compare it with weight.var()",
        explained=False,
    )


def _laws() -> dict[str, tuple[str, Callable[[nn.Conv2d], float]]]:
    """Return name -> (what to say, standard deviation of a convolution's kernel); the right one first."""

    def std(variance: Callable[[int, int], float]) -> Callable[[nn.Conv2d], float]:
        return lambda conv: variance(*_fans(conv)) ** 0.5

    return {
        "right": ("", std(lambda i, o: 2 / o)),
        "fan_in": (
            "the variance is right for the way forward, which counts what comes into a layer. The recipe of this book "
            "keeps the backward pass, and counts the other side",
            std(lambda i, o: 2 / i),
        ),
        "variance": (
            "the number that is given as standard deviation is the variance: the two differ by a square root",
            lambda conv: 2 / _fans(conv)[1],
        ),
        "no relu": (
            "half of what is needed: the variance is right for layers without ReLU, which lets only a part through",
            std(lambda i, o: 1 / o),
        ),
        "no relu, in": (
            "the variance is right for layers without ReLU, and counts what comes in instead of the other side",
            std(lambda i, o: 1 / i),
        ),
        "glorot": (
            "the variance is the mean law of Glorot and Bengio (Xavier), which does not know of ReLU",
            std(lambda i, o: 2 / (i + o)),
        ),
        "channels": (
            "the channels are counted without the size of the kernel: a value of a 3x3 has nine neighbours in each",
            lambda conv: (2 / conv.out_channels) ** 0.5,
        ),
        "channels in": (
            "the channels that come in are counted, without the size of the kernel",
            lambda conv: (2 / conv.in_channels) ** 0.5,
        ),
        "one side": (
            "one side of the kernel is counted, and it has two",
            lambda conv: (2 / (conv.out_channels * conv.kernel_size[0])) ** 0.5,
        ),
        "pytorch": (
            "the kernels have the spread that PyTorch gives them by itself",
            std(lambda i, o: 1 / (3 * i)),
        ),
        "bound": (
            "a uniform law was given He's standard deviation as its bound; its spread is smaller than its bound",
            std(lambda i, o: 2 / (3 * o)),
        ),
    }


def _near(got: list[float], right: list[float]) -> bool:
    return all(abs(g / r - 1) < TOLERANCE for g, r in zip(got, right, strict=True))


def _check_normal(name: str, convs: list[nn.Conv2d]) -> None:
    """Look at the fourth moment, which is 3 for a normal law and 1.8 for a uniform one, and at the tails."""
    values = torch.cat([(c.weight.detach() / c.weight.detach().std()).flatten() for c in convs]).double()
    fourth = values.pow(4).mean().item()
    if fourth < 2:
        raise NotYet(f"{name}: the spread is right, but the law is uniform, and a normal one is asked for")
    if values.abs().max() < 3.3:
        raise NotYet(f"{name}: the spread is right, but the tails of the law are cut off; a normal law has them")
    if not 2.8 < fourth < 3.2:
        raise NotYet(
            f"{name}: the spread is right, but the law is not normal: its fourth moment is {fourth:.1f}, not 3"
        )


def _check_rest(name: str, net: nn.Module) -> None:
    for conv in _convs(net):
        if conv.bias is not None and conv.bias.detach().any():
            raise NotYet(f"{name}: a convolution has a bias, which is to begin at 0, and does not")
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        if not torch.equal(norm.weight.detach(), torch.ones_like(norm.weight)):
            zero = " (zeros would switch the layer off)" if not norm.weight.detach().any() else ""
            raise NotYet(f"{name}: the scale of a batch norm is to begin at 1, and does not{zero}")
        if norm.bias.detach().any():
            raise NotYet(f"{name}: the shift of a batch norm is to begin at 0, and does not")
    for got, old in zip(_linear(net).parameters(), _linear(_net()).parameters(), strict=True):
        if not torch.equal(got, old):
            raise NotYet(f"{name}: the linear layer is changed, and it was to be left as it is")
