"""How long the gradient of the loss is at each layer, before training and in its first steps.

A gradient's length alone misleads where batch norm follows: multiply the kernel by 100 and the output is the same, but
the gradient 100 times shorter. So each layer's weight is measured beside it.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.1: "healthy norms".
  [2] Yang et al., "A Mean Field Theory of Batch Normalization", ICLR 2019: gradients explode with depth at the start.
"""

import copy
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from ..support.system import in_double, random_states_kept
from ..support.validate import of_type, wholes
from ..training.loop import Event, StopTraining, TrainingDiverged, check_fit, train
from ..training.recipe import Recipe
from .records import GradientRecord, finite
from .subject import Subject, weighted_layers


def gradients(
    subject: Subject, steps: Sequence[int] = (0,), *, recipe: Recipe | None = None, images: int | None = 128
) -> GradientRecord:
    """Return the length of the loss's gradient at each layer, after so many steps of training.

    steps:  0 is the net as it is; for later ones a copy of it is trained, with batches drawn by the subject's seed.
            Parameters that the net has frozen stay as they are, but their gradients are measured like all others.
    recipe: how to train; None for 128 images a step, learning rate 0.1, momentum 0.9 and weight decay 1e-4. Its
            evaluations are left out.
    images: of the training set, drawn by the seed, or None for all of it; all moments are measured on the same ones, in
            training mode, as one batch, which is what an update would see.

    A net whose loss is no longer finite has no further moments; the record's `diverged` says when it happened.

    Raises `ValueError` for steps that do not ascend from 0 or more, or a recipe that is shorter or does not fit.
    """
    steps = wholes("steps", steps, 0)
    if not steps or steps != sorted(set(steps)):
        raise ValueError(f"`steps` must be whole numbers that ascend, such as (0, 1, 20), but they are {steps}")
    recipe = Recipe(max(1, steps[-1])) if recipe is None else of_type("recipe", recipe, Recipe)
    if recipe.steps < steps[-1]:
        raise ValueError(f"`recipe` has {recipe.steps} steps, but `steps` goes up to {steps[-1]}: give a longer one")
    if steps[-1]:
        check_fit(recipe, subject.dataset)
    start = time.perf_counter()
    batches = subject.batches("train", images, size=len(subject.dataset.train_images))
    with subject.examined() as net:
        moments, diverged = _moments(net, subject, steps, recipe, *batches[0])
    training = {name: getattr(recipe, name) for name in ("batch_size", "lr", "momentum", "weight_decay")}
    found = {"layers": list(weighted_layers(subject.net)), "training": training if steps[-1] else None}
    header = subject.header("train", batches, start)
    return GradientRecord(**found, moments=moments, diverged=diverged, **header)


def _moments(
    net: nn.Module, subject: Subject, steps: list[int], recipe: Recipe, images: Tensor, labels: Tensor
) -> tuple[list[dict[str, Any]], int | None]:
    """Train `net` in place, measure at `steps`, and return the moments and the step of divergence, if any."""
    moments: list[dict[str, Any]] = []
    diverged = None

    def measure(step: int) -> None:
        nonlocal diverged
        loss, norms, lengths = gradient_norms(net, images, labels)
        if finite(loss) is None:
            diverged = step
            raise StopTraining
        moments.append({"step": step, "loss": loss, "norms": [finite(n) for n in norms], "lengths": lengths})

    def callback(event: Event) -> None:
        if event.kind == "step" and event.step in steps:
            measure(event.step)
            if event.step == steps[-1]:
                raise StopTraining  # before the evaluation that a training run ends with

    try:
        if steps[0] == 0:
            measure(0)
        if steps[-1]:
            options = {"seed": subject.seed, "device": subject.device, "precision": "float32"}
            rarely = recipe.replace(eval_every=recipe.steps)  # nobody asks for evaluations, and they could diverge too
            train(net, subject.dataset, rarely, callback=callback, stops=steps, **options)
    except StopTraining:
        pass
    except TrainingDiverged as error:
        diverged = error.step - 1  # the loss of a batch is that of the weights before its update
    return moments, diverged


def gradient_norms(net: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, list[float], list[float]]:
    """Return the loss (nats) on a batch in training mode and, for each layer with weights, the length of the loss's
    gradient with respect to its weight, and the weight's own length.

    images (B, C, H, W), normalised; labels (B,). `net` and the global random state are left as they are.
    """
    net = copy.deepcopy(net).train().requires_grad_(True)
    with random_states_kept(), torch.enable_grad(), cached():  # a weight that is computed is computed once
        weights = [layer.weight for layer in weighted_layers(net).values()]
        loss = F.cross_entropy(net(images), labels)  # a layer such as dropout draws
        found = torch.autograd.grad(loss, weights, allow_unused=True)
    norms = [0.0 if g is None else in_double(g).norm().item() for g in found]
    return loss.item(), norms, [in_double(w.detach()).norm().item() for w in weights]
