"""What readers download: each chapter as one notebook that brings along what it needs ("upload, run all").

Such a notebook installs the package from itself, whatever address is set: its set-up cell holds a wheel, with all
records, and the trained weights that the chapter loads. What only the site knows is put into plain words: boxes are
quotations, citations and links to other chapters lead to the web.

Source
  [1] Colab's notebook "Forms" (colab.research.google.com/notebooks/forms.ipynb): `# @title`, display-mode "form".
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import lzma
import posixpath
import re
import tempfile
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from chapter_files import FIRST_LINE, is_setup, strip
from chapters import ROOT, without_removed
from hatchling.builders.wheel import WheelBuilder
from pybtex.database import Entry, parse_file
from repository import Repository

from resnet_edu.experiment.start import STUDY
from resnet_edu.widgets import dissecting

BIBLIOGRAPHY = ROOT / "book" / "references.bib"
RESULTS = ROOT / "resnet_edu" / "experiment" / "results"
MOST = 13_000_000  # letters that weights may add to a notebook: all eight nets
LINE = 500  # letters of a line of base64: editors are slow with longer ones
NOT_IN_WHEEL = r"resnet_edu/widgets/src/|.*\.safetensors$"
# pip is given the exact versions that are there, so it can keep them or fail, and never replace one. A package whose
# version has a "+" came from such a cell, maybe an older one; any other is the reader's own, and stays.
CELL = (
    """# @title Set-up: run this cell first { display-mode: "form" }
"""
    + FIRST_LINE
    + '''
# It is in this cell, as text, with the trained weights that the chapter loads: no other place is asked for them.
import base64
import lzma
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path


def unpacked(text):
    return lzma.decompress(base64.b64decode(text))


def bring(wheel, package, weights):
    try:
        there = version("resnet-edu")
    except PackageNotFoundError:
        there = ""
    if not there or ("+" in there and there != wheel.split("-")[1]):
        keep = ("torch", "torchvision", "numpy")  # stay exactly as they are
        keep = [f"{d.name}=={d.version}" for d in distributions() if d.name in keep]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, wheel)
            path.write_bytes(unpacked(package))
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            done = subprocess.run([*pip, str(path), *keep], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"pip could not install resnet_edu: {done.stderr}")

    import resnet_edu

    results = Path(resnet_edu.__file__).parent / "experiment" / "results"
    for name, text in weights.items():
        if not (results / name).exists():
            (results / name).write_bytes(unpacked(text))


bring("WHEEL", """PACKAGE""", {WEIGHTS})
import torch
from resnet_edu import notebook

device = notebook.start()'''
)


def finish_downloads(folder: Path, repository: Repository) -> None:
    """Make the notebooks in a folder fit for any place."""
    for path in sorted(folder.rglob("*.ipynb")):
        notebook = bring_along(strip(nbformat.read(path, as_version=4)), repository)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                text = plain_citations(without_removed(cell.source))
                cell.source = quoted_boxes(links_from_anywhere(text, repository))
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- the package in a cell


def bring_along(notebook: nbformat.NotebookNode, repository: Repository) -> nbformat.NotebookNode:
    """Put the package, and the weights that the chapter loads, into its set-up cell, in place, and return it.

    Weights for which there is no room are named below that cell.
    """
    place = next(i for i, cell in enumerate(notebook.cells) if is_setup(cell))
    held, missing, room = "", [], MOST
    for path in weights_of(notebook):
        name, text = path.relative_to(RESULTS).as_posix(), packed(path)
        room -= len(text)
        if room >= 0:
            held += f'\n    "{name}": """{text}""",'
        else:
            missing.append(name)
    wheel, package = lean_wheel()
    cell = notebook.cells[place]
    cell.source = CELL.replace("WHEEL", wheel).replace("PACKAGE", package).replace("{WEIGHTS}", f"{{{held}}}")
    cell.metadata |= {"cellView": "form", "_kg_hide-input": True}  # in Colab ([1]) and in Kaggle
    if missing:
        whole = f"[the whole package]({repository.url})" if repository.url else "the whole package"
        note = f"**Not in this file**, because they are large: {', '.join(missing)}. Cells that load them need {whole}."
        notebook.cells.insert(place + 1, nbformat.v4.new_markdown_cell(note, id="not-in-this-file"))
    return notebook


def weights_of(notebook: nbformat.NotebookNode) -> list[Path]:
    """Return the files of trained weights that its cells load, the smallest first.

    A cell that calls `load_trained` may load all nets that it names, of all studies that it names. What is shipped for
    fine-tuning is named by the command, and what an explorer opens by its class.
    """
    texts = [cell.source for cell in notebook.cells if "load_trained(" in cell.source]
    texts += [f'"{STUDY}" {cell.source}' for cell in notebook.cells if "--start-from shipped" in cell.source]
    opens = "|".join(explorer.__name__ for explorer in dissecting.TrainedNets.__subclasses__())
    every = f'"{dissecting.STUDY}" {" ".join(dissecting.NETS)}'
    texts += [every for cell in notebook.cells if re.search(rf"\b({opens})\(", cell.source)]

    def named(path: Path) -> bool:
        study, net = f"[\"']{path.parent.name}[\"']", rf"\b{path.name.partition('-seed')[0]}\b"
        return any(re.search(study, text) and re.search(net, text) for text in texts)

    return sorted(filter(named, RESULTS.glob("*/*.safetensors")), key=lambda path: (path.stat().st_size, path))


@functools.cache
def lean_wheel() -> tuple[str, str]:
    """Return the name of a wheel without weights and without the sources of the explorers, and its content, packed.

    Its version ends in a hash of what it holds.
    """
    with tempfile.TemporaryDirectory() as folder:
        (built,) = WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
        with zipfile.ZipFile(built) as whole:
            names = [name for name in whole.namelist() if not re.match(NOT_IN_WHEEL, name)]
            files = {name: whole.read(name) for name in names if not name.endswith("/RECORD")}
        old = re.search(r"-([^-]+)-py3", Path(built).name)[1]
    content = b"".join(name.encode() + data for name, data in files.items())
    new = f"{old}+h{hashlib.sha256(content).hexdigest()[:8]}"
    info = f"resnet_edu-{new}.dist-info/"
    files = {name.replace(f"resnet_edu-{old}.dist-info/", info): data for name, data in files.items()}
    files[f"{info}METADATA"] = files[f"{info}METADATA"].replace(
        b"\nVersion: %b" % old.encode(), b"\nVersion: %b" % new.encode()
    )
    files[f"{info}RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}RECORD"]).encode()
    stored = io.BytesIO()  # not compressed: LZMA does better with all files at once
    with zipfile.ZipFile(stored, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return f"resnet_edu-{new}-py3-none-any.whl", _packed(stored.getvalue())


@functools.cache
def packed(path: Path) -> str:
    """Return a file's bytes as text, in lines."""
    return _packed(path.read_bytes())


