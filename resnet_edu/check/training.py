"""The checker of one training step: `train_step`.

Scope: a learner's function does a few updates of a small net; weights, running statistics and the loss that it returns
are compared with those of the same updates done here, and with what each known mistake would have given.

Source
  [1] PyTorch's documentation, "Optimizing Model Parameters": the order of the calls in a training step.

--- The checker of first weights: `initialise`.

Scope: a learner's function draws the weights of a net; means, spreads and shapes of what it draws are compared with
those of He's law, layer by layer, on a net whose layers tell every fan from every other.

Sources
  [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2: variance 2 / n, and n of the backward pass.
  [2] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.4.

--- The checker of a schedule: `schedule`, the learning rate at each update of the paper's recipe.

Scope: a learner's function of the step; its values are compared with the paper's at all places where they may differ,
and with what each known mistake would give.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: 0.1, divided by 10 at 32k and
      48k iterations, stop at 64k.
  [2] Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2: warm-up, which this recipe has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .compare import tensors
from .verdict import NotYet, ask, checker, name_of

STEPS = 3
_RATE, _MOMENTUM, _DECAY = 0.1, 0.9, 1e-2
Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], object]

_MISTAKES = {
    "no zero": "old gradients are still there when new ones are computed, and both are summed up. Who clears them?",
    "no mode": "the net is not put into training mode: batch normalisation uses its running statistics",
    "late zero": (
        "gradients are cleared at the end of a step, for the next one. Those that the model arrives with are not, and "
        "the first step adds its own to them"
    ),
    "zeroed": "the gradients are cleared between backward pass and update: the update finds zeros",
    "twice": "the update is made twice in a step",
    "sum": "the losses of the images are summed up; their mean is due, or the step grows with the batch",
    "softmax": "a softmax comes before the cross-entropy, which has one inside: the net's logits go into it",
    "squares": "the loss is a mean square error; a classifier has the cross-entropy",
    "new optimizer": (
        "momentum is lost from step to step: is there an optimizer made in each, instead of the one given?"
    ),
    "plain": "the weights go straight down the gradient: use the optimizer that is given, with its own settings",
    "first image": "only a part of the batch is used",
}


@dataclass
class Updates:
    """What is seen of a learner's steps: whether gradients were there at each update, and whether some were left."""

    with_gradients: list[bool] = field(default_factory=list)
    left_behind: bool = False


@checker
def train_step(step: Step) -> str:
    """Check one update of the weights: `train_step(model, optimizer, images, labels)`, which returns the mean loss.

    images: float32 (B, C, H, W); labels: int64 (B,), classes. The loss is the mean cross-entropy of the batch before
    its update (nats), as a number or a tensor of one that holds on to no graph. The model may arrive in evaluation
    mode, and with old gradients.

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    if not callable(step):
        raise TypeError(f"give the function itself, without parentheses after it; got {step!r}")
    name = name_of(step)
    right, losses = _run(_reference(""))
    updates = Updates()
    got, returned = _run(lambda *args: ask(f"{name}(model, optimizer, images, labels)", step, *args), updates)
    values = [_number(name, value) for value in returned]
    if not _equal(got, right):
        _explain(name, got, right, updates)
    if not _near(values, losses):
        _explain_loss(name, values, losses)
    if any(isinstance(value, Tensor) and value.requires_grad for value in returned):
        raise NotYet(
            f"{name}: update and loss are right, but the loss still holds on to its graph: whoever adds such losses up "
            "keeps the graph of every step. Return a number"
        )
    return f"{name}: {STEPS} updates give the right weights, running statistics and losses"


def _model() -> nn.Module:
    """Return a small net with batch norm: the same one each time."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.4, generator=generator)
    return net


def _optimizer(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), _RATE, momentum=_MOMENTUM, weight_decay=_DECAY)


def _run(step: Step, updates: Updates | None = None) -> tuple[dict[str, Tensor], list[object]]:
    """Return a model after some steps, which find it in evaluation mode with old gradients, and what they return."""
    generator = torch.Generator().manual_seed(1)
    net = _model().eval()
    optimizer = _optimizer(net)
    seen = updates or Updates()
    optimizer.register_step_pre_hook(lambda *_: seen.with_gradients.append(_has_gradients(net)))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.05)
    returned = []
    for _ in range(STEPS):
        images = torch.randn(8, 3, 6, 6, generator=generator)
        labels = torch.randint(4, (8,), generator=generator)
        given = images.clone(), labels.clone()
        returned.append(step(net, optimizer, *given))
        if not (torch.equal(given[0], images) and torch.equal(given[1], labels)):
            raise NotYet("images or labels are changed in place: they belong to whoever calls")
        seen.left_behind = _has_gradients(net)
        net.eval()
    return {n: t.detach().clone() for n, t in tensors(net).items()}, returned


def _has_gradients(net: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in net.parameters())


