"""What others measured with the paper's nets on CIFAR-10, where each number is from, and our results beside them.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 6 and figure 6.
  [2] github.com/nabla0001/resnet, README: mean and standard deviation of 5 runs. The recipe is the paper's, but
      its code normalises images by channel, not by pixel, trains on 45,000 of them, and lets the rate of ResNet-110
      fall from 0.1 to 0.001 and 0.0001 (it divides the 0.01 of the first 400 steps). The mean of plain nets in [1] is
      read off figure 6 there as well.
  [3] github.com/akamaster/pytorch_resnet_cifar10, issue 18: runs of that code by one of its readers. Each run counts
      with its best epoch on the test set, which flatters it. The result is given as "7.36(16)", without saying what the
      16 is. The six single errors that follow (7.4, 7.29, 7.4, 6.89, 8.42, 7.95) have a mean of 7.56, a sample standard
      deviation of 0.54, and a standard error of 0.22; so no standard deviation is taken from it.
"""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..support.table import Column, Table, TableList
from ..training.recipe import Recipe
from .records import RecordError, RunRecord, by_net
from .statistics import mean_and_std, with_spread

FAR = 2.0  # standard deviations: a result that is farther off than this is called so
IMAGES = (50_000, 10_000)  # of CIFAR-10: training on all of them, as [1] does
SHAPE = (3, 32, 32)
PROCESSES = 2  # at most: "a mini-batch size of 128 on two GPUs", section 4.2 of [1]


@dataclass(frozen=True)
class Reference:
    """A published test error of one net, in percent.

    low, high: the error; two numbers where it was read off a figure, and else the same number twice.
    std:    sample standard deviation over `runs`, as published; None for a single run, or where none was given.
    """

    net: str
    source: str
    low: float
    high: float
    std: float | None = None
    runs: int | None = None
    note: str = ""

    def __str__(self) -> str:
        read_off = self.low != self.high
        return f"about {self.low:g} to {self.high:g}" if read_off else with_spread(self.low, self.std)


SOURCES = {
    "paper": "He et al. 2016, table 6; plain nets read off figure 6",
    "nabla0001": "github.com/nabla0001/resnet, 5 runs, 45,000 training images, normalised by channel",
    "akamaster #18": "github.com/akamaster/pytorch_resnet_cifar10, issue 18, best epoch of each run, given as 7.36(16)",
}
_READ_OFF = "read off figure 6"
REFERENCES = (
    Reference("resnet20", "paper", 8.75, 8.75),
    Reference("resnet32", "paper", 7.51, 7.51),
    Reference("resnet44", "paper", 7.17, 7.17),
    Reference("resnet56", "paper", 6.97, 6.97),
    Reference("resnet110", "paper", 6.61, 6.61, 0.16, 5, "the best of the five runs has 6.43"),
    Reference("plain20", "paper", 9.0, 9.5, note=_READ_OFF),
    Reference("plain56", "paper", 13.0, 13.5, note=_READ_OFF),
    Reference("resnet20", "nabla0001", 8.51, 8.51, 0.22, 5),
    Reference("resnet56", "nabla0001", 7.40, 7.40, 0.27, 5),
    Reference("resnet110", "nabla0001", 7.14, 7.14, 0.20, 5),
    Reference("plain20", "nabla0001", 9.78, 9.78, 0.13, 5),
    Reference("plain56", "nabla0001", 12.95, 12.95, 0.22, 5),
    Reference("resnet56", "akamaster #18", 7.36, 7.36, None, None, "best epoch of each run on the test set"),
)


def references(net: str) -> list[Reference]:
    """Return what is published on `net`, the paper first; nothing for a net that is not known."""
    return [r for r in REFERENCES if r.net == net]


def differences(record: RunRecord, recipe: Recipe) -> list[str]:
    """Return in words where a record's recipe differs from `recipe`, as far as the result depends on it."""
    found = []
    for name in [name for name in recipe.to_dict() | record.recipe if name != "eval_every"]:
        ours, theirs = record.recipe.get(name), getattr(recipe, name, None)
        ours = tuple(ours) if isinstance(ours, list) else ours
        if ours != theirs:
            found.append(f"{name} is {ours} instead of {theirs}")
    return found


def is_shortened(record: RunRecord) -> bool:
    """Return whether a run on CIFAR-10 had fewer steps than the paper's 64,000."""
    return record.dataset["name"].startswith("cifar10") and record.recipe.get("steps", 0) < Recipe.paper().steps


def why_not_comparable(record: RunRecord) -> str | None:
    """Return why a record must not be measured against the published numbers; None if it may.

    It may if it is of CIFAR-10 with all 50,000 training and 10,000 test images as they are, of the net as it is built
    without options, from fresh weights, and of the paper's recipe, trained in at most as many processes as the paper's
    nets: in more, batch norm is over fewer images.
    """
    name, train, test = (record.dataset.get(key) for key in ("name", "train", "test"))
    if name.split("[")[0] != "cifar10":
        return f"another data set ({name})"
    paper = Recipe.paper(record.depth)
    if is_shortened(record):
        return f"a shortened schedule ({record.recipe.get('steps', 0):,} of the paper's {paper.steps:,} iterations)"
    if name != "cifar10" or (train, test) != IMAGES:
        return f"other images ({train} and {test} instead of {IMAGES[0]} and {IMAGES[1]})"
    if (shape := tuple(record.dataset.get("shape", SHAPE))) != SHAPE:
        return f"images of another size ({'x'.join(map(str, shape))})"
    if record.options:
        return f"another net ({', '.join(f'{name}={value}' for name, value in record.options.items())})"
    if record.start:
        return f"weights to start from ({record.start})"
    if found := differences(record, paper):
        return f"another recipe ({', '.join(found)})"
    if record.processes > PROCESSES:
        share = record.recipe["batch_size"] // record.processes
        return f"batch norm over {share} images a process, in {record.processes} processes (the paper had two GPUs)"
    return None


