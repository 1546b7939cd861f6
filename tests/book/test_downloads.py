"""The notebooks that a reader downloads from the site, and what a hosted notebook (Colab, Kaggle) does with them."""

import ast
import base64
import io
import lzma
import re
import shutil
import zipfile
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bare import HOSTED, BareEnvironment
from chapter_files import is_setup, put_setup
from chapters import ROOT, toc_documents
from downloads import CELL, bring_along, lean_wheel, links_from_anywhere, plain_citations, quoted_boxes
from make_site import empty_site
from nbclient import NotebookClient
from repository import Repository

from resnet_edu.experiment.shipped import load_study, read_file
from resnet_edu.widgets.dissecting import NETS

IMPORTS = (ast.Import, ast.ImportFrom)
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
            assert not re.search(r"\]\((?!https?:)[^)]*\.(ipynb|md)\b", cell.source), (
                "a page that is not beside the notebook"
            )
            assert "<div class=" not in cell.source, "a box that only the site draws"
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


def test_a_link_of_a_download_leads_to_the_site_or_is_words():
    text = (
        "See [chapter `2`](02-b.ipynb#why), [more](../book/more.md#a), [below](#here), [w](https://a.org/b#c).\n"
        "`x[0](y)`\n\n```python\nlayers[i](x)\n```\n![p](q.png)"
    )
    code = "`x[0](y)`\n\n```python\nlayers[i](x)\n```\n![p](q.png)"
    assert links_from_anywhere(text, Repository()) == f"See chapter `2`, more, below, [w](https://a.org/b#c).\n{code}"
    pages = "https://ada.github.io/nets"
    known = (
        f"See [chapter `2`]({pages}/notebooks/02-b.html#why), [more]({pages}/book/more.html#a), below, "
        f"[w](https://a.org/b#c).\n{code}"
    )
    assert links_from_anywhere(text, Repository("https://github.com/ada/nets")) == known


def test_a_box_is_a_quotation():
    text = '<div class="predict">\n\n**Predict.** One.\n\n```python\nx\n```\n\n</div>\n\n<div>\n\nNo box.\n\n</div>'
    quoted = "> **Predict.** One.\n>\n> ```python\n> x\n> ```\n\n<div>\n\nNo box.\n\n</div>"
    assert quoted_boxes(text) == quoted


def of_code(*texts: str) -> nbformat.NotebookNode:
    """A notebook of a title, a set-up cell and cells of code."""
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, texts)]
    return put_setup(nbformat.v4.new_notebook(cells=cells))


