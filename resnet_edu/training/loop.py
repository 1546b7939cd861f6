"""One training loop, for everything that trains, on batches that live on the device.

It prints nothing: whoever wants to watch passes a callback.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import gc
import math
import os
import textwrap
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Batches, Dataset, Normalize
from ..support.system import layout, resolve_device
from ..support.validate import of_type, one_of, shown, whole, wholes
from . import checkpoint as checkpoints
from .checkpoint import Checkpoint, Keeper
from .group import ALONE, Group
from .recipe import Recipe
from .step import GRAPH_WARMUP, Stepper, exact, mixed, resolve_precision

EVALUATION_BATCH = 500  # images, and
EVALUATION_PIXELS = 512_000  # of a batch, at most: small enough for the processor's caches
CUDA_PIXELS = 5_000_000  # of a batch on CUDA: large, since there the number of kernels is what costs time
WARMUP_WINDOW = 100  # batches over which the training error is averaged while warming up
CHUNK = {"cuda": 50}  # updates between two looks at the losses, which wait for the card; elsewhere 1
_PLAIN = ("step", "lr", "loss", "position", "warming")  # fields of a run that are in a checkpoint as they are


class TrainingDiverged(RuntimeError):
    """Raised when a loss is no longer a finite number. Has `step` and `lr`."""

    def __init__(self, step: int, lr: float, what: str = "the loss of the batch") -> None:
        super().__init__(step, lr, what)
        self.step, self.lr, self.what = step, lr, what

    def __str__(self) -> str:
        how = f"with learning rate {self.lr:g}: try a lower one (--lr {self.lr / 10:g})"
        return f"training diverged: {self.what} is not finite at step {self.step} {how}"


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
           of all "resumed", if the run goes on from a checkpoint, with the `earlier` evaluations.
    step:  updates done so far, of `steps`; `lr` is the learning rate of the last one.
    loss:  mean loss of the last batch, before its update (nats).
    work:  share of the run's computation that is done, 0..1: evaluations included, for a clock that tells the truth.
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
    """What a training run leaves: its evaluations, its wall time (of all its parts), whether a callback stopped it.

    best: the net's state at the evaluation with the lowest test error, if it was to be kept.
    """

    evaluations: list[Evaluation]
    seconds: float
    stopped: bool = False
    best: dict[str, Tensor] | None = None


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
    normalization: tuple[Tensor, Tensor] | None = None,
    keep_best: bool = False,
) -> History:
    """Train `model` in place and return its history.

    model:    (B, C, H, W) -> (B, classes), with its initial weights; moved to `device`, in memory as `layout` says.
    seed:     of the order of the batches and the augmentation. On one machine with as many threads a net gives the same
              numbers again on a processor.
    precision: "float32", "bfloat16" (mixed precision), or "auto": what is fast on the device (see `step.py`).
    callback: gets an `Event` after each update (on CUDA, of several at once) and at evaluations; if it raises
              `StopTraining`, the history so far is returned.
    stops:    numbers of updates after which the callback is called at once on CUDA too, and finds the weights of then.
    checkpoint: a file to save the state in, and to go on from if it is there; see `Checkpoint`. On a processor the
              result is then, number for number, the one of a run that was never interrupted.
    group:    the processes that train this net together, see `group.py`; each calls this with the same arguments.
    normalization: mean and deviation, for a recipe whose `normalize` is "start".
    keep_best: keep the weights with the lowest test error (`best_of`) too: give what `Dataset.hold_out` returns.

    The global random state, the grad mode and the model's training flag are left as they were.

    Raises `TrainingDiverged` for a loss that is not finite, `ValueError` for a recipe or a net that does not fit the
    data, `CheckpointError` (a `ValueError`) for the checkpoint of another run, naming the difference, `RuntimeError` if
    the device's memory is not enough, naming a batch for which it is.
    """
    of_type("model", model, nn.Module), of_type("dataset", dataset, Dataset), of_type("recipe", recipe, Recipe)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    check_fit(recipe, dataset)
    seed, stops = whole("seed", seed, 0), wholes("stops", stops, 0)
    if recipe.batch_size % group.size:  # the mean of the shares' means would be another number
        how = f"which {group.size} processes cannot share out evenly: use a multiple of {group.size} (--batch-size)"
        raise ValueError(f"`batch_size` is {recipe.batch_size}, {how}")
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
            how = {"precision": precision, "stops": stops, "group": group, "normalization": normalization}
            run = functools.partial(_Run, dataset=dataset, seed=seed, device=device, **how)
            with contextlib.suppress(torch.OutOfMemoryError):  # with the error goes what it kept in the memory
                return run(model, recipe=recipe, callback=callback, checkpoint=checkpoint, keep_best=keep_best).train()
            fits = _largest_batch(run, model, recipe) if group.size == 1 else 0
            few = f"the memory of {device} is not enough for batches of {recipe.batch_size}: {fits} images fit"
            raise RuntimeError(f"{few} (--batch-size {fits})") if fits else torch.OutOfMemoryError
        finally:
            model.train(was_training)


def check_fit(recipe: Recipe, dataset: Dataset) -> None:
    """Raise `ValueError` if the data set has fewer images than one batch of the recipe."""
    if recipe.batch_size > len(dataset.train_images):
        few = f"{dataset.name} has only {len(dataset.train_images)} training images"
        raise ValueError(f"`batch_size` is {recipe.batch_size}, but {few}: use a smaller batch (--batch-size)")


def _largest_batch(run: Callable[..., _Run], model: nn.Module, recipe: Recipe) -> int:
    """Return half the recipe's batch, or a quarter and so on, for which the memory is enough; 0 for none.

    Each is tried by a few updates of a copy, and by an evaluation's first batch.
    """

    def callback(event: Event) -> None:
        if event.kind == "evaluating":
            raise StopTraining

    few, size = GRAPH_WARMUP + 2, recipe.batch_size // 2
    recipe = recipe.replace(steps=few, eval_every=few, milestones=(), period=None, frozen=0)
    gc.collect()
    while size > 1:
        torch.cuda.empty_cache()
        with contextlib.suppress(torch.OutOfMemoryError):
            smaller = recipe.replace(batch_size=size)
            run(copy.deepcopy(model), recipe=smaller, callback=callback, checkpoint=None, keep_best=False).train()
            return size
        size //= 2
    return 0


@dataclass
class _Run:
    """One training run: the arguments of `train`, and from `step` on all that changes while it trains.

    A checkpoint has to hold what changes, with the states of the net, the optimizer and the generators; nothing else.
    """

    model: nn.Module
    dataset: Dataset
    recipe: Recipe
    seed: int
    device: torch.device
    precision: str
    callback: Callable[[Event], object] | None
    stops: Sequence[int]
    checkpoint: Checkpoint | None
    group: Group
    normalization: tuple[Tensor, Tensor] | None
    keep_best: bool

    step: int = 0
    lr: float = 0.0  # of the last update
    loss: float = 0.0  # of the last batch
    order: Tensor | None = None  # the order of the images in this epoch
    position: int = 0  # how many of them have been used
    warming: bool = False
    recent_errors: deque[float] = field(default_factory=lambda: deque(maxlen=WARMUP_WINDOW))
    evaluations: list[Evaluation] = field(default_factory=list)
    best: dict[str, Tensor] | None = None  # the net's state at the best of them
    earlier: float = 0.0  # seconds spent before `begun`
    begun: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise ValueError(f"`model` must have a parameter to train, but it is {shown(self.model)}")
        self.model.to(self.device, memory_format=layout(self.device))
        normalize = self.recipe.normalize
        if normalize == "start" and self.normalization is None:
            raise ValueError("`normalize` is 'start': give the `normalization` of the weights that it starts from")
        self.batches = Batches(self.dataset, self.normalization if normalize == "start" else normalize, self.device)
        images = self.batches.normalized(self.batches.train[0][:2])
        check_output(self.model.eval(), images, len(self.dataset.classes))  # statistics must not see these images
        self.stepper = Stepper(self.model, self.batches, self.recipe, self.precision, group=self.group)
        self.generator = torch.Generator().manual_seed(self.seed)  # of batches and augmentation; on the processor
        self.stateful = self.model, self.stepper.optimizer, self.generator, self.device
        self.warming = self.recipe.warmup_lr is not None
        self.keeper = Keeper(self.checkpoint, self.identity, self.state, self.group, self.device)

    def train(self) -> History:
        """Do all updates and evaluations that are left, and return the history."""
        recipe, keeper = self.recipe, self.keeper
        with keeper:
            try:
                if (state := keeper.load()) is not None:
                    self.restore(state)
                    self.report("resumed", earlier=tuple(self.evaluations))
                while True:
                    if self.evaluation_due:
                        self.evaluate()
                    if self.step == recipe.steps:
                        return History(self.evaluations, self.seconds, best=self.best)
                    picks = self.draw(self.updates_at_once)
                    rates = [recipe.lr_at(self.step + i) for i in range(len(picks))]
                    if self.warming:
                        rates = [recipe.warmup_lr]
                    self.stepper.prepare(frozen=self.step < recipe.frozen)
                    losses, wrong = self.stepper(picks, rates)
                    for self.lr, self.loss, errors in zip(rates, losses, wrong, strict=True):
                        self.step += 1
                        if not math.isfinite(self.loss):
                            raise TrainingDiverged(self.step, self.lr)
                        if self.warming:
                            self.recent_errors.append(errors / recipe.batch_size * 100)
                            mean = sum(self.recent_errors) / len(self.recent_errors)
                            self.warming = len(self.recent_errors) < WARMUP_WINDOW or mean >= recipe.warmup_error
                    self.report("step")
                    keeper.poll()
            except StopTraining:
                keeper.save()
                return History(self.evaluations, self.seconds, stopped=True, best=self.best)
            finally:
                self.stepper.release()

    @property
    def seconds(self) -> float:
        """The wall time so far."""
        return self.earlier + time.perf_counter() - self.begun

    @property
    def evaluation_due(self) -> bool:
        """Whether an evaluation comes before the next step."""
        last = self.evaluations[-1].step if self.evaluations else 0
        return self.step > last and (self.step % self.recipe.eval_every == 0 or self.step == self.recipe.steps)

    @property
    def updates_at_once(self) -> int:
        """How many updates to do before the next look: up to an evaluation, another learning rate, or a stop."""
        if self.warming:
            return 1
        recipe, every = self.recipe, self.recipe.eval_every
        ahead = (recipe.steps, (self.step // every + 1) * every, *recipe.milestones, recipe.frozen, *self.stops)
        return min(CHUNK.get(self.device.type, 1), *(step - self.step for step in ahead if step > self.step))

    def evaluate(self) -> None:
        """Evaluate the net on all images, and save the state."""

        def progress(images: int) -> None:
            self.report("evaluating", images)
            self.keeper.poll(together=self.group.size == 1)  # processes may differ by a batch

        found: list[float] = []
        for part in ("train", "test"):
            found += _evaluate(self.model, self.batches, part, self.precision, self.group, progress)
        if not all(map(math.isfinite, found)):
            raise TrainingDiverged(self.step, self.lr, "the loss of the evaluation")
        self.evaluations.append(Evaluation(self.step, self.lr, *found))
        if self.keep_best and best_of(self.evaluations) is self.evaluations[-1]:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        self.keeper.save()
        self.report("evaluation", evaluation=self.evaluations[-1])

    def draw(self, updates: int) -> Tensor:
        """Return the picks (`Batches.draw`) of the next updates, (K, P, B)."""
        recipe, size, count, picks = self.recipe, self.recipe.batch_size, len(self.dataset.train_images), []
        within = self.dataset.shape[1:] if recipe.crop == "resized" else None
        for _ in range(updates):
            if self.order is None or self.position + size > count:  # the few images left over sit this epoch out
                self.order, self.position = torch.randperm(count, generator=self.generator), 0
            indices = self.order[self.position : self.position + size]
            self.position += size
            picks.append(Batches.draw(indices, self.generator, recipe.augment, recipe.flip, within))
        return torch.stack(picks)

    def report(self, kind: str, images: int = 0, **details: Any) -> None:
        """Call the callback with an `Event` with these `details`; `images` of an evaluation in progress are done."""
        if self.callback is None:
            return
        # Work is counted in image passes: 1 forward, 2 backward; an evaluation passes every image forward.
        recipe, every = self.recipe, len(self.dataset.train_images) + len(self.dataset.test_images)
        done = self.step * 3 * recipe.batch_size + len(self.evaluations) * every + images
        total = recipe.steps * 3 * recipe.batch_size + math.ceil(recipe.steps / recipe.eval_every) * every
        self.callback(Event(kind, self.step, recipe.steps, self.lr, self.loss, done / total, **details))

    def identity(self) -> dict[str, Any]:
        """Return all that has a say in the numbers: a run that goes on from a checkpoint must have it in common."""
        return {
            "net": self.checkpoint.net or type(self.model).__name__,
            "seed": self.seed,
            "recipe": self.recipe.to_dict(),
            "dataset": self.dataset.fingerprint,
            "device": self.device.type,
            "precision": self.precision,
            "threads": torch.get_num_threads() if self.device.type == "cpu" else None,
            "torch": torch.__version__,
            **({"processes": self.group.size} if self.group.size > 1 else {}),
            **({"keep": "best"} if self.keep_best else {}),
        }

    def state(self) -> checkpoints.State:
        """Return all that changes, for a checkpoint."""
        tensors = checkpoints.tensors_of(*self.stateful)
        if self.order is not None:
            tensors["order"] = self.order
        tensors |= {f"best.{name}": tensor for name, tensor in (self.best or {}).items()}
        values = {name: getattr(self, name) for name in (*_PLAIN, "seconds")}
        values["recent_errors"] = list(self.recent_errors)
        values["evaluations"] = [dataclasses.asdict(e) for e in self.evaluations]
        return tensors, values

    def restore(self, state: checkpoints.State) -> None:
        """Take over what `state` returned."""
        tensors, values = state
        checkpoints.put_back(tensors, *self.stateful)
        self.order = tensors.get("order")
        best = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
        self.best = best or None
        for name in _PLAIN:
            setattr(self, name, values[name])
        self.recent_errors.extend(values["recent_errors"])
        self.evaluations = [Evaluation(**e) for e in values["evaluations"]]
        self.earlier, self.begun = values["seconds"], time.perf_counter()


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the first evaluation with the lowest test error and, of equal ones, the lowest test loss."""
    return min(evaluations, key=lambda e: (e.test_error, e.test_loss))


