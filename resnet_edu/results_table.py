"""The table of a study: one row a net, beside the published numbers, with the distance from them.

Scope: from records to rows, and from rows to text, Markdown and HTML. What was published, and what a distance is, is in
`reference_results.py`; a study that must not be compared gets no distances, and says why.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 6.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from typing import Any

from .findings import cells_as_html, cells_as_text
from .records import RecordError, RunRecord, check_comparable
from .reference_results import (
    FAR,
    SOURCES,
    Reference,
    deviations,
    is_shortened,
    mean_and_std,
    recipe_name,
    references,
    why_not_comparable,
)

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
