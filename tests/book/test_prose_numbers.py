"""Numbers quoted in the book come from the run, from a record, or from a publication that is cited.

What counts as a number, and what as its source, is in prose.py; what no cell puts out is in quoted_numbers.py. The
tests that read the executed chapters need `make pages`, and belong to those of the site.
"""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
from browser import unavailable
from make_site import EXECUTED, toc_documents
from prose import (
    SCALES,
    Chapter,
    Claim,
    around,
    claims,
    numbers_in,
    numbers_in_code,
    output_text,
    read_chapter,
    read_page,
    spans,
)
from quoted_numbers import QUOTES, Compared, Published, Quote, Setting, over, published, setting, under

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / f"{name}.md" for name in toc_documents() if name.startswith("book/")]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def stored(quote: Quote) -> Chapter:
    """The chapter or page of an entry of the register, as it is stored."""
    paths = [p for p in [*NOTEBOOKS, *PAGES] if p.stem == quote.chapter or p.stem.startswith(f"{quote.chapter}-")]
    assert paths, f"quoted_numbers.py quotes {quote.chapter!r}, and there is no such chapter or page"
    if paths[0].suffix == ".md":
        return read_page(paths[0].stem, paths[0].read_text(encoding="utf-8"))
    return read_chapter(paths[0].stem, cells(paths[0]))


def quoted(chapter: Chapter, quote: Quote) -> list[list[Claim]]:
    """The claims in each place of a chapter where a phrase of the register stands."""
    places = []
    for cell, text in chapter.texts.items():
        for start, end in spans(text, quote.phrase):
            places.append([c for c in chapter.claims if c.cell == cell and start <= c.start and c.end <= end])
    return places


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It has 25,088 numbers, 3.6 billion multiply-adds and 21.6 M.", ["25,088", "3.6 billion", "21.6 M"]),
        ("an error of 28.54%, ± 0.22, 5 percent, and 3.5 points less", ["28.54%", "± 0.22", "5 percent", "3.5 points"]),
        (
            "All within two percent; Sixteen times, but four times is too common a word.",
            ["two percent", "Sixteen times"],
        ),
        ("a map of 224×224 pixels, 64 channels, 512 · 7 · 7", ["224", "224", "512"]),
        ("about 10⁻⁷, in 64k steps, 20 minutes, 1.3 s", ["10⁻⁷", "64k", "20 minutes", "1.3 s"]),
        ("ResNet-152, plain-110, conv3_x, resnet101, v1.5, version 1.5, 6n+2, CIFAR-100", []),
        ("in 2015, between 2012 and 2014, section 4.1, sections 3.3 and 4.2, figure 6, issue 205, #683", []),
        ("`lr=0.1`, $c = 0.25$, $$0.5x$$, [text](page-1.5.html), {cite:p}`he2016deep`, <b style='width:1.5em'>", []),
        ("## About 3.5 percent\n\n```python\nx = 0.123\n```\n\n1. three\n2. 250 images", ["250"]),
        ("**Time:** 25 minutes to read, 1.5 minutes to run. **You need:** 3.5 GB.", ["3.5 GB"]),
        ("*medium, 10 minutes*\n\nTake 300 steps.", ["300"]),
        ("3 blocks, 34 layers, 16 additions, depths 20, 56, 110; CC BY 4.0", []),
        ("2048 channels, 0.001", ["2048", "0.001"]),
    ],
)
def test_what_is_a_number(text: str, found: list[str]):
    assert [claim.text for claim in claims(text)] == found


@pytest.mark.parametrize(
    ("text", "number", "is_met"),
    [
        ("3.7 times", 3.6512, True),
        ("3.7 times", 3.6499, False),
        ("3.7 times", 3.75001, False),
        ("28.54%", 0.28541, True),
        ("28.54%", 28.541, True),
        ("28.54%", 28.55, False),
        ("21.6 million", 21_582_222, True),
        ("21.6 million", 21.58, True),
        ("21.6 million", 21_500_000, False),
        ("25,088", 25_088, True),
        ("25,088", 25_089, False),
        ("4.1 billion", 4.0895e9, True),
        ("64k", 64_000, True),
        ("12.0 MiB", 12 * 2**20, True),
        ("10⁻⁷", 1e-7, True),
        ("10⁻⁷", 1e-6, False),
    ],
)
def test_a_number_is_met_when_it_rounds_to_what_is_quoted(text: str, number: float, is_met: bool):
    (claim,) = claims(text)
    assert claim.met_by(number) == is_met


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "source": text}


def code(source: str, said: str = "") -> dict:
    outputs = [{"output_type": "stream", "name": "stdout", "text": said}] if said else []
    return {"cell_type": "code", "source": source, "outputs": outputs}