def _packed(data: bytes) -> str:
    text = base64.b64encode(lzma.compress(data, preset=9)).decode()
    return "\n".join(text[i : i + LINE] for i in range(0, len(text), LINE))


# ---------------------------------------------------------------- the text


def quoted_boxes(text: str) -> str:
    """Return Markdown with each `<div class="...">` as a quotation: outside the site its class means nothing."""

    def quotation(match: re.Match[str]) -> str:
        return textwrap.indent(match[1], "> ", lambda line: True).replace("> \n", ">\n")

    return re.sub(r'^<div class="[^"]*">\n+(.*?)\n+</div>$', quotation, text, flags=re.DOTALL | re.MULTILINE)


def links_from_anywhere(text: str, repository: Repository) -> str:
    """Return the text of a notebook with links that hold outside the project's folder.

    To chapters and pages they lead to the site; while that has no address, they are words. Places within a notebook
    have other names in every program: they lose their link.
    """

    def elsewhere(match: re.Match[str]) -> str:
        if match[1] is None:  # code
            return match[0]
        words, target, place = match[1], *match[2].partition("#")[::2]
        if not (target and repository.site):
            return words
        page = posixpath.normpath(posixpath.join("notebooks", target))
        address = repository.site + re.sub(r"\.(ipynb|md)$", ".html", page)
        return f"[{words}]({address}{'#' if place else ''}{place})"

    code = r"^```.*?^```|`[^`\n]*`"
    link = r"(?<!!)\[([^\]]+)\]\((?![a-z]+:)([^)\s]*)\)"
    return re.sub(f"{link}|{code}", elsewhere, text, flags=re.DOTALL | re.MULTILINE)


def plain_citations(text: str) -> str:
    """Return Markdown with each `{cite:t}` and `{cite:p}` as the page's words, linked to the work.

    Jupyter and Colab show such roles as code. Raises `KeyError` for what the bibliography does not have.
    """

    def words(match: re.Match[str]) -> str:
        cited = []
        for entry in (_entries()[key.strip()] for key in match[2].split(",")):
            name, year = _authors(entry), entry.fields["year"]
            label = f"{name}, {year}" if match[1] == "p" else f"{name} ({year})"
            cited.append(f"[{label}]({_address(entry)})" if _address(entry) else label)
        return f"({'; '.join(cited)})" if match[1] == "p" else ", ".join(cited)

    return re.sub(r"\{cite:([tp])\}`([^`]+)`", words, text)


@functools.cache
def _entries() -> Mapping[str, Entry]:
    """Return the works of the bibliography, by their keys."""
    return parse_file(str(BIBLIOGRAPHY)).entries


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
