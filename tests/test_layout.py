"""The package's inner order: a room imports from the rooms before it, modules stay short, importing changes nothing."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "resnet_edu"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = (
    *("support", "nets", "tracing", "data", "training", "experiment", "probes"),
    *("check", "figures", "widgets", "notebook", "cli", "__main__"),  # what only readers and the command line import
)
MOST_ENTRIES = 15
LONGEST_MODULE = 700

# Calls that change the state of the process: in a function that is asked for it, never on import.
SIDE_EFFECTS = {
    "manual_seed", "seed", "set_num_threads", "set_num_interop_threads", "set_flush_denormal", "set_default_dtype",
    "set_default_device", "set_grad_enabled", "use_deterministic_algorithms", "use", "filterwarnings",
    "simplefilter", "basicConfig", "print", "mkdir", "makedirs", "chdir",
}  # fmt: skip


def imported(source: str, path: Path) -> set[tuple[str, ...]]:
    """The parts of the package that a module imports, anywhere in it: ("nets", "blocks"). Types alone do not count."""
    here = path.relative_to(PACKAGE).parent.parts
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
            found |= {name[1:] for name in names if name[0] == "resnet_edu"}
        elif isinstance(node, ast.ImportFrom):
            words = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = here[: len(here) - node.level + 1] + words
            elif words[:1] == ("resnet_edu",):
                base = words[1:]
            else:
                continue
            found |= {(*base, alias.name) for alias in node.names}
    return found - {("__version__",), ()}


def file_of(parts: tuple[str, ...]) -> Path:
    """The file that defines what `imported` names: a module, a room's face, or the module of a member."""
    for name in (parts, parts[:-1]):
        for path in (PACKAGE.joinpath(*name).with_suffix(".py"), PACKAGE.joinpath(*name, "__init__.py")):
            if name and path.is_file():
                return path
    raise AssertionError(f"{'.'.join(parts)} is no part of the package")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_rooms_import_from_the_rooms_before_them():
    assert {room_of(path) for path in MODULES} == {*ROOMS, "__init__"}, "a new room needs its place in ROOMS"
    for path in MODULES:
        for parts in imported(path.read_text(encoding="utf-8"), path):
            other = room_of(file_of(parts))
            assert room_of(path) == "__init__" or ROOMS.index(other) <= ROOMS.index(room_of(path)), f"{path}: {parts}"


def test_no_module_imports_itself_by_a_detour():
    graph = {path: {file_of(p) for p in imported(path.read_text(encoding="utf-8"), path)} - {path} for path in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_house_stays_small():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, entries
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert [path for path, count in lines.items() if count > LONGEST_MODULE] == []


def test_importing_the_package_is_light_and_its_face_complete():
    code = "import sys, resnet_edu; assert not {'torch', 'numpy'} & set(sys.modules); print(*dir(resnet_edu))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import resnet_edu

    for name in resnet_edu.__all__:
        assert name in done.stdout.split()
        assert getattr(resnet_edu, name) is not None
    with pytest.raises(AttributeError, match="resnet57"):
        resnet_edu.resnet57  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_importing_changes_nothing(path: Path):
    assert calls_on_import(ast.parse(path.read_text(encoding="utf-8"))) & SIDE_EFFECTS == set()


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
    ("line", "parts"),
    [
        ("import resnet_edu.nets.models", {("nets", "models")}),
        ("import resnet_edu", set()),
        ("from resnet_edu.nets import models", {("nets", "models")}),
        ("from resnet_edu.nets.models import cifar_net", {("nets", "models", "cifar_net")}),
        ("from . import loop", {("training", "loop")}),
        ("from .. import __version__", set()),
        ("from ..nets.models import cifar_net", {("nets", "models", "cifar_net")}),
        ("def late():\n    from ..figures import curves", {("figures", "curves")}),
        ("if TYPE_CHECKING:\n    from ..nets import models", set()),
        ("import torch\nfrom torch.nn import Module", set()),
    ],
)
def test_imports_are_seen(line: str, parts: set[tuple[str, ...]]):
    assert imported(line, PACKAGE / "training" / "step.py") == parts


def test_side_effects_are_seen():
    harmless = "def f():\n    torch.set_num_threads(1)\nif __name__ == '__main__':\n    print(1)"
    assert calls_on_import(ast.parse(harmless)) == set()
    assert calls_on_import(ast.parse(f"torch.manual_seed(0)\n{harmless}")) == {"manual_seed"}


def test_help_and_version_do_not_wait_for_pytorch():
    code = "import sys; from resnet_edu import cli; cli.build_parser().format_help(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
