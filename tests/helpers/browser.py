"""What the browser tests share: a server, the pages' visits, and a page of explorers made without a book.

The fixtures that go with it (`browser`, `context`, `bases`, `explorer_page`) are in conftest.py. Needs a Chromium:
Debian's package `chromium`, or the one that $CHROMIUM names. What is asked inside a page is in site_checks.js.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import make_pdf
import pytest
import serve
from axe_playwright_python.sync_playwright import Axe
from chapters import ROOT
from finish import strip_state
from pack_weights import write_weights
from playwright.sync_api import Browser, Locator, Page, Response, sync_playwright

from resnet_edu.widgets.dissecting import TrainedNets

if TYPE_CHECKING:
    from resnet_edu.widgets.base import Explorer

BYTES = {True: 350_000, False: 200_000}  # of a chapter, of another page: at most, compressed
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
CHECKS = Path(__file__).with_name("site_checks.js")


def unavailable(reason: str) -> NoReturn:
    """Skip on a reader's machine; fail in CI, where a check that was skipped would look like one that passed."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium and close it afterwards."""
    if not make_pdf.chromium():
        unavailable(make_pdf.NO_CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=make_pdf.chromium(), args=make_pdf.FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a folder on loopback; yield where it begins, for each of the two ways to open it."""
    with serve.served(folder) as address:
        yield {"http": address, "file": f"{folder.as_uri()}/"}


@dataclass
class Visit:
    """One page in the browser, with all that it asked of other sites and all that it complained about."""

    page: Page
    base: str
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = (self.base, "data:", "blob:")
        self.page.on("request", lambda r: None if r.url.startswith(own) else self.foreign.append(r.url))
        self.page.on("requestfailed", lambda r: self.complaints.append(f"request failed: {r.url} ({r.failure})"))
        self.page.on("response", lambda r: self.responses.append(r))  # Playwright takes no builtin
        self.page.on("response", lambda r: self.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("console", lambda m: self.complaints.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))

    def open(self, path: str) -> Visit:
        """Open a page, and wait until it has settled."""
        self.page.goto(self.base + path, wait_until="load")
        return self.start()

    def reload(self) -> Visit:
        """Load the page anew, and wait until it has settled: a question that is still to be drawn shows no button."""
        self.page.reload(wait_until="load")
        return self.start()

    def start(self) -> Visit:
        """Press a key, at which all explorers start, and wait until they have and the fonts are there."""
        self.page.keyboard.press("Shift")
        started = "o => o.querySelector('.rx-mount .rx, .rx-failed')"
        self.page.wait_for_function(f"() => [...document.querySelectorAll('.rx-output')].every({started})")
        self.page.evaluate("() => document.fonts.ready")
        return self

    def bodies(self) -> list[bytes]:
        """Return what the server has sent until now."""
        return [response.body() for response in self.responses if response.ok]

    def show(self, scheme: str) -> None:
        """Let the system ask for light or dark; the page follows, as it has not been told otherwise."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)

    def check(self, name: str) -> list[str]:
        """Ask one of the questions of site_checks.js; the answer is a list of what is wrong."""
        return self.page.evaluate(f"() => siteChecks.{name}()")

    def assert_readable(self) -> None:
        """Fail for what is cut, faint or too wide on a desktop or a phone, and for barriers that axe finds."""
        for size in (DESKTOP, PHONE):
            self.page.set_viewport_size(size)
            assert not self.check("sideways")
            assert not self.check("cutLetters")
            assert not self.check("faintText")
        assert not [line for _, _, line in self.barriers()]

    def assert_readable_on_a_phone_in_the_dark(self) -> None:
        """Fail for what is faint or without words there, and for an id that occurs twice."""
        self.page.set_viewport_size(PHONE)
        self.show("dark")
        assert not self.check("faintText")
        assert not self.check("silentPictures")
        assert not self.faint()
        ids = self.page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(set(ids)) == len(ids)

    def draw_all(self) -> None:
        """Have the browser draw what is far from its window, too: which boxes scroll is found out then."""
        self.page.add_style_tag(content="section { content-visibility: visible !important }")
        settled(self.page)

    def barriers(self, *rules: str, within: str = "article.bd-article") -> list[tuple[str, str, str]]:
        """Return what axe finds serious or critical, by all of its rules or some: (rule, selector, a line on it)."""
        self.draw_all()
        options = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        result = Axe().run(self.page, context=within, options=options)
        return [
            (rule["id"], node["target"][0], f"{rule['id']} ({rule['impact']}): {node['html'][:160]}")
            for rule in result.response["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def faint(self) -> list[tuple[str, str, str]]:
        """Return what axe finds of the colours alone, its rule that takes longest: of words that look alike some."""
        self.check("markLooks")
        return self.barriers("color-contrast", within="[data-look]")


def settled(where: Page | Locator) -> None:
    """Wait for the frame in which the last change is drawn: explorers draw once a frame, not at once."""
    where.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


PAGE = """<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Explorers</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ --pst-color-text-base: #222; --pst-color-background: #fff; --pst-color-surface: #f4f4f4 }}
html[data-theme=dark] {{ --pst-color-text-base: #ddd; --pst-color-background: #14181e; --pst-color-surface: #222 }}
body {{ margin: 0; color: var(--pst-color-text-base); background: var(--pst-color-background); font: 16px sans-serif }}
article {{ max-width: 60rem; margin: 0 auto; padding: 0 1rem }}</style>
<link rel="icon" href="data:,"><link rel="stylesheet" href="book.css">
<link rel="stylesheet" href="explorers.css"><script defer src="explorers.js"></script></head>
<body><main><article class="bd-article"><h1>Explorers</h1>
{outputs}
</article></main>
<script>matchMedia("(prefers-color-scheme: dark)").onchange = (e) => {{
  document.documentElement.dataset.theme = e.matches ? "dark" : "light"; }};</script>
{state}
</body></html>"""


def write_explorer_page(folder: Path, explorers: Sequence[Explorer], name: str = "page.html") -> str:
    """Write a page with the explorers' own outputs and state, put together as the book does it; return its name.

    Much quicker than building a book, and the very same script, style sheet, HTML and stripped state.
    """
    for asset in ("explorers.js", "explorers.css", "book.css"):
        shutil.copy(ROOT / "book" / "assets" / asset, folder / asset)
    shutil.copytree(ROOT / "book" / "assets" / "explorers", folder / "explorers", dirs_exist_ok=True)
    if any(isinstance(explorer, TrainedNets) for explorer in explorers):
        write_weights(folder / "explorers")
    outputs = "\n".join(
        f'<div class="cell"><div class="cell_output"><div class="output text_html">'
        f"{explorer._repr_mimebundle_()[0]['text/html']}</div></div></div>"
        for explorer in explorers
    )
    models = {e.model_id: {"model_name": "AnyModel", "state": json.loads(_json(e))} for e in explorers}
    text = json.dumps({"version_major": 2, "version_minor": 0, "state": models}).replace("</", "<\\/")
    state = f'<script type="application/vnd.jupyter.widget-state+json">{text}</script>'
    (folder / name).write_text(PAGE.format(outputs=outputs, state=strip_state(state)), encoding="utf-8")
    return name


def _json(explorer: Explorer) -> str:
    """Return an explorer's state as the kernel sends it: its layout, which is a widget, as a reference."""
    return json.dumps(explorer.get_state(), default=str)
