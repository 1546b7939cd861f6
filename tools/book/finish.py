"""What is done to the built site: what a page need not carry goes, and what the whole site needs is added."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import posixpath
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import tinycss2
from book_pages import four_nets
from chapters import toc_documents
from fontTools import subset
from pack_weights import write_weights

from resnet_edu.figures.style import WIDTH

STATE_SCRIPT = r'(<script type="application/vnd\.jupyter\.widget-state\+json">)(.*?)(</script>)'
(COMMA,) = tinycss2.parse_component_value_list(",")
OF_ALL_WIDGETS = ("layout", "tabbable", "tooltip")  # traits that no explorer reads
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}<title>{title}</title>
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem }}
:root {{ color-scheme: light dark }}</style>
</head>
<body><main>
<h1>{title}</h1>
<p>{text}</p>
</main></body>
</html>
"""


def strip_state(page: str) -> str:
    """Return a built page without what it need not carry of its widgets: their modules are in explorers.js.

    Of the embedded state the explorers' models stay, without their code and style; layouts and other widgets go.
    """

    def smaller(match: re.Match[str]) -> str:
        content = json.loads(match[2])
        kept = {}
        for key, model in content["state"].items():
            values = model.get("state", {})
            if values.get("_explorer"):
                small = {
                    k: v for k, v in values.items() if k == "_explorer" or not (k[0] == "_" or k in OF_ALL_WIDGETS)
                }
                kept[key] = {**model, "state": small}
        return match[1] + json.dumps({**content, "state": kept}).replace("</", "<\\/") + match[3] if kept else ""

    return re.sub(STATE_SCRIPT, smaller, page, flags=re.DOTALL)


def tables_with_names_of_rows(page: str) -> str:
    """Return a page on which no table has an empty heading at its corner: below it stand the names of the rows."""

    def named(match: re.Match[str]) -> str:
        rows = re.sub(r"(<tr[^>]*>\s*)<td([^>]*)>(.*?)</td>", r'\1<th scope="row"\2>\3</th>', match[3], flags=re.DOTALL)
        return f"{match[1]}<td{match[2]}></td>{rows}"

    corner = r"(<thead>\s*<tr[^>]*>\s*)<th\b([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>(.*?</table>)"
    return re.sub(corner, named, page, flags=re.DOTALL)


def lighter(page: str) -> str:
    """Return a built page without FontAwesome's script (icons come from the font) and what else no page needs."""
    page = re.sub(r'<script src="[^"]*/fontawesome\.js[^"]*"></script>', "", page)
    page = re.sub(r'<link rel="preload" as="script"[^>]*>', "", page)  # it would come before the style
    page = page.replace(' aria-label="Toggle hidden content"', "")  # the words that are seen say it, here and below
    page = re.sub(r'(<button[^>]* search-button-field [^>]*?)\s*aria-label="Search"', r"\1", page)
    page = tables_with_names_of_rows(page)
    before = itertools.count()
    page = re.sub(r'<meta name="viewport"[^>]*>', lambda match: "" if next(before) else match[0], page)
    # Docutils gives references the roles of a list that has been taken out of the standard; the logo is in no landmark.
    page = page.replace(' role="doc-biblioentry"', "").replace('<div role="list" class="cit', '<div class="cit')
    logo = r'<div class="sidebar-primary-item">(?=\s*<a[^>]*class="navbar-brand logo")'
    page = re.sub(logo, '<div class="sidebar-primary-item" role="region" aria-label="Book">', page)
    if ">.ipynb</span>" in page:
        page = page.replace("Download source file", "One file, for Colab, Kaggle and Jupyter")
    # For paper only: the title and the contents a second time, which the search would quote.
    page = re.sub(r'<div id="jb-print-docs-body".*?(?=<div id="searchbox">)', "", page, flags=re.DOTALL)
    # A page has its colours before the theme's script runs, which would have it drawn a second time.
    system = '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
    page = page.replace('localStorage.getItem("theme") || "auto"', f'localStorage.getItem("theme") || {system}')
    # Without scripts, "auto" is a theme without colours.
    return strip_state(page).replace('data-theme="auto"', 'data-theme="light"', 1)


def one_style_sheet(static: Path, page: str, words: set[str]) -> str:
    """Return a page whose style sheets are one file, which is written: each would hold up the first look at it.

    Rules for classes that are not among the `words` of pages and scripts are left out: most of the theme's. Those of
    the explorers stay: their scripts put some of the names together, such as `rx-ds-plain`.
    """
    found = list(re.finditer(r'[ \t]*<link [^>]*rel="stylesheet"[^>]*>\n?', page))
    names = [re.search(r'href="([^"]*?)_static/([^"?]+)', link[0]).groups() for link in found]
    if not names:
        return page
    text = _used(tuple(static / name for _, name in names), static, frozenset(words))
    bundle = static / f"book-{hashlib.sha256(text.encode()).hexdigest()[:12]}.css"
    bundle.write_text(text, encoding="utf-8")
    for link in reversed(found):
        new = f'<link rel="stylesheet" href="{names[0][0]}_static/{bundle.name}">\n' if link is found[0] else ""
        page = page[: link.start()] + new + page[link.end() :]
    return page


