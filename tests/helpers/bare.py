"""A Python environment like a hosted notebook's: torch, torchvision, a kernel, and nothing else that the book needs.

What is installed here is linked into it, so it costs no download and no disk. pip sees ordinary packages: it may
remove a link, and never the file behind it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement

HOSTED = ("torch", "torchvision", "numpy", "ipykernel")  # what is there before a reader's first cell


def with_dependencies(names: tuple[str, ...]) -> set[str]:
    """Return the names (normalised) of the packages and all that they need here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:  # an optional one that this system has no use for
            continue
        found.add(name)
        for line in requires:
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
                for extra in requirement.extras:
                    waiting.extend(_of_extra(requirement.name, extra))
    return found


def _of_extra(name: str, extra: str) -> list[str]:
    asked = [Requirement(line) for line in distribution(name).requires or []]
    return [r.name for r in asked if r.marker and r.marker.evaluate({"extra": extra})]


class BareEnvironment:
    """The environment in `folder`: `python` runs in it, `kernel()` is the name of its Jupyter kernel.

    The kernel's name is known to those whose JUPYTER_PATH is `jupyter_path`.

    names: of the packages that are there, with all that they need.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] = HOSTED) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")
        self.linked = with_dependencies(names)
        for name in self.linked:
            self._link(name)
        self.jupyter_path = folder / "jupyter"
        spec = self.jupyter_path / "kernels" / "bare"
        spec.mkdir(parents=True)
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))

    def _link(self, name: str) -> None:
        own = distribution(name)
        for file in own.files or []:
            target = self.packages / file
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            pairs = {target: Path(own.locate_file(file))}
            if file.suffix == ".py":  # and what Python has compiled: torch alone takes it half a minute
                pairs |= {
                    Path(cache_from_source(there)): Path(cache_from_source(here)) for there, here in pairs.items()
                }
            for there, here in pairs.items():
                if here.exists() and not there.exists():
                    there.parent.mkdir(parents=True, exist_ok=True)
                    os.symlink(here, there)

    def versions(self) -> dict[str, str]:
        """Return what pip lists."""
        command = [self.python, "-m", "pip", "--log", os.devnull, "list", "--format=json"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {entry["name"].lower(): entry["version"] for entry in json.loads(listed)}
