"""Records, probes and traces as figures with alt text."""

from .curves import LiveCurves
from .style import Picture

__all__ = ["LiveCurves", "Picture"]
