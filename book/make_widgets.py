"""Bundle the explorers' JavaScript: what `make widgets` runs. Its products are committed, so a reader needs no node.

From resnet_edu/widgets/src, where every `<name>.js` is an explorer and lib/ is what they share, esbuild makes

- resnet_edu/widgets/static/<name>.js, one self-contained ES module each: the live widget of JupyterLab, VS Code, Colab;
- book/assets/explorers.js, one classic script with all of them and the mount of lib/page.js: for the pages of the book,
  also when they are opened from a folder, where browsers refuse modules.

The first line of each product holds a hash of its sources, by which tests/test_widgets.py finds a stale one.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "resnet_edu" / "widgets" / "src"
MODULES = ROOT / "resnet_edu" / "widgets" / "static"
PAGE = ROOT / "book" / "assets" / "explorers.js"
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
TARGET = "es2020"


def explorers() -> list[str]:
    """Return the names of the explorers, in the order of the alphabet."""
    return sorted(path.stem for path in SOURCES.glob("*.js"))


def source_hash(names: Sequence[str]) -> str:
    """Return one hash of what the product of these explorers depends on: their sources, lib/, the pinned esbuild."""
    digest = hashlib.sha256()
    sources = [*(SOURCES / f"{name}.js" for name in names), *sorted((SOURCES / "lib").rglob("*.js"))]
    for path in [*sources, ROOT / "package.json", Path(__file__)]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def banner(product: Path) -> str:
    """Return the first line of a product."""
    names = explorers() if product.name == PAGE.name else [product.stem]
    return f"/* resnet_edu explorers, MIT licence; made by `make widgets` from sources {source_hash(names)} */"


def page_entry() -> str:
    """Return the module that the classic script is made from: all explorers, handed to the page's mount."""
    names = explorers()
    imports = [f'import {name} from "./{name}.js";' for name in names]
    return "\n".join(['import { mountAll } from "./lib/page.js";', *imports, f"mountAll({{ {', '.join(names)} }});"])


def bundle(modules: Path = MODULES, page: Path = PAGE) -> None:
    """Write all products. Raises `CalledProcessError` with esbuild's own message on stderr."""

    def make(product: Path, kind: str, *source: str, stdin: str | None = None) -> None:
        options = ["--bundle", "--minify", "--charset=utf8", "--legal-comments=none", "--log-level=warning"]
        options += [f"--target={TARGET}", f"--format={kind}", f"--banner:js={banner(product)}", f"--outfile={product}"]
        subprocess.run([ESBUILD, *source, *options], cwd=SOURCES, input=stdin, text=True, check=True)

    for name in explorers():
        make(modules / f"{name}.js", "esm", f"{name}.js")
    make(page, "iife", stdin=page_entry())


def main() -> None:
    """Bundle, drop the products of explorers that are gone, and say how large the rest is."""
    if not ESBUILD.exists():
        sys.exit("esbuild is not installed: run `make widgets`, which installs the version of package-lock.json")
    MODULES.mkdir(exist_ok=True)
    for old in MODULES.glob("*.js"):
        if old.stem not in explorers():
            old.unlink()
    bundle()
    for path in [*sorted(MODULES.glob("*.js")), PAGE]:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
