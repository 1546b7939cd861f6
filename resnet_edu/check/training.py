"""Checkers of the recipe: `train_step`, `evaluation`, `initialise` and `schedule`.

Sources
  [1] PyTorch's documentation, "Optimizing Model Parameters": the order of the calls in a training step.
  [2] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2: variance 2 / n, and n of the backward pass.
  [3] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.4 for first weights, section 4.2
      for the schedule: 0.1, divided by 10 at 32k and 48k iterations, stop at 64k.
"""

import copy
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from .compare import tensors
from .values import as_number, check_number, compare_values
from .verdict import NotYet, call, check_callable, checker, list_text, name_mistake

STEPS = 3
_RATE = 0.1
OPTIMIZER = partial(torch.optim.SGD, lr=_RATE, momentum=0.9, weight_decay=1e-2)
Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], object]

_STEP_MISTAKES = {  # sentence -> mistake of `_step_with`
    "old gradients are still there when new ones are computed, and both are summed up. Who clears them?": "no zero",
    "the net is not put into training mode: batch normalisation uses its running statistics": "no mode",
    "gradients are cleared at the end of a step only. Those that the model arrives with are not": "late zero",
    "the gradients are cleared between backward pass and update: the update finds zeros": "zeroed",
    "the update is made twice in a step": "twice",
    "the losses of the images are summed up: without their mean, the step grows with the batch": "sum",
    "a softmax comes before the cross-entropy, which has one inside: the net's logits go into it": "softmax",
    "the loss is a mean square error; a classifier has the cross-entropy": "squares",
    "momentum is lost from step to step: is an optimizer made in each, instead of the one given?": "new optimizer",
    "the weights go straight down the gradient: use the optimizer that is given, with its own settings": "plain",
}


class _Run(NamedTuple):
    state: dict[str, Tensor]  # parameters and running statistics afterwards
    returned: list[object]  # by each step
    updates: int  # how often the optimizer was asked for one


@checker
def train_step(step: Step) -> str:
    """Check one update of the weights: `train_step(model, optimizer, images, labels)`, which returns the mean loss.

    images: float32 (B, C, H, W); labels: int64 (B,), classes. The loss is the mean cross-entropy of the batch before
    its update (nats), as a number or a tensor of one that holds on to no graph. The model may arrive in evaluation
    mode, and with old gradients.
    """
    name = check_callable(step)
    right = _run_steps(_step_with(""))
    got = _run_steps(lambda *args: call(f"{name}(model, optimizer, images, labels)", step, *args))
    losses = [float(as_number(f"{name}(...)", value)) for value in got.returned]
    if not _equal(got.state, right.state):
        _explain_weights(name, got, right)
    if not np.allclose(losses, right.returned, 1e-4, 1e-4):
        what = f"{name}: the update is right, but what it returns"
        mistakes = {"the sum of the losses, not their mean": 8, "the mean, divided by the batch size once more": 1 / 8}
        name_mistake(what, mistakes, lambda f: np.allclose(losses, np.multiply(right.returned, f), 1e-4, 1e-4))
        raise NotYet(f"{what} is not the mean loss before it")
    if any(isinstance(value, Tensor) and value.requires_grad for value in got.returned):
        raise NotYet(f"{name}: all is right, but the loss holds on to its graph, and so would a sum of losses")
    return f"{name}: {STEPS} updates give the right weights, running statistics and losses"


def _small_net() -> nn.Module:
    """Return a small net with batch norm: the same one each time."""
    generator = torch.Generator().manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.4, generator=generator)
    return net


