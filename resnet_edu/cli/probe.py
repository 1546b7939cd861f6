"""`resnet-edu probe QUESTION`: ask nets, and leave the answers as records (JSON) and a figure (PNG, SVG)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from .. import probes
from ..data import dataset as data
from ..data.dataset import NORMALIZE, Dataset
from ..experiment import shipped
from ..experiment.degradation import build_net
from ..experiment.folder import claimed
from ..experiment.records import RunRecord
from ..figures import probes as probe_plots
from ..figures.style import Picture
from ..nets.models import split_name
from ..probes import Subject
from ..probes.records import ProbeRecord
from ..support.system import available_cores, prepare_process, resolve_device
from ..support.validate import whole
from ..training import weights
from .degrade import RUNS
from .options import names

DESCRIPTION = """\
Ask nets what they are like inside. Each question leaves a record (JSON) for each net and a figure (PNG, SVG) in a new
folder in runs/. The nets are those that were trained on the data and come with the package, unless other weights are
named.
"""

EXAMPLES = """\
examples:
  resnet-edu probe lesions                                       the nets that come with the package, on digits
  resnet-edu probe gradients --nets plain56,resnet56 --steps 0,1,20
  resnet-edu probe gradients --nets resnet110 --no-batch-norm
  resnet-edu probe landscape --nets resnet20 --plane
  resnet-edu probe identity --nets plain20 --added 2,4,6
  resnet-edu probe responses --nets resnet56 --weights my.safetensors --data path/to/folder
  resnet-edu probe study --out FOLDER      gradients of many depths, and identities: the records of the package
