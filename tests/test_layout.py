"""The package's inner order: who may import whom, how long a module may be, and that importing changes nothing."""

import ast
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "resnet_edu"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# module: the modules of ours that it may import; * as in file names. The first line that fits a module counts, and
# modules that fit the same line may import each other. A new module has to be given its place here.
MAY_IMPORT = {
    "__init__": [],
    "__main__": ["cli"],
    # the ground: no module of ours, and (but for records) no torch
    "arguments": [],
    "shapes": [],
    "records": [],
    "progress": [],
    "download": ["progress"],
    "workers": [],
    "distributed": [],
    "figure": ["records"],
    # nets
    "blocks": ["shapes"],
    "models": ["blocks", "shapes"],
    "initialise": ["blocks"],
    # the tracer: its parts know rows, the views are made of rows, and trace puts both together
    "trace_*": ["shapes", "blocks", "models"],
    "table*": ["shapes", "trace_rows"],
    "trace": ["trace_*", "table*", "shapes", "blocks", "models"],
    # the experiment
    "recipe": ["arguments"],
    "devices": ["records"],
    "data*": ["records", "progress", "recipe", "download"],
    "weights": ["records"],
    "cluster": ["workers", "arguments"],
    "stepper": ["data*", "recipe", "distributed"],
    "checkpoints": ["records", "weights", "distributed"],
    "train": [
        "arguments",
        "data*",
        "checkpoints",
        "recipe",
        "stepper",
        "distributed",
        "devices",
        "models",
        "blocks",
        "shapes",
        "records",
    ],
    "study": ["data*", "recipe", "records", "checkpoints"],
    "cells": [
        "data*",
        "distributed",
        "train",
        "stepper",
        "checkpoints",
        "recipe",
        "devices",
        "models",
        "records",
        "weights",
    ],
    "findings": ["records"],
    "uncertainty": ["arguments"],
    "degradation": [
        "arguments",
        "cells",
        "study",
        "data*",
        "train",
        "stepper",
        "checkpoints",
        "recipe",
        "devices",
        "models",
        "records",
        "progress",
        "workers",
        "cluster",
        "findings",
    ],
    "effects": ["findings"],
    "ablations": [
        "arguments",
        "effects",
        "cells",
        "initialise",
        "data*",
        "train",
        "recipe",
        "devices",
        "progress",
        "workers",
    ],
    "branches": ["blocks", "data*", "degradation", "recipe", "records", "train"],
    # results: those of others, those that come with the package, and how they get there
    "reference_results": ["records", "recipe"],
    "results_table": ["records", "findings", "reference_results"],
    "shipped": ["records", "weights", "models"],
    "ship": ["data*", "train", "records", "weights", "reference_results", "shipped"],
    "pretrained": ["download"],
    # probes: what a net can be asked; `probes` is their one face
    "probe_records": ["records"],
    "probe_[!p]*": [
        "probe_records",
        "data*",
        "train",
        "stepper",
        "recipe",
        "devices",
        "degradation",
        "models",
        "blocks",
        "shapes",
        "records",
        "progress",
    ],
    "probes": ["probe_[!p]*"],
    # what a learner's answer is compared with, and a function's source
    "check_answer*": ["check_*", "blocks", "models", "trace", "effects", "records", "shipped"],
    "check_*": ["shapes", "blocks", "models"],
    "check": ["check_*"],
    "show": [],
    "notebook": ["__init__", "devices", "figure"],
    # what shows results, and the command line
    "charts": ["figure", "arguments"],
    "diagrams*": ["trace", "trace_sizes", "figure"],
    "plots": ["records", "figure"],
    "live": ["figure"],
    "widgets*": [
        *("models", "blocks", "branches", "shapes", "trace", "trace_rows", "table*", "figure"),
        *("records", "findings", "reference_results", "shipped", "probe_records"),
    ],
    "probe_plots": ["records", "probe_records", "figure"],
    "cli*": ["*"],
}
# Imported by the command line and notebooks, by nothing else:
ENDS = ["check", "show", "notebook", "live", "plots", "probe_plots", "charts", "diagrams*", "widgets*", "cli*"]
LONGEST_MODULE = 450

