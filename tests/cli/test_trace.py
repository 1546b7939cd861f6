"""`resnet-edu trace`: what it prints, and what it says to wrong input."""

import functools
import inspect
import json
import socket
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, _api, get_model_builder, list_models

from resnet_edu import cli
from resnet_edu.cli import trace as cli_trace
from resnet_edu.tracing.run import trace

GOLDEN = Path(__file__).parent.parent / "tracing" / "golden"


def run(capsys, *argv):
    status = cli.main(["trace", *argv])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("depth", [34, 50])
def test_prints_the_published_tables(capsys, depth):
    status, out, err = run(capsys, f"resnet{depth}", "--view", "convs", "--format", "csv")
    assert (status, err) == (0, "")
    assert out == (GOLDEN / f"layer{depth}.csv").read_text()


def test_text_is_the_default(capsys):
    status, out, _ = run(capsys, "resnet20")
    assert status == 0
    assert out == (GOLDEN / "resnet20_layers.txt").read_text()


def test_json(capsys):
    _, out, _ = run(capsys, "resnet56", "--batch", "4", "--format", "json")
    content = json.loads(out)
    assert content["inputs"] == [[4, 3, 32, 32]]
    assert content["total_params"] == 853_018
    assert sum(r["kind"] == "add" for r in content["rows"]) == 27


@pytest.mark.parametrize("view", cli_trace.VIEWS)
@pytest.mark.parametrize("form", cli_trace.FORMATS)
def test_every_view_in_every_format(capsys, view, form):
    status, out, _ = run(capsys, "plain20", "--view", view, "--format", form)
    assert status == 0
    assert out.strip()


def test_stride_and_shortcut_are_passed_on(capsys):
    _, out, _ = run(capsys, "resnet50", "--stride-in", "1x1", "--view", "convs", "--format", "csv")
    assert "conv3.1.1,256*56*56,128*28*28,2,0,True" in out
    _, out, _ = run(capsys, "resnet20", "--shortcut", "projection", "--format", "json")
    assert {r["shortcut_kind"] for r in json.loads(out)["rows"]} == {None, "identity", "projection"}


def test_torchvision(capsys):
    _, out, _ = run(capsys, "torchvision:squeezenet1_1", "--format", "json")
    assert json.loads(out)["total_params"] == 1_235_496


class Downloaded(Exception):
    pass


