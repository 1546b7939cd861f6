"""The study player: the curves of a study, to be predicted first and then scrubbed through."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import traitlets

from ..experiment.published import references, why_not_comparable
from ..experiment.records import RecordError, RunRecord, check_comparable, dataset_words, unseen
from ..experiment.shipped import load_records
from ..experiment.statistics import summary
from ..support.validate import one_of, whole
from .base import Explorer, checked, module, net_line

METRICS = ("train_error", "test_error")


class StudyPlayer(Explorer):
    """The curves of a study: training or test error of every net, with the seeds as a band.

        StudyPlayer("digits")
        StudyPlayer(degradation.run(), metric="test_error")
        StudyPlayer(load_grid(), rate=0.1)

    records: the records of one study, or the name of one that comes with the package; None for the best that does; or
             learning rate -> the records of a study, between which the reader then chooses.
    rate:    the learning rate that is shown, of several; the first, unless given.
    nets:    names of the nets that are drawn; all, unless given.
    metric:  "train_error" or "test_error".
    scale:   "linear" or "log".
    step:    where the values are read; the last, unless given. Between two evaluations the nearer one counts.
    predict: whether the reader is asked to rank the nets before the curves appear.

    `nets`, `rate`, `metric`, `scale` and `step` follow what the reader does, and may be set; so do `prediction`, the
    reader's ranking from the lowest error to the highest ([] without one), and `shown`, whether the curves are seen.

    Raises `ValueError` for a study or a net that is not there, `records.RecordError` for records that cannot be
    compared, `TraitError` for other values; all name the value and what would do.
    """

    _esm = module("study")
    _explorer = traitlets.Unicode("study").tag(sync=True)
    study = traitlets.Dict().tag(sync=True)
    nets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    metric = traitlets.Enum(METRICS, "train_error").tag(sync=True)
    scale = traitlets.Enum(("linear", "log"), "linear").tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    rate = traitlets.Float(None, allow_none=True).tag(sync=True)
    prediction = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        records: Iterable[RunRecord] | Mapping[float, Iterable[RunRecord]] | str | None = None,
        *,
        nets: Sequence[str] | None = None,
        step: int | None = None,
        predict: bool = True,
        **settings: object,
    ) -> None:
        if records is None or isinstance(records, str):
            records = load_records(records)
        studies = records if isinstance(records, Mapping) else {None: records}
        studies = {rate: check_comparable(found) for rate, found in studies.items()}
        self._studies, first = studies, next(iter(studies))
        drawn = {rate: curves(found) for rate, found in studies.items()}
        study = drawn[first]
        if isinstance(records, Mapping):
            settings = {"rate": first, **settings}
            study["rates"] = [{"rate": rate, "nets": each["nets"]} for rate, each in drawn.items()]
        names = [net["net"] for net in study["nets"]]
        super().__init__(
            study=study,
            nets=names if nets is None else list(nets),
            step=study["last"] if step is None else step,
            shown=not predict,
            **settings,
        )

    @traitlets.validate("nets", "prediction")
    def _are_nets(self, proposal: dict) -> list[str]:
        name, value = proposal["trait"].name, proposal["value"]
        known = [net["net"] for net in self.study["nets"]]
        if len(set(value)) < len(value) or not set(value) <= set(known) or (name == "nets" and not value):
            raise traitlets.TraitError(f"`{name}` must be of {', '.join(known)}, each once, but it is {value}")
        if name == "prediction" and 0 < len(value) < len(known):
            raise traitlets.TraitError(f"`prediction` must rank all {len(known)} nets or be empty, but it is {value}")
        return value

    @traitlets.validate("rate")
    def _is_rate(self, proposal: dict) -> float | None:
        known = [each["rate"] for each in self.study.get("rates", [{"rate": None}])]
        return checked(one_of, "rate", proposal["value"], known)

    @traitlets.validate("step")
    def _is_step(self, proposal: dict) -> int:
        return checked(whole, "step", proposal["value"], 0, self.study["last"])

    def static_html(self) -> str:
        """Return the table of final errors, at the rate that is shown."""
        return summary(self._studies[self.rate])._repr_html_()


def curves(records: Sequence[RunRecord]) -> dict[str, object]:
    """Return what the player draws, as plain values: a dict a net, with one list of errors (percent) for each seed.

    Of a net's steps, those count that all its runs were evaluated at. An error that is no number is None. Colours,
    dashes and widths are those of the figures.
    """
    depths = sorted({r.depth for r in records})
    nets = []
    for _, depth, net in sorted({(r.kind, r.depth, r.net) for r in records}):
        group = sorted((r for r in records if r.net == net), key=lambda r: r.seed)
        steps = sorted(set.intersection(*({int(p["step"]) for p in r.curves} for r in group)))
        if not steps:
            raise RecordError(f"the runs of {net} were never evaluated at the same step, so no band can be drawn")
        nets.append(
            {
                "net": net,
                "steps": steps,
                **net_line(group[0].kind, depth, depths),
                **{metric: [_values(r, metric, steps) for r in group] for metric in METRICS},
            }
        )
    first = records[0]
    train, test = (first.dataset.get(part) or 1000 for part in ("train", "test"))
    return {
        "dataset": dataset_words(first.dataset["name"]),
        "unseen": unseen(first.dataset["name"]),
        "last": max(net["steps"][-1] for net in nets),
        "epoch": train / first.recipe["batch_size"] if first.recipe.get("batch_size") else None,  # steps
        "image": {"train_error": 100 / train, "test_error": 100 / test},  # what one mistake weighs, in percent
        "nets": nets,
        "marks": marks(records),
        "note": _note(records),
    }


def marks(records: Sequence[RunRecord]) -> list[dict[str, object]]:
    """Return the paper's test errors of those nets whose records may stand beside them."""
    nets = sorted({r.net for r in records if why_not_comparable(r) is None})
    found = [next((ref for ref in references(net) if ref.source == "paper"), None) for net in nets]
    return [
        {"net": r.net, "metric": "test_error", "value": (r.low + r.high) / 2, "text": str(r), "label": "the paper"}
        for r in found
        if r is not None
    ]


def _values(record: RunRecord, metric: str, steps: Sequence[int]) -> list[float | None]:
    values = dict(zip(*record.curve(metric), strict=True))
    return [round(values[s], 3) if math.isfinite(values[s]) else None for s in steps]


def _note(records: Sequence[RunRecord]) -> str:
    """Return what was measured, and how the seeds are drawn, in one or two sentences."""
    first = records[0]
    images = f", {first.dataset['train']:,} training images" if first.dataset.get("train") else ""
    devices = ", ".join(sorted({r.device.get("name") or r.device.get("type", "") for r in records}))
    where = f"{dataset_words(first.dataset['name'])}{images}"
    note = f"Measured on {where}, in evaluation mode; {devices}, {first.date[:10]}."
    seeds = len({r.seed for r in records})
    if seeds > 1:
        note += f" The line is the mean of {seeds} seeds, the band reaches from the least to the greatest."
    return note
