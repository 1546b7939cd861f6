"""`resnet-edu trace`: what it prints, and what it says to wrong input."""

import json
from pathlib import Path

import pytest

from resnet_edu import cli
from resnet_edu.cli import trace as cli_trace

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


def test_own_callable_in_the_current_directory(capsys, tmp_path, monkeypatch):
    (tmp_path / "my_little_net.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(1, 2, 3))\n"
        "def number(): return 3\n"
        "def needy(depth): return nn.ReLU()\n"
        "ready = nn.ReLU()\n"
        "text = 'x'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
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


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["resnet21"], "6n+2"),
        (["vgg16"], "unknown net 'vgg16'"),
        (["torchvision:resnet5"], "Unknown model resnet5"),
        (["torchvision:"], "Unknown model"),
        (["no_such_package_at_all:net"], "cannot import 'no_such_package_at_all:net'"),
        ([":net"], "package.module:callable"),
        (["resnet20", "--input", "3x224"], "'3x224'"),
        (["resnet20", "--input", "axb"], "'axb'"),
        (["resnet20", "--input", "0x3x3"], "'0x3x3'"),
        (["resnet20", "--input=-3x3x3"], "'-3x3x3'"),
        (["resnet20", "--batch", "0"], "--batch must be whole numbers above 0"),
        (["resnet20", "--batch", "two"], "'two'"),
        (["resnet20", "--input", "1x32x32"], "takes 3 channels, not 1"),
        (["resnet20", "--stride-in", "1x1"], "--stride-in is for bottlenecks"),
        (["plain20", "--shortcut", "projection"], "has no shortcut"),
        (["resnet20", "--shortcut", "wormhole"], "'wormhole'"),
        (["torchvision:resnet18", "--shortcut", "projection"], "--shortcut: only for the nets of this package"),
        (["torchvision:vgg11", "--input", "3x16x16"], "is too small"),
        (["torchvision:vgg11", "--view", "stages"], "no 'stages' view"),
    ],
)
def test_bad_input_is_one_clear_line(capsys, argv, words):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_unknown_choices_are_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["trace", "resnet20", "--view", "nope"])
    assert stop.value.code == 2


def test_help_shows_how_models_are_named(capsys):
    with pytest.raises(SystemExit):
        cli.main(["trace", "--help"])
    assert "torchvision:densenet121" in capsys.readouterr().out
