"""Weights of a net in a file: safetensors, which hold tensors and a few words on them, and never code.

Source
  [1] Hugging Face, safetensors, README, section "Format": a header in JSON, then the tensors' bytes.
"""

import json
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..support.files import write_atomic
from ..support.validate import shown

ABOUT = "resnet_edu"  # the one word in the header's metadata
BESIDE = "resnet_edu."  # begins the names of tensors that are not the net's: see `classifier.py`


class WeightsError(ValueError):
    """Raised for a file that holds no weights, or those of another net."""


def save(state: Mapping[str, Tensor], path: str | os.PathLike[str], about: Mapping[str, object]) -> Path:
    """Write a net's `state_dict()` to `path`, whole or not at all, and return it; `OSError` if it cannot be written.

    about: a few words to be stored with them (net, seed, data set, ...), as one text in JSON: the format keeps no order
           of several, and the same weights should give the same bytes.
    """
    path = Path(path)
    write_atomic(path, safetensors.torch.save(copies(state), {ABOUT: json.dumps(dict(about))}))
    return path


def copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the processor, contiguous and without shared memory: the format takes no others."""
    return {k: t.detach().cpu().clone(memory_format=torch.contiguous_format) for k, t in state.items()}


def read(data: bytes, origin: str | os.PathLike[str] = "the file") -> dict[str, Tensor]:
    """Return the net's tensors in a file's bytes, as `contents`."""
    return {name: t for name, t in contents(data, origin)[1].items() if not name.startswith(BESIDE)}


def contents(data: bytes, origin: str | os.PathLike[str] = "the file") -> tuple[dict[str, object], dict[str, Tensor]]:
    """Return the words in a file's header, {} if they are not ours, and names -> all of its tensors.

    These are on the processor; fractions as float32, whole numbers as they are. Raises `WeightsError`, naming `origin`,
    for bytes that are no such file.
    """
    try:
        found = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header.get("__metadata__", {}).get(ABOUT, "{}"))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{origin} is damaged: it is no safetensors file ({error})") from None
    if not isinstance(about, dict):
        raise WeightsError(f"{origin} is damaged: its header says {shown(about)}")
    return about, {name: t.float() if t.is_floating_point() else t for name, t in found.items()}


def load_into(model: nn.Module, state: Mapping[str, Tensor], origin: str | os.PathLike[str]) -> None:
    """Give the model the weights `state`. Raises `WeightsError`, naming `origin`, if they are those of another net."""
    try:
        model.load_state_dict(state)
    except (AttributeError, RuntimeError, TypeError) as error:  # it lists all that differs: the first of it will do
        what = textwrap.shorten(str(error).split("\n\t", 2)[:2][-1], 150)
        raise WeightsError(f"{origin} does not fit the net: {what}") from None
