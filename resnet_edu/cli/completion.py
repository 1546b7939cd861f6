"""`resnet-edu completion SHELL`: the script by which a shell completes commands and options.

Source
  [1] shtab's documentation, "Library Usage": a static script, so that completing takes no time.
"""

from __future__ import annotations

import argparse

DESCRIPTION = "Print the script by which a shell completes commands and options. Needs shtab: pip install shtab."
EXAMPLES = """\
examples:
  resnet-edu completion bash > ~/.local/share/bash-completion/completions/resnet-edu
  resnet-edu completion zsh > ~/.zfunc/_resnet-edu         a folder of $fpath
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(args: argparse.Namespace) -> int:
    """Print the script and return 0. Raises `ImportError` without shtab."""
    try:
        import shtab
    except ImportError:
        raise ImportError("this needs shtab, which is not installed: pip install shtab") from None
    from . import build_parser

    parser = build_parser()
    for action in parser._subparsers._group_actions:
        for command in action.choices.values():
            command.fill()
    print(shtab.complete(parser, args.shell))
    return 0
