"""The checker of numbers, shapes, words, networks and records: `answer`, with a function for each exercise.

What an exercise's function takes is what is handed in; its name begins with chapter and number. Right values are
computed here, by running or tracing the networks of the package and of torchvision. Verdicts about runs are those that
the learner's own numbers give by the rule of the chapter: another machine may find other numbers.
"""

import copy
import inspect
import itertools
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import load
from ..experiment.shipped import load_records, load_trained
from ..experiment.statistics import interval
from ..nets import variants
from ..nets.blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock, conv1x1
from ..nets.models import ResNet, plain34, plain56, resnet18, resnet34, resnet50, resnet56
from ..probes.subject import Subject, loss_and_error
from ..tracing.anatomy import anatomy
from ..tracing.run import Trace, trace
from ..training.recipe import Recipe
from .blocks import compare_block
from .compare import check_forward, compare_numbers, count_text, expect_tensor, kinds, output_of, randomize, run_order
from .values import as_list, as_net, as_number, as_percentages, as_records, check_choice, check_number, check_shape
from .verdict import NotYet, build, call, called_with, check_callable, checker
from .which import which_resnet

IMAGE = (1, 3, 224, 224)


@checker
def answer(exercise: str, **given: object) -> str:
    """Check what an exercise asks to hand in: `check.answer("4.1", early_weights=..., ...)`.

    exercise: chapter and number. The exercise says what it takes, and in which units.

    Raises `NotYet` for a wrong answer; `ValueError` for an exercise that has none here, `TypeError` for names that are
    not the exercise's.
    """
    if exercise not in EXERCISES:
        raise ValueError(f"there is no exercise {exercise!r} to hand in; there are {', '.join(EXERCISES)}")
    names = list(inspect.signature(EXERCISES[exercise]).parameters)
    if set(given) != set(names):
        takes = ", ".join(f"{name}=..." for name in names)
        raise TypeError(f'exercise {exercise} takes all of `check.answer("{exercise}", {takes})` and no other names')
    for name, value in given.items():
        if value is ...:
            raise NotYet(f"`{name}` is still `...`: your answer goes there")
    try:
        return f"exercise {exercise}: {EXERCISES[exercise](**given)}"
    except NotYet:
        for a, b in itertools.combinations(names, 2):
            if _is_right(exercise, {**given, a: given[b], b: given[a]}):
                raise NotYet(f"`{a}` and `{b}` are exchanged: the other way round both are right") from None
        raise


def _is_right(exercise: str, given: dict[str, object]) -> bool:
    try:
        EXERCISES[exercise](**given)
    except Exception:  # an answer in another's place may be of any type
        return False
    return True


def _exercise_1_1_three_results(cases: object) -> str:
    hints = {
        "overfitting": "its training error is as low as can be; compare it with its test error",
        "degradation": "are its training images learnt? Compare its training error with the smaller network's",
        "unknown": "19% of its training images are wrong: too many, against which shallower network?",
    }
    for place, given, right in zip(("i", "ii", "iii"), as_list("cases", cases, 3, "words"), hints, strict=True):
        check_choice(f"case {place}", given, right, hints, hints[right])
    return "all three cases have their names"


def _exercise_1_2_best_rate(grid: object, rate: object, left: object) -> str:
    if not isinstance(grid, Mapping) or len(grid) < 3:
        raise NotYet(f"`grid` is {grid!r:.60}, and three learning rates or more are expected, each with its records")
    errors: dict[tuple[str, str], dict[float, float]] = {}  # (net, metric) -> rate -> mean over the starts
    for lr, records in grid.items():
        records = as_records(f"grid[{lr!r}]", records, 2)
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
    rate = as_number("rate", rate)
    check_choice("rate", rate, right, grid, hints.get(rate, "plain-56 has a lower mean error on the held-out images"))
    deep, shallow = errors["plain56", "train_error"], errors["plain20", "train_error"]
    held = errors["plain56", "test_error"][right] - errors["plain20", "test_error"][other]
    slips = {held: "those are the held-out images", shallow[other] - deep[right]: "plain-56 minus plain-20, please"}
    check_number("left", left, deep[right] - shallow[other], slips, 0.01)
    return "the rate, and what is left at it, are right"


