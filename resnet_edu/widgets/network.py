"""The network explorer: choose a net and an image, and see every shape, cost and addition, or the error.

Here are the settings, as traits, and the net that they stand for. What is shown is computed in JavaScript
(src/lib/engine.js) with the rules of the tracer; a test compares both on hundreds of random settings. Only a model of
one's own comes as rows of its trace, which can be looked at and not changed.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: Table 1 (ImageNet), section 4.2 (CIFAR-10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from html import escape

import torch
import traitlets
from torch import nn

from ..nets import models
from ..support.validate import whole
from ..tracing.rows import Row
from ..tracing.run import Trace, TraceError, trace
from ..tracing.views import find_stages
from .base import Explorer, Whole, checked, module

SHORTCUTS = tuple(models.SHORTCUTS)
DEPTHS = {"imagenet": (18, 34, 50, 101, 152), "cifar": tuple(range(8, 111, 6))}
SIDES = (8, 512)
DEFAULTS = {  # what each family is usually used with; the explorer goes back to it when the family changes
    "imagenet": dict(depth=50, shortcut="projection", stem="imagenet", width=64, num_classes=1000, input=[3, 224, 224]),
    "cifar": dict(depth=20, shortcut="zero_pad", stem="cifar", width=16, num_classes=10, input=[3, 32, 32]),
}
_LONGEST = 200  # rows: the page without JavaScript shows the stages alone of a deeper net
_USUAL = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
_DERIVED = ("index", "cumulative_params", "cumulative_macs")  # engine.js counts them again


def build_net(config: Mapping[str, object]) -> models.ResNet:
    """Return the net that a setting stands for; keys as the traits of `NetworkExplorer`."""
    names = ["num_classes", "width", "stem"]
    if config["residual"]:
        names.append("shortcut")
    if config["family"] == "imagenet":
        names.append("stride_on")
    options = {name: config[name] for name in names}
    options |= {"in_channels": config["input"][0], "pool": config["pool"] or None}
    family = models.imagenet_net if config["family"] == "imagenet" else models.cifar_net
    return family(config["depth"], config["residual"], **options)


class NetworkExplorer(Explorer):
    """A net of the paper, or a model of your own, drawn to scale, with the table of its layers.

        NetworkExplorer("resnet50", input=(3, 96, 96))
        NetworkExplorer("plain34", batch=32)
        NetworkExplorer(my_model, (1, 3, 64, 64))      # read-only, from its trace
        NetworkExplorer(trace(my_model, (1, 3, 64, 64)))

    The traits below are synchronised both ways: what the reader moves can be read here, and what is set here moves.

    family:      "imagenet" (Table 1 of the paper) or "cifar" (section 4.2).
    depth:       layers with weights: 18, 34, 50, 101, 152, or 6n+2 from 8 to 110.
    residual:    False for the plain twin, which the ImageNet family has for 18 and 34 layers.
    shortcut:    "identity", "zero_pad" (option A), "projection" (B), "projection_all" (C); plain nets ignore it.
    stride_on:   "3x3" or "1x1": which convolution of a bottleneck has the stride.
    stem:        "imagenet" (7x7, stride 2, and max pooling) or "cifar" (3x3).
    width:       channels of the first stage, 1 to 256.
    pool:        0 for global average pooling, or the side of a fixed window, up to 16 pixels.
    num_classes: outputs of the linear layer, 1 to 10,000.
    mode:        "eval" or "train"; in training mode batch norm refuses a single value for each channel.
    batch:       images at a time, 1 to 256, as in the paper: with more, the largest net would have more multiply-adds
                 than the 2 ** 53 up to which JavaScript counts exactly.
    input:       channels, height and width of an image: 1 to 64 channels, 8 to 512 pixels.
    selected:    the block that is open, such as "layer2.0", or "".
    traced:      the rows of a model of your own; empty for a net of the paper.

    Setting several traits that only fit together: `with explorer.hold_trait_notifications(): ...`.
    Raises `TraitError` that names value and rule for a setting that no net has.
    """

    _esm = module("network")
    _explorer = traitlets.Unicode("network").tag(sync=True)
    family = traitlets.Enum(("imagenet", "cifar"), "imagenet").tag(sync=True)
    depth = Whole(50, 8, 152).tag(sync=True)
    residual = traitlets.Bool(True).tag(sync=True)
    shortcut = traitlets.Enum(SHORTCUTS, "projection").tag(sync=True)
    stride_on = traitlets.Enum(("3x3", "1x1"), "3x3").tag(sync=True)
    stem = traitlets.Enum(models.STEMS, "imagenet").tag(sync=True)
    width = Whole(64, 1, 256).tag(sync=True)
    pool = Whole(0, 0, 16).tag(sync=True)
    num_classes = Whole(1000, 1, 10_000).tag(sync=True)
    mode = traitlets.Enum(("eval", "train"), "eval").tag(sync=True)
    batch = Whole(1, 1, 256).tag(sync=True)
    input = traitlets.List(default_value=[3, 224, 224], minlen=3, maxlen=3).tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    traced = traitlets.Dict().tag(sync=True)

    def __init__(
        self, net: str | nn.Module | Trace = "resnet50", input: Sequence[int] | None = None, **settings: object
    ) -> None:
        """Explore a net by its name, such as "resnet50" or "plain20", or a model of your own with its input.

        input: (C, H, W) for a name; what `trace` takes, batch included, for a model.
        """
        self._own: Trace | None = None
        if isinstance(net, nn.Module):
            if input is None:
                raise TypeError("give the input's shape too, batch included: NetworkExplorer(model, (1, 3, 64, 64))")
            net = trace(net, input)
        if isinstance(net, Trace):
            self._own = net
            inputs = [list(shape) for shape in net.inputs]
            settings["traced"] = {"model": net.model, "rows": compact(net.rows), "parts": parts(net), "inputs": inputs}
        elif isinstance(net, str):
            settings = _settings_of(net, settings) | ({} if input is None else {"input": input})
        else:
            raise TypeError(f"`net` must be a name such as 'resnet50', a torch.nn.Module or a trace, but it is {net!r}")
        super().__init__(**settings)

    @traitlets.validate("input")
    def _check_input(self, proposal: dict) -> list[int]:
        limits = [(1, 64), SIDES, SIDES]
        return [checked(whole, f"input[{i}]", value, *limits[i]) for i, value in enumerate(proposal["value"])]

    @traitlets.validate("depth", "family", "residual")
    def _check_depth(self, proposal: dict) -> object:
        value, name = proposal["value"], proposal["trait"].name
        family, depth, residual = (value if n == name else getattr(self, n) for n in ("family", "depth", "residual"))
        if depth not in DEPTHS[family]:
            listed = ", ".join(map(str, DEPTHS[family]))
            raise traitlets.TraitError(f"`depth` of the family {family!r} must be one of {listed}, but it is {depth}")
        if family == "imagenet" and depth >= 50 and not residual:
            rule = "plain nets of this family have 18 or 34 layers"
            raise traitlets.TraitError(f"{rule}, but `depth` is {depth}: use residual=True")
        return value

    @property
    def setting(self) -> dict[str, object]:
        """The values of all traits that describe the net and its image."""
        names = (*DEFAULTS["cifar"], "family", "residual", "stride_on", "pool", "mode", "batch")
        return {name: getattr(self, name) for name in names}

    def net(self) -> models.ResNet:
        """Return the net of this setting. Raises `ValueError` if a model of one's own is shown."""
        if self._own is not None:
            raise ValueError(f"this explorer shows the trace of a model of your own, {self._own.model}: use that model")
        return build_net(self.setting)

    def trace(self) -> Trace:
        """Return the tracer's rows for this setting; raises `TraceError` where the explorer shows an error."""
        if self._own is not None:
            return self._own
        with torch.device("meta"):
            net = self.net()
        return trace(net, (self.batch, *self.input), mode=self.mode)

    def static_html(self) -> str:
        """Return the stages and the layers of the current setting, or its error and the layers before it."""
        result, error = self._result()
        layers = result.view().to_html()
        if error:
            what = f"<strong>{type(error).__name__}:</strong> {escape(str(error))}"
            return f'<p class="rx-error">{what}</p>{layers}'
        if not find_stages(result):
            return layers
        if len(result) > _LONGEST:
            return result.view("stages").to_html()
        summary = f"<summary>All {len(result)} operations</summary>"
        return f"{result.view('stages').to_html()}<details>{summary}{layers}</details>"

    def static_text(self) -> str:
        """Return the stages of the current setting, or its layers, as plain text."""
        result, error = self._result()
        view = "stages" if find_stages(result) and not error else "layers"
        return result.view(view).to_text() + (f"\n\n{type(error).__name__}: {error}" if error else "")

    def _result(self) -> tuple[Trace, TraceError | None]:
        """Return the trace up to the error, if there is one, and the error."""
        try:
            return self.trace(), None
        except TraceError as error:
            return Trace("ResNet", ((self.batch, *self.input),), "meta", error.rows), error