@functools.cache
def _used(sheets: tuple[Path, ...], static: Path, words: frozenset[str]) -> str:
    """Return the rules of some style sheets whose classes are among the words, or are the explorers'."""

    def classes(selector: list[Any]) -> set[str]:
        """Return the classes that an element, or one around it, must have; the explorers' scripts make theirs."""
        pairs = itertools.pairwise(selector)
        names = {token.value for dot, token in pairs if dot == "." and token.type == "ident"}
        return {name for name in names if not name.startswith("rx-")}

    def kept(rule: Any) -> Any:
        if rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports") and rule.content:
            rule.content = [kept(inner) for inner in tinycss2.parse_rule_list(rule.content, True, True)]
            rule.content = [inner for inner in rule.content if inner]
            return rule if rule.content else None
        if rule.type != "qualified-rule":
            return rule
        # What :is and :not hold would have to be understood, and counts as used.
        parts = [[]]
        for token in rule.prelude:
            if token == ",":
                parts.append([])
            else:
                parts[-1].append(token)
        parts = [part for part in parts if words.issuperset(classes(part))]
        rule.prelude = [token for part in parts for token in (*part, COMMA)][:-1]
        return rule if parts else None

    text = "\n".join(_style(sheet, static) for sheet in sheets)
    rules = [kept(rule) for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)]
    return tinycss2.serialize([rule for rule in rules if rule])


def _style(path: Path, static: Path) -> str:
    """Return a style sheet with what it imports, and addresses as they are seen from `static`."""
    text = path.read_text(encoding="utf-8")
    folder = path.parent.resolve().relative_to(static.resolve()).as_posix()
    relative = r"""url\((["']?)(?![a-z]+:|["'#/])([^)"']+)"""
    text = re.sub(relative, lambda m: f"url({m[1]}{posixpath.normpath(posixpath.join(folder, m[2]))}", text)
    return re.sub(r'@import "([^"]+)";', lambda match: _style((path.parent / match[1]).resolve(), static), text)


def scripts_that_wait(static: Path, page: str) -> str:
    """Return a page whose scripts do not hold up the first look at it; a short one that others need is written in."""
    options = (static / "documentation_options.js").read_text(encoding="utf-8")
    first = r'<script src="[^"]*/documentation_options\.js[^"]*">'
    page = re.sub(first, lambda _: f"<script>{options}", page)
    return re.sub(r'<script (src="[^"]+")></script>', r"<script defer \1></script>", page)


def boxes_that_are_seen(script: Path) -> None:
    """Let the theme's script look only at boxes that are drawn whether they scroll: a reader reaches those by keyboard.

    It looks at all at once, and so has the browser lay out the whole page before its first part can be used.
    """
    text = script.read_text(encoding="utf-8")
    at_once = '"complete"===document.readyState?O():window.addEventListener("load",O)'
    boxes = "pre, .cell_output > .output, .pst-scrollable-table-container"
    when_drawn = (
        "(()=>{const boxes=new ResizeObserver(seen=>seen.map(({target:e})=>[e,e.scrollWidth>e.clientWidth||"
        "e.scrollHeight>e.clientHeight]).forEach(([e,more])=>{e.tabIndex=more?0:-1}));"
        f'document.querySelectorAll("{boxes}").forEach(e=>boxes.observe(e))}})()'
    )
    if at_once not in text:
        sys.exit(f"{script.name} is written in another way than tools/book/finish.py reads; the book is not built.")
    script.write_text(text.replace(at_once, when_drawn), encoding="utf-8")


