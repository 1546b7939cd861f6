"""`resnet-edu probe QUESTION`: ask nets, and leave the answers as records (JSON) and a figure (PNG, SVG)."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .. import probes
from ..data import dataset as data
from ..data.dataset import Dataset
from ..experiment import shipped
from ..experiment.degradation import build_net
from ..experiment.folder import claimed
from ..figures import probes as probe_plots
from ..figures.style import Picture
from ..nets.models import split_name
from ..probes import Subject
from ..probes.records import ProbeRecord
from ..support.system import make_bar, prepare_process, resolve_device
from ..training.classifier import Classifier, load_classifier
from .options import names, out_folder

DESCRIPTION = """\
Ask nets what they are like inside. Each question leaves a record (JSON) for each net and a figure (PNG, SVG) in a new
folder in runs/. The nets are those that were trained on the data and come with the package, unless other weights are
named.
"""

EXAMPLES = """\
examples:
  resnet-edu probe lesions                                       the nets that come with the package, on digits
  resnet-edu probe gradients --nets plain56,resnet56 --steps 0,1,20
  resnet-edu probe landscape --nets resnet20,plain20
  resnet-edu probe identity --nets plain20 --added 2,4,6
  resnet-edu probe responses --weights my.safetensors --data path/to/folder      a net that `resnet-edu train` left
"""

FRESH, SHIPPED = "fresh", "shipped"


def whole_numbers(text: str) -> list[int]:
    """Return the numbers in a text such as "0,1,20"."""
    return [int(part) for part in text.split(",")]


TEST_IMAGES = ("--images", int, "N", 2000, "test images, at most")
QUESTIONS = {  # name: (the probe, what it measures, its options: flag, type, metavar, default, help)
    "gradients": (
        probes.gradients,
        "how long the gradient of the loss is at each layer, before and while training",
        ("--steps", whole_numbers, "0,1,...", "0,1,20", "when to measure"),
        ("--images", int, "N", 128, "training images to measure on"),
    ),
    "responses": (probes.responses, "how strongly each layer responds (the paper's figure 7)", TEST_IMAGES),
    "lesions": (
        probes.lesions,
        "the error without each block, and with blocks exchanged",
        ("--trials", int, "N", 5, "orders for each number of swaps"),
        TEST_IMAGES,
    ),
    "landscape": (
        probes.loss_landscape,
        "the loss around the weights, along a random direction",
        ("--points", int, "N", 41, "along the direction"),
        ("--reach", float, "R", 1.0, "in filter lengths"),
        ("--images", int, "N", 512, "training images, at most"),
    ),
    "identity": (
        probes.identity,
        "the loss with blocks added that do nothing",
        ("--added", whole_numbers, "1,2,...", "1,2,4,6", "blocks a stage"),
        ("--images", int, "N", 2000, "training images, and test images, at most"),
    ),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's questions, each with its options, to its parser."""
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")
    for name, (_, about, *own) in QUESTIONS.items():
        add = questions.add_parser(name, help=about, description=f"Measure {about}.").add_argument
        start = FRESH if name == "gradients" else SHIPPED
        weights_help = f"trained ones of the package, untrained ones, or a safetensors file (default: {start})"
        add("--data", default="digits", metavar="digits|cifar10|FOLDER", help="images (default: digits)")
        add("--nets", metavar="A,B,...", type=names, help="names of nets (default: those that are shipped)")
        add("--weights", default=start, metavar="shipped|fresh|FILE", help=weights_help)
        add("--seed", type=int, default=0, metavar="K", help="of whatever is drawn (default: 0)")
        add("--device", default="cpu", metavar="auto|cpu|cuda|mps", help="(default: cpu)")
        add("--out", metavar="FOLDER", help="for the files (default: runs/probe-<question>-<date>-<time>)")
        for flag, kind, metavar, default, text in own:
            add(flag, type=kind, default=default, metavar=metavar, help=f"{text} (default: {default})")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    resolve_device(args.device)
    check_options(args)
    out = out_folder(args, f"probe-{args.question}")
    prepare_process(torch.get_num_threads())
    classifier = None if args.weights in (FRESH, SHIPPED) else load_classifier(args.weights)
    dataset = data.load(args.data) if classifier is None else images_for(classifier, args)
    study = study_of(args, dataset)
    nets = [classifier.name] if classifier else args.nets or sorted(shipped.load_study(study).weights, key=split_name)
    subjects = [subject_of(args, net, dataset, study, classifier) for net in nets]
    probe, _, *own = QUESTIONS[args.question]
    chosen = {flag.removeprefix("--"): getattr(args, flag.removeprefix("--")) for flag, *_ in own}
    records: list[ProbeRecord] = []
    with claimed(out), make_bar(len(subjects), args.question) as bar:
        for subject in subjects:
            records.append(probe(subject, **chosen))
            records[-1].save(out / records[-1].filename)
            bar.update()
        pictures = _draw(args, records, study)
        for name, picture in pictures.items():
            picture.save_both(out / name)
            print(picture.alt)
    print(f"\n{len(records)} record{'s' * (len(records) > 1)} and {', '.join(pictures)} (.png, .svg) are in {out}")
    return 0


