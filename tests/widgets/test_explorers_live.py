"""The explorers as live widgets: a real JupyterLab runs a chapter, the explorer is moved, and Python reads it back.

The server is started here, on loopback with a token of its own; settings, kernels' files and the notebook are in a
temporary folder, and nothing that the reader has set up is touched or used.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import anywidget
import nbformat
import pytest
from browser import DESKTOP, ROOT
from playwright.sync_api import BrowserContext, Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE = 180_000  # milliseconds: a busy machine may take a minute to start a kernel and import torch
READ = """from resnet_edu.widgets import ConvolutionExplorer, NetworkExplorer

window = next(o for o in list(Out.values()) if isinstance(o, ConvolutionExplorer))
explorer = next(o for o in list(Out.values()) if isinstance(o, NetworkExplorer))
print("ready:", explorer.depth)"""
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # asks jupyter.org
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells stay in the page
}


def notebook() -> nbformat.NotebookNode:
    """Return chapter 3 with the three explorers that compute in a worker, and cells that read what is moved."""
    found = nbformat.read(ROOT / "notebooks" / "03-reading-shapes.ipynb", as_version=4)
    extra = ["from resnet_edu.widgets import DissectingTable, IdentityExplorer, TrainingLab"]
    extra += ["training = TrainingLab(nets=['plain-8', 'residual-8'], width=8, steps=50)\ntraining"]
    extra += ["table = DissectingTable(net='plain20')\ntable", "slider = IdentityExplorer()\nslider", READ]
    extra += ["print('laboratories:', len(training.record), table.net, slider.percent)"]
    extra += ['print("read back:", explorer.depth, explorer.input)', "explorer.depth = 34"]
    extra += ['print("window:", window.stride, window.cell, len(window.layers))', "window.kernel = 5"]
    found.cells += [nbformat.v4.new_code_cell(source) for source in extra]
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start a JupyterLab in a folder of its own; return the address of a notebook, and its file."""
    home = tmp_path_factory.mktemp("lab")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    work = home / "work"
    work.mkdir()
    nbformat.write(notebook(), work / "chapter.ipynb")
    own = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    own |= {"IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={work}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"{address(server, home)}lab/tree/chapter.ipynb?token={token}", work / "chapter.ipynb"
    finally:
        server.terminate()
        server.wait(30)


def address(server: subprocess.Popen, home: Path) -> str:
    """Wait for the server and return where it listens."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline and server.poll() is None:
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                url = json.loads(path.read_text())["url"]
                urlopen(f"{url}api", timeout=10).close()
            except (OSError, ValueError):
                break  # not yet written, or not yet listening
            return url
        time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-3000:]}")


def cell(page: Page, text: str) -> Locator:
    """Return the editor of the last cell whose code has `text`."""
    return page.locator(".jp-CodeCell").filter(has_text=text).last.locator(".cm-content")


def run_cell(page: Page, text: str) -> None:
    """Run that cell."""
    cell(page, text).click()
    page.keyboard.press("Shift+Enter")


def facts(notebook: nbformat.NotebookNode) -> list[dict]:
    """What an author has written beside the text: the chapter's facts, and the sources of its numbers."""
    return [notebook.metadata.book, *(cell.metadata.get("sources") for cell in notebook.cells)]


@pytest.fixture(scope="module")
def page(lab: tuple[str, Path], context: BrowserContext) -> Iterator[Page]:
    """The notebook with its cells run; it must ask for nothing from elsewhere and complain of nothing."""
    origin = lab[0].partition("lab/tree")[0]
    foreign, errors = [], []
    page = context.new_page()
    page.set_viewport_size(DESKTOP)
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    own = (origin, origin.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else foreign.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(lab[0])
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()  # what is run before is lost
        run_above(page, "laboratories:")
        page.get_by_text("ready: 18", exact=True).wait_for()
        yield page
        assert not foreign
        assert not errors
    finally:
        expect.set_options(timeout=5_000)
        page.close()


def run_above(page: Page, text: str) -> None:
    """Run all cells above the one that has `text`: one command, as outputs that grow move what a click would hit."""
    cell(page, text).click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Above Selected Cell", exact=True).click()


def test_the_laboratories_in_jupyterlab(page: Page):
    """Real clicks: nets are trained, a net is cut, blocks are moved off the identity; the kernel hears of it."""
    training = page.get_by_role("group", name="Training laboratory")
    training.get_by_role("radio", name="plain-8").check()
    training.get_by_role("button", name="Start", exact=True).click()
    training.get_by_role("button", name="more steps").wait_for()
    expect(training.get_by_role("region", name="The nets now").locator("tbody tr")).to_have_count(2)

    table = page.get_by_role("group", name="Dissecting table")
    table.get_by_role("button", name="Open the four nets").click()
    expect(table.locator(".rx-ds-net:enabled")).to_have_count(4)
    rows = table.locator(".rx-ds-results tbody tr")
    expect(rows.nth(0)).not_to_contain_text("…")
    whole = rows.nth(0).locator("td").last.inner_text()
    table.get_by_role("button", name=re.compile("^resnet20 says")).click()
    table.get_by_role("switch", name="Branch of layer2.0").click()
    expect(table.locator(".rx-ds-results")).not_to_contain_text("…")
    expect(rows.nth(1).locator("td").last).not_to_have_text(whole)

    slider = page.get_by_role("group", name="Identity slider")
    slider.get_by_role("slider").press("ArrowRight")
    expect(slider.locator(".rx-story")).to_contain_text("1% of the way: loss")
    run_cell(page, "laboratories:")
    told = re.compile(r"laboratories: [1-9]\d* resnet20 1")
    page.locator(".jp-OutputArea-output pre", has_text=told).wait_for()


def test_a_chapter_in_jupyterlab(lab: tuple[str, Path], page: Page):
    file = lab[1]
    before = file.read_bytes()
    explorer = page.locator(".jp-OutputArea .rx").filter(has=page.locator(".rx-drawing"))
    explorer.scroll_into_view_if_needed()
    expect(explorer.locator(".rx-total strong").nth(1)).to_have_text("485,359,616")

    explorer.get_by_label("Depth (layers)").select_option("101")
    explorer.get_by_label("Image height (pixels)").fill("96")
    expect(explorer.locator(".rx-title").first).to_have_text("ResNet-101, 1x3x96x96")
    run_cell(page, 'print("read back:"')
    page.get_by_text("read back: 101 [3, 96, 96]", exact=True).wait_for()

    run_cell(page, "explorer.depth = 34")
    expect(explorer.locator(".rx-title").first).to_have_text("ResNet-34, 1x3x96x96")

    window = page.locator(".jp-OutputArea .rx").filter(has=page.locator(".rx-cv"))
    window.scroll_into_view_if_needed()
    window.get_by_role("textbox", name="Stride s").fill("2")
    window.get_by_role("slider", name="Output cell").focus()
    page.keyboard.press("Home")
    window.get_by_role("button", name="Add a layer").click()
    expect(window.locator("tbody tr")).to_have_count(4)
    run_cell(page, 'print("window:"')
    page.get_by_text("window: 2 [2, 0] 4", exact=True).wait_for()
    run_cell(page, "window.kernel = 5")
    expect(window.get_by_role("textbox", name="Kernel k")).to_have_value("5")
    page.keyboard.press("Control+s")
    for _ in range(100):
        page.wait_for_timeout(200)
        if file.read_bytes() != before:
            break
    saved = nbformat.read(file, as_version=4)
    written = facts(notebook())
    assert facts(saved)[: len(written)] == written  # running the last cell adds one


def test_colab_would_find_what_it_needs():
    """Colab has anywidget's manager switched on by the widget itself, and loads the module from the widget's state."""
    from resnet_edu.widgets import NetworkExplorer

    code = Path(anywidget.__file__).with_name("widget.py").read_text(encoding="utf-8")
    assert "enable_custom_widget_manager_once()" in code
    state = NetworkExplorer("resnet18").get_state()
    assert (state["_view_module"], state["_model_module"]) == ("anywidget", "anywidget")
    assert "export" in state["_esm"]
    assert not any(word in state["_esm"] for word in ("import ", "import{", "require("))
