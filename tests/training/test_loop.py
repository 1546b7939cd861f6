"""The training loop against a plain textbook loop, and the promises around it."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset
from resnet_edu.nets.models import cifar_net
from resnet_edu.support.system import layout, resolve_device
from resnet_edu.training import loop
from resnet_edu.training.loop import (
    Evaluation,
    Event,
    Recipe,
    StopTraining,
    TrainingDiverged,
    evaluate,
    evaluation_batch,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").head(300, 100)


def linear(dataset: Dataset, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(dataset.shape), len(dataset.classes)))


class TestAgainstATextbookLoop:
    @pytest.mark.parametrize("normalize", ["per_pixel_mean", "per_channel"])
    def test_weights_after_some_steps(self, digits, normalize):
        torch.manual_seed(0)
        ours = cifar_net(8, in_channels=1)
        theirs = copy.deepcopy(ours)
        # 300 images make two batches of 128 an epoch; so 5 steps go into the third epoch, and over a milestone
        recipe = Recipe(5, batch_size=128, lr=0.05, milestones=(3,), normalize=normalize, eval_every=2)
        history = train(ours, digits, recipe, seed=7)

        x = digits.train_images.numpy() / 255
        if normalize == "per_pixel_mean":
            mean, deviation = x.mean(0), 1.0
        else:
            mean, deviation = x.mean(), x.std()
        images = torch.tensor((x - mean) / deviation, dtype=torch.float32)
        labels = digits.train_labels
        optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3])
        generator = torch.Generator().manual_seed(7)
        theirs.train()
        step = 0
        while step < 5:
            order = torch.randperm(300, generator=generator)
            for batch in (order[:128], order[128:256]):
                if step == 5:
                    break
                optimizer.zero_grad()
                F.cross_entropy(theirs(images[batch]), labels[batch]).backward()
                optimizer.step()
                scheduler.step()
                step += 1

        for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4), name
        theirs.eval()
        with torch.no_grad():
            logits = theirs(images)
        last = history.evaluations[-1]
        assert last.train_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-3)
        assert last.train_error == pytest.approx((logits.argmax(1) != labels).float().mean().item() * 100, abs=0.7)

    def test_evaluation_by_hand(self):
        images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
        dataset = Dataset("two", images, torch.tensor([0, 1]), images, torch.tensor([1, 1]), ("a", "b"))
        net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
        with torch.no_grad():
            net[1].weight.copy_(torch.tensor([[-2.0], [2.0]]))  # pixels are -0.5 and 0.5: logits (1, -1) and (-1, 1)
        right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
        assert evaluate(net, dataset, "train") == (pytest.approx(right), 0)
        assert evaluate(net, dataset, "test") == (pytest.approx((right + wrong) / 2), 50)


class TestBatchesAreFair:
    @pytest.mark.parametrize("augment", [False, True])
    def test_twins_see_the_same_batches_in_the_same_order(self, digits, augment):
        def seen_by(residual: bool) -> list[torch.Tensor]:
            net, seen = cifar_net(8, residual=residual, in_channels=1), []
            net.register_forward_pre_hook(lambda m, x: seen.append(x[0].clone()) if m.training else None)
            train(net, digits, Recipe(6, batch_size=64, augment=augment, eval_every=3), seed=3)
            return seen

        plain, residual = seen_by(False), seen_by(True)
        assert len(plain) == 6
        assert all(torch.equal(a, b) for a, b in zip(plain, residual, strict=True))
        assert not torch.equal(plain[0], plain[1])

    def test_no_image_twice_in_an_epoch(self):
        images = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)
        labels = torch.arange(100) % 2
        dataset = Dataset("numbers", images, labels, images, labels, ("even", "odd"))
        net, seen = linear(dataset), []
        mean = images.double().mean() / 255
        net.register_forward_pre_hook(
            lambda m, x: (
                seen.append(((x[0].double().flatten() + mean) * 255).round().int().tolist()) if m.training else None
            )
        )
        train(net, dataset, Recipe(6, batch_size=30, lr=0.01), seed=0)
        for epoch in (seen[:3], seen[3:]):  # three full batches, ten images sit it out
            assert len({number for batch in epoch for number in batch}) == 90
        assert seen[0] != seen[3]


@pytest.mark.parametrize("crop", [None, "pad", "resized"])
@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_batch_norm_on_an_apple_gpu_never_sees_channels_last(monkeypatch, device, crop):
    """Its gradients would be wrong there (PyTorch's issue 175189); elsewhere it does. Here on a processor."""
    for module in (data, loop):
        monkeypatch.setattr(module, "layout", lambda _: layout(torch.device(device)))
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    labels, net = torch.arange(20) % 2, cifar_net(8, num_classes=2)
    dataset = Dataset("made up", images, labels, images, labels, ("a", "b"))
    asked = torch.contiguous_format if device == "mps" else torch.channels_last
    seen = []
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous(memory_format=asked)))
    train(net, dataset, Recipe(2, batch_size=10, augment=crop is not None, crop=crop or "pad"))
    assert seen
    assert all(seen)


