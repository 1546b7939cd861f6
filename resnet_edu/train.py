"""One training loop, for everything that trains: SGD with momentum on batches that live on the device.

Scope: from a net, a data set and a `Recipe` (`recipe.py`) to a `History`. It prints nothing and knows no files; whoever
wants to watch passes a callback. Everything that changes while it runs is in one `_Run` object.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
  [2] PyTorch's documentation of `torch.optim.SGD`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import _one_of
from .data import Batches, Dataset
from .devices import resolve_device
from .recipe import Recipe
from .stepper import Stepper, exact, mixed, resolve_precision

__all__ = [
    "Evaluation",
    "Event",
    "History",
    "Recipe",
    "StopTraining",
    "TrainingDiverged",
    "check_fit",
    "evaluate",
    "train",
]

EVALUATION_BATCH = 500  # images; small enough for the processor's caches and for any graphics card
WARMUP_WINDOW = 100  # batches over which the training error is averaged while warming up
CHUNK = 50  # updates on CUDA between two looks at the losses: each look waits for the card


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

    def draw(self, updates: int, recipe: Recipe, count: int) -> Tensor:
        """Return the picks (`Batches.draw`) of the next updates, (K, 4, B) or (K, 1, B)."""
        return torch.stack(
            [
                Batches.draw(self.next_indices(recipe.batch_size, count), self.generator, recipe.augment)
                for _ in range(updates)
            ]
        )


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    callback: Callable[[Event], object] | None = None,
) -> History:
    """Train `model` in place and return its history.

    model:    (B, C, H, W) -> (B, classes); moved to `device`, channels last in memory. Its initial weights are the
              caller's business.
    seed:     of the order of the batches and the augmentation. Two nets with one seed see the same batches in the same
              order, and on one machine with as many threads one net gives the same numbers again on a processor.
    precision: "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (`stepper.py`).
    callback: gets an `Event` after each update (on CUDA, of several at once: waiting for each would take longer than
              the update), and at evaluations; if it raises `StopTraining`, the history so far is returned.

    The global random state, the grad mode and the model's training flag are left as they were.
    Raises `TrainingDiverged` for a loss that is not finite, `ValueError` for a recipe or a net that does not fit the
    data.
    """
    check_fit(recipe, dataset)
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    was_training = model.training
    cuda = [device] if device.type == "cuda" else []
    # Layers such as dropout draw from the global state: seed it here, and give the caller's back.
    with torch.random.fork_rng(devices=cuda), torch.enable_grad(), exact(device, precision):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        try:
            return _train(model, dataset, recipe, seed, device, precision, callback)
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
    precision: str,
    callback: Callable[[Event], object] | None,
) -> History:
    model.to(device, memory_format=torch.channels_last)
    batches = Batches(dataset, recipe.normalize, device)
    _check_output(model, batches, len(dataset.classes))
    stepper = Stepper(model, batches, recipe, precision)
    generator = torch.Generator().manual_seed(seed)
    run = _Run(model, stepper.optimizer, generator, warming=recipe.warmup_lr is not None)
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
            updates = _updates_at_once(run, recipe, device)
            model.train()
            for loss, wrong in zip(*stepper(run.draw(updates, recipe, count), lr), strict=True):
                run.step += 1
                if not math.isfinite(loss):
                    raise TrainingDiverged(run.step, lr)
                if run.warming:
                    run.recent_errors.append(wrong / recipe.batch_size * 100)
                    run.warming = not _warm(run, recipe)
            tell("step", work.done(run.step))
            if run.step % recipe.eval_every == 0 or run.step == recipe.steps:
                before = work.done(run.step)
                found = []
                for part in ("train", "test"):
                    tick = lambda n: tell("evaluating", before + work.share(n))  # noqa: B023, E731
                    found += _evaluate(model, batches, part, precision, tick)
                evaluation = Evaluation(run.step, lr, *found)
                if not all(map(math.isfinite, found)):
                    raise TrainingDiverged(run.step, lr, "the loss of the evaluation")
                run.evaluations.append(evaluation)
                work.evaluated()
                tell("evaluation", work.done(run.step), evaluation)
    except StopTraining:
        return History(run.evaluations, time.perf_counter() - start, stopped=True)
    return History(run.evaluations, time.perf_counter() - start)


def _updates_at_once(run: _Run, recipe: Recipe, device: torch.device) -> int:
    """Return how many updates to do before the next look: up to the next evaluation or change of the learning rate."""
    if device.type != "cuda" or run.warming:
        return 1
    ahead = (recipe.steps, (run.step // recipe.eval_every + 1) * recipe.eval_every, *recipe.milestones)
    return min(CHUNK, *(step - run.step for step in ahead if step > run.step))


def _warm(run: _Run, recipe: Recipe) -> bool:
    """Return whether the warm-up is over."""
    errors = run.recent_errors
    return len(errors) == WARMUP_WINDOW and sum(errors) / len(errors) < recipe.warmup_error


def _errors(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) != labels).sum())


@torch.no_grad()
def _evaluate(
    model: nn.Module, batches: Batches, part: str, precision: str, tick: Callable[[int], None] = lambda n: None
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) over all of "train" or "test", in eval mode; tick(images done)."""
    model.eval()
    total, wrong, seen = 0.0, 0, 0
    offset = 0 if part == "train" else len(batches.train[1])
    for images, labels in batches.evaluation(part, EVALUATION_BATCH):
        with mixed(batches.device, precision):
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
    precision: str = "auto",
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) of `model` over all of "train" or "test", in eval mode.

    The images are normalised by the training images' statistics. The model's training flag is left as it was.
    """
    _one_of("part", part, ("train", "test"))
    device = resolve_device(device)
    was_training = model.training
    model.to(device, memory_format=torch.channels_last)
    try:
        precision = resolve_precision(precision, device)
        with exact(device, precision):
            return _evaluate(model, Batches(dataset, normalize, device), part, precision)
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
