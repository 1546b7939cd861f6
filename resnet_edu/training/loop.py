"""One training loop, for everything that trains: SGD with momentum on batches that live on the device.

Scope: from a net, a data set and a `Recipe` (`recipe.py`) to a `History`. It prints nothing; whoever wants to watch
passes a callback. Everything that changes while it runs is in one `_Run` object, which `checkpoints.py` keeps in a file
if asked to.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
  [2] PyTorch's documentation of `torch.optim.SGD`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Batches, Dataset
from ..support.system import resolve_device
from ..support.validate import one_of, whole
from . import checkpoint as checkpoints
from .checkpoint import Checkpoint, Keeper
from .group import ALONE, Group
from .recipe import Recipe
from .step import Stepper, exact, mixed, resolve_precision

__all__ = [
    "Checkpoint",
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

EVALUATION_BATCH = 500  # images; small enough for the processor's caches
EVALUATION_PIXELS = 5_000_000  # of a batch on CUDA: large, since there the number of kernels is what costs time
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

    kind:  "step" (after each update), "evaluating" (in the middle of an evaluation) or "evaluation" (its result); first
           of all "resumed", if the run goes on from a checkpoint.
    step:  updates done so far, of `steps`.
    lr:    learning rate of the last update.
    loss:  mean loss of the last batch, before its update (nats).
    work:  share of the run's computation that is done, 0..1: evaluations included, for a clock that tells the truth.
    evaluation: for kind "evaluation".
    earlier: for kind "resumed": the evaluations of before.
    """

    kind: str
    step: int
    steps: int
    lr: float
    loss: float
    work: float
    evaluation: Evaluation | None = None
    earlier: tuple[Evaluation, ...] = ()


