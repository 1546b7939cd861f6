"""The map of the book: a box for each chapter with the question that it answers, and arrows to those that need it.

It is an inline SVG, 340 units wide, so that a phone shows it in full size. An arrow that a longer way of other arrows
says as well is left out.
"""

from __future__ import annotations

import textwrap
from html import escape

from chapters import Chapter

WIDTH, LANE = 340, 14  # units
TITLE, QUESTION = (15, 19, 31), (13.5, 17.5, 38)  # size of letters, height of a line, letters that fit


def needed(chapters: list[Chapter]) -> list[tuple[int, int]]:
    """Return the arrows (from, to) as places in the list, without those that a longer way says as well."""
    places = {chapter.document: place for place, chapter in enumerate(chapters)}
    direct = {place: {places[name] for name in c.needs if name in places} for place, c in enumerate(chapters)}

    def behind(place: int) -> set[int]:
        return direct[place].union(*(behind(other) for other in direct[place]))

    for place, others in direct.items():
        if any(other >= place for other in others):
            raise ValueError(f"{chapters[place].document} says that it needs itself or a later chapter")
    return [(a, b) for b, others in direct.items() for a in sorted(others) if not any(a in behind(o) for o in others)]


def chapter_map(chapters: list[Chapter]) -> str:
    """Return the map as a figure in HTML."""
    arrows = needed(chapters)
    lanes = _lanes([arrow for arrow in arrows if arrow[1] > arrow[0] + 1])
    left = LANE * (1 + max(lanes.values(), default=-1)) + 8
    places, out, y = [], [], 1.0
    for chapter in chapters:
        box, height = _box(left, y, f"{chapter.number}. {chapter.title}", chapter.facts["question"])
        places.append((y, y + height))
        out.append(box)
        y += height + 22
    for a, b in arrows:
        out.append(_arrow(a, b, places, left, lanes))
    alt = _alt(chapters, arrows)
    return (
        '<figure class="resnet-figure" style="margin:1em 0;padding:0">'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - 20:.0f}" role="img" '
        f'aria-label="{escape(alt)}" style="width:100%;max-width:{WIDTH * 1.25:.0f}px;height:auto;font-family:inherit">'
        f'<title class="nohighlight">{escape(alt)}</title>{"".join(out)}</svg>'
        "<figcaption>An arrow leads from a chapter to one that needs it.</figcaption></figure>\n"
    )


def _lanes(arrows: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return arrow -> the lane left of the boxes in which it runs; two arrows that overlap have two lanes."""
    lanes: dict[tuple[int, int], int] = {}
    for a, b in sorted(arrows, key=lambda arrow: arrow[1] - arrow[0]):
        used = {lane for (c, d), lane in lanes.items() if c < b and a < d}
        lanes[a, b] = next(lane for lane in range(len(arrows)) if lane not in used)
    return lanes


def _box(left: float, y: float, title: str, question: str) -> tuple[str, float]:
    """Return a box whose upper edge is at `y`, and its height."""
    rows, below = [], y + 3
    for text, (size, line, letters), weight in ((title, TITLE, 650), (question, QUESTION, 400)):
        for part in textwrap.wrap(text, letters):
            below += line
            rows.append(
                f'<text x="{left + 10}" y="{below}" font-size="{size}" font-weight="{weight}" fill="currentColor">'
                f"{escape(part)}</text>"
            )
    height = below + 9 - y
    frame = (
        f'<rect x="{left}" y="{y}" width="{WIDTH - left - 1}" height="{height}" rx="5" fill="none" '
        'stroke="var(--book-accent, #2a78b8)" stroke-width="1.5"/>'
    )
    return frame + "".join(rows), height


def _arrow(a: int, b: int, places: list[tuple[float, float]], left: float, lanes: dict[tuple[int, int], int]) -> str:
    """Return an arrow: straight down to the next box, or round the boxes between, in its lane."""
    if (a, b) in lanes:
        x, start, end = left - LANE * (1 + lanes[a, b]) + 4, places[a][1] - 10, places[b][0] + 14
        way, tip = f"M{left} {start}H{x}V{end}H{left - 5}", f"M{left} {end}l-7 -4v8z"
    else:
        x, start, end = left + 24, places[a][1], places[b][0]
        way, tip = f"M{x} {start}V{end - 5}", f"M{x} {end}l-4 -7h8z"
    return (
        f'<path d="{way}" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="{tip}" fill="currentColor"/>'
    )


def _alt(chapters: list[Chapter], arrows: list[tuple[int, int]]) -> str:
    """Return the map in words."""
    said = []
    for place, chapter in enumerate(chapters):
        before = [str(chapters[a].number) for a, b in arrows if b == place]
        needs = f"needs chapter {' and '.join(before)}" if before else "needs none before it"
        said.append(f"Chapter {chapter.number}, {chapter.title}, {needs}. {chapter.facts['question']}")
    return "Map of the chapters. " + " ".join(said)
