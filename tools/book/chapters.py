"""What the chapters say about themselves: title, reading time, what each needs, exercises, glossary rows.

Scope: the Markdown of the notebooks, read and checked; nothing is run. `book_pages.py` makes pages of it, and tests
hold the pages to it, so that no page repeats by hand what a chapter says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from make_site import ROOT, toc_documents
from myst_parser.mdit_to_docutils.base import default_slugify

LEVELS = ("easy", "medium", "harder")


class ChapterError(ValueError):
    """A chapter lacks what its frame asks for; the message names the chapter, the rule and an example."""


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
    """One chapter, as its Markdown has it.

    document: its name in `_toc.yml`, such as notebooks/01-deeper-is-not-better.
    text:     all Markdown cells, a blank line between two.
    """

    document: str
    text: str

    @property
    def number(self) -> int:
        """The number in the file's name, which is the number in the book."""
        return int(self.document.rpartition("/")[2][:2])

    @property
    def title(self) -> str:
        """The text of the first heading."""
        return headings(self.text)[0][1]

    @property
    def minutes(self) -> int:
        """The minutes that the chapter takes to read, by its own words."""
        found = re.search(r"\*\*Time:\*\* (\d+) minutes to read", self.text)
        if not found:
            raise self._lacks("its reading time", "**Time:** 20 minutes to read, ...")
        return int(found[1])

    @property
    def needs(self) -> tuple[str, ...]:
        """The documents of the chapters that it links to where it says what it needs."""
        found = re.search(r"\*\*You need:\*\*(.+)", self.text)
        if not found:
            raise self._lacks("what it needs", "**You need:** [chapter 1](01-deeper-is-not-better.ipynb)")
        return tuple(f"notebooks/{name}" for name in re.findall(r"\]\((\d\d-[a-z0-9-]+)\.ipynb", found[1]))

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
        return ChapterError(f"{self.document} does not say {what}: expected {example}")


def read(document: str, root: Path = ROOT) -> Chapter:
    """Return the chapter of this name."""
    cells = json.loads((root / f"{document}.ipynb").read_text(encoding="utf-8"))["cells"]
    return Chapter(document, "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"))


def chapters(root: Path = ROOT) -> list[Chapter]:
    """Return the chapters of the book, in the order of the table of contents."""
    return [read(name, root) for name in toc_documents(root / "_toc.yml") if name.startswith("notebooks/")]


def anchors(markdown: str) -> dict[str, str]:
    """Return heading -> the name by which it can be linked to, as MyST makes it; of equal headings, the first's."""
    found: dict[str, str] = {}
    for _, text in headings(markdown):
        plain = re.sub(r"[*`]", "", text)
        found.setdefault(text, _unused(default_slugify(plain), set(found.values())))
    return found


def headings(markdown: str) -> list[tuple[int, str]]:
    """Return (level, text) of all headings; a # in fenced code is a comment and none of them."""
    prose = re.sub(r"^(`{3,}|~{3,}).*?^\1`*\s*$", "", markdown, flags=re.M | re.S)
    return [(len(marks), text.strip()) for marks, text in re.findall(r"^(#{1,6}) (.+)$", prose, flags=re.M)]


def _unused(name: str, used: set[str]) -> str:
    number = 1
    while name in used:
        name, number = f"{name}-{number}", number + 1
    return name