def test_where_a_number_may_come_from():
    chapter = read_chapter(
        "made up",
        [
            markdown("## One\n\nIt is 3.25 G, which is 2.5 times as much; 400 steps; 7.5 percent; two percent."),
            code("run(steps=400)  # 7.5", "3.251 G"),
            markdown("## Two"),
            code("print('7.5')", "2.5 times, 2%"),
            markdown("### 1. Exercise\n\n It is 15.47.\n\n```python\nassert found == 15.47\n```"),
        ],
    )
    met = {claim.text: chapter.met(claim) for claim in chapter.claims}
    assert met == {
        "3.25 G": True,
        "2.5 times": False,  # two digits, put out in another section only
        "400": True,  # a setting
        "7.5 percent": False,  # in a comment
        "two percent": False,  # one digit with a unit
        "15.47": True,  # a solution is run by its own test
    }


def test_what_an_output_says():
    figure = '<figure><svg aria-label="rises to 0.5"><path d="M 3 4"/><text>77</text></svg><b>8.25</b></figure>'
    assert numbers_in(output_text({"output_type": "execute_result", "data": {"text/html": figure}})) == [0.5, 8.25]
    explorer = {"text/html": "<table><td>5.5</td></table>", "application/vnd.jupyter.widget-view+json": {}}
    assert output_text({"output_type": "execute_result", "data": explorer}) == ""
    assert output_text({"output_type": "stream", "name": "stderr", "text": "99%| 3.5 it/s"}) == ""
    assert numbers_in("ResNet-34  3.60 G, 1,000 -> 6e-07 (5.0%)") == [3.6, 1000, 6e-7, 5.0]
    assert numbers_in_code("x = f(0.1, 3_000)  # 7\ny = '8'") == [0.1, 3000]


# ---------------------------------------------------------------- the register


def complaint(quote: Quote, chapter: Chapter, bibliography: str) -> str:
    """What is wrong with an entry; nothing, if it is as it should be."""
    places = quoted(chapter, quote)
    if not places:
        return "the phrase no longer stands in the chapter: take the entry out, or put in what stands there now"
    if not any(places):
        return "the phrase has no number that would need a source: take the entry out"
    source = quote.source
    if isinstance(source, Setting):
        return "" if source.why.strip() else "say why the number needs no source"
    if isinstance(source, Published):
        link = source.key.startswith("https://")
        cited = f"`{source.key}`" in " ".join(chapter.texts.values())
        if not link and not (f"{{{source.key}," in bibliography and cited):
            return f"{source.key} is not in references.bib, or not cited in the chapter"
        for claim in (place[0] for place in places if place):
            text = " ".join(chapter.texts[claim.cell].split())
            if source.where not in text:
                return f"the words {source.where!r} do not stand in the same cell"
            if link and f"({source.key})" not in text:
                return f"the same cell has no link to {source.key}"
    for place in places:
        if wrong := mismatch(place, source):
            return wrong
    return ""


def mismatch(place: list[Claim], source: object) -> str:
    """How the numbers in a place differ from what their source gives."""
    given = source.values if isinstance(source, Published) else getattr(source, "compute", source)()
    values = list(given) if isinstance(given, (tuple, list)) else [given]
    if len(values) != len(place):
        there = ", ".join(claim.text for claim in place)
        return f"the phrase has {len(place)} numbers ({there}), and the source gives {len(values)}"
    for claim, value in zip(place, values, strict=True):
        if isinstance(source, Compared):
            said = {claim.value, claim.value * SCALES.get(claim.unit, 1)}  # 100 million, as 100 or as 1e8
            if not any(source.low * s <= value <= source.high * s for s in said):
                return f"{claim.text} is not {source.words} {value:.6g}"
        elif not claim.met_by(value):
            return f"it says {claim.text}, and the source gives {value:.6g}"
    return ""


@pytest.fixture(scope="module")
def bibliography() -> str:
    return (ROOT / "book" / "references.bib").read_text(encoding="utf-8")


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: f"{quote.chapter} {quote.phrase[:40]}")
def test_the_register_agrees_with_its_sources(quote: Quote, bibliography: str):
    found = complaint(quote, stored(quote), bibliography)
    assert not found, f"chapter {quote.chapter}, {quote.phrase!r}: {found}"


TEXT = "In table 2 of {cite:t}`he2016deep` it is 28.54%. We count 3.60 billion, more than 100 million, less than 5%."


