"""How a net's line is drawn in an explorer: as in the figures."""

from __future__ import annotations

from collections.abc import Sequence

from ..figure import DASHES, OTHER_DASH, kind_color, net_width

PIXELS = 96 / 72  # CSS pixels in a point


def net_line(kind: str, depth: int, kinds: Sequence[str], depths: Sequence[int]) -> dict[str, object]:
    """Return colour, dash (lengths of strokes and gaps in widths; [] for none) and width (CSS pixels) of a net's line.

    kinds, depths: of all the nets beside it.
    """
    dash = DASHES.get(kind, OTHER_DASH)
    return {
        "color": kind_color(kind, kinds),
        "dash": [] if dash == "-" else list(dash[1]),
        "width": round(net_width(depth, depths) * PIXELS, 2),
    }
