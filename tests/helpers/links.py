"""The links of built pages, and which of them lead nowhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit


class Links(HTMLParser):
    """The links of a page, those outside its article (the theme's) apart, and the anchors that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.own: list[str] = []
        self.theme: list[str] = []
        self.anchors: set[str] = set()
        self.depth = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.depth += tag == "article"
        self.anchors |= {value for key in ("id", "name") if (value := attributes.get(key))}
        target = attributes.get("href" if tag in ("a", "link") else "src")
        if target:
            (self.own if self.depth else self.theme).append(target)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "article"


def all_links(site: Path) -> dict[Path, Links]:
    """Return the links of every page of a site."""
    return {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def dead_links(path: Path, pages: dict[Path, Links]) -> list[str]:
    """Return the links of a page to files of the site, or to places in its pages, that are not there."""
    dead = []
    for link in pages[path].own + pages[path].theme:
        address, anchor = urldefrag(urljoin(path.as_uri(), link))
        target = Path(unquote(urlsplit(address).path))
        known = pages.get(target)
        if not urlsplit(link).scheme and (
            not target.is_file() or (anchor and known and unquote(anchor) not in known.anchors)
        ):
            dead.append(link)
    return dead
