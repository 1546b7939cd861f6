"""Numbers in the prose of a chapter, and the numbers that its run has put out: the rule of test_prose_numbers.py.

A number in Markdown text is a *claim*, and needs a source, if it has a decimal point, a thousands separator, a power of
ten, a ± or a unit (percent, times, million, G, MB, seconds ...), or is a whole number from 100 on. Spelled-out numbers
count before percent, points, million and billion, and from ten on before times. No claims are:

- code, formulas, headings, addresses and HTML tags;
- names of nets and other words with a number in them (ResNet-34, conv3_x; but 45k is one: it has a unit), and the
  depths 101, 110 and 152, which stand for such a name;
- numbers of sections, figures, tables, chapters, versions, issues; list markers; years from 1950 to 2039;
- the Time line of a chapter and the line of an exercise with its minutes, which say what a reader takes.

Its source may be the run: a number that a code cell puts out, or computes with, and that gives the claim when it is
rounded to the digits of the claim; code in a folded solution is run by a test, and counts. Few digits are easily met by
chance. So a claim of two digits has to be met in its own section (from one `##` to the next), and one of a single digit
with a unit ("two percent") is never met by the run. What an explorer shows is no source: it has hundreds of numbers.
Every other claim needs an entry in the register, quoted_numbers.py.
"""

from __future__ import annotations

import ast
import html
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

# ---------------------------------------------------------------- claims

PLACES = "sections?|chapters?|figures?|fig\\.|tables?|equations?|exercises?|hints?|options?|versions?|issues?|appendix"
# What is no prose. Each match is blotted out, so that places in the text stay what they are.
NO_PROSE = [
    r"^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence)`*\s*$",  # fenced code
    r"\{cite:[tp]\}`[^`]*`",
    r"(?P<ticks>`+).*?(?P=ticks)",
    r"\$\$.*?\$\$",
    r"\$[^$\n]+\$",
    r"^#{1,6} .*$",
    r"^\*\*Time:\*\*.*?(?:\*\*You need:\*\*|$)",
    r"^\*(?:easy|medium|harder|hard)\b[^*\n]*\*\s*$",
    r"\]\([^)\s]*\)",  # a link's target
    r"<[^>\n]+>",
    r"https?://\S+",
    r"^[ \t]*\d+\. ",  # a list's marker
    r"\bgithub\.com/\S+|\b[\w.-]+/[\w.-]+ #\d+|#\d+",
    rf"\b(?:{PLACES})\s+\d+(?:\.\d+)*(?:(?:,\s*|\s+and\s+|\s+or\s+|\s+to\s+|,\s+and\s+)\d+(?:\.\d+)*)*",
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
WORDS = {word: value for value, word in enumerate(_ONES.split(" "), start=1)} | _TENS
NUMBER = re.compile(
    r"(?<![\w.,/#])(?<![A-Za-z]-)(?P<pm>±\s?)?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+)(?P<power>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
    rf"(?:(?:[ \u00a0-]?(?P<unit>{_UNIT}))(?![\w]))?(?P<rest>[A-Za-z_]\w*)?"
)
SPELLED = re.compile(
    rf"\b(?P<word>{'|'.join(WORDS)})\s+(?P<unit>percent|percentage points?|points?|million|billion|times)\b", re.I
)


@dataclass(frozen=True)
class Claim:
    """A number in the text of a cell, in a section of a chapter.

    text:     as it stands there, with its unit.
    value:    of the digits alone.
    decimals: digits behind the point.
    digits:   that count: not the zeros in front, nor those at the end of a whole number.
    cell, section: where it stands; start, end: in the cell's text.
    """

    text: str
    value: float
    decimals: int
    digits: int
    unit: str
    cell: int
    section: int
    start: int
    end: int

    def met_by(self, number: float) -> bool:
        """Whether a number that was put out gives this one, when it is rounded to the digits that stand here."""
        scaled = [number]
        if self.unit in PERCENT or self.unit.startswith("percentage"):
            scaled.append(100 * number)
        if self.unit in SCALES:
            scaled.append(number / SCALES[self.unit])
        half = 0.5 * 10.0**-self.decimals
        return any(abs(abs(s) - self.value) <= half * (1 + 1e-9) for s in scaled)


def blot(text: str) -> str:
    """Return the text of a Markdown cell with what is no prose as blanks, each character at its place."""
    for pattern in NO_PROSE:
        flags = re.M | re.S if pattern.startswith((r"^ *(?P<fence>", r"\$\$", r"^\*\*Time")) else re.M
        flags |= re.I if PLACES in pattern else 0
        text = re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=flags)
    return text


