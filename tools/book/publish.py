"""A Sphinx extension: what search engines, messengers and screen readers are told about a page.

The description of a chapter is its question, that of another page its first paragraph. Chinese words are marked as
Chinese, so that they are spoken and drawn as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

from chapters import chapters
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

CHINESE = re.compile("([\u3000-\u303f\u3400-\u9fff\uff00-\uffef]+)")
ALWAYS_IS = "(?:exerc|otherw|likew|prec|prom|adv|surpr|compr|rev|dev|superv|ra|no|pra)is"
BRITISH = re.compile(rf"\b(?!{ALWAYS_IS})[a-z]{{3,}}is(?:e[ds]?|ing|ations?)\b|\b[a-z]*colour(?:s|ed)?\b")
LONGEST = 200  # letters of a description that are shown at all
CARD = "_static/card.png"  # 1200 x 630


def wrap_words(
    document: nodes.document,
    pattern: re.Pattern[str],
    wrap: Callable[[str], nodes.Node],
    verbatim: tuple[type[nodes.Node], ...],
) -> None:
    """Replace what matches `pattern`, one group, in the texts of a document; those inside of `verbatim` stay."""
    for text in list(document.findall(nodes.Text)):
        parts = pattern.split(text)  # every second one matches
        if len(parts) > 1 and not isinstance(text.parent, verbatim):
            pieces = [wrap(part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]
            text.parent.replace(text, pieces)


class MarkChinese(SphinxPostTransform):
    """Put a language on Chinese words."""

    default_priority = 900
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Split the texts that have Chinese words in them."""
        wrap_words(self.document, CHINESE, self.marked, (nodes.raw, nodes.literal_block, nodes.literal))

    @staticmethod
    def marked(words: str) -> nodes.raw:
        """Return Chinese words with their language."""
        return nodes.raw("", f'<span lang="zh-Hans">{words}</span>', format="html")


class AmericanWords(SphinxPostTransform):
    """Let the search find "normalization" and "color" where a page has "normalisation" and "colour"."""

    default_priority = 910
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Give the page the American spellings of its words as keywords, which Sphinx's search reads."""
        words = set(BRITISH.findall(self.document.astext().lower()))
        american = sorted(re.sub("is(?=e|ing|ation)", "iz", word).replace("olour", "olor") for word in words)
        if american:
            self.document.append(nodes.meta(name="keywords", content=", ".join(american)))


def description(page: str, doctree: nodes.document) -> str:
    """Return one or two sentences on a page, or ""."""
    of_chapters = {chapter.document: chapter.facts["question"] for chapter in chapters()}
    text = of_chapters.get(page) or next((p.astext() for p in doctree.findall(nodes.paragraph)), "")
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."


def add_tags(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Put the tags into the head of a page; addresses only if that of the site is known."""
    if doctree is None:
        return
    base, title = app.config.html_baseurl, re.sub("<[^>]*>", "", context.get("title", ""))
    tags = {
        "description": description(page, doctree),
        "og:title": title,
        "og:description": description(page, doctree),
        "og:type": "book" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "twitter:card": "summary_large_image" if base else "summary",
    }
    if base:  # an address of a picture must be whole
        tags |= {"og:url": f"{base}{page}.html", "og:image": f"{base}{CARD}", "og:image:alt": "Four training curves"}
    lines = [
        f'<meta {"property" if name.startswith("og:") else "name"}="{name}" content="{escape(value)}">'
        for name, value in tags.items()
        if value
    ]
    icon = f'<link rel="apple-touch-icon" href="{context["pathto"]("_static/favicon.png", resource=True)}">'
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines, icon])


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of it."""
    app.add_post_transform(MarkChinese)
    app.add_post_transform(AmericanWords)
    app.connect("html-page-context", add_tags)
    return {"parallel_read_safe": True, "version": "1"}
