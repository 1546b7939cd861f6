"""The parts of a chapter, in their order: every chapter has them, so that a reader who knows one knows them all.

What they are is said in CONTRIBUTING.md ("Add a chapter"). A failing test lists all that is missing in a chapter, and
how to mend it. Facts, exercises and terms are read by `chapters.py`, which complains by itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from chapter_files import is_setup
from chapters import ROOT, Chapter, chapters
from tiny_chapter import tiny_chapter

CHAPTERS = chapters()
SOURCE = re.compile(r"\{cite:|\]\(https?://|github\.com/")
# Whoever trains offers the real thing on a GPU with one switch; whoever does not has no switch that does nothing.
TRAINS = re.compile(r"\bdegradation\.run\(|(?<![.\w])train\(")


def load(chapter: Chapter) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / f"{chapter.document}.ipynb", as_version=nbformat.NO_CONVERT)


def prose(cell: nbformat.NotebookNode) -> str:
    return cell.source if cell.cell_type == "markdown" else ""


def complaints(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yield what a chapter lacks, in the order of its parts."""
    cells = notebook.cells
    heads = [(i, title) for i, c in enumerate(cells) for title in re.findall(r"^## (.+)$", prose(c), re.M)]
    titles = [title for _, title in heads]
    yield from opening(cells, notebook.metadata.book)
    if [*titles[:1], *titles[-2:]] != ["The question", "Exercises", "To remember"] or len(set(titles)) < len(titles):
        yield f"`## The question` should come first, `## Exercises` and `## To remember` last, once each: {titles}"
        return
    yield from prediction(cells[heads[0][0] :])
    yield from switch([c for c in cells if c.cell_type == "code"])
    yield from misconceptions(cells, [i for i, _ in heads])
    text = "\n\n".join(map(prose, cells))
    body, _, end = text.rpartition("\n## To remember\n")
    yield from exercises(body.rpartition("\n## Exercises\n")[2])
    yield from closing(end)


def opening(cells: list, facts: dict) -> Iterator[str]:
    title = prose(cells[0])
    if not title.startswith("# "):
        yield "the first cell should be Markdown and begin with `# Title`"
    can = title.partition("After this chapter you can")[2].partition("**Time:**")[0]
    if len(re.findall(r"^- ", can, re.M)) != 3:
        yield "the title's cell should say `After this chapter you can` and then what, in three lines with `- `"
    time, _, need = title.partition("**Time:**")[2].partition("**You need:**")
    lacking = [word for word in (f"{facts['minutes']} minutes to read", "CPU", "GPU") if word not in time]
    if lacking:
        yield f"`**Time:**` in the title's cell lacks {', '.join(lacking)}"
    linked = re.findall(r"\]\((\d\d-[a-z0-9-]+)\.ipynb", need)
    if not need.strip() or sorted(linked) != sorted(facts["needs"]):
        yield f"`**You need:**` should end the title's cell, with links to {facts['needs']}; it has {linked}"
    if not is_setup(cells[1]):
        yield "the set-up cell should come right behind the title's cell: `make strip` writes it"


def prediction(cells: list) -> Iterator[str]:
    for cell in cells:
        if 'class="predict"' in prose(cell) or (cell.cell_type == "code" and re.search(r"^quiz\(", cell.source, re.M)):
            return
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            break
    yield (
        'below `## The question` should be a `<div class="predict">` or a cell with `quiz("...")`: a reader commits to '
        "an answer before anything is computed"
    )


def switch(code: list) -> Iterator[str]:
    at = [i for i, cell in enumerate(code) if re.search(r"^FULL = ", cell.source, re.M)]
    if not at and any(TRAINS.search(cell.source) for cell in code):
        yield "the chapter trains, so it should have a cell `FULL = False  # True, on a GPU: what it does, how long`"
    for i in at:
        cell = code[i]
        if "parameters" not in cell.metadata.get("tags", []) or not re.match(r"FULL = False  # .{10,}", cell.source):
            yield "`FULL = False  # True ...` should say what it does, in a cell of its own with the tag `parameters`"
        if len(at) > 1 or not any(re.search(r"\bFULL\b", later.source) for later in code[i + 1 :]):
            yield "`FULL` should be set once, and used"


def misconceptions(cells: list, heads: list[int]) -> Iterator[str]:
    boxes = [(i, m[1]) for i, c in enumerate(cells) for m in re.finditer(r'(?s)"misconception">(.*?)</div>', prose(c))]
    if not boxes:
        yield 'there should be a `<div class="misconception">`: what is often taught, and a run that tests it'
    for i, text in boxes:
        first = " ".join(text.split())[:60]
        if not SOURCE.search(text):
            yield f"the misconception {first!r} names no source: a citation or a link, inside the box"
        end = next((h for h in heads if h > i), len(cells))
        if not any(cell.cell_type == "code" for cell in cells[i + 1 : end]):
            yield f"behind the misconception {first!r} no cell runs before the next `##`: it should be put to a test"


