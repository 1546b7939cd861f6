"""The pages in `book/` beside the chapters: their terms, links, examples and counts agree with chapters and package."""

import doctest
import itertools
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import yaml
from book_pages import course_plan, exercise_table
from chapter_map import QUESTIONS, chapter_map, needed
from chapters import Chapter, ChapterError, anchors, chapters
from line_key import line_key
from make_site import ROOT, toc_documents, write_config
from repository import Repository

from resnet_edu import check
from resnet_edu.cli import build_parser
from resnet_edu.figures.style import COLORS, DASHES
from resnet_edu.nets.blocks import BasicBlock, PlainBlock

PAGES = [ROOT / f"{name}.md" for name in toc_documents() if name.startswith("book/")]
CHAPTERS = chapters()

TEXTS = [*PAGES, *sorted(ROOT.glob("*.md")), *(ROOT / f"{chapter.document}.ipynb" for chapter in CHAPTERS)]

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
    prose = re.sub(r"`[^`\n]+`", "", prose)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.is_file() or (anchor and anchor not in anchors(markdown_of(file)).values()):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
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


README = ROOT / "README.md"


def test_what_the_readme_shows_in_python_runs(capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"^```python\n(.*?)^```$", markdown_of(README), re.M | re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert "✓" in capsys.readouterr().out


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.stem)
def test_commands_on_a_page_are_commands(path: Path):
    """Parsed, not run."""
    text = re.sub(r"\\\n\s*", "", markdown_of(path))
    for line in re.findall(r"^(?:resnet-edu |.*-m resnet_edu\.cli )(.*?)(?:#.*)?$", text, re.M):
        if "$" not in line:  # variables of a shell script
            build_parser().parse_args(shlex.split(line))  # exits with the reason if it is wrong


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


def chapters_that_need(*needs: str) -> list[Chapter]:
    """Made-up chapters 1, 2, ... and what each needs: "12" is chapters 1 and 2."""
    names = [f"{n:02}-made-up" for n in range(1, len(needs) + 1)]
    texts = [
        f"# Title {n}\n\n**You need:** " + ", ".join(f"[chapter {c}]({names[int(c) - 1]}.ipynb)" for c in need)
        for n, need in enumerate(needs, 1)
    ]
    return [Chapter(f"notebooks/{name}", text) for name, text in zip(names, texts, strict=True)]


def test_map_leaves_out_arrows_that_a_longer_way_says_as_well():
    assert needed(chapters_that_need("", "1", "12", "3", "23")) == [(0, 1), (1, 2), (2, 3), (2, 4)]
    assert needed(chapters_that_need("", "", "12")) == [(0, 2), (1, 2)]
    with pytest.raises(ValueError, match="02-made-up says that it needs itself or a later chapter"):
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
    for said in ("Chapter 1, Title 1, needs none before it.", "Chapter 4, Title 4, needs chapter 2 and 3."):
        assert said in svg.get("aria-label")


def test_arrows_that_overlap_have_lanes_of_their_own():
    drawn = chapter_map(chapters_that_need("", "1", "1", "1", "1"))
    lanes = re.findall(r'd="M[\d.]+ [\d.]+H([\d.]+)V', drawn)
    assert len(lanes) == len(set(lanes)) == 3


def test_key_has_the_colours_and_dashes_of_the_figures():
    plain, residual, *widths = re.findall(r"<path[^>]*>", line_key())
    assert COLORS["plain"] in plain
    assert COLORS["resnet"] in residual
    assert [("dasharray" in line, "currentColor" in line) for line in (plain, residual, *widths)] == [
        (DASHES["plain"] != "-", False),
        (DASHES["resnet"] != "-", False),
        (False, True),
        (False, True),
    ]


# ---------------------------------------------------------------- the way in

INTRO = ROOT / "book" / "intro.md"


def test_the_hour_is_an_hour():
    section = re.search(r"^### In an hour$(.*?)^### ", markdown_of(INTRO), re.M | re.S)[1]
    to_read = re.findall(r"\((?:\.\./)(notebooks/[^#)]+)\.ipynb\)", section)
    assert 30 <= sum(c.minutes for c in CHAPTERS if c.document in to_read) <= 55, "something is to be left of the hour"


def test_homework_is_marked_as_the_page_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"^```python\n(.*?)^```$", markdown_of(INTRO), re.M | re.S)

    def mark(block: type) -> None:
        monkeypatch.setitem(sys.modules, "answer", SimpleNamespace(MyBlock=block))
        session: dict = {}
        exec(compile(code, "test_homework.py", "exec"), session)
        session["test_my_block"]()

    mark(BasicBlock)
    assert "✓" in capsys.readouterr().out
    with pytest.raises(check.NotYet, match="PlainBlock"):
        mark(PlainBlock)


def test_the_build_finds_the_extension_that_makes_the_pages():
    config = yaml.safe_load(write_config(Repository()).read_text(encoding="utf-8"))["sphinx"]
    for name, folder in config["local_extensions"].items():
        assert Path(folder).is_absolute()
        assert (Path(folder) / f"{name}.py").is_file()
        assert name in config["config"]["extensions"]


def test_introduction_has_a_line_and_the_map_a_question_for_every_chapter():
    listed = re.findall(r"^\[(.+)\]\(\.\./(.+)\.ipynb\)\n: \S", markdown_of(INTRO), re.M)
    assert listed == [(chapter.title, chapter.document) for chapter in CHAPTERS]
    assert [chapter.number for chapter in CHAPTERS] == list(QUESTIONS)
