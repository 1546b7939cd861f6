"""Checkers of the recipe: a training step, first weights, and the learning rate. Each slip is named."""

import bisect
import math
import re

import pytest
import torch
import torch.nn.functional as F
from refusal import refusal
from torch import nn

from resnet_edu import check
from resnet_edu.nets.models import cifar_net
from resnet_edu.training.recipe import Recipe

# ---------------------------------------------------------------- a training step


def usual(model, optimizer, images, labels):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def tensor_returned(model, optimizer, images, labels):
    for module in model.modules():
        module.train()
    loss = nn.CrossEntropyLoss()(model(images), labels)
    for p in model.parameters():
        p.grad = None
    loss.backward()
    optimizer.step()
    return loss.detach()


def by_log_softmax(model, optimizer, images, labels):
    def closure():
        model.train().zero_grad()
        loss = F.nll_loss(F.log_softmax(model(images), 1), labels)
        loss.backward()
        return loss

    return float(optimizer.step(closure))


def cleared_late(model, optimizer, images, labels):
    """Clears the gradients right before the backward pass, and once more at the end."""
    loss = F.cross_entropy(model.train()(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@pytest.mark.parametrize("step", [usual, tensor_returned, by_log_softmax, cleared_late])
def test_right_steps(step, capsys):
    check.train_step(step)
    assert capsys.readouterr().out.startswith(f"✓ {step.__name__}")


def step_of(body):
    """Compile a training step from the lines of its body."""
    lines = "\n".join(f"    {line}" for line in body.split("; "))
    space = {"F": F, "torch": torch, "nn": nn}
    exec(f"def my_step(model, optimizer, images, labels):\n{lines}", space)
    return space["my_step"]


START, LOSS = "model.train(); optimizer.zero_grad()", "loss = F.cross_entropy(model(images), labels)"
UPDATE, VALUE = "loss.backward(); optimizer.step()", "return loss.item()"
END = f"{UPDATE}; {VALUE}"
WRONG_STEP = {
    f"model.train(); {LOSS}; {END}": "Who clears them?",
    f"optimizer.zero_grad(); {LOSS}; {END}": "training mode",
    f"model.eval(); optimizer.zero_grad(); {LOSS}; {END}": "training mode",
    f"model.train(); {LOSS}; loss.backward(); optimizer.zero_grad(); optimizer.step(); {VALUE}": "cleared before",
    f"{START}; {LOSS}; loss.backward(); optimizer.zero_grad(False); optimizer.step(); {VALUE}": "finds zeros",
    f"model.train(); {LOSS}; {UPDATE}; optimizer.zero_grad(); {VALUE}": "Those that the model arrives with are not",
    f"{START}; {LOSS}; loss.backward(); {VALUE}": "never change. No update is made",
    f"{START}; {LOSS}; optimizer.step(); loss.backward(); {VALUE}": "or computed after it",
    f"{START}; {LOSS}; {UPDATE}; {LOSS}; {VALUE}": "only the running statistics are wrong",
    f"{START}; model(images); {LOSS}; {END}": "How many forward passes does a step make?",
    f"{START}; {LOSS}; {UPDATE}; optimizer.step(); {VALUE}": "update is made twice",
    f"model.train(); {LOSS}; optimizer.step(); loss.backward(); {VALUE}": "raised RuntimeError",
    f"{START}; loss = F.cross_entropy(model(images), labels, reduction='sum'); {END}": "summed up",
    f"{START}; loss = F.cross_entropy(model(images).softmax(1), labels); {END}": "softmax comes before",
    f"{START}; loss = F.mse_loss(model(images), F.one_hot(labels, 4).float()); {END}": "mean square error",
    f"optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=0.01); {START}; {LOSS}; {END}": "momentum",
    f"optimizer = torch.optim.SGD(model.parameters(), 0.1); {START}; {LOSS}; {END}": "straight down the gradient",
    f"{START}; {LOSS}; {UPDATE}": "is None, and a number is expected",
    f"{START}; {LOSS}; {UPDATE}; return loss": "holds on to its graph",
    f"{START}; {LOSS}; {UPDATE}; return model(images)": "is of shape (8, 4), and a number is expected",
    f"{START}; {LOSS}; {UPDATE}; return loss.item() / len(images)": "batch size once more",
    f"{START}; {LOSS}; {UPDATE}; return loss.item() * len(images)": "sum of the losses",
    f"{START}; {LOSS}; {UPDATE}; model.eval(); return F.cross_entropy(model(images), labels)": "not the mean loss",
    f"{START}; {LOSS}; {UPDATE}; return 0.5": "is not the mean loss before it",
    "return 0.0": "leaves the model as it was",
    f"{START}; images -= images.mean(); {LOSS}; {END}": "changed in place",
    f"{START}; loss = F.cross_entropy(model(images), labels, label_smoothing=0.3); {END}": "Go through it",
    f"{START}; {LOSS}; loss.item().backward()": "AttributeError",
    f"{START}; model[5].weight.requires_grad_(False); {LOSS}; {END}": "1 of the model's weights never change",
}


@pytest.mark.parametrize("body", WRONG_STEP)
def test_wrong_steps_are_named(body):
    message = refusal(check.train_step, step_of(body))
    assert WRONG_STEP[body] in message
    assert "optimizer.step()" not in message.partition("\n")[0]
    assert "zero_grad(" not in message.partition("\n")[0]


def test_another_model_is_noticed():
    mine = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))

    def step(model, optimizer, images, labels):
        return usual(mine, torch.optim.SGD(mine.parameters(), 0.1), images, labels)

    assert "the one that is given" in refusal(check.train_step, step)


