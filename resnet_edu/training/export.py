"""A classifier for programs without this package, as ONNX."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..support.files import write_atomic
from .classifier import Classifier

NEEDED = ("onnx", "onnxruntime", "onnxscript")  # the extra `export`
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

    Batches may have any size. The classes are in `metadata_props["classes"]`, as JSON.

    Raises `ImportError` without the packages that ONNX needs, `RuntimeError` if the result differs by more than `NEAR`
    of the largest logit; nothing is written then.
    """
    path = Path(path)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ImportError(f"ONNX needs {', '.join(missing)}: pip install {' '.join(NEEDED)}")
    whole, generator = WholeClassifier(classifier).eval(), torch.Generator().manual_seed(0)
    few, more = (
        torch.randint(0, 256, (count, *classifier.shape), dtype=torch.uint8, generator=generator) for count in (2, 5)
    )
    sizes = {"pixels": {0: torch.export.Dim("batch")}}
    program = torch.export.export(whole, (few,), dynamic_shapes=sizes)
    content = _onnx(program, json.dumps(classifier.classes))
    with torch.no_grad():
        wanted, found = whole(more)[0], _logits(content, more)
    difference = float((found - wanted).abs().max())
    if not difference <= NEAR * max(1.0, float(wanted.abs().max())):
        raise RuntimeError(f"{path} differs from PyTorch by {difference:.2g} in its logits: it is not written")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return difference


def _logits(content: bytes, pixels: Tensor) -> Tensor:
    """Return the logits that onnxruntime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"pixels": pixels.numpy()})[0])


def _onnx(program: torch.export.ExportedProgram, classes: str) -> bytes:
    """Return the program as an ONNX file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own inner doings
        names = {"input_names": ["pixels"], "output_names": ["logits", "probabilities"]}
        made = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    made.model.metadata_props["classes"] = classes
    return made.model_proto.SerializeToString()
