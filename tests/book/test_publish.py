"""What the build adds to a page: formulas without a script, marks for Chinese, words for the search, addresses."""

import re
import shutil
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from chapters import ROOT
from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import new_document
from finish import (
    lighter,
    one_style_sheet,
    only_used_icons,
    only_used_letters,
    tables_with_names_of_rows,
    with_policy,
)
from fontTools.ttLib import TTFont
from formulas import drawn
from pack_chinese import FONT, characters
from publish import AmericanWords, MarkChinese
from repository import Repository
from serve import VERSION, Handler, served
from sphinx.errors import SphinxError


def test_a_formula_is_drawn_and_can_be_read_aloud():
    html = drawn(r"\frac{a}{b}", display=True)
    (spoken,) = re.findall("<math.*?</math>", html)
    fraction = ElementTree.fromstring(spoken).find(".//{*}mfrac")
    assert [child.text for child in fraction] == ["a", "b"]
    assert 'class="katex-display"' in html
    assert 'class="katex-display"' not in drawn("x")


@pytest.mark.parametrize("formula", [r"\frac{a", r"\nosuchcommand", "a_b_c"])
def test_what_is_no_formula_stops_the_build(formula: str):
    with pytest.raises(SphinxError) as error:
        drawn(formula)
    assert repr(formula) in str(error.value)


def test_chinese_words_are_marked_and_nothing_is_lost():
    document = publish_doctree("Term 残差, and ``残差`` in code; 全连接 层.")
    MarkChinese(document).run()
    assert [node.astext() for node in document.findall(nodes.raw)] == [
        f'<span lang="zh-Hans">{word}</span>' for word in ("残差", "全连接", "层")
    ]
    assert re.sub("<[^>]*>", "", document.astext()) == "Term 残差, and 残差 in code; 全连接 层."


def test_the_font_has_the_chinese_of_the_text():
    assert FONT.stat().st_size <= 40_000
    assert {ord(character) for character in characters()} <= set(TTFont(FONT).getBestCmap())


def test_a_table_without_a_corner_names_its_rows():
    page = (
        '<table class="table"><thead><tr><th class="head"><p></p></th><th>error</th></tr></thead><tbody>'
        "<tr><td><p>a</p></td><td>1</td></tr><tr><td>b</td><td>2</td></tr></tbody></table><table><thead><tr><th>x</th>"
        "</tr></thead><tbody><tr><td>y</td></tr></tbody></table>"
    )
    first, second = BeautifulSoup(tables_with_names_of_rows(page), "html.parser").find_all("table")
    assert [head.text for head in first.find_all("th")] == ["error", "a", "b"]
    assert [head["scope"] for head in first.find_all("th")[1:]] == ["row", "row"]
    assert [cell.text for cell in first.find_all("td")] == ["", "1", "2"]
    assert str(second) in page


def test_american_spellings_are_keywords():
    document = publish_doctree("Normalisation of colours, initialised; no more.")
    AmericanWords(document).run()
    (meta,) = document.findall(nodes.meta)
    assert meta["content"].split(", ") == ["colors", "initialized", "normalization"]
    empty = new_document("empty")
    AmericanWords(empty).run()
    assert not list(empty.findall(nodes.meta))


@pytest.mark.parametrize(
    ("url", "variable", "address"),
    [
        ("", "", ""),
        ("https://github.com/Owner/book", "", "https://owner.github.io/book/"),
        ("https://example.org/a/b", "", ""),
        ("https://github.com/Owner/book", "https://nets.example/x", "https://nets.example/x/"),
    ],
)
def test_the_address_of_the_site(url: str, variable: str, address: str):
    environment = {"RESNET_EDU_REPOSITORY_URL": url, "RESNET_EDU_SITE_URL": variable}
    repository = Repository.from_config(ROOT / "_config.yml", environment)
    assert repository.site == address
    assert repository.settings().get("html", {}).get("baseurl", "") == address


def test_a_page_loses_what_it_need_not_carry():
    view = '<meta name="viewport" content="width=device-width">'
    twice = '<div id="jb-print-docs-body"><h1>T</h1><div><nav>Contents</nav></div></div>\n<div id="searchbox"></div>'
    script = '<script src="../_static/a/fontawesome.js?x=1"></script>'
    list_of = '<div role="list" class="citation-list"><div class="citation" id="id1" role="doc-biblioentry">'
    page = lighter(f"<head>{view}{view}<title>T</title>{view}</head>{script}{twice}{list_of}<p>T</p>")
    bare = '<div class="citation-list"><div class="citation" id="id1">'
    assert page == f'<head>{view}<title>T</title></head><div id="searchbox"></div>{bare}<p>T</p>'