def _settings_of(name: str, settings: dict[str, object]) -> dict[str, object]:
    """Return the settings of the net called `name`, with the defaults of its family."""
    kind, depth = models.split_name(name)
    if kind not in ("resnet", "plain") or not depth:
        raise ValueError(f"unknown net {name!r}: names are resnet or plain with a depth, as in 'resnet50' or 'plain20'")
    family = settings.get("family", "cifar" if models.is_cifar_name(name) else "imagenet")
    usual = DEFAULTS.get(family, {})
    return {**usual, "family": family, "depth": depth, "residual": kind == "resnet", **settings}


def compact(rows: list[Row]) -> list[dict[str, object]]:
    """Return the rows as dictionaries without derived fields and without values that are a field's default."""
    full = [row.to_dict() for row in rows]
    return [
        {k: v for k, v in row.items() if k not in _DERIVED and not (k in _USUAL and v == _USUAL[k])} for row in full
    ]


def parts(trace: Trace) -> list[dict[str, object]]:
    """Return what is drawn as one slab each: name, stage, first and last row, output shape, whether it is a block.

    The blocks of a net with stages, and its stem and head around them; in other models every layer that has a window
    or is linear begins a part, and what follows it belongs to it.
    """
    if not trace.rows:
        return []
    begins: dict[int, tuple[str, str, bool]] = {0: (trace.rows[0].path, "", False)}  # row: name, stage, is it a block
    stages = find_stages(trace)
    for stage in stages:
        begins |= {block.rows[0].index: (block.path, f"{stage.name}_x", True) for block in stage.blocks}
    if stages:
        first, last = min(i for i in begins if i), stages[-1].blocks[-1].rows[-1].index
        begins[0] = ("conv1", "conv1", False)
        begins |= {r.index: (r.path, "conv2_x", False) for r in trace.rows[:first] if r.kernel and r.groups is None}
        begins |= {r.index: ("head", "head", False) for r in trace.rows[last + 1 : last + 2]}
    else:
        begins |= {r.index: (r.path, "", False) for r in trace.rows if r.kernel or r.kind == "Linear"}
    found = []
    firsts = sorted(begins)
    for first, after in zip(firsts, [*firsts[1:], len(trace.rows)], strict=True):
        name, stage, is_block = begins[first]
        shape = next((list(row.outputs[0]) for row in reversed(trace.rows[first:after]) if row.outputs), [])
        found.append({"name": name, "stage": stage, "first": first, "last": after - 1, "shape": shape})
        found[-1]["isBlock"] = is_block
    return found