@dataclass(frozen=True)
class History:
    """What a training run leaves: its evaluations, its wall time, and whether a callback stopped it early.

    The wall time of a run that was resumed is what all its parts took, up to the checkpoints they went on from.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False


@dataclass
class _Run:
    """Everything that changes while training. A checkpoint has to hold this, and nothing else."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # draws the order of the batches and the augmentation; on the processor
    device: torch.device
    step: int = 0
    lr: float = 0.0  # of the last update
    loss: float = 0.0  # of the last batch
    order: Tensor | None = None  # the order of the images in this epoch
    position: int = 0  # how many of them have been used
    warming: bool = False
    recent_errors: deque[float] = field(default_factory=lambda: deque(maxlen=WARMUP_WINDOW))
    evaluations: list[Evaluation] = field(default_factory=list)
    earlier: float = 0.0  # seconds spent before `begun`
    begun: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """The wall time so far."""
        return self.earlier + time.perf_counter() - self.begun

    def evaluation_due(self, recipe: Recipe) -> bool:
        """Return whether an evaluation comes before the next step."""
        there = self.evaluations[-1].step if self.evaluations else 0
        return self.step > there and (self.step % recipe.eval_every == 0 or self.step == recipe.steps)

    def state(self) -> checkpoints.State:
        """Return all of it, for a checkpoint."""
        tensors = checkpoints.tensors_of(self.model, self.optimizer, self.generator, self.device)
        if self.order is not None:
            tensors["order"] = self.order
        values = {name: getattr(self, name) for name in ("step", "lr", "loss", "position", "warming", "seconds")}
        values["recent_errors"] = list(self.recent_errors)
        values["evaluations"] = [dataclasses.asdict(e) for e in self.evaluations]
        return tensors, values

    def restore(self, state: checkpoints.State) -> None:
        """Take over what `state` returned."""
        tensors, values = state
        checkpoints.put_back(tensors, self.model, self.optimizer, self.generator, self.device)
        self.order = tensors.get("order")
        for name in ("step", "lr", "loss", "position", "warming"):
            setattr(self, name, values[name])
        self.recent_errors.extend(values["recent_errors"])
        self.evaluations = [Evaluation(**e) for e in values["evaluations"]]
        self.earlier, self.begun = values["seconds"], time.perf_counter()

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
    stops: Sequence[int] = (),
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    group: Group = ALONE,
) -> History:
    """Train `model` in place and return its history.

    model:    (B, C, H, W) -> (B, classes); moved to `device`, channels last in memory. Its initial weights are the
              caller's business.
    seed:     of the order of the batches and the augmentation. Two nets with one seed see the same batches in the same
              order, and on one machine with as many threads one net gives the same numbers again on a processor.
    precision: "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (`stepper.py`).
    callback: gets an `Event` after each update (on CUDA, of several at once: waiting for each would take longer than
              the update), and at evaluations; if it raises `StopTraining`, the history so far is returned.
    stops:    numbers of updates after which the callback hears at once on CUDA too, and finds the weights of then.
    checkpoint: a file to save the state in, on a schedule (see `Checkpoint`), and to go on from if it is there. On a
              processor the result is then, number for number, the one of a run that was never interrupted. Ctrl-C waits
              for the end of the step and saves first. The file is left in the end: `checkpoints.remove` removes it.
    group:    the processes that train this net together (`distributed.py` says what they compute); each calls this
              with the same arguments, and the first one alone reads and writes the checkpoint. A Ctrl-C that reaches
              one of them ends all, after the same step.

    The global random state, the grad mode and the model's training flag are left as they were.
    Raises `TrainingDiverged` for a loss that is not finite, `ValueError` for a recipe or a net that does not fit the
    data, `checkpoints.CheckpointError` (a `ValueError`) for the checkpoint of another run, naming the difference.
    """
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    check_fit(recipe, dataset)
    for stop in stops:
        whole("stops", stop, 0)
    group.check_batch(recipe.batch_size)
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    was_training = model.training
    cuda = [device] if device.type == "cuda" else []
    # Layers such as dropout draw from the global state: seed it here, and give the caller's back.
    with torch.random.fork_rng(devices=cuda), torch.enable_grad(), exact(device, precision):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        try:
            return _train(model, dataset, recipe, seed, device, precision, callback, stops, checkpoint, group)
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
    stops: Sequence[int],
    checkpoint: Checkpoint | None,
    group: Group,
) -> History:
    model.to(device, memory_format=torch.channels_last)
    batches = Batches(dataset, recipe.normalize, device)
    _check_output(model, batches, len(dataset.classes))
    stepper = Stepper(model, batches, recipe, precision, group=group)
    generator = torch.Generator().manual_seed(seed)
    run = _Run(model, stepper.optimizer, generator, device, warming=recipe.warmup_lr is not None)
    count = len(dataset.train_images)
    work = _Work(recipe, count + len(dataset.test_images))

    def tell(kind: str, more: int = 0, evaluation: Evaluation | None = None) -> None:
        if callback is not None:
            share = work.done(run.step, len(run.evaluations), more)
            earlier = tuple(run.evaluations) if kind == "resumed" else ()
            callback(Event(kind, run.step, recipe.steps, run.lr, run.loss, share, evaluation, earlier))

    def evaluating(images: int) -> None:
        tell("evaluating", images)
        keeper.poll(run.step, together=group.size == 1)  # the shares of the processes may differ by a batch

    def identity() -> dict[str, Any]:
        # What the run that goes on from a checkpoint must have in common with it: all that has a say in the numbers.
        return {
            "net": checkpoint.net or type(model).__name__,
            "seed": seed,
            "recipe": dataclasses.asdict(recipe),
            "dataset": dataset.fingerprint,
            "device": device.type,
            "precision": precision,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "torch": torch.__version__,
            **({"processes": group.size} if group.size > 1 else {}),
        }

    with Keeper(checkpoint, identity, run.state, group, device) as keeper:
        try:
            if (state := keeper.load()) is not None:
                run.restore(state)
                tell("resumed")
            while True:
                if run.evaluation_due(recipe):
                    found = [
                        *_evaluate(model, batches, "train", precision, group, evaluating),
                        *_evaluate(model, batches, "test", precision, group, evaluating),
                    ]
                    if not all(map(math.isfinite, found)):
                        raise TrainingDiverged(run.step, run.lr, "the loss of the evaluation")
                    run.evaluations.append(Evaluation(run.step, run.lr, *found))
                    keeper.save(run.step)
                    tell("evaluation", evaluation=run.evaluations[-1])
                if run.step == recipe.steps:
                    return History(run.evaluations, run.seconds)
                run.lr = recipe.warmup_lr if run.warming else recipe.lr_at(run.step)
                picks = run.draw(_updates_at_once(run, recipe, device, stops), recipe, count)
                model.train()
                losses, wrong = stepper(picks, run.lr)
                for run.loss, errors in zip(losses, wrong, strict=True):
                    run.step += 1
                    if not math.isfinite(run.loss):
                        raise TrainingDiverged(run.step, run.lr)
                    if run.warming:
                        run.recent_errors.append(errors / recipe.batch_size * 100)
                        run.warming = not _warm(run, recipe)
                tell("step")
                keeper.poll(run.step)
        except StopTraining:
            keeper.save(run.step)
            return History(run.evaluations, run.seconds, stopped=True)


