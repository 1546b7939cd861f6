"""From a key press to the picture: how long the network explorer takes on ResNet-152, in Chromium.

    python benchmarks/explorer_speed.py

Real key presses move a slider and choose from a list, as a reader would. The time runs from the moment when the browser
got the key to the first task after the frame in which the change was drawn. The aim is 50 ms: below about 100 ms a
change feels immediate [1], and half of that is left for slower machines. The whole table of 515 rows is patched each
time; the browser draws the part of it that is in view.

Source
  [1] Nielsen, "Usability Engineering", 1993, chapter 5: response times of 0.1, 1 and 10 seconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "tools" / "book")]

from browser import DESKTOP, PHONE, chromium, served, write_explorer_page  # noqa: E402
from playwright.sync_api import Page  # noqa: E402

from resnet_edu.widgets import NetworkExplorer  # noqa: E402

PRESSES = 40
LIMIT = 50  # milliseconds

WATCH = """() => {
  window.times = [];
  const channel = new MessageChannel();
  let start = 0;
  channel.port1.onmessage = () => window.times.push(performance.now() - start);
  document.addEventListener("input", (event) => {
    start = event.timeStamp;
    requestAnimationFrame(() => channel.port2.postMessage(0));  // runs after this frame has been drawn
  }, true);
}"""


def measure(page: Page, label: str, keys: list[str]) -> list[float]:
    """Return the milliseconds from each key press to its picture."""
    page.get_by_label(label, exact=True).focus()
    page.evaluate("() => { window.times.length = 0; }")
    for i in range(PRESSES):
        page.keyboard.press(keys[i % len(keys)])
        page.wait_for_function("n => window.times.length >= n", arg=i + 1)
    return page.evaluate("() => window.times")


def main() -> None:
    """Measure and print a table."""
    moves = [
        ("image height, one pixel", "Image height, slider", ["ArrowRight"]),
        ("depth 152 to 101 and back", "Depth (layers)", ["ArrowUp", "ArrowDown"]),
        ("shortcut B to C and back", "Shortcut", ["ArrowDown", "ArrowUp"]),
    ]
    print(f"ResNet-152, key press to picture in ms, {PRESSES} presses each; aim: {LIMIT}")
    print(f"{'':28} {'window':>9} {'median':>7} {'95%':>7} {'most':>7}")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, served(Path(folder)) as ways:
        name = write_explorer_page(Path(folder), [NetworkExplorer("resnet152")])
        for size in (DESKTOP, PHONE):
            page = browser.new_page(viewport=size)
            page.goto(ways["http"] + name)
            page.evaluate(WATCH)
            for title, label, keys in moves:
                times = sorted(measure(page, label, keys))
                row = (statistics.median(times), times[int(0.95 * len(times)) - 1], times[-1])
                window = f"{size['width']}x{size['height']}"
                print(f"{title:28} {window:>9} " + " ".join(f"{t:7.1f}" for t in row))
            page.close()


if __name__ == "__main__":
    main()
