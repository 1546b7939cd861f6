"""A Sphinx extension: what pages of the book say about its chapters is made while the book is built.

Directives: `{chapter-list}` and `{exercise-index}` are made from the notebooks (see `chapters.py`), `{four-nets}` from
the records of the study on digits, `{line-key}` from the styles of the package's figures. `{explorer} TrainingLab` puts
an explorer of `resnet_edu.widgets` on a page of prose. Links to chapters that the book does not have become words.
"""

from __future__ import annotations

import json
import re
from html import escape
from statistics import fmean
from typing import Any

from chapters import Chapter, anchors, chapters, without_removed
from docutils import nodes
from docutils.statemachine import StringList
from publish import wrap_words
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from resnet_edu import widgets
from resnet_edu.experiment import load_records
from resnet_edu.figures.style import (
    COLORS,
    DASHES,
    INK,
    WIDTHS,
    Look,
    Picture,
    label_ends,
    new_figure,
    set_steps,
    style,
)

NAMES = re.compile(r"(\b[A-Za-z]+-\d+\b)")  # of nets, such as plain-56


class _Pages(SphinxDirective):
    """What the directives share: Markdown and HTML to nodes."""

    def markdown(self, text: str) -> list[nodes.Node]:
        """Return the nodes of some Markdown; its links are resolved, and complained about, like the page's own."""
        holder = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), source=self.env.docname), self.content_offset, holder)
        return holder.children

    def html(self, text: str) -> list[nodes.Node]:
        """Return the node of some HTML."""
        return [nodes.raw("", text, format="html")]


class FourNets(_Pages):
    """The curves of the four nets, without their names."""

    def run(self) -> list[nodes.Node]:
        """Return the figure as HTML."""
        return self.html(four_nets()._repr_html_())


class LineKey(_Pages):
    """The colours and dashes of the figures."""

    def run(self) -> list[nodes.Node]:
        """Return the key as HTML."""
        return self.html(line_key())


class ExplorerOutput(_Pages):
    """An explorer, as a cell of a chapter would show it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return its table and its state as HTML."""
        return self.html(explorer_html(getattr(widgets, self.arguments[0])()))


class ChapterList(_Pages):
    """The question of each chapter."""

    def run(self) -> list[nodes.Node]:
        """Return a list of definitions."""
        return self.markdown(chapter_list(chapters()))


class ExerciseIndex(_Pages):
    """A section for each chapter: its exercises, and what they add up to."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [self.section(chapter) for chapter in chapters()]

    def section(self, chapter: Chapter) -> nodes.section:
        """Return the section of a chapter, with an address of its own."""
        title = f"{chapter.number}. {chapter.title}"
        section = nodes.section("", nodes.title(title, title), names=[nodes.fully_normalize_name(title)])
        self.state.document.note_implicit_target(section, section)
        section += self.markdown(exercise_table(chapter))
        return section


def link(chapter: Chapter, heading: str | None = None) -> str:
    """Return a Markdown link from a page in `book/` to a chapter, or to one of its headings."""
    anchor = f"#{anchors(chapter.text)[heading]}" if heading else ""
    return f"[{heading or chapter.title}](../{chapter.document}.ipynb{anchor})"


def four_nets(height: float = 4.2, title: str = "Mistakes on the images trained on") -> Picture:
    """Return the training errors of the study on digits, means of its seeds, each net a letter: a riddle."""
    letters = {"resnet20": "A", "plain56": "B", "plain20": "C", "resnet56": "D"}
    curves: dict[str, list[list[float]]] = {}
    for record in load_records("digits"):
        steps, errors = record.curve("train_error")
        curves.setdefault(letters[record.net], []).append(errors)
    with style():
        fig, (ax,) = new_figure(height)
        ends = []
        for letter in sorted(curves):
            means = [fmean(column) for column in zip(*curves[letter], strict=True)]
            ends += Look(INK, "-", 2).draw(ax, steps, means, letter)
        set_steps(ax, steps[-1])
        ax.set(ylim=(0, 100), ylabel="error (%)", xlabel="training steps", title=title)
        label_ends(ax, ends)
    return Picture(fig, "Four curves of training error over steps, A to D. Three fall to 0 quickly; B stays far above.")


def chapter_list(all_chapters: list[Chapter]) -> str:
    """Return a list of definitions in Markdown: the chapters, the question of each, and its minutes."""
    entries = []
    for chapter in all_chapters:
        minutes = f"{chapter.minutes} minutes to read, {chapter.exercise_minutes} of exercises"
        needs = [str(other.number) for other in all_chapters if other.document in chapter.needs]
        after = f"; after chapter{'s' * (len(needs) > 1)} {' and '.join(needs)}" if needs else ""
        entries.append(f"{link(chapter)}\n: {chapter.facts['question']} *Chapter {chapter.number}: {minutes}{after}.*")
    return "\n\n".join(entries)


def exercise_table(chapter: Chapter) -> str:
    """Return the exercises of a chapter as a Markdown table, and their minutes together."""
    lines = ["| exercise | level | min |", "|---|---|---:|"]
    for exercise in chapter.exercises:
        checkers = "".join(f" `check.{name}`" for name in exercise.checkers)
        extra = f" (and {exercise.extra})" if exercise.extra else ""
        lines.append(f"| {link(chapter, exercise.heading)}{extra}{checkers} | {exercise.level} | {exercise.minutes} |")
    lines.append(f"| **together** | | **{chapter.exercise_minutes}** |")
    return "\n".join(lines)


def explorer_html(explorer: widgets.base.Explorer) -> str:
    """Return what a built page holds of an explorer: its output as a cell's, and the state that it is mounted from."""
    state = json.dumps({explorer.model_id: {"state": explorer.get_state()}}, default=str).replace("</", "<\\/")
    return (
        f'<div class="cell"><div class="cell_output"><div class="output text_html">'
        f"{explorer._repr_mimebundle_()[0]['text/html']}</div></div></div>"
        f'<script type="application/vnd.jupyter.widget-state+json">{{"state": {state}}}</script>\n'
    )


