"""The other side of each chapter's switch: with FULL = True its code runs to the end, here on a handful of images.

The cell with the tag `parameters` sets the switch; a cell behind it sets it otherwise, as papermill would do it. Of the
others that runs which the switch reaches, by what is made of it, and what it needs: the book has run the rest.
"""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent.parent / "notebooks").glob("*.ipynb"))

# Noise of CIFAR-10's shape in its place: what is tested is that the code fits such images, not what is learnt.
PHOTOGRAPHS = """
from dataclasses import replace
import torch
from resnet_edu import data, training
from resnet_edu.data import dataset
from resnet_edu.experiment import degradation


def load(name="digits", *arguments, real=data.load, **options):
    if name != "cifar10":
        return real(name, *arguments, **options)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (160, 3, 16, 16), dtype=torch.uint8, generator=draw)
    labels = torch.arange(160) % 10
    classes = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    return data.Dataset("cifar10", pixels[:128], labels[:128], pixels[128:], labels[128:], classes)


def train(model, dataset, recipe, *arguments, real=training.train, **options):
    recipe = recipe.replace(steps=2, batch_size=16, milestones=())
    return real(model, dataset, recipe, *arguments, **options)


def run(study, *arguments, real=degradation.run, **options):
    study = replace(study, workers=0)  # in this process: the others would train as long as they are told
    return real(study, *arguments, **options)


data.load = dataset.load = load  # the name of the room, and the one that a study asks
training.train = degradation.train = train
degradation.run = run
"""


def switch(notebook: nbformat.NotebookNode) -> int | None:
    """The place of the cell that sets the switch."""
    return next((i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])), None)


def with_switch() -> list[Path]:
    return [p for p in NOTEBOOKS if switch(nbformat.read(p, as_version=4)) is not None]


def root(node: ast.AST) -> str | None:
    """The name at the beginning of `a.b[0].c`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def names(statement: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """The names that a statement reads, binds, and perhaps changes without binding them: `a.b = 1`, `a.append(1)`."""
    reads, binds, changes, inside = set(), set(), set(), set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            (reads if isinstance(node.ctx, ast.Load) else binds).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            binds.add(node.name)
        elif isinstance(node, ast.alias):
            binds.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.arg):
            inside.add(node.arg)
        elif isinstance(node, ast.For | ast.comprehension):
            inside |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            changes.add(root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            changes.add(root(node.value.func) if isinstance(node.value.func, ast.Attribute) else None)
    return reads - inside, binds, changes - {None}


def reached(sources: list[str], switch: set[str]) -> list[str]:
    """What the names of a switch reach in a chapter's cells, by what is made of them, and what that needs to run."""
    code = [(cell, s, names(s)) for cell, source in enumerate(sources) for s in ast.parse(source).body]
    perhaps = ast.If, ast.For, ast.While, ast.Try  # what these bind may stay as it was
    surely = [set() if isinstance(s, perhaps) else binds for _, s, (_, binds, _) in code]
    modules = {name for _, s, (_, binds, _) in code if isinstance(s, ast.Import | ast.ImportFrom) for name in binds}
    kept, there = set(), set(switch)
    for place, (_, _, (reads, binds, changes)) in enumerate(code):
        if reads & there:
            kept.add(place)
            there |= binds | (changes - modules)
        else:
            there = (there - surely[place]) | switch
    needed = set(switch)
    for place, (_, _, (reads, binds, changes)) in reversed(list(enumerate(code))):
        if place in kept or (binds | (changes - modules)) & needed:
            kept.add(place)
            needed = (needed - surely[place]) | reads | switch
    cells: list[list[str]] = [[] for _ in sources]
    for place in sorted(kept):
        cells[code[place][0]].append(ast.unparse(code[place][1]))
    return ["\n".join(cell) for cell in cells if cell]


def test_what_a_switch_reaches():
    needed = ["d = 0", "b = []", "b.append(1)", "if SWITCH:\n    d = b", "e = [f for f in d]"]
    cells = ["\n".join(["import a", *needed[:2]]), "c = a.f()", *needed[2:4], "print(c)", f"{needed[4]}\n2"]
    cells += ["d = 1\nf = 3", "d"]
    assert reached(cells, {"SWITCH"}) == ["\n".join(needed[:2]), *needed[2:]]


@pytest.mark.slow
def test_chapters_run_with_their_switches_on(tmp_path: Path):
    """One after the other in one kernel, where each finds no name of those before."""
    (tmp_path / "photographs.py").write_text(PHOTOGRAPHS)
    sources = ["import photographs"]
    for path in with_switch():
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(switch(notebook) + 1, nbformat.v4.new_code_cell("FULL, STEPS = True, 2"))
        setup, *cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        cells.insert(0, "import torch")  # as the set-up does: `torch.manual_seed(0)` changes no variable of the chapter
        own = reached(cells, {"FULL", "STEPS"})
        assert len(own) > 1
        sources += ["%reset -f", *(f"# {path.stem}\n{source}" for source in (setup, *own))]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
