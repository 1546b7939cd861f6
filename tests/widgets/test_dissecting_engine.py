"""The dissecting table's engine in V8 beside PyTorch: answers, maps, lesions, exchanged blocks, receptive fields."""

from __future__ import annotations

import copy
import hashlib
import random

import numpy as np
import pytest
import torch
from dissecting_worker import ADD, dissecting_worker
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from training_worker import Worker

from resnet_edu import resnet20
from resnet_edu.data import load
from resnet_edu.data.dataset import Batches
from resnet_edu.experiment import load_trained
from resnet_edu.nets.blocks import PlainBlock
from resnet_edu.probes.lesions import Bypass
from resnet_edu.widgets.dissecting import NETS, TESTED, removable

IMAGES = 20
CLOSE = 2e-3  # of logits


@pytest.fixture(scope="module")
def worker() -> Worker:
    return dissecting_worker()


@pytest.fixture(scope="module")
def digits() -> Batches:
    return Batches(load("digits"), "per_pixel_mean", torch.device("cpu"))


@pytest.fixture(scope="module")
def images(digits: Batches) -> Tensor:
    """The first test images as the nets take them."""
    return digits.normalized(digits.test[0][:TESTED])


def trained(net: str) -> nn.Module:
    return load_trained(net, study="digits")


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    return {f"{stage}.{i}": block for stage in model.stages for i, block in enumerate(getattr(model, stage))}


def put(model: nn.Module, name: str, block: nn.Module) -> None:
    stage, i = name.split(".")
    getattr(model, stage)[int(i)] = block


def changed(model: nn.Module, factors: dict[str, float], order: list[int]) -> nn.Module:
    """The same changes in PyTorch: hooks on the branches, the identity for a plain block, blocks put elsewhere."""
    model = copy.deepcopy(model)
    blocks = blocks_of(model)
    for name, factor in factors.items():
        if isinstance(blocks[name], PlainBlock):
            blocks[name] = nn.Identity()
        else:
            blocks[name].bn2.register_forward_hook(lambda _, __, out, factor=factor: factor * out)
    names = list(blocks)
    for place, which in enumerate(order):
        put(model, names[place], blocks[names[which]])
    return model


def logits(worker: Worker, net: str, images: Tensor, changes: dict) -> np.ndarray:
    code = "(net, x, n, changes) => flat(nets[net].logits(Float32Array.from(x), n, changes))"
    return np.reshape(worker.run(code, net, images.flatten().tolist(), len(images), changes), (-1, 10))


@torch.no_grad()
@pytest.mark.parametrize("net", NETS)
def test_the_answers_are_those_of_pytorch(worker: Worker, images: Tensor, net: str):
    some = images[:IMAGES]
    np.testing.assert_allclose(logits(worker, net, some, {}), trained(net)(some), atol=CLOSE)


