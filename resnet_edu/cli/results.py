"""`resnet-edu results`: the measured errors beside the published ones."""

import argparse
import json
import textwrap
from pathlib import Path

from ..experiment import records, shipped
from ..experiment.published import Results, results
from ..experiment.shipped import ShippedStudy
from ..support.table import WIDTH

FORMATS = ("text", "markdown", "json")
DESCRIPTION = """\
Print the final errors of the studies that come with the package: means over the seeds with sample standard deviations,
beside what the paper and others report for the same nets. The difference is given in standard deviations where the
recipe is the paper's, and only there.
"""
EXAMPLES = """\
examples:
  resnet-edu results
  resnet-edu results --study digits --format markdown
  resnet-edu results --records runs/digits-20260102-030405     a study of your own
  resnet-edu results --format json                             a list of one object a net
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--study", metavar="NAME", help="one that comes with the package (default: all of them)")
    which.add_argument("--records", metavar="FOLDER", help="the records that `resnet-edu degrade` left in a folder")
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: text)")


def run(args: argparse.Namespace) -> int:
    """Print the tables and return 0; errors are raised as exceptions with a message for the user."""
    if args.records is not None:
        name = Path(args.records).resolve().name
        tables = [(None, results(records.load_dir(args.records), name))]
    else:
        chosen = shipped.studies() if args.study is None else [shipped.load_study(args.study)]
        tables = [(study, results(shipped.load_records(study.name), study.name)) for study in chosen]
    if args.format == "json":
        print(json.dumps([row for _, table in tables for row in table], indent=1, allow_nan=False))
        return 0
    print("\n\n\n".join(_text(study, table, args.format == "markdown") for study, table in tables))
    return 0


def _text(study: ShippedStudy | None, table: Results, markdown: bool) -> str:
    """Return the table below what is to be said of its study, if that is one that comes with the package."""
    text, lines = table.table().to_markdown() if markdown else str(table), []
    if study is not None:
        facts = f"{study.date}, {study.hardware}. Made by: {study.command}"
        lines = ["## " * markdown + f"{study.name}: {study.title}", study.about, facts]
    if markdown:
        return "\n\n".join([*lines, text])
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines if line) + "\n\n" * bool(lines) + text
