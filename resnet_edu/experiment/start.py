"""Trained weights to start from, with a new head: torchvision's, a file's, or those that come with the package.

A start is a `Classifier`, which knows its classes, sizes and normalisation.

Sources
  [1] torchvision's documentation, "Models and pre-trained weights": `get_model_weights`, `transforms`, `meta`.
  [2] Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009: CIFAR-10, whose training images have
      these mean colours. Our nets had the mean image subtracted, which is theirs on average.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from ..nets.models import get_model, imported
from ..nets.pretrained import load_pretrained
from ..training import weights
from ..training.classifier import Classifier, load_classifier
from ..training.step import head_of
from . import shipped

STUDY = "cifar10-8k"  # whose nets are shipped
CIFAR10_MEAN = (0.49139968, 0.48215841, 0.44653091)  # [2]


def load_start(source: str, net: str | None = None) -> Classifier:
    """Return the trained net to start from.

    source: "torchvision" ([1]: its default weights on ImageNet), a file of those (.pth), "shipped" (nets trained on
            CIFAR-10, which come with this package), or the file that `resnet-edu train` left.
    net:    its name; the last of these files knows it, and needs it for "module:callable" only.

    Raises `ValueError` for a net that has no such weights, and what `load_pretrained` and `load_classifier` raise.
    """
    by_hand = source.endswith(".pth")
    if source not in ("torchvision", "shipped") and not by_hand:
        found = load_classifier(source, imported(net) if net and ":" in net else None)
        if net not in (None, found.name):
            raise ValueError(f"{source} has weights of {found.name}, but --net is {net}: leave it out")
        return found
    if net is None:
        raise ValueError(f"--start-from {source} needs a net: name it, for example --net resnet18")
    if source != "shipped":
        from torchvision.models import get_model_weights, list_models

        if net not in list_models():
            way = "take resnet18, 34, 50, 101 or 152, or --start-from FILE"
            raise ValueError(f"torchvision has no weights of {net}: {way}")
        chosen, model = get_model_weights(net).DEFAULT, get_model(net)
        if by_hand:
            try:
                state = torch.load(source, map_location="cpu", weights_only=True)
            except OSError:
                raise
            except Exception as error:  # of a damaged or other file it raises nearly anything
                why = str(error).partition(".")[0]
                raise weights.WeightsError(f"{source} is no file of tensors alone: {why}") from None
            weights.load_into(model.eval(), state, source)
        else:
            load_pretrained(model, chosen)
        prepare = chosen.transforms()
        classes, shape = tuple(chosen.meta["categories"]), (3, *prepare.crop_size * 2)
        mean, deviation = prepare.mean, prepare.std
        about = {"dataset": f"ImageNet, {Path(source).name if by_hand else chosen}"}
    else:
        model, record = (load(net, study=STUDY) for load in (shipped.load_trained, shipped.load_record))
        classes, shape = tuple(record.dataset["classes"]), tuple(record.dataset["shape"])
        mean, deviation = CIFAR10_MEAN, (1.0, 1.0, 1.0)
        about = {"dataset": record.dataset["name"]}
    of_channels = [torch.tensor(values)[:, None, None] for values in (mean, deviation)]
    options = {"num_classes": len(classes), "in_channels": 3}
    return Classifier(model, net, options, classes, shape, *of_channels, torch.empty(0, dtype=torch.int64), about=about)


def give(net: nn.Module, start: Classifier) -> str:
    """Give `net` the start's weights but for its head, and return their name, or raise `weights.WeightsError`."""
    head, own = head_of(net)[0], net.state_dict()
    state = {k: own[k] if k.startswith(f"{head}.") and k in own else t for k, t in start.net.state_dict().items()}
    origin = f"{start.name} trained on {start.about.get('dataset', 'other images')}"
    weights.load_into(net, state, f"the weights of {origin}")
    known = b"".join(t.numpy().tobytes() for k, t in state.items() if not k.startswith(f"{head}."))
    return f"{origin} ({hashlib.sha256(known).hexdigest()[:12]})"


def normalization_for(start: Classifier, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation for images of (C, H, W); a mean image of another size gives its colours."""
    if shape[0] != start.shape[0]:
        way = f"read them with --channels {start.shape[0]}"
        raise ValueError(f"the weights take images of {start.shape[0]} channels, but these have {shape[0]}: {way}")
    mean = start.mean
    if mean.dim() == 3 and mean.shape[1:] not in ((1, 1), shape[1:]):
        mean = mean.mean((1, 2), keepdim=True)
    return mean, start.deviation
