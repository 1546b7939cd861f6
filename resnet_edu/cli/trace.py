"""`resnet-edu trace NAME`: the table of a model, printed."""

from __future__ import annotations

import argparse
import importlib
import json
import operator
import os
import sys

from torch import nn

from ..nets import models
from ..tracing.run import Trace, trace

FORMATS = ("text", "markdown", "csv", "json")
VIEWS = ("layers", "convs", "stages")
HELP = "print the shapes, parameters and multiply-adds of a model"
DESCRIPTION = "Run a model once without arithmetic and print a row for every operation that its author wrote."
EXAMPLES = """\
NAME is
  a net of this package      resnet18 ... resnet152, plain18, plain34, resnet20, plain56, resnet110, ...
  torchvision:NAME           a model of torchvision.models without weights, such as torchvision:densenet121
  package.module:callable    anything that returns a torch.nn.Module; the current directory can be imported

examples:
  resnet-edu trace resnet34 --view convs --format csv
  resnet-edu trace resnet50 --view stages --stride-in 1x1
  resnet-edu trace torchvision:inception_v3 --input 3x299x299
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("name", metavar="NAME", help="which model (see below)")
    parser.add_argument("--view", choices=VIEWS, default="layers", help="default: layers")
    parser.add_argument("--input", metavar="CxHxW", help="default: 3x32x32 for the CIFAR family, else 3x224x224")
    parser.add_argument("--batch", metavar="N", default="1", help="images at a time; default: 1")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--stride-in", choices=("1x1", "3x3"), help="where a bottleneck has its stride; default: 3x3")
    parser.add_argument(
        "--shortcut", metavar="KIND", help=f"of this package's residual nets: {', '.join(models.SHORTCUTS)}"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table that `args` asks for and return 0; raises `ValueError` and others with one line to print."""
    shape = (*_sizes("--batch", args.batch, "8"), *_sizes("--input", args.input or _input(args.name), "3x224x224"))
    options = {"stride_on": args.stride_in, "shortcut": args.shortcut}
    model = load_model(args.name, {k: v for k, v in options.items() if v is not None})
    print(render(trace(model, shape), args.view, args.format))
    return 0


def render(result: Trace, view: str, form: str) -> str:
    """Return a view of a trace in one of `FORMATS`, without the last line break."""
    if form == "json":
        content = {
            "model": result.model,
            "inputs": [list(s) for s in result.inputs],
            "view": view,
            "total_params": result.total_params,
            "total_macs": result.total_macs,
            "total_activation_bytes": result.total_activation_bytes,
            "rows": result.view(view).to_dicts(),
        }
        return json.dumps(content, indent=2)
    table = result.view(view)
    write = {"text": table.to_text, "markdown": table.to_markdown, "csv": table.to_csv}[form]
    return write().rstrip("\n")


def _sizes(option: str, text: str, example: str) -> tuple[int, ...]:
    """Return (3, 224, 224) for "3x224x224"; raises `ValueError` for a text of another form than the example."""
    parts = text.split("x")
    if len(parts) != len(example.split("x")) or not all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts):
        raise ValueError(f"{option} must be whole numbers above 0, such as {example}, but it is {text!r}")
    return tuple(map(int, parts))


def _input(name: str) -> str:
    """Return the input for which a net was made."""
    return "3x32x32" if ":" not in name and models.is_cifar_name(name) else "3x224x224"


def load_model(name: str, options: dict[str, str]) -> nn.Module:
    """Return the model called `name`: see the help text. `options` are for the nets of this package only.

    Raises `ValueError` for an unknown name or an option that does not apply, `ImportError` for a module that cannot
    be imported, `TypeError` for a callable that returns no module.
    """
    source, colon, attribute = name.partition(":")
    if not colon:
        if "stride_on" in options and name not in ("resnet50", "resnet101", "resnet152"):
            raise ValueError(f"--stride-in is for bottlenecks (resnet50, resnet101, resnet152), but the net is {name}")
        return models.get_model(name, **options)
    if options:
        flags = " and ".join("--stride-in" if k == "stride_on" else f"--{k}" for k in options)
        raise ValueError(f"{flags}: only for the nets of this package, not for {name}; leave it out")
    if source == "torchvision":
        import torchvision

        return torchvision.models.get_model(attribute, weights=None)
    return _load_own(name)


def _load_own(name: str) -> nn.Module:
    """Return the model called package.module:callable, where the current directory can be imported."""
    source, _, attribute = name.partition(":")
    if not source or not attribute:
        raise ValueError(f"a model of your own is package.module:callable, but the name is {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        found = operator.attrgetter(attribute)(importlib.import_module(source))
    except (ImportError, AttributeError) as error:
        raise ImportError(f"cannot import {name!r}: {error}") from error
    model = found if isinstance(found, nn.Module) or not callable(found) else found()
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module or return one, but it is a {type(model).__name__}")
    return model
