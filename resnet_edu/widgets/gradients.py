"""The gradient explorer: gradients by layer, and blocks that do nothing in a trained net, from probe records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import traitlets

from ..experiment.records import METRICS, RunRecord
from ..experiment.shipped import load_records
from ..figures.style import kind_color
from ..nets.models import split_name
from ..probes.records import SHIPPED, GradientStudy, IdentityRecord, load, load_shipped
from ..support.table import Column, Table
from ..support.validate import one_of
from .base import Explorer, checked, module, net_line


class GradientExplorer(Explorer):
    """How long the gradient is at each layer, and what blocks that do nothing do to a trained net.

        GradientExplorer()
        GradientExplorer(view="identity", net="resnet20", added=6)

    study:      gradients of many nets (`tools/explorer_records.py`); None for the record that comes with the package.
    identities: records of `probes.identity`; None for those that come with the package.
    trained:    run records of nets that were trained from scratch, to stand beside the deeper nets; None for those of
                the shipped study on digits.
    view:       "gradients" or "identity".
    depth:      layers of the net: one of the study's.
    kind:       "plain", "resnet" or "both".
    batch_norm: with or without.
    step:       the moment, in steps of training: one of the study's.
    net:        of the second view: one of the records'.
    added:      identity blocks at the end of each stage: 0, or one of the record's.

    Raises `TraitError` for another value, naming what there is; `ValueError` if there is no record of identities.
    """

    _esm = module("gradients")
    _explorer = traitlets.Unicode("gradients").tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    view = traitlets.Enum(("gradients", "identity"), "gradients").tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    kind = traitlets.Enum(("plain", "resnet", "both"), "both").tag(sync=True)
    batch_norm = traitlets.Bool(True).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    net = traitlets.Unicode().tag(sync=True)
    added = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        study: GradientStudy | None = None,
        identities: Iterable[IdentityRecord] | None = None,
        trained: Iterable[RunRecord] | None = None,
        **settings: object,
    ) -> None:
        study = load_shipped("gradient-study-digits") if study is None else study
        if identities is None:
            identities = [load(path) for path in sorted(SHIPPED.glob("identity-*.json"))]
        identities = list(identities)
        if not identities:
            raise ValueError("`identities` is empty: pass at least one record of `probes.identity`, or None")
        trained = load_records("digits") if trained is None else list(trained)
        data = {"gradients": gradients(study), "identity": [identity(r, trained) for r in identities]}
        depths = {n["depth"] for n in data["gradients"]["nets"]}
        at_first = {"depth": 56 if 56 in depths else max(depths), "net": identities[0].net}
        super().__init__(data=data, **{**at_first, **settings})

    @traitlets.validate("depth", "step", "net", "added")
    def _was_measured(self, proposal: dict) -> object:
        name = proposal["trait"].name
        measured = {
            "depth": {n["depth"] for n in self.data["gradients"]["nets"]},
            "step": self.data["gradients"]["steps"],
            "net": [r["net"] for r in self.data["identity"]],
            "added": {p["added"] for r in self.data["identity"] for p in r["points"]},
        }[name]
        return checked(one_of, name, proposal["value"], sorted(measured))

    def static_html(self) -> str:
        """Return the table of the view: gradients before training at every depth, or the net before and after."""
        return (self._gradient_table() if self.view == "gradients" else self._identity_table()).to_html()

    def _gradient_table(self) -> Table:
        found = self.data["gradients"]
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
        caption = f"Length of the gradient {moment}, {norm} batch norm, on {found['dataset']}, {seeds}"
        return Table(caption, columns, rows, results=True)

    def _identity_table(self) -> Table:
        record = next(r for r in self.data["identity"] if r["net"] == self.net)
        rows = [
            {
                "added": str(p["added"]),
                "depth": p["depth"],
                "parameters": p["parameters"],
                "train_loss": None if p["train_loss"] is None else f"{p['train_loss']:.4g}",
                "train_error": f"{p['train_error']:.2f}%",
                "test_error": f"{p['test_error']:.2f}%",
            }
            for p in record["points"]
        ]
        columns = [
            Column("added", "added to each stage"),
            Column("depth", "layers", True),
            Column("parameters", "parameters", True),
            Column("train_loss", "training loss", True, "no number"),
            Column("train_error", "training error", True),
            Column("test_error", "test error", True),
        ]
        caption = f"Blocks that do nothing in a trained {record['net']}, on {record['dataset']}, in evaluation mode"
        return Table(caption, columns, rows, results=True)


def gradients(study: GradientStudy) -> dict[str, object]:
    """Return what the first view draws: for each net and moment norms by convolution, and medians over the seeds."""
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


def identity(record: IdentityRecord, trained: Sequence[RunRecord] = ()) -> dict[str, object]:
    """Return what the second view draws: the net before and after, and nets of the same kind trained from scratch."""
    kind, _ = split_name(record.net)
    groups: dict[int, list[RunRecord]] = {}
    for r in trained:
        same_data = r.dataset["fingerprint"] == record.dataset["fingerprint"]
        if r.kind == kind and same_data and all(math.isfinite(r.final[m]) for m in METRICS):
            groups.setdefault(r.depth, []).append(r)
    return {
        "net": record.net,
        "dataset": record.dataset["name"],
        "blocks": (record.points[0]["depth"] - 2) // 2,  # of two layers each, besides the stem and the last layer
        "color": kind_color(kind),
        "logit": record.logit,
        "points": record.points,
        "trained": [
            {
                "net": group[0].net,
                "depth": depth,
                "parameters": group[0].parameters,
                "runs": len(group),
                **{metric: statistics.fmean(r.final[metric] for r in group) for metric in METRICS},
            }
            for depth, group in sorted(groups.items())
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
