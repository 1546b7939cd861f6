"""Build the book: execute the chapters, write the site to _build/html.

Run by `make book`. The first chapter runs the default experiment, the one of `resnet-edu degrade`. Jupyter's cache of
executed notebooks looks at the cells alone, so each chapter's entry also has a hash of what it depends on: the modules
of the package that it has imported, all records, and the libraries. Jupyter Book finds all outputs in the cache. Where
nothing has changed, all that is done is to compare one hash.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import claims
import nbformat
import yaml
from chapter_files import setup_cell
from chapters import ROOT, toc_documents
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from repository import Repository, merged

BUILD = ROOT / "_build"
SITE = BUILD / "html"
EXECUTED = BUILD / "jupyter_execute" / "notebooks"  # the chapters with their outputs, for tests
AT_ONCE = 2  # chapters
CACHE = BUILD / ".jupyter_cache"

IMPORTED = """import json, sys
print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "resnet_edu"]))"""
SKIPPED = {"__pycache__", ".ipynb_checkpoints", "src", "static"}  # the explorers' JavaScript: pages have book/assets'
PACKAGE = ("resnet_edu", "pyproject.toml")
SOURCES = (*PACKAGE, "notebooks", "book", "tools/book", "_config.yml", "_toc.yml")  # what the site is made from


def source_files(names: Sequence[str]) -> list[Path]:
    """Return the files with these names, and those in folders with these names."""
    found = [path for name in names for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    return sorted(p for p in found if p.is_file() and not SKIPPED & set(p.relative_to(ROOT).parts))


def digests_of(names: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each of `source_files`, by its path."""
    files = source_files(names)
    return {p.relative_to(ROOT).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def state_of(digests: dict[str, str]) -> str:
    """Return one hash of files, and of the libraries that are used."""
    digest = hashlib.sha256(repr(digests).encode())
    for library in ("torch", "torchvision", "numpy", "matplotlib"):
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def empty_site() -> Iterator[None]:
    """Build into an empty folder: pages of removed chapters would stay otherwise. Executed cells come from the cache.

    Where the build fails or is killed, the site of before is kept, and is put back by the failure or the next build.
    """
    before = BUILD / "html.before"
    if before.exists():
        shutil.rmtree(SITE, ignore_errors=True)  # what a killed build has left
    elif SITE.exists():
        SITE.rename(before)
    shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    try:
        yield
    except BaseException:
        if before.exists():
            shutil.rmtree(SITE, ignore_errors=True)
            before.rename(SITE)
        raise
    shutil.rmtree(before, ignore_errors=True)


def execute_chapters() -> None:
    """Run the chapters that the cache lacks, two at a time, and leave every chapter with its outputs in EXECUTED."""
    cache = get_cache(CACHE)
    chapters = [name for name in toc_documents() if name.startswith("notebooks/")]
    notebooks = {name: nbformat.read(ROOT / f"{name}.ipynb", as_version=4) for name in chapters}

    package = digests_of(PACKAGE)  # once, and before the first chapter runs

    def state_for(modules: Sequence[str]) -> str:
        """Return one hash of what a chapter depends on beside its cells: the modules it has imported, all records."""
        return state_of({path: d for path, d in package.items() if path in modules or not path.endswith(".py")})

    def is_cached(name: str) -> bool:
        with contextlib.suppress(KeyError):
            found = cache.match_cache_notebook(notebooks[name]).data
            return found["state"] == state_for(found["modules"])
        return False

    def run_chapter(name: str) -> tuple[ExecutionResult, list[str]]:
        print(f"running {name}", flush=True)
        cells = notebooks[name].cells
        cells.append(nbformat.v4.new_code_cell(IMPORTED))
        result = single_nb_execution(notebooks[name], cwd=str(ROOT / "notebooks"), timeout=600, allow_errors=False)
        asked = cells.pop()
        files = [] if result.err else json.loads(asked.outputs[0].text)
        return result, [Path(file).relative_to(ROOT).as_posix() for file in files]

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // AT_ONCE)))
    waiting = [name for name in notebooks if not is_cached(name)]
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, (result, modules) in zip(waiting, pool.map(run_chapter, waiting), strict=True):
            if result.err:
                failed.append(f"{name}\n{result.exc_string}")
                continue
            print(f"{name} took {result.time:.0f} s", flush=True)
            note = {"execution_seconds": result.time, "modules": modules, "state": state_for(modules)}
            bundle = CacheBundleIn(notebooks[name], str(ROOT / f"{name}.ipynb"), data=note)
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    if failed:
        sys.exit("These chapters fail, and the book is not built:\n\n" + "\n\n".join(failed))

    EXECUTED.mkdir(parents=True, exist_ok=True)
    for name in notebooks:
        stored = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
        _, executed = cache.merge_match_into_notebook(stored)
        nbformat.write(executed, EXECUTED / f"{Path(name).name}.ipynb")


def check_numbers() -> None:
    """Stop the build at numbers in the text that have no source or a wrong one."""
    from sources import NAMES  # imports torch

    found = claims.check(ROOT, EXECUTED, toc_documents(), NAMES)
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        sys.exit(
            f"{len(found)} numbers in the text of the book are not accounted for:\n{lines}\nIf a number is wrong, mend "
            "the text. If not, let a cell of its section print it, or write its source beside it: under `sources` in "
            "the metadata of the cell, or at the head of the page. tools/book/claims.py says how, with examples."
        )


def write_config(repository: Repository, outputs: bool = True) -> Path:
    """Write Jupyter Book's configuration, the buttons for `repository` included, and return where it is."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config.pop("repository", None)  # an empty address would stop Jupyter Book
    if not outputs:
        config["execute"]["execute_notebooks"] = "off"
    local = config["sphinx"]["local_extensions"]  # looked for from the folder of the file that is written here
    config["sphinx"]["local_extensions"] = {name: str(ROOT / folder) for name, folder in local.items()}
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "config.yml"
    path.write_text(yaml.safe_dump(merged(config, repository.settings()), allow_unicode=True), encoding="utf-8")
    return path


def run(*command: str | Path) -> None:
    """Run a command from the root of the repository; stop the build when it fails."""
    line = shlex.join(map(str, command))
    print(f"+ {line}", flush=True)
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"`{line}` failed with status {status}; the book is not built.")


def main() -> None:
    """Build the site and check that every page of the table of contents is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", action="store_true", help="pages without outputs: a look at text and links, quickly")
    arguments = parser.parse_args()
    tools = Path(sys.executable).parent
    repository = Repository.from_config(ROOT / "_config.yml")
    setup_cell(repository.source)  # an address that cannot be one is told now, and not after the build

    state, note = f"{state_of(digests_of(SOURCES))} {repository} {arguments.text}", BUILD / "site_state"
    if SITE.exists() and note.is_file() and note.read_text() == state:
        print(f"Nothing has changed since {SITE} was built.")
        return
    from downloads import finish_downloads  # these import torch, which takes longer than all before
    from finish import finish_pages

    note.unlink(missing_ok=True)
    if not arguments.text:
        execute_chapters()
        check_numbers()
    with empty_site():
        config = write_config(repository, outputs=not arguments.text)
        run(tools / "jupyter-book", "build", ".", "--config", config, "-W", "-n", "--keep-going")
        finish_downloads(SITE / "_sources", repository)
        finish_pages(SITE, repository.site)
    note.write_text(state)
    print(f"\nThe book is ready, {len(toc_documents())} pages. Open {SITE / 'index.html'} or run `make serve`.")


if __name__ == "__main__":
    main()
