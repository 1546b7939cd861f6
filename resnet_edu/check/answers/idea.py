"""Answers to the exercises of chapters 1 to 7."""

from __future__ import annotations

import copy
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...experiment.records import RunRecord
from ...experiment.shipped import load_records
from ...experiment.statistics import interval
from ...nets.blocks import BasicBlock, Bottleneck, PlainBlock, conv1x1
from ...nets.models import ResNet, plain34, plain56, resnet18, resnet34, resnet50, resnet56
from ...tracing.run import trace
from ..blocks import compare_block
from ..compare import compare_numbers, count_text, kinds, output_of, randomize
from ..values import as_list, as_number, as_percentages, check_choice, check_number, check_shape
from ..verdict import NotYet, build, call, called_with, check_callable
from .table import exercise

IMAGE = (1, 3, 224, 224)


@exercise("1.1")
def _three_results(cases: object) -> str:
    hints = {
        "overfitting": "its training error is as low as can be; compare it with its test error",
        "degradation": "are its training images learnt? Compare its training error with the smaller network's",
        "unknown": "19% of its training images are wrong: too many, against which shallower network?",
    }
    for place, given, right in zip(("i", "ii", "iii"), as_list("cases", cases, 3, "words"), hints, strict=True):
        check_choice(f"case {place}", given, right, hints, hints[right])
    return "all three cases have their names"


def _as_records(name: str, given: object, least: int) -> list[RunRecord]:
    records = as_list(name, given, None, "records, as `degradation.run` returns it,")
    for record in records:
        if not isinstance(record, RunRecord):
            raise NotYet(f"`{name}` holds {record!r}, and the records that `degradation.run` returns are expected")
    if len(records) < least:
        raise NotYet(f"`{name}` has {len(records)} records, and at least {least} are expected")
    return records


@exercise("1.2")
def _best_rate(grid: object, rate: object, left: object) -> str:
    if not isinstance(grid, Mapping) or len(grid) < 3:
        raise NotYet(f"`grid` is {grid!r:.60}, and three learning rates or more are expected, each with its records")
    errors: dict[tuple[str, str], dict[float, float]] = {}  # (net, metric) -> rate -> mean over the starts
    for lr, records in grid.items():
        records = _as_records(f"grid[{lr!r}]", records, 2)
        for net in ("plain20", "plain56"):
            runs = [r for r in records if r.net == net]
            if not runs:
                raise NotYet(f"`grid[{lr!r}]` has no run of {net}")
            for metric in ("train_error", "test_error"):
                mean = statistics.fmean(r.final[metric] for r in runs)
                errors.setdefault((net, metric), {})[lr] = mean
    best = {key: min(means, key=means.get) for key, means in errors.items()}
    right, other = best["plain56", "test_error"], best["plain20", "test_error"]
    hints = {
        other: "that is the best one for plain-20",
        best["plain56", "train_error"]: "that is the best one on the training images; who chooses looks at the others",
    }
    check_choice("rate", rate, right, grid, hints.get(rate, "plain-56 has a lower mean error on the held-out images"))
    deep, shallow = errors["plain56", "train_error"], errors["plain20", "train_error"]
    held = errors["plain56", "test_error"][right] - errors["plain20", "test_error"][other]
    slips = {held: "those are the held-out images", shallow[other] - deep[right]: "plain-56 minus plain-20, please"}
    check_number("left", left, deep[right] - shallow[other], slips, 0.01)
    return "the rate, and what is left at it, are right"


@exercise("1.3")
def _where_it_begins(runs: object, begins: object) -> str:
    records = _as_records("runs", runs, 4)
    errors: dict[int, list[float]] = {}
    for record in sorted(records, key=lambda r: r.depth):
        if record.kind != "plain":
            raise NotYet(f"`runs` holds {record.net}, and plain networks are asked for")
        errors.setdefault(record.depth, []).append(record.final["train_error"])
    if 8 not in errors:
        raise NotYet(f"`runs` has the depths {', '.join(map(str, errors))}: plain-8, to compare with, is missing")
    if any(r.recipe != records[0].recipe for r in records):
        raise NotYet("the recipes of `runs` differ: the depth alone may")
    means = {depth: statistics.fmean(values) for depth, values in errors.items()}
    right = next((depth for depth, mean in means.items() if mean > means[8] + 1), None)
    if begins != right:
        listed = ", ".join(f"{depth}: {mean:.2f}%" for depth, mean in means.items())
        why = f"Your training errors are {listed}. Which depth is the first with more than one point above plain-8?"
        raise NotYet(f"`begins` is {begins!r}. {why}")
    return "your runs say so"


