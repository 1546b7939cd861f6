"""Measure what the bugs of chapter 10 cost and put the numbers into the package: `tools/bugs.py`.

The net is ResNet-8 with option B, the images are the digits, as they are (from 0, paper, to 1, ink). A seed shuffles
them: 600 to train on, 400 that the code at hand calls its test set, 797 that it never sees. Each bug is measured in two
settings, a mild one and a worse one, against the same code without the bug, from the same weights and batches. A cost
is in percentage points: of the error on the 797 images, or of what the code reports less what is true of the same net
and images. It goes on where it was stopped, in `runs/bugs`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from resnet_edu.data import crop_and_flip, load
from resnet_edu.experiment.shipped import BUGS, RESULTS
from resnet_edu.nets import BasicBlock, get_model
from resnet_edu.support.files import write_atomic

SEEDS, DEEP_SEEDS = 8, 5
EPOCHS, BATCH = 12, 32
FOLDER = Path("runs/bugs")
Set = tuple[Tensor, Tensor]  # images (N, 1, H, W) and labels (N,)
Costs = tuple[float, float | None]  # in the mild setting and in the worse one; None where it was not tried
Change = Callable[[nn.Module], object]  # puts a bug into a net


def build(seed: int, depth: int = 8, shortcut: str = "projection") -> nn.Module:
    """Return a net with fresh weights."""
    torch.manual_seed(seed)
    return get_model(f"resnet{depth}", in_channels=1, shortcut=shortcut)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> int:
    """Make an update, and return how many answers before it were wrong."""
    out = net(images)
    optimizer.zero_grad()
    F.cross_entropy(out, labels).backward()
    optimizer.step()
    return int((out.argmax(1) != labels).sum())


def fit(
    net: nn.Module,
    part: Set,
    seed: int,
    *,
    epochs: int = EPOCHS,
    change: Callable[[Tensor], Tensor] = lambda images: images,
    after: Callable[[torch.optim.Optimizer], object] = lambda optimizer: None,
) -> nn.Module:
    """Train a net by SGD, whose rate falls twice, and return it; `after` comes at the end of each epoch."""
    images, labels = part
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)
    rates = torch.optim.lr_scheduler.MultiStepLR(optimizer, [epochs // 2, 3 * epochs // 4])
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(images), generator=draw)
        for picks in order[: len(images) // BATCH * BATCH].split(BATCH):
            step(net, optimizer, change(images[picks]), labels[picks])
        rates.step()
        after(optimizer)
    return net


@torch.no_grad()
def wrong(net: nn.Module, part: Set) -> Tensor:
    """Return for each image 100 if the answer is wrong, else 0, so that the mean is the error in percent."""
    net.eval()
    answers = torch.cat([net(some).argmax(1) for some in part[0].split(500)])
    return 100.0 * (answers != part[1])


def error(net: nn.Module, part: Set) -> float:
    """Return the error (percent), computed as it should be."""
    return wrong(net, part).mean().item()


class Case:
    """The images of one seed, and a net that is trained on them without any bug."""

    def __init__(self, seed: int) -> None:
        digits, draw = load("digits"), torch.Generator().manual_seed(seed)
        order = torch.randperm(1797, generator=draw)
        self.seed = seed
        self.ink = torch.cat([digits.train_images, digits.test_images])[order].float() / 255
        self.labels = torch.cat([digits.train_labels, digits.test_labels])[order]
        self.half = torch.rand(1797, 1, 1, 1, generator=draw) < 0.5  # of the images, at random
        self.train, self.test, self.fresh = self.sets(self.ink)
        self.best, told = Best(self.test), []
        self.net = build(seed)

        def after(optimizer: object) -> None:
            self.best.look(self.net)
            told.append(
                (error(self.net, self.train), error(self.net, self.test), in_training_mode(self, by_class=True))
            )

        fit(self.net, self.train, seed, after=after)
        self.error = error(self.net, self.fresh)
        self.curves = dict(zip(("train", "test", "no_eval"), zip(*told, strict=True), strict=True))

    def sets(self, images: Tensor) -> list[Set]:
        """Return the three sets, of images that are made of all."""
        return list(zip(images.split((600, 400, 797)), self.labels.split((600, 400, 797)), strict=True))

    def trained(
        self, change: Change | None = None, images: Tensor | None = None, lr: float = 0.1, **net: object
    ) -> float:
        """Return the error on new images of a net that is changed, then trained."""
        made = build(self.seed, **net)
        if change:
            change(made)
        train, _, fresh = self.sets(self.ink if images is None else images)
        return error(fit(made, train, self.seed), fresh)

    @cached_property
    def noisy(self) -> tuple[nn.Module, Best]:
        """A net after 36 epochs with 40% of the training labels wrong, and its best epoch on the test images."""
        draw = torch.Generator().manual_seed(self.seed)
        images, labels = self.train
        other = (labels + torch.randint(1, 10, labels.shape, generator=draw)) % 10
        wrongly = torch.where(torch.rand(labels.shape, generator=draw) < 0.4, other, labels)
        net, best = build(self.seed), Best(self.test)
        fit(net, (images, wrongly), self.seed, epochs=3 * EPOCHS, after=lambda optimizer: best.look(net))
        return net, best


class Best:
    """A copy of a net at the end of the epoch with the lowest error on a set, and the errors of all epochs."""

    def __init__(self, part: Set) -> None:
        self.part, self.errors, self.net = part, [], None

    def look(self, net: nn.Module) -> None:
        """Keep a copy if the net is better than all before."""
        self.errors.append(error(net, self.part))
        if self.errors[-1] < min(self.errors[:-1], default=101.0):
            self.net = copy.deepcopy(net)


# ---------------------------------------------------------------- the net


class ReluEarly(BasicBlock):
    """A block with a ReLU before the addition."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(ReLU(F(x)) + shortcut(x))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(out + identity)