def _exercise_1_3_where_it_begins(runs: object, begins: object) -> str:
    records = as_records("runs", runs, 4)
    errors: dict[int, list[float]] = {}
    for record in sorted(records, key=lambda r: r.depth):
        if record.kind != "plain":
            raise NotYet(f"`runs` holds {record.net}, and plain networks are asked for")
        errors.setdefault(record.depth, []).append(record.final["train_error"])
    if 8 not in errors:
        raise NotYet(f"`runs` has the depths {', '.join(map(str, errors))}: plain-8, to compare with, is missing")
    if any(r.recipe != records[0].recipe for r in records):
        raise NotYet("the recipes of `runs` differ: the depth alone may")
    own, steps, rate = Recipe.digits(), records[0].recipe.get("steps"), records[0].recipe.get("lr")
    if (steps, rate) != (own.steps, own.lr):
        raise NotYet(f"`runs` have {steps} steps at {rate}, and the recipe of the chapter has {own.steps} at {own.lr}")
    means = {depth: statistics.fmean(values) for depth, values in errors.items()}
    right = next((depth for depth, mean in means.items() if mean > means[8] + 1), None)
    begins = None if begins is None else as_number("begins", begins)
    if begins != right:
        listed = ", ".join(f"{depth}: {mean:.2f}%" for depth, mean in means.items())
        why = f"Your training errors are {listed}. Which depth is the first with more than one point above plain-8?"
        raise NotYet(f"`begins` is {begins!r}. {why}")
    if right is None and max(means) < 56:
        raise NotYet(f"none of your depths is worse, and {max(means)} is the deepest: go on, up to 56")
    return "your runs say so"


def _exercise_2_2_shapes_of_a_block(conv1: object, conv2: object, shortcut: object) -> str:
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


def _exercise_2_3_mended_block(block: Callable[[int], nn.Module]) -> str:
    name = check_callable(block, "class")
    with called_with(block, "channels"):
        for channels, size in ((8, (8, 10)), (16, (7, 9))):
            args = (channels, 2 * channels, 2)
            compare_block(*build(block, (channels,)), BasicBlock(*args), args, size)
    return f"{name}: parameters, outputs, statistics and gradients are those of the paper's block"


def _exercise_2_4_zeros_at_the_end(plain: object, residual: object) -> str:
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


def _exercise_3_2_last_maps(imagenet: object, cifar: object) -> str:
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


def _exercise_3_3_wrong_stage(sizes: object, share: object) -> str:
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


def _exercise_3_4_layer_in_a_box(kernel: object, stride: object, padding: object) -> str:
    given = {"kernel": kernel, "stride": stride, "padding": padding}
    k, s, p = (as_number(name, value) for name, value in given.items())
    if k < 1 or p < 0:
        raise NotYet(f"`kernel` is {k:g} and `padding` {p:g}: a kernel has a pixel or more, padding none or more")
    seen = {9: 3, 10: 4, 11: 4, 12: 4, 13: 5}
    for size, out in seen.items():
        made = (size + 2 * p - k) // s + 1 if s > 0 else 0
        if made != out:
            raise NotYet(f"that layer makes {made:g} pixels of {size}, and the one in the box makes {out}")
    if (found := 8 * (3 * k**2 + 1)) != 1184:
        raise NotYet(f"the sizes fit; but that layer has {found:,.0f} parameters, and the one in the box has 1,184")
    return "that is the layer in the box"


def _exercise_4_1_two_layers(early_weights: object, early_macs: object, late_weights: object, late_macs: object) -> str:
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