def test_a_page_runs_only_its_own_scripts():
    page = '<meta charset="utf-8" /><script>a()</script><script src="b.js"></script>'
    page += '<script type="application/json">{}</script>'
    (policy,) = re.findall('Content-Security-Policy" content="([^"]+)"', with_policy(page, {"c()"}))
    known = re.search("script-src ([^;]+)", policy)[1].split()
    hashes = [f"'sha256-{b64encode(sha256(code).digest()).decode()}'" for code in (b"a()", b"c()")]
    assert sorted(known) == sorted(["'self'", "blob:", "'unsafe-hashes'", *hashes])


def test_style_sheets_become_one_with_the_rules_that_are_used(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "base.css").write_text("p{color:red}")
    (tmp_path / "a" / "one.css").write_text(
        '@import "../base.css"; .used,.unused{x:y} .unused b{x:y} :is(.unused,i){x:y} '
        "@media print{.unused{x:y} em{x:y}} @font-face{src:url(f/g.woff2)} .used{background:url('data:a')}"
    )
    (tmp_path / "two.css").write_text(".used > b{x:z} .rx-net.rx-plain{x:y}")
    links = "".join(f'<link rel="stylesheet" href="../_static/{name}?v=1" />\n' for name in ("a/one.css", "two.css"))
    page = one_style_sheet(tmp_path, f"<title>T</title>{links}<p>", {"used", "p"})
    (name,) = re.findall(r'^<title>T</title><link rel="stylesheet" href="../_static/([^"]+)">\n<p>$', page)
    css = re.sub(r"\s", "", (tmp_path / name).read_text())
    assert css == (
        "p{color:red}.used{x:y}:is(.unused,i){x:y}@mediaprint{em{x:y}}@font-face{src:url(a/f/g.woff2)}"
        '.used{background:url("data:a")}.used>b{x:z}.rx-net.rx-plain{x:y}'
    )


def test_icons_that_are_shown_stay(tmp_path):
    import pydata_sphinx_theme  # takes a while

    theme = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
    for part in ("styles/pydata-sphinx-theme.css", "vendor/fontawesome/webfonts/fa-solid-900.woff2"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_bytes((theme / part).read_bytes())
    only_used_icons(tmp_path, ['<i class="fa-solid fa-moon"></i> <i class="fa-bars"></i>'])
    font = tmp_path / "vendor/fontawesome/webfonts/fa-solid-900.woff2"
    assert set(TTFont(font).getBestCmap()) >= {0xF186, 0xF0C9}  # moon, bars: Font Awesome's own list
    assert font.stat().st_size < 3000


def test_only_the_letters_of_formulas_are_left(tmp_path):
    fonts = shutil.copytree(ROOT / "book/assets/vendor/katex/fonts", tmp_path / "vendor/katex/fonts")
    formulas = [r"\begin{pmatrix} \alpha \\ \beta \\ x \end{pmatrix}", r"\mathcal{F} \subseteq \sum_{n=1}^9 \sqrt{n}"]
    pages = [f"<p>Not this: QZ. {drawn(formula, display=True)}</p>" for formula in formulas]
    only_used_letters(tmp_path, pages)
    left = {name: set(TTFont(fonts / f"KaTeX_{name}.woff2").getBestCmap()) for name in ("Main-Regular", "Math-Italic")}
    assert left["Main-Regular"] >= set(map(ord, "19=\u2286"))
    assert left["Math-Italic"] >= set(map(ord, "\u03b1\u03b2xn"))
    assert not left["Main-Regular"] & set(map(ord, "QZ"))
    whole = ROOT / "book/assets/vendor/katex/fonts/KaTeX_Main-Regular.woff2"
    assert (fonts / whole.name).stat().st_size < whole.stat().st_size / 3


def test_served_pages_reload_after_a_build(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text(with_policy('<head><meta charset="utf-8"></head>', set()))
    (tmp_path / "a.txt").write_text("a")

    def read(path: str) -> str:
        with urlopen(base.rstrip("/") + path) as answer:
            return answer.read().decode()

    with served(tmp_path, Handler) as base:
        page = read("/")
        assert VERSION in page
        assert "Content-Security-Policy" not in page, "it would forbid the script that reloads"
        assert read("/a.txt") == "a"
        before = read(VERSION)
        monkeypatch.setattr(Handler, "builds", Handler.builds + 1)
        assert read(VERSION) != before
