"""The training laboratory: the reader trains plain and residual nets in the page, side by side.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 1: the degradation problem.
"""

from __future__ import annotations

import traitlets

from ..support.validate import one_of, real
from .base import Laboratory, Whole, checked, module

KINDS = {
    "plain": "plain: two layers after two layers",
    "residual": "residual: a block's input is added to what its two layers make of it",
    "zeroed": "residual, and each block begins as the identity: its last scale is zero",
    "preact": "residual with pre-activation: batch norm and ReLU before each layer, nothing after the addition",
}
BATCHES = (16, 32, 64, 128, 256)
DEFAULT = ("plain-20", "plain-56", "residual-20", "residual-56")


class TrainingLab(Laboratory):
    """Fully connected nets on scikit-learn's digits, trained in the page by the reader's own processor.

        TrainingLab()
        TrainingLab(nets=["plain-56", "zeroed-56"], rate=0.1)

    nets:       one to four, each a kind of `KINDS` and an even number of layers from 4 to 110.
    width:      units of every layer between the first and the last: 8 to 64, in steps of 4.
    batch_norm: with or without.
    rate:       learning rate, 0.001 to 1; the slider shows the nearest of its places.
    batch:      images: one of `BATCHES`.
    seed:       of the first weights and of the batches' order, 0 to 9999.
    steps:      of one run, 50 to 2000, in steps of 50.
    predict:    whether the reader is asked for a prediction before the first run.

    The choices follow what the reader does, and may be set. `record` has the last run that came to its end: its
    choices, and for each net losses, errors (percent), sizes of gradients and outputs, and where it diverged.

    Raises `traitlets.TraitError` for a wrong value.
    """

    _esm = module("training")
    _explorer = traitlets.Unicode("training").tag(sync=True)
    nets = traitlets.List(traitlets.Unicode(), DEFAULT).tag(sync=True)
    width = Whole(32, 8, 64).tag(sync=True)
    batch_norm = traitlets.Bool(True).tag(sync=True)
    rate = traitlets.Float(0.02).tag(sync=True)
    batch = traitlets.Enum(BATCHES, 64).tag(sync=True)
    seed = Whole(0, 0, 9999).tag(sync=True)
    steps = Whole(300, 50, 2000).tag(sync=True)
    predict = traitlets.Bool(True).tag(sync=True)
    record = traitlets.Dict().tag(sync=True)

    @traitlets.validate("nets")
    def _are_nets(self, proposal: dict) -> list[str]:
        names = proposal["value"]
        if not 1 <= len(names) <= 4:
            raise traitlets.TraitError(f"`nets` must name one to four nets, but it has {len(names)}")
        for name in names:
            kind, _, depth = name.partition("-")
            checked(one_of, "nets", kind, KINDS)
            if not (depth.isdecimal() and 4 <= int(depth) <= 110 and int(depth) % 2 == 0):
                rule = "`nets` must have an even number of layers from 4 to 110, as in plain-56"
                raise traitlets.TraitError(f"{rule}, but one is {name!r}")
        return names

    @traitlets.validate("width", "steps")
    def _in_steps(self, proposal: dict) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        apart = {"width": 4, "steps": 50}[name]
        if value % apart:
            raise traitlets.TraitError(f"`{name}` must be a multiple of {apart}, but it is {value}")
        return value

    @traitlets.validate("rate")
    def _is_rate(self, proposal: dict) -> float:
        return checked(real, "rate", proposal["value"], 0.001, 1)

    def parameters(self, net: str) -> int:
        """Return how many numbers a net of these settings trains."""
        each = (2 if self.batch_norm else 1) * self.width  # a scale and a shift, or a bias
        inner = (int(net.partition("-")[2]) - 2) * (self.width**2 + each)
        return 64 * self.width + each + inner + 10 * self.width + 10

    def static_html(self) -> str:
        """Return a table of the nets, and how they would be trained."""
        rows = "".join(
            f'<tr><th scope="row">{net}</th><td style="white-space:normal;text-align:left">'
            f"{KINDS[net.partition('-')[0]].partition(':')[0]}</td><td>{self.parameters(net):,}</td></tr>"
            for net in self.nets
        )
        norm = "with" if self.batch_norm else "without"
        return (
            f'<table class="resnet-table"><caption>What the training laboratory trains (with JavaScript): fully '
            f"connected nets of width {self.width} on 1,437 digits, {norm} batch norm, {self.steps} steps of SGD with "
            f"learning rate {self.rate:g}, momentum 0.9, batches of {self.batch}</caption><thead><tr><th>net</th>"
            f"<th>kind</th><th>param&shy;eters</th></tr></thead><tbody>{rows}</tbody></table>"
        )
