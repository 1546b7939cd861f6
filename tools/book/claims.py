"""Numbers in the text of the book, and where they come from. The build stops at one without a source.

A number in Markdown is a *claim* if it has a decimal point, a thousands separator, a power of ten, a ± or a unit
(percent, times, million, G, MB, seconds ...), or is a whole number from 100 on; in words, before percent, points,
million and billion, and from ten on before times. No claims are numbers in code, formulas, headings, addresses and tags
(`NO_PROSE`), names (ResNet-34, conv3_x, the depths 101, 110 and 152), numbers of sections, figures, chapters and
versions, years, and the lines that say how long a chapter or an exercise takes.

The run is a source: a number that a code cell puts out or computes with, and that gives the claim when it is rounded to
the claim's digits. Few digits are easily met by chance, so two have to be met in the same section (from one `##` to the
next), and a single one with a unit never is. What an explorer shows does not count: it has hundreds of numbers.

Every other claim has its source beside it: in the metadata of its Markdown cell, or at the head of a page of book/,
between two lines of `---`, under the number as it stands in the text.

    "sources": {"3.7 times": "= macs('resnet18', 224) / macs('resnet18', 112)",
                "100 million": "< params('torchvision:vgg16', kind='Linear')",
                "28.54%": "he2016deep, table 3",
                "7.36%": "https://github.com/akamaster/pytorch_resnet_cifar10/issues/18, first post",
                "19%": "made up: a result to be named"}

= EXPRESSION    Python, with the names of `sources.py`; its value, rounded, is the number.
< EXPRESSION    the number is less than this, but not less than half of it ("more than 100 million").
> EXPRESSION    the number is more than this, but not more than ten times as much ("less than 5%").
~ EXPRESSION    about: within a tenth of the number. `~60%` allows another share of it.
KEY, PLACE      published: a key of references.bib that the chapter cites, or an address that it links to.
made up: WHY    nothing but this text says so, such as the numbers of an example.
"""

from __future__ import annotations

import ast
import html
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import yaml

PLACES = "sections?|chapters?|figures?|fig\\.|tables?|equations?|exercises?|hints?|options?|versions?|issues?|appendix"
# What is no prose. Each match is blotted out, so that places in the text stay what they are.
NO_PROSE = [
    r"(?s)^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence)`*\s*$",  # fenced code
    r"\{cite:[tp]\}`[^`]*`",
    r"(?P<ticks>`+).*?(?P=ticks)",
    r"(?s)\$\$.*?\$\$",
    r"\$[^$\n]+\$",
    r"^#{1,6} .*$",
    r"(?s)^\*\*Time:\*\*.*?(?:\*\*You need:\*\*|$)",
    r"^\*(?:easy|medium|harder|hard)\b[^*\n]*\*\s*$",
    r"\]\([^)\s]*\)",  # a link's target
    r"<[^>\n]+>",
    r"https?://\S+",
    r"^[ \t]*\d+\. ",  # a list's marker
    r"\bgithub\.com/\S+|\b[\w.-]+/[\w.-]+ #\d+|#\d+",
    rf"(?i)\b(?:{PLACES})\s+\d+(?:\.\d+)*(?:(?:,\s*|\s+and\s+|\s+or\s+|\s+to\s+|,\s+and\s+)\d+(?:\.\d+)*)*",
    r"\b(?:Python|PyTorch|torch|v|CC BY)\s?\d+(?:\.\d+)+",
]
DEPTHS = ("101", "110", "152")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
SCALES = {
    "k": 1e3, "thousand": 1e3, "kB": 1e3, "million": 1e6, "millions": 1e6, "M": 1e6, "MB": 1e6, "MiB": 2**20,
    "billion": 1e9, "billions": 1e9, "G": 1e9, "GB": 1e9, "GiB": 2**30, "GFLOPs": 1e9,
}  # fmt: skip
PERCENT = ("%", "percent", "points", "point", "percentage")
UNITS = (
    *SCALES, *PERCENT, "times", "fold", "dB", "Hz", "GHz", "W",
    "s", "ms", "µs", "second", "seconds", "minute", "minutes", "min", "hour", "hours", "h", "day", "days",
)  # fmt: skip
_UNIT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True))
_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
WORDS = {word: value for value, word in enumerate(_ONES.split(), start=1)} | _TENS
NUMBER = re.compile(
    r"(?<![\w.,/#])(?<![A-Za-z]-)(?P<pm>±\s?)?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+)(?P<power>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
    rf"(?:(?:[ \u00a0-]?(?P<unit>{_UNIT}))(?![\w]))?(?P<rest>[A-Za-z_]\w*)?"
)
SPELLED = re.compile(
    rf"\b(?P<word>{'|'.join(WORDS)})\s+(?P<unit>percent|percentage points?|points?|million|billion|times)\b", re.I
)
OUTPUT_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]*[A-Za-z_]-?\d)", re.I
)


