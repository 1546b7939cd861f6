"""Probe records: what a net was asked, what it answered, and where, as versioned JSON.

Scope: one data class a probe, on a common header, written and read as safely as run records are. No torch. A number
that is not finite (the loss of a net that has blown up) is None here and null in the file.

Source
  [1] RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format", section 6: no NaN, no Infinity.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .. import __version__
from ..experiment.records import RecordError
from ..support.files import read_json, write_atomic

SCHEMA = 1
SHIPPED = Path(__file__).resolve().parent.parent / "experiment" / "results" / "probes"


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
    device:     type ("cpu", "cuda", "mps") and name.
    threads:    computing threads on the processor.
    seconds:    wall time of the probe.
    date:       when it ended, ISO 8601, UTC.
    versions:   of Python and the libraries.
    code:       version of this package, and git's description of the checkout (None outside of one).
    schema:     version of this format.
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
        return f"{self.probe}-{self.net}.json"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values that JSON can hold, with the probe's name in `probe`."""
        values = dataclasses.asdict(self)
        return {"schema": values.pop("schema"), "probe": self.probe, **values}

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the record to `path` and return it. The file is there whole or not at all.

        Raises `FileExistsError` if there is a file and `overwrite` is False, `OSError` if it cannot be written.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists: give another path, or overwrite=True to replace it")
        write_atomic(path, (compact_json(self.to_dict()) + "\n").encode())
        return path

    def check(self) -> None:
        """Raise `ValueError` if the answer does not fit together; each probe's class has its own rules."""


@dataclass(frozen=True, kw_only=True)
class GradientRecord(ProbeRecord):
    """Gradients of one net by layer, at one or more moments of its training.

    layers:   names of the layers with weights, from the image to the classes, as in `named_modules()`.
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

    def check(self) -> None:
        """Raise `ValueError` unless each moment has a number for each layer."""
        for moment in self.moments:
            for name in ("norms", "lengths"):
                if len(moment[name]) != len(self.layers):
                    raise ValueError(f"step {moment['step']} has {len(moment[name])} {name}, not {len(self.layers)}")


@dataclass(frozen=True, kw_only=True)
class ResponseRecord(ProbeRecord):
    """Standard deviations of a net's responses, one for each 3x3 convolution from the image on."""

    probe: ClassVar[str] = "responses"
    layers: list[str]
    deviations: list[float | None]

    def check(self) -> None:
        """Raise `ValueError` unless there is a deviation for each layer."""
        if len(self.layers) != len(self.deviations):
            raise ValueError(f"there are {len(self.deviations)} deviations for {len(self.layers)} layers")


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
    """The loss around a net's weights, along one or two random directions.

    x, y:  steps along the first and the second direction, 0 for the net itself; 1 is a filter's own length. `y` is [0]
           for a slice along one direction.
    loss:  mean cross-entropy (nats) as loss[i][j] at y[i] and x[j]; None where it is not finite.
    error: percent, likewise.
    """

    probe: ClassVar[str] = "landscape"
    x: list[float]
    y: list[float]
    loss: list[list[float | None]]
    error: list[list[float]]

    def check(self) -> None:
        """Raise `ValueError` unless there is a value at each point."""
        for name in ("loss", "error"):
            rows = getattr(self, name)
            if len(rows) != len(self.y) or any(len(row) != len(self.x) for row in rows):
                raise ValueError(f"'{name}' must have {len(self.y)} rows of {len(self.x)} values")


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

    @property
    def filename(self) -> str:
        """The name of the file that the command line writes this record to."""
        return f"{self.probe}-{self.dataset['name']}.json"

    def check(self) -> None:
        """Raise `ValueError` unless each net has a moment for each step, and each moment a value for each seed."""
        for net in self.nets:
            if len(net["moments"]) != len(self.steps):
                raise ValueError(f"{net['net']} has {len(net['moments'])} moments, not {len(self.steps)}")
            for moment in net["moments"]:
                for name in ("loss", "first", "last"):
                    if len(moment[name]) != len(self.seeds):
                        raise ValueError(f"{net['net']} has {len(moment[name])} of '{name}', not {len(self.seeds)}")


KINDS: dict[str, type[ProbeRecord]] = {
    kind.probe: kind
    for kind in (GradientRecord, ResponseRecord, LesionRecord, LandscapeRecord, IdentityRecord, GradientStudy)
}


def from_dict(values: dict[str, Any], origin: str = "the record") -> ProbeRecord:
    """Return the record that `to_dict` described, of its probe's class.

    Raises `RecordError`, naming `origin`, for an unknown probe, a newer format, and a missing or a wrong field.
    """
    if not isinstance(values, dict) or values.get("probe") not in KINDS:
        found, known = values.get("probe") if isinstance(values, dict) else values, ", ".join(KINDS)
        raise RecordError(f"{origin} is no probe record: 'probe' must be one of {known}, but it is {found!r}")
    schema = values.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RecordError(f"{origin}: 'schema' must be a whole number of at least 1, but it is {schema!r}")
    if schema > SCHEMA:
        raise RecordError(
            f"{origin} has schema {schema}, but this version of resnet_edu ({__version__}) knows only schemas "
            f"up to {SCHEMA}: update resnet_edu to read it"
        )
    kind = KINDS[values["probe"]]
    fields = {f.name: f for f in dataclasses.fields(kind)}
    needed = {name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing, unknown = sorted(needed - set(values)), sorted(set(values) - set(fields) - {"probe"})
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown fields: {', '.join(unknown)}"
        raise RecordError(f"{origin} is damaged or was edited: it {what}")
    record = kind(**{name: value for name, value in values.items() if name != "probe"})
    try:
        for name in ("name", "fingerprint", "part", "images"):
            record.dataset[name]
        record.check()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else error
        raise RecordError(f"{origin} is damaged: {why}") from None
    return record


def load(path: str | os.PathLike[str]) -> ProbeRecord:
    """Return the probe record in the file at `path`.

    Raises `FileNotFoundError` if there is none and `RecordError` if it is no valid record, with the reason.
    """
    return from_dict(read_json(path, RecordError), str(Path(path)))


def load_shipped(name: str) -> ProbeRecord:
    """Return a record that comes with the package, such as "gradient-study-digits" or "identity-plain20".

    They were made by `resnet-edu probe study`. Raises `ValueError`, naming those that are there, for another name.
    """
    there = sorted(path.stem for path in SHIPPED.glob("*.json"))
    if name not in there:
        raise ValueError(f"no probe record {name!r} comes with the package: there is {', '.join(there) or 'none'}")
    return load(SHIPPED / f"{name}.json")


def finite(value: float, digits: int | None = None) -> float | None:
    """Return `value` as a float, rounded to so many significant digits if asked for, or None if it is not finite."""
    value = float(value)
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")


def compact_json(values: dict[str, Any]) -> str:
    """Return JSON with each field, and each item of a list of objects, on a line of its own ([1])."""

    def text(value: Any) -> str:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)

    def lines(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict | list):
            return "[\n  " + ",\n  ".join(map(text, value)) + "\n ]"
        return text(value)

    return "{\n" + ",\n".join(f" {text(name)}: {lines(value)}" for name, value in values.items()) + "\n}"
