"""What pages of the book say about its chapters is made from the chapters and the records: list, index, figure."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import nbformat
import pytest
import yaml
from book_pages import chapter_list, exercise_table, four_nets, line_key
from chapters import ROOT, Chapter, ChapterError, anchors, chapters, without_removed
from tiny_chapter import tiny_chapter

from resnet_edu import check, load_records
from resnet_edu.figures.style import COLORS, DASHES

CHAPTERS = chapters()
FACTS = {"minutes": 20, "needs": ["02-two"], "question": "What is *b*?"}
FRAME = """# A title

```python
# no heading
```

## Exercises

### 1. A `b`

*easy, 5 minutes and two minutes to run*

<details><summary>Solution</summary>

check.residual_block(A), check.residual_block(B)

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
        ("1. A `b`", "easy", 5, "two minutes to run", ("residual_block",)),
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


@pytest.mark.parametrize("changes", [{"minutes": "20"}, {"needs": "02-two"}, {"question": None}])
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


def test_index_and_list_of_a_chapter():
    first, second, _ = cells(exercise_table(THREE))
    link = "[1. A `b`](../notebooks/03-three.ipynb#1-a-b) (and two minutes to run) `check.residual_block`"
    assert first == [link, "easy", "5"]
    assert second == ["[2. C](../notebooks/03-three.ipynb#2-c)", "harder", "10"]
    two = Chapter("notebooks/02-two", 2, FRAME, FACTS | {"needs": ["01-removed"]})
    minutes = "20 minutes to read, 15 of exercises"
    assert chapter_list([two, THREE]) == (
        f"[A title](../notebooks/02-two.ipynb)\n: What is *b*? *Chapter 2: {minutes}.*\n\n"
        f"[A title](../notebooks/03-three.ipynb)\n: What is *b*? *Chapter 3: {minutes}; after chapter 2.*"
    )


def test_the_riddle_shows_the_four_nets_and_names_none():
    picture = four_nets()
    (ax,) = picture.fig.axes
    ends = {line.get_label(): line.get_ydata()[-1] for line in ax.lines if line.get_label() in "ABCD"}
    finals = {}
    for record in load_records("digits"):
        finals.setdefault(record.net, []).append(record.final["train_error"])
    assert sorted(ends.values()) == pytest.approx(sorted(fmean(errors) for errors in finals.values()))
    assert max(ends, key=ends.get) == "B"
    assert not re.search("plain|residual|resnet(?!-figure)", picture._repr_html_(), re.I)


def test_key_has_the_colours_and_dashes_of_the_figures():
    lines = re.findall(r"<path[^>]*>", line_key())
    for line, name in zip(lines, ("plain", "resnet"), strict=False):
        assert COLORS[name] in line
        assert ("dasharray" in line) == (DASHES[name] != "-")
    assert ["currentColor" in line for line in lines] == [False, False, True, True]


# ---------------------------------------------------------------- a chapter more, a chapter less


def copy_of_the_book(folder: Path) -> Path:
    """Copy what the build reads."""
    for name in ("book", "notebooks", "resnet_edu", "tools/book"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_toc.yml", "_config.yml", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def add_and_remove(book: Path) -> list[Chapter]:
    """Add a tiny chapter and take out all but two, one of which needs others: touch these and _toc.yml alone."""
    _, *gone, last = CHAPTERS
    documents = {chapter.document for chapter in gone}
    assert documents & set(last.needs)
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    for part in toc["parts"]:
        part["chapters"] = [page for page in part["chapters"] if page["file"] not in documents]
        if {"file": last.document} in part["chapters"]:
            part["chapters"].append({"file": "notebooks/98-tiny"})
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    for document in documents:
        (book / f"{document}.ipynb").unlink()
    needs = [chapter.document.partition("/")[2] for chapter in (last, gone[0])]
    nbformat.write(tiny_chapter(*needs), book / "notebooks" / "98-tiny.ipynb")
    return gone


def test_what_is_made_of_the_chapters_follows_them(tmp_path: Path):
    book = copy_of_the_book(tmp_path)
    gone = add_and_remove(book)
    now = chapters(book)
    assert [c.document for c in now] == [CHAPTERS[0].document, CHAPTERS[-1].document, "notebooks/98-tiny"]
    assert [c.number for c in now] == [1, 2, 3]
    assert "A tiny chapter" in chapter_list(now)
    assert not [chapter for chapter in gone if chapter.title in chapter_list(now)]
    assert chapter_list(now).endswith("; after chapter 2.*")
    there = "[e](98-tiny.ipynb#f) [g](98-misspelt.ipynb)"
    document = gone[0].document
    links = f"[a `b`](../{document}.ipynb#c), [d]({document.partition('/')[2]}.ipynb) {there}"
    assert without_removed(links, book) == f"a `b`, d {there}"


@pytest.mark.slow
def test_the_book_builds_without_a_warning_after_chapters_come_and_go(tmp_path: Path):
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
    assert not [c for c in gone if f"{c.document}.html" in pages]
    removed = re.compile("|".join(f"{Path(c.document).name}\\.html" for c in gone))
    assert not [name for name, text in pages.items() if removed.search(text)]
    intro, index = pages["book/intro.html"], pages["book/exercises.html"]
    assert "What is tiny? <em>Chapter 3: 2 minutes to read" in intro
    assert 'href="../notebooks/98-tiny.html#a-step-more"' in index or "98-tiny.html#" in index
    head = pages["notebooks/98-tiny.html"].partition('<article class="bd-article"')[0]
    assert 'href="https://colab.research.google.com/github/ada/nets/blob/course/notebooks/98-tiny.ipynb"' in head
    assert 'href="https://mybinder.org/v2/gh/ada/nets/course?' in head
    assert 'href="https://github.com/ada/nets"' in head
    there = "https://ada.github.io/nets/notebooks/98-tiny.html"
    assert f"<loc>{there}</loc>" in (site / "sitemap.xml").read_text()
    assert f'<link rel="canonical" href="{there}"' in head
    assert '<meta property="og:image" content="https://ada.github.io/nets/_static/card.png">' in head
    again = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Nothing has changed" in again.stdout, "a book that is built is not built again"
    stored = json.loads((site / "_sources/notebooks/98-tiny.ipynb").read_text())
    assert stored["metadata"]["book"]["minutes"] == 2
