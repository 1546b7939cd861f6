"""The degradation experiment: nets x seeds, their records, and what the records say.

What is named here is loaded when it is first asked for: a worker process imports no torch before its job does.
"""

import importlib

_NAMES = {
    "degradation": "build_net default_recipe resume run run_cell",
    "folder": "NETS Cell Source Study StudyError",
    "published": "REFERENCES results",
    "records": "RecordError RunRecord load load_dir",
    "shipped": "load_bugs load_grid load_records load_study load_trained",
    "statistics": "headline interval summary",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
