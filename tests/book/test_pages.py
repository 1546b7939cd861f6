"""The pages in `book/` beside the chapters: their terms, links, examples and counts agree with chapters and package."""

import doctest
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from chapters import ROOT, Chapter, anchors, chapters, toc_documents, without_removed
from make_site import write_config
from repository import Repository

from resnet_edu import check
from resnet_edu.cli import build_parser
from resnet_edu.experiment import load_records, summary
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
    assert broken_links(path, without_removed(markdown_of(path))) == []


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


def test_the_readme_has_the_numbers_of_the_study():
    text = " ".join(markdown_of(README).split())
    plain56 = next(row for row in summary(load_records("digits")) if row["net"] == "plain56")
    assert f"plain-56 gets {plain56['train_error']:.1f} ± {plain56['train_error_std']:.1f}% of them wrong" in text
    others = [r.final["train_error"] for r in load_records("digits") if r.net != "plain56"]
    assert "plain-20, ResNet-20 and ResNet-56 get less than 2% of their own training images wrong" in text
    assert 1 < max(others) < 2


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.stem)
def test_commands_on_a_page_are_commands(path: Path):
    """Parsed, not run."""
    text = re.sub(r"\\\n\s*", "", markdown_of(path))
    for line in re.findall(r"^(?:resnet-edu |.*-m resnet_edu )(.*?)(?:#.*)?$", text, re.M):
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
            chinese, rest = re.fullmatch(r"(.+?): (.+)", body).groups()
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
        assert re.search(r"\S \[(Chapter \d+|More machines|Notation|Numbers in memory)\]\([^)]+\)$", rest), (
            f"{terms}: where is it introduced?"
        )


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


# ---------------------------------------------------------------- the way in

INTRO = ROOT / "book" / "intro.md"


def test_the_hour_is_an_hour():
    section = re.search(r"^### In an hour$(.*?)^### ", markdown_of(INTRO), re.M | re.S)[1]
    to_read = re.findall(r"\((?:\.\./)(notebooks/[^#)]+)\.ipynb\)", section)
    assert 30 <= sum(c.minutes for c in CHAPTERS if c.document in to_read) <= 55, "something is to be left of the hour"


def test_homework_is_marked_as_the_page_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"^```python\n(.*?)^```$", markdown_of(ROOT / "book" / "in-class.md"), re.M | re.S)

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