def _run_steps(step: Step) -> _Run:
    """Return what is left of some steps of a small net. They find it in evaluation mode, with old gradients."""
    generator = torch.Generator().manual_seed(1)
    net = _small_net().eval()
    optimizer = OPTIMIZER(net.parameters())
    updates: list[object] = []
    optimizer.register_step_pre_hook(lambda *_: updates.append(None))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.05)
    returned = []
    for _ in range(STEPS):
        images = torch.randn(8, 3, 6, 6, generator=generator)
        labels = torch.randint(4, (8,), generator=generator)
        given = images.clone(), labels.clone()
        returned.append(step(net.eval(), optimizer, *given))
        if not (torch.equal(given[0], images) and torch.equal(given[1], labels)):
            raise NotYet("images or labels are changed in place: they belong to the caller")
    return _Run(tensors(net), returned, len(updates))


def _step_with(mistake: str) -> Step:
    """Return a training step with a mistake, "" for none."""

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
        model.train(mistake != "no mode")
        if mistake == "new optimizer":
            optimizer = OPTIMIZER(model.parameters())
        if mistake not in ("no zero", "late zero"):
            optimizer.zero_grad()
        logits = model(images)
        if mistake == "squares":
            loss = F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).float())
        else:
            logits = logits.softmax(1) if mistake == "softmax" else logits
            loss = F.cross_entropy(logits, labels, reduction="sum" if mistake == "sum" else "mean")
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


def _equal(got: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.allclose(got[n], t, rtol=1e-4, atol=1e-6) for n, t in right.items())


def _explain_weights(name: str, got: _Run, right: _Run) -> None:
    before = tensors(_small_net())
    learnt = [n for n, t in before.items() if isinstance(t, nn.Parameter)]

    def explains(mistake: str) -> bool:
        return _equal(got.state, _run_steps(_step_with(mistake)).state)

    if _equal(got.state, {n: right.state[n] for n in learnt}):
        raise NotYet(f"{name}: only the running statistics are wrong. How many forward passes does a step make?")
    if explains("no step"):
        why = "The update finds no gradients: are they cleared before it, or computed after it?"
        if not got.updates:
            why = "No update is made: nobody asks the optimizer for one"
        raise NotYet(f"{name}: the weights never change. {why}")
    name_mistake(name, _STEP_MISTAKES, explains)
    if _equal(got.state, before):
        raise NotYet(f"{name} leaves the model as it was. Which model does it train: the one that is given?")
    same = [n for n in learnt if torch.equal(got.state[n], before[n])]
    if same:
        raise NotYet(f"{name}: {len(same)} of the model's weights never change. Is an update made, and of all?")
    hint = "Go through it: mode, old gradients, mean cross-entropy, backward pass, update by the optimizer"
    raise NotYet(f"{name}: after {STEPS} steps the weights are not the right ones. {hint}")


@checker
def evaluation(evaluate: Callable[[nn.Module, Iterable], object]) -> str:
    """Check a test: `evaluate(model, batches)`, which returns the accuracy, or the pair (mean loss, accuracy).

    batches: a DataLoader of images, float32 (B, C, H, W), and labels, int64 (B,); its last batch is smaller. The loss
    is the mean cross-entropy of all images (nats), the accuracy a share of them. The model arrives in training mode;
    its weights and running statistics are to stay. No graph is to outlive its batch: losses are added up as numbers,
    or under `no_grad`.
    """
    name = check_callable(evaluate)
    net, images, labels = _net_to_evaluate()
    before = {n: t.detach().clone() for n, t in tensors(net).items()}
    batches = DataLoader(TensorDataset(images.clone(), labels.clone()), batch_size=8)
    with _held_graphs(net) as held:
        value = call(f"{name}(model, batches)", evaluate, net, batches)
    changed = [t for n, t in tensors(net).items() if not torch.equal(t, before[n])]
    trained = [t for t in changed if isinstance(t, nn.Parameter)]
    if trained:
        raise NotYet(f"{name} changes {len(trained)} of the model's weights: is there an optimizer's step in it?")
    if any(p.grad is not None for p in net.parameters()):
        raise NotYet(f"{name} leaves gradients behind: a test needs no backward pass")
    if changed:
        hint = "The model was in training mode: each answer depends on its batch, and test images leave a trace"
        raise NotYet(f"{name}: {len(changed)} running statistics of batch normalisation move. {hint}")
    loss, accuracy = value if isinstance(value, (tuple, list)) and len(value) == 2 else (None, value)
    right = _scores(net.eval(), images, labels)
    _check_score(name, "accuracy", accuracy, right, net, images, labels)
    if loss is not None:
        _check_score(name, "loss", loss, right, net, images, labels)
    if held:
        raise NotYet(f"{name}: all is right, but it holds on to the graphs of all batches, which fills the memory")
    return f"{name}: all {len(images)} images count alike, and the model stays as it was"