@exercise("2.2")
def _shapes_of_a_block(conv1: object, conv2: object, shortcut: object) -> str:
    block, image = BasicBlock(64, 128, stride=2, shortcut="zero_pad"), torch.rand(1, 64, 7, 7)
    first = block.conv1(image)
    floor = "the size is rounded down. Where does the kernel stand last, if it begins at the first pixel?"
    kept = "these are the channels of the input, and the block has 128"
    for name, given, right in (
        ("conv1", conv1, first),
        ("conv2", conv2, block.conv2(first)),
        ("shortcut", shortcut, block.downsample(image)),
    ):
        channels, *size = right.shape[1:]
        down = tuple(s - 1 for s in size)
        slips = {(channels, *down): floor, (64, *size): kept, (64, *down): f"{floor} And {kept}"}
        check_shape(name, given, (channels, *size), slips)
    return "all three shapes are right, and they fit"


@exercise("2.3")
def _mended_block(block: Callable[[int], nn.Module]) -> str:
    name = check_callable(block, "class")
    with called_with(block, "channels"):
        for channels, size in ((8, (8, 10)), (16, (7, 9))):
            args = (channels, 2 * channels, 2)
            compare_block(*build(block, (channels,)), BasicBlock(*args), args, size)
    return f"{name}: parameters, outputs, statistics and gradients are those of the paper's block"


@exercise("2.4")
def _zeros_at_the_end(plain: object, residual: object) -> str:
    found = []
    for net in (plain56(), resnet56()):
        for module in net.modules():
            if isinstance(module, (BasicBlock, PlainBlock)):
                nn.init.zeros_(module.bn2.weight)
        with torch.no_grad():
            a, b = net.eval()(torch.randn(2, 3, 32, 32))
        found.append(int((a != b).sum()))
    every = "what does a plain block pass on if its last scale, and its last shift, is zero?"
    check_number("plain", plain, found[0], {10: every})
    check_number("residual", residual, found[1], {0: "is there no other way around the blocks?"})
    return "right for both networks"


@exercise("3.2")
def _last_maps(imagenet: object, cifar: object) -> str:
    for name, given in (("imagenet", imagenet), ("cifar", cifar)):
        with torch.device("meta"):
            net = resnet18(stem=name, num_classes=10)
        *_, before, last = (row.output_shape[1:] for row in trace(net, (1, 3, 32, 32)).additions)
        slips = {
            (512, 7, 7): "that is the last map for an image of 224×224",
            tuple(before): "that is not the last addition",
            (10,): "those are the classes; asked for is the last map, before it is averaged",
        }
        check_shape(name, given, last, slips)
    return "both last maps are right"


@exercise("3.3")
def _wrong_stage(sizes: object, share: object) -> str:
    with torch.device("meta"):
        usual, changed = resnet34(), resnet34()
        changed.layer1[0] = BasicBlock(64, 64, stride=2)
    right, wrong = trace(usual, IMAGE), trace(changed, IMAGE)
    maps = [tuple(dict.fromkeys(row.output_shape[-1] for row in t.additions)) for t in (right, wrong)]
    slips = {
        maps[0]: "those are the maps of the right network. Does `layer1[0]` have its new block?",
        (112, 56, 28, 14): "with which stride does the first stage begin now?",
    }
    check_shape("sizes", sizes, maps[1], slips)
    left = wrong.total_macs / right.total_macs
    slips = {
        1 / left: "it is asked how much is left: wrong by right, not right by wrong",
        1 - left: "that is what is saved; it is asked how much is left",
        wrong.total_params / right.total_params: "those are parameters, and multiply-adds are asked for",
    }
    check_number("share", share, left, slips, within=0.02)
    return "the sizes, and what is left of the multiply-adds, are right"


@exercise("3.4")
def _layer_in_a_box(kernel: object, stride: object, padding: object) -> str:
    given = {"kernel": kernel, "stride": stride, "padding": padding}
    k, s, p = (as_number(name, value) for name, value in given.items())
    seen = {9: 3, 10: 4, 11: 4, 12: 4, 13: 5}
    for size, out in seen.items():
        made = (size + 2 * p - k) // s + 1 if s > 0 else 0
        if made != out:
            raise NotYet(f"that layer makes {made:g} pixels of {size}, and the one in the box makes {out}")
    if (found := 8 * (3 * k**2 + 1)) != 1184:
        raise NotYet(f"the sizes fit; but that layer has {found:,.0f} parameters, and the one in the box has 1,184")
    return "that is the layer in the box"


