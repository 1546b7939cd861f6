"""The built site, as a reader meets it: served over HTTP and opened from a folder, wide, narrow, light and dark.

Needs `make book` and a Chromium: Debian's package `chromium`, or the one that $CHROMIUM names.
Each page is opened twice, and all that is asked of it is asked then; what is asked inside it is in site_checks.js.
"""

import gzip
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from browser import BYTES, DESKTOP, PHONE, Visit
from chapters import ROOT, toc_documents
from finish import STATE_SCRIPT
from links import Links, dead_links
from PIL import Image
from playwright.sync_api import BrowserContext
from repository import Repository

pytestmark = pytest.mark.browser

DOCUMENTS = toc_documents()
CHAPTERS = [name for name in DOCUMENTS if name.startswith("notebooks/")]


def faults(visit: Visit, *checks: str) -> list[str]:
    """What some of the checks of site_checks.js find."""
    return [f"{name}: {line}" for name in checks for line in visit.check(name)]


def explorers(visit: Visit, document: str) -> list[str]:
    """What is wrong with the explorers of a page: each is mounted, in the place of its table."""
    site = ROOT / f"{document}.ipynb"
    cells = json.loads(site.read_text(encoding="utf-8"))["cells"] if site.is_file() else []
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    shown = len(re.findall(r"^(?:\w+Explorer|StudyPlayer|TrainingLab|DissectingTable|Quiz|quiz)\(", code, flags=re.M))
    outputs = visit.page.locator(".rx-output").count()
    found = []
    if not (shown <= outputs == visit.page.locator(".rx-mount .rx").count()):
        found.append(f"explorers: {shown} in the chapter, {outputs} on the page, and not all are mounted")
    if visit.page.locator(".rx-failed, .rx-static:visible").count():
        found.append("explorers: one has failed, or its static table is still to be seen")
    return found


def colours(visit: Visit, scheme: str) -> list[str]:
    """What cannot be read in light or dark."""
    visit.show(scheme)
    page = visit.page.evaluate("() => siteChecks.page()")
    darker, lighter = sorted([page["paper"], page["ink"]])
    good = darker < 0.05 and lighter > 0.5 and (page["paper"] < page["ink"]) == (scheme == "dark")
    # What we write, not the theme around it: its search dialog and its landmarks are not ours to change.
    barriers = visit.barriers() if scheme == "light" else visit.faint()
    found = [line for _, _, line in barriers]
    return [f"{scheme}: {line}" for line in [*found, *faults(visit, "faintText"), *([] if good else [str(page)])]]


def heavy(visit: Visit, document: str) -> list[str]:
    """Whether a page takes too many bytes, compressed, before anything is asked of it; its pictures come on top."""
    most = BYTES[document in CHAPTERS]
    texts = (re.sub(rb"data:image/(?:png|jpeg);base64,[^\"')]+", b"", body) for body in visit.bodies())
    total = sum(len(gzip.compress(text)) for text in texts)
    return [f"weight: {total:,} bytes compressed, at most {most:,}"] if total > most else []


def narrow(visit: Visit) -> list[str]:
    """What does not fit on a phone, nor with letters of twice the size."""
    visit.page.set_viewport_size(PHONE)
    found = faults(visit, "sideways", "cutLetters", "brokenNames")
    visit.page.evaluate("() => document.documentElement.style.fontSize = '200%'")
    found += faults(visit, "sideways")
    visit.page.evaluate("() => document.documentElement.style.fontSize = ''")
    visit.page.set_viewport_size(DESKTOP)
    return [f"phone: {line}" for line in found]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page(context: BrowserContext, bases: dict[str, str], document: str):
    visit = Visit(context.new_page(), bases["http"]).open(f"{document}.html")
    found = explorers(visit, document) + heavy(visit, document)
    found += [] if len(visit.check("titles")) == 1 else ["titles: there should be one"]
    # stuckFolds leaves the folds open, so that the checks after it see what is inside.
    found += faults(visit, "rawMathematics", "silentPictures", "tracebacks", "stuckFolds")
    found += colours(visit, "light") + narrow(visit) + colours(visit, "dark")
    visit.page.close()
    assert found + visit.foreign + visit.complaints == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_that_is_opened_from_a_folder_by_a_search(context: BrowserContext, bases: dict[str, str], document: str):
    words = ("residual", "plain", "layers")
    visit = Visit(context.new_page(), bases["file"]).open(f"{document}.html?highlight={'%20'.join(words)}")
    found = explorers(visit, document) + faults(visit, "rawMathematics")
    text = visit.page.locator("article").text_content().lower()
    for word in words:
        if document in CHAPTERS and word in text:
            visit.page.locator("article .highlighted", has_text=re.compile(word, re.I)).first.wait_for(state="attached")
    visit.page.close()
    assert found + visit.foreign + visit.complaints == []


