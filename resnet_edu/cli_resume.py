"""`resnet-edu degrade --resume`: which study is meant, what may be said with it, and how to say it when one is stopped.

Scope: what the command line adds to `degradation.resume`; options and messages of the command are in `cli_degrade.py`.

Source
  [1] Python's documentation of `signal`; the exit status of a process that a signal ended, in shells: 128 + its number.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from . import cli_recipe
from . import study as studies
from .data import Dataset
from .study import Source, Study, StudyError

RUNS = Path("runs")  # where studies go that are given no folder


def find(args: argparse.Namespace) -> tuple[Path, Study]:
    """Return the folder that `--resume` names, or the newest unfinished one in `RUNS`, and the study in it.

    Raises `StudyError` if there is none, or if another option contradicts it.
    """
    folder = Path(args.resume) if args.resume else studies.newest_unfinished(RUNS)
    study = studies.load(folder)
    recipe, source = study.recipe, study.source
    cli_recipe.check(args, args.data or (source.data if source else "unknown"))
    epochs = None if args.epochs is None else args.epochs * (study.dataset["train"] // recipe.batch_size)
    _refuse(
        folder,
        {
            "--out": (args.out and Path(args.out).resolve(), folder.resolve()),
            "--nets": (args.nets and tuple(n.strip() for n in args.nets.split(",") if n.strip()), study.nets),
            "--seeds": (args.seeds, len(study.seeds)),
            "--data": (_other_data(args.data, source), source and source.data),
            "--resize": (args.resize, source and source.resize),
            "--hold-out": (args.hold_out, source and source.held),
            "--quick": (args.quick or None, bool(source and source.head)),
            "--recipe": (args.recipe, "paper" if recipe.augment else "digits"),
            "--steps": (args.steps, recipe.steps),
            "--epochs": (epochs, recipe.steps),
            "--batch-size": (args.batch_size, recipe.batch_size),
            "--lr": (args.lr, recipe.lr),
            "--eval-every": (args.eval_every, recipe.eval_every),
            "--device": (None if args.device == "auto" else args.device, study.device),
            "--precision": (None if args.precision == "auto" else args.precision, study.precision),
            "--save-weights": (args.save_weights or None, study.save_weights),
        },
    )
    return folder, study


def _other_data(given: str | None, source: Source | None) -> str | None:
    """Return what --data says if it can be no other place of the same images; of two folders the images decide."""
    named = ("digits", "cifar10")
    return given if source is not None and (given in named or source.data in named) else None


def images(args: argparse.Namespace, study: Study) -> Dataset | None:
    """Return the images of the study if the options say where to find them; None if that is left to the study.

    Raises `StudyError` if they are not there, and else what `Source.load` raises.
    """
    if args.data is None and args.mirrors is None:
        return None
    source = study.source if args.data is None else dataclasses.replace(study.source or Source(""), data=args.data)
    try:
        return source.load(urls=cli_recipe.urls_of(args))
    except (FileNotFoundError, ValueError) as error:
        raise StudyError(str(error)) from None


def _refuse(folder: Path, options: dict[str, tuple[object, object]]) -> None:
    """Raise `StudyError` for options {name: (given, the study's)} that are given and differ; None is not given."""
    wrong = [f"{o} is {_text(g)} but the study has {_text(s)}" for o, (g, s) in options.items() if g not in (None, s)]
    if wrong:
        raise StudyError(
            f"this contradicts the study in {folder}: {'; '.join(wrong)}. Leave it out, or start another study"
        )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else "none" if value in (None, "") else str(value)


def command(folder: Path) -> str:
    """Return the words that a user can paste into the shell to go on with the study in `folder`."""
    program = Path(sys.argv[0])
    if program.name != "resnet-edu":
        words = [sys.executable, "-m", "resnet_edu.cli"]
    elif (found := shutil.which("resnet-edu")) and Path(found).samefile(program):
        words = ["resnet-edu"]
    else:
        words = [str(program)]
    return shlex.join([*words, "degrade", "--resume", str(folder)])


@contextlib.contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program by `SystemExit` ([1]), so that it tidies up as it does after Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # once is enough: the tidying up is not to be disturbed
        raise SystemExit(128 + number)

    before = {}
    for number in (getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)):
        if signal.getsignal(number) == signal.SIG_DFL:  # not ignored (nohup), nor a handler of the caller's
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