@dataclass(frozen=True)
class Claim:
    """A number in a text.

    text:     as it stands there, with its unit; a line end is a blank.
    value:    of the digits alone.
    decimals: digits behind the point.
    digits:   that count: not the zeros in front, nor those at the end of a whole number.
    start:    where it begins in the text.
    """

    text: str
    value: float
    decimals: int
    digits: int
    unit: str
    start: int

    def met_by(self, number: float) -> bool:
        """Return whether a number gives this one, when it is rounded to the digits that stand here."""
        scaled = [number, number / SCALES.get(self.unit, 1)]
        if self.unit.startswith(PERCENT):
            scaled.append(100 * number)
        half = 0.5 * 10.0**-self.decimals
        return any(abs(abs(s) - self.value) <= half * (1 + 1e-9) for s in scaled)


@dataclass
class Part:
    """A Markdown cell, or a section of a page: its place in words, its text, its claims and their sources."""

    place: str
    text: str
    section: int
    claims: list[Claim]
    sources: dict[str, str]


@dataclass
class Text:
    """A chapter or page: its parts, and section -> the numbers that the run of that section gives."""

    parts: list[Part] = field(default_factory=list)
    run: dict[int, list[float]] = field(default_factory=dict)

    def met(self, part: Part, claim: Claim) -> bool:
        """Return whether the run gives this number."""
        if claim.digits == 1 and claim.unit:
            return False
        sections = [part.section] if claim.digits < 3 else self.run
        return any(claim.met_by(number) for s in sections for number in self.run.get(s, []))


def claims(text: str) -> list[Claim]:
    """Return what a text claims, in its order."""
    prose, found = text, []
    for pattern in NO_PROSE:
        prose = re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), prose, flags=re.M)
    for match in NUMBER.finditer(prose):
        digits, unit, power = match["digits"].replace(",", ""), match["unit"] or "", match["power"]
        value, decimals = float(digits), len(digits.partition(".")[2])
        marked = match["pm"] or unit or power or "," in match["digits"] or "." in digits
        year = not unit and "," not in match["digits"] and re.fullmatch(r"19[5-9]\d|20[0-3]\d", digits)
        name = match["rest"] or (not unit and digits in DEPTHS)  # 6n, 3x, 2nd
        if year or name or not (marked or value >= 100):
            continue
        if power:
            value, decimals = value ** int(power.translate(SUPERSCRIPTS)), 12
        significant = len(digits.replace(".", "").lstrip("0").rstrip("0" if "." not in digits else ""))
        found.append(Claim(match[0].strip(), value, decimals, significant, unit, match.start()))
    for match in SPELLED.finditer(prose):
        value, unit = WORDS[match["word"].lower()], match["unit"]
        if unit != "times" or value >= 10:
            words = " ".join(match[0].split())
            found.append(Claim(words, value, 0, len(str(value).rstrip("0")), unit, match.start()))
    return sorted(found, key=lambda claim: claim.start)


# ---------------------------------------------------------------- chapters and pages


def read_chapter(cells: list[dict[str, Any]]) -> Text:
    """Return the claims of a notebook's cells, and the numbers of their outputs, if any, and of their code."""
    chapter, section = Text(), 0
    for number, cell in enumerate(cells):
        text = cell["source"]
        if cell["cell_type"] == "markdown":
            section += bool(re.search(r"^## ", text, re.M))
            sources = dict(cell.get("metadata", {}).get("sources", {}))
            chapter.parts.append(Part(f"cell {number}", text, section, claims(text), sources))
            # Code in folded solutions and in sessions is run by the tests.
            given = [n for code in _fences("python", text) for n in numbers_in_code(code)]
            given += [n for session in _fences("pycon", text) for n in numbers_in(session)]
        else:
            given = numbers_in_code(text) + [n for o in cell.get("outputs", []) for n in numbers_in(output_text(o))]
        chapter.run.setdefault(section, []).extend(given)
    return chapter


def read_page(text: str) -> Text:
    """Return the claims of a page of Markdown; the sources at its head hold for all of it."""
    head = re.match(r"---\n(.*?\n)---\n", text, re.S)
    sources = (yaml.safe_load(head[1]) if head else {}).get("sources", {})
    sections = re.split(r"(?m)^(?=## )", text[head.end() if head else 0 :])
    page = read_chapter([{"cell_type": "markdown", "source": section} for section in sections])
    for part in page.parts:
        heading = re.search(r"^#+ (.*)", part.text, re.M)
        part.place = repr(heading[1]) if heading else "the page"
        part.sources = {claim.text: sources[claim.text] for claim in part.claims if claim.text in sources}
    used = {number for part in page.parts for number in part.sources}
    page.parts[0].sources |= {number: source for number, source in sources.items() if number not in used}
    return page


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a run's output."""
    return [float(m.replace(",", "")) for m in OUTPUT_NUMBER.findall(text)]