def _exercise_4_3_one_width(net: object, falls_more: object) -> str:
    with torch.device("meta"):
        nets = ResNet(PlainBlock, [3, 4, 6, 3], [64] * 4), plain34()
    thin, usual = (trace(n, IMAGE) for n in nets)
    mine = call("tracing `net`", trace, as_net("net", net), IMAGE)
    if mine.additions:
        raise NotYet(f"`net` has {len(mine.additions)} additions, and a plain network has none")
    drawn = ([r for r in t.rows if r.kind in ("Conv2d", "Linear")] for t in (mine, thin, usual))
    own, right, old = ([(r.kind, r.kernel, *r.output_shape[1:]) for r in rows] for rows in drawn)
    if own == old:
        raise NotYet("`net` is plain-34 as it was: its stages have 64, 128, 256 and 512 channels")
    if len(own) != 34:
        raise NotYet(f"`net` has {len(own)} layers, and plain-34 has 34")
    if own != right:
        raise NotYet("`net` has 34 layers, but not all have the channels, kernels and map sizes that they should")
    text = "divide what plain-34 has by what this one has, for both costs"
    in_parameters = usual.total_params / thin.total_params > usual.total_macs / thin.total_macs
    costs = ("multiply-adds", "parameters")
    check_choice("falls_more", falls_more, costs[in_parameters], costs, text)
    return "the network, and what falls more, are right"


def _exercise_5_2_nothing_dropped(shortcut: Callable[[int, int], nn.Module]) -> str:
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
    sizes = {out.shape for part, out in run_order(mine, x) if isinstance(mine.get_submodule(part), nn.Conv2d)}
    if sizes - {y.shape}:
        raise NotYet(f"{what}: the numbers are right, but the 1×1 works on four times the places: pool before it")
    return f"{name}: outputs, running statistics and gradients are those of ResNet-D's shortcut"


@torch.no_grad()
def _exercise_5_3_same_keys_other_outputs(changes: object) -> str:
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
        still = copy.deepcopy(net).eval()  # before a pass in training mode moves its statistics
        given = call(f"change {place}: the preparation", prepare, images.clone())
        output = call(f"change {place}: the network", net, given)
        if output.shape != wanted.shape:
            raise NotYet(f"change {place} gives {tuple(output.shape)}, and {tuple(wanted.shape)} is expected")
        if (output - wanted).abs().max() < 0.1 * scale:
            raise NotYet(f"change {place} changes the output by less than a tenth of its deviation: it has no effect")
        bare = call(f"change {place}: the network, given the images as they are", still, images)
        found = {
            "the images": not torch.equal(given, images),
            "the mode": training,
            built: not torch.allclose(bare, wanted, atol=0.01 * scale),
        }
        kind = " and ".join(name for name, is_so in found.items() if is_so)
        if sum(found.values()) > 1:
            raise NotYet(f"change {place} is of {kind} at once: change one thing at a time")
        for other, (other_kind, before) in enumerate(seen, start=1):
            if torch.allclose(output, before, atol=0.01 * scale):
                raise NotYet(f"changes {other} and {place} give the same output: they are one change")
            if kind == other_kind != built:  # a network can be built in several wrong ways
                raise NotYet(f"changes {other} and {place} are both of {kind}. What else has no weights?")
        seen.append((kind, output))
    return "three changes: all keys match, and every output is another"


def _exercise_5_4_option_c(block: object, parameters: object, macs: object) -> str:
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


