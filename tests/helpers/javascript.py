"""Run the explorers' JavaScript in V8, as it is shipped: the bundle of an explorer, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

from make_widgets import MODULES
from py_mini_racer import MiniRacer


class Module:
    """One bundle of resnet_edu/widgets/static; its exported functions take and return what JSON can write."""

    def __init__(self, path: Path) -> None:
        code = path.read_text(encoding="utf-8")
        found = re.search(r"export\s*\{([^}]*)\};?\s*$", code)
        pairs = [name.split(" as ") for name in found[1].split(",")]
        members = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in pairs)
        self._engine = MiniRacer()
        self._engine.eval(f"{code[: found.start()]};globalThis.bundle={{{members}}};0")

    def call(self, name: str, *arguments: object) -> object:
        """Call an exported function."""
        given = ",".join(map(json.dumps, arguments))
        return json.loads(self._engine.eval(f"JSON.stringify(bundle.{name}({given}))"))


def load(name: str) -> Module:
    """Return the bundle of an explorer."""
    return Module(MODULES / f"{name}.js")
