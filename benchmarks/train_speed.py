"""How long an update takes: resnet_edu's loop beside the usual one, on the same machine, net and batch.

    python benchmarks/train_speed.py [--nets resnet20,resnet56] [--device auto] [--rounds 2] [--compile] [--growth]

  usual      as in akamaster/pytorch_resnet_cifar10: a DataLoader whose worker processes turn PIL images by
             torchvision's transforms, float32, eager mode, loss and accuracy read after each update
  ours       resnet_edu.train.train: images on the device, augmented there, channels last, denormal numbers flushed to
             zero on a processor, a CUDA graph and mixed precision on a card
  ours, ...  the same in the other precision; with --compile, that of the first line with the net compiled by
             torch.compile, which takes a C++ compiler or Triton, and a minute or two at the start of each process

Each measurement is a process of its own, taken in turns, so that a busy machine disturbs all alike; a time is the
median update after the first ones, the best of the rounds. The images are random bytes of CIFAR-10's shape and number:
the time of an update depends on them only through denormal numbers, which come with the learning rate of 0.1.

The bandwidth limit is what an update would take if the device did nothing but read and write each layer's input and
output once in the forward and twice in the backward pass, at the speed at which it copies memory. Fused layers can
beat it, and arithmetic can keep a device from it.

On a processor it is arithmetic: the last lines have the share of each kind of operation in our update, by torch's
profiler. What the convolutions take is left even if all else were free, so it bounds what any loop can win.

--growth adds the time of our update for 20, 56 and 110 layers, and for batches of 32 to 512.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from resnet_edu.data.dataset import Dataset
from resnet_edu.nets.models import get_model
from resnet_edu.support.system import available_cores, device_name, prepare_process, resolve_device
from resnet_edu.tracing.run import trace
from resnet_edu.training.loop import Event, StopTraining, train
from resnet_edu.training.recipe import Recipe
from resnet_edu.training.step import resolve_precision

KINDS = {"convolutions": ("conv",), "batch norm": ("batch_norm",), "ReLU": ("relu", "clamp_min", "threshold")}
SKIPPED = 0.5  # share of the updates at the start that are not counted: caches warm up, denormal numbers come


def images(count: int) -> Dataset:
    """Return random images of CIFAR-10's shape."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Dataset("random", pixels, labels, pixels[:100], labels[:100], tuple("0123456789"))


class Pictures(TorchDataset):
    """PIL images with their labels, as torchvision's CIFAR10 serves them."""

    turn = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(32, 4),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    def __init__(self, dataset: Dataset) -> None:
        self.pixels = dataset.train_images.permute(0, 2, 3, 1).numpy()
        self.labels = dataset.train_labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.turn(Image.fromarray(self.pixels[number])), self.labels[number]