def _exercise_6_4_adam_or_sgd(held_out: object, rates: object, test: object, verdict: object) -> str:
    for name, given in (("held_out", held_out), ("rates", rates), ("test", test)):
        if not isinstance(given, dict) or set(given) != {"SGD", "Adam"}:
            raise NotYet(f"`{name}` must be a dictionary with the keys 'SGD' and 'Adam'")
    for name, tried in held_out.items():
        if not isinstance(tried, dict) or len(tried) < 3:
            raise NotYet(f"`held_out[{name!r}]` must be a dictionary of three rates or more, each with its errors")
        found = {rate: as_percentages(f"held_out[{name!r}][{rate}]", errors, None) for rate, errors in tried.items()}
        if any(len(errors) < 2 for errors in found.values()):
            raise NotYet(f"`held_out[{name!r}]` must have the errors of two starts or more for each rate")
        means = {rate: statistics.fmean(errors) for rate, errors in found.items()}
        best = min(means, key=means.get)
        if rates[name] != best:
            text = f"and of those you tried {best} has the lowest mean error on the held-out images, {means[best]:.1f}%"
            raise NotYet(f"`rates[{name!r}]` is {rates[name]!r}, {text}")
    sgd, adam = (as_percentages(f"test[{name!r}]", test[name], 5) for name in ("SGD", "Adam"))
    mean, low, high = interval([a - b for a, b in zip(adam, sgd, strict=True)])
    right = "not told apart" if low <= 0 <= high else "worse" if mean > 0 else "better"
    text = f"the mean difference in test error is {mean:+.1f}, its interval from {low:+.1f} to {high:+.1f}."
    text += " Is 0 in it? And is a larger error better?"
    check_choice("verdict", verdict, right, ("worse", "not told apart", "better"), text)
    return "each optimizer has its own best rate, and the verdict is that of your errors"


def _exercise_7_1_five_sigma(
    mean: object, deviation: object, error: object, deviations_away: object, errors_away: object
) -> str:
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


def _exercise_7_2_fair_twins(runs: object) -> str:
    found: dict[object, dict[str, tuple]] = {}
    for kind, seed, steps, start, error in [as_list("a run", run, 5) for run in as_list("runs", runs, None, "runs")]:
        seed = as_number("a seed", seed)
        if kind not in ("plain", "resnet"):
            raise NotYet(f"a run is of kind {kind!r}, and it must be 'plain' or 'resnet'")
        if kind in found.setdefault(seed, {}):
            raise NotYet(f"seed {seed} has two runs of kind {kind!r}")
        given = {"steps": steps, "start": start, "training error": error}
        steps, start, error = (as_number(f"{name} of {kind}, seed {seed}", value) for name, value in given.items())
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


def _exercise_7_4_bootstrap(draws: object, means: object, ends: object, right: object) -> str:
    slips = {9: "three values are drawn, each of three", 6: "a value may be drawn again"}
    check_number("draws", draws, 27, slips, 1e-9)
    slips = {
        27: "the mean does not depend on the order of the draws",
        9: "count again, or let the computer",
        7: "a mean of 1, 1, 2 is not one of 1, 2, 2",
    }
    check_number("means", means, 10, slips, 1e-9)
    errors = [r.final["train_error"] for r in load_records("digits") if r.net == "plain56" and r.seed < 3]
    given = [as_number("an end", value) for value in as_list("ends", ends, 2, "numbers")]
    # A mean of the lowest value alone comes up in one draw of 27: without interpolation that is the 2.5% quantile.
    whole = np.allclose(given, [min(errors), max(errors)], rtol=1e-3)
    interval = (lambda values: (min(values), max(values))) if whole else _bootstrap_interval
    for name, value, wanted in zip(("low end", "high end"), given, interval(errors), strict=True):
        check_number(name, value, float(wanted), within=0.02)
    studies = np.random.default_rng(0).normal(size=(2000, 3))
    low, high = np.transpose([interval(study) for study in studies])
    share = float(np.mean((low <= 0) & (high >= 0)))
    most = "that is the most it can be: how often does the interval that you handed in hold the mean?"
    slips = {0.95: "that is what it promises", 0.75: most, 1 - share: "that is how often it is wrong"}
    check_number("right", right, share, slips, within=0.05)
    return "draws, means, ends and share are right"


def _exercise_8_1_paths(paths: object, left: object, branches: object) -> str:
    check_number("paths", paths, 2**27, {54: "each block doubles the ways, it does not add two"}, 0)
    check_number("left", left, 1 / 32, {22 / 27: "that is the share of the blocks", 31 / 32: "that is what is gone"})
    check_number("branches", branches, 13.5, {27: "that is the longest way"}, 0)
    return "ways, what is left of them, and their mean length are right"


