"""How long a shape table takes: resnet_edu's tracer, torchinfo and torchlens, side by side.

    python benchmarks/trace_speed.py [--repeats 5] [--nets resnet18,resnet50,resnet152] [--threads 1]

Every tool gets the same torchvision net (weights not loaded, eval mode) and the same input of 3x224x224. A time is the
best of several runs, taken in turns so that a busy machine disturbs all alike; one run before is not counted.

  ours        trace(net, shape): shapes only, the net stays where it is
  torchinfo   summary(net, input_size=...): as it is called by default, on the CPU for real, and again with a copy of
              the net on the meta device, where it does no arithmetic either
  torchlens   its default call, on the CPU for real, since it refuses tensors on the meta device

Ours is measured at batch 256 and 4096 as well: a shape costs the same at any batch size.
"""

from __future__ import annotations

import argparse
import copy
import gc
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import torch
import torchvision

from resnet_edu.support.system import device_name
from resnet_edu.tracing.run import trace


def contenders(net: torch.nn.Module) -> dict[str, Callable[[], object]]:
    """Return one function for each tool; a tool that is not installed is left out."""
    shape = (1, 3, 224, 224)
    found: dict[str, Callable[[], object]] = {"ours": lambda: trace(net, shape)}
    try:
        import torchinfo

        on_meta = copy.deepcopy(net).to("meta")
        found["torchinfo"] = lambda: torchinfo.summary(net, input_size=shape, verbose=0)
        found["torchinfo meta"] = lambda: torchinfo.summary(on_meta, input_size=shape, device="meta", verbose=0)
    except ImportError:
        print("torchinfo is not installed: pip install torchinfo")
    try:
        import torchlens

        x = torch.zeros(shape)
        log = getattr(torchlens, "log_forward_pass", None) or torchlens.trace
        found["torchlens"] = lambda: log(net, x)
    except ImportError:
        print("torchlens is not installed: pip install torchlens")
    found["ours, batch 256"] = lambda: trace(net, (256, *shape[1:]))
    found["ours, batch 4096"] = lambda: trace(net, (4096, *shape[1:]))
    return found


def measure(found: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the best time of each in seconds."""
    best = dict.fromkeys(found, float("inf"))
    for turn in range(repeats + 1):
        for name, run in found.items():
            for _ in range(1 if best[name] > 0.5 else 5):  # short times need more tries on a busy machine
                gc.collect()
                start = time.perf_counter()
                run()
                if turn:
                    best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nets", default="resnet18,resnet50,resnet152")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "torchinfo", "torchlens"))
    print(f"{device_name(torch.device('cpu'))}, {args.threads} threads, Python {platform.python_version()}, {tools}")
    print(f"milliseconds, best of {args.repeats}\n")
    for i, name in enumerate(args.nets.split(",")):
        net = torchvision.models.get_model(name, weights=None).eval()
        best = measure(contenders(net), args.repeats)
        if i == 0:
            print("| net | " + " | ".join(best) + " | torchinfo / ours | torchinfo meta / ours | torchlens / ours |")
            print("|---|" + " ---: |" * (len(best) + 3))
        ratios = [
            f"{best[other] / best['ours']:.1f}x" if other in best else "-"
            for other in ("torchinfo", "torchinfo meta", "torchlens")
        ]
        print(f"| {name} | " + " | ".join([*(f"{1000 * t:.1f}" for t in best.values()), *ratios]) + " |", flush=True)


if __name__ == "__main__":
    main()
