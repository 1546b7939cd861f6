"""One training loop, for everything that trains: SGD with momentum on batches that live on the device.

Scope: from a net, a data set and a `Recipe` to a `History`. It prints nothing and knows no files; whoever wants to
watch passes a callback. Everything that changes while it runs is in one `_Run` object.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: the recipe for CIFAR-10,
      and the slow start of the net with 110 layers.
  [2] PyTorch's documentation of `torch.optim.SGD`, and of `torch.set_flush_denormal`.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import _one_of
from .data import NORMALIZE, Batches, Dataset
from .records import processor_name

EVALUATION_BATCH = 500  # images; small enough for the processor's caches and for any graphics card
WARMUP_WINDOW = 100  # batches over which the training error is averaged while warming up


class TrainingDiverged(RuntimeError):
    """Raised when a loss is no longer a finite number. Has `step` and `lr`."""

    def __init__(self, step: int, lr: float, what: str = "the loss of the batch") -> None:
        super().__init__(step, lr, what)
        self.step, self.lr, self.what = step, lr, what

    def __str__(self) -> str:
        return (
            f"training diverged: {self.what} is not a finite number at step {self.step} with learning rate "
            f"{self.lr:g}; try a lower one (lr={self.lr / 10:g}, or --lr {self.lr / 10:g}), or a slow start "
            f"(warmup_lr={self.lr / 10:g})"
        )


class StopTraining(Exception):
    """Raised by a callback to end the training cleanly; the history so far is returned."""


@dataclass(frozen=True)
class Recipe:
    """How to train. The presets are `paper`, `scaled` and `digits`; `replace` changes single fields.

    steps:      updates of the weights ("iterations" in the paper).
    batch_size: images a step.
    lr:         learning rate at the start (after the warm-up, if there is one).
    momentum:   of SGD, 0 up to but not including 1.
    weight_decay: times each weight, is added to its gradient.
    milestones: steps after which the learning rate is divided by 10, ascending.
    warmup_lr:  a lower learning rate to start with, until the training error of the last 100 batches falls below
                `warmup_error` percent; None for none. The paper needs it for 110 layers.
    warmup_error: in percent, see `warmup_lr`.
    augment:    pad by 4 zero pixels, crop at random to the old size, mirror every other image.
    normalize:  "per_pixel_mean" subtracts the mean image (the paper's); "per_channel" subtracts each channel's mean and
                divides by its standard deviation.
    eval_every: steps between two evaluations on the whole training and test set; there is one more after the last step.
    """

    steps: int
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    milestones: tuple[int, ...] = ()
    warmup_lr: float | None = None
    warmup_error: float = 80.0
    augment: bool = False
    normalize: str = "per_pixel_mean"
    eval_every: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name in ("steps", "batch_size", "eval_every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a whole number of at least 1, but it is {value!r}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"`lr` must be a number above 0, but it is {self.lr!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1, but it is {self.momentum!r}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"`weight_decay` must be at least 0, but it is {self.weight_decay!r}")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"`milestones` must ascend, but they are {self.milestones}")
        if self.milestones and not 0 < self.milestones[0] <= self.milestones[-1] < self.steps:
            raise ValueError(
                f"`milestones` must lie between 0 and `steps` ({self.steps}), or the learning rate would never fall, "
                f"but they are {self.milestones}; Recipe.scaled(steps) puts them in proportion"
            )
        if self.warmup_lr is not None and not 0 < self.warmup_lr < self.lr:
            raise ValueError(f"`warmup_lr` must lie between 0 and `lr` ({self.lr:g}), but it is {self.warmup_lr!r}")
        if not 0 < self.warmup_error <= 100:
            raise ValueError(f"`warmup_error` must be a percentage above 0, but it is {self.warmup_error!r}")
        _one_of("normalize", self.normalize, NORMALIZE)

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def lr_at(self, step: int) -> float:
        """Return the learning rate of the update from `step` to `step + 1` weights, warm-up aside."""
        return self.lr / 10 ** bisect.bisect_right(self.milestones, step)

    @classmethod
    def paper(cls, depth: int = 56) -> Recipe:
        """Return the recipe of section 4.2 of [1] for CIFAR-10; with 110 layers or more it starts slowly."""
        slow = 0.01 if depth >= 110 else None
        return cls(64_000, milestones=(32_000, 48_000), warmup_lr=slow, augment=True, eval_every=1000)

    @classmethod
    def scaled(cls, steps: int, depth: int = 56) -> Recipe:
        """Return the paper's recipe in `steps` steps: the learning rate falls after 1/2 and 3/4 of them."""
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 4:
            raise ValueError(f"`steps` must be a whole number of at least 4, but it is {steps!r}")
        every = max(1, steps // 64)
        return cls.paper(depth).replace(steps=steps, milestones=(steps // 2, steps * 3 // 4), eval_every=every)

    @classmethod
    def digits(cls) -> Recipe:
        """Return a recipe for scikit-learn's digits: 200 steps in which a deep plain net is seen to lag behind."""
        return cls(200, eval_every=20)


@dataclass(frozen=True)
class Evaluation:
    """Losses (mean cross-entropy, nats) and errors (percent) in eval mode over the whole training and test set."""

    step: int
    lr: float
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float


@dataclass(frozen=True)
class Event:
    """What a callback gets.

    kind:  "step" (after each update), "evaluating" (in the middle of an evaluation) or "evaluation" (its result).
    step:  updates done so far, of `steps`.
    lr:    learning rate of the last update.
    loss:  mean loss of the last batch, before its update (nats).
    work:  share of the run's computation that is done, 0..1: evaluations included, for a clock that tells the truth.
    evaluation: for kind "evaluation".
    """

    kind: str
    step: int
    steps: int
    lr: float
    loss: float
    work: float
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class History:
    """What a training run leaves: its evaluations, its wall time, and whether a callback stopped it early."""

    evaluations: list[Evaluation] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False


@dataclass
class _Run:
    """Everything that changes while training. A checkpoint has to hold this, and nothing else."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # draws the order of the batches and the augmentation; on the processor
    step: int = 0
    order: Tensor | None = None  # the order of the images in this epoch
    position: int = 0  # how many of them have been used
    warming: bool = False
    recent_errors: deque[float] = field(default_factory=lambda: deque(maxlen=WARMUP_WINDOW))
    evaluations: list[Evaluation] = field(default_factory=list)

    def next_indices(self, size: int, count: int) -> Tensor:
        """Return the indices (size,) of the next batch; the few images left over at an epoch's end sit it out."""
        if self.order is None or self.position + size > count:
            self.order, self.position = torch.randperm(count, generator=self.generator), 0
        self.position += size
        return self.order[self.position - size : self.position]


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device called `name`: "cpu", "cuda", "cuda:1", "mps", or for "auto" the fastest that is there.

    Raises `ValueError` for an unknown name and `RuntimeError` for a device that this machine does not have.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"`device` must be auto, cpu, cuda or mps, but it is {str(name)!r}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"`device` must be auto, cpu, cuda or mps, but it is {str(name)!r}")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise RuntimeError(
            f"device {str(name)!r} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices: use "
            "device 'cpu', or check the driver and that this PyTorch was built for CUDA"
        )
    if device.type == "mps" and not _has_mps():
        raise RuntimeError("device 'mps' was asked for, but this is no Mac with a graphics unit for PyTorch: use 'cpu'")
    return device


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def device_name(device: torch.device) -> str:
    """Return what the device is called by its maker, as far as the system tells it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_process(threads: int) -> None:
    """Set a fresh process up for training on the processor: `threads` threads, and denormal numbers flushed to zero.

    Numbers below 1e-38 arise in deep nets, and arithmetic on them is up to 6 times slower ([2]). The switch belongs to
    a thread and is inherited by threads that it starts, so call this before anything else is computed.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    callback: Callable[[Event], object] | None = None,
) -> History:
    """Train `model` in place and return its history.

    model:    (B, C, H, W) -> (B, classes); moved to `device`, channels last in memory. Its initial weights are the
              caller's business.
    seed:     of the order of the batches and the augmentation. Two nets with one seed see the same batches in the same
              order, and on one machine with as many threads one net gives the same numbers again on a processor.
    callback: gets an `Event`; if it raises `StopTraining`, the history so far is returned.

    The global random state, the grad mode and the model's training flag are left as they were.
    Raises `TrainingDiverged` for a loss that is not finite, `ValueError` for a recipe or a net that does not fit the
    data.
    """
    check_fit(recipe, dataset)
    device = resolve_device(device)
    was_training = model.training
    cuda = [device] if device.type == "cuda" else []
    # Layers such as dropout draw from the global state: seed it here, and give the caller's back.
    with torch.random.fork_rng(devices=cuda), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        try:
            return _train(model, dataset, recipe, seed, device, callback)
        finally:
            model.train(was_training)


def check_fit(recipe: Recipe, dataset: Dataset) -> None:
    """Raise `ValueError` if the data set has fewer images than one batch of the recipe."""
    if recipe.batch_size > len(dataset.train_images):
        raise ValueError(
            f"`batch_size` is {recipe.batch_size}, but {dataset.name} has only {len(dataset.train_images)} training "
            "images: use a smaller batch (--batch-size on the command line)"
        )


def _train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    callback: Callable[[Event], object] | None,
) -> History:
    model.to(device, memory_format=torch.channels_last)
    batches = Batches(dataset, recipe.normalize, device)
    _check_output(model, batches, len(dataset.classes))
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    run = _Run(model, optimizer, torch.Generator().manual_seed(seed), warming=recipe.warmup_lr is not None)
    count = len(dataset.train_images)
    images = count + len(dataset.test_images)
    work = _Work(recipe, images)
    lr = loss = 0.0

    def tell(kind: str, work_done: float, evaluation: Evaluation | None = None) -> None:
        if callback is not None:
            callback(Event(kind, run.step, recipe.steps, lr, loss, work_done, evaluation))

    start = time.perf_counter()
    try:
        while run.step < recipe.steps:
            lr = recipe.warmup_lr if run.warming else recipe.lr_at(run.step)
            indices = run.next_indices(recipe.batch_size, count)
            loss = _update(run, *batches.training(indices, run.generator, recipe.augment), lr)
            run.step += 1
            if not math.isfinite(loss):
                raise TrainingDiverged(run.step, lr)
            run.warming = run.warming and not _warm(run, recipe)
            tell("step", work.done(run.step))
            if run.step % recipe.eval_every == 0 or run.step == recipe.steps:
                before = work.done(run.step)
                found = []
                for part in ("train", "test"):
                    found += _evaluate(model, batches, part, lambda n: tell("evaluating", before + work.share(n)))  # noqa: B023
                evaluation = Evaluation(run.step, lr, *found)
                if not all(map(math.isfinite, found)):
                    raise TrainingDiverged(run.step, lr, "the loss of the evaluation")
                run.evaluations.append(evaluation)
                work.evaluated()
                tell("evaluation", work.done(run.step), evaluation)
    except StopTraining:
        return History(run.evaluations, time.perf_counter() - start, stopped=True)
    return History(run.evaluations, time.perf_counter() - start)


def _update(run: _Run, images: Tensor, labels: Tensor, lr: float) -> float:
    """Do one step of SGD on a batch and return its mean loss before the step."""
    for group in run.optimizer.param_groups:
        group["lr"] = lr
    run.model.train()
    logits = run.model(images)
    loss = F.cross_entropy(logits, labels)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()
    if run.warming:
        run.recent_errors.append(_errors(logits, labels) / len(labels) * 100)
    return loss.item()


def _warm(run: _Run, recipe: Recipe) -> bool:
    """Return whether the warm-up is over."""
    errors = run.recent_errors
    return len(errors) == WARMUP_WINDOW and sum(errors) / len(errors) < recipe.warmup_error


def _errors(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) != labels).sum())


