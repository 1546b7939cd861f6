"""How the chapters are stored. Whether they run is what `make book` finds out: it executes every one."""

import itertools
import json
import re
from pathlib import Path

import nbformat
import pytest
from make_site import toc_documents
from strip_notebooks import strip

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 25  # lines: a cell is read on one screen; what is longer belongs in the package

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_the_table_of_contents_and_the_files_agree():
    documents = toc_documents()
    assert len(set(documents)) == len(documents), "a page is listed twice"
    listed = {name for name in documents if name.startswith("notebooks/")}
    assert listed, "the book has no chapter"
    assert listed == {path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS}
    for name in set(documents) - listed:
        assert (ROOT / f"{name}.md").is_file(), f"_toc.yml lists {name}, which does not exist"


def test_chapters_are_numbered_in_the_order_of_the_book():
    chapters = [name.removeprefix("notebooks/") for name in toc_documents() if name.startswith("notebooks/")]
    assert chapters == sorted(chapters)
    assert all(re.fullmatch(r"\d\d-[a-z0-9-]+", name) for name in chapters), chapters


@each_notebook
def test_is_valid(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "older formats have no cell ids"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_is_stored_without_what_a_run_leaves(path: Path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {number} has outputs: run `make strip`"
            assert cell.execution_count is None, f"cell {number} has an execution count: run `make strip`"


@each_notebook
def test_cells_are_short(path: Path):
    for number, cell in enumerate(read(path).cells):
        if cell.cell_type == "code":
            lines = len(cell.source.splitlines())
            assert lines <= LONGEST_CELL, f"cell {number} has {lines} lines:\n{cell.source}"


@each_notebook
def test_headings_form_an_outline(path: Path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1`*\s*$", "", text, flags=re.M | re.S)  # a # in fenced code is a comment
    levels = [len(marks) for marks in re.findall(r"^(#{1,6}) ", text, flags=re.M)]
    assert levels.count(1) == 1, "a chapter has one title"
    assert levels[0] == 1, "the title comes first"
    for above, below in itertools.pairwise(levels):
        assert below <= above + 1, "a level of headings is left out"


def test_strip_removes_what_a_run_leaves_and_keeps_what_an_author_wrote():
    code = nbformat.v4.new_code_cell("1 + 1", execution_count=3, metadata={"tags": ["hide-input"], "collapsed": True})
    code.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "2"}, execution_count=3)]
    cells = [nbformat.v4.new_markdown_cell("# Title"), code]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    once = strip(notebook)
    assert "widgets" not in once.metadata
    assert once.metadata.kernelspec.name == "python3"
    kept = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert (code.outputs, code.execution_count, code.metadata) == ([], None, kept)
    assert [cell.source for cell in once.cells] == ["# Title", "1 + 1"]
    nbformat.validate(once)
    before = json.dumps(once)
    assert json.dumps(strip(once)) == before
