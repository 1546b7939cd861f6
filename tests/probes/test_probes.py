"""Probes against hand-computed nets, autograd and straightforward code; and the promise to leave the net alone."""

import copy
import importlib
import math
import random

import pytest
import torch
import torch.nn.functional as F
from model_state import state, surroundings
from torch import nn

from resnet_edu import probes
from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.experiment.degradation import build_net
from resnet_edu.nets import models
from resnet_edu.training.loop import evaluate, train
from resnet_edu.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")
gradients_module = importlib.import_module("resnet_edu.probes.gradients")
identity_module = importlib.import_module("resnet_edu.probes.identity")  # in the room's face it is the function


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").head(300, 100)


def shades(*values: int, labels: tuple[int, ...], side: int = 1) -> Dataset:
    """Images of one shade each, 0..255, the same ones to train and to test on; two classes."""
    images = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side).contiguous()
    return Dataset("shades", images, torch.tensor(labels), images, torch.tensor(labels), ("dark", "bright"))


def lived_in(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms statistics, scales and shifts as training leaves them, so that none is trivial."""
    generator = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.3, generator=generator)
            m.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(m.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(m.bias, 0, 0.2, generator=generator)
    return net.eval()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


LABELS = torch.tensor([0, 1, 2, 3])


def answer(record: probes.ProbeRecord, *ignored: str) -> dict:
    return {k: v for k, v in record.to_dict().items() if k not in ("seconds", "date", *ignored)}


def subject_of(name: str, digits: Dataset, seed: int = 0, **options) -> probes.Subject:
    """A fresh net, as the question's subject."""
    return probes.Subject(name, build_net(name, digits, seed, **options), digits, seed=seed)


# What every probe promises.

PROBES = {  # name: (the probe, the call of the net at which it is made to fail)
    "gradients": (lambda s: probes.gradients(s, (0, 2), recipe=Recipe(2, 32), images=32), 5),
    "responses": (lambda s: probes.responses(s), 2),
    "lesions": (lambda s: probes.lesions(s, swaps=(1,), trials=1), 4),
    "slice": (lambda s: probes.loss_landscape(s, points=3, images=50), 4),
    "identity": (lambda s: probes.identity(s, (1,), images=50), 4),
}


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("name", PROBES)
def test_the_net_is_left_exactly_as_it_was(digits, name, fail):
    probe, at = PROBES[name]
    net = build_net("resnet14", digits, 0)
    net(torch.randn(4, 1, 8, 8)).sum().backward()  # gradients that belong to the caller
    net.train().layer2.eval()
    net.layer1.requires_grad_(False)
    calls = []

    def hook(module, inputs, output):
        calls.append(len(inputs[0]))
        if fail and len(calls) == at:
            raise RuntimeError("on purpose")

    net.register_forward_hook(hook)
    values = copy.deepcopy(net.state_dict())
    grads = {n: None if p.grad is None else (id(p.grad), p.grad.clone()) for n, p in net.named_parameters()}
    before, outside = state(net), surroundings()
    subject = probes.Subject("resnet14", net, digits)
    if fail:
        with pytest.raises(RuntimeError, match="on purpose"):
            probe(subject)
        assert len(calls) == at
    else:
        probe(subject)
        assert len(calls) >= at
    assert state(net) == before
    assert surroundings() == outside
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in values.items())
    for n, p in net.named_parameters():
        if grads[n] is None:
            assert p.grad is None
        else:
            assert id(p.grad) == grads[n][0]
            assert torch.equal(p.grad, grads[n][1])


def test_what_makes_nets_of_its_own_leaves_the_surroundings_alone(digits):
    net = models.cifar_net(8, in_channels=1)
    values, before, outside = copy.deepcopy(net.state_dict()), state(net), surroundings()
    probes.insert_identities(net, 1)
    probes.gradient_norms(nn.Sequential(nn.Dropout(), net), torch.randn(4, 1, 8, 8, generator=_generator()), LABELS)
    assert surroundings() == outside
    assert state(net) == before
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in values.items())


