"""How fast the laboratories are, in V8 and beside PyTorch: updates a second of the training laboratory, beside a
product without blocks as well; milliseconds of the dissecting table, from an image to the answer of a trained net.

    python benchmarks/training_speed.py

Then the default run in a page, in Chromium: how long it takes, and how long a frame keeps the main thread. The aims are
10 seconds and 8 ms.

The script that is measured is the one that the pages load, in one thread. Seconds are those of the processor, not of
the clock, so that other programs count less. The aim is 30 updates a second for plain-56 of width 32 at batch 64.

On 2 virtual cores of an AMD EPYC with nothing else to do (mini-racer 0.14, PyTorch 2.14, one thread): the product in
blocks is 2.2 times as fast as one sum after the other; plain-56 makes 90 updates a second, PyTorch 105; residual-56 88
and 99; plain-20 243 and 288; preact-110 of width 64 at batch 128 7 and 36.
There the dissecting table takes 2.4 ms for a digit with 20 layers and 7.7 ms with 56, PyTorch 1.7 and 4.8; for a colour
image of 32x32 pixels ResNet-56 takes 115 ms, PyTorch 10.
The default run in a page of 1280 px took 8.9 seconds there, in 188 frames, the median 3.7 ms, 95% less than 5.3, the
longest 7.5; in one of 360 px 8.7 seconds and 180 frames, the median 1.7, 95% less than 4.1, the longest 5.9.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "tools" / "book")]

import torch  # noqa: E402
from browser import DESKTOP, PHONE, chromium, served, write_explorer_page  # noqa: E402
from dense_nets import DenseNet  # noqa: E402
from dissecting_worker import ADD, dissecting_worker  # noqa: E402
from safetensors.torch import save  # noqa: E402
from torch import nn  # noqa: E402
from training_worker import Worker  # noqa: E402

from resnet_edu import resnet56  # noqa: E402
from resnet_edu.experiment import load_trained  # noqa: E402
from resnet_edu.widgets import TrainingLab  # noqa: E402
from resnet_edu.widgets.dissecting import NETS  # noqa: E402

AIM = 30  # updates a second
PASS_AIM, LARGE_AIM = 30, 400  # milliseconds
REPEATS, UPDATES = 7, 20
NAIVE = """(a, b, y, m, n, k) => {
  for (let r = 0; r < m; r++) for (let c = 0; c < n; c++) {
    let s = 0;
    for (let i = 0; i < k; i++) s += a[r * k + i] * b[c * k + i];
    y[r * n + c] = s;
  }
}"""
PRODUCTS = f"""(times, blocked) => {{
  const [a, b, y] = [2048, 1024, 2048].map((n) => new Float32Array(n).map((_, i) => Math.sin(i)));
  const product = blocked ? engine.product : {NAIVE};
  for (let i = 0; i < times; i++) product(a, b, y, 64, 32, 32);
  return 0;
}}"""
MAKE = """(settings) => {
  const batch = engine.batches(engine.digits().train, settings.batch, 0);
  globalThis.made = { net: new engine.Net(settings), batch };
  return 0;
}"""
TRAIN = """(times) => {
  for (let i = 0; i < times; i++) {
    const { images, labels } = made.batch();
    made.net.step(images, labels, 0.02);
  }
  return 0;
}"""


PASSES = """(net, side, times) => {
  const image = Float32Array.from({ length: side * side * nets[net].stem.inputs }, (_, i) => Math.sin(i));
  for (let i = 0; i < times; i++) nets[net].logits(image, 1, {});
  return 0;
}"""


def seconds(action: Callable[[], object]) -> float:
    """Return the median of the processor's seconds that `action` takes."""
    action()  # V8 compiles what it runs often
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return statistics.median(times)


def torch_updates(kind: str, depth: int, width: int, batch_norm: bool, batch: int) -> Callable[[], object]:
    """Return a function that makes UPDATES updates of the same net in PyTorch, in one thread."""
    torch.set_num_threads(1)
    net = DenseNet(kind, depth, width, batch_norm)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    x, y = torch.randn(batch, 64), torch.randint(10, (batch,))

    def train() -> None:
        for _ in range(UPDATES):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    return train


def repeated(model: nn.Module, image: torch.Tensor, times: int) -> None:
    """Run a net on an image so many times."""
    for _ in range(times):
        model(image)