@torch.no_grad()
def test_a_net_of_the_papers_size_answers_as_in_pytorch(worker: Worker):
    torch.manual_seed(0)
    model = resnet20().train()
    images = torch.randn(2, 3, 32, 32)
    model(images)  # moves the running statistics
    model.eval()
    worker.run(ADD, "resnet20 in colour", save(model.state_dict()).hex())
    found = logits(worker, "resnet20 in colour", images.permute(0, 2, 3, 1), {})
    np.testing.assert_allclose(found, model(images), atol=CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("net", NETS)
def test_a_net_that_is_cut_answers_as_in_pytorch(worker: Worker, images: Tensor, net: str):
    """Branches off, halved, doubled; blocks of one shape exchanged: all at once, and in the reader's four steps."""
    rng = random.Random(net)
    model, some = trained(net), images[:IMAGES]
    names = list(blocks_of(model))
    for _ in range(4):
        plain = net.startswith("plain")
        cut = rng.sample([n for n in removable(net) if not plain or not n.endswith(".0")], 2)
        factors = {name: 0 if plain else rng.choice([0, 0.5, 1.3, 2]) for name in cut}
        order = list(range(len(names)))
        a, b = rng.sample([i for i in order if names[i].startswith("layer2.") and not names[i].endswith(".0")], 2)
        order[a], order[b] = order[b], order[a]
        theirs = changed(model, factors, order)(some)
        assert (theirs - model(some)).abs().max() > 10 * CLOSE
        found = logits(worker, net, some, {"factors": factors, "order": order})
        np.testing.assert_allclose(found, theirs, atol=CLOSE, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("net", NETS)
def test_the_maps_of_every_block_are_those_of_pytorch(worker: Worker, images: Tensor, net: str):
    model, image = trained(net), images[3:4]
    seen: dict[str, dict[str, Tensor]] = {name: {} for name in blocks_of(model)}
    for name, block in blocks_of(model).items():
        block.register_forward_hook(lambda _, x, y, name=name: seen[name].update(x=x[0].clone(), y=y))
        block.bn2.register_forward_hook(lambda _, __, f, name=name: seen[name].update(f=f))
    answer = model(image)[0]
    code = """(net, image) => {
      const { blocks, evidence, logits } = engine.inside(nets[net], Float32Array.from(image), {});
      const plain = ({ values, side, channels, size }) => ({ values: flat(values), side, channels, size });
      return { evidence, logits: flat(logits), blocks: blocks.map(({ name, x, f, sum }) => (
        { name, x: plain(x), f: plain(f), sum: sum && plain(sum) })) };
    }"""
    found = worker.run(code, net, image.flatten().tolist())
    assert [block["name"] for block in found["blocks"]] == list(seen)
    for block in found["blocks"]:
        theirs = seen[block["name"]]
        for key in ("x", "f", "sum"):
            if key == "sum" and net.startswith("plain"):
                assert "sum" not in block
                continue
            ours = np.reshape(block[key]["values"], (block[key]["side"],) * 2 + (block[key]["channels"],))
            ours = np.maximum(ours, 0) if key == "sum" else ours
            expected = theirs["y" if key == "sum" else key][0].permute(1, 2, 0)
            np.testing.assert_allclose(ours, expected, atol=CLOSE, rtol=1e-4)
            if key != "sum":
                assert block[key]["size"] == pytest.approx(expected.norm().item(), rel=1e-3)
    best = int(answer.argmax())
    last = list(seen.values())[-1]["y"][0]  # (C, H, W)
    evidence = torch.einsum("c,chw->hw", model.fc.weight[best], last) / last[0].numel()
    np.testing.assert_allclose(found["evidence"], evidence.flatten(), atol=CLOSE)
    assert sum(found["evidence"]) + model.fc.bias[best].item() == pytest.approx(answer[best].item(), abs=CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("net", ["plain20", "resnet20"])
def test_single_lesions_change_as_many_answers_as_in_pytorch(worker: Worker, images: Tensor, net: str):
    model = trained(net)
    for image in images[:8].split(1):
        answer, others = model(image).argmax(), 0
        for name in removable(net):
            block = blocks_of(model)[name]
            put(model, name, nn.Identity() if isinstance(block, PlainBlock) else Bypass(block))
            others += int(model(image).argmax() != answer)
            put(model, name, block)
        found = worker.run(
            "(net, image) => all(nets[net].lesions(Float32Array.from(image)))", net, image.flatten().tolist()
        )
        assert found == {"changed": others, "all": len(removable(net))}


@torch.no_grad()
@pytest.mark.parametrize("net", ["plain20", "resnet20"])
@pytest.mark.parametrize("off", [None, "layer3.1"])
def test_the_error_is_that_of_pytorch_on_200_test_images(
    worker: Worker, digits: Batches, images: Tensor, net: str, off: str | None
):
    factors = {off: 0} if off else {}
    model = changed(trained(net), factors, list(range(9)))
    wrong = model(images).argmax(1) != digits.test[1][:TESTED]
    found = worker.run(
        "(net, changes) => Array.from(engine.testError(nets[net], changes))", net, {"factors": factors, "order": None}
    )
    assert [so_far["images"] for so_far in found] == list(range(5, TESTED + 1, 5))
    for so_far in found:
        expected = 100 * wrong[: so_far["images"]].float().mean().item()
        assert so_far["percent"] == pytest.approx(expected, abs=1e-4)


def way(conv: nn.Conv2d, norm: nn.BatchNorm2d, share: float, kept: float) -> nn.Conv2d:
    """Conv and batch norm as one convolution, blended with one that hands on `kept` times what it gets."""
    fused = fuse_conv_bn_eval(conv, norm)
    identity = nn.init.dirac_(torch.empty_like(fused.weight))
    fused.weight = nn.Parameter(torch.lerp(kept * identity, fused.weight, share))
    fused.bias = nn.Parameter(share * fused.bias)
    return fused


@torch.no_grad()
@pytest.mark.parametrize("kind", ["plain", "resnet"])
@pytest.mark.parametrize("share", [0, 0.02, 0.6, 1])
def test_blocks_on_the_way_from_the_identity_are_those_of_pytorch(
    worker: Worker, digits: Batches, kind: str, share: float
):
    shallow, deep = trained(f"{kind}20"), trained(f"{kind}56")
    some, labels = digits.normalized(digits.train[0][:40]), digits.train[1][:40]
    whole = shallow(some)
    for stage in shallow.stages:
        for block in list(getattr(deep, stage))[3:]:
            if kind == "plain":
                block.conv1, block.bn1 = way(block.conv1, block.bn1, share, 1), nn.Identity()
            block.conv2, block.bn2 = way(block.conv2, block.bn2, share, float(kind == "plain")), nn.Identity()
            getattr(shallow, stage).append(block)
    theirs = shallow(some)
    if share == 0:
        torch.testing.assert_close(theirs, whole, atol=1e-4, rtol=0)
    code = """(kind, share, x) => {
      const net = engine.deepened(nets[`${kind}20`], nets[`${kind}56`], share);
      return { logits: flat(net.logits(Float32Array.from(x), 40)), ...engine.trainLoss(net) };
    }"""
    found = worker.run(code, kind, share, some.flatten().tolist())
    np.testing.assert_allclose(np.reshape(found["logits"], (-1, 10)), theirs, atol=CLOSE, rtol=1e-3)
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(theirs, labels).item(), rel=1e-3)
    assert found["wrong"] == int((theirs.argmax(1) != labels).sum())


@torch.no_grad()
@pytest.mark.parametrize(("share", "bad"), [(0.05, False), (1 / 3, True)])
def test_on_the_way_to_random_kernels_the_loss_of_a_plain_net_rises_later(digits: Batches, share: float, bad: bool):
    """What chapter 1 says of another direction, in a fold."""
    some, labels = digits.normalized(digits.train[0][:100]), digits.train[1][:100]
    for seed in range(3):
        torch.manual_seed(seed)
        shallow, deep = trained("plain20"), trained("plain56")
        for stage in shallow.stages:
            for block in list(getattr(deep, stage))[3:]:
                for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
                    there = way(conv, norm, 1, 1)
                    here = nn.init.dirac_(torch.empty_like(there.weight))
                    for at, values in ((here, there.weight), (torch.zeros_like(there.bias), there.bias)):
                        noise = torch.randn_like(values)
                        values.copy_(at + share * noise * (values - at).norm() / noise.norm())
                    setattr(block, "conv1" if conv is block.conv1 else "conv2", there)
                block.bn1 = block.bn2 = nn.Identity()
                getattr(shallow, stage).append(block)
        loss = nn.functional.cross_entropy(shallow(some), labels)
        assert (loss > 2.3) == bad
        assert bad or loss < 1.5  # on the straight way it is 2.2 there


def test_test_images_are_prepared_as_in_training(worker: Worker, digits: Batches, images: Tensor):
    code = """(i) => {
      const { image, label } = engine.testImage(i);
      return { label, image: flat(engine.prepared(image)) };
    }"""
    for i in (0, 7, 199):
        found = worker.run(code, i)
        assert found["label"] == digits.test[1][i]
        np.testing.assert_allclose(found["image"], images[i].flatten(), atol=1e-6)


@pytest.mark.parametrize("off", [[], ["layer1.0"], ["layer1.0", "layer1.1", "layer1.2", "layer2.1"]])
@pytest.mark.parametrize("net", ["plain20", "resnet20"])
def test_receptive_fields_are_where_the_gradient_is_not_zero(worker: Worker, net: str, off: list[str]):
    """In a large image, so that no field is cut; all weights positive and no ReLU, so that no path is lost."""
    side, place = 96, 40
    model = trained(net)
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter, 0.1)
    for name in off:
        block = blocks_of(model)[name]
        put(model, name, nn.Identity() if isinstance(block, PlainBlock) else Bypass(block))
    inputs = {}
    for name, block in blocks_of(model).items():
        block.register_forward_hook(lambda _, x, y, name=name: inputs.update({name: (x[0], y)}))
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    model(image)
    found = worker.run("(net, changes) => nets[net].fields(changes)", net, {"factors": dict.fromkeys(off, 0)})
    for field, maps in zip(found, inputs.values(), strict=True):
        for key, values in zip(("x", "sum"), maps, strict=True):
            step, reach = field[key]["step"], field[key]["reach"]
            at = place // step
            (gradient,) = torch.autograd.grad(values[0, :, at, at].sum(), image, retain_graph=True)
            rows = torch.nonzero(gradient[0, 0].sum(1)).flatten().tolist()
            assert (rows[0], rows[-1]) == (at * step - reach, at * step + reach)


def test_sha256_is_that_of_the_library(worker: Worker):
    rng = random.Random(0)
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000):
        data = rng.randbytes(size)
        assert worker.run("(hex) => engine.sha256(bytes(hex))", data.hex()) == hashlib.sha256(data).hexdigest()
