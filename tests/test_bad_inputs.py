"""What cannot be is refused in words: the argument, the rule, what was given, in a line. Files are left as they were.

The command line's own table is in `cli/test_refusals.py`, the explorers' are beside the tests of each.
"""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from chapter_files import setup_cell
from safetensors.torch import save_file
from torch import nn
from traitlets import TraitError

from resnet_edu import data, experiment, nets, notebook, probes, tracing, widgets
from resnet_edu.data.dataset import Dataset, normalization
from resnet_edu.experiment import Study, records
from resnet_edu.experiment.folder import Source
from resnet_edu.experiment.shipped import RESULTS
from resnet_edu.nets import models, shapes, variants
from resnet_edu.training import Classifier, Recipe, evaluate, load_classifier, train
from resnet_edu.training.weights import ABOUT, BESIDE, contents

LONGEST = 200  # characters: of most far fewer
DIGITS = data.load("digits").head(64, 32)
NET = models.cifar_net(8, in_channels=1).eval()
ONE = Recipe(1, batch_size=8)
MADE = Classifier.of(NET, DIGITS, "resnet8")
PIXELS = DIGITS.test_images
HUGE = 10**400


def dataset(**changes) -> Dataset:
    return dataclasses.replace(DIGITS, **changes)


def learn(net=NET, images=DIGITS, recipe=ONE, **options) -> object:
    return train(net, images, recipe, **options)


def ask(probe, net=NET, **options) -> object:
    return probe(probes.Subject("resnet8", net, DIGITS), **options)


