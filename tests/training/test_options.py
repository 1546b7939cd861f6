"""What a recipe has beside the paper's: AdamW, the cosine schedule, a frozen body, the best weights, more steps."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from resnet_edu.data import dataset as data
from resnet_edu.data.dataset import Dataset, normalization, normalized
from resnet_edu.nets.models import cifar_net
from resnet_edu.training.checkpoint import Checkpoint, CheckpointError
from resnet_edu.training.loop import Evaluation, best_of, evaluate, train
from resnet_edu.training.recipe import ADAMW, Recipe

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = Recipe(10, batch_size=20, lr=0.01, weight_decay=0.05, eval_every=5)  # 3 batches an epoch


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").head(64, 32)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return cifar_net(8, in_channels=1).to(memory_format=torch.channels_last)


def batches(dataset: Dataset, steps: int, seed: int):
    """The images and labels of a run's batches: whole batches of a shuffled epoch, the mean image subtracted."""
    generator, order = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64)
    images = normalized(dataset.train_images, *normalization(dataset.train_images))
    for _ in range(steps):
        if len(order) < 20:
            order = torch.randperm(len(images), generator=generator)
        now, order = order[:20], order[20:]
        yield images[now].contiguous(memory_format=torch.channels_last), dataset.train_labels[now]


def update(model: nn.Module, optimizer: torch.optim.Optimizer, images, labels) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def distance(a: nn.Module, b: nn.Module) -> float:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max((x.double() - y.double()).abs().max().item() for x, y in pairs)


AS_TORCH = {  # the recipe's fields, torch's optimizer, and its schedule
    "sgd": (
        {"schedule": "cosine"},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.05),
        lambda o: CosineAnnealingLR(o, T_max=10),
    ),
    "adamw": (
        {"optimizer": "adamw", "schedule": "cosine"},
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05),
        lambda o: CosineAnnealingLR(o, T_max=10),
    ),
    "a note's Adam, here in ten epochs of a step each": (
        {"optimizer": "adamw", "weight_decay": 0, "schedule": "halves"},
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda o: StepLR(o, 2, 0.5),
    ),
}


@pytest.mark.parametrize(("fields", "optimizer", "schedule"), AS_TORCH.values(), ids=AS_TORCH)
def test_optimizers_and_schedules_are_those_of_torch(digits, fields, optimizer, schedule):
    ours, theirs = net(), net()
    recipe = BASE.replace(**fields)
    train(ours, digits, recipe, seed=5)
    optimizer = optimizer(theirs.parameters())
    scheduler = schedule(optimizer)
    for i, (images, labels) in enumerate(batches(digits, 10, 5)):
        assert recipe.lr_at(i) == pytest.approx(scheduler.get_last_lr()[0])
        update(theirs.train(), optimizer, images, labels)
        scheduler.step()
    assert distance(ours, theirs) < 1e-4
    constant = net()  # the comparison can fail
    train(constant, digits, recipe.replace(schedule="steps"), seed=5)
    assert distance(ours, constant) > 1e-2


def test_defaults_of_adamw_are_those_of_torch():
    usual = torch.optim.AdamW([nn.Parameter(torch.zeros(1))]).defaults
    assert (ADAMW["lr"], ADAMW["weight_decay"]) == (usual["lr"], usual["weight_decay"])


def test_a_frozen_body_then_a_lower_rate(digits):
    ours, theirs = net(), net()
    start, seen = copy.deepcopy(ours.state_dict()), {}

    def look(event):
        if event.kind == "step" and event.step == 4:
            seen.update(copy.deepcopy(ours.state_dict()))

    train(ours, digits, BASE.replace(steps=9, frozen=4, body_share=0.1), seed=5, callback=look)
    changed = {name for name in start if not torch.equal(start[name], seen[name])}
    assert changed == {"fc.weight", "fc.bias"}  # statistics of batch norm included
    assert all(p.requires_grad for p in ours.parameters())
    body = [p for name, p in theirs.named_parameters() if not name.startswith("fc.")]
    parts = [{"params": list(theirs.fc.parameters())}, {"params": body, "lr": 0.001}]
    optimizer = torch.optim.SGD(parts, lr=0.01, momentum=0.9, weight_decay=0.05)
    for i, (images, labels) in enumerate(batches(digits, 9, 5)):
        for parameter in body:
            parameter.requires_grad_(i >= 4)
            parameter.grad = None
        update(theirs.train(i >= 4), optimizer, images, labels)
    assert distance(ours, theirs) < 1e-5
    assert distance(ours, net()) > 1e-2