def numbers_in_code(source: str) -> list[float]:
    """Return the numbers that code computes with; not those of comments and texts."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    values = [ast.literal_eval(t.string) for t in tokens if t.type == tokenize.NUMBER]
    return [float(v) for v in values if not isinstance(v, complex)]


def output_text(output: dict[str, Any]) -> str:
    """Return what one output of a cell says: not progress bars, nor the drawing of a figure, nor an explorer."""
    if output["output_type"] == "stream":
        return output["text"] if output["name"] == "stdout" else ""
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""
    plain, page = data.get("text/plain", ""), data.get("text/html", "")
    texts = ["" if plain.startswith("<") else plain, data.get("text/markdown", "")]
    texts += re.findall(r'(?:aria-label|alt)="([^"]*)"', page)  # what a figure says in words
    page = re.sub(r"<(svg|style|script)\b.*?</\1>", " ", page, flags=re.S)
    return html.unescape("\n".join([*texts, re.sub(r"<[^>]+>", " ", page)]))


def _fences(language: str, text: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.M | re.S)


# ---------------------------------------------------------------- the check


def complaints(text: Text, bibliography: str, names: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the numbers of a chapter or page: the place, the number, and the fault.

    bibliography: the text of references.bib. names: what expressions may use.
    """
    everything = "\n".join(part.text for part in text.parts)
    for part in text.parts:
        known = {claim.text: claim for claim in reversed(part.claims)}
        for number, source in part.sources.items():
            wrong = "is no longer in the text: take its source out, or put in the number that is"
            if number in known:
                wrong = fault(known[number], source, everything, bibliography, names)
            if wrong:
                yield f"{part.place}: {number!r} {wrong}"
        for claim in part.claims:
            if claim.text not in part.sources and not text.met(part, claim):
                around = " ".join(part.text[max(0, claim.start - 45) : claim.start + 45].split())
                yield f"{part.place}: {claim.text!r} has no source (... {around} ...)"


def fault(claim: Claim, source: str, text: str, bibliography: str, names: dict[str, Any]) -> str:
    """Return what is wrong with the source of a claim, or ""."""
    if expression := re.match(r"\s*([=<>]|~(\d+%)?)(.*)", source, re.S):
        sign, share, code = expression[1][0], expression[2], expression[3].strip()
        try:
            value = eval(code, dict(names))
        except Exception as error:
            return f"has a source that fails: {code}: {type(error).__name__}: {error}"
        low, high = {"<": (1.0, 2.0), ">": (0.1, 1.0)}.get(sign, (0.9, 1.1))
        if share:
            low, high = 1 - int(share[:-1]) / 100, 1 + int(share[:-1]) / 100
        said = {claim.value, claim.value * SCALES.get(claim.unit, 1)}  # 100 million, as 100 or as 1e8
        good = claim.met_by(value) if sign == "=" else any(low * s <= value <= high * s for s in said)
        return "" if good else f"is not {sign} {value:.6g}, which is what its source gives: {code}"
    if made_up := re.match(r"made up:(.*)", source, re.S):
        return "" if made_up[1].strip() else "is made up: say why, behind `made up:`"
    key, _, place = source.partition(", ")
    if not place.strip():
        return f"has a source that names no place: {source!r} should be like 'he2016deep, table 3'"
    if key.startswith("https://"):
        return "" if f"({key})" in text else f"is from {key}, to which the text has no link"
    cited = re.search(rf"\{{cite:[tp]\}}`[^`]*\b{re.escape(key)}\b", text)
    return (
        "" if f"{{{key}," in bibliography and cited else f"is from {key!r}, which is not cited or not in references.bib"
    )


def check(root: Path, executed: Path, documents: list[str], names: dict[str, Any]) -> list[str]:
    """Return what is wrong with the numbers of the book's documents; the chapters' outputs are in `executed`."""
    bibliography, found = (root / "book" / "references.bib").read_text(encoding="utf-8"), []
    for document in documents:
        if (root / f"{document}.md").is_file():
            text = read_page((root / f"{document}.md").read_text(encoding="utf-8"))
        else:
            text = read_chapter(nbformat.read(executed / f"{Path(document).name}.ipynb", as_version=4).cells)
        found += [f"{document}, {line}" for line in complaints(text, bibliography, names)]
    return found
