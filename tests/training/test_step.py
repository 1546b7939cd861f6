"""The update against a textbook loop: DataLoader, torchvision's transforms, float32, one thread; and its variants."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as tvf
from PIL import Image
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from resnet_edu.data.dataset import Batches, Dataset, load, normalization
from resnet_edu.nets.models import cifar_net
from resnet_edu.training.loop import evaluate, train
from resnet_edu.training.recipe import Recipe
from resnet_edu.training.step import Stepper, exact, resolve_precision

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos() -> Dataset:
    """120 colour images of 32x32 pixels in two classes: horizontal and vertical waves of random colour and length."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, 120)
    images = np.empty((120, 3, 32, 32), np.uint8)
    for image, label in zip(images, labels, strict=True):
        wave = np.sin(np.arange(32) * numbers.uniform(0.3, 1.5) + numbers.uniform(0, 6))
        plane = np.broadcast_to(wave, (32, 32)) if label else np.broadcast_to(wave[:, None], (32, 32))
        colour = numbers.uniform(0.2, 1, (3, 1, 1))
        image[:] = (plane * 0.5 + 0.5) * colour * 200 + numbers.uniform(0, 55, (3, 32, 32))
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    return Dataset("waves", images[:100], labels[:100], images[100:], labels[100:], ("rows", "columns"))


class TextbookImages(TorchDataset):
    """PIL images, turned and cut one at a time by torchvision, as training scripts do."""

    def __init__(self, dataset: Dataset, picks: torch.Tensor, flip: bool = True) -> None:
        self.images = [Image.fromarray(i.permute(1, 2, 0).numpy()) for i in dataset.train_images]
        self.labels = dataset.train_labels
        self.mean = torch.from_numpy((dataset.train_images.numpy() / 255).mean(0)).float()
        self.picks, self.flip = picks, flip  # (steps * B, 4)

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, number: int):
        index, top, left, flip = self.picks[number].tolist()
        image = tvf.to_tensor(self.images[index]) - self.mean  # (3, 32, 32)
        image = tvf.crop(tvf.pad(image, [4]), top, left, 32, 32)
        return (tvf.hflip(image) if flip and self.flip else image), self.labels[index]


