"""How long one forward pass takes, beside multiply-adds, parameters and activations: the record of chapter 4.

    python benchmarks/forward_speed.py [--rounds 7] [--record]

Nets in eval mode under `torch.inference_mode`, float32, one thread, images of 3x224x224 with random pixels and random
weights (a time does not depend on them). The nets take turns, so that a busy machine disturbs all alike, after one pass
that is not counted. `time.process_time` is what the processor spent on this process: others that run meanwhile are not
in it. The best of the rounds counts. `--record` writes all of it into the package, as results/forward.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from datetime import date

import torch
import torchvision

from resnet_edu import plain34, resnet34, resnet50
from resnet_edu.experiment.shipped import RESULTS
from resnet_edu.support.files import write_atomic
from resnet_edu.support.system import device_name
from resnet_edu.tracing import trace

NETS = {
    "VGG-19": torchvision.models.vgg19,
    "plain-34": plain34,
    "ResNet-34": lambda: resnet34(shortcut="zero_pad"),
    "ResNet-50": resnet50,
}
BATCHES = (1, 32)


@torch.inference_mode()
def measure(net: torch.nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """Return the seconds of a forward pass: those on the processor, and those on the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    net(images)
    return time.process_time() - processor, time.perf_counter() - clock


def main() -> None:
    """Measure, print a table, and write the record if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nets = {name: build().eval() for name, build in NETS.items()}
    found = {}
    for name, net in nets.items():
        alike = copy.deepcopy(net)  # torchvision's ReLUs write over their input, ours do not: all count as outputs
        for relu in (m for m in alike.modules() if isinstance(m, torch.nn.ReLU)):
            relu.inplace = False
        t = trace(alike, (1, 3, 224, 224))
        costs = {"macs": t.total_macs, "params": t.total_params, "activation_bytes": t.total_activation_bytes}
        found[name] = {**costs, "seconds": {}, "clock": {}}
    for batch in BATCHES:
        images = torch.randn(batch, 3, 224, 224)
        times = {name: [] for name in nets}
        for turn in range(args.rounds + 1):
            for name, net in nets.items():
                pair = measure(net, images)
                times[name] += [pair] if turn else []
        for name, pairs in times.items():
            found[name]["seconds"][str(batch)], found[name]["clock"][str(batch)] = (
                [round(seconds, 4) for seconds in column] for column in zip(*pairs, strict=True)
            )
    about = {
        "date": date.today().isoformat(),
        "hardware": f"{device_name(torch.device('cpu'))}, 1 thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__.partition("+")[0]},
        "settings": "eval mode, torch.inference_mode, float32, images of 3x224x224; nets in turns; process_time",
    }
    print(about["hardware"], about["versions"], f"best of {args.rounds}", sep=", ")
    for name, row in found.items():
        best = ", ".join(f"batch {batch}: {min(times):.3f} s" for batch, times in row["seconds"].items())
        print(f"{name:10} {row['macs'] / 1e9:6.2f} G, {row['params'] / 1e6:6.1f} M; {best}")
        print(f"{'':10} on the clock {', '.join(f'{min(times):.3f} s' for times in row['clock'].values())}")
    if args.record:
        write_atomic(RESULTS / "forward.json", (json.dumps({**about, "nets": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
