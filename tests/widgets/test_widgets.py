"""The explorers without a browser: the bundles are those of the sources, and an output carries what a page needs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import make_widgets
import pytest
from chapters import toc_documents
from finish import strip_state
from samples import sample
from traitlets import TraitError

from resnet_edu import widgets
from resnet_edu.figures import style as figure
from resnet_edu.widgets.base import VIEW, Explorer, Whole

EXPLORERS = [getattr(widgets, name) for name in widgets.__all__ if name[0].isupper()]
PRODUCTS = make_widgets.products()
MOST = 60_000  # bytes of scripts before the reader presses anything


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_bundles_are_made_from_the_sources_that_are_there(path: Path):
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first == make_widgets.banner(PRODUCTS[path]), f"{path.name} is stale: run `make widgets`"


@pytest.mark.slow
@pytest.mark.skipif(not make_widgets.ESBUILD.exists(), reason="esbuild is not installed: `make widgets` installs it")
def test_bundles_are_what_esbuild_makes(tmp_path: Path):
    places = tmp_path / "static", tmp_path / "page" / "explorers.js"
    make_widgets.bundle(*places)
    for path, made in zip(PRODUCTS, make_widgets.products(*places), strict=True):
        assert made.read_bytes() == path.read_bytes(), f"{path.name} was edited by hand: run `make widgets`"


def test_there_is_a_module_for_every_explorer_and_no_other():
    assert set(make_widgets.MODULES.iterdir()) == {p for p in PRODUCTS if p.parent == make_widgets.MODULES}
    assert sorted(explorer.class_traits()["_explorer"].default_value for explorer in EXPLORERS) == (
        make_widgets.explorers()
    )


@pytest.mark.parametrize("document", toc_documents())
def test_all_javascript_of_a_page_is_small(document: str, root: Path):
    """Of a page as it is opened: an explorer's worker comes when it is asked for."""
    (source,) = (path for end in (".ipynb", ".md") if (path := root / f"{document}{end}").is_file())
    text = source.read_text(encoding="utf-8")
    used = [e for e in EXPLORERS if re.search(rf"\b{e.__name__}\(|explorer}} {e.__name__}\b", text)]
    used += [widgets.Quiz] if "quiz(" in text else []
    names = {e.class_traits()["_explorer"].default_value for e in used}
    names |= {"lib"} | ({"charts"} if names & set(make_widgets.with_charts()) else set())
    scripts = [make_widgets.PAGE, *(make_widgets.PAGE.with_suffix("") / f"{name}.js" for name in names)]
    assert sum(path.stat().st_size for path in scripts) < MOST


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_bundles_ask_nothing_of_the_network_and_run_no_text(path: Path):
    code = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    forbidden = (
        r"https?://|\bfetch\(|XMLHttpRequest|WebSocket|\beval\((?!\))|new Function|innerHTML|import\(|\brequire\("
    )
    assert not re.findall(forbidden, code)


def test_the_pages_scripts_are_classic_ones():
    for path in [p for p in PRODUCTS if p.is_relative_to(make_widgets.PAGE.parent) and p.suffix == ".js"]:
        assert not re.search(r"^\s*(import|export)\b", path.read_text(encoding="utf-8"), flags=re.M)
        node = shutil.which("node")
        if node:
            subprocess.run([node, "--check", path], check=True)


def test_colours_of_nets_are_those_of_the_figures():
    lib = make_widgets.SOURCES / "lib"
    style, plot = ((lib / name).read_text(encoding="utf-8") for name in ("style.css", "plot.js"))
    for kind, variable in (("plain", "plain"), ("resnet", "residual")):
        assert f'[stroke="{figure.COLORS[kind]}" i]){{stroke:var(--rx-{variable})}}' in style
        assert f"--rx-{variable}:{figure.COLORS[kind].lower()};" in style
    assert f'"var(--rx-plain)", dash: [{", ".join(f"{v:g}" for v in figure.DASHES["plain"][1])}]' in plot


# ---------------------------------------------------------------- outputs


@pytest.mark.parametrize("explorer", EXPLORERS, ids=lambda e: e.__name__)
def test_an_output_has_the_view_and_a_table_for_readers_without_javascript(explorer: type[Explorer]):
    widget = sample(explorer)
    data, _ = widget._repr_mimebundle_()
    assert data[VIEW]["model_id"] == widget.model_id
    (view,) = re.findall(rf'<script type="{re.escape(VIEW)}">(.*?)</script>', data["text/html"])
    assert json.loads(view) == data[VIEW]
    assert re.search("<table|<ol", data["text/html"])
    assert data["text/plain"]


def test_in_colab_the_view_is_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    data, _ = sample(EXPLORERS[0])._repr_mimebundle_()
    assert set(data) == {VIEW, "text/plain"}


def test_traits_say_value_and_rule():
    class Dummy(Explorer):
        number = Whole(3, 1, 9)

    dummy = Dummy(number=9)
    for wrong in (0, 10, 2.5, "3", None, True):
        with pytest.raises(TraitError, match=r"`number` must be .*, but it is"):
            dummy.number = wrong
    assert dummy.number == 9


# ---------------------------------------------------------------- what the build leaves out of a page


def state_script(models: dict) -> str:
    text = json.dumps({"version_major": 2, "state": models}).replace("</", "<\\/")
    return f'<p>before</p><script type="application/vnd.jupyter.widget-state+json">{text}</script><p>after</p>'


def test_a_page_carries_the_explorers_state_without_their_code():
    explorer = {"state": {"_explorer": "network", "_esm": "export default 1", "depth": 50, "note": "</script>"}}
    page = strip_state(state_script({"a": explorer, "b": {"model_name": "LayoutModel", "state": {"_model_name": "L"}}}))
    assert "_esm" not in page
    assert page.count("</script>") == 1
    (kept,) = re.findall(r"json\">(.*)</script>", page)
    assert json.loads(kept)["state"] == {"a": {"state": {"_explorer": "network", "depth": 50, "note": "</script>"}}}
    assert strip_state(page) == page


def test_a_page_without_explorers_carries_no_state():
    assert strip_state(state_script({"b": {"state": {"value": 3}}})) == "<p>before</p><p>after</p>"
    assert strip_state("<p>nothing</p>") == "<p>nothing</p>"