class Listed(nn.Module):
    """A net that returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return [x]


def named_class(name: str) -> dict:
    return {"classes": (name, *DIGITS.classes[1:])}


CALLS = {
    # nets
    "a depth of a billion": (lambda: nets.get_model("resnet9999999998"), "`depth` must be from 1 to 10,000"),
    "a name that is bytes": (lambda: nets.get_model(b"resnet20"), r"`name` must be text .* but it is b'resnet20'"),
    "an option that no net has": (lambda: nets.get_model("resnet20", depht=20), "unexpected keyword argument 'depht'"),
    "a width that is None": (
        lambda: models.cifar_net(20, width=None),
        "`width` must be a whole number, but it is None",
    ),
    "a width beyond 64 bits": (
        lambda: models.cifar_net(20, width=HUGE),
        "`width` must be below 2.*63, but it has 1,329",
    ),
    "a word for a switch": (
        lambda: models.cifar_net(20, residual="no"),
        "`residual` must be of type bool, but it",
    ),
    "a block's name": (lambda: models.ResNet("BasicBlock", [1], [2]), "`block` must be the class of a block"),
    "a layer as a block": (lambda: models.ResNet(nn.ReLU, [1], [2]), "`block` must be the class of a block"),
    "one number for all stages": (lambda: models.ResNet(models.BasicBlock, 2, [2]), "`layers` must be whole numbers"),
    "a variant without classes": (lambda: variants.d2l_resnet18(num_classes=0), "`num_classes` must be at least 1"),
    "weights by their name": (
        lambda: nets.load_pretrained(NET, "IMAGENET1K_V1"),
        "`weights` must be of type Weights",
    ),
    "a field that is no field": (lambda: shapes.ReceptiveField().union(3), "`other` must be of type ReceptiveField"),
    # tracing
    "a trace of no tensor": (lambda: tracing.trace(NET, None), r"conv2d\(\) received an invalid combination"),
    "a trace on no device": (lambda: tracing.trace(NET, (1, 1, 8, 8), device="x"), "`device` must be .* but it is 'x'"),
    # data
    "data from a number": (lambda: data.load(5), "`source` must be of type str or PathLike, but it is 5"),
    "data from a list": (lambda: data.load(["digits"]), r"`source` must be .* but it is \['digits'\]"),
    "an image that is None": (lambda: dataset(train_images=None), "`train_images` must be of type Tensor"),
    "labels in a list": (lambda: dataset(test_labels=[0, 1]), "`test_labels` must be of type Tensor"),
    "images without pixels": (lambda: dataset(train_images=PIXELS[:, :, :0]), "must be a non-empty uint8 tensor"),
    "classes in a text": (lambda: dataset(classes="0123456789"), "`classes` must be a tuple of names"),
    "classes that are numbers": (lambda: dataset(**named_class(0)), "`classes` must be a tuple of names"),
    "a class twice": (lambda: dataset(**named_class("1")), "each once, but `classes` is"),
    "a seed below 0": (lambda: DIGITS.hold_out(20, -1), "`seed` must be from 0 to 4,294,967,295, but it is -1"),
    "a mean that is a number": (lambda: normalization(PIXELS, (1, 2)), "`mean` must be of type Tensor, but it is 1"),
    # training
    "a recipe with words for switches": (lambda: Recipe(5, augment="yes"), "`augment` must be of type bool"),
    "a recipe with one milestone": (lambda: Recipe(5, milestones=3), "`milestones` must be whole numbers, such as"),
    "a recipe without a period": (lambda: Recipe(5, schedule="cosine", period=0), "`period` must be from 1 to 5"),
    "a rate beyond floats": (lambda: Recipe(5, lr=HUGE), "`lr` must be below 2.*63, but it has 1,329 bits"),
    "a recipe for a text": (lambda: Recipe.paper("56"), "`depth` must be a whole number, but it is '56'"),
    "no net to train": (lambda: learn(None), "`model` must be of type Module, but it is None"),
    "a class to train": (lambda: learn(models.ResNet), "`model` must be of type Module, but it is <class"),
    "data by its name to train on": (lambda: learn(images="digits"), "`dataset` must be of type Dataset"),
    "steps for a recipe": (lambda: learn(recipe=10), "`recipe` must be of type Recipe, but it is 10"),
    "training from a text as seed": (lambda: learn(seed="x"), "`seed` must be a whole number, but it is 'x'"),
    "training from a seed of 70 bits": (lambda: learn(seed=2**70), "`seed` must be below 2.*63, but it has 71 bits"),
    "one stop": (lambda: learn(stops=5), "`stops` must be whole numbers, such as"),
    "no device": (lambda: learn(device=None), "`device` must be auto, cpu, cuda or mps, but it is None"),
    "a net without parameters": (lambda: learn(nn.Flatten()), "`model` must have a parameter to train"),
    "a net for colours": (lambda: learn(models.cifar_net(8)), r"fails for images \(2, 1, 8, 8\): .*3 channels"),
    "a net that answers in a list": (lambda: learn(Listed()), r"`output` must be of type Tensor, but it is \["),
    "a measured net for colours": (lambda: evaluate(models.cifar_net(8), DIGITS), "fails for images"),
    "a measured net of 3 classes": (
        lambda: evaluate(models.cifar_net(8, in_channels=1, num_classes=3), DIGITS),
        r"returns \(32, 3\) for 32 images, but the data has 10 classes",
    ),
    "a measured name": (lambda: evaluate("resnet8", DIGITS), "`model` must be of type Module, but it is 'resnet8'"),
    "the truth in a list": (lambda: MADE.predict(PIXELS[:1], truth=[3]), "`truth` must be of type Tensor"),
    "a truth of no class": (
        lambda: MADE.predict(PIXELS[:1], truth=torch.tensor([77])),
        "must be int64 from 0 to 9",
    ),
    "a truth of fractions": (lambda: MADE.predict(PIXELS[:1], truth=torch.tensor([0.5])), "`truth` must be int64"),
    # studies
    "a study of a number": (lambda: Study(nets=5), "`nets` must be of type list or tuple, but it is 5"),
    "a study of numbers": (lambda: Study(nets=[5]), "`nets` must be of type str, but it is 5"),
    "a study of a nameless module": (lambda: Study(nets=":"), "the net ':' cannot be imported"),
    "a study of a million seeds": (lambda: Study(seeds=10**6), "`seeds` must be from 1 to 10,000, but it is 1000000"),
    "a study with a source in words": (lambda: Study(source="digits"), "`source` must be of type Source or None"),
    "a source with one size": (lambda: Source("digits", head=(5,)), r"`head` must be numbers of training and of test"),
    "a study on nothing": (lambda: experiment.run(Study("resnet8", ONE), None), "`data` must be of type Dataset or"),
    "a shipped seed": (lambda: experiment.load_trained("resnet20", seed="x", study="digits"), "with seed x: there are"),
    # probes and notebooks
    "a probe of no net": (lambda: ask(probes.responses, None), "`net` must be of type Module, but it is None"),
    "a probe by a number of steps": (lambda: ask(probes.gradients, recipe=5), "`recipe` must be of type Recipe"),
    "additions of arrays": (lambda: probes.additions(NET, np.zeros((1, 1, 8, 8))), "`images` must be of type Tensor"),
    "a chapter on no device": (lambda: notebook.start(1.5), "`device` must be auto, cpu, cuda or mps, but it is 1.5"),
    "the source of a text": (lambda: notebook.show_source("train"), "function.* was expected, got str"),
    # explorers
    "a step that is a text": (lambda: widgets.StudyPlayer(step="1"), "'step' trait|`step` must be"),
    "a rate that is no number": (lambda: widgets.TrainingLab(rate=float("nan")), "`rate` must be a finite number"),
    "a layer that is a number": (lambda: widgets.ConvolutionExplorer(layers=[3]), "'layers' trait"),
    "an explorer's unknown setting": (lambda: widgets.BlockExplorer(strid=1), "no setting 'strid'; it has .*stride"),
}


@pytest.mark.parametrize(("call", "words"), CALLS.values(), ids=CALLS)
def test_what_cannot_be_is_refused_in_a_line(call, words):
    with pytest.raises((ValueError, TypeError, OSError, RuntimeError, TraitError), match=words) as told:
        call()
    assert len(str(told.value)) <= LONGEST
    assert "\n" not in str(told.value)


# ---------------------------------------------------------------- files

RECORD = json.loads((RESULTS / "digits" / "plain20-seed0.json").read_text(encoding="utf-8"))
POINT = RECORD["curves"][0]
PROBE = json.loads(next((RESULTS / "probes").glob("*.json")).read_text(encoding="utf-8"))
WRONG_FILES = {
    "no JSON": (records.load, "{", "is no JSON text"),
    "too deep": (records.load, "[" * 100_000, "is no JSON text"),
    "bytes": (records.load, b"\xff\xfe\x00", "is no JSON text"),
    "a list": (records.load, [], "is none of our files: it has no field 'schema'"),
    "a record of the future": (records.load, {**RECORD, "schema": 99}, "has schema 99, .* knows 1 at most: update it"),
    "a record's version in words": (records.load, {**RECORD, "schema": "1"}, "'schema' must be a whole number"),
    "a nameless net": (records.load, {**RECORD, "net": None}, "'net' cannot be None"),
    "a seed in a list": (records.load, {**RECORD, "seed": [1]}, r"'seed' cannot be \[1\]"),
    "no data": (records.load, {**RECORD, "dataset": "digits"}, "'dataset' cannot be 'digits'"),
    "data without a fingerprint": (records.load, {**RECORD, "dataset": {"name": "x"}}, "'dataset' lacks fingerprint"),
    "a time in words": (records.load, {**RECORD, "seconds": "long"}, "'seconds' cannot be 'long'"),
    "curves of numbers": (records.load, {**RECORD, "curves": [5]}, "'curves' must be evaluations, each with step"),
    "a loss in words": (records.load, {**RECORD, "curves": [{**POINT, "train_loss": "low"}]}, "'curves' must be"),
    "a probe of the future": (probes.load, {**PROBE, "schema": 99}, "has schema 99, .* knows 1 at most: update it"),
    "a probe of no images": (probes.load, {**PROBE, "dataset": None}, "'dataset' cannot be None"),
    "a probe without a place": (probes.load, {**PROBE, "device": "cpu"}, "'device' cannot be 'cpu'"),
}


@pytest.mark.parametrize(("load", "content", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_record_is_named_with_what_is_wrong(tmp_path, load, content, words):
    path = tmp_path / "x.json"
    raw = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    path.write_bytes(raw)
    with pytest.raises(records.RecordError, match=rf"x\.json.*{words}"):
        load(path)
    assert path.read_bytes() == raw


def test_a_folder_where_a_file_should_be(tmp_path):
    for load in (records.load, probes.load, load_classifier):
        with pytest.raises(OSError, match=r"cannot read .* \(Is a directory\): name a file"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 99}, "has schema 99, but 1 is known here: update resnet_edu"),
        ({"net": 5}, r"weights alone \(no net\)"),
        ({"net": "vgg16"}, "unknown net 'vgg16'"),
        ({"net": "resnet14"}, "does not fit the net: Missing key"),
        ({"options": {"depth": 8}}, "the net of .* cannot be built: .*'depth'"),
        ({"options": {"num_classes": "2"}}, "the net of .* cannot be built: `num_classes` must be a whole number"),
        ({"resize": "crop"}, "size by 'crop', but 'stretch' alone is known here: update resnet_edu"),
        ({"options": []}, r"weights alone \(no options\)"),
        ({"classes": ["a"]}, r"cannot be built: the net returns \(1, 10\) for 1 images, but the data has 1 classes"),
        ({"shape": [3, 8, 8]}, "cannot be built: "),
        ({"shape": ["x", 1, 1]}, "cannot be built: `shape` must be a whole number"),
        ({"mean": torch.zeros(7)}, "cannot be built: "),
        (None, r"its header says \[\]"),
    ],
)
def test_weights_that_contradict_themselves(tmp_path, changes, words):
    path = MADE.save(tmp_path / "w")
    about, tensors = contents(path.read_bytes())
    tensors |= {BESIDE + name: value for name, value in (changes or {}).items() if isinstance(value, torch.Tensor)}
    about = [] if changes is None else about | {k: v for k, v in changes.items() if BESIDE + k not in tensors}
    save_file(tensors, path, {ABOUT: json.dumps(about)})
    with pytest.raises(ValueError, match=words) as told:
        load_classifier(path)
    assert "\n" not in str(told.value)


def test_the_set_up_cell_says_why_pip_failed(tmp_path):
    script = tmp_path / "cell.py"
    missing = (tmp_path / "none.whl").as_uri()
    script.write_text(f"import sys\nsys.modules['resnet_edu'] = None  # not to be found\n{setup_cell(missing)}")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert re.search("RuntimeError: pip cannot install it: .*none.whl", done.stderr)
