"""The command line, `resnet-edu COMMAND`. Thin: each command's options and output live in its own module."""

import argparse
import contextlib
import errno
import functools
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from .. import __version__

COMMANDS = {  # a module each, which is imported when its command is used: PyTorch alone takes seconds
    "trace": "print the shapes, parameters and multiply-adds of a model",
    "degrade": "train plain and residual nets and compare them",
    "train": "train one net, also on several GPUs with torchrun",
    "predict": "say what photos show, by a trained net, and how often that is wrong",
    "probe": "ask trained nets about gradients, responses, blocks and loss",
    "results": "print measured errors beside the published ones",
}


class _Command(argparse.ArgumentParser):
    """The parser of one command, filled when it is used."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, by the options of the command's module."""
        self.fill()
        return super().parse_known_args(args, namespace)

    def fill(self) -> None:
        """Add what the command's module has to add, if that is not done yet."""
        if self.description is None:
            command = importlib.import_module(f".{self.prog.rpartition(' ')[2]}", __name__)
            self.description, self.epilog = command.DESCRIPTION, command.EXAMPLES
            command.add_options(self)
            self.set_defaults(run=command.run)


def build_parser(full: bool = False) -> argparse.ArgumentParser:
    """Return the parser with every command; full: and with the options of each, which takes seconds."""
    parser = argparse.ArgumentParser(prog="resnet-edu", description="Residual networks to read, trace and train.")
    parser.add_argument("--version", action="version", version=f"resnet-edu {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Command)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if full:
            command.fill()
    return parser


full_parser = functools.partial(build_parser, full=True)  # for a shell's completion, by shtab: see README.md


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    parser, words = build_parser(), sys.argv[1:] if argv is None else argv
    if "" in (word.partition("=")[2] if word.startswith("--") and "=" in word else word for word in words):
        parser.error("an argument is empty: is a variable of the shell unset?")
    args = parser.parse_args(words)
    try:
        status = args.run(args)
        sys.stdout.flush()  # now, while an error can be told
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `resnet-edu trace ... | head` is no error
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        if isinstance(error, OSError) and error.filename:
            error = f"{error.filename}: {error.strerror}"
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no file of ours: what is printed
            error = f"cannot print all of it: {error.strerror}"
            with contextlib.suppress(OSError):  # or Python tries once more at its end
                sys.stdout.close()
        print(f"resnet-edu {args.command}: {error}", file=sys.stderr)
        return 1