@contextmanager
def _held_graphs(net: nn.Module) -> Iterator[list[bool]]:
    """Collect a True for each forward pass of `net` that begins while the graphs of two earlier ones are alive."""
    graphs: list[list[weakref.ref[Tensor]]] = [[]]  # of each pass, what its graph has saved
    held: list[bool] = []

    def begin(*_: object) -> None:
        if sum(any(saved() is not None for saved in graph) for graph in graphs) > 1:
            held.append(True)
        graphs.append([])

    def save(tensor: Tensor) -> Tensor:
        graphs[-1].append(weakref.ref(same := tensor.detach()))
        return same  # the graph holds it, and nobody else

    handle = net.register_forward_pre_hook(begin)
    try:
        with torch.autograd.graph.saved_tensors_hooks(save, lambda same: same):
            yield held
    finally:
        handle.remove()


def _net_to_evaluate() -> tuple[nn.Module, Tensor, Tensor]:
    """Return a net in training mode, with running statistics that are not its data's, and 20 images with labels."""
    generator = torch.Generator().manual_seed(5)
    net = _small_net()
    net[1].running_mean.normal_(generator=generator)
    with torch.no_grad():  # answers that differ from image to image, and with the mode
        net[-1].weight.mul_(8), net[-1].bias.zero_()
    images = torch.randn(20, 3, 6, 6, generator=generator) + 2 * torch.randn(20, 3, 1, 1, generator=generator)
    labels = net.eval()(images).argmax(1)
    labels[[0, 3, 5, 9, 12, 16, 17]] += 1  # seven wrong answers, most of them in the last batches
    return net.train(), images, labels % 4


