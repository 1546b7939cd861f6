"""Bundle the explorers' JavaScript: what `make widgets` runs. Its products are committed, so a reader needs no node.

From resnet_edu/widgets/src, where every `<name>.js` is an explorer and lib/ is what they share, esbuild makes

- resnet_edu/widgets/static/<name>.js, one self-contained ES module each: the live widget of JupyterLab, VS Code, Colab;
- book/assets/explorers.js, one classic script with all of them and the mount of lib/page.js: for the pages of the book,
  also when they are opened from a folder, where browsers refuse modules;
- book/assets/explorers.css, the style sheets beside the sources. A module carries those it imports, since a live widget
  is one file; the script of the pages does not.

The first line of each product holds a hash of its sources, by which tests/test_widgets.py finds a stale one.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "resnet_edu" / "widgets" / "src"
MODULES = ROOT / "resnet_edu" / "widgets" / "static"
PAGE = ROOT / "book" / "assets" / "explorers.js"
STYLE = PAGE.with_suffix(".css")
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
TARGET = "es2020"


def explorers() -> list[str]:
    """Return the names of the explorers, in the order of the alphabet."""
    return sorted(path.stem for path in SOURCES.glob("*.js"))


def source_hash(names: Sequence[str]) -> str:
    """Return one hash of what the product of these explorers depends on: their sources, lib/, the pinned esbuild."""
    digest = hashlib.sha256()
    sources = [path for name in names for path in sorted(SOURCES.glob(f"{name}.*"))]
    for path in [*sources, *sorted((SOURCES / "lib").iterdir()), ROOT / "package.json", Path(__file__)]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def banner(product: Path) -> str:
    """Return the first line of a product."""
    names = explorers() if product.name in (PAGE.name, STYLE.name) else [product.stem]
    return f"/* resnet_edu explorers, MIT licence; made by `make widgets` from sources {source_hash(names)} */"


def page_entry() -> str:
    """Return the module that the classic script is made from: all explorers, handed to the page's mount."""
    names = explorers()
    imports = [f'import {name} from "./{name}.js";' for name in names]
    return "\n".join(['import { mountAll } from "./lib/page.js";', *imports, f"mountAll({{ {', '.join(names)} }});"])


def style_entry() -> str:
    """Return the style sheet that the pages' one is made from: that of all explorers first, their own after it."""
    sheets = [
        *sorted((SOURCES / "lib").glob("*.css"), key=lambda path: path.stem != "style"),
        *sorted(SOURCES.glob("*.css")),
    ]
    return "\n".join(f'@import "./{path.relative_to(SOURCES).as_posix()}";' for path in sheets)


def bundle(modules: Path = MODULES, page: Path = PAGE) -> None:
    """Write all products. Raises `CalledProcessError` with esbuild's own message on stderr."""

    def make(product: Path, *options: str, stdin: str | None = None) -> None:
        common = ["--bundle", "--minify", "--charset=utf8", "--legal-comments=none", "--log-level=warning"]
        common += [f"--target={TARGET}", f"--banner:{product.suffix[1:]}={banner(product)}", f"--outfile={product}"]
        subprocess.run([ESBUILD, *options, *common], cwd=SOURCES, input=stdin, text=True, check=True)

    for name in explorers():
        make(modules / f"{name}.js", f"{name}.js", "--format=esm", "--loader:.css=text")
    make(page, "--format=iife", "--loader:.css=empty", stdin=page_entry())
    make(page.with_suffix(".css"), "--loader=css", stdin=style_entry())


def main() -> None:
    """Bundle, drop the products of explorers that are gone, and say how large the rest is."""
    if not ESBUILD.exists():
        sys.exit("esbuild is not installed: run `make widgets`, which installs the version of package-lock.json")
    MODULES.mkdir(exist_ok=True)
    for old in MODULES.glob("*.js"):
        if old.stem not in explorers():
            old.unlink()
    bundle()
    for path in [*sorted(MODULES.glob("*.js")), PAGE, STYLE]:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