def line_key() -> str:
    """Return sample lines with the colours, dashes and widths of the figures, as a list in HTML with inline SVG."""
    samples = [
        ("a plain network", COLORS["plain"], DASHES["plain"], 2),
        ("a residual network", COLORS["resnet"], DASHES["resnet"], 2),
        ("the shallowest network of a figure", "currentColor", "-", WIDTHS[0]),
        ("the deepest network of a figure", "currentColor", "-", WIDTHS[1]),
    ]
    rows = []
    for text, color, dash, points in samples:
        width = points * 96 / 72  # CSS pixels; the dashes are multiples of it
        gaps = [] if isinstance(dash, str) else [f"{d * width:.2f}" for d in dash[1]]
        pattern = f' stroke-dasharray="{" ".join(gaps)}"' if gaps else ""
        rows.append(
            '<li style="list-style:none"><svg xmlns="http://www.w3.org/2000/svg" width="60" height="12" '
            f'aria-hidden="true" style="margin-right:0.6em"><path d="M0 6H60" stroke="{color}" '
            f'stroke-width="{width:.2f}"{pattern}/></svg> {escape(text)}</li>'
        )
    return f'<ul style="padding-left:0">{"".join(rows)}</ul>\n'


class PlainAnchors(SphinxTransform):
    """Take the dots out of the anchors of terms: a script of the theme reads an anchor as a CSS selector, and fails."""

    default_priority = 500  # before Sphinx collects what its index links to

    def apply(self, **_: Any) -> None:
        """Rename them in the page, in its index entries, and where Sphinx looks up a term."""
        known = self.env.get_domain("std").data
        for term in self.document.findall(nodes.term):
            new = {name: name.replace(".", "-") for name in term["ids"]}
            term["ids"] = list(new.values())
            for index in term.findall(addnodes.index):
                index["entries"] = [(kind, text, new[name], *rest) for kind, text, name, *rest in index["entries"]]
            for table in (known["objects"], known["terms"]):
                found = {key: name for key, (page, name) in table.items() if page == self.env.docname and name in new}
                table.update({key: (self.env.docname, new[name]) for key, name in found.items()})


class WholeNames(SphinxTransform):
    """Put names such as plain-56 into spans that a line may not end in: browsers break after a hyphen."""

    default_priority = 800  # when the text is what it will be
    verbatim = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw, nodes.Invisible)

    def apply(self, **_: Any) -> None:
        """Split the texts of the page at its names."""
        wrap_words(self.document, NAMES, lambda name: nodes.inline("", name, classes=["whole-name"]), self.verbatim)


def remove_dead_links(app: Sphinx, document: str, source: list[str]) -> None:
    """Turn links to chapters that the book does not have into words, in what Sphinx reads."""
    source[0] = without_removed(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of it."""
    app.add_directive("four-nets", FourNets)
    app.add_directive("chapter-list", ChapterList)
    app.add_directive("exercise-index", ExerciseIndex)
    app.add_directive("line-key", LineKey)
    app.add_directive("explorer", ExplorerOutput)
    app.add_transform(PlainAnchors)
    app.add_transform(WholeNames)
    app.connect("source-read", remove_dead_links)
    return {"parallel_read_safe": True, "version": "1"}
