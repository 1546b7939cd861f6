"""The gradient explorer: gradients by layer, of nets of many depths, from a probe record."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import traitlets

from ..probes.records import GradientStudy, load_shipped
from ..support.table import Column, Table
from ..support.validate import one_of
from .base import Explorer, checked, module, net_line


class GradientExplorer(Explorer):
    """How large the gradient is at each layer.

        GradientExplorer()
        GradientExplorer(depth=110, batch_norm=False)

    study:      gradients of many nets (`tools/explorer_records.py`); None for the record that comes with the package.
    depth:      layers of the net: one of the study's.
    kind:       "plain", "resnet" or "both".
    batch_norm: with or without.
    step:       the moment, in steps of training: one of the study's.

    Raises `TraitError` for another value, naming what there is.
    """

    _esm = module("gradients")
    _explorer = traitlets.Unicode("gradients").tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    kind = traitlets.Enum(("plain", "resnet", "both"), "both").tag(sync=True)
    batch_norm = traitlets.Bool(True).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(self, study: GradientStudy | None = None, **settings: object) -> None:
        data = gradients(load_shipped("gradient-study-digits") if study is None else study)
        depths = {n["depth"] for n in data["nets"]}
        super().__init__(data=data, **{"depth": 56 if 56 in depths else max(depths), **settings})

    @traitlets.validate("depth", "step")
    def _was_measured(self, proposal: dict) -> object:
        name = proposal["trait"].name
        measured = {n["depth"] for n in self.data["nets"]} if name == "depth" else self.data["steps"]
        return checked(one_of, name, proposal["value"], sorted(measured))

    def static_html(self) -> str:
        """Return the table of gradients before training, at every depth."""
        found = self.data
        now = found["steps"].index(self.step)
        rows = []
        for n in found["nets"]:
            if n["batch_norm"] == self.batch_norm and self.kind in (n["kind"], "both"):
                first, last = n["first"][now], n["last"][now]
                row = {"net": n["net"], "first": "diverged"}
                if first is not None:
                    row |= {"first": f"{first:.3g}", "last": f"{last:.3g}"}
                    row |= {"ratio": f"{first / last:.3g}"} if last else {}
                rows.append(row)
        columns = [Column("net", "net"), Column("first", "first convolution", True)]
        columns += [Column("last", "last convolution", True, "–"), Column("ratio", "first / last", True, "–")]
        moment = "before training" if self.step == 0 else f"after {self.step} steps"
        norm = "with" if self.batch_norm else "without"
        seeds = f"median of {found['seeds']} seeds"
        caption = f"Norm of the gradient {moment}, {norm} batch norm, on {found['dataset']}, {seeds}"
        return Table(caption, columns, rows, results=True).to_html()


def gradients(study: GradientStudy) -> dict[str, object]:
    """Return what is drawn: for each net and moment norms by convolution, and medians over the seeds."""
    depths = sorted({n["depth"] for n in study.nets})
    return {
        "dataset": study.dataset["name"],
        "steps": study.steps,
        "seeds": len(study.seeds),
        "note": _note(study),
        "nets": [
            {
                "net": n["net"],
                "kind": n["kind"],
                "depth": n["depth"],
                "batch_norm": n["batch_norm"],
                "diverged": n["diverged"],
                # Convolutions only: the last layer of a net of the CIFAR family is linear.
                "norms": [(moment["norms"] or [])[: n["depth"] - 1] for moment in n["moments"]],
                **{key: [_median(moment[key]) for moment in n["moments"]] for key in ("first", "last", "loss")},
                **net_line(n["kind"], n["depth"], depths),
            }
            for n in study.nets
        ],
    }


def _median(values: Iterable[float | None]) -> float | None:
    """Return the median of those that are numbers, None if none is."""
    numbers = [v for v in values if v is not None]
    return statistics.median(numbers) if numbers else None


def _note(study: GradientStudy) -> str:
    """Return how it was measured, in words."""
    how = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in study.training.items())
    return (
        f"Measured on {study.dataset['name']}, on one batch of {study.dataset['images']:,} images in training mode; "
        f"between the moments SGD with {how}. At each convolution the median over {len(study.seeds)} seeds, without "
        f"the runs whose loss is no longer a number. {study.device.get('name', '')}, {study.date[:10]}."
    )
