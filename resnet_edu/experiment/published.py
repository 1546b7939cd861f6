"""What others measured with the paper's nets on CIFAR-10, where each number is from, and how ours compare.

Scope: the numbers, the question whether a record may stand beside them, and the distance between two results.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 6 and figure 6.
  [2] github.com/nabla0001/resnet, README: mean and standard deviation of 5 runs. The recipe is the paper's, but for
      images normalised by channel, not by pixel; the mean of plain nets in [1] is read off figure 6 there as well.
  [3] github.com/akamaster/pytorch_resnet_cifar10, issue 18: runs of that code by one of its readers. Each run counts
      with its best epoch on the test set, which flatters it. The result is given as "7.36(16)", without saying what the
      16 is. The six single errors that follow (7.4, 7.29, 7.4, 6.89, 8.42, 7.95) have a mean of 7.56, a sample standard
      deviation of 0.54, and a standard error of 0.22; so no standard deviation is taken from it.

--- The table of a study: one row a net, beside the published numbers, with the distance from them.

Scope: from records to rows, and from rows to text, Markdown and HTML. What was published, and what a distance is, is in
`reference_results.py`; a study that must not be compared gets no distances, and says why.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 6.
"""

from __future__ import annotations

import html
import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..training.recipe import Recipe
from .records import RecordError, RunRecord, check_comparable
from .statistics import cells_as_html, cells_as_text

FAR = 2.0  # standard deviations: a result that is farther off than this is called so
IMAGES = (50_000, 10_000)  # of CIFAR-10: training on all of them, as the published numbers do
PROCESSES = 2  # at most: "a mini-batch size of 128 on two GPUs", section 4.2 of [1]


@dataclass(frozen=True)
class Reference:
    """A published test error of one net, in percent.

    source: key of `SOURCES`.
    low, high: the error; two numbers where it was read off a figure, and else the same number twice.
    std:    sample standard deviation over `runs`, as published; None for a single run, or where none was given.
    runs:   how many; None where it is not said.
    note:   what to know of it.
    """

    net: str
    source: str
    low: float
    high: float
    std: float | None = None
    runs: int | None = None
    note: str = ""

    @property
    def approximate(self) -> bool:
        """Whether the number was read off a figure."""
        return self.low != self.high

    def __str__(self) -> str:
        if self.approximate:
            return f"about {self.low:g} to {self.high:g}"
        return f"{self.low:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")


