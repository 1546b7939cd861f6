"""Probe records: what a net was asked, what it answered, and where, as versioned JSON: one data class a probe.

A number that is not finite (the loss of a net that has blown up) is None here and null in the file ([1]).

Source
  [1] RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format", section 6: no NaN, no Infinity.
"""

import dataclasses
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..experiment.records import RecordError
from ..support.files import fields_of, read_json, write_json
from ..support.validate import one_of

SCHEMA = 1
SHIPPED = Path(__file__).resolve().parent.parent / "experiment" / "results" / "probes"
BRANCHES_FILE = SHIPPED.parent / "branches.json"
BRANCHES = {  # the variants of a block in that file
    "after": "ReLU after the addition, as in the paper",
    "before": "ReLU before the addition as well",
    "none": "no shortcut: a plain block",
}


@dataclass(frozen=True, kw_only=True)
class ProbeRecord:
    """What every probe record says.

    net:        what the net is called, such as "plain56".
    weights:    where its weights came from, in words.
    parameters: how many learnable values it has; None in a study of many nets.
    batch_norm: whether it has a batch norm layer; None in a study of many nets.
    dataset:    name, fingerprint (of the whole data set), part ("train", "test" or "both") and images (how many of it
                were used).
    seed:       of whatever the probe drew: images, directions, orders.

    The rest is as in `experiment.RunRecord`.
    """

    probe: ClassVar[str] = ""
    net: str
    weights: str
    parameters: int | None
    batch_norm: bool | None
    dataset: dict[str, Any]
    seed: int
    device: dict[str, str]
    threads: int
    seconds: float
    date: str
    versions: dict[str, str] = field(default_factory=dict)
    code: dict[str, str | None] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def filename(self) -> str:
        """The name of the file that the command line writes this record to."""
        return f"{self.probe}-{self.dataset['name'] if self.net == 'many' else self.net}.json"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values that JSON can hold, with the probe's name in `probe`."""
        values = dataclasses.asdict(self)
        return {"schema": values.pop("schema"), "probe": self.probe, **values}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record to `path` and return it, see `write_json`."""
        return write_json(path, self.to_dict())


@dataclass(frozen=True, kw_only=True)
class GradientRecord(ProbeRecord):
    """Gradients of one net by layer, at one or more moments of its training.

    layers:   names of the layers with weights, in the order of `named_modules()`.
    training: batch_size, lr, momentum and weight_decay of the steps between the moments; None for a single moment.
    moments:  a dict for each: step, loss (nats, of the measuring batch), norms (length of the loss's gradient with
              respect to each layer's weight, without bias) and lengths (of each layer's weight).
    diverged: the step at which the loss was no longer finite, after which there are no moments; None for none.
    """

    probe: ClassVar[str] = "gradients"
    layers: list[str]
    training: dict[str, float] | None
    moments: list[dict[str, Any]]
    diverged: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResponseRecord(ProbeRecord):
    """Standard deviations of a net's responses, one for each 3x3 convolution from the image on."""

    probe: ClassVar[str] = "responses"
    layers: list[str]
    deviations: list[float | None]


@dataclass(frozen=True, kw_only=True)
class LesionRecord(ProbeRecord):
    """What single blocks matter, and their order.

    loss, error: of the whole net (mean cross-entropy in nats, percent).
    drops:    a dict for each block: block (its name), loss and error without it; both None for a plain block that
              changes the shape, which cannot be left out.
    shuffles: a dict for each trial: swaps (pairs of blocks exchanged), tau (Kendall's rank correlation of the new order
              with the old one, 1 for the same), loss and error.
    """

    probe: ClassVar[str] = "lesions"
    loss: float | None
    error: float
    drops: list[dict[str, Any]]
    shuffles: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class LandscapeRecord(ProbeRecord):
    """The loss around a net's weights, along a random direction.

    x: steps along it, 0 for the net itself; 1 is a filter's own length.
    loss, error: at each step mean cross-entropy (nats), None where it is not finite, and percent.
    """

    probe: ClassVar[str] = "landscape"
    x: list[float]
    loss: list[float | None]
    error: list[float]


@dataclass(frozen=True, kw_only=True)
class IdentityRecord(ProbeRecord):
    """What becomes of a net's loss when blocks that do nothing are put into it.

    points: a dict for each depth, the net itself first: added (blocks put at the end of each stage), depth (layers with
            weights), parameters, train_loss, train_error, test_loss, test_error (nats and percent, in eval mode) and
            change (the largest change of any logit; the logits' rounding, if the blocks do nothing).
    logit:  the largest absolute logit of the net itself, to compare `change` with.

    A loss, a change or the logit is None where it is not finite.
    """

    probe: ClassVar[str] = "identity"
    points: list[dict[str, Any]]
    logit: float | None


@dataclass(frozen=True, kw_only=True)
class GradientStudy(ProbeRecord):
    """Gradients of many fresh nets in one small record, for figures that compare depths; `net` says "many".

    training: batch_size, lr, momentum and weight_decay.
    steps:    the moments, in steps of training.
    seeds:    of the nets' weights, the order of the batches, and the measuring batch.
    nets:     a dict for each: net, kind, depth, batch_norm, diverged (for each seed the step at which the loss was no
              longer finite, or None) and moments: for each of `steps` a dict with norms (for each layer the median over
              the seeds that are left, None if none is) and, for each seed (None where it has diverged), loss, first
              and last: the gradient's length at the first convolution and at the last one.
    """

    probe: ClassVar[str] = "gradient-study"
    training: dict[str, float]
    steps: list[int]
    seeds: list[int]
    nets: list[dict[str, Any]]


KINDS: dict[str, type[ProbeRecord]] = {
    kind.probe: kind
    for kind in (GradientRecord, ResponseRecord, LesionRecord, LandscapeRecord, IdentityRecord, GradientStudy)
}


def from_dict(values: dict[str, Any], origin: str = "the record") -> ProbeRecord:
    """Return the record that `to_dict` described, of its probe's class.

    Raises `RecordError`, naming `origin`, for an unknown probe, a newer format, and a missing or an unknown field.
    """
    probe = values.get("probe") if isinstance(values, dict) else None
    if not isinstance(probe, str) or probe not in KINDS:
        raise RecordError(f"{origin}: 'probe' must be one of {', '.join(KINDS)}, but it is {probe!r}")
    kind = KINDS[probe]
    return kind(**fields_of(kind, values, origin, RecordError, SCHEMA, derived=("probe",)))


def load(path: str | os.PathLike[str]) -> ProbeRecord:
    """Return the probe record in the file at `path`. Raises `FileNotFoundError`, or `RecordError` with the reason."""
    return from_dict(read_json(path, RecordError), str(path))


def load_shipped(name: str) -> ProbeRecord:
    """Return a record that comes with the package, such as "gradient-study-digits" or "identity-plain20".

    They were made by `tools/explorer_records.py`. Raises `ValueError` for another name.
    """
    return load(SHIPPED / f"{one_of('name', name, sorted(path.stem for path in SHIPPED.glob('*.json')))}.json")


def load_branches() -> dict[str, Any]:
    """Return what a block's branch hands to the addition in each of `BRANCHES`, measured by the same tool."""
    return read_json(BRANCHES_FILE)


def finite(value: float | None, digits: int | None = None) -> float | None:
    """Return `value` as a float, rounded to so many significant digits if asked for, or None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(value) if digits is None else float(f"{float(value):.{digits}g}")