def evaluation_batch(shape: Sequence[int], device: torch.device) -> int:
    """Return how many images of `shape` (C, H, W) pass a net at once where nothing is learnt: so many pixels."""
    pixels = shape[-2] * shape[-1]
    if device.type == "cuda":
        return max(1, CUDA_PIXELS // pixels)
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // pixels))


@torch.no_grad()
def _evaluate(
    model: nn.Module,
    batches: Batches,
    part: str,
    precision: str,
    group: Group = ALONE,
    progress: Callable[[int], None] = lambda images: None,
) -> tuple[float, float]:
    """Return what `evaluate` does; each process of the group passes its share of the images and gets the whole result.

    progress: called with the number of images done so far, those of "train" included when it is the turn of "test".
    """
    model.eval()
    group.share_buffers(model)
    size = evaluation_batch(batches.test[0].shape[1:], batches.device)
    losses, wrong, seen = [], [], 0
    before = 0 if part == "train" else len(batches.train[1])
    for images, labels in batches.evaluation(part, size, group.rank, group.size):
        with mixed(batches.device, precision):
            logits = check_output(model, images, batches.classes).float()
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        wrong.append((logits.argmax(1) != labels).sum())
        seen += len(labels)
        progress(before + seen * group.size)
    # Read at the end: before, each value would wait for the device. A process may have had no batch at all.
    found = [sum(torch.stack(values).tolist()) if values else 0 for values in (losses, wrong)]
    total, errors, seen = group.sums([*found, seen], batches.device)
    return total / seen, errors / seen * 100


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    part: str = "test",
    *,
    normalize: Normalize = "per_pixel_mean",
    device: str | torch.device = "cpu",
    precision: str = "auto",
) -> tuple[float, float]:
    """Return mean loss (nats) and error (percent) of `model` over all of "train" or "test", in eval mode.

    The images are normalised by the training images' statistics, or by the (mean, deviation) given. The model is moved
    to `device`, in memory as `layout` says; its training flag is left as it was.
    """
    of_type("model", model, nn.Module), of_type("dataset", dataset, Dataset), one_of("part", part, ("train", "test"))
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    was_training = model.training
    model.to(device, memory_format=layout(device))
    try:
        with exact(device, precision):
            return _evaluate(model, Batches(dataset, normalize, device), part, precision)
    finally:
        model.train(was_training)


@torch.no_grad()
def check_output(model: nn.Module, images: Tensor, classes: int) -> Tensor:
    """Return the net's logits (B, classes) for images (B, C, H, W). Raises `ValueError` if it gives none such."""
    try:
        logits = of_type("output", model(images), Tensor)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # it may be somebody else's code
        why = textwrap.shorten(f"{type(error).__name__}: {error}", 130)
        raise ValueError(f"the net fails for images {tuple(images.shape)}: {why}") from error
    if logits.shape != (len(images), classes):
        found = f"the net returns {tuple(logits.shape)} for {len(images)} images, but the data has {classes} classes"
        raise ValueError(f"{found}: build it with num_classes={classes}")
    return logits
