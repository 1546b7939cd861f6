"""The key to the lines of the book's figures, drawn with the colours, dashes and widths of `resnet_edu.figure`.

Scope: three pairs of sample lines with a word on each, as HTML with inline SVG.
"""

from __future__ import annotations

from html import escape

from resnet_edu.figures.style import COLORS, DASHES, WIDTHS


def line_key() -> str:
    """Return the key as a list in HTML."""
    thin, thick = WIDTHS
    samples = [
        ("a plain network", _line(COLORS["plain"], DASHES["plain"], 2)),
        ("a residual network", _line(COLORS["resnet"], DASHES["resnet"], 2)),
        ("the shallowest network of a figure", _line("currentColor", "-", thin)),
        ("the deepest network of a figure", _line("currentColor", "-", thick)),
    ]
    rows = "".join(f'<li style="list-style:none">{line} {escape(text)}</li>' for text, line in samples)
    return f'<ul style="padding-left:0">{rows}</ul>\n'


def _line(color: str, dash: str | tuple[float, tuple[float, ...]], width: float) -> str:
    """Return a line of 60 CSS pixels; dashes are multiples of its width, and points are 96/72 pixels."""
    pixels = width * 96 / 72
    pattern = "" if isinstance(dash, str) else f' stroke-dasharray="{" ".join(f"{d * pixels:.2f}" for d in dash[1])}"'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="12" aria-hidden="true" style="margin-right:0.6em">'
        f'<path d="M0 6H60" stroke="{color}" stroke-width="{pixels:.2f}"{pattern}/></svg>'
    )
