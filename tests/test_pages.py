"""The pages in `book/` beside the chapters: their terms, links, examples and counts agree with chapters and package."""

import doctest
import re
from pathlib import Path

import pytest
from book_pages import course_plan, exercise_table
from chapters import Chapter, ChapterError, anchors, chapters
from make_site import ROOT, toc_documents

from resnet_edu import check

PAGES = [ROOT / f"{name}.md" for name in toc_documents() if name.startswith("book/")]
CHAPTERS = chapters()

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: f"{chapter.number}")


# ---------------------------------------------------------------- links, and examples that run


def markdown_of(path: Path) -> str:
    """The Markdown of a page or a chapter."""
    if path.suffix == ".ipynb":
        return next(c.text for c in CHAPTERS if c.document.endswith(path.stem))
    return path.read_text(encoding="utf-8")


def broken_links(path: Path, text: str) -> list[str]:
    """Links to files of the book, and to headings in them, that lead nowhere. Needs no built site."""
    prose = re.sub(r"^```(?!\{).*?^```$", "", text, flags=re.M | re.S)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.is_file() or (anchor and anchor not in anchors(markdown_of(file)).values()):
            broken.append(target)
    return broken


@each_page
def test_links_lead_somewhere(path: Path):
    assert broken_links(path, markdown_of(path)) == []


def test_a_broken_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n## A `b` c?\n")
    text = "[a](#a-b-c) [b](page.md#a-b-c) [c](page.md#d) [d](none.md) [e](https://example.org/f#g)"
    assert broken_links(page, text) == ["page.md#d", "none.md"]


@each_page
def test_examples_give_what_the_page_shows(path: Path):
    """The blocks fenced as `pycon` are run one after the other, as one session."""
    blocks = re.findall(r"^```pycon\n(.*?)^```$", markdown_of(path), re.M | re.S)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, path.name, str(path), 0)
    said: list[str] = []
    doctest.DocTestRunner().run(session, out=said.append)
    assert not said, "".join(said)


# ---------------------------------------------------------------- the glossary


def glossary() -> dict[tuple[str, ...], tuple[set[str], str]]:
    """(term, synonym, ...) -> (words in Chinese, the rest of the entry), in the order of the page."""
    entries = {}
    for block in re.findall(r"^```\{glossary\}\n(.*?)^```$", markdown_of(ROOT / "book" / "glossary.md"), re.M | re.S):
        for entry in block.strip().split("\n\n"):
            terms = [line for line in entry.splitlines() if not line.startswith(" ")]
            body = " ".join(line.strip() for line in entry.splitlines()[len(terms) :])
            chinese, rest = re.fullmatch(r'<span lang="zh-Hans">(.+?)</span>: (.+)', body).groups()
            assert tuple(terms) not in entries, f"{terms} are explained twice"
            entries[tuple(terms)] = (set(chinese.split(", ")), rest)
    return entries


def test_glossary_is_sorted_and_explains_each_term_once():
    firsts = [terms[0].casefold() for terms in glossary()]
    assert firsts == sorted(firsts)
    every = [term.casefold() for terms in glossary() for term in terms]
    assert len(set(every)) == len(every)


def test_glossary_says_where_each_term_is_introduced():
    text = markdown_of(ROOT / "book" / "glossary.md")
    letters = re.findall(r"^## (.)\n\n```\{glossary\}\n(.*?)^```$", text, re.M | re.S)
    assert [terms[0][0].upper() for terms in glossary()] == [
        letter for letter, block in letters for _ in block.strip().split("\n\n")
    ]
    for terms, (_, rest) in glossary().items():
        assert re.search(r"\S \[(Chapter \d|More machines)\]\([^)]+\)$", rest), f"{terms}: where is it introduced?"


