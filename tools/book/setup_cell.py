"""Write the set-up cell into every notebook. Run by `make strip`; the build does it for the copies that readers load.

The cell finds `resnet_edu`, or installs it from SOURCE: an address, never a bare name. A name that is not ours in a
package index could be anybody's. SOURCE comes from one setting, `repository.url` in _config.yml or in the environment
(see `repository.py`), and while that is unset the cell says what to do.
"""

from pathlib import Path

import nbformat
from repository import Repository

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
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
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, ".." if here else SOURCE, *keep], check=True)
    from resnet_edu import notebook
import torch

device = notebook.start()"""
)


def cell(source: str = "") -> str:
    """Return the set-up cell that installs from `source`, an address that pip takes; "" for none."""
    if source and not source.startswith(("https://", "http://", "git+", "file://")):
        raise ValueError(f"`source` must be an address that begins with https://, http://, git+ or file://: {source!r}")
    if any(sign in source for sign in "\"'\\\n {}"):
        raise ValueError(f"`source` must have no spaces, quotes or braces: {source!r}")
    return CELL.replace('SOURCE = ""', f'SOURCE = "{source}"', 1)


def is_setup(code: nbformat.NotebookNode) -> bool:
    """Whether this is the set-up cell, in whatever version."""
    return code.cell_type == "code" and code.source.startswith(FIRST_LINE)


def put(notebook: nbformat.NotebookNode, source: str = "") -> nbformat.NotebookNode:
    """Write the set-up cell into a notebook, in place: into the one that is there, else after the title."""
    for old in notebook.cells:
        if is_setup(old):
            old.source = cell(source)
            return notebook
    new = nbformat.v4.new_code_cell(cell(source), id="setup", metadata={"tags": ["hide-input"]})
    notebook.cells.insert(1, new)
    return notebook


def main() -> None:
    """Write the cell into the notebooks of the repository."""
    source = Repository.from_config(ROOT / "_config.yml").source
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        text = nbformat.writes(put(nbformat.reads(before, as_version=4), source)) + "\n"
        if text != before:
            path.write_text(text, encoding="utf-8")
            print(f"set-up cell written into {path.name}")


if __name__ == "__main__":
    main()
