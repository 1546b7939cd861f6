"""The identity slider: blocks that do nothing are put into a trained net, and brought on the way to trained ones."""

from __future__ import annotations

import traitlets

from ..experiment.shipped import load_record
from ..support.table import Column, Table
from .base import Whole, module
from .dissecting import NETS, STUDY, TrainedNets


class IdentityExplorer(TrainedNets):
    """A trained net of 20 layers and 18 blocks more: a slider takes them from doing nothing to those of a net of 56.

        IdentityExplorer()
        IdentityExplorer(kind="resnet", percent=50)

    kind:    "plain" or "resnet", of both nets.
    percent: of the way from the identity to the trained blocks, 0 to 100; it follows the slider, and may be set.

    At 0 the deep net computes what the shallow one does. Between, a plain block's kernels are blended, with their batch
    norms folded in; a residual block's branch gets the factor. The loss is computed live, on 40 training images.
    """

    _esm = module("identity")
    _explorer = traitlets.Unicode("identity").tag(sync=True)
    kind = traitlets.Enum(("plain", "resnet"), "plain").tag(sync=True)
    percent = Whole(0, 0, 100).tag(sync=True)

    @property
    def _nets(self) -> tuple[str, ...]:
        return tuple(net for net in NETS if net.startswith(self.kind))

    def static_html(self) -> str:
        """Return a table of training losses: with blocks that do nothing, and of the deep net as trained."""
        shallow, deep = self._nets
        loss = {net: f"{load_record(net, study=STUDY).final['train_loss']:.3g}" for net in self._nets}
        rows = [
            {"net": f"{shallow}, and the same with 18 blocks that do nothing", "loss": loss[shallow]},
            {"net": f"{deep}, trained from scratch", "loss": loss[deep]},
        ]
        columns = [Column("net", "net"), Column("loss", "training loss", True)]
        return Table("Blocks that do nothing in a trained net, on digits", columns, rows, results=True).to_html()