def with_policy(page: str, handlers: set[str]) -> str:
    """Return a page that runs only the scripts that the build has put there, and asks no other site for anything.

    handlers: the code of all pages' buttons; the page of the search reads the other pages.
    """
    inline = re.findall(r"<script(?![^>]*(?:\bsrc=|application/))[^>]*>(.*?)</script>", page, flags=re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in [*inline, *handlers]}
    known = " ".join(f"'sha256-{digest}'" for digest in sorted(digests))
    policy = (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; worker-src blob:; "
        "base-uri 'none'; object-src 'none'; form-action 'self'; "
        f"script-src 'self' blob: 'unsafe-hashes' {known}"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return re.sub(r'(<meta charset="utf-8"\s*/?>)', lambda match: f"{match[1]}\n    {meta}", page, count=1)


def only_used_icons(static: Path, pages: list[str]) -> None:
    """Keep of the icons' fonts the icons that the pages show: 13 of 1,900."""
    names = {name for page in pages for name in re.findall(r"\bfa-([a-z-]+)", page)}
    style = (static / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    rules = re.findall(r'((?:\.fa-[a-z0-9-]+(?::before)?,?)+)\{(?:--fa:|content:)"\\([0-9a-f]+)"', style)
    codes = {code for selectors, code in rules for name in re.findall(r"\.fa-([a-z-]+)", selectors) if name in names}
    if not codes:
        sys.exit("the theme's icons are written in another way than tools/book/finish.py reads; the book is not built.")
    keep_of_fonts(static / "vendor" / "fontawesome" / "webfonts", codes)


def only_used_letters(static: Path, pages: list[str]) -> None:
    """Keep of the fonts of formulas the letters and signs that the pages' formulas have."""
    formula = r'class="katex-html".*?</(?:p|div|td|th|li|dt|dd|h\d|figcaption|summary)>'  # and what follows in the line
    found = "".join(text for page in pages for text in re.findall(formula, page, flags=re.DOTALL))
    letters = set(unescape(re.sub("<[^>]*>", "", found)))
    keep_of_fonts(static / "vendor" / "katex" / "fonts", {f"{ord(letter):x}" for letter in letters})


def keep_of_fonts(folder: Path, codes: set[str]) -> None:
    """Replace the fonts in a folder by ones of these characters alone, given in hexadecimal digits."""
    for font in folder.glob("*.woff2"):
        small = font.with_suffix(".small")
        options = [f"--unicodes={','.join(sorted(codes))}", "--flavor=woff2", f"--output-file={small}"]
        subset.main([str(font), *options])
        small.replace(font)


def write_card(path: Path) -> None:
    """Draw what messengers show of a link: 1200 x 630 pixels."""
    card = four_nets(WIDTH * 630 / 1200, "Four networks learn digits. What is wrong with B?")
    card.fig.savefig(path, dpi=1200 / WIDTH, facecolor="white")


def finish_pages(site: Path, address: str) -> None:
    """Add the trained nets, take out of every page what it need not carry, and see that each page is there.

    address: where the site will be, with a slash at the end, or "" where that is not known yet.
    """
    missing = [name for name in toc_documents() if not (site / f"{name}.html").is_file()]
    if missing:
        sys.exit(f"The build reported success, but these pages are missing: {', '.join(missing)}")

    static = site / "_static"
    write_card(static / "card.png")
    texts = {
        page: lighter(page.read_text(encoding="utf-8")) for page in site.rglob("*.html") if static not in page.parents
    }
    scripts = [script.read_text(encoding="utf-8") for script in static.rglob("*.js")]
    words = {word for text in [*texts.values(), *scripts] for word in re.findall(r"[\w-]+", text)}
    handlers = {unescape(code) for text in texts.values() for code in re.findall(r'\son[a-z]+="([^"]*)"', text)}
    for page, text in texts.items():
        text = one_style_sheet(static, scripts_that_wait(static, text), words)
        page.write_text(with_policy(text, handlers), encoding="utf-8")
    write_weights(static / "explorers")  # after the words were collected: scripts too, megabytes without any
    only_used_icons(static, list(texts.values()))
    only_used_letters(static, list(texts.values()))
    boxes_that_are_seen(static / "scripts" / "pydata-sphinx-theme.js")
    for unused in ("*.map", "*.ttf", "fontawesome.js*"):  # all browsers read woff2
        for file in static.rglob(unused):
            file.unlink()

    first = f"{toc_documents()[0]}.html"
    title = re.search(r"<title>(.*?)(?: &#8212;.*)?</title>", texts[site / first]).group(1)
    head = f'<meta http-equiv="refresh" content="0; url={first}">\n<link rel="canonical" href="{address}{first}">\n'
    (site / "index.html").write_text(PAGE.format(head=head, title=title, text=f'<a href="{first}">To the book</a>'))
    way = f'<a href="{address}{first}">To the first page of the book</a>.' if address else "Go back, and try another."
    (site / "404.html").write_text(
        PAGE.format(head='<meta name="robots" content="noindex">\n', title="There is no such page", text=way)
    )
    if address:
        urls = "".join(f"<url><loc>{address}{name}.html</loc></url>" for name in toc_documents())
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        (site / "sitemap.xml").write_text(f'<?xml version="1.0"?><urlset xmlns="{space}">{urls}</urlset>\n')
        (site / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {address}sitemap.xml\n")