def _exercise_8_2_turned_round(plain: object, residual: object) -> str:
    for name, kind, given in (("plain", "plain", plain), ("residual", "resnet", residual)):
        net = load_trained(f"{kind}56", study="digits")
        batches = Subject(name, net, load("digits")).batches("test")
        slips = {loss_and_error(net, batches)[1]: "that is the network as it was"}
        net.layer3 = nn.Sequential(net.layer3[0], *list(net.layer3)[:0:-1])
        right = loss_and_error(net, batches)[1]
        check_number(name, given, right, slips, within=0.6 / right)  # two images of 360
    return "both errors are those of the last stage turned round"


def _exercise_8_3_decay(share: object) -> str:
    recipe = Recipe.paper()
    pull = recipe.weight_decay * sum(map(recipe.lr_at, range(recipe.steps)))
    slips = {math.exp(-pull): "momentum makes a steady pull ten times as strong"}
    check_number("share", share, math.exp(-pull / (1 - recipe.momentum)), slips, within=2e-4)
    return "so little would be left"


def _exercise_9_1_one_name(depth: object, option: object) -> str:
    check_number("depth", depth, 20, {18: "that is its name; what does the number of parameters say?"}, 1e-9)
    check_choice("option", option, "B", "ABC", "count the parameters of a network of that depth with each option")
    return "the parameters tell which network it is"


def _exercise_9_2_needless(reader: Callable[[Trace], object]) -> str:
    name = check_callable(reader)
    for net in (variants.projected_resnet50(), variants.labml_resnet20(), resnet18(shortcut="projection_all")):
        traced = trace(net, (1, 3, 32, 32))
        got, right = as_number(f"{name}(t)", call(f"{name}(t)", reader, traced)), anatomy(traced)["projections"]
        every = sum(a.shortcut_kind != "identity" for a in traced.additions)
        check_number(f"{name}(t)", got, right, {every: "that is every shortcut with something on it"}, 1e-9)
    return f"{name} is right for three networks"


def _exercise_9_3_repaired(net: nn.Module) -> str:
    found, due = call("tracing `net`", which_resnet, as_net("net", net)), "the paper's for CIFAR-10, with option B"
    if found.nearest != due or found.differences:
        raise NotYet(f"`net` is nearest to {found.nearest}; it differs in {', '.join(found.differences) or 'nothing'}")
    check_number("the number of layers", found.traits["depth"], 20, within=1e-9)
    return f"{found.name} with option B, in all that a trace shows"


def _exercise_10_1_five_reports(bugs: object) -> str:
    hints = {
        "steps on test": "which images does it know by heart?",
        "no eval": "what changes for a net when it is asked about one image at a time?",
        "strict=False": "how many of its tensors were loaded?",
        "last epoch": "which of two nets is in the file?",
        "training transforms": "the weights and the mode are the same both times. Are the images?",
    }
    words = as_list("bugs", bugs, 5, "words")
    for place, word, right in zip(("i", "ii", "iii", "iv", "v"), words, hints, strict=True):
        check_choice(f"report {place}", word, right, hints, hints[right])
    return "all five reports have their bugs"


def _exercise_10_3_loads_all(load: Callable[[nn.Module, dict[str, Tensor]], object]) -> str:
    name, fresh = check_callable(load), nn.ModuleDict({"layer1": nn.Conv2d(1, 2, 3)})
    fresh["model"] = nn.ModuleDict({"module": nn.BatchNorm2d(2)})  # letters of the prefix, and the prefix again
    trained = copy.deepcopy(fresh)
    randomize(trained)
    for prefix in ("", "module."):
        saved = {prefix + key: tensor for key, tensor in trained.state_dict().items()}
        mine, (first, *rest) = copy.deepcopy(fresh), saved
        call(f"{name}(net, saved)", load, mine, dict(saved))
        if not all(torch.equal(t, saved[prefix + key]) for key, t in mine.state_dict().items()):
            raise NotYet(
                f"{name}: not all tensors arrive in the net if the names begin with {prefix + 'layer1.weight'!r}"
            )
        fewer, one = {k: saved[k] for k in rest}, {"more": saved[first]}
        for what, wrong in (("lacks", fewer), ("has more than", saved | one), ("names otherwise", fewer | one)):
            try:
                load(copy.deepcopy(fresh), wrong)
            except Exception:  # as it should be, of whatever kind
                continue
            raise NotYet(f"{name} is silent if a file {what} what the net needs")
    return f"{name}: all tensors, with a prefix and without, or an error"


