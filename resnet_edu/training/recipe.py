"""How to train: one frozen data class, with the paper's recipe for CIFAR-10 as a preset.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: the recipe for CIFAR-10,
      and the slow start of the net with 110 layers.
  [2] PyTorch's documentation of `AdamW` (its learning rate and weight decay are `ADAMW`) and `CosineAnnealingLR`.
  [3] torchvision's documentation of `RandomResizedCrop`.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..data.dataset import NORMALIZE
from ..support.validate import of_type, one_of, real, whole, wholes

OPTIMIZERS, SCHEDULES, CROPS = ("sgd", "adamw"), ("steps", "cosine", "halves"), ("pad", "resized")
ADAMW = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-2, "warmup_lr": None}  # [2]
_ADDED = ("optimizer", "schedule", "period", "crop", "flip", "frozen", "body_share")  # fields that came later


@dataclass(frozen=True)
class Recipe:
    """How to train. The presets are `paper`, `scaled` and `digits`; `replace` changes single fields.

    steps:      updates of the weights ("iterations" in the paper).
    batch_size: images a step.
    lr:         learning rate at the start (after the warm-up, if there is one).
    momentum:   of SGD, 0 up to but not including 1.
    weight_decay: times each weight, is added to its gradient (SGD), or times the rate taken from the weight (AdamW).
    milestones: steps after which the learning rate is divided by 10, ascending.
    warmup_lr:  a lower learning rate to start with, until the training error of the last 100 batches falls below
                `warmup_error` percent; None for none. The paper needs it for 110 layers.
    warmup_error: in percent, see `warmup_lr`.
    augment:    crop at random as `crop` says, mirror every other image if `flip`.
    normalize:  "per_pixel_mean" subtracts the mean image (the paper's); "per_channel" subtracts each channel's mean and
                divides by its standard deviation; "start" does what the weights that training starts from had.
    eval_every: steps between two evaluations on the whole training and test set; there is one more after the last step.
    optimizer:  "sgd" or "adamw" ([2]).
    schedule:   "steps" (`milestones`); "cosine": from `lr` down to 0 in half a wave ([2]); "halves": half of it after
                each fifth, as `StepLR(optimizer, 2, 0.5)` does in 10 epochs.
    period:     steps of such a schedule, None for all; later ones have a hundredth of `lr` ("cosine"), or a sixteenth.
    crop:       "pad" pads by 4 zero pixels and crops to the old size; "resized" enlarges a random part of [3].
    frozen:     steps in which the head alone learns; the rest, statistics of batch norm included, stays as it is.
    body_share: the learning rate of all but the head, as a share of the head's.
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
    optimizer: str = "sgd"
    schedule: str = "steps"
    period: int | None = None
    crop: str = "pad"
    flip: bool = True
    frozen: int = 0
    body_share: float = 1.0

    def __post_init__(self) -> None:
        numbers = {name: whole(name, getattr(self, name)) for name in ("steps", "batch_size", "eval_every")}
        numbers |= {name: real(name, getattr(self, name), 0) for name in ("momentum", "weight_decay", "body_share")}
        numbers |= {"frozen": whole("frozen", self.frozen, 0), "lr": real("lr", self.lr, above=0)}
        numbers["warmup_error"] = real("warmup_error", self.warmup_error, most=100, above=0)
        if self.warmup_lr is not None:
            numbers["warmup_lr"] = real("warmup_lr", self.warmup_lr, above=0)
        if self.period is not None:
            numbers["period"] = whole("period", self.period, most=self.steps)
        vars(self).update(numbers)  # Python's own, which files can hold, where NumPy's were given
        if self.momentum >= 1:
            raise ValueError(f"`momentum` must be below 1, but it is {self.momentum!r}")
        if self.warmup_lr is not None and self.warmup_lr >= self.lr:
            raise ValueError(f"`warmup_lr` must be below `lr` ({self.lr:g}), but it is {self.warmup_lr!r}")
        one_of("normalize", self.normalize, (*NORMALIZE, "start")), one_of("crop", self.crop, CROPS)
        one_of("optimizer", self.optimizer, OPTIMIZERS), one_of("schedule", self.schedule, SCHEDULES)
        of_type("augment", self.augment, bool), of_type("flip", self.flip, bool)
        object.__setattr__(self, "milestones", tuple(wholes("milestones", self.milestones)))
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"`milestones` must ascend, but they are {self.milestones}")
        if self.milestones and self.milestones[-1] >= self.steps:
            text = f"`milestones` must be below `steps` ({self.steps}), but they are {self.milestones}"
            raise ValueError(f"{text}; Recipe.scaled(steps) puts them in proportion")

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def lr_at(self, step: int) -> float:
        """Return the learning rate of the next update after `step` of them, warm-up aside."""
        if self.schedule == "steps":
            return self.lr / 10 ** bisect.bisect_right(self.milestones, step)
        period = self.period or self.steps
        if self.schedule == "halves":
            return self.lr / 2 ** min(5 * step // period, 4)
        return self.lr * (1 + math.cos(math.pi * step / period)) / 2 if step < period else self.lr / 100

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a record or a checkpoint; those that came later only if they differ from before."""
        usual = {f.name: f.default for f in dataclasses.fields(self) if f.name in _ADDED}
        found = {k: v for k, v in dataclasses.asdict(self).items() if k not in usual or v != usual[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}

    def longer(self, steps: int) -> Recipe:
        """Return the recipe with more steps, for a run that goes on: at the rate of its end, but see `period`."""
        return self.replace(steps=self.steps + whole("steps", steps), period=self.period or self.steps)

    @classmethod
    def paper(cls, depth: int = 56) -> Recipe:
        """Return the recipe of section 4.2 of [1] for CIFAR-10; with 110 layers or more it starts slowly."""
        slow = 0.01 if whole("depth", depth, 0) >= 110 else None
        return cls(64_000, milestones=(32_000, 48_000), warmup_lr=slow, augment=True, eval_every=1000)

    @classmethod
    def scaled(cls, steps: int, depth: int = 56) -> Recipe:
        """Return the paper's recipe in `steps` steps: the learning rate falls after 1/2 and 3/4 of them."""
        every, falls = max(1, whole("steps", steps) // 64), {steps // 2, steps * 3 // 4} - {0}
        return cls.paper(depth).replace(steps=steps, milestones=tuple(sorted(falls)), eval_every=every)

    @classmethod
    def digits(cls, steps: int = 240) -> Recipe:
        """Return a recipe for scikit-learn's digits: the learning rate falls after 3/4 of `steps`.

        It begins at 0.003, the best rate of plain-56 on held-out images after 1,000 steps (`experiment.load_grid`);
        the paper has 0.1.
        """
        falls = whole("steps", steps) * 3 // 4
        return cls(steps, lr=0.003, milestones=(falls,) if falls else (), eval_every=max(1, steps // 8))