def check_options(args: argparse.Namespace) -> None:
    """Raise `ValueError` for options that contradict each other, before anything is made or read."""
    if args.nets is not None and not 0 < len(args.nets) == len(set(args.nets)):
        given = ",".join(args.nets)
        raise ValueError(f"--nets must be names of nets, each once, such as plain20,resnet20: it is {given!r}")
    if args.weights not in (FRESH, SHIPPED):
        if args.nets is not None:
            raise ValueError(f"--weights {args.weights} says itself which net it is of: leave --nets out")
        if not Path(args.weights).is_file():
            raise FileNotFoundError(f"--weights must be shipped, fresh or a file, but there is no {args.weights}")


def study_of(args: argparse.Namespace, dataset: Dataset) -> str | None:
    """Return the name of the first shipped study on these images."""
    for found in shipped.studies():
        if shipped.load_records(found.name)[0].dataset["fingerprint"] == dataset.fingerprint:
            return found.name
    if args.weights == SHIPPED or (args.nets is None and args.weights == FRESH):
        raise ValueError(f"no nets trained on {dataset.name} come with the package: name some, --nets, and --weights")
    return None


def images_for(classifier: Classifier, args: argparse.Namespace) -> Dataset:
    """Return the images that `args` names, read as the classifier takes them; others than its own get a warning."""
    channels, height, width = classifier.shape
    size = height if height == width else None
    options = {"resize": size, "channels": channels}
    if args.data in ("digits", "cifar10"):
        options = {"resize": size} if args.data == "cifar10" and size != 32 else {}
    dataset = data.load(args.data, **options)
    takes, has = ((i.shape, len(i.classes)) for i in (classifier, dataset))
    if takes != has:
        what = f"(C, H, W) and classes of {args.weights} are {takes}, of {args.data} {has}"
        raise ValueError(f"{what}: name the images that the net was trained on")
    known = float(torch.isin(data.digests(dataset.train_images), classifier.trained_on).double().mean())
    if known < 0.5 or dataset.classes != classifier.classes:
        its = f"{classifier.about.get('dataset')} ({', '.join(classifier.classes[:3])}, ...)"
        what = f"{100 * known:.0f}% of the training images of {args.data}"
        print(f"warning: the weights in {args.weights} come from {its} and know {what}", file=sys.stderr)
    return dataset


def subject_of(
    args: argparse.Namespace, net: str, dataset: Dataset, study: str | None, classifier: Classifier | None
) -> Subject:
    """Return the net with the weights that the options ask for, as a probe's subject."""
    common = {"seed": args.seed, "device": args.device}
    if args.weights == SHIPPED:
        record, model = shipped.load_record(net, study=study), shipped.load_trained(net, study=study)
        about = f"shipped: {study}, seed {record.seed}"
        return Subject(net, model, dataset, about, record.recipe["normalize"], **common)
    if classifier is not None:
        normalize = classifier.mean, classifier.deviation
        return Subject(net, classifier.net, dataset, f"file {Path(args.weights).name}", normalize, **common)
    return Subject(net, build_net(net, dataset, args.seed).eval(), dataset, f"untrained, seed {args.seed}", **common)


def _draw(args: argparse.Namespace, records: Sequence[ProbeRecord], study: str | None) -> dict[str, Picture]:
    """Return file name -> figure."""
    if args.question == "gradients":
        return {f"gradients-{r.net}": probe_plots.gradients(r) for r in records}
    if args.question != "identity":
        return {args.question: getattr(probe_plots, args.question)(records)}
    # What training at a net's own depth gave.
    trained = [r for r in shipped.load_records(study) if r.seed == 0] if args.weights == SHIPPED else []
    return {"identity": probe_plots.identity(records, trained)}
