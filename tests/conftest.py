"""What the tests share."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser import Visit
    from playwright.sync_api import Browser, BrowserContext


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden tables anew; then read the diff")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def same_arithmetic() -> Iterator[None]:
    """Each test leaves torch's number of threads, and small numbers, as they were: a command sets its process up."""
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if threads:
        import torch

        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)  # hypothesis, for one, wants numbers below 1e-308


@pytest.fixture
def one_thread(same_arithmetic: None) -> None:
    """One computing thread: tiny nets gain nothing from more, and lose much where other processes want the cores."""
    import torch

    torch.set_num_threads(1)


DEAR = ("cluster", "lab", "two", "wheel_file")  # fixtures that start processes of their own: one test process has them


def share_out(items: list[pytest.Item]) -> None:
    """Let the processes of a run take the slow tests first, one by one, and then the others, a file at a time."""

    def alone(item: pytest.Item) -> bool:
        return any(map(item.get_closest_marker, ("slow", "browser")))

    items.sort(key=alone, reverse=True)
    for item in items:
        dear = next((name for name in DEAR if name in item.fixturenames), None)
        if dear or not alone(item):
            item.add_marker(pytest.mark.xdist_group(dear or item.nodeid.partition("::")[0]))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share out the tests, and skip those marked `gpu` where there is none; only they need torch to be imported."""
    of_the_site = [i for i in items if any(map(i.get_closest_marker, ("browser", "site")))]
    strays = {str(i.path) for i in of_the_site if i.path.parent.name not in ("book", "widgets")}
    if strays:
        raise pytest.UsageError(f"`make test-site` looks into tests/book and tests/widgets only, but not for {strays}")
    if hasattr(config, "workerinput"):  # one of the processes that pytest-xdist has started
        share_out(items)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training on the processor do as many updates at once as it does on CUDA."""
    from resnet_edu.training import loop

    monkeypatch.setitem(loop.CHUNK, "cpu", loop.CHUNK["cuda"])


def built(root: Path, folder: Path, kind: str) -> Path:
    """The wheel or the sdist, built as a release would be, with the build tools that are installed (no download)."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="session")
def wheel_file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(root, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="session")
def sdist_file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(root, tmp_path_factory.mktemp("sdist"), "sdist")


# ---------------------------------------------------------------- the browser; browser.py is imported where needed


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    from browser import unavailable
    from make_site import SITE

    if not (SITE / "index.html").is_file():
        unavailable("the site is not built: run `make book`")
    return SITE


@pytest.fixture(scope="session")
def bases(site: Path) -> Iterator[dict[str, str]]:
    """Where the built site begins, for each of the two ways to open it: "http" and "file"."""
    from browser import served

    with served(site) as ways:
        yield ways


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    from browser import chromium

    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile of the browser, with reduced motion, for the tests of one file."""
    from browser import CHECKS, DESKTOP

    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    context.add_init_script(path=CHECKS)
    yield context
    context.close()


@pytest.fixture(scope="session")
def write_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[dict[str, str], str]]]:
    """Return a function that writes a page with the given explorers: where it begins, for both ways, and its name."""
    from browser import served, write_explorer_page

    folder, numbers = tmp_path_factory.mktemp("explorers"), itertools.count()
    with served(folder) as ways:
        # A name for each page: the explorers keep answers under it.
        yield lambda *explorers: (ways, write_explorer_page(folder, explorers, f"page{next(numbers)}.html"))


@pytest.fixture
def explorer_page(context: BrowserContext, write_page: Callable) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a page with the given explorers: `explorer_page(a, b, way="file")`."""
    from browser import Visit

    visits = []

    def open_page(*explorers: object, way: str = "http") -> Visit:
        ways, name = write_page(*explorers)
        visits.append(Visit(context.new_page(), ways[way]).open(name))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.page.close()