def _reference(mistake: str) -> Step:
    """Return a training step with a mistake, "" for none."""

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
        model.train(mistake != "no mode")
        if mistake == "new optimizer":
            optimizer = _optimizer(model)
        if mistake not in ("no zero", "late zero"):
            optimizer.zero_grad()
        if mistake == "first image":
            images, labels = images[:1].expand_as(images), labels[:1].expand_as(labels)
        loss = _loss(model(images), labels, mistake)
        loss.backward()
        if mistake == "zeroed":
            optimizer.zero_grad(set_to_none=False)
        if mistake == "plain":
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= _RATE * parameter.grad
        elif mistake != "no step":
            optimizer.step()
        if mistake == "twice":
            optimizer.step()
        if mistake == "late zero":
            optimizer.zero_grad()
        return loss.item()

    return step


def _loss(logits: Tensor, labels: Tensor, mistake: str) -> Tensor:
    if mistake == "sum":
        return F.cross_entropy(logits, labels, reduction="sum")
    if mistake == "squares":
        return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).float())
    return F.cross_entropy(logits.softmax(1) if mistake == "softmax" else logits, labels)


def _number(name: str, value: object) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    what = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
    raise NotYet(f"{name} returns {what}; the loss of the batch is due, one number")


def _equal(got: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.allclose(got[n], t, rtol=1e-4, atol=1e-6) for n, t in right.items())


def _near(values: list[float], right: list[object]) -> bool:
    return all(abs(a - b) <= 1e-4 * max(1.0, abs(b)) for a, b in zip(values, right, strict=True))


def _explain(name: str, got: dict[str, Tensor], right: dict[str, Tensor], updates: Updates) -> None:
    learnt = [n for n, _ in _model().named_parameters()]
    if _equal({n: got[n] for n in learnt}, {n: right[n] for n in learnt}):
        raise NotYet(
            f"{name}: the weights are right, but the running statistics of batch normalisation are not. They take in "
            "every forward pass in training mode: how many does a step make?"
        )
    if _equal(got, _run(_reference("no step"))[0]):
        raise NotYet(f"{name}: the weights never change. {_why_no_update(updates)}")
    for mistake, text in _MISTAKES.items():
        if _equal(got, _run(_reference(mistake))[0]):
            raise NotYet(f"{name}: {text}")
    before = {n: t.detach() for n, t in tensors(_model()).items()}
    if _equal(got, before):
        raise NotYet(f"{name} leaves the model as it was. Which model does it train: the one that is given?")
    weights = [n for n, t in _model().named_parameters() if torch.equal(got[n], before[n])]
    if weights:
        raise NotYet(f"{name}: {len(weights)} of the model's weights never change. Is an update made, and of all?")
    raise NotYet(
        f"{name}: after {STEPS} steps the weights are not those of an update by the given optimizer on the mean "
        "cross-entropy. Go through it: mode, old gradients, loss, backward pass, update",
        explained=False,
    )


def _why_no_update(updates: Updates) -> str:
    if not updates.with_gradients:
        return "No update is made: nobody asks the optimizer for one"
    if updates.left_behind:
        return "The update comes before the gradients: when it is made, there are none, and they are computed after it"
    return "Gradients are computed, but cleared before the update, which finds none"


def _explain_loss(name: str, values: list[float], losses: list[object]) -> None:
    for factor, text in ((8, "the sum of the losses"), (1 / 8, "the mean loss divided by the batch size once more")):
        if _near([v / factor for v in values], losses):
            raise NotYet(f"{name}: the update is right, but what is returned is {text}; their mean is due")
    after: list[float] = []

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
        _reference("")(model, optimizer, images, labels)
        with torch.no_grad():
            after.append(F.cross_entropy(model.eval()(images), labels).item())

    _run(step)
    late = "is the loss after the update" if _near(values, after) else "is another number"
    raise NotYet(
        f"{name}: the update is right, but what it returns {late}; due is the mean loss that the update started from"
    )


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
    if _near_value(got, [laws["right"][1](conv) for conv in convs]):
        return
    for text, law in list(laws.values())[1:]:
        if _near_value(got, [law(conv) for conv in convs]):
            raise NotYet(f"{name}: {text}")
    if max(got) < 1.05 * min(got):
        raise NotYet(
            f"{name}: all layers get one and the same spread, {got[0]:.4f}. It should depend on how many values a "
            "layer adds up"
        )
    wrong = [
        i for i, (g, conv) in enumerate(zip(got, convs, strict=True)) if not _near_value([g], [laws["right"][1](conv)])
    ]
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


def _near_value(got: list[float], right: list[float]) -> bool:
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


FIRST, SECOND, END = 32_000, 48_000, 64_000
EPOCH = 391  # updates an epoch: 50,000 images in batches of 128, the last one smaller
SCHEDULE_STEPS = (0, 1, 100, 1000, 20_000, FIRST - 1, FIRST, FIRST + 1, 40_000, SECOND - 1, SECOND, SECOND + 1, END - 1)


