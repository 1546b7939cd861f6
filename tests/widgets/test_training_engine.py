"""The training laboratory's engine in V8 beside PyTorch: losses, gradients, running statistics, and where a net breaks.

In float64 both must agree, whatever the net; that shows that the formulas are the same. In float32, as the pages
compute, rounding errors grow with depth, in PyTorch as well: a plain net of 56 layers with batch norm makes of an error
of 1e-7 one of 0.1 within a step. There the engine must be about as close to the exact result as PyTorch's float32 is.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from dense_nets import DenseNet
from pack_digits import PACKED, arrays, packed
from torch.nn.functional import cross_entropy
from training_worker import Worker

from resnet_edu.data import load
from resnet_edu.widgets.training import BATCHES, KINDS

SETTINGS = 50
STEPS = 50
QUICK = 5
TRAIN = 1437


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker()


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels / 16 less the mean of the training images, in float64, and labels."""
    pixels, labels = arrays()
    x = torch.from_numpy(pixels).double() / 16
    return x - x[:TRAIN].mean(0), torch.from_numpy(labels)


def setting(seed: int) -> dict:
    """A random net, recipe and batches; the depths that the page offers, the deep ones rarer, the quick ones small."""
    rng = random.Random(seed)
    deep = seed >= QUICK
    net = {
        "kind": rng.choice(list(KINDS)),
        "depth": 2 * int(2 * (56 / 2 if deep else 4) ** rng.random()),
        "width": 4 * rng.randint(2, 10 if deep else 6),
        "batch_norm": rng.random() < 0.7,
        "batch": rng.choice(BATCHES[: 3 if deep else 2]),
        "seed": rng.randrange(10_000),
    }
    batches = [[rng.randrange(TRAIN) for _ in range(net["batch"])] for _ in range(STEPS)]
    return {"settings": net, "rate": rng.choice([0.001, 0.003, 0.01, 0.02]), "batches": batches}


def train(given: dict, start: dict, images: tuple, dtype: torch.dtype) -> dict:
    """The same in PyTorch, from the engine's first weights."""
    net = DenseNet(**{k: given["settings"][k] for k in ("kind", "depth", "width", "batch_norm")}).to(dtype)
    with torch.no_grad():
        for layer, values in zip(net.linears(), start["linears"], strict=True):
            layer.weight.copy_(torch.tensor(values, dtype=torch.float64).view_as(layer.weight))
        for layer, values in zip(net.norms(), start["scales"], strict=True):
            layer.weight.copy_(torch.tensor(values, dtype=torch.float64))
    x, y = images[0].to(dtype), images[1]
    optimizer = torch.optim.SGD(net.parameters(), lr=given["rate"], momentum=0.9)
    losses, first = [], None
    for batch in given["batches"]:
        optimizer.zero_grad()
        loss = cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        losses.append(loss.item())
        if first is None:
            numbers = {
                "weights": [layer.weight.grad for layer in net.linears()],
                "biases": [None if layer.bias is None else layer.bias.grad for layer in net.linears()],
                "scales": [layer.weight.grad for layer in net.norms()],
                "shifts": [layer.bias.grad for layer in net.norms()],
                "means": [layer.running_mean for layer in net.norms()],
                "variances": [layer.running_var for layer in net.norms()],
            }
            first = {
                k: [None if t is None else t.double().flatten().numpy().copy() for t in v] for k, v in numbers.items()
            }
        optimizer.step()
    with torch.no_grad():
        guesses = net.eval()(x[:200]).argmax(1)
    return {"losses": losses, "first": first, "confusion": np.bincount(y[:200] * 10 + guesses, minlength=100).tolist()}


def farthest(found: dict, exact: dict) -> float:
    """The largest relative distance between two lists of vectors, over all that was measured after one step."""
    far = 0.0
    for key, vectors in exact.items():
        for mine, theirs in zip(found[key], vectors, strict=True):
            assert (mine is None) == (theirs is None)
            if theirs is not None and np.linalg.norm(theirs) > 0:
                far = max(far, np.linalg.norm(np.subtract(mine, theirs)) / np.linalg.norm(theirs))
    return far


def foreseeable(given: dict, start: dict, images: tuple, losses: list[float]) -> int:
    """For how many steps PyTorch, in float64, agrees with itself when the first weights differ in the 12th digit.

    In a deep plain net with batch norm that is a few steps: nobody can foretell its curve. Mostly it is all of them.
    """
    moved = {**start, "linears": [[w * (1 + 1e-12) for w in layer] for layer in start["linears"][:1]]}
    moved["linears"] += start["linears"][1:]
    other = train(given, moved, images, torch.float64)["losses"]
    pairs = enumerate(zip(losses, other, strict=True))
    apart = [i for i, (a, b) in pairs if not abs(a - b) <= 1e-4 * max(1e-2, abs(a))]
    return apart[0] if apart else len(losses)


def check(worker: Worker, images: tuple, seed: int) -> None:
    given = setting(seed)
    exact = worker.run("measure", {**given, "floats": "Float64Array"})
    theirs = train(given, exact["start"], images, torch.float64)
    assert farthest(exact["first"], theirs["first"]) < 1e-4
    assert exact["losses"][0] == pytest.approx(theirs["losses"][0], rel=1e-6)
    close = {"rtol": 1e-2, "atol": 1e-4}
    steps = len(exact["losses"]) - ("broke" in exact)  # the last loss of a diverged net is no number
    if not np.allclose(exact["losses"][:steps], theirs["losses"][:steps], **close):
        steps = min(steps, foreseeable(given, exact["start"], images, theirs["losses"]))
        np.testing.assert_allclose(exact["losses"][:steps], theirs["losses"][:steps], **close)
    if steps == STEPS and np.allclose(exact["losses"], theirs["losses"], rtol=1e-7, atol=1e-9):  # weights agree, too
        assert exact["confusion"] == theirs["confusion"]

    once = {**given, "batches": given["batches"][:1], "floats": "Float32Array"}
    ours = worker.run("measure", once)
    theirs = {d: train(once, ours["start"], images, d)["first"] for d in (torch.float32, torch.float64)}
    reached = farthest(theirs[torch.float32], theirs[torch.float64])
    assert farthest(ours["first"], theirs[torch.float64]) < max(1e-4, 2 * reached)