class TestDeterminism:
    def test_same_seed_same_numbers(self, digits):
        def go(seed):
            torch.manual_seed(0)
            net = cifar_net(8, in_channels=1)
            return train(net, digits, Recipe(6, batch_size=32, augment=True, eval_every=2), seed=seed).evaluations

        assert go(1) == go(1)
        assert go(1) != go(2)

    def test_dropout_is_seeded_too(self, digits):
        def go():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
            torch.rand(torch.seed() % 5 + 1)  # wherever the global state is
            return train(net, digits, Recipe(4, batch_size=32), seed=1).evaluations

        assert go() == go()

    @pytest.mark.parametrize("grad", [True, False])
    @pytest.mark.parametrize("training", [True, False])
    def test_leaves_the_global_state_alone(self, digits, grad, training):
        net = linear(digits)
        net.train(training)
        before = torch.get_rng_state()
        state = np.random.get_state()[1].copy()
        with torch.set_grad_enabled(grad):
            train(net, digits, Recipe(2, batch_size=16))
            assert torch.is_grad_enabled() is grad
        assert torch.equal(torch.get_rng_state(), before)
        assert (np.random.get_state()[1] == state).all()
        assert net.training is training

    def test_leaves_it_alone_after_an_error_as_well(self, digits):
        net = linear(digits).eval()
        before = torch.get_rng_state()
        with torch.no_grad(), pytest.raises(ZeroDivisionError):
            train(net, digits, Recipe(2, batch_size=16), callback=lambda event: 1 / 0)
        assert torch.equal(torch.get_rng_state(), before)
        assert net.training is False

    def test_prints_nothing(self, digits, capfd):
        train(linear(digits), digits, Recipe(2, batch_size=16))
        assert capfd.readouterr() == ("", "")


class TestCallback:
    def test_events(self, digits):
        events: list[Event] = []
        history = train(linear(digits), digits, Recipe(5, batch_size=100, eval_every=2), callback=events.append)
        steps = [e for e in events if e.kind == "step"]
        evaluations = [e for e in events if e.kind == "evaluation"]
        assert [e.step for e in steps] == [1, 2, 3, 4, 5]
        assert [e.step for e in evaluations] == [2, 4, 5]  # and one after the last step
        assert [e.evaluation for e in evaluations] == history.evaluations
        assert all(isinstance(e.evaluation, Evaluation) for e in evaluations)
        assert all(e.steps == 5 and e.lr == 0.1 and math.isfinite(e.loss) for e in events)
        work = [e.work for e in events]
        assert work == sorted(work)
        assert work[-1] == pytest.approx(1)

    def test_where_updates_come_many_at_once(self, digits, in_chunks):
        def steps(**options):
            events: list[Event] = []
            train(linear(digits), digits, Recipe(120, 16, eval_every=120), callback=events.append, **options)
            return [e.step for e in events if e.kind == "step"]

        assert steps() == [50, 100, 120]
        assert steps(stops=(0, 1, 20, 60)) == [1, 20, 60, 110, 120]
        with pytest.raises(TypeError, match="`stops` must be a whole number"):
            steps(stops=(1.5,))

    def test_stop(self, digits):
        def stop(event):
            if event.step == 3:
                raise StopTraining

        history = train(linear(digits), digits, Recipe(50, batch_size=16, eval_every=1), callback=stop)
        assert history.stopped
        assert [e.step for e in history.evaluations] == [1, 2]


