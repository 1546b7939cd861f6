"""How the chapters are stored (`make strip` runs this file). What readers download differs: see downloads.py.

Stored are an author's tags, sources of numbers and facts of the chapter, and nothing that a run or an editor has left.
Every notebook has the same set-up cell. It finds `resnet_edu`, or installs it from SOURCE: an address, never a bare
name, which in a package index could be anybody's. The address comes from `repository.py`.
"""

from __future__ import annotations

import nbformat
from chapters import ROOT
from repository import Repository

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
FIRST_LINE = "# Set-up, the same in every chapter: find resnet_edu or install it."
# pip is given the exact versions that are there, so it can keep them or fail, and never replace one.
CELL = (
    FIRST_LINE
    + """
SOURCE = ""
try:
    from resnet_edu import notebook
except ModuleNotFoundError as missing:
    import subprocess
    import sys
    from importlib.metadata import distributions
    from pathlib import Path

    here = Path("../resnet_edu/notebook.py").is_file()  # in the project
    if missing.name != "resnet_edu" or not (here or SOURCE):
        missing.msg += ": run `pip install .` in the project's folder"
        raise
    keep = ("torch", "torchvision", "numpy")  # stay exactly as they are
    keep = [f"{d.name}=={d.version}" for d in distributions() if d.name in keep]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *keep]
    pip += [".." if here else SOURCE]
    done = subprocess.run(pip, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"pip cannot install it: {done.stderr}") from None
    from resnet_edu import notebook
import torch

device = notebook.start()"""
)


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what running or editing a notebook has left in it, in place, and return it."""
    facts = {"book": notebook.metadata.book} if "book" in notebook.metadata else {}
    notebook.metadata = nbformat.from_dict({**facts, "kernelspec": KERNEL})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in ("sources", "tags") if cell.metadata.get(k)})
        if "hide-input" in cell.metadata.get("tags", []):  # folded on the page, and with this in JupyterLab as well
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def setup_cell(source: str = "") -> str:
    """Return the code of the set-up cell; `source` is an address that pip installs from, "" for none."""
    if source and not source.startswith(("https://", "http://", "git+", "file://")):
        raise ValueError(f"`source` must begin with https://, http://, git+ or file://: {source!r}")
    if any(sign in source for sign in "\"'\\\n {}"):
        raise ValueError(f"`source` must have no spaces, quotes or braces: {source!r}")
    return CELL.replace('SOURCE = ""', f'SOURCE = "{source}"', 1)


def is_setup(cell: nbformat.NotebookNode) -> bool:
    """Return whether this is the set-up cell, in whatever version."""
    return cell.cell_type == "code" and FIRST_LINE in cell.source.split("\n", 2)[:2]


def put_setup(notebook: nbformat.NotebookNode, source: str = "") -> nbformat.NotebookNode:
    """Write the set-up cell in the place of the one that is there, else behind the title; return the notebook."""
    for cell in notebook.cells:
        if is_setup(cell):
            cell.source = setup_cell(source)
            return notebook
    new = nbformat.v4.new_code_cell(setup_cell(source), id="setup", metadata={"tags": ["hide-input"]})
    notebook.cells.insert(1, new)
    return notebook


def main() -> None:
    """Rewrite the notebooks of the repository that are not as they should be stored."""
    source = Repository.from_config(ROOT / "_config.yml").source
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        text = nbformat.writes(strip(put_setup(nbformat.reads(before, as_version=4), source))) + "\n"
        if text != before:
            path.write_text(text, encoding="utf-8")
            print(f"rewritten: {path.name}")


if __name__ == "__main__":
    main()
