"""Strip the notebooks for storage: no outputs, no execution counts, no widget state. Run by `make strip`."""

from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what running a notebook has left in it, in place."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        # Tags such as "hide-input" are the author's; the rest of a cell's metadata is some editor's.
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        if "hide-input" in cell.metadata.get("tags", []):  # folded on the page, and with this in JupyterLab as well
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        text = nbformat.writes(strip(nbformat.reads(before, as_version=4))) + "\n"
        if text != before:
            path.write_text(text, encoding="utf-8")
            print(f"stripped {path.name}")