@pytest.mark.parametrize("name", PROBES)
def test_the_same_question_gets_the_same_answer(digits, name):
    subject = probes.Subject("resnet14", build_net("resnet14", digits, 0), digits, "seed 0, untrained", seed=3)
    a, b = (answer(PROBES[name][0](subject)) for _ in range(2))
    assert a == b
    assert a["net"] == "resnet14"
    assert a["weights"] == "seed 0, untrained"
    assert a["parameters"] == sum(p.numel() for p in subject.net.parameters())
    assert a["dataset"]["fingerprint"] == digits.fingerprint
    assert a["seed"] == 3


def test_in_small_batches_the_answer_is_the_same(digits, monkeypatch):
    few = digits.head(40, 16)
    subject = probes.Subject("resnet14", lived_in(build_net("resnet14", few, 0)), few)
    questions = (
        lambda: probes.responses(subject, images=None),
        lambda: probes.lesions(subject, images=None, swaps=(1,), trials=1),
        lambda: probes.loss_landscape(subject, points=3, images=None),
        lambda: probes.identity(subject, (1,), images=None),
    )
    whole = [answer(ask()) for ask in questions]  # 40 and 16 images: a batch each
    monkeypatch.setattr(probes.Subject.batches, "__defaults__", (None, 7))
    assert [len(labels) for _, labels in subject.batches("test")] == [7, 7, 2]
    assert close(whole, [answer(ask()) for ask in questions], rel=1e-4)


def test_the_seed_draws_the_images(digits):
    subject = probes.Subject("resnet8", build_net("resnet8", digits, 0), digits, seed=4)
    ((images, labels),) = subject.batches("train", 20)
    chosen = torch.randperm(300, generator=torch.Generator().manual_seed(4))[:20]
    x = digits.train_images.float() / 255
    torch.testing.assert_close(images, x[chosen] - x.mean(0))
    assert torch.equal(labels, digits.train_labels[chosen])


def test_the_seed_draws_what_the_net_draws(digits):
    net = nn.Sequential(nn.Dropout(), build_net("resnet8", digits, 0))

    def losses(seed: int) -> list[float]:
        torch.rand(3)  # whatever the global random state is
        subject = probes.Subject("dropout", net, digits, seed=seed)
        return [m["loss"] for m in probes.gradients(subject, (0, 1), recipe=Recipe(1, 32), images=None).moments]

    assert losses(0) == losses(0)
    assert losses(0)[0] != losses(1)[0]