def _updates_at_once(run: _Run, recipe: Recipe, device: torch.device, stops: Sequence[int]) -> int:
    """Return how many updates to do before the next look: up to an evaluation, another learning rate, or a stop."""
    if device.type != "cuda" or run.warming:
        return 1
    ahead = (recipe.steps, (run.step // recipe.eval_every + 1) * recipe.eval_every, *recipe.milestones, *stops)
    return min(CHUNK, *(step - run.step for step in ahead if step > run.step))


def _warm(run: _Run, recipe: Recipe) -> bool:
    """Return whether the warm-up is over."""
    errors = run.recent_errors
    return len(errors) == WARMUP_WINDOW and sum(errors) / len(errors) < recipe.warmup_error


@torch.no_grad()
def _evaluate(
    model: nn.Module,
    batches: Batches,
    part: str,
    precision: str,
    group: Group = ALONE,
    tick: Callable[[int], None] = lambda n: None,
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) over all of "train" or "test", in eval mode; tick(images done).

    Each process of the group passes its share of the images, and every one gets the result of all.
    """
    model.eval()
    group.share_buffers(model)
    losses, wrong, seen = [], [], 0
    offset = 0 if part == "train" else len(batches.train[1])
    for images, labels in batches.evaluation(part, _evaluation_batch(batches), group.rank, group.size):
        with mixed(batches.device, precision):
            logits = model(images).float()
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        wrong.append((logits.argmax(1) != labels).sum())
        seen += len(labels)
        tick(offset + seen * group.size)
    # Read at the end: before, each value would wait for the device. A process may have had no batch at all.
    found = [sum(torch.stack(values).tolist()) if values else 0 for values in (losses, wrong)]
    total, errors, seen = group.sums([*found, seen], batches.device)
    return total / seen, errors / seen * 100


def _evaluation_batch(batches: Batches) -> int:
    """Return how many images to evaluate at once."""
    height, width = batches.test[0].shape[2:]
    large = EVALUATION_PIXELS // (height * width) if batches.device.type == "cuda" else 0
    return max(EVALUATION_BATCH, large)


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
    one_of("part", part, ("train", "test"))
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
        planned = math.ceil(recipe.steps / recipe.eval_every)
        self.total = recipe.steps * self.step_cost + planned * images

    def done(self, step: int, evaluations: int, more: int = 0) -> float:
        """Return the share of the whole after `step` steps, `evaluations` of all images, and one of `more` images."""
        return (step * self.step_cost + evaluations * self.images + more) / self.total