class TestEvaluation:
    def test_large_images_pass_a_few_at_a_time(self):
        """So that ResNet-50 at 224 pixels takes one gigabyte and not six; and the result does not depend on it."""
        rng = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (24, 1, 224, 224), dtype=torch.uint8, generator=rng)
        labels = torch.arange(24) % 2
        large = Dataset("large", pixels[:4], labels[:4], pixels, labels, ("a", "b"))
        net, sizes = linear(large), []
        handle = net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        found = evaluate(net, large)
        handle.remove()
        assert sizes == [10, 10, 4]
        values = pixels.double() / 255 - pixels[:4].double().mean(0) / 255
        logits = net.double()(values)
        assert found[0] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
        assert found[1] == pytest.approx(100 * (logits.argmax(1) != labels).double().mean().item())
        assert [evaluation_batch((3, size, size), torch.device("cuda")) for size in (32, 224, 4000)] == [4882, 99, 1]

    def test_normalised_by_what_is_given(self, digits):
        net, mean, deviation = linear(digits), torch.tensor(0.3), torch.tensor(0.5)
        found = evaluate(net, digits, normalize=(mean, deviation))
        logits = net((digits.test_images / 255 - 0.3) / 0.5)
        assert found[0] == pytest.approx(F.cross_entropy(logits, digits.test_labels).item(), rel=1e-4)


class TestWarmUp:
    def test_lower_rate_until_the_error_falls(self, digits):
        rates = []
        recipe = Recipe(130, batch_size=30, lr=0.1, warmup_lr=0.01, eval_every=130)
        train(linear(digits), digits, recipe, callback=lambda e: rates.append(e.lr) if e.kind == "step" else None)
        assert rates == [0.01] * 100 + [0.1] * 30  # the error of a linear net falls at once: the window is what counts

    def test_stays_low_while_nothing_is_learnt(self, digits):
        rates = []
        shuffled = Dataset(
            "noise",
            digits.train_images * 0,
            digits.train_labels,
            digits.test_images,
            digits.test_labels,
            digits.classes,
        )
        recipe = Recipe(120, batch_size=30, warmup_lr=0.001, eval_every=120, warmup_error=50)
        train(linear(digits), shuffled, recipe, callback=lambda e: rates.append(e.lr))
        assert set(rates) == {0.001}