def close(a: object, b: object, rel: float = 0.02) -> bool:
    """Whether two records are the same but for rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k], rel) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y, rel) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b, rel=rel, abs=rel / 20) if isinstance(a, float) else a == b


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROBES)
def test_a_graphics_card_finds_the_same(digits, name):
    net = lived_in(build_net("resnet14", digits, 0))
    cpu, card = (PROBES[name][0](probes.Subject("resnet14", net, digits, device=device)) for device in ("cpu", "cuda"))
    assert (cpu.device["type"], card.device["type"]) == ("cpu", "cuda")
    assert close(answer(cpu, "device"), answer(card, "device"))


def test_wrong_subjects(digits):
    net = build_net("resnet8", digits, 0)
    with pytest.raises(ValueError, match=r"`device` must be auto, cpu, cuda or mps, but it is 'tpu'"):
        probes.responses(probes.Subject("resnet8", net, digits, device="tpu"))
    with pytest.raises(ValueError, match=r"returns \(2, 7\) for 2 images, but the data has 10 classes"):
        probes.responses(probes.Subject("resnet8", models.cifar_net(8, in_channels=1, num_classes=7), digits))
    for probe in (probes.lesions, probes.identity, probes.responses):
        other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        with pytest.raises(TypeError, match=r"nets of resnet_edu\.nets only, but this is a Sequential"):
            probe(probes.Subject("other", other, digits))


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (lambda s: probes.identity(s, 2), TypeError, "`added` must be whole numbers, such as .* but it is 2"),
        (lambda s: probes.identity(s, (0,)), ValueError, "`added` must be at least 1, but it is 0"),
        (lambda s: probes.lesions(s, swaps=(1.5,)), TypeError, "`swaps` must be a whole number, but it is 1.5"),
        (lambda s: probes.gradients(s, 5), TypeError, "`steps` must be whole numbers, such as .* but it is 5"),
        (lambda s: probes.gradients(s, ()), ValueError, "ascend"),
        (lambda s: probes.gradients(s, (1, 0)), ValueError, "ascend"),
        (lambda s: probes.gradients(s, (0, 0)), ValueError, "ascend"),
        (lambda s: probes.gradients(s, (-1,)), ValueError, "-1"),
        (lambda s: probes.gradients(s, (30,), recipe=Recipe(20)), ValueError, "longer"),
        (
            lambda s: probes.loss_landscape(s, reach="1"),
            TypeError,
            "`reach` must be a number, but it is '1'",
        ),
        (lambda s: probes.loss_landscape(s, reach=0), ValueError, "`reach` must be greater than 0, but it is 0"),
        (lambda s: probes.loss_landscape(s, points=4), ValueError, "`points` must be odd"),
        (lambda s: probes.loss_landscape(s, points=1), ValueError, "`points` must be at least 3"),
        (lambda s: probes.loss_landscape(s, images=0), ValueError, "`images` must be at least 1, but it is 0"),
        (lambda s: probes.insert_identities(s.net, -1), ValueError, "`added` must be at least 0, but it is -1"),
    ],
)
def test_wrong_questions(digits, ask, kind, message):
    with pytest.raises(kind, match=message):
        ask(subject_of("resnet8", digits))


class TestGradients:
    def test_two_layers_by_hand(self):
        # x = -0.5 and 0.5 (the mean is taken off); logits (a, b) * w * x, so both images have the margin (b - a) w / 2
        dataset = shades(0, 255, labels=(0, 1))
        net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False))
        w, a, b = 3.0, -0.25, 0.5
        net[1].weight.data.fill_(w)
        net[2].weight.data.copy_(torch.tensor([[a], [b]]))
        record = probes.gradients(probes.Subject("two", net, dataset))
        margin = (b - a) * w / 2
        slope = 1 / (1 + math.exp(margin))  # of log(1 + exp(-margin)), up to its sign
        (moment,) = record.moments
        assert record.layers == ["1", "2"]
        assert moment["loss"] == pytest.approx(math.log(1 + math.exp(-margin)))
        assert moment["norms"] == pytest.approx([slope * (b - a) / 2, slope * w / 2 * math.sqrt(2)])
        assert moment["lengths"] == pytest.approx([w, math.hypot(a, b)])

    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_after_some_steps(self, digits, batch_norm):
        net = build_net("resnet8", digits, 1, batch_norm=batch_norm)
        recipe = Recipe(2, batch_size=64, lr=0.01, eval_every=2)
        record = probes.gradients(probes.Subject("resnet8", net, digits, seed=5), (0, 2), recipe=recipe, images=300)
        reference, moments = copy.deepcopy(net), iter(record.moments)
        x = digits.train_images.float() / 255
        for steps in (0, 2):
            if steps:
                train(reference, digits, recipe, seed=5)
            reference.train().zero_grad()
            loss = F.cross_entropy(reference(x - x.mean(0)), digits.train_labels)
            loss.backward()
            layers = [m for m in reference.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            moment = next(moments)
            assert moment["step"] == steps
            assert moment["loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert moment["norms"] == pytest.approx([m.weight.grad.norm().item() for m in layers], rel=1e-3)
            assert moment["lengths"] == pytest.approx([m.weight.norm().item() for m in layers], rel=1e-4)
        assert record.layers[0] == "conv1"
        assert record.layers[-1] == "fc"
        assert record.batch_norm is batch_norm

    def test_every_moment_where_updates_come_many_at_once(self, digits, in_chunks):
        record = probes.gradients(subject_of("resnet8", digits), (0, 1, 3, 7), recipe=Recipe(100, 16, lr=0.01))
        assert [moment["step"] for moment in record.moments] == [0, 1, 3, 7]

    def test_on_all_images(self, digits):
        subject = subject_of("resnet8", digits)
        record, same = (probes.gradients(subject, images=count) for count in (None, 300))
        assert record.moments == same.moments
        assert record.dataset["images"] == 300

    @pytest.mark.parametrize("eval_every", [1, 4])
    def test_when_it_blows_up_is_that_of_a_hand_loop(self, digits, eval_every):
        net = build_net("resnet8", digits, 0, batch_norm=False)
        recipe = Recipe(4, batch_size=32, lr=100.0, weight_decay=0, momentum=0, eval_every=eval_every)
        record = probes.gradients(probes.Subject("resnet8", net, digits), (0, 4), recipe=recipe, images=32)
        x, order = digits.train_images.float() / 255, torch.randperm(300, generator=_generator())
        losses = []  # of each batch, with the weights after 0, 1, 2, ... updates
        for batch in order.split(32)[:4]:
            net.zero_grad()
            loss = F.cross_entropy(net((x - x.mean(0))[batch]), digits.train_labels[batch])
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for p in net.parameters():
                    p -= 100 * p.grad
        assert [moment["step"] for moment in record.moments] == [0]
        assert record.diverged == [math.isfinite(v) for v in losses].index(False) >= 1

    def test_frozen_layers_stay_frozen_and_are_measured_all_the_same(self, digits):
        net = build_net("resnet8", digits, 0)
        recipe = Recipe(2, batch_size=32)
        free = probes.gradients(probes.Subject("resnet8", net, digits), (0, 2), recipe=recipe)
        net.layer1.requires_grad_(False)
        record = probes.gradients(probes.Subject("resnet8", net, digits), (0, 2), recipe=recipe)
        frozen = [name.startswith("layer1") for name in record.layers]
        before, after = record.moments
        assert before == free.moments[0]
        kept = [a == pytest.approx(b, rel=1e-9) for a, b in zip(before["lengths"], after["lengths"], strict=True)]
        assert kept == frozen
        assert min(after["norms"]) > 0


def norm(m: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Batch norm in eval mode, written out."""
    shape = (1, -1, 1, 1)
    x = (x - m.running_mean.view(shape)) / (m.running_var.view(shape) + m.eps).sqrt()
    return x * m.weight.view(shape) + m.bias.view(shape)