"""

QUESTIONS = {  # name: what it says in the list of commands
    "gradients": "how long the gradient of the loss is at each layer, before and while training",
    "responses": "how strongly each layer responds (the paper's figure 7)",
    "lesions": "the error without each block, and with blocks exchanged",
    "landscape": "the loss around the weights, along one or two random directions",
    "identity": "the loss with blocks added that do nothing",
    "study": "gradients over depth with and without batch norm, and identities, in small records",
}
FRESH, SHIPPED = "fresh", "shipped"
STEPS = ("--steps", "0,1,...", "0,1,20", "when to measure")
OPTIONS = {  # of each question: flag, metavar, default (its type is the value's), help
    "gradients": (STEPS, ("--images", "N", 128, "training images to measure on")),
    "responses": (("--images", "N", 2000, "test images, at most"),),
    "lesions": (
        ("--trials", "N", 5, "orders for each number of swaps"),
        ("--images", "N", 2000, "test images, at most"),
    ),
    "landscape": (
        ("--reach", "R", 1.0, "in filter lengths"),
        ("--images", "N", 512, "training images, at most"),
    ),
    "identity": (
        ("--added", "1,2,...", "1,2,4,6", "blocks a stage"),
        ("--images", "N", 2000, "training images, and test images, at most"),
    ),
    "study": (
        ("--depths", "8,14,...", ",".join(map(str, probes.STUDY_DEPTHS)), "of fresh nets"),
        STEPS,
        ("--seeds", "N", 3, "fresh nets of each kind"),
    ),
}


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `probe` to the parser of `resnet-edu`."""
    parser = subparsers.add_parser(
        "probe",
        help="ask trained nets about gradients, responses, blocks and loss",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")
    for name, about in QUESTIONS.items():
        sub = questions.add_parser(name, help=about, description=f"Measure {about}.")
        _add_options(sub, name)
        sub.set_defaults(run=run)


def _add_options(parser: argparse.ArgumentParser, question: str) -> None:
    add = parser.add_argument
    add("--data", default="digits", metavar="digits|cifar10|FOLDER", help="images (default: digits)")
    if question != "study":
        start = FRESH if question == "gradients" else SHIPPED
        add("--nets", metavar="A,B,...", type=names, help="names of nets (default: those that are shipped)")
        add(
            "--weights",
            default=start,
            metavar="shipped|fresh|FILE",
            help=f"trained ones of the package, untrained ones, or a safetensors file (default: {start})",
        )
        add("--study", metavar="NAME", help="the shipped study to take nets and weights from")
        add("--normalize", choices=NORMALIZE, help="as in the net's training (default: as its record)")
        add("--seed", type=int, default=0, metavar="K", help="of whatever is drawn (default: 0)")
    add("--device", default="cpu", metavar="auto|cpu|cuda|mps", help="(default: cpu)")
    add("--threads", type=int, metavar="N", help="computing threads (default: all cores)")
    add("--out", metavar="FOLDER", help="for the files (default: runs/probe-<question>-<date>-<time>)")
    for flag, metavar, default, text in OPTIONS[question]:
        add(flag, type=type(default), default=default, metavar=metavar, help=f"{text} (default: {default})")
    if question == "gradients":
        add("--no-batch-norm", action="store_true", help="nets without batch norm; untrained ones only")
    if question == "landscape":
        add("--plane", action="store_true", help="two directions, and contours for each net")
        add("--points", type=int, metavar="N", help="along a direction (default: 41, or 15 for a plane)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    resolve_device(args.device)
    threads = available_cores() if args.threads is None else whole("--threads", args.threads)
    for name in {"steps", "added", "depths"} & set(vars(args)):
        setattr(args, name, whole_numbers(f"--{name}", getattr(args, name)))
    out = Path(args.out) if args.out else RUNS / f"probe-{args.question}-{datetime.now():%Y%m%d-%H%M%S}"
    if args.question != "study":
        check_options(args)
    prepare_process(threads)
    dataset = data.load(args.data)
    if args.question == "study":
        answers = study(args, dataset)
    else:
        subjects = [subject_of(args, net, dataset) for net in nets_of(args, dataset)]
        answers = (_ask(args, subject) for subject in subjects)
    records: list[ProbeRecord] = []
    with claimed(out):
        for record in answers:
            record.save(out / record.filename)
            records.append(record)
        pictures = _draw(args, records, _trained(args, dataset))
        for name, picture in pictures.items():
            for ending in ("png", "svg"):
                picture.save(out / f"{name}.{ending}")
            print(picture.alt)
    print(f"\n{len(records)} record{'s' * (len(records) > 1)} and {', '.join(pictures)} (.png, .svg) are in {out}")
    return 0


def whole_numbers(option: str, text: str) -> list[int]:
    """Return the numbers of a list such as "0,1,20"; raises `ValueError`, naming the option, for another text."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} must be whole numbers with commas between them, but it is {text!r}") from None


def check_options(args: argparse.Namespace) -> None:
    """Raise `ValueError` for options that contradict each other, before anything is made or read."""
    bare = getattr(args, "no_batch_norm", False)
    if bare and args.weights == SHIPPED:
        raise ValueError("--no-batch-norm: no net without batch norm comes with the package; use --weights fresh")
    if args.weights not in (FRESH, SHIPPED):
        if args.nets is None or len(args.nets) != 1:
            raise ValueError(f"--weights {args.weights} are those of one net: name it, for example --nets resnet56")
        if not Path(args.weights).is_file():
            raise FileNotFoundError(f"--weights must be shipped, fresh or a file, but there is no {args.weights}")


def study_of(args: argparse.Namespace, dataset: Dataset) -> str | None:
    """Return the name of the shipped study to take weights from: the one named, or the first on these images."""
    if getattr(args, "study", None) is not None:
        return shipped.load_study(args.study).name
    for found in shipped.studies():
        if shipped.load_records(found.name)[0].dataset["fingerprint"] == dataset.fingerprint:
            return found.name
    return None


def nets_of(args: argparse.Namespace, dataset: Dataset) -> list[str]:
    """Return the names of the nets to ask; raises `ValueError` for none, or one twice."""
    if args.nets is not None:
        if not args.nets or len(set(args.nets)) < len(args.nets):
            raise ValueError(
                f"--nets must be names of nets, each once, such as plain20,resnet20: it is {','.join(args.nets)!r}"
            )
        return list(args.nets)
    name = study_of(args, dataset)
    if name is None:
        raise ValueError(f"no nets trained on {dataset.name} come with the package: name some, --nets, and --weights")
    return sorted(shipped.load_study(name).weights, key=split_name)


def subject_of(args: argparse.Namespace, net: str, dataset: Dataset) -> Subject:
    """Return the net with the weights that the options ask for, as a probe's subject."""
    normalize, common = args.normalize, {"seed": args.seed, "device": args.device}
    if args.weights == SHIPPED:
        name = study_of(args, dataset)
        if name is None:
            raise ValueError(
                f"no nets trained on {dataset.name} come with the package: name a file of weights, or --weights fresh"
            )
        record = shipped.load_record(net, study=name)
        if record.dataset["fingerprint"] != dataset.fingerprint:
            raise ValueError(f"the nets of study {name!r} were trained on {record.dataset['name']}, not {dataset.name}")
        model = shipped.load_trained(net, study=name)
        normalize = normalize or record.recipe["normalize"]
        return Subject(net, model, dataset, f"shipped: {name}, seed {record.seed}", normalize, **common)
    options = {"batch_norm": False} if getattr(args, "no_batch_norm", False) else {}
    model = build_net(net, dataset, args.seed, **options)
    about = f"untrained, seed {args.seed}"
    if args.weights != FRESH:
        path = Path(args.weights)
        state = weights.read(path.read_bytes(), path)
        weights.check(state, model, path)
        model.load_state_dict(state)
        about = f"file {path.name}"
    return Subject(net, model.eval(), dataset, about, normalize or NORMALIZE[0], **common)


def _ask(args: argparse.Namespace, subject: Subject) -> ProbeRecord:
    """Ask one net the question."""
    images = args.images
    if args.question == "gradients":
        return probes.gradients(subject, args.steps, images=images)
    if args.question == "responses":
        return probes.responses(subject, images=images)
    if args.question == "lesions":
        return probes.lesions(subject, images=images, trials=args.trials, progress=True)
    if args.question == "identity":
        return probes.identity(subject, args.added, images=images, progress=True)
    grid = {"plane": args.plane, "points": args.points, "reach": args.reach}
    return probes.loss_landscape(subject, **grid, images=images, progress=True)


def study(args: argparse.Namespace, dataset: Dataset) -> Iterator[ProbeRecord]:
    """Yield the records that the explorers show, each when it is done.

    Identities bring each shipped net to the depths of the study that it can be brought to.
    """
    asked = argparse.Namespace(**vars(args), nets=None, weights=SHIPPED, study=None, normalize=None, seed=0)
    nets = nets_of(asked, dataset)  # first: without them there is no study
    print("this takes a few minutes", file=sys.stderr, flush=True)
    common = {"device": args.device, "progress": True}
    yield probes.gradient_study(dataset, args.depths, args.steps, seeds=args.seeds, **common)
    for net in nets:
        added = [(depth - split_name(net)[1]) // 6 for depth in args.depths if depth > split_name(net)[1]]
        if added:
            yield probes.identity(subject_of(asked, net, dataset), added, images=None, progress=True)


def _trained(args: argparse.Namespace, dataset: Dataset) -> list[RunRecord]:
    """Return the shipped records of seed 0 on these images: what training at a net's own depth gave."""
    if args.question not in ("identity", "study") or getattr(args, "weights", SHIPPED) != SHIPPED:
        return []
    name = study_of(args, dataset)
    return [r for r in shipped.load_records(name) if r.seed == 0] if name else []


def _draw(args: argparse.Namespace, records: Sequence[ProbeRecord], trained: list[RunRecord]) -> dict[str, Picture]:
    """Return file name -> figure."""
    if args.question == "gradients":
        return {f"gradients-{r.net}": probe_plots.gradients(r) for r in records}
    if args.question == "landscape" and args.plane:
        return {f"landscape-{r.net}": probe_plots.landscape(r) for r in records}
    if args.question == "identity":
        return {"identity": probe_plots.identity(records, trained)}
    if args.question == "study":
        flow, *deeper = records
        found = {f"gradients-after-{step}": probe_plots.gradient_study(flow, step) for step in flow.steps}
        return found | ({"identity": probe_plots.identity(deeper, trained)} if deeper else {})
    return {args.question: getattr(probe_plots, args.question)(records)}
