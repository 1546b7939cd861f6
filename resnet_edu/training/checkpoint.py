"""Checkpoints: the whole state of a run in one file, so that it can be stopped anywhere and go on as if nothing was.

The file has three parts: a line with the SHA-256 of all that follows; a line of JSON (format, identity of the run,
numbers); tensors as safetensors. Reading it runs no code. It is written beside the old one and renamed, so that a crash
at any moment leaves a good one.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..support.files import write_atomic
from ..support.signals import STOPPING, Deferred
from . import weights
from .group import ALONE, Group

FORMAT = 2  # 2: the best weights so far

State = tuple[dict[str, Tensor], dict[str, Any]]  # tensors, and values that JSON can hold

# Warnings go to standard error, unless the program that imports this package has set up logging in its own way.
log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """Raised for a checkpoint that belongs to another run, or comes from a newer version of this package."""


class _Damaged(ValueError):
    """A file that is no whole checkpoint; the text says why."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of one run is kept, and how often it is saved, besides after each evaluation and on Ctrl-C.

    path:    of the file; its folder is made if need be.
    net:     the net's name: plain and residual twins have the same parameters, so their names tell them apart.
    seconds: at most about this much work is lost if the process is killed; 0 saves after each step.
    longer:  whether the run that is saved there may have had fewer steps, see `Recipe.longer`.
    """

    path: str | os.PathLike[str]
    net: str = ""
    seconds: float = 60.0
    longer: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))


def save(path: Path, state: State, identity: dict[str, Any]) -> None:
    """Write a checkpoint to `path`. Raises `OSError` if it cannot be written; the one that is there is kept then."""
    tensors, values = state
    head = json.dumps({"format": FORMAT, "identity": identity, "values": values}, allow_nan=False)
    body = head.encode() + b"\n" + safetensors.torch.save(weights.copies(tensors))
    write_atomic(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def load(path: Path, identity: dict[str, Any], free: Sequence[str] = ()) -> State | None:
    """Return the state in the checkpoint at `path`, or None if there is none.

    free: names in the identity that may differ.

    A damaged file is renamed to `*.damaged`, with a warning, and counts as none.

    Raises `CheckpointError` for the checkpoint of another run, naming the difference, or of a newer format.
    """
    try:
        head, tensors = _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except _Damaged as error:
        os.replace(path, f"{path}.damaged")
        log.warning("the checkpoint %s is damaged (%s): renamed to *.damaged, and the run starts afresh", path, error)
        return None
    _check(head, identity, path, free)
    return tensors, head["values"]


def head_of(path: Path) -> dict[str, Any]:
    """Return format, identity and values (numbers) of the checkpoint at `path`; {} without a whole one."""
    with contextlib.suppress(FileNotFoundError, _Damaged):
        return _decode(path.read_bytes())[0]
    return {}


def _decode(raw: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    digest, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise _Damaged(f"its {len(raw):,} bytes do not have the checksum that they begin with")
    head, _, tensors = body.partition(b"\n")
    try:
        values = json.loads(head)
        return values, safetensors.torch.load(tensors) if values["format"] <= FORMAT else {}
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise _Damaged(f"its checksum is right, but it is no checkpoint: {error}") from None


def _check(head: dict[str, Any], identity: dict[str, Any], path: Path, free: Sequence[str]) -> None:
    """Raise `CheckpointError` unless a checkpoint is of this format and of the run with this identity."""
    if head["format"] > FORMAT:
        raise CheckpointError(f"{path} has format {head['format']}, and {FORMAT} is the last known: update resnet_edu")
    theirs, mine = _flat(head["identity"]), _flat(json.loads(json.dumps(identity)))
    different = [
        f"{name} is {theirs.get(name)!r} there and {mine.get(name)!r} here"
        for name in mine | theirs
        if theirs.get(name) != mine.get(name) and name not in free
    ]
    if different:
        difference = "; ".join(different)
        raise CheckpointError(f"{path} belongs to another run: {difference}. Train with what it says, or remove it")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"recipe.lr": 0.1, ...} for {"recipe": {"lr": 0.1, ...}, ...}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def remove(path: Path) -> None:
    """Remove the checkpoint at `path` and what a killed process left half-written, but not what was set aside."""
    leftovers = path.parent.glob(f".{glob.escape(path.name)}.*.tmp") if path.parent.is_dir() else ()
    for file in (path, *leftovers):
        file.unlink(missing_ok=True)


def tensors_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, device: torch.device
) -> dict[str, Tensor]:
    """Return what a checkpoint has to hold in tensors: parameters, buffers, momentum, and every random state."""
    found = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, parameter in enumerate(_parameters(optimizer)):
        state = optimizer.state[parameter].items()
        found |= {f"optimizer.{i}.{name}": value for name, value in state if isinstance(value, Tensor)}
    found["random.batches"] = generator.get_state()
    found["random.cpu"] = torch.get_rng_state()  # layers such as dropout draw from it
    if device.type == "cuda":
        found["random.cuda"] = torch.cuda.get_rng_state(device)
    return found


def put_back(
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    device: torch.device,
) -> None:
    """Give everything the state that `tensors_of` returned. Raises `weights.WeightsError` for other parameters."""
    prefix = "model."
    state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    weights.load_into(model, state, "the checkpoint")
    for i, parameter in enumerate(_parameters(optimizer)):
        prefix = f"optimizer.{i}."
        for key in (k for k in tensors if k.startswith(prefix)):
            # In the parameter's place in memory, as the optimizer made it: the kernels' rounding may depend on that.
            value = tensors[key].to(parameter.device)  # AdamW's count of steps is one number
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter.detach()).copy_(value)
            optimizer.state[parameter][key.removeprefix(prefix)] = value
    generator.set_state(tensors["random.batches"])
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


class Keeper:
    """Saves a run's state when it is time; a context for the training loop. Without a checkpoint it does nothing.

    In the context, Ctrl-C, SIGTERM and SIGHUP take effect only when `poll` has saved the state, or at the end of the
    context (a second Ctrl-C: at once). Outside of the main thread signals cannot be deferred.

    In a group of processes the first one alone reads and writes, and all defer signals: a process that left in the
    middle of a step would take the others with it. A signal that reached any of them takes effect in all, at the same
    `poll`. A second Ctrl-C changes nothing there: torchrun may send each process what the terminal has sent already.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        identity: Callable[[], dict[str, Any]],
        state: Callable[[], State],
        group: Group = ALONE,
        device: torch.device | str = "cpu",
    ) -> None:
        self.checkpoint, self.state, self.group, self.device = checkpoint, state, group, device
        self.identity = identity() if checkpoint else {}
        self.signals = Deferred(*STOPPING if checkpoint else (), impatient=group.size == 1)
        self.saved_at, self.warned = time.monotonic(), False

    def __enter__(self) -> Keeper:
        if self.checkpoint and not self.group.rank:
            self.checkpoint.path.parent.mkdir(parents=True, exist_ok=True)
        self.signals.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.signals.__exit__()

    def load(self) -> State | None:
        """Return the state to go on from, or None to start afresh. Raises `CheckpointError`, see `load`."""
        reads = self.checkpoint is not None and not self.group.rank
        free = ("recipe.steps", "recipe.period") if reads and self.checkpoint.longer else ()
        return self.group.from_first(load(self.checkpoint.path, self.identity, free) if reads else None)

    def poll(self, together: bool = True) -> None:
        """Save if it is time, or if the process was asked to end; call it wherever the state is consistent.

        together: whether the whole group calls it at this place. Only there can it end.
        """
        if not self.checkpoint:
            return
        asked = max(self.signals.caught, default=0)
        if together:
            asked = self.group.greatest(asked, self.device)
        if asked or time.monotonic() - self.saved_at >= self.checkpoint.seconds:
            self.save()
        if asked and together:
            self.group.barrier()  # nobody leaves before the state is saved: torchrun ends the others then
            self.signals.caught = self.signals.caught or [asked]
            self.signals.release()

    def save(self) -> None:
        """Save the state now. A disk that is full gives one warning, and is no reason to stop."""
        if not self.checkpoint or self.group.rank:
            return
        try:
            save(self.checkpoint.path, self.state(), self.identity)
        except OSError as error:
            if not self.warned:
                log.warning("%s; training goes on", error)
            self.warned = True
        self.saved_at = time.monotonic()