@exercise("4.1")
def _two_layers(early_weights: object, early_macs: object, late_weights: object, late_macs: object) -> str:
    given = {"early": (early_weights, early_macs), "late": (late_weights, late_macs)}
    for when, channels, size in (("early", 64, 224), ("late", 512, 14)):
        weights = nn.Conv2d(channels, channels, 3, bias=False, device="meta").weight.numel()
        slips = {
            weights + channels: "the biases are counted as well",
            weights / 9: "a 3×3 kernel has more than one weight for a pair of channels",
            weights / channels: "every output channel has a kernel for every input channel",
        }
        check_number(f"{when}_weights", given[when][0], weights, slips, 1e-9)
        slips = {
            weights * size: "an image has height and width",
            2 * weights * size**2: "a multiplication with its addition counts as one",
            weights: "those are the weights; each is used at every pixel",
            weights * (size - 2) ** 2: "with padding 1 the kernel stands at every pixel, the outer ones too",
            (weights + channels) * size**2: "the biases are counted as well",
        }
        check_number(f"{when}_macs", given[when][1], weights * size**2, slips, 1e-9)
    return "weights and multiply-adds of both layers are right"


@exercise("4.3")
def _one_width(net: object, falls_more: object) -> str:
    if not isinstance(net, nn.Module):
        raise NotYet(f"`net` is {net!r}, and a network is expected: not its class, not its trace")
    with torch.device("meta"):
        nets = ResNet(PlainBlock, [3, 4, 6, 3], [64] * 4), plain34()
    thin, usual = (trace(n, IMAGE) for n in nets)
    mine = call("tracing `net`", trace, net, IMAGE)
    if mine.additions:
        raise NotYet(f"`net` has {len(mine.additions)} additions, and a plain network has none")
    drawn = ([r for r in t.rows if r.kind in ("Conv2d", "Linear")] for t in (mine, thin, usual))
    own, right, old = ([(r.kind, *r.output_shape[1:]) for r in rows] for rows in drawn)
    if own == old:
        raise NotYet("`net` is plain-34 as it was: its stages have 64, 128, 256 and 512 channels")
    if len(own) != 34:
        raise NotYet(f"`net` has {len(own)} layers, and plain-34 has 34")
    if own != right:
        raise NotYet("`net` has 34 layers, but not all have the channels and map sizes that they should")
    text = "divide what plain-34 has by what this one has, for both costs"
    in_parameters = usual.total_params / thin.total_params > usual.total_macs / thin.total_macs
    costs = ("multiply-adds", "parameters")
    check_choice("falls_more", falls_more, costs[in_parameters], costs, text)
    return "the network, and what falls more, are right"


@exercise("5.2")
def _nothing_dropped(shortcut: Callable[[int, int], nn.Module]) -> str:
    name, args = check_callable(shortcut), (16, 32)
    mine, what = build(shortcut, args)
    reference = nn.Sequential(nn.AvgPool2d(2), conv1x1(*args), nn.BatchNorm2d(args[1]))
    randomize(reference)
    x = torch.randn(4, args[0], 8, 12)
    y, right = output_of(mine, x, what), reference(x)
    if y.shape != right.shape:
        raise NotYet(f"{what} turns {tuple(x.shape)} into {tuple(y.shape)}; it should become {tuple(right.shape)}")
    if kinds(mine) != kinds(reference):
        raise NotYet(f"{what}{count_text(mine, reference)}: what learns is a 1×1 without bias and its batch norm")
    mistakes = {
        "the convolution has the stride: three quarters of the pixels stay unread": lambda maps: maps[:, :, ::2, ::2],
        "the largest of the four pixels is taken; ResNet-D takes their mean": lambda maps: F.max_pool2d(maps, 2),
    }
    wrong = {text: lambda net, maps, shrink=shrink: net[2](net[1](shrink(maps))) for text, shrink in mistakes.items()}
    compare_numbers(mine, reference, x, what, wrong)
    return f"{name}: outputs, running statistics and gradients are those of ResNet-D's shortcut"


