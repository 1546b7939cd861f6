"""Weights to start from: which of them a net gets, how images are then normalised, and what does not fit."""

import pytest
import torch
import torchvision
from run_records import make
from scipy import stats
from torchvision.models import ResNet18_Weights

from resnet_edu.data import dataset as data
from resnet_edu.experiment import start as starts
from resnet_edu.experiment.degradation import build_net
from resnet_edu.experiment.shipped import load_trained
from resnet_edu.experiment.statistics import versus
from resnet_edu.nets.models import cifar_net, resnet18
from resnet_edu.training.classifier import Classifier
from resnet_edu.training.weights import WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits").head(64, 32)


def test_torchvisions_weights_their_normalisation_and_a_new_head(monkeypatch):
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(weights=None).eval()
    for module in theirs.modules():  # statistics of other values than those of a fresh net
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **options: theirs.state_dict())
    start = starts.load_start("torchvision", "resnet18")
    assert start.shape == (3, 224, 224)
    assert len(start.classes) == 1000
    ours = resnet18(num_classes=2)
    head = ours.fc.weight.detach().clone()
    origin = starts.give(ours, start)
    assert "resnet18 trained on ImageNet" in origin
    assert torch.equal(ours.fc.weight, head)
    theirs.fc = torch.nn.Linear(512, 2)
    theirs.fc.load_state_dict(ours.fc.state_dict())
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    prepare = ResNet18_Weights.DEFAULT.transforms(crop_size=64, resize_size=64)
    mean, deviation = starts.normalization_for(start, (3, 64, 64))
    with torch.no_grad():
        found = ours.eval()((images / 255 - mean) / deviation)
        torch.testing.assert_close(found, theirs.eval()(prepare(images)), rtol=1e-4, atol=1e-5)


def test_torchvisions_weights_in_a_file_that_was_got_by_hand(tmp_path):
    theirs = torchvision.models.resnet18(weights=None)
    path = tmp_path / "by-hand.pth"
    torch.save(theirs.state_dict(), path)
    start = starts.load_start(str(path), "resnet18")
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in start.net.state_dict().items())
    assert start.mean.flatten().tolist() == pytest.approx(ResNet18_Weights.DEFAULT.transforms().mean)
    assert start.about["dataset"] == "ImageNet, by-hand.pth"
    with pytest.raises(WeightsError, match=r"by-hand.pth does not fit the net: Missing key"):
        starts.load_start(str(path), "resnet50")
    torch.save(theirs, path)  # the whole net, which takes code to read
    with pytest.raises(WeightsError, match="is no file of tensors alone"):
        starts.load_start(str(path), "resnet18")
    path.write_text("hello\n")
    with pytest.raises(WeightsError, match="is no file of tensors alone"):
        starts.load_start(str(path), "resnet18")


def test_a_files_net_and_options(digits, tmp_path):
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_channels": 1, "width": 8}
    trained = cifar_net(8, **options)
    path = Classifier.of(trained, digits, "resnet8", options=options).save(tmp_path / "a.safetensors")
    start = starts.load_start(str(path))
    assert (start.name, start.options) == ("resnet8", options)
    with pytest.raises(ValueError, match="has weights of resnet8, but --net is plain8"):
        starts.load_start(str(path), "plain8")
    narrow, wide = (build_net("resnet8", digits, seed=1, width=width) for width in (8, 16))
    one, two = starts.give(narrow, start), starts.give(build_net("resnet8", digits, seed=2, width=8), start)
    assert one == two  # what is called the same are the same weights
    assert torch.equal(narrow.conv1.weight, trained.conv1.weight)
    assert not torch.equal(narrow.fc.weight, trained.fc.weight)
    with pytest.raises(WeightsError, match="the weights of resnet8 trained on digits"):
        starts.give(wide, start)
    # The mean image fits its own size; in another one its mean colour is left.
    mean = digits.train_images.double().mean(0) / 255
    torch.testing.assert_close(starts.normalization_for(start, (1, 8, 8))[0].double(), mean, rtol=0, atol=1e-6)
    found = starts.normalization_for(start, (1, 32, 32))[0]
    assert found.shape == (1, 1, 1)
    assert found.item() == pytest.approx(mean.mean().item(), abs=1e-6)
    with pytest.raises(ValueError, match="the weights take images of 1 channels, but these have 3: read them with"):
        starts.normalization_for(start, (3, 8, 8))


def test_nets_that_are_shipped():
    start = starts.load_start("shipped", "resnet20")
    theirs = load_trained("resnet20", study="cifar10-8k").state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in start.net.state_dict().items())
    assert (start.shape, start.classes[3]) == ((3, 32, 32), "cat")


@pytest.mark.parametrize(
    ("source", "net", "words"),
    [
        ("torchvision", None, "--start-from torchvision needs a net: name it"),
        ("torchvision", "resnet20", "torchvision has no weights of resnet20"),
        ("torchvision", "plain18", "torchvision has no weights of plain18"),
        ("shipped", "resnet110", "has no record of resnet110"),
        ("nowhere.safetensors", None, "there is no file nowhere.safetensors"),
    ],
)
def test_what_is_not_there(source, net, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        starts.load_start(source, net)


def test_one_kind_of_runs_against_another_by_students_t():
    held = {"dataset": {**make().dataset, "name": "toy[80+20 held out]"}}
    first = [make(seed=seed, errors=(50.0, error), **held) for seed, error in enumerate((20.0, 23.0, 21.0))]
    second = [make(seed=seed, errors=(50.0, error), **held) for seed, error in enumerate((14.0, 13.5, 15.5))]
    low, high = stats.ttest_rel([14.0, 13.5, 15.5], [20.0, 23.0, 21.0]).confidence_interval()
    words = f"-7.00 points of held-out error, mean of 3 seeds, 95% interval {low:+.2f} to {high:+.2f}"
    assert words in versus(first, second, ("scratch", "tuned"))
    assert ("0 lies outside" in versus(first, second, ("a", "b"))) == (high < 0)
    assert "3 seeds do not tell which is lower" in versus(first, first, ("a", "b"))
    assert "with one seed, which says nothing about others" in versus(first[:1], second, ("a", "b"))