# Calls that change the state of the process: in a function that is asked for it, never on import.
SIDE_EFFECTS = {
    "manual_seed", "seed", "set_num_threads", "set_num_interop_threads", "set_flush_denormal", "set_default_dtype",
    "set_default_device", "set_grad_enabled", "use_deterministic_algorithms", "use", "filterwarnings",
    "simplefilter", "basicConfig", "print", "mkdir", "makedirs", "chdir",
}  # fmt: skip


def place_of(name: str) -> str | None:
    return next((pattern for pattern in MAY_IMPORT if fnmatchcase(name, pattern)), None)


def imports_of_ours(name: str, path: Path, modules: set[str]) -> set[str]:
    """The modules of this package that a module imports, at its top or inside a function.

    Imports for type checkers alone are no dependency of the running program.
    """
    package = [] if name == "__init__" else name.split(".")[: None if path.name == "__init__.py" else -1]
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    ignored = {child for block in for_types for child in ast.walk(block)}
    for node in ast.walk(tree):
        if node in ignored:
            continue
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [
                alias.name.removeprefix("resnet_edu").strip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "resnet_edu"
            ]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)] + (node.module or "").split(".")
            elif (node.module or "").split(".")[0] == "resnet_edu":
                base = node.module.split(".")[1:]
            else:
                continue
            base = [part for part in base if part]
            # `from resnet_edu import blocks` names a module, `from resnet_edu.blocks import BasicBlock` a member.
            full = [".".join([*base, alias.name]) for alias in node.names]
            targets = [f if f in modules else ".".join(base) for f in full]
        found.update(target or "__init__" for target in targets)
    return found - {"__init__"}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str):
    place = place_of(name)
    assert place, f"resnet_edu/{name}.py is new: give it a place in MAY_IMPORT, and in CONTRIBUTING.md"
    allowed = [*MAY_IMPORT[place], place]
    for other in imports_of_ours(name, MODULES[name], set(MODULES)):
        assert any(fnmatchcase(other, pattern) for pattern in allowed), f"{name} must not import {other}"


def test_nothing_but_the_command_line_imports_what_shows_results():
    for place, allowed in MAY_IMPORT.items():
        assert place == "cli*" or not set(ENDS) & set(allowed)


def test_no_module_imports_itself_by_a_detour():
    graph = {name: imports_of_ours(name, path, set(MODULES)) for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short(name: str):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{name} has {lines} lines: it has outgrown one purpose"


@pytest.mark.parametrize("name", MODULES)
def test_importing_changes_nothing(name: str):
    assert calls_on_import(ast.parse(MODULES[name].read_text(encoding="utf-8"))) & SIDE_EFFECTS == set()


def calls_on_import(tree: ast.Module) -> set[str]:
    """The names called when a module is imported: everything but the bodies of functions and the main guard."""
    called = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
                visit(part)
            return
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.Call):
            function = node.func
            called.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return called


# The checks above are themselves checked: a check that cannot fail holds nothing.


@pytest.mark.parametrize(
    ("line", "imported"),
    [
        ("import resnet_edu.models", {"models"}),
        ("import resnet_edu", set()),
        ("from resnet_edu import models, __version__", {"models"}),
        ("from resnet_edu.models import cifar_net", {"models"}),
        ("from . import models", {"models"}),
        ("from .models import cifar_net", {"models"}),
        ("def late():\n    from resnet_edu.plots import curves", {"plots"}),
        ("if TYPE_CHECKING:\n    from .models import cifar_net", set()),
        ("import torch\nfrom torch.nn import Module", set()),
    ],
)
def test_imports_are_seen(tmp_path: Path, line: str, imported: set[str]):
    path = tmp_path / "train.py"
    path.write_text(line)
    assert imports_of_ours("train", path, {"models", "plots", "__init__"}) == imported


def test_side_effects_are_seen():
    harmless = "def f():\n    torch.set_num_threads(1)\nif __name__ == '__main__':\n    print(1)"
    assert calls_on_import(ast.parse(harmless)) == set()
    assert calls_on_import(ast.parse(f"torch.manual_seed(0)\n{harmless}")) == {"manual_seed"}


def test_a_new_module_has_no_place():
    assert place_of("trace_hooks") == "trace_*"
    assert place_of("utils") is None