@torch.no_grad()
def _scores(net: nn.Module, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Return sums over each batch: of right answers ("accuracy") and of losses ("loss")."""
    found: dict[str, list[float]] = {"accuracy": [], "loss": []}
    for x, y in zip(images.split(8), labels.split(8), strict=True):
        logits = net(x)
        found["accuracy"].append((logits.argmax(1) == y).sum().item())
        found["loss"].append(F.cross_entropy(logits, y, reduction="sum").item())
    return found


def _check_score(
    name: str, what: str, given: object, scores: dict[str, list[float]], net: nn.Module, x: Tensor, y: Tensor
) -> None:
    sums, sizes = scores[what], (8, 8, 4)
    right = sum(sums) / 20
    in_training = _scores(copy.deepcopy(net).train(), x, y)[what]
    means = [part / size for part, size in zip(sums, sizes, strict=True)]
    other = "the error" if what == "accuracy" else "the accuracy; the loss comes first"
    slips = {
        sum(means) / 3: "the mean of the batches' means: images of the smaller last batch count more than others",
        sum(sums) / 24: "divided by batches times batch size, and the last batch is smaller",
        sum(sums[:2]) / 16: "without the last, smaller batch: the test is of all images",
        means[-1]: "of the last batch alone",
        sum(in_training) / 20: "in training mode: batch normalisation uses each batch's own statistics",
        sum(means): "the batches' means are summed up, and not divided",
        sum(sums): "the sum over all images; divide by their number",
        (1 - right if what == "accuracy" else sum(scores["accuracy"]) / 20): f"that is {other}",
    }
    check_number(f"the {what} of {name}", given, right, slips)


TOLERANCE = 0.04  # of a standard deviation; that of the smallest layer here scatters by 0.6%

Law = Callable[[float, float, float], float]  # fan_in, fan_out and the kernel's number of taps -> variance
_OTHER_LAWS: dict[str, Law] = {
    "the variance keeps the signal on the way forward; the recipe keeps it on the way back": lambda i, o, t: 2 / i,
    "the number given as standard deviation is the variance: they differ by a square root": lambda i, o, t: 4 / o**2,
    "half of what is needed: the variance is right for layers without ReLU": lambda i, o, t: 1 / o,
    "the variance is right for layers without ReLU, and counts what comes in": lambda i, o, t: 1 / i,
    "the variance is that of Glorot and Bengio (Xavier), who do not count on ReLU": lambda i, o, t: 2 / (i + o),
    "the channels are counted without the size of the kernel": lambda i, o, t: 2 * t / o,
    "the channels that come in are counted, without the size of the kernel": lambda i, o, t: 2 * t / i,
    "one side of the kernel is counted, and it has two": lambda i, o, t: 2 * t**0.5 / o,
    "the kernels have the spread that PyTorch gives them by itself": lambda i, o, t: 1 / (3 * i),
    "a uniform distribution has He's deviation as its bound; its spread is smaller": lambda i, o, t: 2 / (3 * o),
}


@checker
def initialise(function: Callable[[nn.Module], object]) -> str:
    """Check `initialise(net)`, which draws first weights in place.

    Every convolution's kernel comes from a normal distribution of mean 0 and He's variance 2 / fan_out ([2], [3]), and
    its bias, if it has one, is 0; batch norms at scale 1 and shift 0; linear layers are left as they are.
    """
    name = check_callable(function)
    before = _net_to_initialise()
    nets = [_net_to_initialise(), _net_to_initialise()]
    for seed, net in enumerate(nets, start=1):
        torch.default_generator.manual_seed(seed)
        call(f"{name}(net)", function, net)
    own, old = (dict(net.named_parameters()) for net in (nets[0], before))
    if {n: p.shape for n, p in own.items()} != {n: p.shape for n, p in old.items()}:
        raise NotYet(f"{name}: the net has other parameters than before; fill values in, in place")
    if not all(p.requires_grad for p in own.values()):
        raise NotYet(f"{name}: some parameters can no longer be trained: their requires_grad is False")
    if not all(p.isfinite().all() for p in own.values()):
        raise NotYet(f"{name}: some weights are no finite numbers")
    if all(torch.equal(p, old[n]) for n, p in own.items()):
        raise NotYet(f"{name} leaves the net as it was. Does it change the net's own weights, or copies of them?")
    for number, (new, other, old) in enumerate(zip(*map(_kernels, (*nets, before)), strict=True), start=1):
        _check_drawn(f"{name}: the kernel of convolution {number}", new, other, old)
    _check_spread(name, _kernels(nets[0]))
    _check_normal(name, _kernels(nets[0]))
    for kind, attribute, start, what in (
        (nn.BatchNorm2d, "weight", 1, "scale of a batch norm"),
        (nn.Conv2d, "bias", 0, "bias of a convolution"),
        (nn.BatchNorm2d, "bias", 0, "shift of a batch norm"),
    ):
        values = [getattr(m, attribute) for m in nets[0].modules() if isinstance(m, kind)]
        if any((value != start).any() for value in values if value is not None):
            raise NotYet(f"{name}: the {what} should begin at {start}, and does not")
    if not all(map(torch.equal, nets[0][-1].parameters(), before[-1].parameters())):
        raise NotYet(f"{name}: the linear layer is changed, and it should be left as it is")
    return f"{name}: every kernel has He's variance for its own layer, and the rest is as it should be"


def _net_to_initialise() -> nn.Sequential:
    """Return a net with weights that no start would give. Kernel sizes, channels and strides all differ."""
    net = nn.Sequential(
        *(nn.Conv2d(16, 192, 3, bias=False), nn.BatchNorm2d(192), nn.ReLU()),
        nn.Sequential(nn.Conv2d(192, 64, 5, stride=2), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 640, 1, bias=False), nn.BatchNorm2d(640)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(640, 50)),
    )
    with torch.no_grad():
        for place, parameter in enumerate(net.parameters()):
            parameter.fill_(0.3 + 0.01 * place)
    return net


def _kernels(net: nn.Module) -> list[Tensor]:
    return [m.weight.detach() for m in net.modules() if isinstance(m, nn.Conv2d)]


def _check_drawn(what: str, new: Tensor, other: Tensor, old: Tensor) -> None:
    """Raise `NotYet` if a kernel is not drawn at random around 0. `other` is drawn with another seed."""
    if torch.equal(new, old):
        raise NotYet(f"{what} is left as it was. Does the loop reach blocks inside the net, too?")
    if new.std() == 0:
        raise NotYet(f"{what} has the same value everywhere: all channels would compute, and learn, the same")
    if torch.equal(new, other):
        raise NotYet(f"{what} is the same each time: is a seed set inside the function? That is the caller's")
    if new.mean().abs() > 5 * new.std() / new.numel() ** 0.5:
        raise NotYet(f"{what} has a mean that is not 0: {new.mean():.4f}")


def _check_spread(name: str, kernels: list[Tensor]) -> None:
    """Compare the standard deviations with the right ones, and with those of each known mistake."""
    got = [kernel.std().item() for kernel in kernels]
    fans = [(k[0].numel(), k[:, 0].numel(), k[0, 0].numel()) for k in kernels]

    def wrong(law: Law) -> list[int]:
        due = [law(*fan) ** 0.5 for fan in fans]
        return [i + 1 for i in range(len(got)) if not math.isclose(got[i], due[i], rel_tol=TOLERANCE)]

    others = wrong(lambda fan_in, fan_out, taps: 2 / fan_out)
    if not others:
        return
    name_mistake(name, _OTHER_LAWS, lambda law: not wrong(law))
    if max(got) < 1.05 * min(got):
        raise NotYet(f"{name}: all layers get one and the same spread, {got[0]:.4f}. What does a layer's depend on?")
    hint = "Compare weight.var() with what you work out by hand"
    raise NotYet(f"{name}: the spread is not He's for convolution {list_text(others)} of {len(got)}. {hint}")


def _check_normal(name: str, kernels: list[Tensor]) -> None:
    """Look at the fourth moment, which is 3 for a normal distribution and 1.8 for a uniform one, and at the tails."""
    values = torch.cat([(kernel / kernel.std()).flatten() for kernel in kernels]).double()
    fourth = values.pow(4).mean().item()
    name = f"{name}: the spread is right, but"
    if fourth < 2:
        raise NotYet(f"{name} the distribution is uniform, and a normal one is asked for")
    if values.abs().max() < 3.3:
        raise NotYet(f"{name} the tails of the distribution are cut off; a normal one has them")
    if not 2.8 < fourth < 3.2:
        raise NotYet(f"{name} the distribution is not normal: its fourth moment is {fourth:.1f}, not 3")


FIRST, SECOND, END = 32_000, 48_000, 64_000
EPOCH = 391  # updates an epoch: 50,000 images in batches of 128, the last one smaller
SCHEDULE_STEPS = (
    *(0, 1, 100, 1000, 20_000, FIRST - 2, FIRST - 1, FIRST, FIRST + 1, 35_000, 40_000),
    *(SECOND - 2, SECOND - 1, SECOND, SECOND + 1, 55_000, END - 1),
)
Rate = Callable[[int], float]


def _rate(step: int, *changes: int, factor: int = 10) -> float:
    """Return 0.1, divided by `factor` at each of the steps `changes`: those of the recipe if none is given."""
    return 0.1 / factor ** sum(step >= change for change in changes or (FIRST, SECOND))


_SCHEDULE_MISTAKES: dict[str, Rate] = {
    "both changes come one update late. Steps count from 0: which is the first after 32,000?": lambda s: _rate(s - 1),
    "both changes come one update early. Steps count from 0: how many were done before?": lambda s: _rate(s + 1),
    "the rate is halved, and it should be divided by another number": lambda s: _rate(s, factor=2),
    "only the first change is made, or the second has no effect: is 0.1 divided again?": lambda s: _rate(s, FIRST),
    "only the second change is made; there is one before it": lambda s: _rate(s, SECOND),
    "the second change divides by too much; divide the rate before it": lambda s: _rate(s, FIRST, SECOND, SECOND),
    "the rate never changes. Are the steps counted in epochs here? They are updates": lambda s: 0.1,
    "there is one change too many: the first 32,000 updates have one rate": lambda s: _rate(s, 16_000, FIRST, SECOND),
    "the rate falls in a straight line, and it should fall in two stairs": lambda s: 0.1 * (1 - s / END),
    "the rate follows a cosine, and it should fall in two stairs": lambda s: 0.05 * (1 + math.cos(math.pi * s / END)),
    "the changes come at 100 and 150 epochs; the recipe counts updates": lambda s: _rate(s, 100 * EPOCH, 150 * EPOCH),
    "the changes come at 82 and 123 whole epochs, some updates late": lambda s: _rate(s, 82 * EPOCH, 123 * EPOCH),
    "the changes come at 81 and 122 whole epochs, some updates early": lambda s: _rate(s, 81 * EPOCH, 122 * EPOCH),
    "the changes come after 82 and 123 updates. These are epochs; a step is an update": lambda s: _rate(s, 82, 123),
    "the changes come at 30,000 and 60,000, the epochs of ImageNet or others'": lambda s: _rate(s, 30_000, 60_000),
    "every rate is ten times too high. Where does the recipe begin?": lambda s: 10 * _rate(s),
    "every rate is a tenth of what it should be. Where does the recipe begin?": lambda s: _rate(s) / 10,
}


@checker
def schedule(lr_at: Callable[[int], object]) -> str:
    """Check `lr_at(step)`, the learning rate of the update that follows `step` updates, in the paper's recipe [3]."""
    name = check_callable(lr_at)

    def rates(steps: tuple[int, ...]) -> dict[int, float]:
        found = {step: as_number(f"{name}({step})", call(f"{name}({step})", lr_at, step)) for step in steps}
        for step, rate in found.items():
            if not (math.isfinite(rate) and rate > 0):
                raise NotYet(f"{name}({step}) returns {rate!r}; a learning rate is a number above 0")
        return found

    # Not in their order: a function that remembers the last call would be found out.
    found = rates((*SCHEDULE_STEPS[::2], *SCHEDULE_STEPS[1::2][::-1]))
    if found != rates(SCHEDULE_STEPS):
        raise NotYet(f"{name} gives another rate when it is asked a second time: it should depend on the step alone")
    got, right = [found[step] for step in SCHEDULE_STEPS], [_rate(step) for step in SCHEDULE_STEPS]
    if found[0] < 0.99 * found[1000] and np.allclose(got[3:], right[3:], 1e-6, 0):
        raise NotYet(f"{name}: the rate starts low and rises (warm-up); this recipe has none below 110 layers")
    mistakes = {sentence: [rate(step) for step in SCHEDULE_STEPS] for sentence, rate in _SCHEDULE_MISTAKES.items()}
    compare_values(name, SCHEDULE_STEPS, got, right, mistakes, within=1e-6)
    return f"{name}: right at {len(got)} of 64,000 steps, among them those around both changes"
