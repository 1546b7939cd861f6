"""The checker of one training step: `train_step`.

Scope: a learner's function does a few updates of a small net; weights, running statistics and the loss that it returns
are compared with those of the same updates done here, and with what each known mistake would have given.

Source
  [1] PyTorch's documentation, "Optimizing Model Parameters": the order of the calls in a training step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .check_match import tensors
from .check_tools import NotYet, ask, checker, name_of

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