def _blocks(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, BasicBlock)]


def _early_stride(net: nn.Module) -> None:
    net.layer1[0] = BasicBlock(16, 16, stride=2)


def _early_relu(net: nn.Module) -> None:
    for block in _blocks(net):
        block.__class__ = ReluEarly


def _no_norm(net: nn.Module) -> None:
    for block in _blocks(net):
        if block.downsample is not None:
            old = block.downsample[0]
            block.downsample = nn.Conv2d(old.in_channels, old.out_channels, 1, old.stride)


def _fixed_pool(net: nn.Module) -> nn.Module:
    net.avgpool = nn.AvgPool2d(2)
    return net


def stride(case: Case) -> Costs:
    """Stride 2 in the first stage: on images of 8x8, and on the same images at half the size."""
    small = F.avg_pool2d(case.ink, 2)
    return (
        case.trained(_early_stride) - case.error,
        case.trained(_early_stride, small) - case.trained(images=small),
    )


def relu(case: Case) -> Costs:
    """ReLU before the addition: in 8 layers and in 44."""
    mild = case.trained(_early_relu) - case.error
    return mild, case.trained(_early_relu, depth=44) - case.trained(depth=44) if case.seed < DEEP_SEEDS else None


def projection(case: Case) -> Costs:
    """Projections with a bias and without batch norm: where the shape changes, and in every block of 20 layers."""
    every = {"shortcut": "projection_all", "depth": 20}
    worse = case.trained(_no_norm, **every) - case.trained(**every) if case.seed < DEEP_SEEDS else None
    return case.trained(_no_norm) - case.error, worse


def pool(case: Case) -> Costs:
    """A pooling of 2x2 pixels on maps of 3x3: digits of 12x12 pixels, and of 8x8 in the corner of 12x12."""
    large = F.interpolate(case.ink, size=(12, 12), mode="bilinear")
    corner = case.sets(F.pad(case.ink, (4, 0, 4, 0)))[2]
    stiff = _fixed_pool(copy.deepcopy(case.net))
    assert error(stiff, case.fresh) == case.error  # on the maps of 2x2 that it was made for
    mild = case.trained(_fixed_pool, large) - case.trained(images=large)
    return mild, error(stiff, corner) - error(case.net, corner)


# ---------------------------------------------------------------- the loop


def steps_on_test(case: Case) -> Costs:
    """The optimizer steps on the test images, too: 600 and 400 images, and 100 and 100 for six times as many epochs."""
    found = []
    for count, epochs in ((None, EPOCHS), (100, 6 * EPOCHS)):
        train, test = ([part[:count] for part in some] for some in (case.train, case.test))
        net, told = build(case.seed), []

        def after(optimizer: torch.optim.Optimizer, net: nn.Module = net, test: list = test, told: list = told) -> None:
            net.train()
            batches = zip(*(part.split(BATCH) for part in test), strict=True)
            mistakes = sum(step(net, optimizer, *batch) for batch in batches)
            told.append((error(net, case.train), 100 * mistakes / len(test[1])))

        fit(net, train, case.seed, epochs=epochs, after=after)
        found.append(told[-1][1] - error(net, case.fresh))
        if count is None:
            case.curves["steps_on_test"] = tuple(zip(*told, strict=True))
    return tuple(found)


@torch.no_grad()
def in_training_mode(case: Case, by_class: bool) -> float:
    """Return the error that is found on the test images without eval(), in batches of 32."""
    images, labels = case.test
    order = labels.argsort(stable=True) if by_class else torch.arange(len(labels))
    net = copy.deepcopy(case.net).train()
    answers = torch.cat([net(some).argmax(1) for some in images[order].split(BATCH)])
    return 100 * (answers != labels[order]).float().mean().item()


def no_eval(case: Case) -> Costs:
    """No eval(): shuffled test images, and test images in the order of their classes."""
    true = error(case.net, case.test)
    return tuple(in_training_mode(case, by_class) - true for by_class in (False, True))