class TestResponses:
    @pytest.mark.parametrize("name", ["plain8", "resnet8"])
    @torch.no_grad()
    def test_written_out(self, digits, name):
        net = lived_in(build_net(name, digits, 0))
        record = probes.responses(probes.Subject(name, net, digits))
        x = digits.train_images.float() / 255
        x = digits.test_images.float() / 255 - x.mean(0)
        expected = []

        def respond(conv, bn, x):
            y = norm(bn, F.conv2d(x, conv.weight, stride=conv.stride, padding=1))
            expected.append(y.double().std(correction=0).item())
            return y

        x = respond(net.conv1, net.bn1, x).relu()
        for (block,) in (net.layer1, net.layer2, net.layer3):
            y = respond(block.conv2, block.bn2, respond(block.conv1, block.bn1, x).relu())
            x = (y if name == "plain8" else y + (x if block.downsample is None else block.downsample(x))).relu()
        assert record.deviations == pytest.approx(expected, rel=1e-4)
        assert record.layers == [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d)]
        assert record.dataset["images"] == 100

    @pytest.mark.parametrize("options", [{"batch_norm": False}, {"preact": True}, {"shortcut": "projection"}])
    @torch.no_grad()
    def test_where_no_batch_norm_follows(self, digits, options):
        net = lived_in(build_net("resnet8", digits, 0, **options))
        record = probes.responses(probes.Subject("resnet8", net, digits))
        assert record.layers == ["conv1", *(f"layer{i}.0.conv{j}" for i in (1, 2, 3) for j in (1, 2))]  # no 1x1
        x = digits.test_images.float() / 255 - (digits.train_images.float() / 255).mean(0)
        first = net.conv1(x)
        if "shortcut" in options:
            first = norm(net.bn1, first)
        assert record.deviations[0] == pytest.approx(first.std().item(), rel=1e-3)
        if options.get("preact"):  # its batch norms come before the convolutions
            (block,) = net.layer1
            inner = block.conv1(norm(block.bn1, first).relu())
            outer = block.conv2(norm(block.bn2, inner).relu())
            assert record.deviations[1:3] == pytest.approx([inner.std().item(), outer.std().item()], rel=1e-3)


