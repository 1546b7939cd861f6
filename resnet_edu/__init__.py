"""resnet_edu: residual networks to read, trace and train.

Each folder is a room with a face of its own (`from resnet_edu.experiment import load_records`). What is used most is
here too, loaded when it is first asked for: importing the package alone loads no torch.
"""

import importlib

__version__ = "0.1.0"

_ROOMS = ("check", "data", "experiment", "figures", "nets", "probes", "tracing", "training", "widgets")
_NAMES = {
    "nets": "BasicBlock Bottleneck PlainBlock PreActBlock ResNet get_model",
    "nets.models": (
        "plain18 plain20 plain32 plain34 plain44 plain56 plain110 resnet18 resnet20 resnet32 resnet34 resnet44 "
        "resnet50 resnet56 resnet101 resnet110 resnet152"
    ),
    "tracing": "Trace TraceError trace",
    "training": "Classifier Recipe evaluate load_classifier train",
    "experiment": "load_records load_trained",
}
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_ROOMS, *_ROOM_OF]


def __getattr__(name: str) -> object:
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