def last_kept(case: Case) -> Costs:
    """The last epoch in the place of the best: as ever, and of 36 with 40% of the training labels wrong."""
    pairs = ((case.net, case.best), case.noisy)
    return tuple(error(last, case.fresh) - error(best.net, case.fresh) for last, best in pairs)


# ---------------------------------------------------------------- the evaluation


def moved(images: Tensor, draw: torch.Generator) -> Tensor:
    """Return images moved by one pixel at most."""
    top, left = torch.randint(3, (2, len(images)), generator=draw)
    return crop_and_flip(images, top, left, torch.zeros(len(images), dtype=torch.bool), padding=1)


def cropped(images: Tensor, draw: torch.Generator) -> Tensor:
    """Return a part of each image at the old size, as torchvision's RandomResizedCrop chooses it: from 8% of it on."""
    area, ratio, x, y = torch.rand(4, len(images), generator=draw)
    area, ratio = 0.08 + 0.92 * area, (4 / 3) ** (2 * ratio - 1)
    width, height = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def training_transforms(case: Case) -> Costs:
    """The test images are changed like the training images: moved by a pixel, and cropped at random."""
    found, draw = [], torch.Generator().manual_seed(case.seed)
    for change in (moved, cropped):
        net = fit(build(case.seed), case.train, case.seed, change=partial(change, draw=draw))
        found.append(error(net, (change(case.test[0], draw), case.test[1])) - error(net, case.test))
    return tuple(found)


def batch_means(case: Case) -> Costs:
    """The mean of the batches' means: 400 images by 32, over many orders; and 385 by 128, when the last is wrong."""
    each, draw = wrong(case.net, case.test), torch.Generator().manual_seed(case.seed)

    def off(some: Tensor, size: int) -> float:
        return (torch.stack([batch.mean() for batch in some.split(size)]).mean() - some.mean()).item()

    orders = (torch.randperm(len(each), generator=draw) for _ in range(1000))
    return sum(off(each[order], 32) for order in orders) / 1000, off(each.sort().values[-385:], 128)


def axes(case: Case) -> Costs:
    """Exchanged axis labels, and where the axis called epoch ends: the test errors of all epochs; with wrong labels."""

    def off(errors: list[float]) -> float:
        (line,) = Figure().subplots().plot(errors)  # epochs from 0, as the tutorial has them
        called_error, called_epoch = line.get_data()
        return called_error[called_epoch.argmax()] - errors[-1]

    return tuple(off(best.errors) for best in (case.best, case.noisy[1]))


# ---------------------------------------------------------------- the data


def nothing_loaded(case: Case) -> Costs:
    """Names that begin with `module.`, and strict=False: then trained on the 400 other images; used as it is."""
    saved = {f"module.{name}": value for name, value in case.net.state_dict().items()}
    net, loaded = build(case.seed + 1000), copy.deepcopy(case.net)
    net.load_state_dict(saved, strict=False)
    worse = error(net, case.fresh) - case.error
    tuned, right = (error(fit(some, case.test, case.seed), case.fresh) for some in (net, loaded))
    return tuned - right, worse


def sideways(case: Case) -> Costs:
    """Images on their side: half of all, in training too; and all that an upright net is asked about."""
    turned = case.ink.rot90(1, (2, 3))
    mild = case.trained(images=torch.where(case.half, turned, case.ink)) - case.error
    return mild, error(case.net, case.sets(turned)[2]) - case.error


def transparent(case: Case) -> Costs:
    """Black ink on transparent, of which black is left: half of all images; and all that a net is asked about."""
    paper = 1 - case.ink
    net = fit(build(case.seed), case.sets(paper)[0], case.seed)
    right = error(net, case.sets(paper)[2])
    mild = case.trained(images=paper * ~case.half) - right
    return mild, error(net, case.sets(0 * paper)[2]) - right


MEASURED = (
    *(stride, relu, projection, pool, steps_on_test, no_eval, last_kept),
    *(training_transforms, batch_means, axes, nothing_loaded, sideways, transparent),
)


def measure(seed: int) -> dict:
    """Return what one seed gives."""
    case = Case(seed)
    costs = {bug.__name__: bug(case) for bug in MEASURED}
    return {"error": case.error, "costs": costs, "curves": case.curves}


def main() -> None:
    """Measure what is missing, then write the record."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for seed in range(SEEDS):
        path = FOLDER / f"seed-{seed}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(measure(seed)).encode())
            print(f"seed {seed} done", flush=True)
    found = [json.loads((FOLDER / f"seed-{seed}.json").read_text()) for seed in range(SEEDS)]
    costs = {}
    for bug in MEASURED:
        columns = zip(*(run["costs"][bug.__name__] for run in found), strict=True)
        costs[bug.__name__] = [[round(c, 3) for c in column if c is not None] for column in columns]
    record = {
        "error": [round(run["error"], 3) for run in found],
        "costs": costs,
        "curves": found[0]["curves"],
    }
    write_atomic(RESULTS / BUGS, (json.dumps(record) + "\n").encode())


if __name__ == "__main__":
    main()
