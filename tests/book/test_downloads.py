"""The notebooks that a reader downloads from the site, and what a hosted notebook (Colab, Kaggle) does with them."""

import ast
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from bare import HOSTED, BareEnvironment
from browser import served
from chapter_files import finish_downloads, is_setup, links_from_anywhere, plain_citations, setup_cell
from chapters import ROOT, toc_documents
from make_site import empty_site
from nbclient import NotebookClient
from repository import Repository

CHAPTERS = [name for name in toc_documents() if name.startswith("notebooks/")]

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda name: Path(name).name)


@pytest.mark.site
@each_chapter
def test_a_download_is_a_clean_notebook(site: Path, chapter: str):
    page = (site / f"{chapter}.html").read_text(encoding="utf-8")
    link = f"../_sources/{chapter}.ipynb"
    assert f'href="{link}"' in page, "the page offers its notebook"
    notebook = nbformat.read((site / f"{chapter}.html").parent / link, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        else:
            assert "{cite:" not in cell.source, "a role of the site's, which notebooks show as code"
            assert "](#" not in cell.source, "a place that only the site knows by this name"
            assert "](../" not in cell.source, "a page that is not beside the notebook"
    assert sum(map(is_setup, notebook.cells)) == 1


def test_a_citation_becomes_words_and_a_link():
    resnet = "https://doi.org/10.1109/CVPR.2016.90"
    assert plain_citations("See {cite:t}`he2016deep`.") == f"See [He et al. (2016a)]({resnet})."
    assert plain_citations("It is so {cite:p}`he2016deep`.") == f"It is so ([He et al., 2016a]({resnet}))."
    two = plain_citations("{cite:p}`simonyan2015very, he2016deep`")
    assert two.startswith("([Simonyan and Zisserman, 2015](")
    assert two.endswith(f"; [He et al., 2016a]({resnet}))")
    with pytest.raises(KeyError, match="nobody1900"):
        plain_citations("{cite:t}`nobody1900`")


def test_a_link_of_a_download_leads_somewhere():
    text = (
        "See [chapter `2`](02-b.ipynb#why), [more](../book/more.md#a), [below](#here), [w](https://a.org/b#c).\n"
        "`x[0](y)`\n\n```python\nlayers[i](x)\n```\n![p](q.png)"
    )
    code = "`x[0](y)`\n\n```python\nlayers[i](x)\n```\n![p](q.png)"
    alone = f"See [chapter `2`](02-b.ipynb), more, below, [w](https://a.org/b#c).\n{code}"
    assert links_from_anywhere(text, Repository()) == alone
    files = "https://github.com/ada/nets/blob/main"
    known = (
        f"See [chapter `2`]({files}/notebooks/02-b.ipynb), [more]({files}/book/more.md), below, "
        f"[w](https://a.org/b#c).\n{code}"
    )
    assert links_from_anywhere(text, Repository("https://github.com/ada/nets")) == known


def test_a_build_that_fails_or_is_killed_leaves_the_site_of_before(tmp_path, monkeypatch):
    site, before = tmp_path / "html", tmp_path / "html.before"
    monkeypatch.setattr("make_site.BUILD", tmp_path)
    monkeypatch.setattr("make_site.SITE", site)

    def write(name: str) -> None:
        site.mkdir(exist_ok=True)
        (site / name).touch()

    def build(fails: type[BaseException] | None = None) -> None:
        with empty_site():
            assert not site.exists()
            write("new")
            if fails:
                raise fails

    def there() -> list[str]:
        return sorted(path.name for path in site.iterdir())

    write("good")
    with pytest.raises(SystemExit):
        build(fails=SystemExit)
    assert there() == ["good"]
    site.rename(before)  # a killed build: the good site is aside, and half of a new one in its place
    write("half")
    with pytest.raises(KeyboardInterrupt):
        build(fails=KeyboardInterrupt)
    assert there() == ["good"]
    build()
    assert there() == ["new"]
    assert not before.exists()


OPTIONAL = {"pandas", "pyarrow", "ray"}  # what the package can do without, and every chapter
IMPORTS = (ast.Import, ast.ImportFrom)


def packages(texts: list[str]) -> set[str]:
    """The packages that some code imports, anywhere in it."""
    nodes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, IMPORTS)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}


def code_of(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.site
@pytest.mark.slow
def test_downloads_run_where_only_torch_is(
    site: Path, wheel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The shortest chapter runs there, and installs from loopback; what the others and the package import is there."""
    shutil.copytree(site / "_sources" / "notebooks", tmp_path / "notebooks")
    shutil.copy(wheel_file, tmp_path)
    log, bare = tmp_path / "pip.log", BareEnvironment(tmp_path / "python")
    monkeypatch.setenv("JUPYTER_PATH", str(bare.jupyter_path))
    monkeypatch.setenv("PIP_LOG", str(log))
    monkeypatch.delenv("PYTHONPATH", raising=False)  # a bare environment has no way to the checkout
    before = bare.versions()
    assert set(HOSTED) <= set(before), "otherwise the run would prove nothing"
    assert not {"resnet-edu", "matplotlib", "scikit-learn", "anywidget", "safetensors", "torchinfo"} & set(before)

    def run(notebook: nbformat.NotebookNode) -> None:
        where = {"metadata": {"path": tmp_path / "notebooks"}}
        NotebookClient(notebook, timeout=600, kernel_name="bare", resources=where).execute()

    with served(tmp_path) as bases:
        finish_downloads(tmp_path / "notebooks", Repository(source=f"{bases['http']}{wheel_file.name}"))
        notebooks = [nbformat.read(tmp_path / f"{name}.ipynb", as_version=4) for name in CHAPTERS]
        shortest, *others = sorted(notebooks, key=lambda notebook: len(code_of(notebook)))
        run(shortest)
    after = bare.versions()
    assert {name: after.get(name) for name in before} == before, "something that was there has been replaced"
    text = log.read_text(encoding="utf-8")
    (installed,) = re.findall(r"Successfully installed (.+)", text)
    assert "resnet-edu" in installed
    assert not [word for word in installed.split() if word.rpartition("-")[0] in bare.linked]
    assert "Uninstalling" not in text

    log.unlink()
    code = list(map(code_of, others))
    modules = [path.read_text(encoding="utf-8") for path in (ROOT / "resnet_edu").rglob("*.py")]
    statements = {ast.unparse(node) for text in code for node in ast.parse(text).body if isinstance(node, IMPORTS)}
    wanted = packages(code) | packages(modules) - OPTIONAL
    there = f"assert not [name for name in {sorted(wanted)} if not importlib.util.find_spec(name)]"
    texts = [setup_cell(), *sorted(statements - {"from __future__ import annotations"}), "import importlib.util", there]
    run(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, texts))))
    assert not log.exists(), "a package that is there is not installed again"
