"""The network explorer."""

from __future__ import annotations

import traitlets

from ._base import Explorer, module


class NetworkExplorer(Explorer):
    """The network explorer."""

    _esm = module("network")
    _explorer = traitlets.Unicode("network").tag(sync=True)
    depth = traitlets.Int(18).tag(sync=True)

    def static_html(self) -> str:
        """Return the table."""
        return f"<table><tr><td>depth</td><td>{self.depth}</td></tr></table>"
