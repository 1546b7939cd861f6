"""The check of numbers in the text finds what it should. That the book passes it is seen to by its build."""

import dataclasses
import re

import nbformat
import pytest
from browser import unavailable
from chapters import ROOT, toc_documents
from claims import check, claims, complaints, numbers_in, numbers_in_code, output_text, read_chapter, read_page
from make_site import EXECUTED, check_numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It has 25,088 numbers, 3.6 billion multiply-adds and 21.6 M.", ["25,088", "3.6 billion", "21.6 M"]),
        ("an error of 28.54%, ± 0.22, 5 percent, and 3.5 points less", ["28.54%", "± 0.22", "5 percent", "3.5 points"]),
        (
            "All within two\npercent; Sixteen times, but four times is too common a word.",
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
    ("text", "met", "not_met"),
    [
        ("3.7 times", [3.6512], [3.6499, 3.75001]),
        ("28.54%", [0.28541, 28.541], [28.55]),
        ("21.6 million", [21_582_222, 21.58], [21_500_000]),
        ("25,088", [25_088], [25_089]),
        ("4.1 billion", [4.0895e9], [4.2e9]),
        ("64k", [64_000], [65_000]),
        ("12.0 MiB", [12 * 2**20], [12e6]),
        ("10⁻⁷", [1e-7], [1e-6]),
    ],
)
def test_a_number_is_met_when_it_rounds_to_what_is_said(text: str, met: list[float], not_met: list[float]):
    (claim,) = claims(text)
    assert all(map(claim.met_by, met))
    assert not any(map(claim.met_by, not_met))


def markdown(text: str, **sources: str) -> dict:
    return {"cell_type": "markdown", "source": text, "metadata": {"sources": sources}}


def code(source: str, said: str = "") -> dict:
    outputs = [{"output_type": "stream", "name": "stdout", "text": said}] if said else []
    return {"cell_type": "code", "source": source, "outputs": outputs, "metadata": {}}


def test_what_the_run_accounts_for():
    chapter = read_chapter(
        [
            markdown("## One\n\nIt is 3.25 G, which is 2.5 times as much; 400 steps; 7.5 percent; two percent."),
            code("run(steps=400)  # 7.5", "3.251 G"),
            markdown("## Two"),
            code("print('7.5')", "2.5 times, 2%"),
            markdown("### 1. Exercise\n\n It is 15.47.\n\n```python\nassert found == 15.47\n```"),
        ]
    )
    met = {claim.text: chapter.met(part, claim) for part in chapter.parts for claim in part.claims}
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


BIBLIOGRAPHY = "@inproceedings{he2016deep,\n}\n@article{alone2020,\n}"
TEXT = "See {cite:t}`he2016deep`: 28.54%. [Here](https://one.example/a): 7.5. We count 3.60 billion, less than 5%."
SOURCES = {
    "28.54%": "he2016deep, table 2",
    "7.5": "https://one.example/a, its table",
    "3.60 billion": "= macs(34)",
    "5%": "> 4.9",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"28.54%": None}, r"cell 0: '28.54%' has no source \(... .*he2016deep`: 28.54%. .*\)"),
        ({"28.45%": "= 28.45"}, "'28.45%' is no longer in the text"),
        ({"28.54%": "nobody2016, table 2"}, "'28.54%' is from 'nobody2016', which is not cited"),
        ({"28.54%": "alone2020, table 2"}, "is not cited"),
        ({"28.54%": "he2016deep"}, "names no place"),
        ({"7.5": "https://one.example/b, its table"}, "to which the text has no link"),
        ({"7.5": "made up: a threshold"}, ""),
        ({"7.5": "made up:"}, "say why"),
        ({"3.60 billion": "= macs(50)"}, "'3.60 billion' is not = 4.1e.09, which is what its source gives"),
        ({"3.60 billion": "< macs(50)"}, ""),
        ({"3.60 billion": "< macs(34) - 1e8"}, "is not <"),
        ({"3.60 billion": "~ macs(50)"}, "is not ~"),
        ({"3.60 billion": "~20% macs(50)"}, ""),
        ({"3.60 billion": "= macs(152)"}, "fails: macs.152.: KeyError: 152"),
        ({"3.60 billion": "= open('/etc/passwd')"}, "NameError"),
        ({"5%": "> 5.1"}, "is not >"),
        ({"5%": "> 0.4"}, "is not >"),
    ],
)
def test_a_wrong_source_is_found_out(changes: dict[str, str | None], message: str):
    names = {"__builtins__": {}, "macs": {34: 3.604e9, 50: 4.1e9}.__getitem__}
    sources = {number: source for number, source in (SOURCES | changes).items() if source}
    found = list(complaints(read_chapter([markdown(TEXT, **sources)]), BIBLIOGRAPHY, names))
    assert len(found) == bool(message)
    if message:
        assert re.search(message, found[0]), found


