"""`resnet-edu trace NAME`: the table of a model, printed."""

import argparse
import inspect
import json
import operator
import os
import re
import sysconfig
import traceback
from collections.abc import Callable

import torch
from torch import nn

from ..nets import models
from ..support.system import import_here, resolve_device
from ..tracing.run import Trace, TraceError, trace

FORMATS = ("text", "markdown", "csv", "json")
VIEWS = ("layers", "convs", "stages")
DESCRIPTION = "Run a model once without arithmetic and print a row for every operation that its author wrote."
EXAMPLES = """\
NAME is
  a net of this package      resnet18 ... resnet152, plain18, plain34, resnet20, plain56, resnet110, ...
  torchvision:NAME           a model of torchvision.models without weights, such as torchvision:densenet121
  package.module:callable    anything that returns a torch.nn.Module; the current directory can be imported

SHAPE is of one image, signal or sequence, without the batch: 3x224x224, 2x16000, 128x64. Its values have the type of
the model's parameters, unless another is named: 16:long is 16 tokens (all of them token 0). For a model that takes
several inputs, give --input several times.

examples:
  resnet-edu trace resnet34 --view convs --format csv
  resnet-edu trace resnet50 --view stages --stride-in 1x1
  resnet-edu trace torchvision:inception_v3 --input 3x299x299
  resnet-edu trace torchvision:fasterrcnn_resnet50_fpn --device cpu
  resnet-edu trace my_file:translator --input 16:long --input 12:long --batch 8
"""
_LIBRARIES = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib"))
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("name", metavar="NAME", help="which model (see below)")
    parser.add_argument("--view", choices=VIEWS, default="layers", help="default: layers")
    usual = "default: 3x32x32 for the CIFAR family, else 3x224x224"
    parser.add_argument("--input", metavar="SHAPE[:TYPE]", type=_input, action="append", help=f"see below; {usual}")
    parser.add_argument("--batch", metavar="N", type=int, default=1, help="of that at a time; default: 1")
    looks = "for a model that looks at values, such as a detector"
    devices = ("meta", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="meta", help=f"another than meta (the default): {looks}")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--stride-in", choices=("1x1", "3x3"), help="where a bottleneck has its stride; default: 3x3")
    kinds = f"of this package's residual nets: {', '.join(models.SHORTCUTS)}"
    parser.add_argument("--shortcut", metavar="KIND", help=kinds)


def run(args: argparse.Namespace) -> int:
    """Print the table that `args` asks for and return 0; raises `ValueError` and others with one line to print."""
    options = {"stride_on": args.stride_in, "shortcut": args.shortcut}
    model = load_model(args.name, {k: v for k, v in options.items() if v is not None})
    device = args.device
    if device != "meta":
        model = model.to(device := resolve_device(device))
    pixels = 32 if ":" not in args.name and models.is_cifar_name(args.name) else 224
    inputs = [
        shape if dtype is None else torch.zeros(shape, dtype=dtype, device=device)
        for sizes, dtype in args.input or [((3, pixels, pixels), None)]
        for shape in [(args.batch, *sizes)]
    ]
    try:
        result = trace(model, *inputs, device=device)
    except TraceError as error:
        place = _place(error.__cause__)
        raise RuntimeError(" ".join(str(error).split()) + (place and f" ({place})")) from error
    print(render(result, args.view, args.format))
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
            "not_counted": [row.path for row in result.not_counted],
            "rows": result.view(view).to_dicts(),
        }
        return json.dumps(content, indent=2)
    table = result.view(view)
    write = {"text": table.to_text, "markdown": table.to_markdown, "csv": table.to_csv}[form]
    return write().rstrip("\n")


def _input(text: str) -> tuple[tuple[int, ...], torch.dtype | None]:
    """Return ((16,), torch.int64) for "16:long", and ((3, 224, 224), None) for "3x224x224"."""
    shape, colon, name = text.partition(":")
    dtype = getattr(torch, name, None) if colon else None
    if not re.fullmatch("[1-9][0-9]*(x[1-9][0-9]*)*", shape) or (colon and not isinstance(dtype, torch.dtype)):
        rule = "must be whole numbers above 0, and may end in a type of torch, as in 3x224x224 or 16:long"
        raise argparse.ArgumentTypeError(f"{rule}, but it is {text!r}")
    return tuple(map(int, shape.split("x"))), dtype


def load_model(name: str, options: dict[str, str]) -> nn.Module:
    """Return the model called `name`: see the help text. `options` are for the nets of this package only.

    Raises `ValueError` for an unknown name or an option that does not apply, `ImportError` for a module that cannot
    be imported, `RuntimeError` for a callable that fails, `TypeError` for one that returns no module.
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

        return _untrained(torchvision.models.get_model_builder(attribute))
    if not source or not attribute:
        raise ValueError(f"a model of your own is package.module:callable, but the name is {name!r}")
    try:
        model = operator.attrgetter(attribute)(import_here(source))
    except (Exception, SystemExit) as error:  # whatever a file may do
        raise ImportError(f"cannot import {name!r}: {_failure(error)}") from error
    if callable(model) and not isinstance(model, nn.Module):
        of_torchvision = getattr(model, "__module__", "").startswith("torchvision.models")
        try:
            model = _untrained(model) if of_torchvision else model()
        except (Exception, SystemExit) as error:
            raise RuntimeError(f"{name}() failed: {_failure(error)}") from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module or return one, but it is a {type(model).__name__}")
    return model


def _untrained(builder: Callable[..., nn.Module]) -> nn.Module:
    """Return the model of a builder of torchvision without weights: by default some download those of a backbone."""
    return builder(**{name: None for name in inspect.signature(builder).parameters if name.startswith("weights")})


def _failure(error: BaseException) -> str:
    """Return in one line where somebody's own code failed, if it was there, and of what."""
    place = _place(error)
    return (place and f"{place}: ") + f"{type(error).__name__}: {' '.join(str(error).split())}"


def _place(error: BaseException) -> str:
    """Return the file and line of the last frame that is of neither Python, nor a library, nor this package, or ""."""
    frames = traceback.extract_tb(error.__traceback__)
    others = ("<", _PACKAGE, *_LIBRARIES)
    own = [f"{f.filename}, line {f.lineno}" for f in frames if not f.filename.startswith(others)]
    return own[-1] if own else ""
