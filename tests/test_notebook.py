"""The start of a chapter, the set-up cell before it, and the source that it shows."""

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch
from chapter_files import FIRST_LINE, is_setup, put_setup, setup_cell
from repository import SOURCE_VARIABLE, VARIABLE, Repository

from resnet_edu import notebook
from resnet_edu.nets.blocks import BasicBlock, PlainBlock
from resnet_edu.notebook import show_source

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_start_says_what_runs_and_where(capsys):
    with matplotlib.rc_context():
        random = torch.get_rng_state()
        assert notebook.start("cpu") == torch.device("cpu")
        assert torch.equal(torch.get_rng_state(), random)
        assert not matplotlib.rcParams["axes.spines.top"]
        assert matplotlib.rcParams["figure.facecolor"] == "white"
    line = capsys.readouterr().out
    assert torch.__version__ in line
    threads = torch.get_num_threads()
    assert f"{threads} thread{'' if threads == 1 else 's'})" in line
    with pytest.raises(ValueError, match="'abacus'"):
        notebook.start("abacus")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_begins_with_the_same_set_up(path: Path):
    source = Repository.from_config(ROOT / "_config.yml", {}).source
    cells = nbformat.read(path, as_version=4).cells
    assert cells[1].source == setup_cell(source), "run `make strip`"
    assert sum(map(is_setup, cells)) == 1


def test_without_a_source_the_cell_says_what_to_do(tmp_path):
    script = tmp_path / "cell.py"
    script.write_text(f"import sys\nsys.modules['resnet_edu'] = None  # not to be found\n{setup_cell()}")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "run `pip install .` in the project's folder" in done.stderr.splitlines()[-1]


def test_put_replaces_an_older_set_up_and_keeps_the_rest():
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell(f"{FIRST_LINE}\nold()", id="mine"),
        nbformat.v4.new_code_cell("1 + 1"),
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    put_setup(book, "https://example.org/resnet_edu-1-py3-none-any.whl")
    assert [cell.id for cell in book.cells[:2]] == [cells[0].id, "mine"]
    assert 'SOURCE = "https://example.org/resnet_edu-1-py3-none-any.whl"\n' in book.cells[1].source
    del book.cells[1]
    put_setup(book)
    assert book.cells[1].source == setup_cell()
    nbformat.validate(book)


@pytest.mark.parametrize("source", ["resnet-edu", "../", "https://a b", 'https://a"; import os; "', "https://a\\n"])
def test_a_source_is_an_address_and_never_a_bare_name(source):
    with pytest.raises(ValueError, match="`source` must"):
        setup_cell(source)


def config(folder: Path, text: str) -> Path:
    (folder / "_config.yml").write_text(text)
    return folder / "_config.yml"


def test_one_setting_gives_buttons_and_source(tmp_path):
    path = config(tmp_path, "repository:\n  url: https://github.com/ada/nets.git\n  branch: course\n")
    found = Repository.from_config(path, {})
    assert found.url == "https://github.com/ada/nets"
    assert found.source == "https://github.com/ada/nets/archive/refs/heads/course.zip"
    assert found.settings()["repository"] == {"url": found.url, "branch": "course", "path_to_book": ""}
    assert found.settings()["launch_buttons"]["colab_url"] == "https://colab.research.google.com"
    elsewhere = Repository.from_config(path, {VARIABLE: "https://gitlab.com/ada/nets/"})
    assert elsewhere.source == "git+https://gitlab.com/ada/nets@course"
    assert "colab_url" not in elsewhere.settings()["launch_buttons"], "Colab opens notebooks from GitHub only"
    assert Repository.from_config(path, {SOURCE_VARIABLE: "http://wheels/x.whl"}).source == "http://wheels/x.whl"


@pytest.mark.parametrize("text", ["title: x\n", "repository:\n", 'repository:\n  url: ""\n'])
def test_without_the_setting_there_is_no_button(tmp_path, text):
    found = Repository.from_config(config(tmp_path, text), {})
    assert (found.url, found.source, found.settings()) == ("", "", {})


@pytest.mark.parametrize(
    "url",
    [
        "github.com/ada/nets",
        "http://github.com/ada/nets",
        "https://github.com",
        "ada/nets",
        "https://github.com/ada/nets/tree/main",  # what a browser shows
        "https://github.com/OWNER/NAME",
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(ValueError, match="OWNER/NAME"):
        Repository.from_config(config(tmp_path, f"repository: {{url: '{url}'}}"), {})


# ---------------------------------------------------------------- the source that a chapter shows


def test_the_source_is_that_which_runs():
    plain, residual = (textwrap.dedent(inspect.getsource(b.forward)).rstrip() for b in (PlainBlock, BasicBlock))
    shown = show_source(PlainBlock.forward, BasicBlock.forward)
    assert shown.data == f"```python\n{plain}\n\n{residual}\n```"
    assert plain.startswith("def forward(self, x: Tensor) -> Tensor:\n    ")
    assert inspect.getsource(BasicBlock) in show_source(BasicBlock(8, 8)).data  # an object for its class


def test_what_has_no_source():
    with pytest.raises(TypeError, match="function"):
        show_source(torch.relu)


def test_a_table_of_results_has_a_row_a_name_and_a_column_a_heading():
    rows = {"plain-34": {"weights": 21_623_848}, "ResNet-34": {"weights": 21_797_672, "error": "25.03%"}}
    table = notebook.table("Two networks", rows)
    assert table.to_markdown().splitlines() == [
        "| network | weights | error |",
        "| --- | ---: | ---: |",
        "| plain-34 | 21,623,848 |  |",
        "| ResNet-34 | 21,797,672 | 25.03% |",
    ]
    assert 'class="resnet-table"' in table.to_html()
