"""How the chapters are stored. Whether they run is what `make book` finds out: it executes every one."""

import itertools
import json
import re
from pathlib import Path

import nbformat
import pytest
from chapter_files import strip
from chapters import ROOT, toc_documents

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


@each_notebook
def test_is_valid(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "older formats have no cell ids"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_is_stored_without_what_a_run_or_an_editor_leaves(path: Path):
    stored = read(path)
    assert strip(read(path)) == stored, "run `make strip`"


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
    text = nbformat.v4.new_markdown_cell("1.5", metadata={"sources": {"1.5": "= 3 / 2"}, "editable": True})
    metadata = {"widgets": {"state": {}}, "book": {"minutes": 20}, "language_info": {"name": "python"}}
    once = strip(nbformat.v4.new_notebook(cells=[text, code], metadata=metadata))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert once.metadata == {"book": {"minutes": 20}, "kernelspec": kernel}
    kept = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert (code.outputs, code.execution_count, code.metadata) == ([], None, kept)
    assert text.metadata == {"sources": {"1.5": "= 3 / 2"}}
    assert [cell.source for cell in once.cells] == ["1.5", "1 + 1"]
    nbformat.validate(once)
    before = json.dumps(once)
    assert json.dumps(strip(once)) == before
