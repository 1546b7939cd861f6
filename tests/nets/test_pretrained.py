"""Trained weights from torchvision: served over loopback, with the failures that a download meets."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.models import ResNet18_Weights, Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from resnet_edu.nets.models import resnet18, resnet34
from resnet_edu.nets.pretrained import load_pretrained, top_classes


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture(scope="module")
def server(theirs: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server with a file of weights, named as torchvision names its own; yields its address and the file's name."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(theirs.state_dict(), folder / "all.pth")
    content = (folder / "all.pth").read_bytes()
    name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    (folder / "resnet18-00000000.pth").write_bytes(content)  # another checksum than its name says

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", name
        running.shutdown()


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def weights(url: str) -> WeightsEnum:
    """torchvision's own kind of object, with another address."""
    meta = ResNet18_Weights.IMAGENET1K_V1.meta
    entry = Weights(url=url, transforms=functools.partial(ImageClassification, crop_size=224), meta=meta)
    return WeightsEnum("Local", {"V1": entry}).V1


def test_weights_arrive_and_compute_what_they_computed_before(server, theirs, hub):
    base, name = server
    net = load_pretrained(resnet18().train(), weights(base + name), progress=False)
    assert not any(module.training for module in net.modules())
    assert (hub / name).is_file()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(images), theirs(images))
    gone = weights(f"http://127.0.0.1:9/{name}")  # what has been downloaded is not asked for again
    load_pretrained(resnet18(), gone, progress=False)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/resnet18-f37072fd.pth", "refused"),
        ("{base}resnet18-11111111.pth", "404"),
        ("{base}resnet18-00000000.pth", "invalid hash value"),
    ],
)
def test_a_download_that_fails_says_why_and_what_to_do(server, hub, address, reason):
    url = address.format(base=server[0])
    net = resnet18()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(RuntimeError) as raised:
        load_pretrained(net, weights(url), progress=False)
    for word in (url, reason, str(hub)):
        assert word in str(raised.value)
    assert not list(hub.glob("*.pth"))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_weights_of_another_net_are_refused_by_name(server):
    base, name = server
    with pytest.raises(RuntimeError, match=r"layer1\.2\.conv1\.weight"):
        load_pretrained(resnet34(), weights(base + name), progress=False)


def test_the_most_probable_classes_of_an_image(theirs):
    image = torch.randint(0, 256, (3, 250, 300), dtype=torch.uint8)
    theirs.train()
    theirs.bn1.eval()
    given = weights("http://127.0.0.1:9/none.pth")
    found = top_classes(theirs, image, given, count=5)
    assert theirs.training
    assert not theirs.bn1.training
    theirs.eval()
    prepared = torchvision.transforms.functional.resize(image, [256], antialias=True)
    prepared = torchvision.transforms.functional.center_crop(prepared, [224]).float() / 255
    prepared = torchvision.transforms.functional.normalize(prepared, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        shares = theirs(prepared.unsqueeze(0)).softmax(1)[0]
    order = shares.argsort(descending=True)[:5]
    assert [label for label, _ in found] == [given.meta["categories"][i] for i in order]
    torch.testing.assert_close(torch.tensor([share for _, share in found]), shares[order])


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [((1, 3, 8, 8), 3, r"must be one image, \(3, H, W\)"), ((3, 8, 8), 0, "from 1 to 1,000"), ((1, 8, 8), 3, "is")],
)
def test_what_is_no_image(theirs, shape, count, message):
    with pytest.raises(ValueError, match=message):
        top_classes(theirs, torch.zeros(shape), weights("http://127.0.0.1:9/none.pth"), count)


def test_a_net_with_other_outputs_has_no_name_for_them():
    with pytest.raises(ValueError, match="the net has 3 outputs, but `weights` names 1,000 classes"):
        top_classes(resnet18(num_classes=3), torch.rand(3, 224, 224), ResNet18_Weights.IMAGENET1K_V1)