@pytest.fixture
def offline(monkeypatch):
    """No weights, from wherever, and no network."""

    def refuse(*_, **__):
        raise Downloaded

    monkeypatch.setattr(_api.WeightsEnum, "get_state_dict", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_builder_of_torchvision_is_told_to_take_no_weights(monkeypatch):
    given = {}

    def spy(name):
        builder = get_model_builder(name)

        @functools.wraps(builder)
        def build(**options):
            given[name] = options
            return nn.ReLU()

        return build

    monkeypatch.setattr(torchvision.models, "get_model_builder", spy)
    trained_parts = 0
    for name in list_models():
        cli_trace.load_model(f"torchvision:{name}", {})
        takes = inspect.signature(get_model_builder(name)).parameters.values()
        takes = {p.name: p.default for p in takes if "Weights" in str(p.annotation)}
        trained_parts += any(default is not None for default in takes.values())
        assert given[name] == dict.fromkeys(takes), name
    assert trained_parts == 15


@pytest.mark.slow
def test_no_builder_of_torchvision_downloads(offline):
    """Of those that have weights by default; built without memory."""
    for name in list_models():
        defaults = [p.default for p in inspect.signature(get_model_builder(name)).parameters.values()]
        if any(isinstance(default, WeightsEnum) for default in defaults):
            with torch.device("meta"):
                cli_trace.load_model(f"torchvision:{name}", {})


@pytest.mark.parametrize("name", ["torchvision:", "torchvision.models.segmentation:"])
def test_a_backbone_is_not_downloaded(capsys, offline, name):
    with pytest.raises(Downloaded):
        torchvision.models.segmentation.lraspp_mobilenet_v3_large()
    status, out, _ = run(capsys, f"{name}lraspp_mobilenet_v3_large", "--input", "3x64x64", "--format", "json")
    assert status == 0
    assert json.loads(out)["total_params"] == 3_221_538  # torchvision's documentation


@pytest.mark.slow
def test_a_detector_runs_on_a_device_that_has_values(capsys, offline):
    name = "torchvision:ssdlite320_mobilenet_v3_large"
    assert run(capsys, name, "--input", "3x64x64")[0] == 1
    status, out, _ = run(capsys, name, "--input", "3x64x64", "--device", "cpu", "--format", "json")
    assert status == 0
    assert json.loads(out)["total_params"] == 3_440_060  # torchvision's documentation


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The current directory, with a file of models."""
    (tmp_path / "my_little_net.py").write_text(
        "import json, torch\n"
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(1, 2, 3))\n"
        "def number(): return 3\n"
        "def needy(depth): return nn.ReLU()\n"
        "ready = nn.ReLU()\n"
        "text = 'x'\n"
        "def key(): return {}['lost']\n"
        "def deep(): return json.loads('{')\n"
        "def leave(): raise SystemExit('two\\nlines')\n"
        "class Fails(nn.Module):\n"
        "    def forward(self, x): return x + torch.ones(7, device=x.device)\n"
        "def tokens(): return nn.Sequential(nn.Embedding(100, 8), nn.Linear(8, 4))\n"
        "def signal(): return nn.Conv1d(2, 4, 3)\n"
        "def sequence(): return nn.Linear(64, 3)\n"
        "class Two(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv, self.words = nn.Conv2d(3, 8, 3, padding=1), nn.Embedding(10, 8)\n"
        "    def forward(self, x, t): return self.conv(x).mean((2, 3)) + self.words(t).mean(1)\n"
        "class Pair(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.both = nn.Linear(4, 4), nn.Bilinear(4, 4, 2)\n"
        "    def forward(self, x): return self.both(self.first(x), x)\n"
    )
    (tmp_path / "my_broken_file.py").write_text("import torch\ndef net(:\n")
    (tmp_path / "my_script.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "my_division.py").write_text("x = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options", "macs"),
    [
        ("tokens", ["--input", "16:long", "--batch", "2"], 2 * 16 * 8 * 4),
        ("signal", ["--input", "2x100", "--batch", "3"], 3 * 98 * 4 * 2 * 3),  # (N, C, L)
        ("sequence", ["--input", "5x64"], 5 * 64 * 3),  # (N, L, C)
        ("sequence", ["--input", "64"], 64 * 3),
        ("Two", ["--input", "3x8x8", "--input", "5:int64", "--batch", "2"], 2 * 64 * 8 * 27),
    ],
)
def test_inputs_of_any_shape_and_type(capsys, own, name, options, macs):
    for device in ("meta", "cpu"):
        status, out, _ = run(capsys, f"my_little_net:{name}", *options, "--format", "json", "--device", device)
        assert status == 0
        assert json.loads(out)["total_macs"] == macs


def test_what_is_not_counted_is_named(capsys, own):
    _, out, _ = run(capsys, "my_little_net:Pair", "--input", "4", "--format", "json")
    content = json.loads(out)
    assert (content["total_macs"], content["not_counted"]) == (16, ["both"])


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("my_little_net:key", "my_little_net.py, line 8", "KeyError: 'lost'"),
        ("my_little_net:deep", "my_little_net.py, line 9", "JSONDecodeError"),  # not a line of Python's own
        ("my_little_net:leave", "my_little_net.py, line 10", "SystemExit: two lines"),
        ("my_little_net:Fails", "my_little_net.py, line 12", "Fails fails for input"),
        ("my_broken_file:net", "my_broken_file.py, line 2", "SyntaxError"),
        ("my_script:net", "my_script.py, line 2", "SystemExit: 3"),
        ("my_division:net", "my_division.py, line 1", "ZeroDivisionError"),
    ],
)
def test_code_that_fails_is_one_line_with_its_place(capsys, own, name, place, words):
    status, out, err = run(capsys, name)
    assert (status, out) == (1, "")
    assert place in err
    assert words in err
    assert err.count("\n") == 1


def test_a_failing_model_is_told_as_in_python(capsys, own):
    with pytest.raises(RuntimeError) as told:
        trace(nn.Sequential(nn.Embedding(100, 8), nn.Linear(8, 4)), (1, 16))
    _, _, err = run(capsys, "my_little_net:tokens", "--input", "16")
    assert err == f"resnet-edu trace: {told.value}\n"


def test_own_callable_in_the_current_directory(capsys, own):
    status, out, _ = run(capsys, "my_little_net:net", "--input", "1x8x8", "--format", "csv", "--view", "convs")
    assert status == 0
    assert "1*8*8,2*6*6" in out
    assert run(capsys, "my_little_net:ready")[0] == 0
    for name, words in [
        ("number", "but it is a int"),
        ("needy", "depth"),
        ("text", "but it is a str"),
        ("nope", "has no attribute 'nope'"),
    ]:
        status, out, err = run(capsys, f"my_little_net:{name}")
        assert (status, out) == (1, "")
        assert words in err
        assert err.count("\n") == 1


def test_help_shows_how_models_are_named(capsys):
    with pytest.raises(SystemExit):
        cli.main(["trace", "--help"])
    assert "torchvision:densenet121" in capsys.readouterr().out
