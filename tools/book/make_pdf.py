"""Print the built site as PDF, with the Chromium that is there: a file for each page, and the whole book as one.

Run by `make pdf`. The files are tagged and have an outline. Chromium prints the book from one page, so that links lead
through it. Folds are left out, or opened by `--open-folds`; explorers are the tables of readers without JavaScript.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from chapters import ROOT, toc_documents
from make_site import BUILD, SITE
from playwright.sync_api import Page, sync_playwright
from repository import Repository

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
NO_CHROMIUM = "no Chromium found: apt-get install chromium, or set CHROMIUM to its path"
MARGIN = {"top": "18mm", "bottom": "20mm", "left": "20mm", "right": "20mm"}
FOOT = """<div style="width: 100%; margin: 0 20mm; color: #555; font: 8pt sans-serif; display: flex">
<span style="flex: 1">{title}</span><span class="pageNumber"></span></div>"""
FRAME = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>{styles}</head>
<body class="printed">{text}</body></html>"""
NOT_PRINTED = "script, button, .headerlink"


def chromium() -> str:
    """Return the path of a Chromium: $CHROMIUM, else the first that is there; "" for none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), "")


def place_of(document: str, place: str = "") -> str:
    """Return the name of a place of a page in what is printed."""
    return f"{document.replace('/', '-')}--{place}"


def printed(site: Path, name: str, address: str, together: Iterable[str] = (), folds: bool = False) -> Tag:
    """Return the article of a page as it is printed.

    address:  of the site, with a slash at the end, for links to other pages; "" makes words of them.
    together: the pages in one document with it; links to them lead through the document.
    folds:    folds are open; otherwise they are left out.
    """
    path = site / f"{name}.html"
    article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("article")
    for element in article.select(NOT_PRINTED if folds else f"{NOT_PRINTED}, details"):
        element.decompose()
    for fold in article.find_all("details"):
        if "hide" in fold.get("class", []):  # code, whose summary is a button
            fold.summary.decompose()
            fold.unwrap()
        else:
            fold["open"] = ""
    number = article.select_one("h1 .section-number")
    for place, heading in enumerate(article.find_all("h2") if number else (), 1):
        heading.insert(0, f"{number.text.strip()}{place} ")

    for picture in article.select(".resnet-figure svg[viewbox]"):  # the parser has lost the capital letter
        _, _, width, height = map(float, picture["viewbox"].split())
        if height > 1.5 * width:
            picture["class"] = "tall"

    article["id"] = place_of(name)
    for element in article.find_all(id=True):  # the article itself is not among them
        if not element.find_parent(["svg", "figure"]):  # pictures refer to their parts, by names that are their own
            element["id"] = place_of(name, element["id"])
    for image in article.find_all("img", src=re.compile("^(?!data:)")):
        image["src"] = (path.parent / image["src"]).resolve().as_uri()
    for link in article.find_all("a", href=re.compile("^(?![a-z]+:)")):
        target, _, place = link["href"].partition("#")
        page = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else f"{name}.html"
        if (document := page.removesuffix(".html")) in {name, *together}:
            link["href"] = f"#{place_of(document, place)}"
        elif address:
            link["href"] = f"{address}{page}{'#' if place else ''}{place}"
        else:
            del link["href"]
    return article


class Printer:
    """Prints documents that have the styles of a built site."""

    def __init__(self, page: Page, site: Path) -> None:
        self.page = page
        first = site / f"{toc_documents()[0]}.html"
        head = BeautifulSoup(first.read_text(encoding="utf-8"), "html.parser").head
        names = [link["href"].partition("?")[0] for link in head.find_all("link", rel="stylesheet")]
        uris = [(first.parent / name).resolve().as_uri() for name in names]
        self.styles = "".join(f'<link rel="stylesheet" href="{uri}">' for uri in uris)

    def write(self, path: Path, title: str, text: str) -> int:
        """Print a document to `path`, and return the number of its pages."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "page.html")
            source.write_text(FRAME.format(title=escape(title), styles=self.styles, text=text), encoding="utf-8")
            self.page.emulate_media(media="print")  # its fonts are loaded, too
            self.page.goto(source.as_uri())
            self.page.evaluate("document.fonts.ready")
            foot, nothing = FOOT.format(title=escape(title)), "<span></span>"
            data = self.page.pdf(
                format="A4",
                margin=MARGIN,
                print_background=True,
                display_header_footer=True,
                header_template=nothing,
                footer_template=foot,
                tagged=True,
                outline=True,
            )
        path.write_bytes(data)
        return len(re.findall(rb"/Type /Page\b", data))


def contents(titles: dict[str, str], pages: dict[str, int], before: int) -> str:
    """Return the first pages of the book: its title, and its contents with the numbers of pages.

    titles: of the pages of the site, by name.
    pages:  how many each of them takes.
    before: how many these first pages take.
    """
    lines, start = [], before + 1
    for name, title in titles.items():
        lines.append(f'<li><a href="#{place_of(name)}">{escape(title)}</a> <span>{start}</span></li>')
        start += pages[name]
    title = f'<p class="book-title">{escape(next(iter(titles.values())))}</p><h1>Contents</h1>'
    return f'<section class="bd-article book-contents">{title}<ul>{"".join(lines)}</ul></section>'


def main() -> None:
    """Print the site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--open-folds", action="store_true", help="with hints, solutions and folded code")
    parser.add_argument("--site", type=Path, default=SITE, help="the built site")
    parser.add_argument("--output", type=Path, default=BUILD / "pdf", help="a folder")
    arguments = parser.parse_args()
    site, folds = arguments.site, arguments.open_folds
    names = toc_documents()
    if not (site / f"{names[0]}.html").is_file():
        sys.exit(f"{site} has no site: run `make book`")
    if not chromium():
        sys.exit(NO_CHROMIUM)
    address = Repository.from_config(ROOT / "_config.yml").site

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        printer = Printer(browser.new_page(java_script_enabled=False), site)
        titles, pages = {}, {}
        for name in names:
            article = printed(site, name, address, folds=folds)
            titles[name] = article.h1.get_text().strip()
            pages[name] = printer.write(arguments.output / f"{Path(name).name}.pdf", titles[name], str(article))
            print(f"{name}: {pages[name]} pages", flush=True)
        book, title = arguments.output / "book.pdf", titles[names[0]]
        before = printer.write(book, title, contents(titles, pages, 0))
        articles = "".join(str(printed(site, name, address, names, folds)) for name in names)
        total = printer.write(book, title, contents(titles, pages, before) + articles)
        browser.close()
    if total != before + sum(pages.values()):
        sys.exit(f"{book} has {total} pages, and its parts {before + sum(pages.values())}: its contents are wrong.")
    print(f"\nThe book has {total} pages: {book}")


if __name__ == "__main__":
    main()