@each_chapter
def test_terms_of_a_chapter_are_in_the_glossary(chapter: Chapter):
    """In the same words, English and Chinese; the glossary may know more of them."""
    explained = {term: chinese for terms, (chinese, _) in glossary().items() for term in terms}
    missing = []
    for row, chinese in chapter.terms:
        for term in re.sub(r" \(.*?\)", "", row).split(", "):
            if not set(chinese.split(", ")) <= explained.get(term, set()):
                missing.append(f"{term} | {chinese}; the glossary has {explained.get(term, 'no such term')}")
    assert not missing, f"mend book/glossary.md, or the table of chapter {chapter.number}:\n" + "\n".join(missing)


# ---------------------------------------------------------------- what is read from the chapters


FRAME = """# A title

**Time:** 20 minutes to read, a minute to run. **You need:** [chapter 2](02-two.ipynb).

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


def test_a_chapter_is_read():
    chapter = Chapter("notebooks/03-three", FRAME)
    assert (chapter.number, chapter.title, chapter.minutes) == (3, "A title", 20)
    assert chapter.needs == ("notebooks/02-two",)
    assert chapter.terms == [("one, two", "一, 二")]
    assert [(e.heading, e.level, e.minutes, e.extra, e.checkers) for e in chapter.exercises] == [
        ("1. A `b`", "easy", 5, "two minutes to run", ("plain_block",)),
        ("2. C", "harder", 10, "", ()),
    ]
    assert chapter.exercise_minutes == 15
    assert anchors(FRAME)["1. A `b`"] == "1-a-b"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("**Time:** 20 minutes to read", "reading time"),
        ("**You need:**", "what it needs"),
        ("## Exercises", "exercises"),
        ("*harder, 10 minutes*", "'2. C'"),
        ("| in Chinese ", "table of terms"),
    ],
)
def test_what_a_chapter_lacks_is_named(part: str, said: str):
    chapter = Chapter("notebooks/03-three", FRAME.replace(part, "?"))
    with pytest.raises(ChapterError, match=f"notebooks/03-three.*{re.escape(said)}"):
        _ = chapter.minutes, chapter.needs, chapter.exercises, chapter.terms


@each_chapter
def test_the_frame_of_every_chapter_can_be_read(chapter: Chapter):
    assert chapter.minutes > 0
    assert len(chapter.exercises) >= 3
    assert all(need < chapter.document for need in chapter.needs)
    assert chapter.terms


# ---------------------------------------------------------------- what is made of the chapters


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table's body."""
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()[2:]]


@each_chapter
def test_index_has_every_exercise_with_a_link_that_leads_there(chapter: Chapter):
    *rows, total = cells(exercise_table(chapter))
    text = (ROOT / f"{chapter.document}.ipynb").read_text(encoding="utf-8")
    assert len(rows) == text.count('"### ') - text.count('"### ', 0, text.index("## Exercises"))
    assert broken_links(ROOT / "book" / "exercises.md", "\n".join(row[0] for row in rows)) == []
    assert int(total[-1].strip("*")) == sum(int(row[-1]) for row in rows)
    for name in re.findall(r"`check\.(\w+)`", str(rows)):
        assert name in check.__all__, f"{chapter.document} names a checker that does not exist: {name}"


def test_index_names_level_minutes_and_checker():
    first, second, _ = cells(exercise_table(Chapter("notebooks/03-three", FRAME)))
    link = "[1. A `b`](../notebooks/03-three.ipynb#1-a-b) (and two minutes to run) `check.plain_block`"
    assert first == [link, "easy", "5"]
    assert second == ["[2. C](../notebooks/03-three.ipynb#2-c)", "harder", "10"]


def test_plan_has_a_chapter_a_day_and_its_minutes():
    one, two = (Chapter(f"notebooks/0{n}-three", FRAME) for n in (3, 4))
    assert cells(course_plan([one, two])) == [
        ["1", "[A title](../notebooks/03-three.ipynb)", "20", "15", "35"],
        ["2", "[A title](../notebooks/04-three.ipynb)", "20", "15", "35"],
        ["", "**minutes**", "**40**", "**30**", "**70**"],
    ]
