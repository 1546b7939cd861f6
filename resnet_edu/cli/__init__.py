"""The command line, `resnet-edu COMMAND`. Thin: each command's options and output live in its own module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from . import degrade, predict, probe, results, trace, train


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command."""
    parser = argparse.ArgumentParser(prog="resnet-edu", description="Residual networks to read, trace and train.")
    parser.add_argument("--version", action="version", version=f"resnet-edu {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (trace, degrade, train, predict, probe, results):
        name = command.__name__.rpartition(".")[2]
        texts = {"help": command.HELP, "description": command.DESCRIPTION, "epilog": command.EXAMPLES}
        sub = commands.add_parser(name, **texts, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.add_options(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `resnet-edu trace ... | head` is no error
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"resnet-edu {args.command}: {error}", file=sys.stderr)
        return 1