@torch.no_grad()
def _evaluate(
    model: nn.Module, batches: Batches, part: str, tick: Callable[[int], None] = lambda n: None
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) over all of "train" or "test", in eval mode; tick(images done)."""
    model.eval()
    total, wrong, seen = 0.0, 0, 0
    offset = 0 if part == "train" else len(batches.train[1])
    for images, labels in batches.evaluation(part, EVALUATION_BATCH):
        logits = model(images).float()
        total += F.cross_entropy(logits, labels, reduction="sum").item()
        wrong += _errors(logits, labels)
        seen += len(labels)
        tick(offset + seen)
    return total / seen, wrong / seen * 100


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    part: str = "test",
    *,
    normalize: str = "per_pixel_mean",
    device: str | torch.device = "cpu",
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) of `model` over all of "train" or "test", in eval mode.

    The images are normalised by the training images' statistics. The model's training flag is left as it was.
    """
    _one_of("part", part, ("train", "test"))
    device = resolve_device(device)
    was_training = model.training
    model.to(device, memory_format=torch.channels_last)
    try:
        return _evaluate(model, Batches(dataset, normalize, device), part)
    finally:
        model.train(was_training)


@torch.no_grad()
def _check_output(model: nn.Module, batches: Batches, classes: int) -> None:
    """Raise `ValueError` if the net's output does not have one value for each class."""
    model.eval()  # batch-norm statistics must not see this batch
    logits = model(batches.normalized(batches.train[0][:2]))
    if logits.dim() != 2 or logits.shape[1] != classes:
        raise ValueError(
            f"the net returns {tuple(logits.shape)} for 2 images, but the data has {classes} classes, so it should be "
            f"(2, {classes}): build it with num_classes={classes}"
        )


class _Work:
    """Counts computation in image passes: 1 forward, 2 backward; an evaluation passes every image forward."""

    def __init__(self, recipe: Recipe, images: int) -> None:
        self.step_cost = 3 * recipe.batch_size
        self.images = images
        self.evaluations = 0
        planned = math.ceil(recipe.steps / recipe.eval_every)
        self.total = recipe.steps * self.step_cost + planned * images

    def evaluated(self) -> None:
        self.evaluations += 1

    def share(self, images: int) -> float:
        """Return the share of the whole that passing `images` images forward is."""
        return images / self.total

    def done(self, step: int) -> float:
        """Return the share of the whole after `step` steps and the evaluations so far."""
        return (step * self.step_cost + self.evaluations * self.images) / self.total
