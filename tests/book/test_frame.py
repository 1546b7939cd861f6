"""The parts of a chapter, in their order: every chapter has them, so that a reader who knows one knows them all.

What they are is said in CONTRIBUTING.md ("Add a chapter"). A failing test lists all that is missing in a chapter, and
how to mend it.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = range(3, 6)
REMEMBER = 5
SOURCE = re.compile(r"\{cite:|\]\(https?://|github\.com/")
# Whoever trains offers the real thing on a GPU with one switch; whoever does not has no switch that does nothing.
TRAINS = re.compile(r"\bdegradation\.run\(|(?<![.\w])train\(")


def load(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def complaints(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yield what a chapter lacks, in the order of its parts."""
    cells = notebook.cells
    heads = [(i, title) for i, c in enumerate(cells) for title in re.findall(r"^## (.+)$", prose(c), re.M)]
    titles = [title for _, title in heads]
    yield from opening(cells)
    for title in ("The question", "Exercises", "To remember"):
        if titles.count(title) != 1:
            yield f"there should be one heading `## {title}`, and there are {titles.count(title)}"
            return
    if titles[0] != "The question":
        yield f"`## The question` should be the first of its level, but `## {titles[0]}` is"
    if titles[-2:] != ["Exercises", "To remember"]:
        yield f"the last two headings should be `## Exercises` and `## To remember`, but they are {titles[-2:]}"
    where = {title: i for i, title in heads}
    if not where["The question"] < where["Exercises"] < where["To remember"]:
        yield "the parts are not in order: the question, the body, exercises, what to remember"
        return
    yield from prediction(cells, where["The question"])
    yield from switch(cells)
    yield from misconceptions(cells, [i for i, _ in heads])
    yield from exercises("\n\n".join(prose(c) for c in cells[where["Exercises"] : where["To remember"]]))
    yield from closing("\n\n".join(prose(c) for c in cells[where["To remember"] :]))


def prose(cell: nbformat.NotebookNode) -> str:
    return cell.source if cell.cell_type == "markdown" else ""


def opening(cells: list) -> Iterator[str]:
    title = prose(cells[0])
    if not title.startswith("# "):
        yield "the first cell should be Markdown and begin with `# Title`"
    can = title.partition("After this chapter you can")[2].partition("**Time:**")[0]
    bullets = re.findall(r"^- (.+)$", can, re.M)
    if len(bullets) != 3 or not bullets[-1].endswith("."):
        yield (
            "the title's cell should say `After this chapter you can` and then what, in three lines that begin with "
            f"`- `, the last with a full stop; it has {len(bullets)}"
        )
    time = title.partition("**Time:**")[2].partition("**You need:**")[0]
    lacking = [word for word in ("minutes to read", "CPU", "GPU") if word not in time]
    if lacking:
        yield f"`**Time:**` in the title's cell should name reading, CPU and GPU; it lacks {', '.join(lacking)}"
    if not title.partition("**You need:**")[2].strip():
        yield "the title's cell should end with `**You need:**` and what a reader should know before"
    if cells[1].cell_type != "code":
        yield "the set-up cell should come right behind the title's cell (`python book/setup_cell.py` writes it)"


def prediction(cells: list, question: int) -> Iterator[str]:
    for cell in cells[question:]:
        if 'class="predict"' in prose(cell) or (cell.cell_type == "code" and re.search(r"^quiz\(", cell.source, re.M)):
            return
        if cell.cell_type == "code" and not cell.source.startswith("FULL = "):
            break
    yield (
        'below `## The question` should be a `<div class="predict">` or a cell with `quiz("...")`, before anything is '
        "computed: a reader commits to an answer first"
    )


def switch(cells: list) -> Iterator[str]:
    code = [c.source for c in cells if c.cell_type == "code"]
    at = [i for i, source in enumerate(code) if re.search(r"^FULL = ", source, re.M)]
    if not at and any(TRAINS.search(source) for source in code):
        yield "the chapter trains, so it should have a line `FULL = False  # True, on a GPU: what it does, how long`"
    if len(at) > 1:
        yield f"`FULL = ...` is set in {len(at)} cells; one is enough"
    if at and not re.search(r"^FULL = False  # .{10,}", code[at[0]], re.M):
        yield "the switch should read `FULL = False  # True ...`, with a comment that says what it does"
    if at and not any(re.search(r"\bFULL\b(?! =)", source) for source in code[at[0] :]):
        yield "`FULL` is set and never used: a switch that does nothing"


def misconceptions(cells: list, heads: list[int]) -> Iterator[str]:
    boxes = [i for i, cell in enumerate(cells) if '<div class="misconception">' in prose(cell)]
    if not boxes:
        yield 'there should be a `<div class="misconception">`: what is often taught, and a run that tests it'
    for i in boxes:
        box = re.search(r'<div class="misconception">(.*?)</div>', prose(cells[i]), re.S)
        text = box[1] if box else ""
        first = " ".join(text.split())[:60]
        if not SOURCE.search(text):
            yield f"the misconception {first!r} names no source: a citation or a link, inside the box"
        end = next((h for h in heads if h > i), len(cells))
        if not any(cell.cell_type == "code" for cell in cells[i + 1 : end]):
            yield f"behind the misconception {first!r} no cell runs before the next `##`: it should be put to a test"


