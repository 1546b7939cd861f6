"""How the chapters are stored (`make strip` runs this file), and how the copies that readers download differ.

Stored are an author's tags, sources of numbers and facts of the chapter, and nothing that a run or an editor has left.
Every notebook has the same set-up cell. It finds `resnet_edu`, or installs it from SOURCE: an address, never a bare
name, which in a package index could be anybody's. The address comes from `repository.py`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import nbformat
from chapters import ROOT, without_removed
from pybtex.database import Entry, parse_file
from repository import Repository

BIBLIOGRAPHY = ROOT / "book" / "references.bib"
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
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, ".." if here else SOURCE, *keep], check=True)
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
    return cell.cell_type == "code" and cell.source.startswith(FIRST_LINE)


def put_setup(notebook: nbformat.NotebookNode, source: str = "") -> nbformat.NotebookNode:
    """Write the set-up cell in the place of the one that is there, else behind the title; return the notebook."""
    for cell in notebook.cells:
        if is_setup(cell):
            cell.source = setup_cell(source)
            return notebook
    new = nbformat.v4.new_code_cell(setup_cell(source), id="setup", metadata={"tags": ["hide-input"]})
    notebook.cells.insert(1, new)
    return notebook


# ---------------------------------------------------------------- what readers download


def finish_downloads(folder: Path, repository: Repository) -> None:
    """Make the notebooks in a folder fit for any place: plain citations, links that hold, a source to install from."""
    for path in sorted(folder.rglob("*.ipynb")):
        notebook = put_setup(strip(nbformat.read(path, as_version=4)), repository.source)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = links_from_anywhere(plain_citations(without_removed(cell.source)), repository)
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def links_from_anywhere(text: str, repository: Repository) -> str:
    """Return the text of a notebook with links that hold outside the project's folder.

    To chapters and pages they lead to the repository; while that has no address, to the notebook beside this one, and
    pages are named without a link. Places within a notebook have other names in every program: they lose their link.
    """

    def elsewhere(match: re.Match[str]) -> str:
        if match[1] is None:  # code
            return match[0]
        words, target = match[1], match[2].partition("#")[0]
        if target and repository.url:
            address = posixpath.normpath(posixpath.join("notebooks", target))
            return f"[{words}]({repository.url}/blob/{repository.branch}/{address})"
        return f"[{words}]({target})" if target.endswith(".ipynb") else words

    code = r"^```.*?^```|`[^`\n]*`"
    link = r"(?<!!)\[([^\]]+)\]\((?![a-z]+:)([^)\s]*)\)"
    return re.sub(f"{link}|{code}", elsewhere, text, flags=re.DOTALL | re.MULTILINE)


def plain_citations(text: str) -> str:
    """Return Markdown with each `{cite:t}` and `{cite:p}` as the page's words, linked to the work.

    Jupyter and Colab show such roles as code. Raises `KeyError` for what the bibliography does not have.
    """

    def words(match: re.Match[str]) -> str:
        entries = parse_file(str(BIBLIOGRAPHY)).entries
        cited = []
        for entry in (entries[key.strip()] for key in match[2].split(",")):
            name, year = _authors(entry), entry.fields["year"]
            label = f"{name}, {year}" if match[1] == "p" else f"{name} ({year})"
            cited.append(f"[{label}]({_address(entry)})" if _address(entry) else label)
        return f"({'; '.join(cited)})" if match[1] == "p" else ", ".join(cited)

    return re.sub(r"\{cite:([tp])\}`([^`]+)`", words, text)


def _authors(entry: Entry) -> str:
    """Return the last names as the pages have them: "Ada", "Ada and Bell" or "Ada et al."."""
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]]
    plain = [re.sub(r"[{}]", "", name) for name in names]
    return " and ".join(plain) if len(plain) < 3 else f"{plain[0]} et al."


def _address(entry: Entry) -> str:
    """Return where the work is: by its DOI, else its own address, else its number at arXiv; "" for none."""
    fields = entry.fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url") or (f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else "")


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