@pytest.mark.parametrize("seed", range(QUICK))
def test_small_nets_train_as_in_pytorch(worker: Worker, images: tuple, one_thread: None, seed: int):
    check(worker, images, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(QUICK, SETTINGS))
def test_nets_of_all_depths_train_as_in_pytorch(worker: Worker, images: tuple, one_thread: None, seed: int):
    check(worker, images, seed)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 2, 1), (4, 2, 3), (6, 10, 5), (64, 32, 64), (7, 64, 10)])
def test_the_product_is_that_of_numpy(worker: Worker, m: int, n: int, k: int):
    rng = np.random.default_rng(m)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(n, k))
    code = """(a, b, m, n, k) => {
      const y = new Float64Array(m * n);
      engine.product(new Float64Array(a), new Float64Array(b), y, m, n, k);
      return flat(y);
    }"""
    found = worker.run(code, a.ravel().tolist(), b.ravel().tolist(), m, n, k)
    np.testing.assert_allclose(found, (a @ b.T).ravel(), rtol=1e-9, atol=1e-12)


def test_the_first_weights_follow_kaimings_law_and_the_seed(worker: Worker):
    code = """(seed) => new engine.Net({ kind: "plain", depth: 20, width: 64, batch_norm: true, batch: 16, seed })
      .linears.map((l) => flat(l.weight.value))"""
    first, again, other = (worker.run(code, seed) for seed in (3, 3, 4))
    assert first == again != other
    inner = np.concatenate(first[1:-1])
    assert inner.std() == pytest.approx((2 / 64) ** 0.5, rel=0.01)
    assert inner.mean() == pytest.approx(0, abs=0.003)


def test_a_batch_is_drawn_from_all_images_before_one_comes_again(worker: Worker, images: tuple):
    code = """(size, count) => {
      const next = engine.batches(engine.digits().train, size, 5);
      return Array.from({ length: count }, () => { const b = next(); return [flat(b.images), flat(b.labels)]; });
    }"""
    drawn = worker.run(code, 256, 5)  # 1,280 of the 1,437
    known = {tuple(np.float32(row)): int(label) for row, label in zip(images[0][:TRAIN], images[1], strict=False)}
    rows = [tuple(np.float32(row)) for x, _ in drawn for row in np.reshape(x, (256, 64))]
    assert [known[row] for row in rows] == [label for _, y in drawn for label in y]
    assert len(set(rows)) == len(rows)


def test_the_digits_are_those_of_the_package_in_its_split(worker: Worker, images: tuple):
    assert PACKED.read_text() == packed(), "run tools/book/pack_digits.py, then `make widgets`"
    found = worker.run(
        "() => ['train', 'test'].map((p) => engine.digits(Float64Array)[p]).map((d) => [flat(d.images), "
        "flat(d.labels)])"
    )
    digits = load("digits")
    for (pixels, labels), part in zip(found, ("train", "test"), strict=True):
        theirs = getattr(digits, f"{part}_labels")
        assert labels == theirs.tolist()
        rows = images[0][:TRAIN] if part == "train" else images[0][TRAIN:]
        np.testing.assert_allclose(np.reshape(pixels, (-1, 64)), rows, atol=1e-12)


@pytest.mark.parametrize(("kind", "norm", "rate"), [("residual", False, 0.5), ("plain", False, 5.0)])
def test_a_net_that_diverges_says_at_which_step_and_in_which_layer(
    worker: Worker, images: tuple, one_thread: None, kind: str, norm: bool, rate: float
):
    """PyTorch's losses are numbers until the same step, and its outputs until the same layer."""
    net = {"kind": kind, "depth": 20, "width": 16, "batch_norm": norm, "batch": 32, "seed": 1}
    rng = random.Random(0)
    batches = [[rng.randrange(TRAIN) for _ in range(32)] for _ in range(60)]
    given = {"settings": net, "rate": rate, "batches": batches, "floats": "Float32Array"}
    found = worker.run("measure", given)
    at = len(found["losses"])
    assert at < len(batches)
    if found["broke"]["way"] == "forward":
        assert found["losses"][-1] is None  # JSON's word for what is no number
    losses = train(given, found["start"], images, torch.float32)["losses"]
    numbers = next(i for i, loss in enumerate(losses) if not np.isfinite(loss))
    assert abs(numbers - (at - 1)) <= 1
    assert 1 <= found["broke"]["layer"] <= 20


def test_what_a_layer_hands_on_breaks_where_it_is_broken(worker: Worker):
    """A weight of 1e38 in the fifth layer: its products are beyond float32."""
    code = """(layer) => {
      const net = new engine.Net({ kind: "plain", depth: 8, width: 8, batch_norm: false, batch: 16, seed: 0 });
      net.linears[layer - 1].weight.value.fill(3e38);
      const { images, labels } = engine.batches(engine.digits().train, 16, 0)();
      return net.step(images, labels, 0.1).broke;
    }"""
    assert worker.run(code, 5) == {"layer": 5, "way": "forward"}