@exercise("5.3")
@torch.no_grad()
def _same_keys_other_outputs(changes: object) -> str:
    import torchvision

    theirs = torchvision.models.resnet50(weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    wanted = theirs(images)
    scale, built = wanted.std().item(), "how the network is built"
    seen: list[tuple[str, Tensor]] = []
    for place, change in enumerate(as_list("changes", changes, 3, "pairs (network, preparation)"), start=1):
        net, prepare = as_list(f"change {place}", change, 2, "things, a network and what is done to its images,")
        if not isinstance(net, nn.Module) or not callable(prepare):
            raise NotYet(f"change {place} is {change!r}: a network, and a function of the images, are expected")
        net = copy.deepcopy(net)
        training = any(isinstance(m, nn.BatchNorm2d) and m.training for m in net.modules())
        call(f"change {place}: load_state_dict", net.load_state_dict, theirs.state_dict())
        given = call(f"change {place}: the preparation", prepare, images.clone())
        output = call(f"change {place}: the network", net, given)
        if output.shape != wanted.shape:
            raise NotYet(f"change {place} gives {tuple(output.shape)}, and {tuple(wanted.shape)} is expected")
        if (output - wanted).abs().max() < 0.1 * scale:
            raise NotYet(f"change {place} changes the output by less than a tenth of its deviation: it has no effect")
        found = {
            "the images": not torch.equal(given, images),
            "the mode": training,
            built: not torch.allclose(net.eval()(images), wanted, atol=0.01 * scale),
        }
        kind = " and ".join(name for name, is_so in found.items() if is_so)
        for other, (other_kind, before) in enumerate(seen, start=1):
            if torch.allclose(output, before, atol=0.01 * scale):
                raise NotYet(f"changes {other} and {place} give the same output: they are one change")
            if kind == other_kind != built:  # a network can be built in several wrong ways
                raise NotYet(f"changes {other} and {place} are both of {kind}. What else has no weights?")
        seen.append((kind, output))
    return "three changes: all keys match, and every output is another"


@exercise("5.4")
def _option_c(block: object, parameters: object, macs: object) -> str:
    def weights(kind: str) -> float:
        made = Bottleneck(256, 64, shortcut=kind)
        return sum(m.weight.numel() for m in made.modules() if isinstance(m, nn.Conv2d)) / 64**2

    slips = {
        weights("projection"): "that is the block as it was; the projection is still to be added",
        weights("projection_all") - weights("projection"): "that is the projection alone",
    }
    check_number("block", block, weights("projection_all"), slips, 1e-9)
    with torch.device("meta"):
        nets = resnet50(), resnet50(shortcut="projection_all")
    b, c = (trace(net, IMAGE) for net in nets)
    for name, given, ratio in (
        ("parameters", parameters, c.total_params / b.total_params),
        ("macs", macs, c.total_macs / b.total_macs),
    ):
        slips = {
            ratio: "that is how many times as many there are; asked for is what is added, as a share of what was",
            1 - 1 / ratio: "that is the share of the larger network; the smaller one is what it is added to",
        }
        check_number(name, given, ratio - 1, slips, within=0.02)
    return "the block, and what is added to the whole network, are right"


@exercise("6.4")
def _adam_or_sgd(held_out: object, rates: object, test: object, verdict: object) -> str:
    for name, given in (("held_out", held_out), ("rates", rates), ("test", test)):
        if not isinstance(given, dict) or set(given) != {"SGD", "Adam"}:
            raise NotYet(f"`{name}` must be a dictionary with the keys 'SGD' and 'Adam'")
    for name, tried in held_out.items():
        if not isinstance(tried, dict) or len(tried) < 3:
            raise NotYet(f"`held_out[{name!r}]` must be a dictionary of three rates or more, each with its errors")
        found = {rate: as_percentages(f"held_out[{name!r}][{rate}]", errors, None) for rate, errors in tried.items()}
        means = {rate: statistics.fmean(errors) for rate, errors in found.items()}
        best = min(means, key=means.get)
        if rates[name] != best:
            text = f"and of those you tried {best} has the lowest mean error on the held-out images, {means[best]:.1f}%"
            raise NotYet(f"`rates[{name!r}]` is {rates[name]!r}, {text}")
    sgd, adam = (as_percentages(f"test[{name!r}]", test[name], 5) for name in ("SGD", "Adam"))
    mean, low, high = interval([a - b for a, b in zip(adam, sgd, strict=True)])
    right = "noise" if low <= 0 <= high else "worse" if mean > 0 else "better"
    text = f"the mean difference in test error is {mean:+.1f}, its interval from {low:+.1f} to {high:+.1f}."
    text += " Is 0 in it? And is a larger error better?"
    check_choice("verdict", verdict, right, ("worse", "noise", "better"), text)
    return "each optimizer has its own best rate, and the verdict is that of your errors"


@exercise("7.1")
def _five_sigma(mean: object, deviation: object, error: object, deviations_away: object, errors_away: object) -> str:
    runs, table = (7.4, 7.29, 7.4, 6.89, 8.42, 7.95), 6.61
    right, s, divided_by_n = statistics.fmean(runs), statistics.stdev(runs), statistics.pstdev(runs)
    root = len(runs) ** 0.5
    check_number("mean", mean, right, {statistics.median(runs): "that is the median"})
    sample = "divided by 6? These runs are a sample of all that could be made"
    slips = {divided_by_n: sample, s**2: "that is its square, the variance"}
    check_number("deviation", deviation, s, slips, 0.01)
    slips = {
        s / 6: "divided by the number of runs, and not by its root",
        s / 5**0.5: "the root of how many?",
        s: "that is the deviation",
        divided_by_n / root: "the deviation was divided by 6 on the way here",
    }
    check_number("error", error, s / root, slips, 0.01)
    away = right - table
    for name, given, unit, other in (
        ("deviations_away", deviations_away, s, s / root),
        ("errors_away", errors_away, s / root, s),
    ):
        slips = {
            away / other: "measured with the other yardstick",
            away: "in percentage points; divide by the yardstick",
            5.0: "that is what the letter says; what do the six runs say?",
        }
        check_number(name, abs(as_number(name, given)), away / unit, slips, within=0.02)
    return "all five numbers are right"


@exercise("7.2")
def _fair_twins(runs: object) -> str:
    found: dict[object, dict[str, tuple]] = {}
    for kind, seed, steps, start, error in [as_list("a run", run, 5) for run in as_list("runs", runs, None, "runs")]:
        if kind not in ("plain", "resnet"):
            raise NotYet(f"a run is of kind {kind!r}, and it must be 'plain' or 'resnet'")
        if kind in found.setdefault(seed, {}):
            raise NotYet(f"seed {seed} has two runs of kind {kind!r}")
        for name, value in (("steps", steps), ("start", start), ("training error", error)):
            as_number(f"{name} of {kind}, seed {seed}", value)
        if not 0 <= error <= 100:
            raise NotYet(f"the training error of {kind}, seed {seed}, is {error!r}; it is a percentage")
        found[seed][kind] = steps, start
    for seed, twins in found.items():
        if len(twins) < 2:
            raise NotYet(f"seed {seed} has one run, {next(iter(twins))}: every seed needs a plain and a residual one")
        (steps_a, start_a), (steps_b, start_b) = twins.values()
        if steps_a != steps_b:
            raise NotYet(f"seed {seed}: {steps_a} steps for one and {steps_b} for the other")
        if start_a != start_b:
            raise NotYet(f"seed {seed}: the weights at the start differ ({start_a:.6g} and {start_b:.6g})")
    if len(found) < 3:
        raise NotYet(f"there are {len(found)} seeds: an error bar from fewer than three says little")
    steps, starts = (set(values) for values in zip(*(twins["plain"] for twins in found.values()), strict=True))
    if len(starts) == 1:
        raise NotYet("the weights at the start are the same for every seed: what does a seed change then?")
    if len(steps) > 1:
        raise NotYet("not all seeds have the same number of steps")
    return f"{len(found)} pairs of twins: same start, same steps"


def _bootstrap_interval(values: Sequence[float]) -> np.ndarray:
    """Return the middle 95% of the means of all draws of three values with putting back."""
    return np.quantile(np.mean(list(itertools.product(values, repeat=3)), axis=1), [0.025, 0.975])


@exercise("7.4")
def _bootstrap(draws: object, means: object, ends: object, right: object) -> str:
    slips = {9: "three values are drawn, each of three", 6: "a value may be drawn again"}
    check_number("draws", draws, 27, slips, 1e-9)
    slips = {
        27: "the mean does not depend on the order of the draws",
        9: "count again, or let the computer",
        7: "a mean of 1, 1, 2 is not one of 1, 2, 2",
    }
    check_number("means", means, 10, slips, 1e-9)
    errors = [r.final["train_error"] for r in load_records("digits") if r.net == "plain56" and r.seed < 3]
    slips = {min(errors): "that is the lowest value itself", max(errors): "that is the highest value itself"}
    given = as_list("ends", ends, 2, "numbers")
    for name, value, wanted in zip(("low end", "high end"), given, _bootstrap_interval(errors), strict=True):
        check_number(name, value, float(wanted), slips, within=0.02)
    studies = np.random.default_rng(0).normal(size=(2000, 3))
    low, high = np.transpose([_bootstrap_interval(study) for study in studies])
    share = float(np.mean((low <= 0) & (high >= 0)))
    slips = {0.95: "that is what it promises", 1 - share: "that is how often it is wrong"}
    check_number("right", right, share, slips, within=0.05)
    return "draws, means, ends and share are right"