# ---------------------------------------------------------------- first weights


def by_torch(net):
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def by_hand(net):
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            out, _, height, width = module.weight.shape
            module.weight.copy_(torch.randn(module.weight.shape) * math.sqrt(2 / (out * height * width)))
            if module.bias is not None:
                module.bias.fill_(0)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = torch.ones_like(module.weight)
            module.bias.data.zero_()
    return net


def drawing(law, *, into=lambda net: net.modules(), rest=True):
    """An answer that draws each kernel by `law(weight, fan_in, fan_out)` and does the rest right."""

    @torch.no_grad()
    def initialise(net):
        if rest:
            by_torch(net)
        for module in into(net):
            if isinstance(module, nn.Conv2d):
                taps = module.kernel_size[0] * module.kernel_size[1]
                law(module.weight, module.in_channels * taps, module.out_channels * taps)

    return initialise


def normal(std):
    return drawing(lambda w, i, o: w.normal_(0, std(w, i, o)))


def but(change):
    """The right answer, and then a change of the net."""

    @torch.no_grad()
    def initialise(net):
        by_torch(net)
        change(net)

    return initialise


def each(kind, change):
    return but(lambda net: [change(m) for m in net.modules() if isinstance(m, kind)])


def twice_the_same(net):
    torch.manual_seed(0)
    by_torch(net)