def exercises(text: str) -> Iterator[str]:
    parts = re.split(r"^### ", text, flags=re.M)[1:]
    if not 3 <= len(parts) <= 5:
        yield f"there should be three to five exercises (`### 1. Title`); there are {len(parts)}"
    for number, part in enumerate(parts, start=1):
        name = f"exercise {number} ({part.partition(chr(10))[0]!r})"
        if not part.startswith(f"{number}. "):
            yield f"{name}: the heading should begin with `### {number}. `"
        if not re.search(r"<details><summary>Hint( 1)?</summary>\n\n", part):
            yield f"{name}: there should be a `<details><summary>Hint</summary>`, with an empty line behind it"
        if not re.search(r"check\.[a-z_]+\b", part.partition("<details>")[0]):
            yield f"{name}: it should name the checker that looks at the answer, above its hints"
        solutions = re.findall(r"<details><summary>Solution</summary>\n\n(.*?)\n\n</details>", part, re.S)
        if len(solutions) != 1 or not re.search(r"```python\n.*\bcheck\.\w+\(", solutions[0], re.S):
            yield f"{name}: there should be one `<details><summary>Solution</summary>` with code that calls the checker"


def closing(text: str) -> Iterator[str]:
    if re.findall(r"^(\d+)\. \S", text.partition("| term")[0], re.M) != list("12345"):
        yield "`## To remember` should have five lines, numbered from 1"
    rows = re.findall(r"^\|(.*)\|$", text, re.M)
    if not rows or not all(cell.strip() for row in rows for cell in row.split("|")):
        yield "a table `| term | in Chinese | meaning |` should follow, with no empty cell"
    if "{cite:" not in text.partition("**Further reading:**")[2]:
        yield "the chapter should end with `**Further reading:**` and citations"


# ---------------------------------------------------------------- the chapters


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: Path(chapter.document).name)
def test_a_chapter_has_its_parts(chapter: Chapter):
    found = list(complaints(load(chapter)))
    if found:
        pytest.fail(f"{chapter.document}:\n" + "\n".join(f"- {line}" for line in found), pytrace=False)
    assert chapter.exercises
    assert chapter.terms


# ---------------------------------------------------------------- the test can fail

SPOILT = [  # what is replaced in the source of a good chapter's cells, by what, and the complaint
    ("# A tiny", "A tiny", "begin with `# Title`"),
    ("- run it", "run it", "in three lines"),
    ("2 minutes to read", "25 minutes to read", "lacks 2 minutes to read"),
    ("**You need:** nothing", "**You need:** [it](02-two.ipynb)", r"it has \['02-two"),
    ("# Set-up", "# Start", "the set-up cell should come right behind"),
    ("## The question", "## A question", "should come first"),
    ("## A closer look", "## Exercises", "once each"),
    ("## To remember", "## What to keep", "should come first"),
    ('class="predict"', "", "before anything is computed"),
    ("FULL = False  #", "FULL = True  #", "with the tag `parameters`"),
    ("FULL = False  #", "full = False  #", "the chapter trains"),
    ("6 if FULL", "6 if 0", "set once, and used"),
    ('<div class="misconception">', "<div>", 'there should be a `<div class="misconception">`'),
    ("4.5 {cite:p}`he2016deep`", "so", "names no source"),
    ("<summary>Hint</summary>", "<summary>Help</summary>", "there should be a `<details><summary>Hint"),
    ("<summary>Solution</summary>", "<summary>Answer</summary>", "one `<details><summary>Solution"),
    ("### 3. ", "### 4. ", "should begin with `### 3. `"),
    ("Hand it to `check", "Hand it to `checked", "it should name the checker"),
    ("5. Five", "Five", "should have five lines"),
    ("| 残差块 |", "| |", "no empty cell"),
    ("**Further reading:**", "**Read on:**", "should end with `\\*\\*Further reading:"),
]


@pytest.mark.parametrize(("old", "new", "message"), SPOILT, ids=lambda text: " ".join(text.split())[:25])
def test_a_part_that_is_missing_is_found_out(old: str, new: str, message: str):
    good = tiny_chapter()
    assert list(complaints(good)) == []
    for cell in good.cells:
        cell.source = cell.source.replace(old, new)
    assert any(re.search(message, line) for line in complaints(good)), list(complaints(good))