class TestLesions:
    @torch.no_grad()
    def test_by_hand(self):
        """One block copies brightness to the channel that the class is read from; the others do nothing."""
        dataset = shades(0, 0, 0, 255, labels=(0, 0, 0, 1), side=4)  # mean 0.25: dark is -0.25, bright 0.75
        net = models.cifar_net(8, num_classes=2, in_channels=1).eval()
        for m in net.modules():
            if isinstance(m, nn.Conv2d):
                m.weight.zero_()
            elif isinstance(m, nn.BatchNorm2d):
                m.running_var.fill_(1 - m.eps)
        net.conv1.weight[0, 0, 1, 1] = 1  # channel 0: the shade
        net.layer1[0].conv1.weight[0, 0, 1, 1] = 1
        net.layer1[0].conv2.weight[5, 0, 1, 1] = 1  # channel 5: a copy of it
        net.fc.weight.zero_()
        net.fc.weight[1, 5] = 2
        net.fc.bias.copy_(torch.tensor([0.5, 0.0]))
        record = probes.lesions(probes.Subject("by hand", net, dataset))
        dark, bright, blind = (math.log(1 + math.exp(m)) for m in (-0.5, 0.5 - 1.5, 0.5))
        assert record.error == 0
        assert record.loss == pytest.approx((3 * dark + bright) / 4, rel=1e-5)
        found = {d["block"]: (d["loss"], d["error"]) for d in record.drops}
        assert found["layer1.0"] == (pytest.approx((3 * dark + blind) / 4, rel=1e-5), 25)
        for other in ("layer2.0", "layer3.0"):
            assert found[other] == (pytest.approx(record.loss), 0)
        assert record.shuffles == []  # one block a stage: nothing to exchange

    @pytest.mark.parametrize("options", [{}, {"shortcut": "projection"}, {"preact": True}])
    @torch.no_grad()
    def test_a_dropped_branch_is_a_branch_of_zeros(self, digits, options):
        net = lived_in(build_net("resnet14", digits, 0, **options))
        record = probes.lesions(probes.Subject("resnet14", net, digits), swaps=())
        assert (record.loss, record.error) == pytest.approx(evaluate(net, digits), rel=1e-5)
        for drop in record.drops:
            cut = copy.deepcopy(net)
            block = cut.get_submodule(drop["block"])
            for p in (block.conv2 if options.get("preact") else block.bn2).parameters():
                p.zero_()
            assert (drop["loss"], drop["error"]) == pytest.approx(evaluate(cut, digits), rel=1e-5), drop["block"]

    def test_a_plain_block_goes_as_a_whole_where_it_keeps_the_shape(self, digits):
        net = lived_in(build_net("plain14", digits, 0))
        drops = {d["block"]: d for d in probes.lesions(probes.Subject("plain14", net, digits), swaps=()).drops}
        assert [n for n, d in drops.items() if d["error"] is None] == ["layer2.0", "layer3.0"]
        assert drops["layer2.0"]["loss"] is None
        stages = [*net.layer1, *net.layer2[:1], *net.layer3]  # all but layer2.1
        rest = nn.Sequential(net.conv1, net.bn1, net.relu, *stages, net.avgpool, nn.Flatten(), net.fc)
        found = drops["layer2.1"]["loss"], drops["layer2.1"]["error"]
        assert found == pytest.approx(evaluate(rest, digits), rel=1e-5)

    def test_exchanged_blocks(self, digits):
        net = lived_in(build_net("resnet14", digits, 0))
        # 2 blocks a stage, and the first of the later stages changes the shape: one pair, layer1.0 and layer1.1
        record = probes.lesions(probes.Subject("resnet14", net, digits), swaps=(1, 2, 3), trials=2)
        swapped = copy.deepcopy(net)
        swapped.layer1[0], swapped.layer1[1] = net.layer1[1], net.layer1[0]
        odd, even = (pytest.approx(evaluate(n, digits), rel=1e-5) for n in (swapped, net))
        assert [s["swaps"] for s in record.shuffles] == [1, 1, 2, 2, 3, 3]
        for s in record.shuffles:
            assert (s["loss"], s["error"]) == (odd if s["swaps"] % 2 else even)
            assert s["tau"] == pytest.approx(1 - 2 / 15 if s["swaps"] % 2 else 1, abs=1e-4)

    def test_the_seed_draws_the_orders(self, digits):
        net = build_net("resnet20", digits, 0)  # three blocks a stage: five pairs
        taus = []
        for seed in range(4):
            subject = probes.Subject("resnet20", net, digits, seed=seed)
            record = probes.lesions(subject, images=2, swaps=(1, 2), trials=4)
            taus.append([s["tau"] for s in record.shuffles])
        assert len({tuple(t) for t in taus}) == 4