@pytest.mark.parametrize(
    ("phrase", "source", "message"),
    [
        ("it is 28.54%", published("he2016deep", "table 2", 28.54), ""),
        ("it is 28.54%", published("he2016deep", "table 2", 28.45), "says 28.54%, and the source gives 28.45"),
        ("it is 28.54%", published("he2016deep", "table 3", 28.54), "'table 3' do not stand in the same cell"),
        ("it is 28.54%", published("nobody2016", "table 2", 28.54), "nobody2016 is not in references.bib"),
        ("it is 28.54%", published("https://one.example/a", "table 2", 28.54), "no link to https://one"),
        ("it is 28.45%", published("he2016deep", "table 2", 28.45), "no longer stands in the chapter"),
        ("We count", lambda: 1, "no number that would need a source"),
        ("count 3.60 billion", lambda: 3_604_000_000, ""),
        ("count 3.60 billion", lambda: 3_594_000_000, "gives 3.594e"),
        ("count 3.60 billion", lambda: (3.6e9, 1), "has 1 numbers .*, and the source gives 2"),
        ("more than 100 million", over(lambda: 102.7), ""),
        ("more than 100 million", over(lambda: 99.7), "is not a little less than 99.7"),
        ("more than 100 million", over(lambda: 250.0), "is not a little less than 250"),
        ("less than 5%", under(lambda: 4.9), ""),
        ("less than 5%", under(lambda: 5.1), "is not a little more than 5.1"),
        ("it is 28.54%", setting(" "), "say why"),
    ],
)
def test_a_wrong_entry_is_found_out(phrase: str, source: object, message: str, bibliography: str):
    found = complaint(Quote("00", phrase, source), read_chapter("made up", [markdown(TEXT)]), bibliography)
    assert re.search(message, found) if message else not found


# ---------------------------------------------------------------- the executed chapters


def executed(path: Path) -> Chapter:
    run = EXECUTED / path.name
    if not run.is_file():
        unavailable(f"{path.name} has not been executed: run `make pages`")
    done = cells(run)
    if ["".join(c["source"]) for c in done] != ["".join(c["source"]) for c in cells(path)]:
        unavailable(f"{path.name} has changed since it was executed: run `make pages`")
    return read_chapter(path.stem, done)


def unregistered(chapter: Chapter, name: str) -> list[Claim]:
    """The claims of a chapter or page that neither its run nor the register accounts for."""
    entries = [quote for quote in QUOTES if quote.chapter == name]
    known = {claim for quote in entries for place in quoted(chapter, quote) for claim in place}
    return [claim for claim in chapter.claims if claim not in known and not chapter.met(claim)]


def fail_for_unregistered(chapter: Chapter, name: str) -> None:
    """Fail with the numbers that lack a source, and say how to give them one."""
    found = unregistered(chapter, name)
    if not found:
        return
    lines = [f"  {c.text!r:16} in cell {c.cell}: ... {around(chapter.texts[c.cell], c)} ..." for c in found]
    pytest.fail(
        f"{len(lines)} numbers in the text of {chapter.name} are in no output of its cells (of the same section, if "
        "they have only two digits):\n"
        + "\n".join(lines)
        + "\nIf a number is wrong, mend the text. If not, let a cell "
        "print it, or add a line to tests/quoted_numbers.py for each, with its source:\n"
        f'    Quote("{name}", "some words around the number", lambda: ...),  # or over(...), under(...), about(...)\n'
        f'    Quote("{name}", "some words around the number", published("he2016deep", "table 2", 28.54)),\n'
        f'    Quote("{name}", "some words around the number", setting("an example that the exercise makes up")),',
        pytrace=False,
    )


@pytest.mark.browser
@each_notebook
def test_every_number_has_a_source(path: Path):
    chapter = executed(path)
    fail_for_unregistered(chapter, path.name[:2])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_number_of_a_page_has_a_source(path: Path):
    fail_for_unregistered(read_page(path.stem, path.read_text(encoding="utf-8")), path.stem)


@pytest.mark.browser
@each_notebook
def test_a_wrong_number_would_be_found_out(path: Path):
    """The run accounts for a number. Would it, by chance, for others that differ a little in the last digit?"""
    chapter = executed(path)
    tried = found = 0
    for claim in filter(chapter.met, chapter.claims):
        step = 10.0**-claim.decimals
        while claim.decimals == 0 and math.fmod(claim.value, 10 * step) == 0:
            step *= 10
        others = [round(claim.value + way * step, 6) for way in (-3, -2, -1, 1, 2, 3)]
        for other in others:
            if other > 0:
                tried += 1
                found += not chapter.met(dataclasses.replace(claim, value=other))
    assert tried, "the run accounts for no number of the chapter: are its outputs there?"
    assert found >= 0.8 * tried, f"of {tried} wrong numbers only {found} would be noticed"
