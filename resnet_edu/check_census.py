"""Which parameters a learner's module has, beside those that it should have: what is missing, and what is too much.

Scope: blocks; `check_nets.py` counts whole nets. Shapes alone prove nothing, but where they differ, they say why.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from .check_match import Kind, kinds, tensors
from .check_tools import NotYet, and_, ask, close


def made_in_forward(mine: nn.Module, x: Tensor, what: str) -> None:
    """Raise `NotYet` if layers are made while the module runs, or if it is random in evaluation mode."""
    known, strangers = set(mine.modules()), []  # those that run without being the learner's attributes

    def note(module: nn.Module, _: object) -> None:
        if module not in known and tensors(module):
            strangers.append(module)

    handle = register_module_forward_pre_hook(note)  # of all modules there are
    mine.eval()
    try:
        with torch.no_grad():
            first, second = (ask(what, mine, x.clone()) for _ in range(2))
    except NotYet:
        return  # what fails is said elsewhere
    finally:
        handle.remove()
    listed = and_(sorted({type(m).__name__ for m in strangers}))
    if strangers and len(set(strangers)) < len(strangers) and not set(mine.modules()) & set(strangers):
        raise NotYet(
            f"{what} uses layers ({listed}) that are not among its modules, so that no optimizer finds them. A layer "
            "has to be an attribute of the module itself; a plain Python list or dictionary hides it"
        )
    if strangers:
        raise NotYet(
            f"{what} makes layers in forward ({listed}). They belong in __init__: there the "
            "optimizer finds their parameters, and what they learn is kept from one call to the next"
        )
    if isinstance(first, Tensor) and isinstance(second, Tensor) and not close(first, second):
        raise NotYet(
            f"{what} gives two outputs for one input in evaluation mode: something in forward is random, such as "
            "dropout that does not follow the mode, or weights that are drawn anew"
        )


def compare_kinds(mine: nn.Module, reference: nn.Module, what: str, args: tuple[int, int, int]) -> None:
    """Raise `NotYet` if a block's parameters and running statistics are not those of the reference, in some order."""
    own, right = kinds(mine), kinds(reference)
    if own == right:
        return
    missing, extra = right - own, own - right
    count = sum(t.numel() for t in mine.parameters())
    expected = sum(t.numel() for t in reference.parameters())
    numbers = f" ({count:,} parameters instead of {expected:,})" if count != expected else ""
    raise NotYet(f"{what}{numbers}: {_reason(mine, reference, missing, extra, args)}")


def _reason(
    mine: nn.Module, reference: nn.Module, missing: Counter[Kind], extra: Counter[Kind], args: tuple[int, int, int]
) -> str:
    if not tensors(mine):
        return "the module has no parameters at all: nothing in it can learn. Are its layers made in __init__?"
    biased = [name for name, m in mine.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    if biased:
        return (
            f"the convolution{'s' * (len(biased) > 1)} {and_(biased)} with a bias. A batch normalisation follows and "
            "takes the mean away, the bias with it: it is a weight that does nothing"
        ).replace(" with a bias", f" {'have' if len(biased) > 1 else 'has'} a bias", 1)
    return _about_shortcut(mine, reference, missing, extra, args) or _about_layers(missing, extra)


def _about_shortcut(
    mine: nn.Module, reference: nn.Module, missing: Counter[Kind], extra: Counter[Kind], args: tuple[int, int, int]
) -> str:
    if not hasattr(reference, "downsample"):
        return ""
    out = next(reversed(list(reference.parameters()))).shape[0]
    point = ("parameter", (out, args[0], 1, 1))
    same = args[2] == 1 and args[0] == out
    vectors = missing[("parameter", (out,))]
    if same and extra[point]:
        return "there is a projection (1x1) on the shortcut although the shape does not change: the identity would do"
    if not same and missing[point]:
        why = "the stride changes the shape, although the channels do not" if args[0] == out else "the shape changes"
        if any(shape[:2] == point[1][:2] and len(shape) == 4 for _, shape in extra):
            return "the projection on the shortcut has a kernel larger than 1x1"
        return f"{why}, but the shortcut has no projection (1x1) that makes the branches fit"
    if not same and vectors and not extra and set(missing) <= {("parameter", (out,)), ("statistic", (out,))}:
        return "the projection on the shortcut has no batch normalisation, or the main path has one too few"
    if not same and extra and not missing and set(extra) <= {("parameter", (out,)), ("statistic", (out,))}:
        return "there is one batch normalisation too many for this shape"
    return ""


def _about_layers(missing: Counter[Kind], extra: Counter[Kind]) -> str:
    sizes = {kind: (missing[kind], extra[kind]) for kind in (*missing, *extra)}
    if all(len(shape) == 1 for _, shape in sizes) and not extra:
        if all(kind == "statistic" for kind, _ in sizes):
            return "batch normalisation keeps no running mean and variance here, which evaluation mode needs"
        if any(kind == "statistic" for kind, _ in sizes):
            return (
                "a batch normalisation is missing: one follows each convolution, with statistics of its own. (One "
                "that is used in two places is a single one.)"
            )
        return "the learnt scale and shift of a batch normalisation are missing"
    text = []
    if missing:
        text.append(f"missing: {and_([_words(kind, n) for kind, n in missing.items()])}")
    if extra:
        text.append(f"too much: {and_([_words(kind, n) for kind, n in extra.items()])}")
    return "; ".join(text)


def _words(kind: Kind, count: int) -> str:
    role, shape = kind
    s = "s" * (count > 1)
    if len(shape) == 4:
        return f"{count} convolution{s} of {shape[2]}×{shape[3]} from {shape[1]} to {shape[0]} channels"
    if role == "statistic":
        return f"{count} running statistic{s} (mean or variance) of {shape[0] if shape else 1} channels"
    if len(shape) == 1:
        return f"{count} scale{s}, shift{s} or bias{'es' * (count > 1)} of {shape[0]} channels"
    return f"{count} parameter{s} of shape {'×'.join(map(str, shape)) or '1'}"
