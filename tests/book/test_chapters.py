"""What pages of the book say about its chapters is made from the chapters: map, list, plan and index of exercises."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
import yaml
from book_pages import chapter_list, course_plan, exercise_table, line_key
from chapter_map import chapter_map, needed
from chapters import ROOT, Chapter, ChapterError, anchors, chapters, without_removed
from tiny_chapter import tiny_chapter

from resnet_edu import check
from resnet_edu.figures.style import COLORS, DASHES

CHAPTERS = chapters()
FACTS = {"minutes": 20, "needs": ["02-two"], "question": "What is *b*?", "about": "All of $b$."}
FRAME = """# A title

```python
# no heading
```

## Exercises

### 1. A `b`

*easy, 5 minutes and two minutes to run*

<details><summary>Solution</summary>

check.plain_block(A), check.plain_block(B)

</details>

### 2. C

*harder, 10 minutes*

## To remember

| term | in Chinese | meaning |
|---|---|---|
| one, two | 一, 二 | numbers |
"""
THREE = Chapter("notebooks/03-three", 3, FRAME, FACTS)


def test_a_chapter_is_read():
    assert (THREE.title, THREE.minutes, THREE.needs) == ("A title", 20, ["notebooks/02-two"])
    assert THREE.terms == [("one, two", "一, 二")]
    assert [(e.heading, e.level, e.minutes, e.extra, e.checkers) for e in THREE.exercises] == [
        ("1. A `b`", "easy", 5, "two minutes to run", ("plain_block",)),
        ("2. C", "harder", 10, "", ()),
    ]
    assert THREE.exercise_minutes == 15
    assert anchors(FRAME)["1. A `b`"] == "1-a-b"


@pytest.mark.parametrize(
    ("part", "said"), [("## Exercises", "exercises"), ("*harder, 10 minutes*", "'2. C'"), ("| in Chinese ", "terms")]
)
def test_what_a_chapter_lacks_is_named(part: str, said: str):
    chapter = Chapter("notebooks/03-three", 3, FRAME.replace(part, "?"), FACTS)
    with pytest.raises(ChapterError, match=f"notebooks/03-three.*{re.escape(said)}"):
        _ = chapter.exercises, chapter.terms


@pytest.mark.parametrize("changes", [{"minutes": "20"}, {"needs": "02-two"}, {"question": None}, {"about": 3}])
def test_a_fact_that_is_wrong_or_missing_is_named(changes: dict):
    (name,) = changes
    with pytest.raises(ChapterError, match=f"notebooks/03-three lacks {name}"):
        Chapter("notebooks/03-three", 3, FRAME, FACTS | changes)


# ---------------------------------------------------------------- what is made of them


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table's body."""
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()[2:]]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: Path(chapter.document).name)
def test_index_has_every_exercise_and_its_checkers_exist(chapter: Chapter):
    *rows, total = cells(exercise_table(chapter))
    text = (ROOT / f"{chapter.document}.ipynb").read_text(encoding="utf-8")
    assert len(rows) == text.count('"### ', text.index("## Exercises"))
    assert int(total[-1].strip("*")) == sum(int(row[-1]) for row in rows)
    for row in rows:
        assert re.search(r"ipynb#([^)]+)\)", row[0])[1] in anchors(chapter.text).values()
    assert {name for exercise in chapter.exercises for name in exercise.checkers} <= set(check.__all__)


def test_index_list_and_plan_of_a_chapter():
    first, second, _ = cells(exercise_table(THREE))
    link = "[1. A `b`](../notebooks/03-three.ipynb#1-a-b) (and two minutes to run) `check.plain_block`"
    assert first == [link, "easy", "5"]
    assert second == ["[2. C](../notebooks/03-three.ipynb#2-c)", "harder", "10"]
    assert chapter_list([THREE]) == "[A title](../notebooks/03-three.ipynb)\n: All of $b$."
    assert cells(course_plan([THREE, THREE])) == [
        ["1", "[A title](../notebooks/03-three.ipynb)", "20", "15", "35"],
        ["2", "[A title](../notebooks/03-three.ipynb)", "20", "15", "35"],
        ["", "**minutes**", "**40**", "**30**", "**70**"],
    ]


def chapters_that_need(*needs: str) -> list[Chapter]:
    """Made-up chapters 1, 2, ... and what each needs: "12" is chapters 1 and 2."""
    return [
        Chapter(f"notebooks/{n}", n, f"# Title {n}", FACTS | {"needs": list(need)}) for n, need in enumerate(needs, 1)
    ]


def test_map_leaves_out_arrows_that_a_longer_way_says_as_well():
    assert needed(chapters_that_need("", "1", "12", "3", "23")) == [(0, 1), (1, 2), (2, 3), (2, 4)]
    assert needed(chapters_that_need("", "", "12")) == [(0, 2), (1, 2)]
    assert needed(chapters_that_need("", "18")) == [(0, 1)]  # 8 is not in the book
    with pytest.raises(ValueError, match="notebooks/2 says that it needs itself or a later chapter"):
        needed(chapters_that_need("", "3", ""))


