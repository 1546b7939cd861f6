"""Weights that others have trained on ImageNet, in our nets, and what a net sees in a photograph.

Where the weights lie and how an image has to be prepared is in torchvision's `Weights` objects.

Sources
  [1] torchvision's documentation, "Models and pre-trained weights" (`get_state_dict`, `transforms`, `meta`).
  [2] PyTorch's documentation of `torch.hub`: the folder of downloads ($TORCH_HOME), and the checksum in a file's name.
"""

import copy
import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from ..support.validate import of_type, whole


def load_pretrained(net: nn.Module, weights: Any, progress: bool = True) -> nn.Module:
    """Give `net` the trained weights that torchvision's `weights` names, and return it in evaluation mode.

    weights:  such as `torchvision.models.ResNet50_Weights.IMAGENET1K_V2`; it is downloaded once, checked against the
              checksum in its name, and kept where `torch.hub` keeps such files ([2]).

    Raises `RuntimeError` if it cannot be downloaded or stored, or if the parameters' names or shapes are not those of
    `net`.
    """
    name = Path(urlsplit(_checked(weights).url).path).name
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        state = weights.get_state_dict(progress=progress, check_hash=True)
    except (OSError, http.client.HTTPException, RuntimeError) as error:  # RuntimeError: a wrong checksum
        reason = str(error).removeprefix("<urlopen error ").removesuffix(">") or type(error).__name__
        way = f"get it elsewhere and put it into {folder} as {name}"
        raise RuntimeError(f"{weights.url} could not be downloaded ({reason}): {way}") from None
    net.load_state_dict(state)
    return net.eval()


def _checked(weights: Any) -> Any:
    """Return `weights` if they are torchvision's, which takes a second to import: whoever has them has done so."""
    from torchvision.models import WeightsEnum

    return of_type("weights", weights, WeightsEnum)


def top_classes(net: nn.Module, image: Tensor, weights: Any, count: int = 3) -> list[tuple[str, float]]:
    """Return the classes that a net thinks most probable for an image, with their probabilities, the best first.

    image: (3, H, W), uint8 or numbers from 0 to 1; it is prepared as in the training of `weights`.

    The net is asked in evaluation mode, on its own device, and is left as it was.
    Raises `ValueError` for another shape, or a net with another number of outputs than there are classes.
    """
    classes = _checked(weights).meta["categories"]
    if of_type("image", image, Tensor).dim() != 3 or image.shape[0] != 3:
        raise ValueError(f"`image` must be one image, (3, H, W), but it is {tuple(image.shape)}")
    count = whole("count", count, 1, len(classes))
    prepared = weights.transforms()(image).unsqueeze(0)  # (1, 3, 224, 224)
    with torch.no_grad():
        shares = copy.deepcopy(net).eval()(prepared.to(next(net.parameters()))).float().softmax(1)[0]
    if len(shares) != len(classes):
        raise ValueError(f"the net has {len(shares):,} outputs, but `weights` names {len(classes):,} classes")
    best = shares.topk(count)
    return [(classes[i], share) for i, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
