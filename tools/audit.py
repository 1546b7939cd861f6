"""Print the figures of every page of the built site: bytes, requests, axe, dead links, complaints, Lighthouse's marks.

Run by `make audit`, after `make book`. The site is served compressed, as hosts of static pages do. Lighthouse (13, for
a phone) runs if `npx` is there; it takes half a minute a page. The last lines say which bounds do not hold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools" / "book"), str(ROOT / "tests" / "helpers")]

import make_pdf  # noqa: E402
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from browser import BYTES, Visit, chromium  # noqa: E402
from chapters import toc_documents  # noqa: E402
from links import all_links, dead_links  # noqa: E402
from make_site import SITE  # noqa: E402
from serve import Quiet, served  # noqa: E402

MARKS = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
MORE = ("label-content-name-mismatch", "target-size", "td-has-header")  # rules that Lighthouse has axe use, too
TEXT = (".html", ".js", ".css", ".svg", ".json", ".txt", ".ipynb")


class Compressed(Quiet):
    """Serves files, those of text compressed, and lets them be kept."""

    def send_head(self) -> object:
        """Send the head of a file; return the file, or None once all is sent."""
        path = Path(self.translate_path(self.path))
        if not (path.is_file() and path.suffix in TEXT):
            return super().send_head()
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=31536000")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        return None


def barriers(visit: Visit) -> list[str]:
    """Return what axe finds on the whole page, of any impact, folds open, in light and in dark."""
    visit.page.evaluate("() => document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    visit.draw_all()
    options = {"resultTypes": ["violations"], "preload": False, "rules": {name: {"enabled": True} for name in MORE}}
    found = []
    for theme in ("light", "dark"):
        visit.show(theme)
        result = Axe().run(visit.page, options=options)
        for rule in result.response["violations"]:
            places = [str(node["target"][0]) for node in rule["nodes"]]
            found.append(f"{theme}: {rule['id']} ({rule['impact']}), {len(places)} times, first at {places[0]}")
    return found


def lighthouse(address: str) -> dict[str, int]:
    """Return Lighthouse's marks of a page on a phone, 0 to 100; {} where it cannot run."""
    command = [
        "npx",
        "--yes",
        "lighthouse@13",
        address,
        "--quiet",
        "--output=json",
        f"--only-categories={','.join(MARKS)}",
    ]
    command.append("--chrome-flags=--headless=new --no-sandbox --disable-gpu")
    environment = {**os.environ, "CHROME_PATH": make_pdf.chromium()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        print(f"Lighthouse failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    marks = json.loads(done.stdout)["categories"]
    return {name: round(100 * marks[name]["score"]) for name in MARKS}


def main() -> int:
    """Print a line for each page; return 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="such as book/intro (default: all)")
    parser.add_argument("--no-lighthouse", action="store_true", help="the other figures only: seconds a page")
    arguments = parser.parse_args()
    marks_too = not arguments.no_lighthouse and shutil.which("npx")
    beyond, pages = [], all_links(SITE)
    print(f"{'page':44} {'kB':>4} {'requests':>8} {'axe':>4} {'links':>5} {'complaints':>10}  {'  '.join(MARKS)}")
    with served(SITE, Compressed) as base, chromium() as browser:
        for name in arguments.pages or toc_documents():
            page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
            visit = Visit(page, base).open(f"{name}.html")
            size = sum(len(gzip.compress(body)) for body in visit.bodies())
            requests = len(visit.responses)
            axe, complaints = barriers(visit), visit.complaints + visit.foreign
            dead = dead_links(SITE / f"{name}.html", pages)
            marks = lighthouse(f"{base}{name}.html") if marks_too else {}
            line = f"{name:44} {size / 1000:4.0f} {requests:8} {len(axe):4} {len(dead):5} {len(complaints):10} "
            print(line, *(f"{marks[m]:{len(m)}} " for m in marks), flush=True)
            beyond += [f"{name}: {size:,} bytes"] * (size > BYTES[name.startswith("notebooks/")])
            beyond += [f"{name}: {line}" for line in [*axe, *(f"leads nowhere: {link}" for link in dead), *complaints]]
            beyond += [f"{name}: {what} {mark}" for what, mark in marks.items() if mark < MARKS[what]]
            page.close()
    print("\n".join(["", "All bounds hold." if not beyond else "Beyond the bounds:", *beyond]))
    return bool(beyond)


if __name__ == "__main__":
    sys.exit(main())