WRONG_WEIGHTS = {
    normal(lambda w, i, o: (2 / i) ** 0.5): "on the way forward",
    normal(lambda w, i, o: 2 / o): "differ by a square root",
    normal(lambda w, i, o: (1 / o) ** 0.5): "half of what is needed",
    normal(lambda w, i, o: (1 / i) ** 0.5): "layers without ReLU, and counts what comes in",
    normal(lambda w, i, o: (2 / (i + o)) ** 0.5): "Glorot",
    drawing(lambda w, i, o: nn.init.xavier_uniform_(w)): "Glorot",
    normal(lambda w, i, o: (2 / w.shape[0]) ** 0.5): "without the size of the kernel",
    normal(lambda w, i, o: (2 / w.shape[1]) ** 0.5): "channels that come in",
    normal(lambda w, i, o: (2 / (w.shape[0] * w.shape[2])) ** 0.5): "one side of the kernel",
    drawing(lambda w, i, o: nn.init.kaiming_uniform_(w, a=5**0.5)): "by itself",
    drawing(lambda w, i, o: w.uniform_(-((2 / o) ** 0.5), (2 / o) ** 0.5)): "as its bound",
    drawing(lambda w, i, o: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu")): "is uniform, and",
    drawing(lambda w, i, o: nn.init.trunc_normal_(w, 0, (2 / o) ** 0.5 / 0.87962, a=-3, b=3)): "not He's",
    drawing(lambda w, i, o: w.copy_(torch.randn_like(w).clamp(-2, 2) / 0.9595 * (2 / o) ** 0.5)): "tails",
    drawing(lambda w, i, o: w.copy_(torch.randn_like(w).pow(3) / 15**0.5 * (2 / o) ** 0.5)): "fourth moment",
    normal(lambda w, i, o: 0.01): "one and the same spread, 0.0100",
    normal(lambda w, i, o: (3 / o) ** 0.5): "not He's for convolution 1, 2 and 3 of 3",
    normal(lambda w, i, o: (2 / o) ** 0.5 if w.shape[2] > 1 else 0.5): "not He's for convolution 3 of 3",
    drawing(lambda w, i, o: w.fill_((2 / o) ** 0.5)): "the same value everywhere",
    drawing(lambda w, i, o: w.add_(0.02)): "a mean that is not 0",
    drawing(lambda w, i, o: w.abs_()): "a mean that is not 0",
    drawing(lambda w, i, o: w.copy_(torch.linspace(-1, 1, w.numel()).reshape(w.shape))): "the same each time",
    twice_the_same: "the same each time",
    drawing(
        lambda w, i, o: w.normal_(0, (2 / o) ** 0.5), into=lambda net: net.children(), rest=False
    ): "convolution 2 is left as it was. Does the loop reach blocks",
    lambda net: None: "leaves the net as it was",
    lambda net: by_torch(cifar_net(8)): "leaves the net as it was",
    drawing(lambda w, i, o: w.normal_(0, (2 / o) ** 0.5), rest=False): "scale of a batch norm",
    each(nn.Conv2d, lambda m: m.bias is not None and m.bias.normal_()): "bias of a convolution",
    each(nn.BatchNorm2d, lambda m: m.weight.zero_()): "scale of a batch norm",
    each(nn.BatchNorm2d, lambda m: m.weight.normal_()): "scale of a batch norm",
    each(nn.BatchNorm2d, lambda m: m.bias.fill_(0.1)): "shift of a batch norm",
    each(nn.Linear, lambda m: m.weight.normal_(0, 0.01)): "linear layer is changed",
    each(nn.Conv2d, lambda m: m.weight.fill_(math.nan)): "no finite numbers",
    each(nn.Conv2d, lambda m: m.weight.requires_grad_(False)): "can no longer be trained",
    each(
        nn.Conv2d, lambda m: setattr(m, "weight", nn.Parameter(m.weight[:, :1].clone()))
    ): "other parameters than before",
    lambda net: nn.init.kaiming_normal_(net.weight): "raised AttributeError",
}


@pytest.mark.parametrize("right", [by_torch, by_hand])
def test_right_first_weights(right, capsys):
    state = torch.get_rng_state()
    check.initialise(right)
    assert capsys.readouterr().out.startswith(f"✓ {right.__name__}")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("wrong", WRONG_WEIGHTS, ids=range(len(WRONG_WEIGHTS)))
def test_wrong_first_weights_are_named(wrong):
    message = refusal(check.initialise, wrong)
    assert WRONG_WEIGHTS[wrong] in message
    assert not re.search(r"fan_out|kaiming|2 / ", message.partition("raised")[0]), "the message gives the answer away"


def test_what_is_no_function():
    for checker in (check.initialise, check.schedule):
        with pytest.raises(TypeError, match="function itself"):
            checker(0.1)


# ---------------------------------------------------------------- learning rate


def by_torchs_scheduler():
    """The rates that torch's own scheduler gives, one after the other, looked up."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [32_000, 48_000])
    rates = []
    for _ in range(64_000):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.fixture(scope="module")
def rates():
    return by_torchs_scheduler()


def test_right_schedules(rates, capsys):
    check.schedule(rates.__getitem__)
    check.schedule(Recipe.paper().lr_at)
    check.schedule(lambda step: torch.tensor(0.1, dtype=torch.float64) / 10 ** ((step >= 32_000) + (step >= 48_000)))
    assert capsys.readouterr().out.count("✓") == 3


def stairs(milestones, start=0.1, factor=10.0, find=bisect.bisect_right):
    return lambda step: start / factor ** find(milestones, step)


def remembers():
    state = {"lr": 0.1}

    def lr_at(step):
        if step >= 32_000:
            state["lr"] /= 10
        return state["lr"]

    return lr_at


PAPER = (32_000, 48_000)
WRONG_RATES = {
    stairs(PAPER, find=bisect.bisect_left): "one update late",
    (lambda step: stairs(PAPER)(step + 1)): "one update early",
    stairs(PAPER, factor=2): "halved",
    stairs((32_000,)): "only the first change",
    stairs((48_000,)): "only the second change",
    (lambda s: 0.1 if s < 32_000 else 0.01 if s < 48_000 else 0.0001): "divides by too much",
    stairs((82, 123)): "82 and 123 updates. These are epochs",
    stairs((82 * 391, 123 * 391)): "82 and 123 whole epochs, some updates late",
    stairs((81 * 391, 122 * 391)): "81 and 122 whole epochs, some updates early",
    (lambda s: 0.1): "never changes",
    stairs((32_000, 64_000)): "only the first change",
    stairs((16_000, 32_000, 48_000)): "one change too many",
    (lambda s: 0.1 * (1 - s / 64_000)): "straight line",
    (lambda s: 0.05 * (1 + math.cos(math.pi * s / 64_000))): "cosine",
    stairs((39_100, 58_650)): "100 and 150 epochs",
    stairs((30_000, 60_000)): "30,000 and 60,000",
    stairs(PAPER, start=1.0): "ten times too high",
    stairs(PAPER, start=0.01): "a tenth",
    (lambda s: stairs(PAPER)(s) * min(1, (s + 1) / 500)): "warm-up",
    (lambda s: 0.01 if s < 400 else stairs(PAPER)(s)): "warm-up",
    remembers(): "asked a second time",
    stairs(PAPER, start=0.2): "17 of 17 are wrong",
    stairs((32_000, 50_000)): "2 of 17 are wrong. The first is 48000: 0.01 is too large",
    (lambda s: "0.1"): "is '0.1', and a number is expected",
    (lambda s: None): "is None, and a number is expected",
    (lambda s: 0.0): "above 0",
    (lambda s: math.nan): "above 0",
    (lambda s: 0.1 / 0): "raised ZeroDivisionError",
}


@pytest.mark.parametrize("wrong", WRONG_RATES, ids=range(len(WRONG_RATES)))
def test_wrong_schedules_are_named(wrong):
    assert WRONG_RATES[wrong] in refusal(check.schedule, wrong)