def test_a_download_holds_the_package_and_the_weights_that_it_loads():
    stored = of_code('load_trained(plain20.__name__, study="digits")', '"resnet20", "digits"')
    notebook = bring_along(stored, Repository())
    _, setup, *others = notebook.cells
    assert is_setup(setup)
    assert [cell.cell_type for cell in others] == ["code", "code"], "nothing is missing"
    (call,) = (node.value for node in ast.parse(setup.source).body if isinstance(node, ast.Expr))
    wheel, package, weights = map(ast.literal_eval, call.args)

    def unpacked(text: str) -> bytes:
        return lzma.decompress(base64.b64decode(text))

    assert {name: unpacked(text) for name, text in weights.items()} == {
        "digits/plain20-seed0.safetensors": read_file(load_study("digits"), "plain20-seed0.safetensors")
    }
    with zipfile.ZipFile(io.BytesIO(unpacked(package))) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        (listed,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        assert [line.partition(",")[0] for line in archive.read(listed).decode().split()] == archive.namelist()
        assert wheel.startswith(listed.removesuffix(".dist-info/RECORD"))
        for name in names:
            assert archive.read(name) == (ROOT / name).read_bytes()
    left_out = {path for path in (ROOT / "resnet_edu").rglob("*") if path.is_file()} - {ROOT / name for name in names}
    assert {path.suffix for path in left_out} <= {".pyc", ".safetensors", ".js", ".css", ".txt"}
    assert all("src" in path.parts for path in left_out if path.suffix in (".js", ".css", ".txt"))


def test_a_download_holds_the_nets_that_its_explorers_open():
    notebook = bring_along(of_code('DissectingTable(net="plain20")'), Repository())
    for net in NETS:
        assert f'"digits/{net}-seed0.safetensors": """' in notebook.cells[1].source


@pytest.mark.parametrize(
    ("there", "installs"), [(None, True), ("0.1.0", False), ("0.1.0+hours", False), ("0.1.0+hold", True)]
)
def test_a_download_replaces_what_a_download_has_installed_and_nothing_else(
    monkeypatch, there: str | None, installs: bool
):
    tree = ast.parse(CELL)
    tree.body = [node for node in tree.body if isinstance(node, (*IMPORTS, ast.FunctionDef))]
    space: dict = {}
    exec(compile(tree, "set-up", "exec"), space)  # all of the cell but the calls

    def version(_: str) -> str:
        if there is None:
            raise PackageNotFoundError
        return there

    commands = []
    monkeypatch.setattr(
        space["subprocess"], "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0)
    )
    space |= {"version": version, "unpacked": lambda text: text}
    space["bring"]("resnet_edu-0.1.0+hours-py3-none-any.whl", b"wheel", {"digits/study.json": b"is there and stays"})
    assert len(commands) == installs
    assert load_study("digits").name == "digits"
    for command in commands:
        kept = {word.partition("==")[0]: word.partition("==")[2] for word in command if "==" in word}
        assert kept == {name: metadata.version(name) for name in ("torch", "torchvision", "numpy")}


def test_what_is_too_large_for_a_download_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("downloads.MOST", 2_100_000)
    notebook = of_code('[load_trained(net, study="digits") for net in ("resnet56", "plain20", "plain56")]')
    _, setup, note, _ = bring_along(notebook, Repository("https://github.com/ada/nets")).cells
    assert '"digits/plain20-seed0.safetensors": """' in setup.source
    assert "digits/plain56-seed0.safetensors, digits/resnet56-seed0.safetensors" in note.source
    assert "(https://github.com/ada/nets)" in note.source


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


# What the package can do without, and every chapter.
OPTIONAL = {"d2l", "onnx", "onnxruntime", "onnxscript", "pandas", "pyarrow", "ray"}


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
def test_downloads_run_where_only_torch_is(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The shortest chapter runs there, and all load what they need; what they import is there. All comes from them."""
    folder = tmp_path / "notebooks"
    shutil.copytree(site / "_sources" / "notebooks", folder)
    log, bare = tmp_path / "pip.log", BareEnvironment(tmp_path / "python")
    monkeypatch.setenv("JUPYTER_PATH", str(bare.jupyter_path))
    monkeypatch.setenv("PIP_LOG", str(log))
    monkeypatch.delenv("PYTHONPATH", raising=False)  # a bare environment has no way to the checkout
    before = bare.versions()
    assert set(HOSTED) <= set(before), "otherwise the run would prove nothing"
    assert not {"resnet-edu", "matplotlib", "scikit-learn", "anywidget", "safetensors", "torchinfo"} & set(before)

    def run(notebook: nbformat.NotebookNode) -> None:
        NotebookClient(notebook, timeout=600, kernel_name="bare", resources={"metadata": {"path": folder}}).execute()

    notebooks = [nbformat.read(folder / f"{Path(name).name}.ipynb", as_version=4) for name in CHAPTERS]
    shortest, *others = sorted(notebooks, key=lambda notebook: len(code_of(notebook)))
    run(shortest)
    after = bare.versions()
    assert {name: after.get(name) for name in before} == before, "something that was there has been replaced"
    assert after["resnet-edu"] == lean_wheel()[0].split("-")[1], "the site is older than the package: run `make book`"
    text = log.read_text(encoding="utf-8")
    (installed,) = re.findall(r"Successfully installed (.+)", text)
    assert "resnet-edu" in installed
    assert not [word for word in installed.split() if word.rpartition("-")[0] in bare.linked]
    assert "Uninstalling" not in text

    log.unlink()
    code = list(map(code_of, notebooks))
    modules = [path.read_text(encoding="utf-8") for path in (ROOT / "resnet_edu").rglob("*.py")]
    statements = {ast.unparse(node) for text in code for node in ast.parse(text).body if isinstance(node, IMPORTS)}
    wanted = (packages(code) | packages(modules)) - OPTIONAL
    there = f"assert not [name for name in {sorted(wanted)} if not importlib.util.find_spec(name)]"
    literal = r"load_(?:trained|records|record|grid)\((?:[\"'][^()]*)?\)"
    loads = {call for text in code for call in re.findall(literal, text)}
    set_up = [next(filter(is_setup, notebook.cells)).source for notebook in others]
    texts = [
        *set_up,
        *sorted(statements - {"from __future__ import annotations"}),
        "import importlib.util",
        there,
        *loads,
    ]
    run(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, texts))))
    assert not log.exists(), "a package that is there is not installed again"