def textbook(model: nn.Module, dataset: Dataset, picks: torch.Tensor, batch: int, lrs: list[float], **options) -> list:
    """Train in place by the textbook; return the losses."""
    loader = DataLoader(TextbookImages(dataset, picks, **options), batch_size=batch, shuffle=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lrs[0], momentum=0.9, weight_decay=1e-4)
    losses = []
    model.train()
    for (images, labels), lr in zip(loader, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def distance(a: nn.Module, b: nn.Module) -> float:
    """Return how far the weights of two nets are from each other, relative to the length of all of them."""
    x, y = (torch.cat([p.detach().flatten().cpu() for p in net.parameters()]) for net in (a, b))
    return ((x - y).norm() / y.norm()).item()


class TestAgainstDataLoaderAndTorchvision:
    """12 steps in float32: a residual net of 8 layers, augmentation, per-pixel mean, two learning rates."""

    batch = 32
    recipe = Recipe(12, batch_size=32, lr=0.005, milestones=(7,), augment=True, eval_every=12)

    def picks(self, dataset: Dataset) -> torch.Tensor:
        """The order and the crops that `train(seed=5)` draws: (12 * 32, 4). Three whole batches make an epoch."""
        generator = torch.Generator().manual_seed(5)
        picks = []
        while len(picks) < 12:
            order = torch.randperm(len(dataset.train_images), generator=generator)
            for start in (0, 32, 64):
                corner = torch.randint(0, 9, (2, 32), generator=generator)
                flip = torch.randint(0, 2, (32,), generator=generator)
                picks.append(torch.stack([order[start : start + 32], *corner, flip], 1))
        return torch.cat(picks)

    def test_weights_are_equal_within_rounding(self, photos):
        torch.manual_seed(0)
        ours = cifar_net(8, num_classes=2)
        start, theirs, wrong = (copy.deepcopy(ours) for _ in range(3))
        lrs = [0.005] * 7 + [0.0005] * 5
        losses = []
        train(ours, photos, self.recipe, seed=5, callback=lambda e: losses.append(e.loss) if e.kind == "step" else None)
        expected = textbook(theirs, photos, self.picks(photos), self.batch, lrs)
        assert losses == pytest.approx(expected, rel=1e-3, abs=1e-5)
        rounding = distance(ours, theirs)
        assert rounding < 1e-4
        # The comparison can fail: without the mirroring, weights differ by far more than rounding.
        textbook(wrong, photos, self.picks(photos), self.batch, lrs, flip=False)
        assert distance(wrong, theirs) > 30 * rounding
        assert distance(start, theirs) > 30 * rounding


class TestStepper:
    def stepper(self, dataset: Dataset) -> tuple[nn.Module, Stepper]:
        torch.manual_seed(1)
        model = cifar_net(8, num_classes=2).to(memory_format=torch.channels_last).train()
        return model, Stepper(model, Batches(dataset, "per_pixel_mean", CPU), Recipe(8, batch_size=20))

    def picks(self, updates: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        return torch.stack([Batches.draw(torch.randperm(100, generator=generator)[:20], generator, True)] * updates)

    def test_many_at_once_equal_one_by_one(self, photos):
        (a, at_once), (b, singly) = self.stepper(photos), self.stepper(photos)
        losses, wrong = at_once(self.picks(3), 0.1)
        assert len(losses) == len(wrong) == 3
        for n in range(3):
            assert singly(self.picks(1), 0.1) == ([losses[n]], [wrong[n]])
        assert distance(a, b) == 0

    def test_loss_and_wrong_answers_are_those_before_the_update(self, photos):
        model, stepper = self.stepper(photos)
        images, labels = stepper.batches.training(self.picks(1)[0])
        with torch.no_grad():
            logits = copy.deepcopy(model)(images)
        (loss,), (wrong,) = stepper(self.picks(1), 0.1)
        assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
        assert wrong == (logits.argmax(1) != labels).sum()

    def test_the_learning_rate_is_obeyed(self, photos):
        before = None
        for lr in (0.1, 0.01):
            model, stepper = self.stepper(photos)
            start = model.fc.weight.detach().clone()
            stepper(self.picks(1), lr)
            change = (model.fc.weight.detach() - start) / lr
            assert before is None or torch.allclose(change, before, rtol=1e-3, atol=1e-5)
            before = change


class TestPrecision:
    def test_names(self):
        assert resolve_precision("auto", CPU) == "float32"
        assert resolve_precision("bfloat16", CPU) == "bfloat16"
        with pytest.raises(ValueError, match=r"`precision` must be one of .* but it is 'half'"):
            resolve_precision("half", CPU)
        with pytest.raises(ValueError, match="the device is mps: use 'float32'"):
            resolve_precision("bfloat16", torch.device("mps"))

    def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(self, photos):
        torch.manual_seed(0)
        net = cifar_net(8, num_classes=2)
        seen = {}
        net.conv1.register_forward_hook(lambda m, x, y: seen.update(conv=y.dtype))
        net.bn1.register_forward_hook(lambda m, x, y: seen.update(mean=m.running_mean.dtype, weight=m.weight.dtype))
        train(net, photos, Recipe(2, batch_size=20, eval_every=2), precision="bfloat16")
        assert seen == {"conv": torch.bfloat16, "mean": torch.float32, "weight": torch.float32}
        assert {p.dtype for p in net.parameters()} == {torch.float32}

    def test_batch_norm_statistics_have_no_rounding_to_eight_bits(self):
        """The mean of 1 and many values of 1/512 more: in bfloat16 it could not be told from 1."""
        layer = nn.BatchNorm2d(1, momentum=1.0)
        x = torch.full((4, 1, 8, 8), 1.0, dtype=torch.bfloat16)
        x[:2] = 1.0078125  # the next number above 1 in bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
        assert layer.running_mean.item() == pytest.approx(1.00390625, abs=1e-6)

    @pytest.mark.slow
    def test_over_seeds_it_learns_as_float32_does(self, photos):
        small = dataclasses.replace(  # every other pixel: mixed precision is slow on a processor
            photos, train_images=photos.train_images[..., ::2, ::2], test_images=photos.test_images[..., ::2, ::2]
        )

        def final(precision: str) -> list[float]:
            losses = []
            for seed in range(3):
                torch.manual_seed(seed)
                net = cifar_net(8, num_classes=2)
                recipe = Recipe(12, batch_size=32, lr=0.05, augment=True, eval_every=12)
                losses.append(train(net, small, recipe, seed=seed, precision=precision).evaluations[-1].train_loss)
            return losses

        full, mixed = np.array(final("float32")), np.array(final("bfloat16"))
        assert not np.array_equal(full, mixed)
        pooled = math.sqrt((full.var(ddof=1) + mixed.var(ddof=1)) / 2)
        assert abs(full.mean() - mixed.mean()) < 2 * pooled + 0.05 * full.mean()

    def test_what_chapter_7_says_of_gradients_before_the_first_step(self):
        digits, cosine = Batches(load("digits"), "per_pixel_mean", CPU), {}
        images, labels = digits.normalized(digits.train[0][:64]), digits.train[1][:64]
        for kind in ("plain", "resnet"):
            torch.manual_seed(0)
            net, gradients = cifar_net(56, kind == "resnet", in_channels=1), []
            for mixed in (False, True):
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    loss = F.cross_entropy(net(images), labels)
                parts = torch.autograd.grad(loss, list(net.parameters()))
                gradients.append(torch.cat([part.flatten() for part in parts]))
            cosine[kind] = F.cosine_similarity(*gradients, dim=0).item()
        assert abs(cosine["plain"]) < 0.2
        assert cosine["resnet"] > 0.8

    def test_evaluation_in_mixed_precision(self, photos):
        torch.manual_seed(0)
        net = cifar_net(8, num_classes=2)
        full, mixed = (evaluate(net, photos, precision=p)[0] for p in ("float32", "bfloat16"))
        assert full != mixed
        assert mixed == pytest.approx(full, rel=0.05)


def test_normalization_of_the_textbook(photos):
    """The mean image of the loop above is computed in another way than ours."""
    mean, _ = normalization(photos.train_images, "per_pixel_mean")
    assert np.allclose(mean, (photos.train_images.numpy() / 255).mean(0), atol=1e-6)


def test_an_update_on_a_card_waits_for_nothing(photos, monkeypatch):
    """What a CUDA graph asks for, seen without a card: PyTorch's fake tensors have a device and no values, so they
    raise where the processor would read one, or where devices are mixed. The backward pass and the optimizer's kernel
    need a real card.
    """
    model, card = cifar_net(8, num_classes=2), torch.device("cuda:0")
    batches = Batches(photos, "per_pixel_mean", torch.device("cpu"))
    stepper = Stepper(model, batches, Recipe(8, batch_size=20, lr=0.02))
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
    monkeypatch.setattr(stepper.optimizer, "step", lambda: None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in model.modules():
            for own in (module._parameters, module._buffers):
                own.update({k: torch.empty_like(t, device=card) for k, t in own.items() if t is not None})
        for name in ("mean", "deviation"):
            setattr(batches, name, torch.empty_like(getattr(batches, name), device=card))
        batches.train = tuple(torch.empty_like(t, device=card) for t in batches.train)
        stepper.device = batches.device = card
        loss, wrong = stepper._compute(torch.empty(4, 20, dtype=torch.int64, device=card))
        assert (loss.device, loss.dtype, wrong.device) == (card, torch.float32, card)
        with pytest.raises(DataDependentOutputException):
            loss.item()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda:
    def run(self, dataset: Dataset, graph: bool, updates: int = 6) -> tuple[nn.Module, list[float]]:
        torch.manual_seed(1)
        device = torch.device("cuda")
        model = cifar_net(8, num_classes=2).to(device, memory_format=torch.channels_last).train()
        batches = Batches(dataset, "per_pixel_mean", device)
        stepper = Stepper(model, batches, Recipe(64, batch_size=20, lr=0.02))
        stepper.graph = graph
        generator = torch.Generator().manual_seed(2)
        losses = []
        for lr in (0.002, 0.0002):  # small, so that rounding does not grow; the graph must obey a change of them
            draws = [
                Batches.draw(torch.randperm(100, generator=generator)[:20], generator, True) for _ in range(updates)
            ]
            with exact(device, "float32"):
                losses += stepper(torch.stack(draws), lr)[0]
        assert stepper.graph == graph
        return model, losses

    def test_a_graph_computes_what_single_updates_do(self, photos):
        (a, graph), (b, eager) = self.run(photos, True), self.run(photos, False)
        assert graph == pytest.approx(eager, rel=1e-3)
        assert distance(a, b) < 1e-3
        assert all(torch.allclose(x, y, rtol=1e-3, atol=1e-5) for x, y in zip(a.buffers(), b.buffers(), strict=True))

    def test_same_seed_same_numbers(self, photos):
        def go() -> tuple:
            torch.manual_seed(0)
            net = cifar_net(20, num_classes=2)
            recipe = Recipe(120, batch_size=20, lr=0.05, milestones=(70,), augment=True, eval_every=60)
            return train(net, photos, recipe, seed=3, device="cuda").evaluations, net.fc.weight.detach().cpu()

        (a, x), (b, y) = go(), go()
        assert a == b
        assert torch.equal(x, y)

    @pytest.mark.parametrize("card", ["cuda", "cuda:1"])
    def test_cuda_agrees_with_the_processor(self, photos, card):
        if card == "cuda:1" and torch.cuda.device_count() < 2:
            pytest.skip("needs two CUDA devices")
        found = {}
        for device in ("cpu", card):
            torch.manual_seed(0)
            net = cifar_net(8, num_classes=2)
            recipe = Recipe(20, batch_size=32, lr=0.005, milestones=(12,), augment=True, eval_every=20)
            train(net, photos, recipe, seed=5, device=device, precision="float32")
            found[device] = net.cpu()
        assert distance(found[card], found["cpu"]) < 5e-3