def deviations(mean: float, std: float | None, reference: Reference) -> float | None:
    """Return how far a mean test error is above (+) or below (-) a published one, in standard deviations of one run.

    The yardstick is the root mean square of our standard deviation and theirs, or the one that is known. It is no test
    of significance: it asks whether a run of ours could pass for one of theirs, however many seeds there are. Within a
    range read off a figure the difference is 0. None if neither scatter is known, or if it is zero.
    """
    known = [s for s in (std, reference.std) if s is not None]
    yardstick = math.sqrt(sum(s * s for s in known) / len(known)) if known else 0.0
    if not yardstick:
        return None
    gap = max(mean - reference.high, 0.0) + min(mean - reference.low, 0.0)
    return gap / yardstick


YARDSTICK = (
    "sd: how far our mean test error is above (+) or below (-) the published one, in standard deviations of one run "
    "(root mean square of ours and theirs, or the one that is known); within a range read off a figure it is 0."
)


class Results(TableList):
    """A list of one dict a net, that prints as a table and shows as one in a notebook. JSON can hold the dicts.

    Keys: net; dataset (its name); iterations; seeds (how many); train_error and test_error (percent, in eval mode after
    the last step: {"mean", "std"}, std the sample standard deviation, None for one seed); device; study; not_comparable
    (why, or None); and references, of each the fields of `Reference`, text, and deviations (how far ours is from it,
    see `deviations`; None where it is not known).
    """

    def table(self) -> Table:
        """Return the table, with a column for each source that has a number, and what has to be said of the numbers."""
        found = {r["source"] for row in self for r in row["references"]}
        sources = [source for source in SOURCES if source in found]
        columns = [Column("net", "net"), Column("train_error", "train error %", True)]
        columns += [Column("test_error", "test error %", True), *(Column(name, name, True, "-") for name in sources)]
        columns += [Column("iterations", "iterations", True), Column("seeds", "seeds", True)]

        def text(r: dict[str, Any]) -> str:
            return r["text"] + ("" if r["deviations"] is None else f" ({r['deviations']:+.1f} sd)")

        rows = [
            row
            | {key: with_spread(**row[key]) for key in ("train_error", "test_error")}
            | {r["source"]: text(r) for r in row["references"]}
            for row in self
        ]
        notes = self._notes() + [f"{source}: {SOURCES[source]}." for source in sources]
        return Table("Final errors, in eval mode", columns, rows, notes=notes, results=True)

    def _notes(self) -> list[str]:
        """Return which nets cannot be compared and why, what "sd" means, and which results are far off."""
        notes = []
        for reason in dict.fromkeys(row["not_comparable"] for row in self if row["not_comparable"]):
            rows = [row for row in self if row["not_comparable"] == reason]
            nets = ", ".join(row["net"] for row in rows)
            note = f"The results of {nets} cannot be compared with published ones: {reason}."
            if any(row["references"] for row in rows):
                note += " The published numbers are there for orientation; no difference is computed."
            notes.append(note)
        measured = [(row["net"], r) for row in self for r in row["references"] if r["deviations"] is not None]
        if measured:
            notes.append(YARDSTICK)
        for net, r in measured:
            if abs(r["deviations"]) > FAR:
                side = "above" if r["deviations"] > 0 else "below"
                distance = f"{abs(r['deviations']):.1f} standard deviations {side} that of {r['source']}"
                notes.append(f"FAR OFF: the test error of {net} is {distance}.")
        return notes


def results(records: Iterable[RunRecord], study: str | None = None) -> Results:
    """Return one row a net, in the order of the records; `study` is the name that the rows get.

    Published numbers stand beside nets trained on CIFAR-10, and are compared with those of the paper's own recipe.

    Raises `RecordError` for records of different data sets or recipes, for none, and for an error that is NaN.
    """
    return Results(_row(net, group, study) for net, group in by_net(records).items())


def _row(net: str, group: list[RunRecord], study: str | None) -> dict[str, Any]:
    first = group[0]
    reason = why_not_comparable(first)
    errors = {}
    for key in ("train_error", "test_error"):
        mean, std = mean_and_std([r.final[key] for r in group])
        if not math.isfinite(mean):
            raise RecordError(f"a record of {net} ends with a {key} that is no number: leave it out")
        errors[key] = {"mean": mean, "std": std}
    return {
        "net": net,
        "dataset": first.dataset["name"],
        "iterations": int(first.final["step"]),
        "seeds": len(group),
        **errors,
        "device": ", ".join(sorted({r.device["name"] for r in group})),
        "study": study,
        "not_comparable": reason,
        "references": [
            dataclasses.asdict(r)
            | {"text": str(r), "deviations": None if reason else deviations(**errors["test_error"], reference=r)}
            for r in (references(net) if first.dataset["name"] == "cifar10" else [])
        ],
    }