class TestErrors:
    def test_divergence_names_step_and_rate(self, digits):
        with pytest.raises(TrainingDiverged) as caught:
            train(linear(digits), digits, Recipe(200, batch_size=32, lr=1e30))
        error = caught.value
        assert 1 <= error.step <= 10
        assert error.lr == 1e30
        for word in (f"step {error.step} ", "1e+30", "try a lower one", "--lr 1e+29"):
            assert word in str(error)

    def test_batch_larger_than_the_data(self, digits):
        with pytest.raises(ValueError, match=r"`batch_size` is 301, but .* only 300 training images.*--batch-size"):
            train(linear(digits), digits, Recipe(2, batch_size=301))

    @pytest.mark.parametrize(
        ("learns", "answers", "said"),
        [
            (20, 999, r"of cpu is not enough for batches of 64: 16 images fit \(--batch-size 16\)$"),
            (1, 999, r"of cpu is not enough: take smaller images, a smaller net or another device \(--resize, --net"),
            (20, 2, r"of cpu is not enough: take smaller images"),  # no smaller batch would help
        ],
    )
    def test_a_card_without_memory(self, digits, learns, answers, said):
        """A stand-in for it: training has room for so many images at once, an evaluation for so many."""

        class Greedy(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(64, 10)

            def forward(self, x):
                if len(x) > (learns if self.training else answers):
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")
                return self.fc(x.flatten(1))

        with pytest.raises(RuntimeError, match=said) as told:
            train(Greedy(), digits, Recipe(3, batch_size=64, frozen=1, milestones=(2,)))
        assert not isinstance(told.value, torch.OutOfMemoryError)
        assert "\n" not in str(told.value)
        if answers == 2:
            with pytest.raises(RuntimeError, match=said):
                evaluate(Greedy(), digits)

    def test_net_for_other_classes(self, digits):
        with pytest.raises(ValueError, match=r"\(2, 7\) for 2 images, but the data has 10 classes.*num_classes=10"):
            train(cifar_net(8, in_channels=1, num_classes=7), digits, Recipe(2, batch_size=16))

    @pytest.mark.parametrize(
        "fields",
        [
            {"steps": 0}, {"batch_size": 0}, {"eval_every": 0}, {"lr": 0}, {"lr": math.nan}, {"momentum": 1.0},
            {"weight_decay": -1}, {"milestones": (5, 3)}, {"milestones": (5, 10)}, {"milestones": (0,)},
            {"warmup_lr": 0.1}, {"warmup_lr": 0}, {"warmup_error": 0}, {"warmup_error": 101}, {"normalize": "imagenet"},
        ],
    )  # fmt: skip
    def test_contradictions(self, fields):
        (name,) = fields
        with pytest.raises(ValueError, match=f"`{name}` must "):
            Recipe(**{"steps": 10, **fields})

    @pytest.mark.parametrize(
        "fields",
        [
            {"steps": 2.5}, {"lr": True}, {"lr": "x"}, {"momentum": "x"}, {"weight_decay": None}, {"warmup_lr": "x"},
            {"warmup_error": "x"}, {"milestones": (1.5,)},
        ],
    )  # fmt: skip
    def test_wrong_types(self, fields):
        (name,) = fields
        with pytest.raises(TypeError, match=f"`{name}` must be "):
            Recipe(**{"steps": 10, **fields})

    @pytest.mark.parametrize("name", ["cuda:9", "mps"])
    def test_device_that_is_not_there(self, name):
        if name == "mps" and torch.backends.mps.is_available():
            pytest.skip("it is there")
        with pytest.raises(RuntimeError, match=rf"'{name}' was asked for.*'cpu'"):
            resolve_device(name)

    @pytest.mark.parametrize("name", ["gpu", "tpu", "meta"])
    def test_device_that_does_not_exist(self, name):
        with pytest.raises(ValueError, match=f"must be auto, cpu, cuda or mps, but it is '{name}'"):
            resolve_device(name)


class TestRecipes:
    def test_paper(self):
        r = Recipe.paper()
        assert (r.steps, r.milestones, r.lr, r.batch_size) == (64_000, (32_000, 48_000), 0.1, 128)
        assert (r.momentum, r.weight_decay, r.augment, r.normalize) == (0.9, 1e-4, True, "per_pixel_mean")
        assert r.warmup_lr is None
        assert Recipe.paper(110).warmup_lr == 0.01
        assert [r.lr_at(s) for s in (0, 31_999, 32_000, 47_999, 48_000, 63_999)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]

    def test_scaled_keeps_the_proportions(self):
        assert Recipe.scaled(64_000) == Recipe.paper()
        assert Recipe.scaled(300).milestones == (150, 225)
        assert Recipe.scaled(4).milestones == (2, 3)
        assert [Recipe.scaled(steps).milestones for steps in (1, 2, 3)] == [(), (1,), (1, 2)]

    def test_replace_checks_again(self):
        assert Recipe.digits().replace(lr=0.01).lr == 0.01
        with pytest.raises(ValueError, match="milestones"):
            Recipe.paper().replace(steps=100)


@pytest.mark.gpu
class TestOnAGraphicsCard:
    def test_agrees_with_the_processor(self, digits):
        def go(device):
            torch.manual_seed(0)
            net = cifar_net(8, in_channels=1)
            return train(net, digits, Recipe(3, batch_size=64, lr=0.01, augment=True), seed=1, device=device)

        cpu, cuda = go("cpu").evaluations[-1], go("cuda").evaluations[-1]
        assert cuda.train_loss == pytest.approx(cpu.train_loss, rel=0.02)