def test_what_can_learn_is_as_it_was(digits):
    """After a training that ends with the body still frozen, too; what the user froze stays frozen."""
    model = net()
    own = next(model.parameters()).requires_grad_(False)
    before = own.clone()
    train(model, digits, BASE.replace(steps=2, frozen=2))
    train(model, digits, BASE.replace(steps=2, frozen=1))
    assert [p.requires_grad for p in model.parameters()] == [p is not own for p in model.parameters()]
    assert torch.equal(own, before)


class TestBest:
    def test_lowest_error_then_lowest_loss_then_first(self):
        points = [(10, 40.0, 1.0), (20, 30.0, 0.9), (30, 30.0, 0.8), (40, 30.0, 0.8), (50, 35.0, 0.1)]
        found = [Evaluation(step, 0.1, 0.0, 0.0, loss, error) for step, error, loss in points]
        assert best_of(found).step == 30

    def test_the_weights_are_those_of_that_evaluation(self, digits):
        recipe = BASE.replace(lr=0.1, eval_every=1)
        history = train(net(), digits, recipe, keep_best=True)
        best = best_of(history.evaluations)
        model = net(1)
        model.load_state_dict(history.best)
        assert evaluate(model, digits) == pytest.approx((best.test_loss, best.test_error), rel=1e-6)
        assert train(net(), digits, recipe).best is None


class Stop(Exception):
    pass


RECIPES = {
    "adamw": BASE.replace(optimizer="adamw", schedule="cosine", augment=True, crop="resized", eval_every=3),
    "frozen": BASE.replace(frozen=4, body_share=0.1, augment=True, flip=False, eval_every=3),
}


def state(model, history) -> tuple:
    both = model.state_dict(), history.best
    return history.evaluations, [{name: tensor.tolist() for name, tensor in found.items()} for found in both]


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_anywhere_it_ends_in_the_same_numbers(digits, tmp_path, name):
    whole = net()
    undisturbed = state(whole, train(whole, digits, RECIPES[name], keep_best=True))
    for event in (2, 4, 5, 9, 12):
        left, checkpoint = [event], Checkpoint(tmp_path / str(event), seconds=0)

        def stop(event, left=left):
            left[0] -= 1
            if not left[0]:
                raise Stop

        with pytest.raises(Stop):
            train(net(), digits, RECIPES[name], callback=stop, checkpoint=checkpoint, keep_best=True)
        model = net(1)
        assert state(model, train(model, digits, RECIPES[name], checkpoint=checkpoint, keep_best=True)) == undisturbed
    with pytest.raises(CheckpointError, match="keep is 'best' there and None here"):
        train(net(), digits, RECIPES[name], checkpoint=checkpoint)


@pytest.mark.parametrize("name", RECIPES)
def test_more_steps_are_those_of_a_longer_run(digits, tmp_path, name):
    recipe, path = RECIPES[name], tmp_path / "c"
    longer = recipe.longer(5)
    assert (longer.steps, [longer.lr_at(i) for i in range(10)]) == (15, [recipe.lr_at(i) for i in range(10)])
    model, whole = net(), net()
    train(model, digits, recipe, checkpoint=path, keep_best=True)
    with pytest.raises(CheckpointError, match=r"recipe\.steps is 10 there and 15 here"):
        train(net(), digits, longer, checkpoint=path, keep_best=True)
    more = train(model, digits, longer, checkpoint=Checkpoint(path, longer=True), keep_best=True)
    at_once = train(whole, digits, longer, keep_best=True)
    assert distance(model, whole) == 0
    assert at_once.evaluations[-1] == more.evaluations[-1]
    assert {10} == {e.step for e in more.evaluations} - {e.step for e in at_once.evaluations}  # where it had ended


def test_rates_of_more_steps():
    assert {BASE.replace(milestones=(4, 6)).longer(9).lr_at(step) for step in (9, 10, 18)} == {0.01 / 100}
    assert {BASE.replace(schedule="cosine").longer(9).lr_at(step) for step in (10, 18)} == {0.01 / 100}
    assert {BASE.replace(schedule="halves").longer(9).lr_at(step) for step in (8, 9, 10, 18)} == {0.01 / 16}


def test_records_without_the_later_fields_stay_comparable():
    assert set(Recipe.paper().to_dict()) == {
        *("steps", "batch_size", "lr", "momentum", "weight_decay", "milestones", "warmup_lr", "warmup_error"),
        *("augment", "normalize", "eval_every"),
    }
    for recipe in (Recipe.digits(), *RECIPES.values()):
        assert Recipe(**recipe.to_dict()) == recipe
    assert dataclasses.replace(BASE, optimizer="adamw").to_dict()["optimizer"] == "adamw"


def test_a_net_without_a_head(digits):
    model = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ValueError, match="Sequential has no linear layer"):
        train(model, digits, BASE.replace(frozen=1))
