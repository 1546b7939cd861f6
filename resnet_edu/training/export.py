"""A classifier for programs without this package: as ONNX, or as a program of torch.export."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..support.files import write_atomic
from .classifier import Classifier

NEEDED = ("onnx", "onnxruntime", "onnxscript")  # by .onnx: the extra `export`
NEAR = 1e-4  # of the largest logit: what the exported net may differ by


class WholeClassifier(nn.Module):
    """Pixels, uint8 (B, C, H, W) -> logits and probabilities (B, classes): the normalisation is inside."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.net = copy.deepcopy(classifier.net)
        self.register_buffer("mean", classifier.mean)
        self.register_buffer("deviation", classifier.deviation)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and their softmax."""
        logits = self.net((pixels.float() / 255 - self.mean) / self.deviation)
        return logits, logits.softmax(1)


def export(classifier: Classifier, path: str | os.PathLike[str]) -> float:
    """Write the classifier to `path`, and return by how much the logits of what is written differ from PyTorch's.

    path: ends in .onnx or .pt2 (`torch.export.load(path).module()`). Batches may have any size. The classes are in it
          as JSON: `metadata_props["classes"]` of ONNX, the extra file "classes" of .pt2.

    Raises `ValueError` for another ending, `ImportError` without the packages that ONNX needs, `RuntimeError` if the
    result differs by more than `NEAR` of the largest logit; nothing is written then.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"`path` must end in .onnx or .pt2, but it is {str(path)!r}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if path.suffix == ".onnx" and missing:
        how = "pip install onnx onnxruntime onnxscript, or export .pt2, which needs PyTorch alone"
        raise ImportError(f"ONNX needs {', '.join(missing)}: {how}")
    whole, generator = WholeClassifier(classifier).eval(), torch.Generator().manual_seed(0)
    few, more = (
        torch.randint(0, 256, (count, *classifier.shape), dtype=torch.uint8, generator=generator) for count in (2, 5)
    )
    sizes = {"pixels": {0: torch.export.Dim("batch")}}
    program = torch.export.export(whole, (few,), dynamic_shapes=sizes)
    make = _onnx if path.suffix == ".onnx" else _pt2
    made, run = make(program, json.dumps(classifier.classes))
    with torch.no_grad():
        wanted, found = whole(more)[0], run(more)[0]
    difference = float((found - wanted).abs().max())
    if not difference <= NEAR * max(1.0, float(wanted.abs().max())):
        raise RuntimeError(f"{path} differs from PyTorch by {difference:.2g} in its logits: it is not written")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, made)
    return difference


Made = tuple[bytes, Callable[[Tensor], Sequence[Tensor]]]  # a file's content, and what it computes


def _pt2(program: torch.export.ExportedProgram, classes: str) -> Made:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"classes": classes})
    return buffer.getvalue(), torch.export.load(io.BytesIO(buffer.getvalue())).module()


def _onnx(program: torch.export.ExportedProgram, classes: str) -> Made:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own inner doings
        names = {"input_names": ["pixels"], "output_names": ["logits", "probabilities"]}
        made = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    made.model.metadata_props["classes"] = classes
    content = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda pixels: [torch.from_numpy(part) for part in session.run(None, {"pixels": pixels.numpy()})]
