"""The notebooks that a reader downloads from the site, and what a hosted notebook (Colab, Kaggle) does with them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import setup_cell
import yaml
from bare import HOSTED, BareEnvironment
from browser import served
from citations import as_markdown
from make_site import ROOT, empty_site, finish_downloads, links_from_anywhere, toc_documents, write_config
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
    assert sum(map(setup_cell.is_setup, notebook.cells)) == 1


def test_a_citation_becomes_words_and_a_link():
    bibliography = ROOT / "book" / "references.bib"
    resnet = "https://doi.org/10.1109/CVPR.2016.90"
    assert as_markdown("See {cite:t}`he2016deep`.", bibliography) == f"See [He et al. (2016a)]({resnet})."
    assert as_markdown("It is so {cite:p}`he2016deep`.", bibliography) == f"It is so ([He et al., 2016a]({resnet}))."
    two = as_markdown("{cite:p}`simonyan2015very, he2016deep`", bibliography)
    assert two.startswith("([Simonyan and Zisserman, 2015](")
    assert two.endswith(f"; [He et al., 2016a]({resnet}))")
    with pytest.raises(KeyError, match="nobody1900"):
        as_markdown("{cite:t}`nobody1900`", bibliography)


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


@pytest.fixture(scope="module")
def hosted(site: Path, wheel_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """The downloads, set up to install from a server on loopback, and an environment that has only torch."""
    folder = tmp_path_factory.mktemp("hosted")
    shutil.copytree(site / "_sources" / "notebooks", folder / "notebooks")
    shutil.copy(wheel_file, folder)
    with served(folder) as bases:
        finish_downloads(folder / "notebooks", Repository(source=f"{bases['http']}/{wheel_file.name}"))
        yield folder, BareEnvironment(folder / "python")


@pytest.mark.site
@pytest.mark.slow
def test_the_environment_is_bare(hosted):
    """Otherwise the chapters' run would prove nothing."""
    _, bare = hosted
    there = bare.versions()
    assert set(HOSTED) <= set(there)
    assert not {"resnet-edu", "matplotlib", "scikit-learn", "anywidget", "safetensors", "torchinfo"} & set(there)


@pytest.mark.site
@pytest.mark.slow
@each_chapter
def test_a_download_runs_where_only_torch_is(hosted, chapter: str, monkeypatch: pytest.MonkeyPatch):
    folder, bare = hosted
    before = bare.versions()
    log = folder / f"{Path(chapter).name}.log"
    monkeypatch.setenv("JUPYTER_PATH", str(bare.jupyter_path))
    monkeypatch.setenv("PIP_LOG", str(log))
    monkeypatch.delenv("PYTHONPATH", raising=False)  # a bare environment has no way to the checkout
    path = folder / f"{chapter}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="bare", resources={"metadata": {"path": path.parent}}).execute()

    after = bare.versions()
    assert {name: after.get(name) for name in before} == before, "something that was there has been replaced"
    assert "resnet-edu" in after
    if "resnet-edu" not in before:  # this chapter was the first, and has installed it
        text = log.read_text(encoding="utf-8")
        (installed,) = re.findall(r"Successfully installed (.+)", text)
        assert "resnet-edu" in installed
        assert not [word for word in installed.split() if word.rpartition("-")[0] in bare.linked]
        assert "Uninstalling" not in text
    else:
        assert not log.exists(), "a package that is there is not installed again"


@pytest.mark.slow
def test_one_setting_gives_every_chapter_its_button(tmp_path: Path):
    """A small book with the real configuration, built by the real Jupyter Book."""
    for folder in ("notebooks", "book"):
        (tmp_path / folder).mkdir()
    cells = [nbformat.v4.new_markdown_cell("# A chapter\n\nWords."), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01-one.ipynb")
    (tmp_path / "book" / "intro.md").write_text("# A book\n\nIts front page.\n")
    toc = {"format": "jb-book", "root": "book/intro", "chapters": [{"file": "notebooks/01-one"}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    for name in ("references.bib", "assets"):
        os.symlink(ROOT / "book" / name, tmp_path / "book" / name)

    def head(repository: Repository) -> str:
        config = shutil.copy(write_config(repository), tmp_path / "config.yml")
        tool = Path(sys.executable).parent / "jupyter-book"
        command = [tool, "build", tmp_path, "--config", config, "--all"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        page = (tmp_path / "_build/html/notebooks/01-one.html").read_text(encoding="utf-8")
        return page.partition('<article class="bd-article"')[0]

    with_buttons = head(Repository("https://github.com/ada/nets", "course"))
    colab = "https://colab.research.google.com/github/ada/nets/blob/course/notebooks/01-one.ipynb"
    assert f'href="{colab}"' in with_buttons
    assert 'href="https://github.com/ada/nets"' in with_buttons
    without = head(Repository())
    for dead in ("colab.research", "github.com", "mybinder"):
        assert dead not in without