class TestLandscape:
    def test_a_slice_by_hand(self):
        # logits u * x and v * x; a filter is one number, so its direction is that number, forwards or backwards
        dataset = shades(0, 255, labels=(0, 1))  # x = -0.5 and 0.5
        net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
        u, v = -1.0, 0.5
        net[1].weight.data.copy_(torch.tensor([[u], [v]]))
        net[1].bias.data.fill_(0.7)  # the same for both classes, and not moved
        signs = set()
        for seed in range(12):
            record = probes.loss_landscape(probes.Subject("line", net, dataset, seed=seed), points=5, reach=2.0)
            assert record.x == [-2, -1, 0, 1, 2]
            fits = [
                (s, t)
                for s in (1, -1)
                for t in (1, -1)
                if record.loss
                == pytest.approx([math.log(1 + math.exp(-0.5 * ((1 + t * a) * v - (1 + s * a) * u))) for a in record.x])
            ]
            assert len(fits) == 1
            signs.add(fits[0])
        assert len(signs) > 1  # the seed decides
        assert record.error[2] == 0

    def test_directions_are_as_long_as_the_filters(self, digits):
        net = build_net("resnet8", digits, 0)
        direction = probes.filter_direction(net, torch.Generator().manual_seed(0))
        parameters = dict(net.named_parameters())
        assert direction.keys() == parameters.keys()
        for name, d in direction.items():
            p = parameters[name].detach()
            assert d.shape == p.shape
            if p.dim() == 1:  # biases, and batch norm's scales and shifts
                assert not d.any()
            else:
                torch.testing.assert_close(d.flatten(1).norm(dim=1), p.flatten(1).norm(dim=1))
                cosine = F.cosine_similarity(d.flatten(1), p.flatten(1))
                assert cosine.abs().max() < 0.99

    def test_longer_kernels_before_a_batch_norm_look_the_same(self, digits):
        """The point of filter normalisation (Li et al. 2018, section 4)."""
        net = lived_in(build_net("plain8", digits, 0))
        scaled = copy.deepcopy(net)
        scaled.layer1[0].conv1.weight.data.mul_(16)
        bn = scaled.layer1[0].bn1
        bn.running_mean.mul_(16)
        bn.running_var.mul_(256).add_(255 * bn.eps)  # so that variance + eps grows by exactly 256
        a, b = (probes.loss_landscape(probes.Subject("plain8", n, digits), points=5, images=100) for n in (net, scaled))
        assert a.loss == pytest.approx(b.loss, rel=1e-4)

    def test_the_net_itself_is_in_the_middle(self, digits):
        subject = probes.Subject("resnet8", lived_in(build_net("resnet8", digits, 0)), digits, seed=2)
        line = probes.loss_landscape(subject, points=3, images=None)
        assert (line.loss[1], line.error[1]) == pytest.approx(evaluate(subject.net, digits, "train"), rel=1e-5)

    def test_losses_that_are_no_numbers(self, digits):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        net[1].weight.data.fill_(3e38)
        record = probes.loss_landscape(probes.Subject("huge", net, digits), points=3, reach=100.0)
        assert record.loss[0] is None
        assert record.error[0] == 100