def _exercise_11_1_speed(per_second: object, hours: object) -> str:
    right = 20 * 50_000 / 4555.5
    slips = {right / 20: "there are 20 epochs", right * 1.2: "test images are not trained on"}
    check_number("per_second", per_second, right, slips, 0.01)
    check_number("hours", hours, 64_000 * 128 / right / 3600, {64_000 / right / 3600: "a step is 128 images"}, 0.01)
    return "speed and hours are right"


def _exercise_11_3_sizes(as_published: object, padded: object) -> str:
    for name, given, right, slips in (
        ("as_published", as_published, (71, 166), {65: "is there padding in that stem?"}),
        ("padded", padded, (65, 160), {71: "there is padding in that stem"}),
    ):
        given = as_list(name, given, 2, "numbers")
        check_number(f"{name}[0]", given[0], right[0], slips | {right[0] + 1: "one pixel less passes, too"}, 1e-9)
        check_number(f"{name}[1]", given[1], right[1], {right[1] - 1: "one pixel more passes, too"}, 1e-9)
    return "smallest and largest images are right"


def _exercise_12_1_always(error: object, mean_of_classes: object) -> str:
    check_number("error", error, 10.0, {0.1: "in percent, please", 90: "that is how many are right"}, 1e-9)
    slips = {0.5: "in percent, please", 10: "each class counts once"}
    check_number("mean_of_classes", mean_of_classes, 50.0, slips, 1e-9)
    return "both errors are right"


def _exercise_12_2_without_mistake(images: object) -> str:
    right = 381  # the first n with z^2 / (n + z^2) below 0.01, z = 1.96
    slips = {right - 1: "with one picture less the end lies above 1% still", 368: "that is for the exact interval"}
    check_number("images", images, right, slips, 1e-9)
    return "from 381 pictures on"