@torch.no_grad()
def passes() -> None:
    """Measure and print how long nets take for one image: the trained ones, and one of the paper's size."""
    worker, large = dissecting_worker(), "resnet56, 32x32 in colour"
    nets = {net: (load_trained(net, study="digits"), 8, 20, PASS_AIM) for net in NETS}
    nets[large] = (resnet56().eval(), 32, 3, LARGE_AIM)
    worker.run(ADD, large, save(nets[large][0].state_dict()).hex())
    print(f"\n{'net on one image':26} {'ms':>8} {'PyTorch':>8} {'aim':>8}")
    for net, (model, side, times, aim) in nets.items():
        image = torch.randn(1, model.conv1.in_channels, side, side)
        ours = seconds(partial(worker.run, PASSES, net, side, times)) / times
        theirs = seconds(partial(repeated, model, image, times)) / times
        print(f"{net:26} {1000 * ours:8.1f} {1000 * theirs:8.1f} {aim:8}")


def page_tasks(window: dict[str, int]) -> tuple[float, list[float]]:
    """Return the seconds that the default run takes in a page, and the milliseconds of each of its frames.

    A frame is the main thread's task in which it is drawn, from the first line of script to the last of paint; its
    milliseconds are the processor's. The run lasts from the press of Start until all that it ends with is drawn.
    """
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, served(Path(folder)) as ways:
        name = write_explorer_page(Path(folder), [TrainingLab()])
        page = browser.new_page(viewport=window)
        page.goto(ways["http"] + name)
        browser.start_tracing(page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"])
        start = time.perf_counter()
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("button", name="300 more steps").wait_for(timeout=600_000)
        took = time.perf_counter() - start
        page.wait_for_timeout(1000)
        events = json.loads(browser.stop_tracing())["traceEvents"]
    drawn = [(e["pid"], e["tid"], e["ts"]) for e in events if e["name"] == "FireAnimationFrame"]
    frames = [
        task["tdur"] / 1000
        for task in events
        if task["name"] == "RunTask"
        and any(
            (pid, tid) == (task["pid"], task["tid"]) and 0 <= at - task["ts"] < task["dur"] for pid, tid, at in drawn
        )
    ]
    return took, sorted(frames)


def main() -> None:
    """Measure and print tables."""
    worker = Worker()
    print(f"{platform.processor() or platform.machine()}, seconds of the processor, median of {REPEATS}")
    times = {blocked: seconds(lambda b=blocked: worker.run(PRODUCTS, 500, b)) for blocked in (False, True)}
    rate = 500 * 64 * 32 * 32 / 1e9
    print(
        f"\nproduct of 64x32 and 32x32: one sum after the other {rate / times[False]:.2f}, four by two "
        f"{rate / times[True]:.2f} billion multiply-adds a second, {times[False] / times[True]:.1f} times as many"
    )
    print(f"\n{'net':24} {'width':>5} {'batch':>5} {'updates/s':>10} {'PyTorch':>8}   aim for plain-56: {AIM}")
    for kind, depth, width, norm, batch in (
        ("plain", 56, 32, True, 64),
        ("residual", 56, 32, True, 64),
        ("plain", 20, 32, True, 64),
        ("plain", 56, 32, False, 64),
        ("preact", 110, 64, True, 128),
    ):
        settings = {"kind": kind, "depth": depth, "width": width, "batch_norm": norm, "batch": batch, "seed": 0}
        worker.run(MAKE, settings)
        ours = UPDATES / seconds(lambda: worker.run(TRAIN, UPDATES))
        theirs = UPDATES / seconds(torch_updates(kind, depth, width, norm, batch))
        name = f"{kind}-{depth}{'' if norm else ', no norm'}"
        print(f"{name:24} {width:5} {batch:5} {ours:10.1f} {theirs:8.1f}")
    passes()
    print()
    for window in (DESKTOP, PHONE):
        took, frames = page_tasks(window)
        marks = [frames[int(share * (len(frames) - 1))] for share in (0.5, 0.95, 1)]
        where = f"the default run in a page of {window['width']} px"
        print(f"{where}: {took:.1f} s by the clock, load {os.getloadavg()[0]:.0f}")
        print(f"{len(frames)} frames, ms: median {marks[0]:.1f}, 95% {marks[1]:.1f}, most {marks[2]:.1f}")


if __name__ == "__main__":
    main()
