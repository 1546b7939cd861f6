"""`resnet-edu predict`: what a trained net says of photos and folders of photos, and what it is wrong about."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path

import torch

from ..figures import predictions as drawings
from ..nets.models import imported
from ..probes.additions import additions
from ..support.system import prepare_process, resolve_device
from ..training.classifier import load_classifier
from ..training.export import export
from ..training.predictions import Predictions
from .options import out_folder

FORMATS = ("text", "csv", "json")
MOST_MAPS = 5  # photos that --maps draws

DESCRIPTION = """\
Label photos by a net that `resnet-edu train` has left. Of a folder with a folder for each class (of its test part, if
it has one) it also tells how often the labels are wrong, with 95% intervals (Wilson's), which class is taken for which,
and draws the worst mistakes. Images that the net was trained on are recognised, and left out of that.
"""
EXAMPLES = """\
examples:
  resnet-edu predict runs/resnet20-pets-seed0/resnet20-seed0.safetensors cat.jpg
  resnet-edu predict my.safetensors holiday/ --format csv > holiday.csv
  resnet-edu predict my.safetensors pets/test                      folders cat/ and dog/: errors and worst mistakes
  resnet-edu predict my.safetensors cat.jpg --maps                 what each block adds, as a figure
  resnet-edu predict my.safetensors --export onnx                  for programs without PyTorch
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="the file (.safetensors) that `resnet-edu train` has left")
    add("images", nargs="*", metavar="PHOTO|FOLDER", help="a photo, a folder of photos, or one with a folder a class")
    add("--format", choices=FORMATS, default="text", help="csv and json have each class's probability (default: text)")
    maps_help = f"draw x, F(x) and their sum at each addition, of {MOST_MAPS} photos at most"
    add("--maps", action="store_true", help=maps_help)
    export_help = "write the net, with its normalisation, for other programs, and try it"
    add("--export", choices=("onnx",), help=export_help)
    add("--net", metavar="MODULE:CALLABLE", help="what builds the net, if it is not of this package")
    add("--skip-damaged", action="store_true", help="leave out files that cannot be read")
    add("--device", default="auto", metavar="auto|cpu|cuda|mps", help="(default: auto)")
    add("--out", metavar="FOLDER", help="for figures and exports (default: runs/predict-<date>-<time>)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    if not args.images and not args.export:
        raise ValueError("name a photo or a folder to label, or --export")
    device = resolve_device(args.device)
    prepare_process(torch.get_num_threads())
    classifier = load_classifier(args.weights, args.net and imported(args.net))
    out, pictures = out_folder(args, "predict"), {}
    if args.images:
        found = classifier.predict(args.images, device=device, skip_damaged=args.skip_damaged, progress=True)
        print(text_of(found, args.format))
        if found.truth is not None:
            scored = found if found.known.all() else found.pick(~found.known)
            if args.format == "text":
                print(f"\n{scored.errors()}\n\n{scored.confusion_table()}")
            if len(scored.wrong(1)):
                pictures["mistakes"] = drawings.mistakes(scored)
        for i, pixels in enumerate(found.images(MOST_MAPS) if args.maps else ()):
            photo, inside = Path(found.names[i]), additions(classifier.net, classifier.normalized(pixels[None]))
            title = f"What is added, for {photo.name} ({found.labels[i]})"
            pictures[f"maps-{i + 1}-{photo.stem}"] = drawings.maps(inside, title)
    for name, picture in pictures.items():
        out.mkdir(parents=True, exist_ok=True)
        picture.save_both(out / name)
        print(f"{out / name}.png, .svg: {textwrap.shorten(picture.alt, 200)}", file=sys.stderr)
    if args.export:
        path = out / f"{Path(args.weights).stem}.{args.export}"
        difference = export(classifier, path)
        print(f"{path}: its logits differ from PyTorch's by {difference:.1g} at most", file=sys.stderr)
    return 0


def text_of(found: Predictions, form: str) -> str:
    """Return the predictions in one of `FORMATS`; as text, of labelled images only what is to be said of them all."""
    table = found.table()
    if form == "csv":
        return table.to_csv().rstrip("\n")
    if form == "json":
        return json.dumps(table.to_dicts(), indent=1)
    if found.truth is None:
        return table.to_text()
    if found.known.all():
        return f"The net was trained on all {len(found):,} images: their error says nothing of others."
    rest = f"The net was trained on {int(found.known.sum()):,} of the {len(found):,} images: they are left out."
    return rest if found.known.any() else "The net was trained on none of these images."