SOURCES = {
    "paper": "He et al. 2016, table 6; plain nets read off figure 6",
    "nabla0001": "github.com/nabla0001/resnet, 5 runs, normalised by channel",
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


# What section 4.2 of [1] prescribes. A field that says how often a net is evaluated, or how it is computed, is no part.
PRESCRIBED = (
    "steps", "batch_size", "lr", "momentum", "weight_decay", "milestones", "warmup_lr", "warmup_error", "augment",
    "normalize",
)  # fmt: skip


def differences(record: RunRecord, recipe: Recipe) -> list[str]:
    """Return in words where a record's recipe differs from `recipe`, as far as the result depends on it."""
    found = []
    for name in PRESCRIBED:
        ours, theirs = record.recipe.get(name), getattr(recipe, name)
        ours = tuple(ours) if isinstance(ours, list) else ours
        if ours != theirs:
            found.append(f"{name} is {ours} instead of {theirs}")
    return found


def recipe_name(record: RunRecord) -> str:
    """Return "paper", "paper, shortened" (fewer steps, milestones in proportion), "digits" or "other"."""
    steps = record.recipe.get("steps", 0)
    candidates = {"paper": Recipe.paper(record.depth), "digits": Recipe.digits()}
    if steps >= 4:
        candidates["paper, shortened"] = Recipe.scaled(steps, record.depth)
    return next((name for name, recipe in candidates.items() if not differences(record, recipe)), "other")


def is_shortened(record: RunRecord) -> bool:
    """Return whether a run on CIFAR-10 had fewer steps than the paper's 64,000."""
    return record.dataset["name"].startswith("cifar10") and record.recipe.get("steps", 0) < Recipe.paper().steps


def why_not_comparable(record: RunRecord) -> str | None:
    """Return why a record must not be measured against the published numbers; None if it may.

    It may if it is of CIFAR-10 with all 50,000 training and 10,000 test images, and of the paper's recipe, trained in
    at most as many processes as the paper's nets: batch norm in more is over fewer images (`distributed.py`).
    """
    name, train, test = (record.dataset.get(key) for key in ("name", "train", "test"))
    if name.split("[")[0] != "cifar10":
        return f"another data set ({name})"
    paper = Recipe.paper(record.depth)
    if is_shortened(record):
        return f"a shortened schedule ({record.recipe.get('steps', 0):,} of the paper's {paper.steps:,} iterations)"
    if name != "cifar10" or (train, test) != IMAGES:
        return f"other images ({train} and {test} instead of {IMAGES[0]} and {IMAGES[1]})"
    if found := differences(record, paper):
        return f"another recipe ({', '.join(found)})"
    if record.processes > PROCESSES:
        share = record.recipe["batch_size"] // record.processes
        return f"batch norm over {share} images a process, in {record.processes} processes (the paper had two GPUs)"
    return None


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n - 1 below the line), None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def deviations(mean: float, std: float | None, reference: Reference) -> float | None:
    """Return how far a mean test error is above (+) or below (-) a published one, in standard deviations of one run.

    The yardstick is how much single runs scatter: the root mean square of our standard deviation and theirs, or the
    one that is known. It is no test of significance: it asks whether a run of ours could pass for one of theirs, and
    more seeds do not make the yardstick shorter. A number read off a figure is a range, and within it the difference
    is 0. None if neither scatter is known, or if it is zero.
    """
    known = [s for s in (std, reference.std) if s is not None]
    yardstick = math.sqrt(sum(s * s for s in known) / len(known)) if known else 0.0
    if not yardstick:
        return None
    gap = max(mean - reference.high, 0.0) + min(mean - reference.low, 0.0)
    return gap / yardstick


OURS = ("net", "iterations", "seeds", "train error %", "test error %")
WIDTH = 110  # columns, of the notes below a table of text
YARDSTICK = (
    "sd: how far our mean test error is above (+) or below (-) the published one, in standard deviations of one run "
    "(root mean square of ours and theirs, or the one that is known); within a range read off a figure it is 0."
)


