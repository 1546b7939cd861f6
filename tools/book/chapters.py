"""What the chapters say about themselves: facts in the notebook's metadata, exercises and terms in its Markdown.

Nothing is run. `book_pages.py` makes the list of chapters and the index of exercises from it. A chapter's facts
stand under `book` in the metadata of its notebook, where JupyterLab keeps them (Property Inspector, Advanced Tools):

    "book": {"minutes": 20, "needs": ["01-deeper-is-not-better"], "question": "..."}

minutes   to read it, without exercises and without runs.
needs     the chapters to read before, by the names of their files; one that is not in the book is left out.
question  what it answers, for the introduction.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from myst_parser.mdit_to_docutils.base import default_slugify

ROOT = Path(__file__).resolve().parent.parent.parent
LEVELS = ("easy", "medium", "harder")
FACTS = {"minutes": int, "needs": list, "question": str}


class ChapterError(ValueError):
    """A chapter lacks something; the message names the chapter and gives an example."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter.

    heading:    as it stands in the chapter, with its number.
    level:      one of `LEVELS`.
    minutes:    of work; what a computer needs on top is in `extra`, in words, or "".
    checkers:   names in `resnet_edu.check` that its text or its solution calls.
    """

    heading: str
    level: str
    minutes: int
    extra: str
    checkers: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    document: its name in `_toc.yml`, such as notebooks/01-deeper-is-not-better.
    number:   its place among the chapters, from 1.
    text:     all Markdown cells, a blank line between two.
    facts:    the metadata under `book`: see above.
    """

    document: str
    number: int
    text: str
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        wrong = [name for name, kind in FACTS.items() if type(self.facts.get(name)) is not kind]
        if wrong:
            raise self._lacks(", ".join(wrong), '"book": {"minutes": 20, "needs": [], "question": "..."}')

    @property
    def title(self) -> str:
        """The text of the first heading."""
        return headings(self.text)[0][1]

    @property
    def minutes(self) -> int:
        """The minutes that it takes to read."""
        return self.facts["minutes"]

    @property
    def needs(self) -> list[str]:
        """The documents of the chapters to read before."""
        return [f"notebooks/{name}" for name in self.facts["needs"]]

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        """Its exercises, in order."""
        section = re.search(r"^## Exercises$(.*?)(?=^## |\Z)", self.text, re.M | re.S)
        if not section:
            raise self._lacks("exercises", "a section `## Exercises`")
        found = []
        for part in re.split(r"^### ", section[1], flags=re.M)[1:]:
            heading, _, body = part.partition("\n")
            line = re.match(rf"\s*\*({'|'.join(LEVELS)}), (\d+) minutes?(?:,? and|,)?(.*)\*\s*$", body, re.M)
            if not line:
                raise self._lacks(f"level and minutes of the exercise {heading!r}", "*medium, 10 minutes* below it")
            checkers = dict.fromkeys(re.findall(r"\bcheck\.([a-z_]+)", body))
            found.append(Exercise(heading.strip(), line[1], int(line[2]), line[3].strip(), tuple(checkers)))
        return tuple(found)

    @property
    def exercise_minutes(self) -> int:
        """The minutes of all its exercises together."""
        return sum(exercise.minutes for exercise in self.exercises)

    @property
    def terms(self) -> list[tuple[str, str]]:
        """(term, in Chinese) of each row of its glossary table, synonyms separated by commas."""
        table = re.search(r"^\| *term *\| *in Chinese *\|.*\n\|[-| :]+\n((?:\|.*\n?)+)", self.text, re.M)
        if not table:
            raise self._lacks("its table of terms", "| term | in Chinese | meaning |")
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:3]] for row in table[1].splitlines()]
        return [(term, chinese) for term, chinese in rows]

    def _lacks(self, what: str, example: str) -> ChapterError:
        return ChapterError(f"{self.document} lacks {what}: expected {example}")


def toc_documents(root: Path = ROOT) -> list[str]:
    """Return every document of the table of contents, the root first, without suffix."""
    return list(_documents((root / "_toc.yml").read_text(encoding="utf-8")))


@cache  # it is asked for at each cell of text
def _documents(contents: str) -> tuple[str, ...]:
    """Return the documents of a table of contents, which is YAML."""

    def walk(node: object) -> list[str]:
        if isinstance(node, list):
            return [name for item in node for name in walk(item)]
        if isinstance(node, dict):
            own = [node[key] for key in ("root", "file") if key in node]
            return own + [name for value in node.values() for name in walk(value)]
        return []

    return tuple(walk(yaml.safe_load(contents)))


def chapters(root: Path = ROOT) -> list[Chapter]:
    """Return the chapters of the book, in the order of the table of contents."""
    names = [name for name in toc_documents(root) if name.startswith("notebooks/")]
    found = []
    for number, name in enumerate(names, 1):
        notebook = json.loads((root / f"{name}.ipynb").read_text(encoding="utf-8"))
        text = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
        found.append(Chapter(name, number, "\n\n".join(text), notebook["metadata"].get("book", {})))
    return found


def anchors(markdown: str) -> dict[str, str]:
    """Return heading -> the name by which it can be linked to, as MyST makes it; of equal headings, the first's."""
    found: dict[str, str] = {}
    for _, text in headings(markdown):
        name = plain = default_slugify(re.sub(r"[*`]", "", text))
        number = 0
        while name in found.values():
            number += 1
            name = f"{plain}-{number}"
        found.setdefault(text, name)
    return found


def headings(markdown: str) -> list[tuple[int, str]]:
    """Return (level, text) of all headings; a # in fenced code is a comment and none of them."""
    prose = re.sub(r"^(`{3,}|~{3,}).*?^\1`*\s*$", "", markdown, flags=re.M | re.S)
    return [(len(marks), text.strip()) for marks, text in re.findall(r"^(#{1,6}) (.+)$", prose, flags=re.M)]


def without_removed(text: str, root: Path = ROOT) -> str:
    """Return Markdown in which links to chapters that the book does not have are words: a fork may leave some out.

    They are known by the number in the file's name: a link to another name with a number that is there stays, and is
    complained of by Sphinx.
    """
    numbers = {name[10:12] for name in toc_documents(root) if name.startswith("notebooks/")}

    def plain(match: re.Match[str]) -> str:
        return match[0] if match[2] in numbers else match[1]

    return re.sub(r"\[([^\[\]]+)\]\((?:\.\./notebooks/)?(\d\d)-[a-z0-9-]+\.ipynb[^)\s]*\)", plain, text)