class TestIdentity:
    @pytest.mark.parametrize("batch_norm", [True, False])
    @pytest.mark.parametrize(
        ("name", "options"),
        [("plain8", {}), ("resnet8", {}), ("resnet8", {"preact": True}), ("resnet8", {"shortcut": "projection_all"})],
    )
    def test_nothing_changes_but_the_depth(self, digits, name, options, batch_norm):
        net = lived_in(build_net(name, digits, 0, **options, batch_norm=batch_norm))
        record = probes.identity(probes.Subject(name, net, digits), (1, 2), images=None)
        assert [p["added"] for p in record.points] == [0, 1, 2]
        assert [p["depth"] for p in record.points] == [8, 14, 20]
        assert record.points[0]["change"] == 0
        for point in record.points:
            assert point["change"] <= 1e-5 * record.logit
            found = [point[k] for k in ("train_loss", "train_error", "test_loss", "test_error")]
            assert found == pytest.approx([*evaluate(net, digits, "train"), *evaluate(net, digits)], rel=1e-5)
        if options == {} and batch_norm:
            for point in record.points:  # with the parameters of the family's net of that depth
                fresh = build_net(name.replace("8", str(point["depth"])), digits, 0)
                assert point["parameters"] == sum(p.numel() for p in fresh.parameters())

    @pytest.mark.parametrize("name", ["plain8", "resnet8"])
    def test_it_is_a_setting_of_the_deeper_nets_weights(self, digits, name):
        """The argument of section 1 of the paper: the deeper net could be as good as the shallow one."""
        net = lived_in(build_net(name, digits, 0))
        fresh = build_net(name.replace("8", "14"), digits, 0).eval()
        x = torch.randn(4, 1, 8, 8)
        assert not torch.allclose(fresh(x), net(x), atol=0.1)
        fresh.load_state_dict(probes.insert_identities(net, 1).state_dict())
        torch.testing.assert_close(fresh(x), net(x))

    def test_bottlenecks(self):
        torch.manual_seed(0)
        net = lived_in(models.get_model("resnet50", stem="cifar", num_classes=2))
        deeper = probes.insert_identities(net, 1)
        x = torch.randn(1, 3, 8, 8)
        torch.testing.assert_close(deeper(x), net(x))
        assert sum(isinstance(m, nn.Conv2d) for m in deeper.modules()) == 4 * 3 + sum(
            isinstance(m, nn.Conv2d) for m in net.modules()
        )

    def test_switched_off_branches_can_learn(self, digits):
        deeper = probes.insert_identities(build_net("resnet8", digits, 0), 1)
        record = probes.gradients(probes.Subject("resnet14", deeper, digits))
        norms = dict(zip(record.layers, record.moments[0]["norms"], strict=True))
        assert norms["layer2.1.conv1"] == 0  # behind a scale of 0, for now
        bn2 = deeper.layer2[1].bn2
        x = digits.train_images[:64].float() / 255
        F.cross_entropy(deeper.train()(x), digits.train_labels[:64]).backward()
        assert bn2.weight.grad.norm() > 0

    def test_the_change_is_that_of_the_logits(self, digits, monkeypatch):
        def shifted(net, added):
            with torch.no_grad():
                (deeper := copy.deepcopy(net)).fc.bias[3] -= 0.5 * added
            return deeper

        net = lived_in(build_net("resnet8", digits, 0))
        monkeypatch.setattr(identity_module, "insert_identities", shifted)
        record = probes.identity(probes.Subject("resnet8", net, digits), (1, 4), images=None)
        assert [p["change"] for p in record.points] == pytest.approx([0, 0.5, 2], abs=1e-5)
        mean = (digits.train_images.float() / 255).mean(0)
        both = torch.cat([digits.train_images, digits.test_images]).float() / 255 - mean
        assert record.logit == pytest.approx(net(both).abs().max().item(), rel=1e-5)

    @torch.no_grad()
    def test_a_net_that_has_exploded_has_a_record_all_the_same(self, digits, tmp_path):
        net = build_net("resnet8", digits, 0, batch_norm=False)
        net.fc.weight.zero_()
        net.fc.weight[0] = torch.tensor([3e38, -3e38]).repeat(32)
        x = digits.test_images.float() / 255 - (digits.train_images.float() / 255).mean(0)
        assert not net.eval()(x).isfinite().all()
        record = probes.identity(probes.Subject("resnet8", net, digits), (1,), images=None)
        assert record.logit is None
        assert [p["change"] for p in record.points] == [None, None]
        assert probes.load(record.save(tmp_path / "x.json")) == record
        number, none = torch.tensor([1.0]), torch.tensor([math.nan])
        assert [identity_module._largest(b) for b in ([number, none], [none, number], [-number])] == [None, None, 1]