def exercises(text: str) -> Iterator[str]:
    parts = re.split(r"^### ", text, flags=re.M)[1:]
    if len(parts) not in EXERCISES:
        yield f"there should be {EXERCISES[0]} to {EXERCISES[-1]} exercises (`### 1. Title`); there are {len(parts)}"
    for number, part in enumerate(parts, start=1):
        title, _, rest = part.partition("\n")
        name = f"exercise {number} ({title!r})"
        if not re.match(rf"{number}\. \S", title):
            yield f"{name}: the heading should begin with `### {number}. `"
        if not re.match(r"\s*\*(easy|medium|harder), \d+ minutes[^*]*\*\s*$", rest.lstrip("\n").partition("\n")[0]):
            yield f"{name}: right below the heading should stand `*easy, 5 minutes*` (easy, medium or harder)"
        if not re.search(r"<details><summary>Hint( 1)?</summary>\n\n", rest):
            yield f"{name}: there should be a `<details><summary>Hint</summary>`, with an empty line behind it"
        if not re.search(r"check\.[a-z_]+\b", rest.partition("<details>")[0]):
            yield f"{name}: it should name the checker that looks at the answer, above its hints"
        solutions = re.findall(r"<details><summary>Solution</summary>\n\n(.*?)\n\n</details>", rest, re.S)
        if len(solutions) != 1:
            yield f"{name}: there should be one `<details><summary>Solution</summary>`, with empty lines around it"
        elif not re.search(r"```python\n.*\bcheck\.\w+\(", solutions[0], re.S):
            yield f"{name}: the solution should have code, which the checker accepts"


def closing(text: str) -> Iterator[str]:
    lines = re.findall(r"^(\d+)\. \S", text.partition("| term")[0], re.M)
    if lines != [str(n) for n in range(1, REMEMBER + 1)]:
        yield f"`## To remember` should have {REMEMBER} lines, numbered from 1; it has {', '.join(lines) or 'none'}"
    table = re.search(r"^\| term \| in Chinese \| meaning \|\n\|[-|]+\|\n((?:\|.*\|\n?)+)", text, re.M)
    if not table:
        yield "a table `| term | in Chinese | meaning |` should follow, with the chapter's terms"
    for row in table[1].splitlines() if table else []:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) != 3 or not all(cells):
            yield f"the row {row!r} of the table of terms should have three cells, none of them empty"
    if "{cite:" not in text.partition("**Further reading:**")[2]:
        yield "the chapter should end with `**Further reading:**` and citations"


# ---------------------------------------------------------------- the chapters


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_has_its_parts(path: Path):
    found = list(complaints(load(path)))
    if found:
        pytest.fail(f"{path.name}:\n" + "\n".join(f"- {line}" for line in found), pytrace=False)


def test_the_set_up_cell_is_the_same_everywhere():
    texts = {load(path).cells[1].source for path in NOTEBOOKS}
    assert len(texts) == 1, "the set-up cells differ: run `python book/setup_cell.py`\n\n" + "\n---\n".join(texts)


# ---------------------------------------------------------------- the test can fail

GOOD = next(path for path in NOTEBOOKS if path.stem.startswith("04-"))
SPOILT = [  # what is replaced in the source of a good chapter's cells, by what, and the complaint
    ("# From VGG", "## From VGG", "begin with `# Title`"),
    ("\n- check a claim", "\nand check a claim", "in three lines that begin with"),
    ("GPU", "graphics card", "it lacks GPU"),
    ("**You need:**", "**Needed:**", "should end with `**You need:**`"),
    ("## The question", "## A question", "one heading `## The question`"),
    ("## Two design rules", "## Exercises", "one heading `## Exercises`, and there are 2"),
    ("## To remember", "## What to keep", "one heading `## To remember`"),
    ('quiz("vgg-or-34")', "1 + 1", "a reader commits to an answer first"),
    ('<div class="misconception">', "<div>", 'there should be a `<div class="misconception">`'),
    ("count_filters(t):", "count_filters(t):\n    degradation.run()", "the chapter trains"),
    ("count_filters(t):", "count_filters(t):\n    pass\nFULL = False  # True on a GPU", "never used"),
    ("*easy, 5 minutes*", "*simple, 5 minutes*", "right below the heading"),
    (
        "<details><summary>Hint</summary>",
        "<details><summary>Help</summary>",
        "there should be a `<details><summary>Hint",
    ),
    ("<summary>Solution</summary>", "<summary>Answer</summary>", "one `<details><summary>Solution"),
    ('check.answer("4.3", net=net', 'print("4.3", net', "code, which the checker accepts"),
    ("### 2. A network", "### 3. A network", "should begin with `### 2. `"),
    ("check.answer", "checked.answer", "it should name the checker"),
    ("\n5. From plain-34", "\nFrom plain-34", "should have 5 lines"),
    ("| in Chinese |", "| 中文 |", "should follow, with the chapter's terms"),
    ("| 设计规则 |", "|  |", "three cells, none of them empty"),
    ("**Further reading:**", "**Read on:**", "should end with `**Further reading:**`"),
]


@pytest.mark.parametrize(("old", "new", "message"), SPOILT, ids=lambda text: " ".join(text.split())[:25])
def test_a_part_that_is_missing_is_found_out(old: str, new: str, message: str):
    spoilt = copy.deepcopy(load(GOOD))
    assert any(old in cell.source for cell in spoilt.cells), f"{old!r} no longer stands in {GOOD.name}"
    for cell in spoilt.cells:
        cell.source = cell.source.replace(old, new)
    assert any(message in line for line in complaints(spoilt)), list(complaints(spoilt))


def test_parts_in_another_order_are_found_out():
    spoilt = load(GOOD)
    spoilt.cells = [spoilt.cells[0], *reversed(spoilt.cells[1:])]
    assert any("should be the first" in line for line in complaints(spoilt))
