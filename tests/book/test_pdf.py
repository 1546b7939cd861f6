"""What is printed of a page, and that Chromium prints it."""

import shutil
from pathlib import Path

import pytest
from chapters import ROOT
from make_pdf import Printer, contents, place_of, printed

PAGE = """<html><head><link rel="stylesheet" href="../_static/book.css"></head><body><article class="bd-article">
<section id="a"><h1><span class="section-number">2. </span>A<a class="headerlink" href="#a">#</a></h1>
<h2>First</h2><button>Copy</button><script>go()</script><h3>1. Not numbered</h3>
<p><a href="#b">here</a> <a href="02-b.html#c">there</a> <a href="../book/d.html">d</a> <a href="https://x.org/">x</a></p>
<img src="../_images/q.png" alt="q">
<details class="admonition hide above-input"><summary>Show the source</summary><pre>code()</pre></details>
<div class="rx-output"><script type="application/json">{}</script><div class="rx-static"><table></table></div></div>
<figure class="resnet-figure"><svg id="s" viewBox="0 0 10 30"><g id="t"></g></svg></figure></section>
<section id="b"><h2>Second</h2><details><summary>Hint</summary><p>Think.</p></details></section>
</article></body></html>"""


@pytest.fixture
def small_site(tmp_path: Path) -> Path:
    for name in ("notebooks/01-a", "book/intro"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.html").write_text(PAGE)
    (tmp_path / "_static").mkdir()
    shutil.copy(ROOT / "book" / "assets" / "book.css", tmp_path / "_static")
    return tmp_path


def links(article) -> dict[str, str | None]:
    return {link.text: link.get("href") for link in article.find_all("a")}


def test_links_lead_through_the_book_to_the_site_or_are_words(small_site):
    here = f"#{place_of('notebooks/01-a', 'b')}"
    alone = printed(small_site, "notebooks/01-a", "")
    assert links(alone) == {"here": here, "there": None, "d": None, "x": "https://x.org/"}
    known = links(printed(small_site, "notebooks/01-a", "https://a.org/"))
    assert (known["there"], known["d"]) == ("https://a.org/notebooks/02-b.html#c", "https://a.org/book/d.html")
    together = links(printed(small_site, "notebooks/01-a", "", ["notebooks/02-b", "book/d"]))
    assert (together["there"], together["d"]) == (f"#{place_of('notebooks/02-b', 'c')}", f"#{place_of('book/d')}")
    assert alone.find(id=here[1:]).h2.text == "2.2 Second"
    assert alone["id"] == place_of("notebooks/01-a")


def test_paper_has_no_buttons_and_numbered_titles(small_site):
    article = printed(small_site, "notebooks/01-a", "")
    assert not article.select("button, script, .headerlink, details")
    titles = [heading.text for heading in article.find_all(["h1", "h2", "h3"])]
    assert titles == ["2. A", "2.1 First", "1. Not numbered", "2.2 Second"]
    assert article.select_one(".rx-static table")
    assert article.svg["class"] == "tall"
    assert (article.svg["id"], article.svg.g["id"]) == ("s", "t"), "a picture's parts keep their names"
    assert article.img["src"].startswith("file:///")


def test_folds_are_open_on_wish(small_site):
    article = printed(small_site, "notebooks/01-a", "", folds=True)
    (hint,) = article.find_all("details")
    assert hint.has_attr("open")
    assert "Think." in hint.text
    assert "code()" in article.text
    assert "Show the source" not in article.text


@pytest.mark.browser
def test_chromium_prints_a_book_with_tags_outline_and_page_numbers(small_site, browser, monkeypatch):
    monkeypatch.setattr("make_pdf.toc_documents", lambda: ["book/intro"])
    page = browser.new_page(java_script_enabled=False)
    printer = Printer(page, small_site)
    names = ["book/intro", "notebooks/01-a"]
    articles = [printed(small_site, name, "", names) for name in names]
    for article in articles:
        article.figure.decompose()
    front = contents(dict.fromkeys(names, "A & B"), {names[0]: 4, names[1]: 1}, 2)
    assert [part.partition("<")[0] for part in front.split("<span>")[1:]] == ["3", "7"]
    assert printer.write(small_site / "book.pdf", "A & B", front + "".join(map(str, articles))) == 3
    page.close()
    written = (small_site / "book.pdf").read_bytes()
    for part in (b"/StructTreeRoot", b"/Outlines", b"/Lang (en)"):
        assert part in written
    assert str(small_site).encode() not in written, "no link leads into the machine"