class Results(list):
    """A list of one dict a net, that prints as a table and shows as one in a notebook. JSON can hold the dicts.

    Keys: net; dataset (its name); recipe (see `reference_results.recipe_name`); iterations; seeds (how many);
    train_error and test_error (percent, in eval mode after the last step: {"mean", "std"}, std the sample standard
    deviation, None for one seed); device; study; shortened; not_comparable (why, or None); and references, of each the
    source, test_error ({"low", "high", "std"}: low is high unless it was read off a figure), the same as text, note,
    and deviations (how far ours is from it, see `reference_results.deviations`; None where it is not known).
    """

    def sources(self) -> list[str]:
        """Return the keys of `reference_results.SOURCES` that have a column."""
        there = {r["source"] for row in self for r in row["references"]}
        return [source for source in SOURCES if source in there]

    def cells(self) -> list[list[str]]:
        """Return heading and rows as text."""
        rows = [[*OURS, *self.sources()]]
        for row in self:
            cells = [row["net"], f"{row['iterations']:,}", str(row["seeds"])]
            cells += [_spread(row["train_error"]), _spread(row["test_error"])]
            found = {r["source"]: r for r in row["references"]}
            rows.append(cells + [_reference(found.get(source)) for source in self.sources()])
        return rows

    def notes(self) -> list[str]:
        """Return what has to be said of the numbers, a sentence or two each."""
        notes = []
        for reason in dict.fromkeys(row["not_comparable"] for row in self if row["not_comparable"]):
            nets = [row["net"] for row in self if row["not_comparable"] == reason]
            who = "These results" if len(nets) == len(self) else f"The results of {', '.join(nets)}"
            note = f"{who} cannot be compared with published ones: {reason}."
            if any(row["references"] for row in self if row["not_comparable"] == reason):
                note += " The published numbers are there for orientation; no difference is computed."
            notes.append(note)
        measured = [(row, r) for row in self for r in row["references"] if r["deviations"] is not None]
        if measured:
            notes.append(YARDSTICK)
        for row, r in measured:
            if abs(r["deviations"]) > FAR:
                side = "above" if r["deviations"] > 0 else "below"
                notes.append(
                    f"FAR OFF: the test error of {row['net']} is {abs(r['deviations']):.1f} standard deviations {side} "
                    f"that of {r['source']}."
                )
        return notes + [f"{source}: {SOURCES[source]}." for source in self.sources()]

    def to_text(self) -> str:
        """Return the table and its notes as plain text."""
        notes = [textwrap.fill(note, WIDTH) for note in self.notes()]
        return "\n".join([cells_as_text(self.cells()), "", *notes]).rstrip()

    __str__ = to_text
    __repr__ = to_text  # the prompt of Python shows the table, as a notebook does

    def to_markdown(self) -> str:
        """Return the table and its notes as Markdown."""
        heading, *rows = self.cells()
        rule = ["---", *("---:" for _ in heading[1:])]
        lines = [f"| {' | '.join(cells)} |" for cells in (heading, rule, *rows)]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes())]).rstrip()

    def _repr_html_(self) -> str:
        # Addresses in the notes are broken anywhere: on a phone a line has no room for a whole one.
        notes = "".join(f'<p style="overflow-wrap:anywhere">{html.escape(note)}</p>' for note in self.notes())
        return cells_as_html(self.cells(), "resnet-results", "Final errors, in eval mode") + notes


def results(records: Iterable[RunRecord], study: str | None = None) -> Results:
    """Return one row a net, in the order of the records; `study` is the name that the rows get.

    Published numbers stand beside nets trained on CIFAR-10, and are compared with those of the paper's own recipe.

    Raises `records.RecordError` for records of different data sets or recipes, for none, and for an error that is NaN.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record in check_comparable(records):
        groups.setdefault(record.net, []).append(record)
    return Results(_row(net, group, study) for net, group in groups.items())


def _row(net: str, group: list[RunRecord], study: str | None) -> dict[str, Any]:
    first = group[0]
    reason = why_not_comparable(first)
    errors = {}
    for key in ("train_error", "test_error"):
        mean, std = mean_and_std([r.final[key] for r in group])
        if not math.isfinite(mean):
            raise RecordError(f"a record of {net} ends with a {key} that is no number: leave it out")
        errors[key] = {"mean": mean, "std": std}
    beside = references(net) if first.dataset["name"] == "cifar10" else []
    return {
        "net": net,
        "dataset": first.dataset["name"],
        "recipe": recipe_name(first),
        "iterations": int(first.final["step"]),
        "seeds": len(group),
        **errors,
        "device": ", ".join(sorted({r.device["name"] for r in group})),
        "study": study,
        "shortened": is_shortened(first),
        "not_comparable": reason,
        "references": [_beside(r, errors["test_error"], reason is None) for r in beside],
    }


def _beside(reference: Reference, ours: dict[str, float | None], compare: bool) -> dict[str, Any]:
    return {
        "source": reference.source,
        "test_error": {"low": reference.low, "high": reference.high, "std": reference.std},
        "text": str(reference),
        "note": reference.note,
        "deviations": deviations(ours["mean"], ours["std"], reference) if compare else None,
    }


def _spread(error: dict[str, float | None]) -> str:
    return f"{error['mean']:.2f}" + (f" ± {error['std']:.2f}" if error["std"] is not None else "")


def _reference(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return found["text"] if found["deviations"] is None else f"{found['text']} ({found['deviations']:+.1f} sd)"