class TestForeignNets:
    @pytest.fixture
    def foreign(self):
        class Mine(nn.Module):
            expansion = 1

            def __init__(self, cin, cout, stride=1):
                super().__init__()
                self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3, stride, 1), nn.Conv2d(cout, cout, 3, 1, 1)
                self.bn1, self.bn2 = nn.BatchNorm2d(cout), nn.BatchNorm2d(cout)
                self.shortcut = nn.Conv2d(cin, cout, 1, stride)

            def forward(self, x):
                return (self.shortcut(x) + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()

        return models.ResNet(Mine, [1, 1], [4, 8], stem="cifar", in_channels=1, num_classes=10)

    @pytest.mark.parametrize("probe", [probes.lesions, probes.responses, probes.identity])
    def test_blocks_of_ones_own_are_refused(self, foreign, digits, probe):
        """What does nothing in such a block, or what is left without its branch, is not known."""
        with pytest.raises(TypeError, match=r"the blocks of resnet_edu\.nets are known .* but this is a Mine"):
            probe(probes.Subject("mine", foreign, digits))

    def test_a_weight_that_is_computed_has_a_gradient(self):
        """Weight norm computes it from a length and a direction: its gradient is found by a small change."""
        torch.manual_seed(0)
        layers = (nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 2)), nn.Flatten(), nn.Linear(8, 2))
        net, x, y = nn.Sequential(*layers), torch.randn(3, 1, 3, 3), torch.tensor([0, 1, 0])
        weight = net[0].weight.detach().double()

        def loss(w):
            maps = F.conv2d(x.double(), w, net[0].bias.double())
            return F.cross_entropy(F.linear(maps.flatten(1), net[2].weight.double(), net[2].bias.double()), y).item()

        slopes = [
            (loss(weight + 1e-6 * unit) - loss(weight - 1e-6 * unit)) / 2e-6
            for unit in torch.eye(weight.numel(), dtype=torch.float64).view(-1, *weight.shape)
        ]
        _, norms, _ = gradients_module.gradient_norms(net, x, y)
        assert norms[0] == pytest.approx(math.hypot(*slopes), rel=1e-4)

    def test_the_generator_of_python_is_put_back_too(self):
        class Draws(nn.Linear):
            def forward(self, x):
                return super().forward(x.flatten(1)) * random.random()

        net, images, labels = Draws(64, 10), torch.randn(4, 1, 8, 8), torch.arange(4)
        before = surroundings()
        gradients_module.gradient_norms(net, images, labels)
        assert surroundings() == before
