"""The dissecting table: trained nets are taken apart in the page, on a digit that the reader draws.

Source
  [1] Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NIPS 2016:
      one block left out, and blocks in another order.
"""

from __future__ import annotations

import traitlets

from ..experiment.shipped import ShippedError, ShippedStudy, filename, load_study, read_file
from ..nets.models import split_name
from ..nets.shapes import cifar_blocks_per_stage
from .base import Laboratory, Whole, module

STUDY = "digits"
NETS = ("plain20", "plain56", "resnet20", "resnet56")
TESTED = 200  # images to choose from, and to take an error over


def weights(net: str) -> bytes:
    """Return the file of a trained net's weights: safetensors in float16.

    Raises `ShippedError` if it is not the one that was shipped.
    """
    study = load_study(STUDY)
    return read_file(study, _file(study, net))


def _file(study: ShippedStudy, net: str) -> str:
    return filename(study, net, study.weights[net]["seed"], ".safetensors")


class TrainedNets(Laboratory):
    """Base of explorers that run `_nets`, trained ones, in the dissecting table's worker.

    Their weights come when the reader asks for them: in a page from files beside it, in a notebook from Python.
    """

    _engine = "dissecting"
    _nets: tuple[str, ...] = NETS
    files = traitlets.Dict(read_only=True, help="net -> sha256 and bytes of its weights").tag(sync=True)

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.on_msg(self._send_weights)

    @traitlets.default("files")
    def _files(self) -> dict[str, dict]:
        study = load_study(STUDY)
        return {net: study.files[_file(study, net)] for net in self._nets}

    def _send_weights(self, _: object, content: dict, __: object) -> None:
        if (net := content.get("weights")) in self._nets:
            try:
                self.send({"weights": net}, [weights(net)])
            except ShippedError as error:
                self.send({"weights": net, "problem": str(error)})


class DissectingTable(TrainedNets):
    """Four nets that were trained on scikit-learn's digits, run in the page: look into them, and cut.

        DissectingTable()
        DissectingTable(net="resnet56", image=7, off=["layer1.1", "layer3.4"])

    net:   the one that is opened, one of `NETS`.
    image: the test image at first, 0 to 199.
    off:   blocks of `net`, named as in PyTorch, whose branches are off at first; in a plain net such a block is left
           out, which is possible where it keeps the shape.

    `net` and `image` follow what the reader does, and may be set. The weights have 4.6 MB.

    Raises `traitlets.TraitError` for a wrong value.
    """

    _esm = module("dissecting")
    _explorer = traitlets.Unicode("dissecting").tag(sync=True)
    net = traitlets.Enum(NETS, "resnet20").tag(sync=True)
    image = Whole(0, 0, TESTED - 1).tag(sync=True)
    off = traitlets.List(traitlets.Unicode()).tag(sync=True)

    @traitlets.validate("off")
    def _are_blocks(self, proposal: dict) -> list[str]:
        for name in proposal["value"]:
            if name not in (known := removable(self.net)):
                rule = f"`off` must name blocks of {self.net} that can be left out, {known[0]} to {known[-1]}"
                raise traitlets.TraitError(f"{rule}, but one is {name!r}")
        return proposal["value"]

    def static_html(self) -> str:
        """Return a table of the nets, with their errors on all test images."""
        study = load_study(STUDY)
        rows = "".join(
            f'<tr><th scope="row">{net}</th><td>{3 * cifar_blocks_per_stage(split_name(net)[1])}</td>'
            f"<td>{len(removable(net))}</td><td>{study.weights[net]['test_error_stored']:.2f}%</td></tr>"
            for net in NETS
        )
        return (
            '<table class="resnet-table"><caption>The nets of the dissecting table (with JavaScript), trained on '
            "1,437 digits of 8 &times; 8 pixels</caption><thead><tr><th>net</th><th>blocks</th><th>can be left out</th>"
            f"<th>test error</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def removable(net: str) -> list[str]:
    """Return the names of the blocks that can be left out: in a plain net, those that keep the shape."""
    kind, depth = split_name(net)
    blocks = [(stage, i) for stage in (1, 2, 3) for i in range(cifar_blocks_per_stage(depth))]
    return [f"layer{stage}.{i}" for stage, i in blocks if kind == "resnet" or stage == 1 or i]