def _rate(step: int) -> float:
    return 0.1 if step < FIRST else 0.01 if step < SECOND else 0.001


_SCHEDULE_MISTAKES: list[tuple[Callable[[int], float], str]] = [
    (
        lambda s: 0.1 if s <= FIRST else 0.01 if s <= SECOND else 0.001,
        "both changes come one update late. Counting begins at 0: which update is the first after 32,000?",
    ),
    (
        lambda s: _rate(s + 1),
        "both changes come one update early. Counting begins at 0: how many updates have been done before this one?",
    ),
    (
        lambda s: 0.1 / 2 ** ((s >= FIRST) + (s >= SECOND)),
        "the rate is halved, and it is to be divided by another number",
    ),
    (
        lambda s: 0.1 if s < FIRST else 0.01,
        "only the first change is made, or the second has no effect: is 0.1 divided again, and not what it has become?",
    ),
    (lambda s: 0.1 if s < SECOND else 0.01, "only the second change is made; there is one before it"),
    (
        lambda s: 0.1 if s < FIRST else 0.01 if s < SECOND else 0.01 / 100,
        "the second change divides by too much: what is divided is the rate as it was just before",
    ),
    (lambda s: 0.1, "the rate never changes. Are the steps counted in epochs here? They are updates"),
    (lambda s: 0.1 / 10 ** (s // 16_000), "there is one change too many: the first 32,000 updates have one rate"),
    (lambda s: 0.1 * (1 - s / END), "the rate falls in a straight line, and it is to fall in two stairs"),
    (lambda s: 0.05 * (1 + math.cos(math.pi * s / END)), "the rate follows a cosine, and it is to fall in two stairs"),
    (
        lambda s: 0.1 / 10 ** ((s / EPOCH >= 100) + (s / EPOCH >= 150)),
        "the changes come at 100 and 150 epochs of 391 updates: close, but the recipe counts updates",
    ),
    (
        lambda s: 0.1 / 10 ** ((s >= 30_000) + (s >= 60_000)),
        "the changes come at 30,000 and 60,000; those are others' milestones, or the epochs of ImageNet",
    ),
    (lambda s: 10 * _rate(s), "every rate is ten times too high. Where does the recipe begin?"),
    (lambda s: _rate(s) / 10, "every rate is a tenth of what it should be. Where does the recipe begin?"),
]


@checker
def schedule(lr_at: Callable[[int], object]) -> str:
    """Check `lr_at(step)`, the learning rate of the update that follows `step` updates, in the paper's recipe [1].

    Raises `NotYet` for a wrong answer, `TypeError` for what is no function.
    """
    if not callable(lr_at):
        raise TypeError(f"give the function itself, without parentheses after it; got {lr_at!r}")
    name = name_of(lr_at)
    # Not in their order: a function that remembers the last call would be found out.
    order = [*SCHEDULE_STEPS[::2], *SCHEDULE_STEPS[1::2][::-1]]
    got = {step: _as_rate(name, step, ask(f"{name}({step})", lr_at, step)) for step in order}
    again = {step: _as_rate(name, step, ask(f"{name}({step})", lr_at, step)) for step in SCHEDULE_STEPS}
    if got != again:
        raise NotYet(f"{name} gives another rate when it is asked a second time: it should depend on the step alone")
    if _near_rate(got, _rate):
        return f"{name}: right at {len(SCHEDULE_STEPS)} of 64,000 steps, among them those around both changes"
    for mistake, text in _SCHEDULE_MISTAKES:
        if _near_rate(got, mistake):
            raise NotYet(f"{name}: {text}")
    if got[0] < 0.99 * got[1000] and _near_rate({s: v for s, v in got.items() if s >= 1000}, _rate):
        raise NotYet(f"{name}: the rate starts low and rises. That is a warm-up; this recipe has none below 110 layers")
    wrong = next(step for step in SCHEDULE_STEPS if abs(got[step] / _rate(step) - 1) > 1e-6)
    raise NotYet(
        f"{name}: {sum(abs(got[s] / _rate(s) - 1) > 1e-6 for s in SCHEDULE_STEPS)} of {len(SCHEDULE_STEPS)} steps have "
        f"another rate than in the recipe. The first of them: {name}({wrong}) is {got[wrong]:g}",
        explained=False,
    )


def _as_rate(name: str, step: int, value: object) -> float:
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotYet(f"{name}({step}) returns {value!r}; a learning rate is due, one number")
    if not (math.isfinite(value) and value > 0):
        raise NotYet(f"{name}({step}) returns {value!r}; a learning rate is a number above 0")
    return float(value)


def _near_rate(got: dict[int, float], rate: Callable[[int], float]) -> bool:
    return all(abs(value / rate(step) - 1) < 1e-6 for step, value in got.items()) if all(map(rate, got)) else False