def usual_times(net: str, batch: int, steps: int, device: torch.device) -> list[float]:
    """Return the time after each update of the usual loop."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = device.type == "cuda"  # as there
    model = get_model(net).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        Pictures(images(50_000)),
        batch_size=batch,
        shuffle=True,
        num_workers=4 if device.type == "cuda" else 1,
        pin_memory=device.type == "cuda",
    )
    times = []
    for x, y in forever(loader):
        x, y = x.to(device), y.to(device)
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item(), (logits.argmax(1) == y).float().mean().item()
        times.append(time.perf_counter())
        if len(times) == steps:
            return times


def forever(loader: DataLoader) -> Iterator:
    """Yield the batches of epoch after epoch."""
    while True:
        yield from loader


def our_times(net: str, batch: int, steps: int, device: torch.device, precision: str) -> list[float]:
    """Return the time after each update of our loop; on CUDA several updates pass between two looks at the clock."""
    if device.type == "cpu":
        prepare_process(available_cores())
    times: list[float] = []
    counted = 0

    def look(event: Event) -> None:
        nonlocal counted
        now, new = time.perf_counter(), event.step - counted
        last = times[-1] if times else now
        times.extend(last + (now - last) * (k + 1) / new for k in range(new))
        counted = event.step
        if event.step >= steps:
            raise StopTraining

    torch.manual_seed(0)
    precision, _, compiled = precision.partition(" ")
    model = torch.compile(get_model(net)) if compiled else get_model(net)
    recipe = Recipe(steps + 1, batch_size=batch, lr=0.1, augment=True, eval_every=steps + 1)
    train(model, images(50_000), recipe, device=device, precision=precision, callback=look)
    return times


def our_shares(net: str, batch: int, steps: int) -> dict[str, float]:
    """Return the share of each kind of operation in the time of our update on a processor, in float32."""
    prepare_process(available_cores())
    profiler = profile(activities=[ProfilerActivity.CPU])

    def look(event: Event) -> None:
        if event.step == int(SKIPPED * steps):
            profiler.start()
        if event.step >= steps:
            profiler.stop()
            raise StopTraining

    torch.manual_seed(0)
    recipe = Recipe(steps + 1, batch_size=batch, lr=0.1, augment=True, eval_every=steps + 1)
    train(get_model(net), images(50_000), recipe, device="cpu", precision="float32", callback=look)
    times = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for operation in profiler.key_averages():
        kind = next((k for k, words in KINDS.items() if any(w in operation.key for w in words)), "the rest")
        times[kind] += operation.self_cpu_time_total
    return {kind: part / sum(times.values()) for kind, part in times.items()}


def measure(kind: str, net: str, batch: int, steps: int, device: str) -> float:
    """Return the seconds of an update, measured in a process of its own."""
    command = [sys.executable, __file__, "--one", kind, "--nets", net, "--batch", str(batch), "--steps", str(steps)]
    done = subprocess.run([*command, "--device", device], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind} of {net} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def one(kind: str, net: str, batch: int, steps: int, device: torch.device) -> float:
    """Measure one kind here and return the seconds of an update."""
    times = usual_times(net, batch, steps, device) if kind == "usual" else our_times(net, batch, steps, device, kind)
    counted = times[int(SKIPPED * len(times)) :]
    if device.type == "cuda":  # looks at the clock are rare: the mean says more
        return (counted[-1] - counted[0]) / (len(counted) - 1)
    return statistics.median(b - a for a, b in itertools.pairwise(counted))


def copy_speed(device: torch.device) -> float:
    """Return the bytes that the device reads and writes in a second when it copies memory."""
    source = torch.ones(64 * 2**20, device=device)  # 256 MiB
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(3):
            target.copy_(source)
        target[-1].item()  # waits for the device
        best = max(best, 3 * 2 * source.nbytes / (time.perf_counter() - begin))
    return best


def bytes_moved(net: str, batch: int, precision: str) -> int:
    """Return the bytes that an update moves if every operation reads and writes its whole input and output."""
    rows = trace(get_model(net), (batch, 3, 32, 32)).rows
    values = sum(math.prod(shape) for row in rows for shape in (*row.inputs, *row.outputs))
    return 3 * values * (2 if precision.startswith("bfloat16") else 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="resnet20,resnet56")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, help="updates of a measurement (default: 16 on a processor, else 3000)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="measure compiled nets as well")
    parser.add_argument("--growth", action="store_true", help="measure other depths and batches as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = resolve_device(args.device)
    steps = args.steps or (16 if device.type == "cpu" else 3000)
    nets = args.nets.split(",")
    if args.one:
        print(json.dumps(one(args.one, nets[0], args.batch, steps, device)))
        return

    print(f"{device_name(device)}, {available_cores()} processor cores, torch {torch.__version__}; batch {args.batch}")
    speed = copy_speed(device)
    print(f"memory: {speed / 1e9:,.0f} GB/s when copied")
    standard = resolve_precision("auto", device)
    other = {"float32": "bfloat16", "bfloat16": "float32"}[standard]
    print("| net | loop | ms an update | images/s | usual / this | bandwidth limit, ms |")
    print("|---|---|---:|---:|---:|---:|")
    for net in nets:
        kinds = ["usual", standard] + ([other] if device.type != "mps" else [])
        kinds += [f"{standard} compiled"] if args.compile else []
        found = {kind: [] for kind in kinds}
        for _ in range(args.rounds):
            for kind in kinds:
                found[kind].append(measure(kind, net, args.batch, steps, args.device))
        best = {kind: min(times) for kind, times in found.items()}
        for kind in kinds:
            name = {"usual": "usual", standard: f"ours ({standard})"}.get(kind, f"ours, {kind}")
            limit = bytes_moved(net, args.batch, kind) / speed
            print(
                f"| {net} | {name} | {best[kind] * 1000:.1f} | {args.batch / best[kind]:,.0f} "
                f"| {best['usual'] / best[kind]:.1f} | {limit * 1000:.1f} |",
                flush=True,
            )
    for net in nets if device.type == "cpu" else ():
        shares = our_shares(net, args.batch, steps)
        print(f"{net}, ours (float32): " + ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))
    if args.growth:
        print("\n| net | batch | ms an update | images/s |\n|---|---:|---:|---:|")
        for net, batch in [("resnet20", b) for b in (32, 64, 128, 256, 512)] + [("resnet56", 128), ("resnet110", 128)]:
            seconds = measure(standard, net, batch, steps, args.device)
            print(f"| {net} | {batch} | {seconds * 1000:.1f} | {batch / seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
