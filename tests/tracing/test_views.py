"""Views and formats of a trace, against the published tables and counts worked out by hand."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torchvision
from torch import nn

from resnet_edu.nets import models
from resnet_edu.support.table import Column, Table
from resnet_edu.tracing.run import Trace, trace

GOLDEN = Path(__file__).parent / "golden"
IMAGE = (1, 3, 224, 224)


@pytest.fixture(scope="module")
def resnet18() -> Trace:
    return trace(models.resnet18(), IMAGE)


# ---- convs: the tables of the ResNet article, typed from it; nothing here rewrites them -----------------------------


@pytest.mark.parametrize("depth", [34, 50])
@pytest.mark.parametrize("source", [models, torchvision.models], ids=["ours", "torchvision"])
def test_convs_equal_the_published_tables(depth, source):
    net = getattr(source, f"resnet{depth}")()
    assert trace(net, (8, *IMAGE[1:])).view("convs").to_csv() == (GOLDEN / f"layer{depth}.csv").read_text()


def test_stride_in_the_1x1_moves_the_downsampling():
    rows = {r["layer"]: r for r in trace(models.resnet50(stride_on="1x1"), IMAGE).view("convs").to_dicts()}
    assert (rows["conv3.1.1"]["stride"], rows["conv3.1.1"]["downsample"]) == ("2", True)
    assert (rows["conv3.1.2"]["in"], rows["conv3.1.2"]["downsample"]) == ("128*28*28", None)


def test_convs_of_a_cifar_net_and_its_plain_twin_are_the_same():
    shape = (1, 3, 32, 32)
    residual = trace(models.resnet20(), shape).view("convs").to_csv()
    assert residual == trace(models.plain20(), shape).view("convs").to_csv()
    assert "conv4.1,32*16*16,64*8*8,2,1,True,64*32*3*3\n" in residual
    assert residual.count("\n") == 7


def test_projections_are_not_on_the_main_path():
    shape = (1, 3, 32, 32)
    assert (
        trace(models.resnet20(shortcut="projection_all"), shape).view("convs").to_csv()
        == trace(models.resnet20(), shape).view("convs").to_csv()
    )


def test_convs_of_grouped_convolutions_show_the_weights_shape():
    net = torchvision.models.resnext50_32x4d()
    rows = {r["layer"]: r["kernel"] for r in trace(net, IMAGE).view("convs").to_dicts()}
    assert rows["conv2.1.2"] == "*".join(map(str, net.layer1[0].conv2.weight.shape)) == "128*4*3*3"


def test_other_nets_get_a_plain_list_of_all_convolutions():
    net = torchvision.models.densenet121()
    rows = trace(net, IMAGE).view("convs").to_dicts()
    paths = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    assert [r["layer"] for r in rows] == paths


def test_no_convolution_is_an_error():
    with pytest.raises(ValueError, match="no convolution"):
        trace(nn.Linear(3, 4), (1, 3)).view("convs")


# ---- stages: Table 1 of the paper -----------------------------------------------------------------------------------

TABLE_1 = {
    18: ["[3x3, 64; 3x3, 64] x 2", "[3x3, 128; 3x3, 128] x 2", "[3x3, 256; 3x3, 256] x 2", "[3x3, 512; 3x3, 512] x 2"],
    34: ["[3x3, 64; 3x3, 64] x 3", "[3x3, 128; 3x3, 128] x 4", "[3x3, 256; 3x3, 256] x 6", "[3x3, 512; 3x3, 512] x 3"],
    50: [
        "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
        "[1x1, 128; 3x3, 128; 1x1, 512] x 4",
        "[1x1, 256; 3x3, 256; 1x1, 1024] x 6",
        "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
    ],
    101: [
        "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
        "[1x1, 128; 3x3, 128; 1x1, 512] x 4",
        "[1x1, 256; 3x3, 256; 1x1, 1024] x 23",
        "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
    ],
    152: [
        "[1x1, 64; 3x3, 64; 1x1, 256] x 3",
        "[1x1, 128; 3x3, 128; 1x1, 512] x 8",
        "[1x1, 256; 3x3, 256; 1x1, 1024] x 36",
        "[1x1, 512; 3x3, 512; 1x1, 2048] x 3",
    ],
}


@pytest.mark.parametrize("depth", list(TABLE_1))
def test_stages_equal_table_1_of_the_paper(depth):
    result = trace(models.get_model(f"resnet{depth}"), IMAGE)
    rows = result.view("stages").to_dicts()
    assert [r["stage"] for r in rows] == ["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "head"]
    assert [r["output"] for r in rows] == ["112x112", "56x56", "28x28", "14x14", "7x7", "1x1"]
    expected = ["7x7, 64, stride 2", *TABLE_1[depth], "average pool, then 1000-d fc"]
    expected[1] = "3x3 max pool, stride 2, then " + expected[1]
    assert [r["layers"] for r in rows] == expected
    assert sum(r["params"] for r in rows) == result.total_params
    assert sum(r["macs"] for r in rows) == result.total_macs


def test_stages_of_a_cifar_net():
    rows = trace(models.resnet56(), (1, 3, 32, 32)).view("stages").to_dicts()
    assert [(r["stage"], r["output"], r["layers"]) for r in rows] == [
        ("conv1", "32x32", "3x3, 16"),
        ("conv2_x", "32x32", "[3x3, 16; 3x3, 16] x 9"),
        ("conv3_x", "16x16", "[3x3, 32; 3x3, 32] x 9"),
        ("conv4_x", "8x8", "[3x3, 64; 3x3, 64] x 9"),
        ("head", "1x1", "average pool, then 10-d fc"),
    ]


def test_stages_need_stages():
    with pytest.raises(ValueError, match="use 'layers'"):
        trace(torchvision.models.squeezenet1_1(), IMAGE).view("stages")


def test_unknown_view(resnet18):
    with pytest.raises(ValueError, match="'layers', 'convs', 'stages', but it is 'nope'"):
        resnet18.view("nope")


# ---- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["layers", "convs", "stages"])
def test_csv_reads_back(resnet18, view):
    rows = list(csv.DictReader(io.StringIO(resnet18.view(view).to_csv())))
    assert len(rows) == len(resnet18.view(view)) == len(resnet18.view(view).to_dicts())
    if view != "convs":
        assert sum(int(r["params"]) for r in rows) == 11_689_512


def test_dicts_are_json_and_have_every_field(resnet18):
    rows = json.loads(json.dumps(resnet18.view().to_dicts()))
    assert rows[0]["inputs"] == [[1, 3, 224, 224]]
    assert rows[0]["sources"] == ["input"]
    assert {"cumulative_params", "receptive_field", "groups", "dilation", "shortcut_kind"} <= set(rows[0])


@pytest.mark.parametrize("view", ["layers", "convs", "stages"])
def test_markdown_is_a_table(resnet18, view):
    lines = resnet18.view(view).to_markdown().split("\n")
    assert len({line.count("|") for line in lines}) == 1
    assert set(lines[1]) <= set("|- :")


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_no_noise_in_cells(resnet18, form):
    for view in ("layers", "stages"):
        assert not re.search(r"\b(None|nan|NaN)\b", getattr(resnet18.view(view), form)())


def test_text_aligns_numbers_and_ends_with_the_total(resnet18):
    lines = str(resnet18).split("\n")
    assert "11,689,512" in lines[-1]
    assert "1,814,073,344" in lines[-1]
    assert lines[0] == "ResNet, input 1x3x224x224: 69 rows, 8 residual additions"


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)
        assert not self.open, "tags left open"

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [a for t, a in self.seen if t == tag]


@pytest.mark.parametrize("view", ["layers", "convs", "stages"])
def test_html_is_well_formed_and_accessible(resnet18, view):
    table = resnet18.view(view)
    tags = _Tags(table._repr_html_())
    box = tags.all("div")[0]
    assert (box["class"], box["tabindex"], box["role"]) == ("resnet-trace-scroll", "0", "group")
    assert box["aria-label"].startswith("ResNet")
    assert tags.all("table") == [{"class": "resnet-trace"}]
    assert len(tags.all("caption")) == 1
    assert all(a["scope"] == "col" for a in tags.all("th"))
    assert len(tags.all("tr")) == len(table) + 1 + (view != "convs")
    assert len(tags.all("tfoot")) == (view != "convs")
    assert "color" not in table.to_html()


def test_html_writes_the_remark_below_the_layer_and_text_beside_it(resnet18):
    (add,) = [line for line in resnet18.view().to_html().splitlines() if "layer1.0.add()" in line]
    assert "layer1.0.add() <small>main #8 + shortcut #3 (identity)</small></td>" in add
    header, first = resnet18.view().to_html().partition("<tbody>")[::2]
    assert header.count("<th ") == first.partition("</tr>")[0].count("<td ")
    assert "remark" not in header
    assert "remark" in resnet18.view().to_text()


def test_equal_operands_are_written_once(resnet18):
    add = resnet18.additions[0]
    assert add.inputs == ((1, 64, 56, 56),) * 2
    assert resnet18.view().rows[add.index]["inputs"] == "2 of 1x64x56x56"


def test_html_marks_additions_and_reuse(resnet18):
    classes = [a.get("class", "") for a in _Tags(resnet18.view().to_html()).all("tr")]
    assert sum("is-add" in c for c in classes) == 8
    styles = [a.get("style", "") for a in _Tags(resnet18.view().to_html()).all("tr")]
    assert ["is-add" in c for c in classes] == ["background" in s for s in styles], "an addition stands out anywhere"
    layer = nn.Linear(3, 3)
    again = trace(nn.Sequential(layer, layer), (1, 3))
    assert "is-reused" in again.view().to_html()
    assert "reused" in again.view().to_text()


def test_html_escapes_what_the_user_wrote():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module('<b>&"x', nn.ReLU())

        def forward(self, x):
            return self._modules['<b>&"x'](x)

    Net.__name__ = "<script>"
    html = trace(Net(), (1, 3)).view().to_html()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;&quot;x" in html


def test_markdown_escapes_bars_and_an_empty_table_prints():
    assert Table("t", [Column("a", "a|b")], [{"a": "x|y"}]).to_markdown() == "| a\\|b |\n| --- |\n| x\\|y |"
    empty = Table("nothing", [Column("a", "a", True)], [])
    assert "nothing" in empty.to_text()
    _Tags(empty.to_html())


# ---- golden text: reviewed by eye, rewritten with --rewrite-golden; its numbers are re-added -----------------------


@pytest.mark.parametrize(
    ("name", "build", "shape"),
    [
        ("resnet20_layers", models.resnet20, (1, 3, 32, 32)),
        ("resnet18_layers", models.resnet18, IMAGE),
    ],
)
def test_golden_text(request, name, build, shape):
    text = trace(build(), shape).view().to_text() + "\n"
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(text)
    assert text == path.read_text()
    lines = text.rstrip("\n").split("\n")
    header, body, total = lines[2], lines[4:-2], lines[-1]
    for title in ("parameters", "MACs", "bytes"):
        end = header.index(title) + len(title)

        def number(line, end=end):
            return int(line[:end].split()[-1].replace(",", ""))

        assert sum(map(number, body)) == number(total)
