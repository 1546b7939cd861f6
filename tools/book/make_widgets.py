"""Bundle the explorers' JavaScript: what `make widgets` runs. Its products are committed, so a reader needs no node.

From resnet_edu/widgets/src, where every `<name>.js` is an explorer and lib/ is what they share, esbuild makes

- resnet_edu/widgets/static/<name>.js, one self-contained ES module each: the live widget of JupyterLab, VS Code, Colab;
- book/assets/explorers/<name>.js, a classic script each, beside them lib.js and charts.js with what several need, and
  book/assets/explorers.js, the mount of lib/page.js, which loads those that a page uses: for the book, also when it
  is opened from a folder, where browsers refuse modules;
- book/assets/explorers.css, the style sheets beside the sources. A module carries those it imports, since a live widget
  is one file; the scripts of the pages do not;
- from workers/<name>.js, what an explorer does in a Web Worker: `<name>.worker.js` beside both. It only defines a
  function; its text is the worker's source. A page loads it when the explorer asks for it.

The first line of each product holds a hash of its sources, by which tests/widgets/test_widgets.py finds a stale one.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "resnet_edu" / "widgets" / "src"
MODULES = ROOT / "resnet_edu" / "widgets" / "static"
PAGE = ROOT / "book" / "assets" / "explorers.js"
STYLE = PAGE.with_suffix(".css")
SHARED = {"lib": ("ui", "style"), "charts": ("plot", "chart")}  # scripts of lib/'s modules that most explorers need
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
TARGET = "es2020"


def explorers() -> list[str]:
    """Return the names of the explorers, in the order of the alphabet."""
    return sorted(path.stem for path in SOURCES.glob("*.js"))


def workers() -> list[str]:
    """Return the names of the explorers that have a Web Worker."""
    return [name for name in explorers() if (SOURCES / "workers" / f"{name}.js").exists()]


def products(modules: Path = MODULES, page: Path = PAGE) -> dict[Path, list[str]]:
    """Return every product, and the explorers whose sources it depends on."""
    found = {
        page: explorers(),
        page.with_suffix(".css"): explorers(),
        **{page.with_suffix("") / f"{n}.js": [] for n in SHARED},
    }
    for folder in (modules, page.with_suffix("")):
        found |= {folder / f"{name}.js": [name] for name in explorers()}
        found |= {folder / f"{name}.worker.js": [name] for name in workers()}
    return found


def source_hash(names: Sequence[str]) -> str:
    """Return one hash of what the product of these explorers depends on: their sources, lib/, the pinned esbuild."""
    digest = hashlib.sha256()
    sources = [path for name in names for path in sorted(SOURCES.glob(f"{name}.*"))]
    if set(names) & set(workers()):
        sources += sorted((SOURCES / "workers").iterdir())
    for path in [*sources, *sorted((SOURCES / "lib").iterdir()), ROOT / "package.json", Path(__file__)]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def banner(names: Sequence[str]) -> str:
    """Return the first line of a product of these explorers."""
    return f"/* resnet_edu explorers, MIT licence; made by `make widgets` from sources {source_hash(names)} */"


def page_entry() -> str:
    """Return the module that the mount is made from: it knows each file's version, so that no old one is loaded."""
    files = {name: source_hash([]) for name in SHARED} | {name: source_hash([name]) for name in explorers()}
    versions = {name: version[:8] for name, version in files.items()}
    return (
        f'import {{ mountAll }} from "./lib/page.js";\nmountAll({json.dumps(versions)}, {json.dumps(with_charts())});'
    )


def with_charts() -> list[str]:
    """Return the names of the explorers that need charts.js."""
    sources = {name: (SOURCES / f"{name}.js").read_text(encoding="utf-8") for name in explorers()}
    return [n for n, text in sources.items() if any(f'"./lib/{part}.js"' in text for part in SHARED["charts"])]


def script_entry(name: str) -> str:
    """Return the module that an explorer's classic script is made from: it hands the explorer to the mount."""
    return f'import explorer from "./{name}.js";\n(globalThis.rxExplorers ??= {{}}).{name} = explorer;'


def shared_entry(names: Sequence[str]) -> str:
    """Return the module that a script of modules of lib/ is made from."""
    imports = "\n".join(f'import * as {name} from "./lib/{name}.js";' for name in names)
    return f"{imports}\nObject.assign((globalThis.rxLib ??= {{}}), {{ {', '.join(names)} }});"


def style_entry() -> str:
    """Return the style sheet that the pages' one is made from: that of all explorers first, their own after it."""
    sheets = [
        *sorted((SOURCES / "lib").glob("*.css"), key=lambda path: path.stem != "style"),
        *sorted(SOURCES.glob("*.css")),
    ]
    return "\n".join(f'@import "./{path.relative_to(SOURCES).as_posix()}";' for path in sheets)


def bundle(modules: Path = MODULES, page: Path = PAGE) -> None:
    """Write all products. Raises `CalledProcessError` with esbuild's own message on stderr."""
    names = products(modules, page)

    def make(
        product: Path, *options: str, stdin: str | None = None, around: Sequence[str] = ("", ""), cwd: Path = SOURCES
    ) -> None:
        kind = product.suffix[1:]
        common = ["--bundle", "--minify", "--charset=utf8", "--legal-comments=none", "--log-level=warning"]
        common += [f"--target={TARGET}", f"--banner:{kind}={banner(names[product])}{around[0]}"]
        common += [f"--footer:{kind}={around[1]}", f"--outfile={product.resolve()}"]
        subprocess.run([ESBUILD, *options, *common], cwd=cwd, input=stdin, text=True, check=True)

    scripts = page.with_suffix("")
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(shutil.copytree(SOURCES, Path(folder) / "src"))
        page_script = ["--format=iife", "--loader:.css=empty"]
        for script, parts in SHARED.items():
            make(scripts / f"{script}.js", *page_script, stdin=shared_entry(parts), cwd=sources)
            for part in parts:
                (sources / "lib" / f"{part}.js").write_text(f"module.exports = globalThis.rxLib.{part};")
        for name in explorers():
            make(modules / f"{name}.js", f"{name}.js", "--format=esm", "--loader:.css=text")
            make(scripts / f"{name}.js", *page_script, stdin=script_entry(name), cwd=sources)
    for name in workers():
        function = (f"\n(globalThis.rxWorkers ??= {{}}).{name} = function () {{", "return worker;\n};")
        options = [f"workers/{name}.js", "--format=iife", "--global-name=worker", "--loader:.txt=text"]
        make(modules / f"{name}.worker.js", *options, around=function)
        shutil.copy(modules / f"{name}.worker.js", scripts)
    make(page, "--format=iife", stdin=page_entry())
    make(page.with_suffix(".css"), "--loader=css", stdin=style_entry())


def main() -> None:
    """Bundle, drop the products of explorers that are gone, and say how large the rest is."""
    if not ESBUILD.exists():
        sys.exit("esbuild is not installed: run `make widgets`, which installs the version of package-lock.json")
    for folder in (MODULES, PAGE.with_suffix("")):
        folder.mkdir(exist_ok=True)
        for old in set(folder.glob("*.js")) - set(products()):
            old.unlink()
    bundle()
    for path in sorted(products()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
