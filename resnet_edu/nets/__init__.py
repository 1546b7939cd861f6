"""The nets of the paper: shape arithmetic, blocks, whole nets, first weights, and torchvision's trained ones.

Nets by their names, such as `resnet50`, are in `resnet_edu` itself.
"""

from .blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock, ShapeMismatchError, ZeroPadShortcut, add_shortcut
from .models import ResNet, cifar_net, get_model, split_name
from .pretrained import load_pretrained, top_classes
from .shapes import ReceptiveField, conv_output_size

__all__ = [
    "BasicBlock", "Bottleneck", "PlainBlock", "PreActBlock", "ReceptiveField", "ResNet", "ShapeMismatchError",
    "ZeroPadShortcut", "add_shortcut", "cifar_net", "conv_output_size", "get_model", "load_pretrained", "split_name",
    "top_classes",
]  # fmt: skip