# ---------------------------------------------------------------- the site as a whole


def test_links_and_scripts_of_the_pages(site: Path):
    """Links lead somewhere, the theme's to no other site than the repository; no page carries code of its widgets."""
    texts = {p: p.read_text(encoding="utf-8") for p in site.rglob("*.html") if "_static" not in p.parts}
    pages = {path: Links(text) for path, text in texts.items()}
    url = Repository.from_config(ROOT / "_config.yml").url
    project = url.removeprefix("https://github.com/")
    ours = (url, f"https://colab.research.google.com/github/{project}/") if url else ()
    wrong = [f"{name}: missing" for name in DOCUMENTS if not (site / f"{name}.html").is_file()]
    for path, links in pages.items():
        wrong += [f"{path.name}: {link}" for link in dead_links(path, pages)]
        # Where no repository is configured, a link of the theme to one would lead to somebody else's.
        foreign = [link for link in links.theme if urlsplit(link).netloc]
        wrong += [f"{path.name}: {link}" for link in foreign if not (ours and link.startswith(ours))]
        for _, state, _ in re.findall(STATE_SCRIPT, texts[path], flags=re.DOTALL):
            models = [model["state"] for model in json.loads(state)["state"].values()]
            wrong += [f"{path.name}: {model}" for model in models if "_esm" in model or not model["_explorer"]]
        if "require.js" in texts[path] or len(re.findall(r"<script[^>]*explorers\.js", texts[path])) > 1:
            wrong.append(f"{path.name}: scripts")
    assert wrong == []


def test_the_head_of_each_page_says_what_it_is(site: Path):
    """A title, one description of its own, one viewport; Chinese words are marked, also for a voice that reads them."""
    descriptions = []
    for name in DOCUMENTS:
        head, _, body = (site / f"{name}.html").read_text(encoding="utf-8").partition("</head>")
        descriptions += re.findall(r'<meta name="description" content="([^"]+)">', head)
        assert head.count('name="viewport"') == 1, name
        assert re.search(r'property="og:title" content="[^"]+"', head), name
        marked = re.sub(
            r'<span lang="zh-Hans">[^<]*</span>', "", body.partition("<article")[2].partition("</article>")[0]
        )
        assert not re.search("[\u4e00-\u9fff]", re.sub("<[^>]*>", "", marked)), name
    assert len(set(descriptions)) == len(DOCUMENTS)
    for name in ("index.html", "404.html"):
        assert re.search("<title>.+</title>", (site / name).read_text(encoding="utf-8")), name
    with Image.open(site / "_static" / "card.png") as card:
        assert card.size == (1200, 630)


@pytest.mark.parametrize("way", ["http", "file"])
def test_search_finds_the_chapters(context: BrowserContext, bases: dict[str, str], way: str):
    search = Visit(context.new_page(), bases[way]).open("search.html?q=residual")
    search.page.wait_for_selector("#search-results ul.search li a")
    found = search.page.eval_on_selector_all("#search-results ul.search li a", "links => links.map(a => a.href)")
    assert any("notebooks/" in address for address in found), found
    assert not search.foreign
    if way == "http":  # from a folder, the browser forbids reading the excerpts that stand below the results
        assert not search.complaints


def test_search_knows_american_spelling(context: BrowserContext, bases: dict[str, str]):
    search = Visit(context.new_page(), bases["http"]).open("search.html?q=normalization")
    first = search.page.locator("#search-results ul.search li").first
    first.locator("a").first.wait_for()
    assert "Contents" not in first.text_content()


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
