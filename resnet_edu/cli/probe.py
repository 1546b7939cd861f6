"""`resnet-edu probe QUESTION`: ask nets, and leave the answers as records (JSON) and a figure (PNG, SVG).

Scope: options, messages and files of this one command; the questions are in `probes.py`, the figures in
`probe_plots.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from .. import probes
from ..data import dataset as data
from ..data.dataset import NORMALIZE, Dataset
from ..experiment import shipped
from ..experiment.degradation import build_net, claim_folder
from ..experiment.records import RunRecord
from ..figures import probes as probe_plots
from ..figures.style import Picture
from ..nets.models import split_name
from ..probes import Subject
from ..probes.records import ProbeRecord
from ..support.system import available_cores, prepare_process, resolve_device
from ..training import weights

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


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `probe` to the parser of `cli.py`."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "probe",
        help="ask trained nets about gradients, responses, blocks and loss",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")
    for name, about in QUESTIONS.items():
        sub = questions.add_parser(name, help=about, description=f"Measure {about}.")
        _add_common(sub, name)
        _OPTIONS[name](sub)
        sub.set_defaults(run=run)


def _add_common(parser: argparse.ArgumentParser, question: str) -> None:
    parser.add_argument("--data", default="digits", metavar="digits|cifar10|FOLDER", help="images (default: digits)")
    if question != "study":
        start = FRESH if question == "gradients" else SHIPPED
        parser.add_argument("--nets", metavar="A,B,...", help="names of nets (default: those that are shipped)")
        parser.add_argument(
            "--weights",
            default=start,
            metavar="shipped|fresh|FILE",
            help=f"trained ones of the package, untrained ones, or a safetensors file (default: {start})",
        )
        parser.add_argument("--study", metavar="NAME", help="the shipped study to take nets and weights from")
        parser.add_argument("--normalize", choices=NORMALIZE, help="as in the net's training (default: as its record)")
        parser.add_argument("--seed", type=int, default=0, metavar="K", help="of whatever is drawn (default: 0)")
    parser.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|mps", help="(default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="computing threads (default: all cores)")
    parser.add_argument("--out", metavar="FOLDER", help="for the files (default: runs/probe-<question>-<date>-<time>)")


def _images(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    parser.add_argument("--images", type=int, default=default, metavar="N", help=f"{what} (default: {default})")


def _gradients_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", default="0,1,20", metavar="0,1,...", help="when to measure (default: 0,1,20)")
    parser.add_argument("--no-batch-norm", action="store_true", help="nets without batch norm; untrained ones only")
    _images(parser, 128, "training images to measure on")


def _responses_options(parser: argparse.ArgumentParser) -> None:
    _images(parser, 2000, "test images, at most")


def _lesions_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=5, metavar="N", help="orders for each number of swaps (5)")
    _images(parser, 2000, "test images, at most")


def _landscape_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plane", action="store_true", help="two directions, and contours for each net")
    parser.add_argument("--points", type=int, metavar="N", help="along a direction (default: 41, or 15 for a plane)")
    parser.add_argument("--reach", type=float, default=1.0, metavar="R", help="in filter lengths (default: 1)")
    _images(parser, 512, "training images, at most")


def _identity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--added", default="1,2,4,6", metavar="1,2,...", help="blocks a stage (default: 1,2,4,6)")
    _images(parser, 2000, "training images, and test images, at most")


def _study_options(parser: argparse.ArgumentParser) -> None:
    depths = ",".join(map(str, probes.STUDY_DEPTHS))
    parser.add_argument("--depths", default=depths, metavar="8,14,...", help=f"of fresh nets (default: {depths})")
    parser.add_argument("--steps", default="0,1,20", metavar="0,1,...", help="when to measure (default: 0,1,20)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="fresh nets of each kind (default: 3)")


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "gradients": _gradients_options,
    "responses": _responses_options,
    "lesions": _lesions_options,
    "landscape": _landscape_options,
    "identity": _identity_options,
    "study": _study_options,
}


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status; errors are raised as exceptions with a message for the user."""
    resolve_device(args.device)
    threads = available_cores() if args.threads is None else args.threads
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, but it is {threads}")
    numbers = {
        name: whole_numbers(f"--{name}", getattr(args, name)) for name in ("steps", "added", "depths") if name in args
    }
    out = Path(args.out) if args.out else Path("runs") / f"probe-{args.question}-{datetime.now():%Y%m%d-%H%M%S}"
    if args.question != "study":
        check_options(args)
    prepare_process(threads)
    dataset = data.load(args.data)
    subjects = [] if args.question == "study" else [subject_of(args, n, dataset) for n in nets_of(args, dataset)]
    made = not out.exists()
    claim_folder(out)
    records: list[ProbeRecord] = []
    asked = (_ask(args, s, numbers) for s in subjects)
    answers = study(args, dataset, numbers) if args.question == "study" else asked
    try:
        for record in answers:
            record.save(out / record.filename)
            records.append(record)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()  # nothing was written: leave nothing behind
        raise
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
        if args.nets is None or "," in args.nets:
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
        names = [name.strip() for name in args.nets.split(",") if name.strip()]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"--nets must be names of nets, each once, such as plain20,resnet20: it is {args.nets!r}")
        return names
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


def _ask(args: argparse.Namespace, subject: Subject, numbers: dict[str, list[int]]) -> ProbeRecord:
    """Ask one net the question."""
    images = args.images
    if args.question == "gradients":
        return probes.gradients(subject, numbers["steps"], images=images)
    if args.question == "responses":
        return probes.responses(subject, images=images)
    if args.question == "lesions":
        return probes.lesions(subject, images=images, trials=args.trials, progress=True)
    if args.question == "identity":
        return probes.identity(subject, numbers["added"], images=images, progress=True)
    points = args.points if args.points is not None else 15 if args.plane else 41
    probe = probes.loss_plane if args.plane else probes.loss_slice
    seconds = probes.estimate_seconds(subject, points**2 if args.plane else points, images=images)
    print(f"{subject.name}: about {max(1, round(seconds))} seconds", file=sys.stderr, flush=True)
    return probe(subject, points=points, reach=args.reach, images=images, progress=True)


def study(args: argparse.Namespace, dataset: Dataset, numbers: dict[str, list[int]]) -> Iterator[ProbeRecord]:
    """Yield the records that the explorers show, each when it is done.

    Identities bring each shipped net to the depths of the study that it can be brought to.
    """
    asked = argparse.Namespace(**vars(args), nets=None, weights=SHIPPED, study=None, normalize=None, seed=0)
    nets = nets_of(asked, dataset)  # first: without them there is no study
    print("this takes a few minutes", file=sys.stderr, flush=True)
    steps, common = numbers["steps"], {"device": args.device, "progress": True}
    yield probes.gradient_study(dataset, numbers["depths"], steps, seeds=args.seeds, **common)
    for net in nets:
        added = [(depth - split_name(net)[1]) // 6 for depth in numbers["depths"] if depth > split_name(net)[1]]
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
