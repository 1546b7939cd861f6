"""Every folded solution of the chapters runs, by itself, as a reader would paste it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edu.data import dataset as data
from resnet_edu.experiment import degradation
from resnet_edu.training.recipe import Recipe

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent.parent / "notebooks").glob("*.ipynb"))


def _solutions():
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            title = re.search(r"^### (.+)$", text, re.MULTILINE)
            folded = text.partition("<summary>Solution</summary>")[2]
            for code in re.findall(r"^```python\n(.*?)^```", folded, re.DOTALL | re.MULTILINE):
                yield pytest.param(code, id=f"{path.stem[:2]} {title.group(1)}")


def test_there_are_solutions():
    assert len(list(_solutions())) >= 3 * len(NOTEBOOKS)


STEPS = 30  # of a loop that a solution writes out: enough for weight decay to be seen


def shorter(*ends: int) -> range:
    """In the place of `range`."""
    return range(*ends)[: STEPS if len(range(*ends)) >= 100 else None]


@pytest.mark.slow
@pytest.mark.parametrize("code", list(_solutions()))
def test_solution_runs(code, monkeypatch, one_thread):
    real, few = degradation.run, data.load("digits").head(128, 64)

    def few_images(study=None, **options):  # the solution as it is, but for the images: 128, four a step
        study = study or degradation.Study()
        recipe = study.recipe or Recipe.digits()
        recipe = recipe.replace(batch_size=4, eval_every=recipe.steps)
        return real(replace(study, recipe=recipe, workers=0), few, progress=False, **options)

    monkeypatch.setattr(degradation, "run", few_images)
    exec(compile(code, "solution", "exec"), {"__name__": "__main__", "range": shorter})
