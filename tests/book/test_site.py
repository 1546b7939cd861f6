"""The built site, as a reader meets it: served over HTTP and opened from a folder, wide, narrow, light and dark.

Needs `make book` (or `make pages`) and a Chromium: Debian's package `chromium`, or the one that $CHROMIUM names.
What is asked inside a page is in site_checks.js.
"""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import nbformat
import pytest
from browser import DESKTOP, PHONE, Visit
from make_site import ROOT, toc_documents
from playwright.sync_api import BrowserContext
from repository import Repository

pytestmark = pytest.mark.browser

DOCUMENTS = toc_documents()
CHAPTERS = [name for name in DOCUMENTS if name.startswith("notebooks/")]
WAYS = [(document, way) for way in ("http", "file") for document in DOCUMENTS]


def way_id(way: tuple[str, str]) -> str:
    document, protocol = way
    return f"{protocol}-{document.rpartition('/')[2]}"


@pytest.fixture(scope="module", params=WAYS, ids=way_id)
def visit(request: pytest.FixtureRequest, context: BrowserContext, bases: dict[str, str]) -> Iterator[Visit]:
    """A page of the book, for all the tests that look at it."""
    document, way = request.param
    visit = Visit(context.new_page(), bases[way]).open(f"{document}.html")
    yield visit
    visit.page.close()


# ---------------------------------------------------------------- every page, in the order of these tests


def test_asks_nothing_of_other_sites(visit: Visit):
    assert not visit.foreign


def test_loads_without_a_complaint(visit: Visit):
    assert not visit.complaints


def test_has_one_title(visit: Visit):
    assert len(visit.check("titles")) == 1


def test_mathematics_is_typeset(visit: Visit):
    assert not visit.check("rawMathematics")


def test_pictures_say_what_they_show(visit: Visit):
    assert not visit.check("silentPictures")


def test_shows_no_traceback(visit: Visit):
    assert not visit.check("tracebacks")


def test_folds_open(visit: Visit):
    assert not visit.check("stuckFolds")  # leaves them open, so that the tests below see what is inside


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_is_readable(visit: Visit, scheme: str):
    visit.show(scheme)
    page = visit.page.evaluate("() => siteChecks.page()")
    darker, lighter = sorted([page["paper"], page["ink"]])
    assert darker < 0.05
    assert lighter > 0.5
    assert (page["paper"] < page["ink"]) == (scheme == "dark")
    assert not visit.check("faintText")


# Faults of the tools that make the page: (axe's rule, selector).
NOT_OURS = {
    ("aria-required-children", ".citation-list"),  # docutils: a list whose entries have a role of their own
}


@pytest.mark.parametrize("visit", [way for way in WAYS if way[1] == "http"], ids=way_id, indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_has_no_barrier_that_axe_finds(visit: Visit, scheme: str):
    """What we write, not the theme around it: its search dialog and its landmarks are not ours to change."""
    visit.show(scheme)
    found = [line for rule, target, line in visit.barriers() if (rule, target) not in NOT_OURS]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_on_a_phone(visit: Visit, scheme: str):
    visit.page.set_viewport_size(PHONE)
    visit.show(scheme)
    try:
        assert not visit.check("sideways")
        assert not visit.check("cutLetters")
    finally:
        visit.page.set_viewport_size(DESKTOP)


def test_fits_on_a_phone_with_letters_of_twice_the_size(visit: Visit):
    visit.page.set_viewport_size(PHONE)
    large = "size => document.documentElement.style.fontSize = size"
    visit.page.evaluate(large, "200%")
    try:
        assert not visit.check("sideways")
    finally:
        visit.page.evaluate(large, "")
        visit.page.set_viewport_size(DESKTOP)


# ---------------------------------------------------------------- the site as a whole


class Links(HTMLParser):
    """The links of a page, those outside its article (the theme's) apart, and the anchors that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.own: list[str] = []
        self.theme: list[str] = []
        self.anchors: set[str] = set()
        self.depth = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.depth += tag == "article"
        self.anchors |= {value for key in ("id", "name") if (value := attributes.get(key))}
        target = attributes.get("href" if tag in ("a", "link") else "src")
        if target:
            (self.own if self.depth else self.theme).append(target)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "article"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_page_of_the_contents_is_there(site: Path):
    assert [name for name in DOCUMENTS if not (site / f"{name}.html").is_file()] == []


def test_links_within_the_site_lead_somewhere(pages: dict[Path, Links]):
    broken = []
    for path, links in pages.items():
        for link in links.own + links.theme:
            if urlsplit(link).scheme:
                continue
            address, anchor = urldefrag(urljoin(path.as_uri(), link))
            target = Path(unquote(urlsplit(address).path))
            known = pages.get(target)
            if not target.is_file() or (anchor and known and unquote(anchor) not in known.anchors):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_the_theme_links_to_no_other_site_than_the_repository(pages: dict[Path, Links]):
    """Where no repository is configured, a link of the theme to one would lead to somebody else's."""
    url = Repository.from_config(ROOT / "_config.yml").url
    project = url.removeprefix("https://github.com/")
    ours = (url, f"https://colab.research.google.com/github/{project}/") if url else ()
    foreign = {link for links in pages.values() for link in links.theme if urlsplit(link).netloc}
    assert not {link for link in foreign if not (ours and link.startswith(ours))}


@pytest.mark.parametrize("way", ["http", "file"])
def test_search_finds_the_chapters(context: BrowserContext, bases: dict[str, str], way: str):
    search = Visit(context.new_page(), bases[way]).open("search.html?q=residual")
    search.page.wait_for_selector("#search-results ul.search li a")
    found = search.page.eval_on_selector_all("#search-results ul.search li a", "links => links.map(a => a.href)")
    assert any("notebooks/" in address for address in found), found
    assert not search.foreign
    if way == "http":  # from a folder, the browser forbids reading the excerpts that stand below the results
        assert not search.complaints


@pytest.mark.parametrize("word", ["residual", "plain", "layers"])
def test_a_page_that_is_reached_by_a_search_marks_the_word(context: BrowserContext, bases: dict[str, str], word: str):
    for chapter in CHAPTERS:
        visit = Visit(context.new_page(), bases["http"]).open(f"{chapter}.html?highlight={word}")
        if word in visit.page.locator("article").text_content().lower():
            visit.page.wait_for_selector("article .highlighted", state="attached")
        assert not visit.complaints, chapter
        visit.page.close()


def test_the_buttons_of_a_page_work(context: BrowserContext, bases: dict[str, str]):
    visit = Visit(context.new_page(), bases["http"]).open(f"{CHAPTERS[0]}.html")
    page = visit.page

    themes = set()
    for _ in range(3):  # automatic, light, dark, in turn
        page.locator(".theme-switch-button:visible").first.click()
        themes.add(page.get_attribute("html", "data-theme"))
    assert themes == {"light", "dark"}

    page.locator(".dropdown-download-buttons > button").click()
    with page.expect_download() as download:
        page.locator(".btn-download-source-button:visible").evaluate("link => { link.download = ''; link.click(); }")
    notebook = nbformat.read(download.value.path(), as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)

    page.keyboard.press("Escape")
    page.locator(".btn-fullscreen-button").click()
    page.wait_for_function("() => document.fullscreenElement !== null")
    page.locator(".btn-fullscreen-button").click()
    page.wait_for_function("() => document.fullscreenElement === null")

    page.keyboard.press("Control+k")
    page.wait_for_selector("#pst-search-dialog[open] input, .search-button__wrapper.show input")
    assert not visit.complaints