def claims(text: str, cell: int = 0, section: int = 0) -> list[Claim]:
    """Return what a Markdown cell claims, in the order of the text."""
    prose, found = blot(text), []
    for match in NUMBER.finditer(prose):
        digits, unit, power = match["digits"].replace(",", ""), match["unit"] or "", match["power"]
        if match["rest"]:  # 6n, 3x, 2nd: a word
            continue
        value = float(digits)
        year = not unit and "," not in match["digits"] and re.fullmatch(r"19[5-9]\d|20[0-3]\d", digits)
        depth = not unit and digits in DEPTHS
        if (
            year
            or depth
            or not (match["pm"] or unit or power or "," in match["digits"] or "." in digits or value >= 100)
        ):
            continue
        decimals = len(digits.partition(".")[2])
        if power:
            value, decimals = value ** int(power.translate(SUPERSCRIPTS)), 12
        significant = len(digits.replace(".", "").lstrip("0").rstrip("0" if "." not in digits else ""))
        shown = match[0].strip()
        found.append(Claim(shown, value, decimals, significant, unit, cell, section, match.start(), match.end()))
    for match in SPELLED.finditer(prose):
        value, unit = WORDS[match["word"].lower()], match["unit"]
        if unit != "times" or value >= 10:
            at = (match.start(), match.end())
            found.append(Claim(match[0], value, 0, len(str(value).rstrip("0")), unit, cell, section, *at))
    return sorted(found, key=lambda claim: claim.start)


# ---------------------------------------------------------------- sources

OUTPUT_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]*[A-Za-z_]-?\d)", re.I
)


def output_text(output: dict) -> str:
    """Return what one output of a cell says: not progress bars, nor the drawing of a figure, nor an explorer."""
    if output["output_type"] == "stream":
        return output["text"] if output["name"] == "stdout" else ""
    data = output.get("data", {})
    page = data.get("text/html", "")
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""
    plain = data.get("text/plain", "")
    texts = ["" if plain.startswith("<") else plain, data.get("text/markdown", "")]
    texts += re.findall(r'(?:aria-label|alt)="([^"]*)"', page)  # what a figure says in words
    page = re.sub(r"<(svg|style|script)\b.*?</\1>", " ", page, flags=re.S)
    return html.unescape("\n".join([*texts, re.sub(r"<[^>]+>", " ", page)]))


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


@dataclass
class Chapter:
    """A chapter: what it claims, and which numbers its run gives.

    texts: number of a cell -> its Markdown. sources: number of a section -> the numbers of its outputs and its code.
    """

    name: str
    claims: list[Claim] = field(default_factory=list)
    sources: dict[int, list[float]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def met(self, claim: Claim) -> bool:
        """Whether the run gives this number."""
        if claim.digits == 1 and claim.unit:
            return False
        sections = [claim.section] if claim.digits < 3 else self.sources
        return any(claim.met_by(number) for s in sections for number in self.sources.get(s, []))


def read_chapter(name: str, cells: list[dict]) -> Chapter:
    """Return the claims and sources of a notebook's cells, executed or (then without outputs) as stored."""
    chapter, section = Chapter(name), 0
    for number, cell in enumerate(cells):
        text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            chapter.texts[number] = text
            section += bool(re.search(r"^## ", text, re.M))
            chapter.claims += claims(text, number, section)
            given = [n for code in fences("python", text) for n in numbers_in_code(code)]
            given += [n for session in fences("pycon", text) for n in numbers_in(session)]
        else:
            given = numbers_in_code(text) + [n for o in cell.get("outputs", []) for n in numbers_in(_joined(o))]
        chapter.sources.setdefault(section, []).extend(given)
    return chapter


def read_page(name: str, text: str) -> Chapter:
    """Return the claims and sources of a page of prose, whose code is run by a test."""
    return read_chapter(name, [{"cell_type": "markdown", "source": part} for part in re.split(r"(?m)^(?=## )", text)])


def fences(language: str, text: str) -> list[str]:
    """Return the blocks of fenced code of a language in Markdown text."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.M | re.S)


def _joined(output: dict) -> str:
    def join(value: object) -> object:
        return "".join(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value

    return output_text(
        {key: {k: join(v) for k, v in value.items()} if key == "data" else join(value) for key, value in output.items()}
    )


def around(text: str, claim: Claim, width: int = 45) -> str:
    """Return the words about a claim, for a message."""
    return " ".join(text[max(0, claim.start - width) : claim.end + width].split())


def spans(text: str, phrase: str) -> Iterator[tuple[int, int]]:
    """Yield where a phrase stands; runs of blanks and line ends are alike."""
    pattern = r"\s+".join(re.escape(word) for word in phrase.split())
    for match in re.finditer(pattern, text):
        yield match.span()