def test_rewording_breaks_nothing():
    reworded = "It was counted: 3.60 billion, which 28.54% and 5% follow, 7.5 and {cite:t}`he2016deep`." + TEXT[31:67]
    names = {"macs": {34: 3.604e9}.__getitem__}
    assert not list(complaints(read_chapter([markdown(reworded, **SOURCES)]), BIBLIOGRAPHY, names))


def test_a_page_has_its_sources_at_its_head():
    page = (
        '---\nsources:\n  "2.5": "= 5 / 2"\n  "3.5": "= 7 / 2"\n---\n\n# A\n\nIt is 2.5.\n\n## B\n\nIt is 2.5, or 4.25.'
    )
    assert [line.partition(" (")[0] for line in complaints(read_page(page), "", {})] == [
        "'A': '3.5' is no longer in the text: take its source out, or put in the number that is",
        "'B': '4.25' has no source",
    ]


def test_the_build_stops_at_a_wrong_number_and_says_where(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "references.bib").write_text(BIBLIOGRAPHY)
    (tmp_path / "book" / "page.md").write_text("# Page\n\nIt is 2.5.")
    cells = [nbformat.v4.new_markdown_cell("# One\n\n1.25, 3.5", metadata={"sources": {"1.25": "= 1.5"}})]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01-one.ipynb")
    documents = ["book/page", "notebooks/01-one"]
    found = check(tmp_path, tmp_path / "notebooks", documents, {})
    assert [line.partition(" has ")[0].partition(" is ")[0] for line in found] == [
        "book/page, 'Page': '2.5'",
        "notebooks/01-one, cell 0: '1.25'",
        "notebooks/01-one, cell 0: '3.5'",
    ]
    monkeypatch.setattr("make_site.claims.check", lambda *_: found)
    with pytest.raises(SystemExit, match=r"(?s)3 numbers .*01-one, cell 0: '3.5' has no source.*claims\.py says how"):
        check_numbers()


@pytest.mark.site
def test_wrong_numbers_would_be_found_out():
    """The run accounts for a number. Would it, by chance, for others that differ a little in the last digit?"""
    in_all = 0
    for name in toc_documents():
        if not (ROOT / f"{name}.ipynb").is_file():
            continue
        path = EXECUTED / f"{name.partition('/')[2]}.ipynb"
        if not path.is_file():
            unavailable("the chapters have not been executed: run `make book`")
        chapter, tried, found = read_chapter(nbformat.read(path, as_version=4).cells), 0, 0
        for part in chapter.parts:
            for claim in (claim for claim in part.claims if chapter.met(part, claim)):
                zeros = len(f"{claim.value:.0f}") - len(f"{claim.value:.0f}".rstrip("0"))
                step = 10.0 ** (-claim.decimals or zeros)
                others = (round(claim.value + way * step, 6) for way in (-3, -2, -1, 1, 2, 3))
                for other in (value for value in others if value > 0):
                    tried += 1
                    found += not chapter.met(part, dataclasses.replace(claim, value=other))
        few = max(1, 0.2 * tried)  # one by chance, where a chapter has few such numbers
        assert tried - found <= few, f"{name}: of {tried} wrong numbers only {found} would be noticed"
        in_all += tried
    assert in_all > 100