def test_map_is_a_drawing_that_is_told_in_words():
    drawn = chapter_map(chapters_that_need("", "1", "1", "23"))
    svg = ElementTree.fromstring(drawn[drawn.index("<svg") : drawn.index("</svg>") + 6])
    name = "{http://www.w3.org/2000/svg}"
    boxes = [{k: float(box.get(k)) for k in ("x", "y", "width", "height")} for box in svg.iter(f"{name}rect")]
    assert len(boxes) == 4
    for above, below in itertools.pairwise(boxes):
        assert above["y"] + above["height"] + 10 < below["y"]
    _, _, width, height = map(float, svg.get("viewBox").split())
    assert all(box["x"] > 0 and box["x"] + box["width"] <= width for box in boxes)
    assert all(float(text.get("y")) < height for text in svg.iter(f"{name}text"))
    assert len(list(svg.iter(f"{name}path"))) == 2 * 4  # an arrow is a line and a tip: 1 to 2, 1 to 3, 2 and 3 to 4
    assert svg.get("role") == "img"
    for said in ("Chapter 1, Title 1, needs none before it.", "Chapter 4, Title 4, needs chapter 2 and 3. What is"):
        assert said in svg.get("aria-label")
    lanes = re.findall(r'd="M[\d.]+ [\d.]+H([\d.]+)V', chapter_map(chapters_that_need("", "1", "1", "1", "1")))
    assert len(lanes) == len(set(lanes)) == 3  # arrows that overlap have lanes of their own


def test_key_has_the_colours_and_dashes_of_the_figures():
    lines = re.findall(r"<path[^>]*>", line_key())
    for line, name in zip(lines, ("plain", "resnet"), strict=False):
        assert COLORS[name] in line
        assert ("dasharray" in line) == (DASHES[name] != "-")
    assert ["currentColor" in line for line in lines] == [False, False, True, True]


# ---------------------------------------------------------------- a chapter more, a chapter less


def copy_of_the_book(folder: Path) -> Path:
    """Copy what the build reads."""
    for name in ("book", "notebooks", "tools/book"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_toc.yml", "_config.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def add_and_remove(book: Path) -> Chapter:
    """Add a tiny chapter and take out one that another needs: touch these two notebooks and _toc.yml alone."""
    gone = next(c for c in CHAPTERS if any(c.document in other.needs for other in CHAPTERS) and c is not CHAPTERS[0])
    line = f"      - file: {CHAPTERS[-1].document}\n"
    toc = (book / "_toc.yml").read_text()
    assert line in toc
    toc = toc.replace(line, f"{line}      - file: notebooks/98-tiny\n").replace(f"      - file: {gone.document}\n", "")
    (book / "_toc.yml").write_text(toc)
    (book / f"{gone.document}.ipynb").unlink()
    needs = [CHAPTERS[-1].document.partition("/")[2], gone.document.partition("/")[2]]
    nbformat.write(tiny_chapter(*needs), book / "notebooks" / "98-tiny.ipynb")
    return gone


def test_what_is_made_of_the_chapters_follows_them(tmp_path: Path):
    book = copy_of_the_book(tmp_path)
    gone = add_and_remove(book)
    now = chapters(book)
    assert [c.document for c in now] == [c.document for c in CHAPTERS if c != gone] + ["notebooks/98-tiny"]
    assert [c.number for c in now] == list(range(1, len(now) + 1))
    for made in (chapter_map(now), chapter_list(now), course_plan(now)):
        assert "A tiny chapter" in made
        assert gone.title not in made
    assert (len(now) - 2, len(now) - 1) in needed(now)
    there = "[e](98-tiny.ipynb#f) [g](98-misspelt.ipynb)"
    links = f"[a `b`](../{gone.document}.ipynb#c), [d]({gone.document.partition('/')[2]}.ipynb) {there}"
    assert without_removed(links, book) == f"a `b`, d {there}"


@pytest.mark.slow
def test_the_book_builds_without_a_warning_after_a_chapter_is_added_and_one_removed(tmp_path: Path):
    """And one setting gives every chapter its buttons. For a book without it: see the links in test_site.py."""
    book = copy_of_the_book(tmp_path)
    gone = add_and_remove(book)
    config = yaml.safe_load((book / "_config.yml").read_text())
    config["repository"] = {"url": "https://github.com/ada/nets", "branch": "course"}
    (book / "_config.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, book / "tools/book/make_site.py", "--text"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    site = book / "_build" / "html"
    pages = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert f"{gone.document}.html" not in pages
    assert not [name for name, text in pages.items() if f"{Path(gone.document).name}.html" in text]
    intro, index = pages["book/intro.html"], pages["book/exercises.html"]
    assert f"Chapter {len(CHAPTERS)}, A tiny chapter, needs chapter {len(CHAPTERS) - 1}. What is tiny?" in intro
    assert "The <em>least</em> of chapters." in intro
    assert 'href="../notebooks/98-tiny.html#a-step-more"' in index or "98-tiny.html#" in index
    head = pages["notebooks/98-tiny.html"].partition('<article class="bd-article"')[0]
    assert 'href="https://colab.research.google.com/github/ada/nets/blob/course/notebooks/98-tiny.ipynb"' in head
    assert 'href="https://github.com/ada/nets"' in head
    stored = json.loads((site / "_sources/notebooks/98-tiny.ipynb").read_text())
    assert stored["metadata"]["book"]["minutes"] == 2