def _exercise_12_3_confusion(confusion: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    from sklearn.metrics import confusion_matrix

    name, (truth, said) = check_callable(confusion), torch.randint(4, (2, 60))
    for classes in (5, 6):  # no image is of the last one
        right = torch.from_numpy(confusion_matrix(truth, said, labels=range(classes)))
        found = call(f"{name}(...)", confusion, truth.clone(), said.clone(), classes)
        if not isinstance(found, Tensor):
            raise NotYet(f"{name}(...) gives {type(found).__name__}, and a tensor is due")
        check_shape(f"{name}(...)", found.shape, right.shape, {})
        if torch.equal(found.double(), right.T.double()):
            raise NotYet("rows and columns are exchanged: a row is what an image is, a column what it is called")
        if torch.equal(found.double(), right.clamp(max=1).double()):
            raise NotYet(f"{name}: a pair that comes twice is counted once")
        if not torch.equal(found.double(), right.double()):
            raise NotYet(f"{name}: the counts are not right for 60 images of which none is of the last class")
    return f"{name}: the counts are right"


@torch.no_grad()
def _exercise_13_1_overwritten(overwritten: object) -> str:
    from torchvision.models import resnet18 as theirs

    net, kept, given = theirs().eval(), {}, as_list("overwritten", overwritten, None, "names of layers")
    for name in ("conv1", "bn1", "conv2", "bn2"):
        layer = getattr(net.layer1[0], name)
        layer.register_forward_hook(lambda _, __, out, name=name: kept.update({name: (out, out.clone())}))
    net(torch.randn(1, 3, 64, 64))
    for name in (*given, *kept):
        check_choice("overwritten", name, name, kept, "")
        if (name in given) == torch.equal(*kept[name]):
            raise NotYet(f"what comes after {name}: does it write over its input, or make a new tensor?")
    return "both batch normalisations' outputs are overwritten"


def _exercise_13_2_first_to_see_all(block: object, field: object) -> str:
    with torch.device("meta"):
        fields = {row.path.removesuffix(".add()"): row.receptive_field for row in trace(resnet50(), IMAGE).additions}
    right = next(name for name, size in fields.items() if size > IMAGE[-1])
    block = str(block).removesuffix(".add()")  # as the rows call it
    hint = f"that one has a field of {fields.get(block)} pixels; the image has {IMAGE[-1]}"
    check_choice("block", block, right, fields, hint)
    check_number("field", field, fields[right], {IMAGE[-1]: "that is the image"}, 1e-9)
    return f"{right}, with a field of {fields[right]} pixels"


def _exercise_13_3_activation_map(cam: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    name = check_callable(cam)
    maps, weight = torch.randn(8, 3, 5), torch.randn(4, 8)
    for kind in range(4):
        right = (weight[kind][:, None, None] * maps).sum(0) / 15
        found = expect_tensor(f"{name}(...)", call(f"{name}(...)", cam, maps, weight, kind))
        check_shape(f"{name}(...)", found.shape, right.shape, {(): "a value for each place is due"})
        if torch.allclose(found, 15 * right, atol=1e-4):
            raise NotYet("the places add up to 15 times the logit: the network takes the mean over them, not the sum")
        if not torch.allclose(found, right, atol=1e-4):
            raise NotYet(f"for class {kind} the places do not add up to the logit without its bias")
    return f"{name}: the places add up to the logit, for every class"


def _exercise_14_1_excitation(parameters: object, macs: object) -> str:
    channels = [c for c, blocks in ((256, 3), (512, 4), (1024, 6), (2048, 3)) for _ in range(blocks)]
    weights, biases = sum(2 * c * c // 16 for c in channels), sum(c + c // 16 for c in channels)
    slips = {weights: "both convolutions have biases", weights / 2: "and the second convolution?"}
    check_number("parameters", parameters, weights + biases, slips, 1e-6)
    check_number("macs", macs, weights, {weights + biases: "a bias is no multiply-add"}, 1e-6)
    return "parameters and multiply-adds are right"


def _exercise_14_2_stochastic_depth(blocks: object, factor: object) -> str:
    slips = {27: "that is for a probability of a half for all blocks", 40.5: "the first block is number 1, and not 0"}
    check_number("blocks", blocks, 40.25, slips)
    check_number("factor", factor, 1.25, {0.8: "that is how many are kept", 5: "0.2 is the share that is skipped"})
    return "the mean depth and the factor are right"


def _exercise_14_3_preactivation(block: Callable[..., nn.Module]) -> str:
    name, images = check_callable(block, "class"), torch.randn(4, 8, 8, 10, generator=torch.Generator().manual_seed(1))
    with called_with(block, "in_channels", "out_channels", "stride"):
        for args in ((8, 8, 1), (8, 16, 2), (8, 16, 1), (8, 8, 2)):
            reference = PreActBlock(*args)
            shape = reference(images).shape
            randomize(reference)
            mine, what = build(block, args)
            check_shape(what, output_of(mine, images, what).shape, shape, {})
            check_forward(mine, images, what)
            if kinds(mine) != kinds(reference):
                due = "two batch norms, two 3×3 and, for a new shape, a 1×1; convolutions without bias"
                raise NotYet(f"{what}: due are {due}")
            compare_numbers(mine, reference, images, what, {})
    return f"{name}: outputs, running statistics and gradients are right"


EXERCISES: dict[str, Callable[..., str]] = {  # "4.1" -> the function whose name says so
    f"{number[1]}.{number[2]}": function
    for name, function in list(globals().items())
    if (number := re.match(r"_exercise_(\d+)_(\d+)_", name))
}
